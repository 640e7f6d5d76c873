"""Packets a second from a capture to flow statistics, beside nfstream: `detect.rate_vs_nfstream`.

Both read the same file to the end with all their processes on one and the same core, in turns, and nfstream
with what makes the features equal: statistical analysis, one meter, no deep packet inspection (which we do
not do), the same time-outs. Wall time of one reading, start-up of the interpreters not counted.

Prints one JSON document. ``python rate_vs_nfstream.py --peer PYTHON``, nfstream's interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))

from traffic import write_traffic

from qwarden.formats import FLOW, MeterSettings, open_capture, stop_host

_PEER = """
import json, sys, time
import nfstream
path, idle, active = sys.argv[1], int(float(sys.argv[2])), int(float(sys.argv[3]))
begin = time.perf_counter()
flows = packets = columns = 0
for flow in nfstream.NFStreamer(source=path, statistical_analysis=True, n_dissections=0, n_meters=1,
                                idle_timeout=idle, active_timeout=active):
    flows += 1
    packets += flow.bidirectional_packets
    columns = len(flow.keys())
spent = time.perf_counter() - begin
print(json.dumps({"seconds": spent, "flows": flows, "packets": packets, "columns": columns,
                  "version": nfstream.__version__}))
"""


def ours(path: Path, settings: MeterSettings) -> dict[str, Any]:
    """Read the capture once."""
    begin = time.perf_counter()
    with open_capture(path, settings) as reader:
        flows = sum(batch.flows.size for batch in reader)
    return {
        "seconds": time.perf_counter() - begin, "flows": flows, "packets": reader.report.packets.read,
        "columns": len(FLOW.names or ()),
    }  # fmt: skip


def theirs(python: Path, path: Path, settings: MeterSettings) -> dict[str, Any]:
    """Let nfstream read the capture once."""
    command = [
        str(python),
        "-c",
        _PEER,
        str(path),
        str(settings.idle_timeout_s),
        str(settings.active_timeout_s),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"nfstream failed: {done.stderr[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(peer: Path, packets: int, repeats: int, seed: int) -> dict[str, Any]:
    """Read in turns; the ratio is the median of those of the repeats."""
    settings, cores = MeterSettings(), os.sched_getaffinity(0)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "traffic.pcap")
        written = write_traffic(path, packets, seed)
        try:
            os.sched_setaffinity(0, {min(cores)})
            stop_host()  # the next host inherits the one core
            for repeat in range(repeats + 1):
                pair = ours(path, settings), theirs(peer, path, settings)
                if repeat:  # the first one warms up
                    pairs.append(pair)
        finally:
            stop_host()
            os.sched_setaffinity(0, cores)
    ratios = [peer_run["seconds"] / own["seconds"] for own, peer_run in pairs]
    own, other = pairs[-1]
    rates = [round(written / statistics.median(pair[side]["seconds"] for pair in pairs)) for side in (0, 1)]
    return {
        "ratio": round(statistics.median(ratios), 2),
        "quartiles": [round(q, 2) for q in statistics.quantiles(ratios, n=4)[::2]],
        "packets_per_s": rates[0],
        "nfstream_packets_per_s": rates[1],
        "packets": written,
        "packets_metered": [own["packets"], other["packets"]],
        "flows": [own["flows"], other["flows"]],
        "columns": [own["columns"], other["columns"]],
        "repeats": repeats,
        "cores": 1,
        "seed": seed,
        "nfstream": other["version"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--packets", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(main(**vars(parser.parse_args()))))
