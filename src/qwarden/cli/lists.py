"""`qwarden lists`: the exceptions people make, what to ignore and where never to act."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from qwarden.cli.context import AsJson, Context, author_of, moment, print_json
from qwarden.cli.render import say
from qwarden.core.errors import UsageError

if TYPE_CHECKING:
    from qwarden.core.lists import ListEntry, Lists

group = typer.Typer(help="Exceptions: what to ignore, where never to act.", no_args_is_help=True)


class Which(StrEnum):
    """The lists."""

    IGNORE = "ignore"
    NEVER_ACT = "never-act"


class Timing(StrEnum):
    """The two kinds of time."""

    TRAFFIC = "traffic"
    WALL = "wall"


ListArgument = Annotated[
    Which,
    typer.Argument(metavar="LIST", help="ignore: raises no finding; never-act: watched, but never touched."),
]
Author = Annotated[str | None, typer.Option(help="Who says so; by default the user who runs this.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="lists")


@group.command()
def show(
    context: typer.Context,
    which: Annotated[
        Which | None, typer.Argument(metavar="[LIST]", help="ignore or never-act; both by default.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what expired or was removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the exceptions that hold (traffic time being now), and why they were made."""
    now = time.time()
    with _lists(context) as lists:
        entries = [(entry, _state(entry, now)) for entry in lists.entries(which.value if which else None)]
    entries = [(entry, state) for entry, state in entries if everything or state == "holds"]
    if as_json:
        print_json({"entries": [{**entry.document(), "state": state} for entry, state in entries]})
        return
    for entry, state in entries:
        typer.echo(_text(entry, state))
    if not entries:
        say("qwarden: no exceptions" + ("" if everything else " hold; --all shows those that ended"))


@group.command()
def add(
    context: typer.Context,
    which: ListArgument,
    reason: Annotated[str, typer.Option(help="Why.")],
    network: Annotated[
        str | None, typer.Option(help="A network (CIDR) or an address, of either side.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="A network or an address that conversations come from.")
    ] = None,
    destination: Annotated[str | None, typer.Option(help="A network or an address they go to.")] = None,
    host: Annotated[str | None, typer.Option(help="A host's name; an address is taken as --network.")] = None,
    user: Annotated[str | None, typer.Option(help="A user's name.")] = None,
    port: Annotated[int | None, typer.Option(help="The port of a service.")] = None,
    kind: Annotated[str | None, typer.Option(help="A kind of finding, as scan_vertical.")] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="When it ends: from now, as 30m, 12h, 7d; or 2030-01-31T18:00Z."),
    ] = None,
    timing: Annotated[
        Timing, typer.Option("--time", help="Which time WHEN is: that of the traffic, or the wall clock's.")
    ] = Timing.TRAFFIC,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Make an exception. All parts of the scope that are given must fit."""
    from qwarden.core.lists import Scope

    if host is not None and network is None and _is_address(host):
        network, host = host, None
    scope = Scope(
        network=network, source=source, destination=destination, host=host, user=user, port=port,
        kind=_known(kind),
    )  # fmt: skip
    expires = None if until is None else moment(until)
    with _lists(context) as lists:
        entry = lists.add(
            which.value, scope, reason=reason, author=author_of(author), expires=expires, timing=timing.value
        )
    if which is Which.IGNORE and (host or user):
        say("qwarden: flows carry no names of hosts or users: detection does not know this exception")
    _tell(entry, "holds", as_json)


@group.command()
def remove(
    context: typer.Context,
    entry_id: Annotated[str, typer.Argument(help="The exception's id, or as much of it as is unique.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """End an exception; it stays on record."""
    with _lists(context) as lists:
        entry = lists.remove(entry_id, reason=reason, author=author_of(author))
    _tell(entry, "removed", as_json)


@contextmanager
def _lists(context: typer.Context) -> Iterator[Lists]:
    from qwarden.core.lists import Lists

    state: Context = context.obj
    with state.store() as store:
        yield Lists(store, state.settings.detect.ignore)


def _tell(entry: ListEntry, state: str, as_json: bool) -> None:
    if as_json:
        print_json({**entry.document(), "state": state})
    else:
        typer.echo(_text(entry, state))


def _state(entry: ListEntry, now: float) -> str:
    if entry.removed is not None:
        return "removed"
    return "expired" if entry.expired(traffic=now, wall=now) else "holds"


def _text(entry: ListEntry, state: str) -> str:
    until = ""
    if entry.expires is not None:
        when = datetime.fromtimestamp(entry.expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        until = f", until {when} ({entry.timing} time)"
    lines = [
        f"{entry.list:<9} {state:<8} {entry.scope}{until}",
        typer.style(f"          {entry.reason} ({entry.author}), id {entry.id}", dim=True),
    ]
    if entry.removed is not None:
        lines.append(
            typer.style(f"          removed: {entry.removed.reason} ({entry.removed.author})", dim=True)
        )
    return "\n".join(lines)


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _known(kind: str | None) -> str | None:
    """Refuse a kind that nothing raises: an exception that can never hold is a mistake."""
    if kind is not None:
        from qwarden.detect import KINDS, REPORTED

        if kind not in (*KINDS, REPORTED):
            raise UsageError(f"--kind {kind}: expected one of {', '.join((*KINDS, REPORTED))}")
    return kind
