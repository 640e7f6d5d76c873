"""Every room's measures, and the one of the surface: how soon a newcomer sees an alert."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from qwarden.core.bench import ROOT
from qwarden.core.errors import QwardenError
from qwarden.core.measure import Bench, Measured, measure


def load() -> None:
    """Register the measures of all rooms."""
    import qwarden.detect.measures
    import qwarden.keys.measures
    import qwarden.quantum.measures  # noqa: F401


@measure(
    "setup.first_alert_s",
    definition="Wall time from `make run`, after `make setup` and with an empty home, to the first "
    "finding on standard output.",
    units={"seconds": "s", "to_end": "s"},
)
def first_alert_s(bench: Bench) -> Measured:  # noqa: ARG001
    """Run the first command a newcomer runs; take the median of three."""
    runs = sorted(_first_alert() for _ in range(3))
    first, last = runs[1]
    return Measured(
        values={"seconds": first, "to_end": last}, data="traffic range, the demo's seed", n=len(runs)
    )


def _first_alert() -> tuple[float, float]:
    made = (ROOT / "Makefile").exists()
    command = ["make", "-s", "run"] if made else [sys.executable, "-m", "qwarden", "demo", "--once"]
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT if made else None, env={**os.environ, "QWARDEN_HOME": home},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        first = None
        for line in process.stdout:
            if first is None and "threat" in line:
                first = time.perf_counter() - began
        if process.wait() != 0 or first is None:
            raise QwardenError(f"{' '.join(command)}: exit {process.returncode}, no finding seen")
        return first, time.perf_counter() - began
