"""`qwarden feedback`: an analyst's verdict on a finding."""

from __future__ import annotations

from typing import Annotated

import typer

from qwarden.cli.completion import finding_ids
from qwarden.cli.context import AsJson, Context, author_of, moment, print_json


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(feedback)


def feedback(
    context: typer.Context,
    finding_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="The finding's id, or its short one.", autocompletion=finding_ids),
    ],
    attack: Annotated[bool, typer.Argument(metavar="true|false", help="Was it an attack?")],
    reason: Annotated[str, typer.Option(help="Why.")] = "verdict of an analyst",
    until: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="When a dismissal ends, in wall time: from now, as 30d; or 2030-01-31. Never, by default.",
        ),
    ] = None,
    author: Annotated[str | None, typer.Option(help="Who says so; by default who runs this.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a finding was an attack. One that was none stays dismissed, by the narrowest exception."""
    from qwarden.core.bus import open_bus
    from qwarden.core.lists import Lists
    from qwarden.detect.feedback.verdicts import judge_finding

    state: Context = context.obj
    with state.store() as store:
        judged = judge_finding(
            store,
            open_bus(store),
            Lists(store, state.settings.detect.ignore),
            finding_id,
            attack=attack,
            reason=reason,
            author=author_of(author),
            expires=None if until is None else moment(until),
        )
    if as_json:
        print_json(judged.document())
        return
    typer.echo(f"{judged.verdict.finding_id}: {'an attack' if attack else 'no attack'}")
    for entry in judged.removed:
        typer.echo(f"taken back: {entry.scope} (id {entry.id})")
    if judged.added is not None:
        typer.echo(f"dismissed from now on: {judged.added.scope}")
        typer.echo(f"take it back with: qwarden lists remove {judged.added.id} --reason ...")
