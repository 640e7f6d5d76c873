"""`qwarden up`: the console, over a folder of captures or a live source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwarden.cli.context import Context
from qwarden.cli.live import (
    EveSocketOption,
    FollowOption,
    InterfaceOption,
    Live,
    NetflowOption,
    RedisOption,
)
from qwarden.cli.render import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwarden.console.feeds import Feed
    from qwarden.console.feeds.reading import SourceReader
    from qwarden.console.server import Opened
    from qwarden.core.config import Settings
    from qwarden.core.store import Store


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(up)


def up(
    context: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(help="A folder of captures and logs, read as they come; or one of them."),
    ] = None,
    interface: InterfaceOption = None,
    netflow: NetflowOption = None,
    follow: FollowOption = None,
    eve_socket: EveSocketOption = None,
    redis: RedisOption = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the page; 0 for any that is free.", show_default=False),
    ] = None,
    reset_password: Annotated[
        bool, typer.Option("--reset-password", help="Make a new admin password, show it and end.")
    ] = False,
) -> None:
    """Serve the console: findings as they come, explained; without a source, what is stored."""
    state: Context = context.obj
    live = Live(interface, netflow, follow, eve_socket, redis)
    live.check(*([str(path)] if path is not None else []))
    with state.store() as store:
        if reset_password:
            _reset_password(store)
            return
        from qwarden.console.server import serve

        make_feed = _feed(state.home, state.settings, store, path, live)
        if interface is not None and os.geteuid() == 0:
            say("qwarden: running as root; a user with CAP_NET_RAW alone suffices")
        serve(state.home, state.settings, store, make_feed, port=port, on_open=say_how_to_look)


def _feed(
    home: Path, settings: Settings, store: Store, path: Path | None, live: Live
) -> Callable[[SourceReader], Feed] | None:
    if path is not None:
        from qwarden.console.feeds.folder import FolderFeed

        folder = path.absolute()
        return lambda reader: FolderFeed(folder, reader, store)
    if live.given:
        from qwarden.console.feeds.listening import ListeningFeed

        listener = live.listener(home, settings, store)
        pipe, hold_s = live.pipe(home), live.hold_s(settings)
        return lambda reader: ListeningFeed(listener, pipe, reader, hold_s)
    return None


def _reset_password(store: Store) -> None:
    from qwarden.console.access import Password

    say(f"new admin password (shown only now): {Password(store).reset()}")


def say_how_to_look(opened: Opened) -> None:
    """Tell a person where the page is and how to get in."""
    lines = [
        f"console:        {opened.url}",
        f"certificate:    SHA-256 {opened.fingerprint}",
        "                (made here, so the browser will ask once)",
    ]
    if opened.password is not None:
        lines.append(f"admin password: {opened.password}   (shown only now)")
    else:
        lines.append("admin password: as before; `qwarden up --reset-password` makes a new one")
    say("\n".join(lines) + "\n")
