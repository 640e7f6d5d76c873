"""Kernel matrix of fresh data: our engine against sQUlearn on qulacs, in one process on one thread.

The peer is sQUlearn's `FidelityKernel` on its `qulacs` executor, which simulates each row's state once. Both
sides take the same data through the same feature map (ZZ, 2 repetitions, linear).

Run it with the Python of an environment that has squlearn, qulacs, numpy and numba; prints one JSON document.
``python kernel_vs_squlearn.py [--rows 500] [--qubits 8] [--repeats 5] [--seed 0]``
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import argparse
import json
import warnings
from typing import Any

import _peers
from qiskit.circuit.library import zz_feature_map as qiskit_map
from squlearn import Executor
from squlearn.encoding_circuit import QiskitEncodingCircuit
from squlearn.kernel import FidelityKernel

from qwarden.quantum import LocalBackend, fidelity_kernel, zz_feature_map

warnings.filterwarnings("ignore", module="squlearn")


def measure(rows: int = 500, qubits: int = 8, repeats: int = 5, seed: int = 0) -> dict[str, Any]:
    """Return the figures of both sides."""
    feature_map, backend = zz_feature_map(qubits, 2, "linear"), LocalBackend()
    encoding = QiskitEncodingCircuit(qiskit_map(qubits, 2, "linear"))
    kernel = FidelityKernel(encoding, Executor("qulacs"), evaluate_duplicates="off_diagonal")

    def ours(X: Any) -> Any:
        return fidelity_kernel(backend.states(feature_map, feature_map.angles(X)))

    peers = {"squlearn FidelityKernel on qulacs": kernel.evaluate}
    data = _peers.uniform_rows(rows, qubits, seed)
    worst = _peers.largest_kernel_difference(ours, peers, data(-1), 1e-9)
    times = _peers.interleaved(ours, peers, data, repeats, runs=1)
    facts = _peers.kernel_facts(feature_map, rows)
    return _peers.document(times, worst, ("squlearn", "qulacs"), **facts, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="kernel matrix against sQUlearn on qulacs")
    for name, default in (("rows", 500), ("qubits", 8), ("repeats", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
