"""Kernel matrix of fresh data: our engine against qiskit-machine-learning, in one process on one thread.

The peer is `FidelityStatevectorKernel` without shots, the fastest exact kernel it has: one state vector a
row, kept, and one inner product a pair. Both sides take the same matrix of data through the same feature map
(ZZ, 2 repetitions, linear), and their matrices agree to 1e-9 before anything is timed.

Run it with the Python of an environment that has qiskit-machine-learning, numpy and numba; prints one JSON
document. ``python kernel_vs_qiskit_ml.py [--rows 500] [--qubits 8] [--repeats 5] [--seed 0]``
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import argparse
import json
from typing import Any

import _peers
from qiskit.circuit.library import zz_feature_map as qiskit_map
from qiskit_machine_learning.kernels import FidelityStatevectorKernel

from qwarden.quantum import LocalBackend, fidelity_kernel, zz_feature_map


def measure(rows: int = 500, qubits: int = 8, repeats: int = 5, seed: int = 0) -> dict[str, Any]:
    """Return the figures of both sides."""
    feature_map, backend = zz_feature_map(qubits, 2, "linear"), LocalBackend()
    kernel = FidelityStatevectorKernel(feature_map=qiskit_map(qubits, 2, "linear"))

    def ours(X: Any) -> Any:
        return fidelity_kernel(backend.states(feature_map, feature_map.angles(X)))

    peers = {"qiskit-machine-learning FidelityStatevectorKernel": kernel.evaluate}
    data = _peers.uniform_rows(rows, qubits, seed)
    worst = _peers.largest_kernel_difference(ours, peers, data(-1), 1e-9)
    times = _peers.interleaved(ours, peers, data, repeats, runs=1)
    facts = _peers.kernel_facts(feature_map, rows)
    return _peers.document(times, worst, ("qiskit-machine-learning", "qiskit"), **facts, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="kernel matrix against qiskit-machine-learning")
    for name, default in (("rows", 500), ("qubits", 8), ("repeats", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
