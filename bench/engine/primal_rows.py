"""Rows a second that the primal trains on: from feature rows to a trained observable, one thread.

Rows of independent normal features enter the re-uploading map (3 layers, two features a qubit); the label
is the sign of a random observable's value at the row's state, 5 % of labels flipped. What is timed is all
that training does with feature rows: their angles, their states, and the squared-hinge machine on
``<phi|M|phi> + b`` (and, beside it, the ridge one) to a gradient of 1e-4 of the first. CPU time of the
process; the best of `repeats`, each on rows of its own; two small runs before them compile.

Prints one JSON document. ``python primal_rows.py [--rows 1000000] [--qubits 4] [--repeats 3] [--seed 0]``
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from typing import Any, Literal, get_args

import _peers  # noqa: F401  # one thread, before any numerical library is loaded
import numpy as np

from qwarden.quantum import LocalBackend, evaluate_form, reupload_map, train_form

RIDGE = 1e-4
FLIPPED = 0.05
FRESH = 20_000


Loss = Literal["squared_hinge", "ridge"]


def measure(rows: int = 1_000_000, qubits: int = 4, repeats: int = 3, seed: int = 0) -> dict[str, Any]:
    """Return the figures of both losses."""
    feature_map, backend = reupload_map(2 * qubits, qubits, 3), LocalBackend()
    dimension = 2**qubits
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(dimension, dimension)) + 1j * rng.normal(size=(dimension, dimension))
    teacher += teacher.conj().T

    def states(X: Any) -> Any:
        return backend.states(feature_map, feature_map.angles(X))

    def labelled(count: int, repeat: int) -> tuple[Any, Any]:
        rng = np.random.default_rng([seed, repeat + 1000])
        X = rng.normal(size=(count, feature_map.features)) * 0.5
        values = evaluate_form(teacher, states(X))
        return X, np.where(values > np.median(values), 1.0, -1.0) * np.where(
            rng.random(count) < FLIPPED, -1, 1
        )

    found: dict[str, Any] = {}
    for loss in get_args(Loss):
        times, share = [], []
        for repeat in range(-2, repeats):
            X, signs = labelled(rows if repeat >= 0 else 5000, repeat)
            begin = time.process_time()
            embedded = states(X)
            encoded = time.process_time()
            trained = train_form(embedded, signs, ridge=RIDGE, loss=loss)
            if repeat >= 0:
                times.append(time.process_time() - begin)
                share.append((encoded - begin) / times[-1])
        fresh, truth = labelled(FRESH, repeats)
        hits = (evaluate_form(trained.form, states(fresh)) + trained.bias > 0) == (truth > 0)
        best = int(np.argmin(times))
        found[loss] = {
            "rows_per_s": round(rows / times[best]),
            "seconds": [round(value, 3) for value in times],
            "states_share": round(share[best], 3),
            "newton_steps": trained.steps,
            "accuracy": round(float(hits.mean()), 4),
        }
    return {
        "rows_per_s": found["squared_hinge"]["rows_per_s"],
        "losses": found,
        "n": rows,
        "qubits": qubits,
        "depth": feature_map.depth,
        "two_qubit_gates": feature_map.two_qubit_gates,
        "ridge": RIDGE,
        "flipped": FLIPPED,
        "repeats": repeats,
        "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "numba")},
        "python": sys.version.split()[0],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="rows a second trained in the primal")
    for name, default in (("rows", 1_000_000), ("qubits", 4), ("repeats", 3), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
