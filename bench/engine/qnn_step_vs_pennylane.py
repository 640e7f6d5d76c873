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

from qwarden.quantum import LocalBackend, PauliSum, real_amplitudes, zz_feature_map

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)


def measure(rows: int = 256, qubits: int = 6, repeats: int = 15, seed: int = 0) -> dict[str, Any]:
    """Return the figures of both sides."""
    feature_map, ansatz = zz_feature_map(qubits, 2, "linear"), real_amplitudes(qubits, 3, "linear")
    backend, readout = LocalBackend(), [PauliSum.z(0)]

    def ours(given: Any) -> Any:
        X, y, weights = given
        encoded = backend.states(feature_map, feature_map.angles(X))
        E, pullback = backend.expectations_and_pullback(ansatz, weights[None], readout, encoded)
        error = E[:, 0] - y
        return np.mean(error**2), pullback(2 / len(y) * error[:, None])[0]

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

    def data(repeat: int) -> Any:
        generator = np.random.default_rng([seed, repeat + 1000])
        X = generator.uniform(0, np.pi, (rows, qubits))
        return X, generator.choice([-1.0, 1.0], rows), generator.uniform(0, 2 * np.pi, ansatz.columns)

    given = data(-1)
    value, gradient = ours(given)
    worst = 0.0
    for peer in peers.values():
        peer_value, peer_gradient = peer(given)
        worst = max(worst, abs(value - peer_value), float(np.abs(gradient - peer_gradient).max()))
    if worst > 1e-10:
        raise SystemExit(f"loss or gradient differ by {worst}")
    times = _peers.interleaved(ours, peers, data, repeats, runs=10)
    whole = feature_map + ansatz
    facts = {"n": rows, "qubits": qubits, "depth": whole.depth, "two_qubit_gates": whole.two_qubit_gates}
    return _peers.document(times, worst, ("pennylane", "jax", "torch"), **facts, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="QNN training step against PennyLane")
    for name, default in (("rows", 256), ("qubits", 6), ("repeats", 15), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
