"""`qwarden measure`: find again every figure the project states."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qwarden.cli.completion import measure_names, rooms
from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say
from qwarden.core.errors import UnavailableError


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(measure)


def measure(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Measures, as detect.scenario.", autocompletion=measure_names),
    ] = None,
    room: Annotated[str | None, typer.Option(help="All measures of one room.", autocompletion=rooms)] = None,
    every: Annotated[bool, typer.Option("--all", help="All measures.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Also those that take long.")] = False,
    as_json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option(help="Merge into this file of last figures; a .md beside it shows them.")
    ] = None,
) -> int:
    """Run measures and print their figures; exit 3 if one lacks its data or its peer."""
    from qwarden.cli import measures
    from qwarden.core.figures import merge_into, read_documents, render
    from qwarden.core.files import atomic_write
    from qwarden.core.measure import REGISTRY, run

    state: Context = context.obj
    measures.load()
    chosen = REGISTRY.select(names or (), room=room, every=every, long=long)
    documents = []
    missing = 0
    for outcome in run(chosen, state.home, state.progress):
        if outcome.document is None:
            missing += 1
            say(f"qwarden: {outcome.name}: {outcome.unavailable}")
            continue
        documents.append(outcome.document)
        if out:
            merge_into(out, [outcome.document])
            atomic_write(out.with_suffix(".md"), render(read_documents(out)).encode())
        if not as_json:
            values = outcome.document["values"]
            assert isinstance(values, dict)
            figures = "  ".join(f"{key} {value:.6g}" for key, value in values.items())
            typer.echo(f"{outcome.name:<32} {figures}")
    if as_json:
        print_json(documents[0] if len(chosen) == 1 and documents else {"measures": documents})
    return UnavailableError.exit_code if missing else 0
