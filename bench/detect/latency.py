"""Latency of one flow: feature row in, threat score and twin score out. Prints one JSON document."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qwarden.detect.behaviours import name_behaviours
from qwarden.detect.build import labelled_rows
from qwarden.detect.scenario import write_scenario
from qwarden.detect.shipped import load_default_model

Floats = npt.NDArray[np.float64]

SEED, ROWS, WARM = 90_001, 3000, 300


def main() -> None:
    """Time every row by itself."""
    model = load_default_model()
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "latency.pcap"
        write_scenario(capture, SEED)
        rows = labelled_rows(capture).rows
    rows = rows[np.random.default_rng(SEED).permutation(len(rows))[: ROWS + WARM]]

    def timed(score: Callable[[Floats], object]) -> Floats:
        spent = np.empty(len(rows))
        for at in range(len(rows)):
            row = rows[at : at + 1]
            began = time.perf_counter()
            score(row)
            spent[at] = time.perf_counter() - began
        return 1e3 * spent[WARM:]

    def twin(row: Floats) -> object:
        """Score by the twin's members alone."""
        inputs = parts["preprocessor"].transform(row)
        scores = [parts["boosting"].decision_function(inputs), parts["neighbours"].strangeness(inputs)]
        return parts["twin_fusion"].log_p(np.column_stack(scores))

    parts: Any = model._bundle
    both, alone = timed(lambda row: model.score(row, name_behaviours(row))), timed(twin)
    named = timed(name_behaviours)
    json.dump(
        {
            "median_ms": float(np.median(both)),
            "p99_ms": float(np.quantile(both, 0.99)),
            "twin_median_ms": float(np.median(alone)),
            "naming_median_ms": float(np.median(named)),
            "rows": len(both),
            "seed": SEED,
            "resources": asdict(model.resources()),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
