"""`qwarden demo`: a scenario, replayed through the same path as any capture."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from qwarden.cli.context import Context
from qwarden.cli.render import account_text, finding_text, say, scenario_text


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(demo)


def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End with the capture.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the first scenario.")] = 7,
) -> None:
    """Write a scenario of labelled traffic, detect what is in it, print findings as they come.

    Without --once the next seed follows, until interrupted.
    """
    from qwarden.detect.scenario import write_scenario

    state: Context = context.obj
    folder = state.home / "demo"
    folder.mkdir(mode=0o700, exist_ok=True)
    for at in count(seed):
        capture = folder / f"scenario-{at}.pcap"
        say(f"writing a scenario of labelled traffic, seed {at} ...")
        summary = write_scenario(capture, at, progress=state.progress)
        say(scenario_text(summary))
        _replay(state, capture)
        if once:
            return
        capture.unlink()
        summary.labels.unlink()


def _replay(state: Context, capture: Path) -> None:
    from qwarden.core.bus import open_bus
    from qwarden.detect import Detector, load_default_model

    say("replaying it ...\n")
    with state.store() as store:
        result = Detector(load_default_model(), state.settings.detect, open_bus(store)).run(
            [capture],
            on_alert=lambda finding: typer.echo(finding_text(finding) + "\n"),
            progress=state.progress,
        )
    typer.echo(account_text(result.document()))
    say("\nmore on a finding: qwarden explain ID\nall flows:         qwarden flows " + str(capture))
