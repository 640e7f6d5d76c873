"""How fast packets become flow columns: `detect.flow_rate`.

A capture is written, then read through the front door: reading process, framing, header walker,
meter, pipe, checks, arrays. Parent and reading process share one core, whose wall time is measured.
Run it as ``python bench/formats/flow_rate.py``; it prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from traffic import write_traffic

from qwarden.formats import FLOW, open_capture, stop_host


def read_once(path: Path) -> tuple[float, int, int]:
    """Return seconds, packets and flows of one reading."""
    begin = time.perf_counter()
    with open_capture(path) as reader:
        flows = sum(batch.flows.size for batch in reader)
    seconds = time.perf_counter() - begin
    if not reader.report.complete or reader.report.packets.malformed:
        raise RuntimeError(f"the capture was not read well: {reader.report}")
    return seconds, reader.report.packets.read, flows


def measure_flow_rate(packets: int = 2_000_000, seed: int = 1, runs: int = 3) -> dict[str, Any]:
    """Return packets a second on one core, the median of `runs`, and what was measured."""
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "traffic.pcap")
        written = write_traffic(path, packets, seed)
        try:
            os.sched_setaffinity(0, {min(cores)})
            stop_host()  # the next host inherits the one core
            read_once(path)
            timed = [read_once(path) for _ in range(runs)]
        finally:
            stop_host()
            os.sched_setaffinity(0, cores)
        seconds = statistics.median(run[0] for run in timed)
        return {
            "measure": "detect.flow_rate",
            "packets_per_s": round(written / seconds),
            "seconds": seconds,
            "runs": runs,
            "packets_per_s_of_runs": [round(written / run[0]) for run in timed],
            "packets": written,
            "flows": timed[0][2],
            "bytes": path.stat().st_size,
            "columns": len(FLOW.names or ()),
            "cores": 1,
            "seed": seed,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(measure_flow_rate(arguments.packets, arguments.seed, arguments.runs)))
