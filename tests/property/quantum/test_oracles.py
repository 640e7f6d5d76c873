"""Random circuits: the engine against Qiskit and PennyLane, to 1e-10."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import random_circuit, random_observable, random_states

from qwarden.quantum import Circuit, LocalBackend, fidelity_kernel

BACKEND = LocalBackend()
SEEDS = st.integers(0, 2**32 - 1)
EXACT = {"rtol": 0, "atol": 1e-10}


def to_qiskit(circuit: Circuit, row: np.ndarray) -> object:
    made = pytest.importorskip("qiskit").QuantumCircuit(circuit.qubits)
    for gate in circuit.gates:
        angle = reference.angle_of(gate, row)
        if gate.name == "unitary":
            made.unitary(gate.matrix(), list(gate.qubits))
        else:
            getattr(made, gate.name)(*([] if angle is None else [angle]), *gate.qubits)
    return made


@settings(max_examples=60)
@given(seed=SEEDS, qubits=st.integers(1, 6), gates=st.integers(0, 60), rows=st.integers(1, 5))
def test_states_expectations_and_kernels_are_qiskits(seed: int, qubits: int, gates: int, rows: int) -> None:
    information = pytest.importorskip("qiskit.quantum_info")
    generator = np.random.default_rng(seed)
    circuit = random_circuit(generator, qubits, gates)
    angles = 3 * generator.normal(size=(rows, 4))
    states = BACKEND.states(circuit, angles)
    theirs = [information.Statevector(to_qiskit(circuit, row)) for row in angles]
    np.testing.assert_allclose(states, [state.data for state in theirs], **EXACT)
    observables = [random_observable(generator, qubits), random_observable(generator, qubits, "IZ")]
    operators = [
        information.SparsePauliOp(o.labels(qubits), [t.coefficient for t in o.terms]) for o in observables
    ]
    expected = [[state.expectation_value(operator).real for operator in operators] for state in theirs]
    np.testing.assert_allclose(BACKEND.expectations(circuit, angles, observables), expected, **EXACT)
    fidelities = [[information.state_fidelity(a, b, validate=False) for b in theirs] for a in theirs]
    np.testing.assert_allclose(fidelity_kernel(states), fidelities, **EXACT)


NAMES = {
    "h": "Hadamard", "x": "PauliX", "y": "PauliY", "z": "PauliZ", "s": "S", "t": "T", "rx": "RX", "ry": "RY",
    "rz": "RZ", "p": "PhaseShift", "rxx": "IsingXX", "ryy": "IsingYY", "rzz": "IsingZZ", "cx": "CNOT",
    "cz": "CZ", "crz": "CRZ", "swap": "SWAP",
}  # fmt: skip


@settings(max_examples=25)
@given(seed=SEEDS, qubits=st.integers(1, 5), gates=st.integers(1, 30))
def test_gradients_are_pennylanes(seed: int, qubits: int, gates: int) -> None:
    qml = pytest.importorskip("pennylane")
    generator = np.random.default_rng(seed)
    circuit = random_circuit(generator, qubits, gates, named_only=True)
    angles = generator.normal(size=(2, 4))
    observable = random_observable(generator, qubits)
    values, pullback = BACKEND.expectations_and_pullback(circuit, angles, [observable])
    gradient = pullback(np.ones_like(values))

    def run(row: object) -> object:
        for gate in circuit.gates:
            parameters = []
            if gate.angle is not None:
                given = 0.0 if gate.angle.column is None else row[gate.angle.column]  # type: ignore[index]
                parameters = [gate.angle.scale * given + gate.angle.offset]
            getattr(qml, NAMES[gate.name])(*parameters, wires=list(gate.qubits))
        words = [
            {qubits - 1 - place: letter for place, letter in enumerate(label) if letter != "I"}
            for label in observable.labels(qubits)
        ]
        terms = {
            qml.pauli.PauliWord(word): t.coefficient for word, t in zip(words, observable.terms, strict=True)
        }
        return qml.expval(qml.pauli.PauliSentence(terms).operation(wire_order=range(qubits)))

    node = qml.QNode(run, qml.device("default.qubit", wires=qubits), diff_method="backprop")
    for row, value, slope in zip(angles, values[:, 0], gradient, strict=True):
        theirs = qml.numpy.array(row, requires_grad=True)
        np.testing.assert_allclose(value, node(theirs), **EXACT)
        if any(gate.angle is not None and gate.angle.column is not None for gate in circuit.gates):
            np.testing.assert_allclose(slope, qml.grad(node)(theirs), **EXACT)
        else:
            np.testing.assert_array_equal(slope, 0.0)


@settings(max_examples=40)
@given(
    seed=SEEDS,
    qubits=st.integers(1, 4),
    gates=st.integers(0, 40),
    rows=st.integers(1, 7),
    shared=st.booleans(),
)
def test_pullback_is_the_adjoint_of_the_tangent(
    seed: int, qubits: int, gates: int, rows: int, shared: bool
) -> None:
    generator = np.random.default_rng(seed)
    circuit = random_circuit(generator, qubits, gates)
    initial = random_states(generator, rows, qubits)
    angles = generator.normal(size=(1 if shared else rows, 4))
    states, pullback = BACKEND.states_and_pullback(circuit, angles, initial)
    cotangent = generator.normal(size=states.shape) + 1j * generator.normal(size=states.shape)
    expected = np.array(
        [
            (reference.tangents(circuit, angles[0 if shared else i], initial[i]) @ cotangent[i].conj()).real
            for i in range(rows)
        ]
    )
    if shared:
        expected = expected.sum(axis=0, keepdims=True)
    np.testing.assert_allclose(pullback(cotangent), expected, **EXACT)


@settings(max_examples=40)
@given(seed=SEEDS, qubits=st.integers(1, 8), gates=st.integers(0, 80))
def test_norm_is_kept_and_the_inverse_returns(seed: int, qubits: int, gates: int) -> None:
    generator = np.random.default_rng(seed)
    circuit = random_circuit(generator, qubits, gates)
    angles = generator.normal(size=(3, 4))
    states = BACKEND.states(circuit, angles)
    np.testing.assert_allclose(np.linalg.norm(states, axis=1), 1.0, **EXACT)
    back = BACKEND.states(circuit.inverse(), angles, states)
    np.testing.assert_allclose(back[:, 0], 1.0, **EXACT)
