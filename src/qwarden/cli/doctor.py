"""`qwarden doctor`: is this installation fit to run, and if not, why."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from qwarden.cli.context import AsJson, Context, print_json
from qwarden.core.errors import QwardenError


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command()(doctor)


def doctor(
    context: typer.Context,
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile every hot loop now, so that no alert waits for it.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check Python, settings, store, audit chain, model, capture sandbox, helpers; exit 1 if one fails."""
    state: Context = context.obj
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: sys.version.split()[0],
        "home": lambda: str(state.home),
        "settings": lambda: _settings(state),
        "store": lambda: _store(state),
        "model": lambda: _model(state),
        "sandbox": _sandbox,
        "nfdump": _nfdump,
        "redis": _redis,
    }
    if warm:
        checks["compiled"] = _warm
    results = []
    for name, check in checks.items():
        try:
            results.append({"check": name, "ok": True, "detail": check()})
        except QwardenError as error:
            results.append({"check": name, "ok": False, "detail": str(error)})
        if not as_json:
            last = results[-1]
            typer.echo(f"{'ok  ' if last['ok'] else 'FAIL'} {last['check']:<9} {last['detail']}")
    if as_json:
        print_json({"checks": results})
    return 0 if all(result["ok"] for result in results) else 1


def _settings(state: Context) -> str:
    settings = state.settings
    fpr = settings.detect.fpr
    budget = "of the model" if fpr is None else f"{fpr:g}"
    return f"false-positive budget {budget}, {len(settings.detect.ignore)} networks ignored"


def _store(state: Context) -> str:
    from qwarden.core.audit import Audit

    with state.store() as store:
        head = Audit(store).verify()
        return f"{store.count():,} events, audit chain of {head.count:,} verifies"


def _model(state: Context) -> str:
    from qwarden.detect import find_model

    model = find_model(state.home)
    return f"{model.name} {model.version}, signature verifies"


def _sandbox() -> str:
    """Say what cages the process that reads captures; a measure this system refuses is no failure."""
    from qwarden.formats import sandbox_report

    measures = sandbox_report()
    lacking = [f"{held.measure} ({held.detail})" for held in measures if not held.holds]
    holding = ", ".join(held.measure for held in measures if held.holds)
    if not holding:
        raise QwardenError(f"nothing holds: {', '.join(lacking)}")
    return f"{holding} hold" + (f"; not here: {', '.join(lacking)}" if lacking else "")


def _nfdump() -> str:
    """Say whether nfdump's own files can be read; without it the rest works, so this never fails."""
    found = shutil.which("nfdump")
    return f"{found}: nfdump's files are read" if found else "not here: of nfdump, CSV alone is read"


def _redis() -> str:
    """Say whether there is a client for ``--redis``; without it the rest works, so this never fails."""
    found = importlib.util.find_spec("redis") is not None
    return "here: --redis works" if found else "not here: --redis takes the extra redis"


def _warm() -> str:
    """Run one small scenario through the whole path: whatever a capture needs is then compiled."""
    import time

    import numpy as np

    from qwarden.core.config import DetectSettings
    from qwarden.detect import Detector, load_default_model
    from qwarden.detect.scenario import write_scenario
    from qwarden.formats import open_capture
    from qwarden.formats.cuts import open_cut

    class Nowhere:
        def publish(self, event: object) -> None:
            """Take no notice."""

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "warm.pcap"
        write_scenario(capture, 1, duration_s=600)
        Detector(load_default_model(), DetectSettings(), Nowhere()).run([capture])
        with open_capture(capture) as reader:
            flows = np.concatenate([batch.flows.copy() for batch in reader])
        with open_cut(capture, flows[:1]) as packets:
            sum(1 for _ in packets)
    _warm_keys()
    return f"every hot loop is compiled ({time.perf_counter() - began:.1f} s)"


def _warm_keys() -> None:
    """Send a block in every way there is, and exchange a small key."""
    from qwarden.keys.link import Link, Settings
    from qwarden.keys.party.block import Terms
    from qwarden.keys.physics import transmit
    from qwarden.keys.simulate import simulate

    for settings in (Settings(), Settings(protocol="e91")):
        transmit(Link(), settings, pulses=1000, seed=0, engine="counts")
        transmit(Link(), settings, pulses=1000, seed=0, engine="pulses")
    terms = Terms(settings=Settings(protocol="e91", block_bits=8_000, key_basis=0.7, eps_sec=1e-6))
    simulate(Link(distance_km=5), terms, seed=0, at_most=1)
