"""The fuzzer of flow exporters at length: ``python bench/formats/fuzz_netflow.py --datagrams 1000000``.

Decodes the damaged datagrams of the tests from as many seeds as asked for and prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.property.formats.netflow_mutants import mutants
from tests.property.formats.test_fuzz_netflow import check
from tests.unit.formats import craft

BATCH = 500


def fuzz(datagrams: int, first_seed: int) -> dict[str, Any]:
    """Decode at least so many datagrams; return what was seen. Raises on the first that breaks a rule."""
    totals: Counter[str] = Counter()
    slowest, seed, began = 0.0, first_seed, time.process_time()
    while totals["datagrams"] < datagrams:
        for number, data in enumerate(mutants(seed, BATCH)):
            started = time.process_time()
            try:
                flows, report = craft.read(data)
                check(data, flows, report)
            except Exception as error:
                raise RuntimeError(f"stream {number} of seed {seed} broke a rule") from error
            slowest = max(slowest, time.process_time() - started)
            totals.update(asdict(report.records))
            totals["flows_joined"] += len(flows)
            totals["streams"] += 1
        seed += 1
    return {
        "seeds": [first_seed, seed - 1],
        **totals,
        "slowest_s": round(slowest, 4),
        "cpu_s": round(time.process_time() - began, 1),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datagrams", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=2_000_000)
    arguments = parser.parse_args()
    print(json.dumps(fuzz(arguments.datagrams, arguments.seed)))
