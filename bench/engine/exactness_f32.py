"""How far float32 kernels are from float64: the largest difference over feature maps on 2 to 10 qubits.

A fifth of the rows are near copies of others, so that fidelities near 1, where a float32 has the fewest
digits after the point, stand off the diagonal too. Compared are a kernel of states against themselves and
one between two sets.

Prints one JSON document. ``python exactness_f32.py [--rows 500] [--seed 0]``
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import _peers
import numpy as np

from qwarden.quantum import FeatureMap, LocalBackend, fidelity_kernel, reupload_map, zz_feature_map

QUBITS = range(2, 11)


def measure(rows: int = 500, seed: int = 0) -> dict[str, Any]:
    """Return the largest difference, over all and by number of qubits."""
    worst = {
        qubits: max(
            difference(feature_map, rows, seed)
            for feature_map in (zz_feature_map(qubits, 2, "linear"), reupload_map(2 * qubits, qubits, 3))
        )
        for qubits in QUBITS
    }
    return {
        "max_abs_diff": max(worst.values()),
        "by_qubits": {str(qubits): value for qubits, value in worst.items()},
        "n": rows,
        "kernels": 4 * len(worst),
        "seed": seed,
        "versions": _peers.versions(),
    }


def difference(feature_map: FeatureMap, rows: int, seed: int) -> float:
    """Return the largest difference over the two kernels of one feature map."""
    generator = np.random.default_rng([seed, feature_map.qubits])
    X = generator.uniform(0, np.pi, (rows, feature_map.features))
    copies = rows // 5
    X[-copies:] = X[:copies] + 1e-4 * generator.normal(size=(copies, feature_map.features))
    angles, backend = feature_map.angles(X), LocalBackend()
    exact = backend.states(feature_map, angles)
    rounded = backend.states(feature_map, angles, precision="single")
    half = rows // 2
    own = np.abs(fidelity_kernel(rounded) - fidelity_kernel(exact)).max()
    cross = np.abs(
        fidelity_kernel(rounded[:half], rounded[half:]) - fidelity_kernel(exact[:half], exact[half:])
    ).max()
    return float(max(own, cross))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="float32 kernels against float64")
    for name, default in (("rows", 500), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
