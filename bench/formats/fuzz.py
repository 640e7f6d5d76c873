"""The mutation fuzzer at length: ``python bench/formats/fuzz.py --inputs 1000000``.

Runs the damaged captures of the tests from as many seeds as asked for and prints one JSON document.
With ``NUMBA_BOUNDSCHECK=1`` (and ``NUMBA_CACHE_DIR`` elsewhere, so that the checked code does not
stay in the cache) every array access of the compiled code is checked.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.property.formats.mutate import TABLES, log_mutants, mutants, options
from tests.property.formats.test_fuzz_readers import check
from tests.unit.formats import craft

from qwarden.formats import MeterSettings, warm_up

BATCH = 1000
READERS = ("captures", "zeek", "eve", *TABLES)


def fuzz(reader: str, inputs: int, first_seed: int) -> dict[str, Any]:
    """Read `inputs` damaged files; return what was seen. Raises on the first that breaks a rule."""
    warm_up()
    settings = MeterSettings(max_flows=8)
    totals = Counter(
        dict.fromkeys(("packets", "lines", "malformed", "truncated", "flows", "alerts", "problems"), 0)
    )
    slowest = 0.0
    begin = time.process_time()
    for seed in range(first_seed, first_seed + inputs // BATCH):
        damaged = mutants(seed, BATCH) if reader == "captures" else log_mutants(reader, seed, BATCH)
        for number, data in enumerate(damaged):
            started = time.process_time()
            try:
                flows, report = craft.read(data, settings, **options(reader))
                check(data, flows, report)
            except Exception as error:
                raise RuntimeError(f"input {number} of seed {seed} broke a rule") from error
            slowest = max(slowest, time.process_time() - started)
            totals["packets"] += report.packets.read
            totals["lines"] += report.lines.read
            totals["malformed"] += report.packets.malformed + report.lines.malformed
            totals["truncated"] += report.packets.truncated
            totals["alerts"] += report.lines.alerts
            totals["flows"] += len(flows)
            totals["problems"] += report.problems_total
    return {
        "reader": reader,
        "seeds": [first_seed, first_seed + inputs // BATCH - 1],
        "inputs": inputs // BATCH * BATCH,
        **totals,
        "slowest_s": round(slowest, 4),
        "cpu_s": round(time.process_time() - begin, 1),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "bounds_checked": os.environ.get("NUMBA_BOUNDSCHECK") == "1",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=READERS, default="captures")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(json.dumps(fuzz(arguments.reader, arguments.inputs, arguments.seed)))
