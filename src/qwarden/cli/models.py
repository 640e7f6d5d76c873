"""`qwarden models`: how the shipped model is made, and what it is."""

from __future__ import annotations

from typing import Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say

group = typer.Typer(help="The detection model.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="models")


@group.command()
def build(
    context: typer.Context,
    version: Annotated[str, typer.Option(help="What findings will call it.")] = "1",
    seed: Annotated[int, typer.Option(help="Of everything random in the training.")] = 0,
) -> None:
    """Train the shipped model anew on the traffic range and sign it."""
    from qwarden.detect.build import build as train
    from qwarden.detect.build import judge
    from qwarden.detect.model import ModelSettings
    from qwarden.detect.shipped import FOLDER, ship

    state: Context = context.obj
    model, fingerprint = train(version, ModelSettings(seed=seed), state.progress)
    model.figures = judge(model, state.progress)
    ship(model, fingerprint)
    say(f"written to {FOLDER}")
    print_json(model.figures)


@group.command()
def show(as_json: AsJson = False) -> None:
    """Say what the shipped model is and what it reached."""
    from qwarden.detect import load_default_model

    model = load_default_model()
    if as_json:
        print_json({"name": model.name, "version": model.version, "figures": model.figures})
        return
    typer.echo(f"{model.name} {model.version}")
    for name, value in model.figures.items():
        typer.echo(f"  {name:<28} {value}")
