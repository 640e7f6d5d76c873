"""A training step of a QNN: our engine against PennyLane, in one process on one thread.

Both sides take fresh data and labels to the loss and its gradient with respect to the weights: ZZ feature
map (2 repetitions, linear), RealAmplitudes (3 repetitions, linear), <Z_0>, mean squared error, float64,
the encoding of the data included. PennyLane at its best: parameter broadcasting on `default.qubit`, with
JAX (``jit(value_and_grad)``) and with PyTorch (backpropagation).

Run it with the Python of an environment that has pennylane, jax, torch, numpy and numba; prints one JSON
document. ``python qnn_step_vs_pennylane.py [--rows 256] [--qubits 6] [--repeats 15] [--seed 0]``
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
import torch

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)


def measure(rows: int = 256, qubits: int = 6, repeats: int = 15, seed: int = 0) -> dict[str, Any]:
    """Return the figures of both sides."""
    task = _peers.QNNStep(rows, qubits, seed)

    def circuit(X: Any, weights: Any, fused: bool) -> Any:
        def run(X: Any, weights: Any) -> Any:
            _peers.zz_map(qml, X, qubits, fused=fused)
            wires = list(range(qubits))[::-1]
            for layer in range(4):
                for q, wire in enumerate(wires):
                    qml.RY(weights[layer * qubits + q], wire)
                if layer < 3:
                    for q in range(qubits - 1):
                        qml.CNOT([wires[q], wires[q + 1]])
            return qml.expval(qml.PauliZ(wires[0]))

        device = qml.device("default.qubit", wires=qubits)
        return qml.QNode(run, device, diff_method="backprop")(X, weights)

    def jax_step(fused: bool) -> _peers.Task:
        def loss(weights: Any, X: Any, y: Any) -> Any:
            return jnp.mean((circuit(X, weights, fused) - y) ** 2)

        compiled = jax.jit(jax.value_and_grad(loss))

        def step(given: Any) -> Any:
            X, y, weights = (jnp.asarray(part) for part in given)
            value, gradient = compiled(weights, X, y)
            return float(value), np.asarray(gradient)

        return step

    def torch_step(fused: bool) -> _peers.Task:
        def step(given: Any) -> Any:
            X, y, weights = (torch.tensor(part) for part in given)
            weights.requires_grad_()
            value = torch.mean((circuit(X, weights, fused) - y) ** 2)
            value.backward()
            return value.item(), weights.grad.numpy()

        return step

    peers = {
        f"pennylane {interface}{' fused' if fused else ''}": make(fused)
        for interface, make in (("jax jit", jax_step), ("torch", torch_step))
        for fused in (False, True)
    }

    worst = task.largest_difference(peers)
    times = _peers.interleaved(task.ours, peers, task.data, repeats, runs=10)
    return _peers.document(times, worst, ("pennylane", "jax", "torch"), **task.facts())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="QNN training step against PennyLane")
    for name, default in (("rows", 256), ("qubits", 6), ("repeats", 15), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
