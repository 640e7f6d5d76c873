"""`qwarden demo`: a scenario, replayed through the same path as any capture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwarden.cli.context import Context
from qwarden.cli.render import account_text, finding_text, say, scenario_text

if TYPE_CHECKING:
    from qwarden.console.feeds import Feed
    from qwarden.console.feeds.reading import SourceReader


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(demo)


def demo(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Replay one scenario as fast as it goes, serve no page, end.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the first scenario.")] = 7,
    speed: Annotated[
        float, typer.Option(min=1, max=10_000, help="How many times faster than it happened.")
    ] = 40.0,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the page; 0 for any that is free.", show_default=False),
    ] = None,
) -> None:
    """Write a scenario of labelled traffic and show on a page how what is in it is found.

    Findings are printed as well. After one scenario comes the next seed's, until interrupted.
    """
    state: Context = context.obj
    folder = state.home / "demo"
    folder.mkdir(mode=0o700, exist_ok=True)
    if once:
        _once(state, folder, seed)
    else:
        _served(state, folder, seed, speed, port)


def _once(state: Context, folder: Path, seed: int) -> None:
    from qwarden.detect.scenario import write_scenario

    capture = folder / f"scenario-{seed}.pcap"
    say(f"writing a scenario of labelled traffic, seed {seed} ...")
    say(scenario_text(write_scenario(capture, seed, progress=state.progress)))
    _replay(state, capture)


def _replay(state: Context, capture: Path) -> None:
    from qwarden.core.bus import open_bus
    from qwarden.core.lists import Lists
    from qwarden.detect import Detector, find_model

    say("replaying it ...\n")
    with state.store() as store:
        settings = state.settings.detect
        lists = Lists(store, settings.ignore)
        result = Detector(find_model(state.home), settings, open_bus(store), lists=lists).run(
            [capture],
            on_alert=lambda finding: typer.echo(finding_text(finding) + "\n"),
            progress=state.progress,
        )
    typer.echo(account_text(result.document()))
    say("\nmore on a finding: qwarden explain ID\nall flows:         qwarden flows " + str(capture))


def _served(state: Context, folder: Path, seed: int, speed: float, port: int | None) -> None:
    from qwarden.cli.up import say_how_to_look
    from qwarden.console.feeds.replay import ReplayFeed
    from qwarden.console.server import serve

    def feed(reader: SourceReader) -> Feed:
        return ReplayFeed(
            folder, seed, speed, reader, lambda summary: say(f"replaying {scenario_text(summary)}\n")
        )

    with state.store() as store:
        serve(
            state.home, state.settings, store, feed,
            port=port,
            on_open=say_how_to_look,
            on_alert=lambda finding: typer.echo(finding_text(finding) + "\n"),
        )  # fmt: skip
