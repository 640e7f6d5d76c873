"""`qwarden baseline learn`: what is normal on one's own network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say

group = typer.Typer(help="What is normal on this network.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.add_typer(group, name="baseline")


@group.callback()
def _group() -> None:
    """Keep `learn` a command of its own: a group of one would be that one."""


@group.command()
def learn(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Captures and logs of this network, or folders.")],
    name: Annotated[str, typer.Option(help="What the model is called.")] = "baseline",
    accept: Annotated[
        bool, typer.Option("--accept-alarms", help="Take flows for normal although they alarm now.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Learn what is normal here, calibrate the false-positive budget on it, and detect with that from now on.

    Flows that alarm are left out, unless they are accepted; flows held out say what it is worth.
    """
    from qwarden.detect.baseline import learn_baseline

    state: Context = context.obj
    with state.store() as store:
        learnt = learn_baseline(
            paths, state.home, store, state.settings.detect, name=name, accept=accept, seed=seed,
            progress=state.progress,
        )  # fmt: skip
    if as_json:
        print_json(learnt.document())
        return
    figures = learnt.entry.figures
    typer.echo(
        f"{learnt.entry.reference}: learnt {figures['learnt']:,} flows, "
        f"calibrated on {figures['calibrated']:,}, budget {figures['budget']:.2g}\n"
        f"of {figures['held_out']:,} flows held out, alarming in 1,000: {figures['alarming_per_1000']:g}, "
        f"before {figures['before']['alarming_per_1000']:g} (twin {figures['twin']['alarming_per_1000']:g})"
    )
    if learnt.left_out:
        out = f"{learnt.left_out:,} flows alarm and were left out"
        say(f"qwarden: {out}; --accept-alarms takes them for normal")
    if learnt.promoted:
        typer.echo("detection uses it from now on; back: qwarden models promote shipped")
    else:
        say("qwarden: it is no better on flows held out, and was not promoted; see `qwarden models list`")
