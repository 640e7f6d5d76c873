"""A training step of a QNN: our engine against tensorcircuit-ng, in one process on one thread.

The task is `_peers.QNNStep`. tensorcircuit-ng at its best: its JAX back end in complex128, the circuit mapped
over the batch by ``vmap``, ``jit(value_and_grad)`` around the loss.

Run it with the Python of an environment that has tensorcircuit-ng, jax, numpy and numba; prints one JSON
document. ``python qnn_step_vs_tensorcircuit.py [--rows 256] [--qubits 6] [--repeats 15] [--seed 0]``
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import argparse
import json
from typing import Any

import _peers
import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc

jax.config.update("jax_enable_x64", True)
tc.set_backend("jax")
tc.set_dtype("complex128")


def measure(rows: int = 256, qubits: int = 6, repeats: int = 15, seed: int = 0) -> dict[str, Any]:
    """Return the figures of both sides."""
    task = _peers.QNNStep(rows, qubits, seed)

    def expectation(x: Any, weights: Any, fused: bool) -> Any:
        circuit = tc.Circuit(qubits)
        for _ in range(2):
            for q in range(qubits):
                circuit.h(q)
                circuit.phase(q, theta=2.0 * x[q])
            for q in range(qubits - 1):
                angle = 2.0 * (np.pi - x[q]) * (np.pi - x[q + 1])
                if fused:  # equal but for a phase of the whole state
                    circuit.rzz(q, q + 1, theta=angle)
                else:
                    circuit.cnot(q, q + 1)
                    circuit.phase(q + 1, theta=angle)
                    circuit.cnot(q, q + 1)
        for layer in range(4):
            for q in range(qubits):
                circuit.ry(q, theta=weights[layer * qubits + q])
            for q in range(qubits - 1 if layer < 3 else 0):
                circuit.cnot(q, q + 1)
        return jnp.real(circuit.expectation_ps(z=[0]))

    def jax_step(fused: bool) -> _peers.Task:
        def loss(weights: Any, X: Any, y: Any) -> Any:
            values = jax.vmap(lambda x: expectation(x, weights, fused))(X)
            return jnp.mean((values - y) ** 2)

        compiled = jax.jit(jax.value_and_grad(loss))

        def step(given: Any) -> Any:
            X, y, weights = (jnp.asarray(part) for part in given)
            value, gradient = compiled(weights, X, y)
            return float(value), np.asarray(gradient)

        return step

    peers = {
        f"tensorcircuit-ng jax jit{' fused' if fused else ''}": jax_step(fused) for fused in (False, True)
    }
    worst = task.largest_difference(peers)
    times = _peers.interleaved(task.ours, peers, task.data, repeats, runs=10)
    return _peers.document(times, worst, ("tensorcircuit-ng", "jax"), **task.facts())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="QNN training step against tensorcircuit-ng")
    for name, default in (("rows", 256), ("qubits", 6), ("repeats", 15), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
