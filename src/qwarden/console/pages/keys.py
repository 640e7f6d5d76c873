"""The page of the key room: each link's error rate and keys over time, what is in store, what alarmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import Request

from qwarden.console.board import Board, LinkKeys
from qwarden.console.pages.layout import page
from qwarden.console.pages.parts import box, text
from qwarden.console.pages.words import day_and_time, moment, number, plural, sentence
from qwarden.keys.events import KeyBlock, LinkAlarm

Refresh = Callable[[], None]

BLOCKS: Final = 12
ALARMS: Final = 20
KEY_BITS: Final = 256
LOW: Final = 64
"""Keys or tags below which a figure is shown as low."""

_WIDTH, _HEIGHT, _PAD = 640, 132, 8


def keys_page(request: Request, board: Board) -> None:
    """Build the page."""
    with page(request, board) as refresh:
        text("h1", "Keys", "unseen")
        refresh.append(_links(board))
        refresh.append(_alarms(board))


def _links(board: Board) -> Refresh:
    with box("div", "links") as holder:
        pass
    shown = -1

    def refresh() -> None:
        nonlocal shown
        if shown == board.key_change:
            return
        shown = board.key_change
        holder.clear()
        with holder:
            links = board.links()
            for link in links:
                _link(link)
            if not links:
                with box("section", "card"):
                    text(
                        "p",
                        "No keys were exchanged yet: qwarden keys simulate, or qwarden keys node",
                        "empty",
                    )

    refresh()
    return refresh


def _link(link: LinkKeys) -> None:
    last = link.blocks[-1]
    with box("section", "card link", aria_label=f"Link {link.name}"):
        with box("div", "title"):
            text("h2", link.name)
            text("span", last.origin, f"origin {last.origin}", title=_ORIGINS[last.origin])
            state = "alarm" if link.alarmed else "accepted" if last.accepted else "dropped"
            text("span", _STATES[state], f"state {state}")
        with box("dl", "sum"):
            _figure("Error rate (QBER)", "-" if last.qber is None else f"{last.qber:.2%}")
            _figure("Blocks accepted", f"{sum(b.accepted for b in link.blocks)} of {len(link.blocks)}")
            secret = sum(block.secret_bits for block in link.blocks if block.accepted)
            _figure("Keys of 256 bits made", number(secret // KEY_BITS))
            if link.state is not None and link.state.keys is not None:
                _figure("Keys in store", number(link.state.keys), low=link.state.keys < LOW)
            if link.state is not None and link.state.tags is not None:
                _figure("Tags left", number(link.state.tags), low=link.state.tags < LOW)
            if link.state is not None and link.state.renewal is not None:
                _figure("Next renewal (UTC)", day_and_time(link.state.renewal)[1])
        with box("div", "charts"):
            _chart("Error rate", [b.qber for b in link.blocks], [b.accepted for b in link.blocks], "{:.1%}")
            bits = [float(b.secret_bits) if b.accepted else 0.0 for b in link.blocks]
            _chart("Secret bits a block", bits, [b.accepted for b in link.blocks], "{:,.0f}")
        with box("details"):
            with box("summary"):
                text("h3", f"Last {plural(min(BLOCKS, len(link.blocks)), 'block')}")
            _blocks(link.blocks[: -BLOCKS - 1 : -1])


_ORIGINS: Final = {
    "simulated": "A simulated link: these keys protect nothing outside a laboratory",
    "imported": "Raw keys that were recorded elsewhere",
    "vendor": "Keys of a vendor's equipment",
}
_STATES: Final = {
    "accepted": "exchanging",
    "dropped": "last block dropped",
    "alarm": "stopped: alarm",
}


def _figure(name: str, value: str, *, low: bool = False) -> None:
    with box("div", "term low" if low else "term"):
        text("dt", f"{name}, low" if low else name)
        text("dd", value)


def _chart(name: str, values: Sequence[float | None], good: Sequence[bool], style: str) -> None:
    """Draw values block by block; a block that was dropped is a hollow dot."""
    known = [value for value in values if value is not None]
    top = max(known, default=0.0) or 1.0
    step = (_WIDTH - 2 * _PAD) / max(1, len(values) - 1)
    places = [
        (_PAD + at * step, _HEIGHT - _PAD - (_HEIGHT - 2 * _PAD) * value / top, fine)
        for at, (value, fine) in enumerate(zip(values, good, strict=True))
        if value is not None
    ]
    latest = style.format(known[-1]) if known else "unknown"
    with box("figure", "chart"):
        with box("figcaption"):
            text("span", name)
            text("span", f"up to {style.format(top)}" if known else "", "aside")
        with box(
            "svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", preserveAspectRatio="none",
            aria_label=f"{name} of the last {plural(len(values), 'block')}; now {latest}",
        ):  # fmt: skip
            box("line", "axis", x1=0, y1=_HEIGHT - _PAD, x2=_WIDTH, y2=_HEIGHT - _PAD)
            if len(places) > 1:
                box("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places))
            for x, y, fine in places:
                box("circle", "" if fine else "dropped", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4)


def _blocks(blocks: Sequence[KeyBlock]) -> None:
    with box("table", "list"):
        with box("thead"), box("tr"):
            for head, kind in (
                ("Time (UTC)", "time"), ("Attempt", "number"), ("QBER", "number"), ("Sifted", "number"),
                ("Disclosed", "number"), ("Secret", "number"), ("Outcome", ""),
            ):  # fmt: skip
                text("th", head, kind, scope="col")
        with box("tbody"):
            for block in blocks:
                with box("tr"):
                    text("td", moment(block.time), "time", data_label="Time")
                    text("td", number(block.attempt), "number", data_label="Attempt")
                    qber = "-" if block.qber is None else f"{block.qber:.2%}"
                    text("td", qber, "number", data_label="QBER")
                    text("td", number(block.sifted_bits), "number", data_label="Sifted")
                    text("td", number(block.leak_bits), "number", data_label="Disclosed")
                    text("td", number(block.secret_bits), "number", data_label="Secret")
                    said = "accepted" if block.accepted else f"dropped: {block.reason}"
                    text("td", said, data_label="Outcome")


def _alarms(board: Board) -> Refresh:
    with box("section", "card", aria_labelledby="alarms-title"):
        with box("div", "title"):
            text("h2", "Alarms", id="alarms-title")
            count = text("p", "", "aside")
        empty = text("p", "No link has alarmed", "empty")
        with box("table", "list") as table:
            with box("thead"), box("tr"):
                for head, kind in (
                    ("Time (UTC)", "time"),
                    ("Link", ""),
                    ("What was seen", ""),
                    ("What was done", ""),
                ):
                    text("th", head, kind, scope="col")
            body = box("tbody")
    shown = -1

    def refresh() -> None:
        nonlocal shown
        if shown == board.key_change:
            return
        shown = board.key_change
        alarms = board.alarms()
        count.text = plural(len(alarms), "alarm")
        empty.set_visibility(not alarms)
        table.set_visibility(bool(alarms))
        body.clear()
        with body:
            for alarm in alarms[:ALARMS]:
                _alarm(alarm)

    refresh()
    return refresh


def _alarm(alarm: LinkAlarm) -> None:
    with box("tr"):
        text("td", moment(alarm.time), "time", data_label="Time")
        text("td", alarm.link, data_label="Link")
        with box("td", "what", data_label="What was seen"):
            text("span", sentence(alarm.cause))
            if alarm.tampered:
                text("span", "the classical channel was interfered with", "problem")
        text("td", sentence(alarm.done), data_label="What was done")
