"""Latency of one score: a feature row in, the log-odds of an attack out, one row a call.

A `HybridClassifier` on 6 qubits (3 layers, its defaults but for fewer training steps) is trained on generated
rows of 40 columns; then every fresh row is scored by itself, by the estimator's own `decision_function`, the
check of its input included. `call_us` is the compiled call inside it (`qwarden.quantum.RowScorer`) alone.
Preparing raw features is another part (`detect.latency_ms` has the whole way). Wall time.

Prints one JSON document. ``python score_us.py [--rows 5000] [--seed 0]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import _peers
import numpy as np

from qwarden.learn import HybridClassifier, QNNClassifier
from qwarden.quantum import cz_ring_reupload

QUBITS, LAYERS, COLUMNS, WARM = 6, 3, 40, 500


def measure(rows: int = 5000, seed: int = 0) -> dict[str, Any]:
    """Return the median and the 99th percentile."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(2000, COLUMNS))
    network = QNNClassifier(QUBITS, LAYERS, steps=100, seed=seed)
    model = HybridClassifier(network, seed=seed).fit(X, X[:, 0] * X[:, 1] > 0)
    scorer = model.embedding_.row_scorer(model.machine_.observable(), model.machine_.bias_)
    assert scorer is not None
    fresh = generator.normal(size=(rows + WARM, COLUMNS))
    alone = np.concatenate([model.decision_function(fresh[i : i + 1]) for i in range(100)])
    worst = float(np.abs(alone - model.decision_function(fresh[:100])).max())
    whole, call = timed(model.decision_function, fresh), timed(scorer, fresh)
    circuit = cz_ring_reupload(QUBITS, LAYERS)
    return {
        "median_us": round(statistics.median(whole), 3),
        "p99_us": round(float(np.quantile(whole, 0.99)), 3),
        "call_us": round(statistics.median(call), 3),
        "max_abs_diff": worst,
        "columns": COLUMNS,
        "n": rows,
        "seed": seed,
        "qubits": QUBITS,
        "depth": circuit.depth,
        "two_qubit_gates": circuit.two_qubit_gates,
        "versions": _peers.versions(),
    }


def timed(score: Callable[[Any], Any], rows: Any) -> list[float]:
    """Return microseconds of each call, without the first `WARM`."""
    spent = []
    for at in range(len(rows)):
        row = rows[at : at + 1]
        begin = time.perf_counter()
        score(row)
        spent.append(1e6 * (time.perf_counter() - begin))
    return spent[WARM:]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="latency of one score")
    for name, default in (("rows", 5000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
