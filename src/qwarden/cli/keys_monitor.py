"""`qwarden keys monitor`: train the shipped monitor, and watch links that tell rates only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.cli.render import say

if TYPE_CHECKING:
    from qwarden.core.files import Json
    from qwarden.keys.monitor.telemetry import Verdict

group = typer.Typer(help="The monitor of quantum links.", no_args_is_help=True)


def register(keys: typer.Typer) -> None:
    """Add this module's commands to those of `keys`."""
    keys.add_typer(group, name="monitor")


@group.command()
def train(
    context: typer.Context,
    version: Annotated[str, typer.Option(help="What alarms will call it.")] = "1",
) -> None:
    """Train the shipped monitor anew on simulated links and sign it."""
    from qwarden.keys.monitor.building import build
    from qwarden.keys.monitor.model import FOLDER, ship

    state: Context = context.obj
    model, rows = build(version, state.progress)
    ship(model, rows)
    say(f"written to {FOLDER}")
    print_json(model.figures)


@group.command()
def watch(
    context: typer.Context,  # noqa: ARG001  every command takes it
    source: Annotated[str, typer.Argument(help="A CSV file, or an http(s) address that answers in JSON.")],
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between questions to an address.")] = 10.0,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Ask an address so many times, then stop.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge telemetry row by row (columns: qber, rate, ...; see docs/keys.md). Exit status 1 on an alarm.

    The first 20 rows are taken for usual. With --json, one document at the end; else a line an alarm.
    """
    from qwarden.keys.monitor.telemetry import TelemetryMonitor, poll, read_csv

    web = source.startswith(("http://", "https://"))
    stream = poll(source, every_s=every, rows=rows) if web else read_csv(Path(source))
    counts = dict.fromkeys(("usual", "alarm", "unknown", "learning"), 0)
    alarms = []
    for number, verdict in enumerate(TelemetryMonitor().watch(stream), 1):
        counts[verdict.status] += 1
        if verdict.alarm is not None:
            alarms.append(_document(number, verdict))
            if not as_json:
                typer.echo(f"row {number} {verdict.time or ''}: {verdict.alarm}")
    if as_json:
        print_json({"rows": sum(counts.values()), **counts, "alarms": alarms})
    else:
        typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
    if alarms:
        raise typer.Exit(1)


def _document(number: int, verdict: Verdict) -> Json:
    assert verdict.alarm is not None
    return {
        "row": number,
        "time": verdict.time,
        "seen": list(verdict.alarm.seen),
        "likely": verdict.alarm.likely,
        "judged_by": list(verdict.known),
        "classical_twin": verdict.alarm.twin,
    }
