"""How fast log lines become flow columns, by processor time: ``python bench/formats/log_rate.py``.

Logs of the tests' connections and events, with addresses, ports, times and sizes drawn from a seed, are
read by the readers of the reading process, in this process. It prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.unit.formats import craft, logs

from qwarden.formats import MeterSettings
from qwarden.formats.readers.opening import open_stream


def write_log(kind: str, lines: int, seed: int) -> bytes:
    """Return a log of `kind`: ``zeek-text``, ``zeek-json`` or ``eve``."""
    rng = random.Random(seed)
    ends = [f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}" for _ in range(2000)]
    if kind == "eve":
        return logs.objects(
            logs.changed(
                logs.FLOW, src_ip=rng.choice(ends), dest_ip=rng.choice(ends), src_port=rng.randrange(65536),
                flow__start=f"2021-06-06T17:{at // 60 % 60:02}:{at % 60:02}.{rng.randrange(10**6):06}+0200",
                flow__end=f"2021-06-06T18:00:00.{rng.randrange(10**6):06}+0200",
                flow__pkts_toserver=rng.randrange(100), flow__bytes_toserver=rng.randrange(100_000),
            )
            for at in range(lines)
        )  # fmt: skip
    records = (
        logs.conn(
            ts=1655071198 + at / 1000, orig_h=rng.choice(ends), resp_h=rng.choice(ends),
            orig_p=rng.randrange(65536), duration=rng.randrange(10**8) / 10**6, orig_pkts=rng.randrange(100),
            orig_ip_bytes=rng.randrange(100_000), resp_ip_bytes=rng.randrange(100_000),
        )
        for at in range(lines)
    )  # fmt: skip
    return logs.tsv(records) if kind == "zeek-text" else logs.objects(records)


def lines_per_s(data: bytes, runs: int) -> dict[str, int]:
    """Return the lines read a second of processor time: the median of `runs`, and the best of them."""
    rates = []
    for _ in range(runs):
        begin = time.process_time()
        stream = open_stream(craft.Bytes(data), MeterSettings(max_flows=1))
        for _batch in stream:
            pass
        rates.append(stream.report.lines.read / (time.process_time() - begin))
        if stream.report.problems:
            raise RuntimeError(f"the log was not read well: {stream.report}")
    return {"median": round(statistics.median(rates)), "best": round(max(rates))}


def measure(lines: int, seed: int, runs: int) -> dict[str, Any]:
    """Return lines a second of every kind of log."""
    kinds = ("zeek-text", "zeek-json", "eve")
    rates = {kind: lines_per_s(write_log(kind, lines, seed), runs) for kind in kinds}
    return {"lines_per_cpu_s": rates, "lines": lines, "runs": runs, "seed": seed}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.lines, arguments.seed, arguments.runs)))
