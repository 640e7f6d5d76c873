"""`qwarden train`: a threat model of one's own labelled traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(train)


def train(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Labelled captures or folders of them.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labels of all captures (CSV, as of `scenario write`); by default CAPTURE.labels.csv."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="What the model is called; its next version is made.")] = "own",
    seed: Annotated[int, typer.Option(help="Of everything random: the split and the training.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of the quantum network.")] = 3000,
    as_json: AsJson = False,
) -> None:
    """Train a threat model on labelled captures, judge it on flows held out, and register it.

    It is used once it is promoted: qwarden models promote NAME.
    """
    from qwarden.cli.models import entry_text
    from qwarden.detect.model import ModelSettings
    from qwarden.detect.training import train_on_captures

    state: Context = context.obj
    with state.store() as store:
        entry = train_on_captures(
            paths, state.home, store, name=name, labels=labels,
            settings=ModelSettings(steps=steps, seed=seed), detect=state.settings.detect,
            progress=state.progress,
        )  # fmt: skip
    if as_json:
        print_json(entry.document())
        return
    typer.echo(entry_text(entry))
    say(f"\nuse it: qwarden models promote {entry.reference}")
