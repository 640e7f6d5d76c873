"""The oracle: a simulator one can check by reading it.

One row at a time, one gate after the other, dense NumPy, derivatives straight from the definition. It is
slow on purpose and shares nothing with the engine but the circuit and the gates' matrices, which are
themselves checked against Qiskit's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qwarden.quantum import Circuit, PauliSum
from qwarden.quantum.circuit import Gate

Array = npt.NDArray[np.float64]
States = npt.NDArray[np.complex128]


def angle_of(gate: Gate, row: Array) -> float | None:
    if gate.angle is None:
        return None
    given = 0.0 if gate.angle.column is None else row[gate.angle.column]
    return float(gate.angle.scale * given + gate.angle.offset)


def apply(matrix: States, qubits: tuple[int, ...], state: States) -> States:
    """Return ``matrix`` on ``qubits`` times ``state``; the first qubit is the less significant bit."""
    total = int(np.log2(len(state)))
    axes = [total - 1 - q for q in reversed(qubits)]  # axis 0 of the tensor is the highest qubit
    tensor = np.moveaxis(state.reshape((2,) * total), axes, range(len(qubits)))
    shape = tensor.shape
    tensor = (matrix @ tensor.reshape(len(matrix), -1)).reshape(shape)
    return np.moveaxis(tensor, range(len(qubits)), axes).reshape(-1)


def derivative(gate: Gate, angle: float) -> States:
    """Return d matrix / d angle."""
    if gate.name == "p":
        return np.diag([0, 1j * np.exp(1j * angle)])
    if gate.name == "crz":
        return np.diag([0, -0.5j * np.exp(-0.5j * angle), 0, 0.5j * np.exp(0.5j * angle)])
    return gate.matrix(angle + np.pi) / 2  # of exp(-i angle/2 G) with G squared = 1


def start(circuit: Circuit) -> States:
    state = np.zeros(circuit.dimension, np.complex128)
    state[0] = 1
    return state


def states(circuit: Circuit, angles: Array, initial: States | None = None) -> States:
    rows = max(len(angles), 1 if initial is None else len(initial))
    out = np.empty((rows, circuit.dimension), np.complex128)
    for index in range(rows):
        row = angles[index if len(angles) > 1 else 0]
        state = start(circuit) if initial is None else initial[index if len(initial) > 1 else 0]
        for gate in circuit.gates:
            state = apply(gate.matrix(angle_of(gate, row)), gate.qubits, state)
        out[index] = state
    return out


def tangents(circuit: Circuit, row: Array, initial: States | None = None) -> States:
    """Return d state / d row, shape (columns, 2**qubits), for one row of angles."""
    out = np.zeros((circuit.columns, circuit.dimension), np.complex128)
    for turned, gate in enumerate(circuit.gates):
        if gate.angle is None or gate.angle.column is None:
            continue
        state = start(circuit) if initial is None else initial
        for index, other in enumerate(circuit.gates):
            angle = angle_of(other, row)
            matrix = derivative(other, angle) if index == turned else other.matrix(angle)
            state = apply(matrix, other.qubits, state)
        out[gate.angle.column] += gate.angle.scale * state
    return out


def expectations(vectors: States, observables: Sequence[PauliSum]) -> Array:
    qubits = int(np.log2(vectors.shape[1]))
    matrices = [observable.matrix(qubits) for observable in observables]
    return np.array([[np.vdot(v, m @ v).real for m in matrices] for v in vectors])


def expectation_gradient(
    circuit: Circuit,
    angles: Array,
    observables: Sequence[PauliSum],
    weights: Array,
    initial: States | None = None,
) -> Array:
    """Return d sum(weights * expectations) / d angles, shape (rows, columns), a row of angles each."""
    vectors = states(circuit, angles, initial)
    out = np.zeros((len(vectors), circuit.columns))
    for index, vector in enumerate(vectors):
        row = angles[index if len(angles) > 1 else 0]
        begin = None if initial is None else initial[index if len(initial) > 1 else 0]
        moved = tangents(circuit, row, begin)
        total = sum(w * o.matrix(circuit.qubits) for w, o in zip(weights[index], observables, strict=True))
        out[index] = 2 * (moved.conj() @ (total @ vector)).real
    return out
