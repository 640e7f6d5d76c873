"""Peak memory of detection on a capture: this process and the one that reads. Prints one JSON document.

Two captures of different length, each by a process of its own: what grows with a capture shows as their
difference. The peaks are the system's (VmHWM), added up although they need not coincide.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from traffic import write_traffic

from qwarden.core.config import DetectSettings
from qwarden.detect import Detector, load_default_model

SEED = 3


class Nowhere:
    """A publisher that keeps nothing."""

    def publish(self, event: object) -> None:
        """Take no notice."""


def peak_mib(pid: int | str) -> float:
    """Return the greatest resident size that a process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell the peak of resident memory")


def children() -> list[str]:
    """Return this process's children."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def detect(path: Path) -> dict[str, Any]:
    """Detect in one capture; the reading process is looked at while it lives."""
    peaks: dict[str, float] = {}

    def look(_: object) -> None:
        for pid in children():
            peaks[pid] = peak_mib(pid)

    began = time.perf_counter()
    result = Detector(load_default_model(), DetectSettings(), Nowhere()).run([path], on_batch=look)
    if not result.readable or result.problems:
        raise SystemExit(f"the capture was not read well: {result.problems}")
    return {
        "detector_mib": round(peak_mib("self"), 1),
        "reader_mib": round(max(peaks.values(), default=0.0), 1),
        "flows": result.flows.read,
        "findings": len(result.findings),
        "packets": result.sources[0].packets.read,
        "seconds": round(time.perf_counter() - began, 1),
    }


def main(packets: list[int]) -> dict[str, Any]:
    """Measure captures of so many packets."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for count in packets:
            path = Path(folder) / "traffic.pcap"
            write_traffic(path, count, SEED)
            command = [sys.executable, __file__, "--capture", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout))
            path.unlink()
    return {
        "runs": found,
        "peak_mib": max(run["detector_mib"] + run["reader_mib"] for run in found),
        "seed": SEED,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, nargs="+", default=[400_000, 4_000_000])
    parser.add_argument("--capture", type=Path)
    given = parser.parse_args()
    print(json.dumps(detect(given.capture) if given.capture else main(given.packets)))
