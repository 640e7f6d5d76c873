"""Kernel matrix of fresh data: our engine against PennyLane, in one process on one thread.

Both sides take a matrix of data to the whole fidelity kernel matrix of the ZZ feature map (2 repetitions,
linear). PennyLane at its best: the states of all rows at once by parameter broadcasting on
`default.qubit` (through NumPy, and jit-compiled through JAX), then one complex matrix product and the
squared modulus. It is not charged with its n * n circuits for pairwise kernels.

Run it with the Python of an environment that has pennylane, jax, numpy and numba; prints one JSON
document. ``python kernel_vs_pennylane.py [--rows 1000] [--qubits 8] [--repeats 15] [--seed 0]``
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import _peers
import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

from qwarden.quantum import LocalBackend, fidelity_kernel, zz_feature_map

jax.config.update("jax_enable_x64", True)


def measure(rows: int = 1000, qubits: int = 8, repeats: int = 15, seed: int = 0) -> dict[str, Any]:
    """Return the figures of both sides."""
    feature_map, backend = zz_feature_map(qubits, 2, "linear"), LocalBackend()

    def ours(X: Any) -> Any:
        return fidelity_kernel(backend.states(feature_map, feature_map.angles(X)))

    def states(X: Any, fused: bool) -> Any:
        def circuit(X: Any) -> Any:
            _peers.zz_map(qml, X, qubits, fused=fused)
            return qml.state()

        return qml.QNode(circuit, qml.device("default.qubit", wires=qubits))(X)

    def numpy_kernel(fused: bool) -> _peers.Task:
        def kernel(X: Any) -> Any:
            S = np.asarray(states(X, fused))
            return np.abs(S.conj() @ S.T) ** 2

        return kernel

    def jax_kernel(fused: bool) -> _peers.Task:
        def kernel(X: Any) -> Any:
            S = states(X, fused)
            return jnp.abs(S.conj() @ S.T) ** 2

        compiled = jax.jit(kernel)
        return lambda X: np.asarray(compiled(jnp.asarray(X)))

    peers = {
        f"pennylane {interface}{' fused' if fused else ''}": make(fused)
        for interface, make in (("numpy", numpy_kernel), ("jax jit", jax_kernel))
        for fused in (False, True)
    }

    data = _peers.uniform_rows(rows, qubits, seed)
    worst = _peers.largest_kernel_difference(ours, peers, data(-1), 1e-10)
    times = _peers.interleaved(ours, peers, data, repeats, runs=1)
    facts = _peers.kernel_facts(feature_map, rows)
    return _peers.document(times, worst, ("pennylane", "jax"), **facts, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="kernel matrix against PennyLane")
    for name, default in (("rows", 1000), ("qubits", 8), ("repeats", 15), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
