"""`qwarden scenario`: a labelled traffic range of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json

group = typer.Typer(help="A labelled traffic range with real packets.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="scenario")


@group.callback()
def _group() -> None:
    """Keep `write` a subcommand although it is the only one."""


@group.command()
def write(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="The capture to write; labels go to OUT.labels.csv.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    minutes: Annotated[
        float | None, typer.Option(help="Traffic time; by default 30 to 60, by the seed.", show_default=False)
    ] = None,
    hosts: Annotated[
        int | None, typer.Option(help="Local machines; by default 20 to 40, by the seed.", show_default=False)
    ] = None,
    kinds: Annotated[
        str | None, typer.Option(help="Attack kinds, comma-separated; 'none' for benign traffic only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a capture of a small network with benign traffic and labelled attacks."""
    from dataclasses import asdict

    from qwarden.cli.render import scenario_text
    from qwarden.detect.scenario import write_scenario

    state: Context = context.obj
    chosen = None
    if kinds is not None:
        chosen = () if kinds == "none" else tuple(kind.strip() for kind in kinds.split(","))
    summary = write_scenario(
        out,
        seed,
        duration_s=None if minutes is None else minutes * 60,
        hosts=hosts,
        kinds=chosen,
        progress=state.progress,
    )
    if as_json:
        print_json({**asdict(summary), "path": str(summary.path), "labels": str(summary.labels)})
    else:
        typer.echo(scenario_text(summary))
