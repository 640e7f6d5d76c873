"""Flows scored a second on one core: canonical flows in, threat scores out. Prints one JSON document.

Each run takes the flows through new windows, in pieces of `PIECE`, as the detector does: features and host
windows, naming of behaviours, and one scoring call for the quantum members and their twin. CPU seconds of
this process, which has one thread: what other processes do meanwhile does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qwarden.detect.behaviours import NO_BEHAVIOUR, name_behaviours
from qwarden.detect.build import labelled_rows
from qwarden.detect.features import FeatureExtractor
from qwarden.detect.scenario import write_scenario
from qwarden.detect.shipped import load_default_model
from qwarden.formats.flows import Flows

SEED, PIECE, GAP_S = 90_010, 1 << 13, 60


def some_flows(ranges: int, seed: int) -> Flows:
    """Return the flows of traffic ranges of several seeds, one after the other, in order of their end."""
    parts, clock = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for at in range(ranges):
            capture = Path(folder) / f"{at}.pcap"
            write_scenario(capture, seed + at)
            flows = labelled_rows(capture).flows
            shift = clock + GAP_S * 1_000_000_000 - int(flows["start_ns"].min()) if at else 0
            flows["start_ns"] += shift
            flows["end_ns"] += shift
            clock = int(flows["end_ns"].max())
            parts.append(flows)
            capture.unlink()
    return np.concatenate(parts)


def seconds(flows: Flows, step: Callable[[Flows, FeatureExtractor], Any], runs: int) -> float:
    """Return the median CPU seconds of passing all flows through new windows and `step`."""
    spent = []
    for _ in range(runs + 1):  # the first one warms up
        extractor = FeatureExtractor()
        began = time.process_time()
        for at in range(0, len(flows), PIECE):
            step(flows[at : at + PIECE], extractor)
        spent.append(time.process_time() - began)
    return statistics.median(spent[1:])


def main(ranges: int, runs: int) -> dict[str, Any]:
    """Time the whole way, and how much of it are its parts."""
    model = load_default_model()
    flows = some_flows(ranges, SEED)
    scorer = model._scorer

    def features(piece: Flows, extractor: FeatureExtractor) -> Any:
        rows = extractor.rows(piece)
        return rows, name_behaviours(rows)

    def quantum(piece: Flows, extractor: FeatureExtractor) -> None:
        scorer(*features(piece, extractor), twins=False)

    def both(piece: Flows, extractor: FeatureExtractor) -> None:
        model.score(*features(piece, extractor))

    spent = {step.__name__: seconds(flows, step, runs) for step in (features, quantum, both)}
    rows, named = features(flows, FeatureExtractor())
    spent["naming"] = seconds(flows, lambda piece, _: name_behaviours(rows[: len(piece)]), runs)
    rates = {name: round(len(flows) / value) for name, value in spent.items()}
    return {
        "flows_per_s": rates["both"],
        "quantum_flows_per_s": rates["quantum"],
        "features_flows_per_s": rates["features"],
        "us_a_flow": {name: round(1e6 * value / len(flows), 2) for name, value in spent.items()},
        "named_share": round(float((named != NO_BEHAVIOUR).mean()), 4),
        "flows": len(flows),
        "runs": runs,
        "seed": SEED,
        "ranges": ranges,
        "model": f"{model.name} {model.version}",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranges", type=int, default=12)
    parser.add_argument("--runs", type=int, default=5)
    print(json.dumps(main(**vars(parser.parse_args()))))
