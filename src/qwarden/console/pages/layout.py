"""What all pages share: the head of the page, its theme, and the beat at which it is refreshed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import Request
from nicegui import ui

from qwarden.console.board import Board
from qwarden.console.pages.parts import box, link, text
from qwarden.console.pages.words import last_part, plural, sentence

THEME_COOKIE = "__Host-qwarden-theme"
THEMES = {"auto": "light", "light": "dark", "dark": "auto"}
"""Each theme, and the one that comes after it."""

ROOMS = {"Threats": "/", "Keys": "/keys"}

_EVERY_S = 0.5


def theme_of(request: Request) -> str:
    """Return the theme that this browser has chosen."""
    chosen = request.cookies.get(THEME_COOKIE, "auto")
    return chosen if chosen in THEMES else "auto"


@contextmanager
def page(request: Request, board: Board) -> Iterator[list[Callable[[], None]]]:
    """Lay a page out; its content goes into the ``with``.

    Yields a list: what is put there is called again and again while somebody looks.
    """
    theme = theme_of(request)
    refresh: list[Callable[[], None]] = []
    ui.add_head_html('<link rel="stylesheet" href="/assets/console.css">')
    with box("div", f"console theme-{theme}"):
        link("Skip to the content", "#content", "skip")
        with box("header", "bar"):
            with box("a", "brand", href="/", aria_label="Qwarden, overview"):
                box("img", src="/assets/icon.svg", alt="", width="28", height="28")
                text("span", "Qwarden")
            with box("nav", "rooms", aria_label="Rooms"):
                for name, to in ROOMS.items():
                    link(name, to, aria_current="page" if request.url.path == to else None)
            refresh.append(_pill(board))
            with box("div", "actions"):
                with box("form", method="post", action="/theme"):
                    box("input", type="hidden", name="theme", value=THEMES[theme])
                    box("input", type="hidden", name="next", value=request.url.path)
                    text("button", f"Theme: {theme}", "quiet", type="submit")
                with box("form", method="post", action="/logout"):
                    text("button", "Sign out", "quiet", type="submit")
        with box("div", "content", id="content", tabindex="-1"):  # NiceGUI's own page is the <main>
            yield refresh

    def beat() -> None:
        for call in refresh:
            call()

    ui.timer(_EVERY_S, beat, immediate=False)


def _pill(board: Board) -> Callable[[], None]:
    """Add the word on what is going on; return what keeps it true."""
    with box("p", "pill") as pill:
        box("span", "dot", aria_hidden="true")
        words = text("span", "")

    def refresh() -> None:
        watch = board.watch
        reading = watch.reading
        if watch.failed:
            state, said = "failed", f"Stopped: {watch.failed}"
        elif reading is not None:
            state = "reading"
            said = f"Reading {last_part(reading.name)}: {plural(reading.account().read, 'flow')}"
        else:
            state, said = "idle", sentence(watch.doing) or "Showing what is stored"
        if words.text != said:
            words.text = said
            pill.classes(replace=f"pill {state}")

    refresh()
    return refresh
