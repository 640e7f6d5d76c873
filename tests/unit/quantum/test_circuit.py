"""Circuits: immutable, composed, counted, and strict about what makes no sense."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from random_circuits import random_circuit

from qwarden.core.errors import UsageError
from qwarden.quantum import Angle, Circuit, Gate, LocalBackend


def test_building_leaves_the_original_alone() -> None:
    empty = Circuit(2)
    longer = empty.h(0).cx(0, 1).rx(1, 2 * Angle(0))
    assert (empty.gates, len(longer.gates)) == ((), 3)
    with pytest.raises(AttributeError):
        longer.gates = ()  # type: ignore[misc]


def test_equal_circuits_are_equal_and_hash_alike() -> None:
    made = [Circuit(2).h(0).unitary(np.eye(2), 1).ry(1, Angle(0)) for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made)) == 1
    assert made[0] != made[0].x(0)


def test_angle_arithmetic() -> None:
    assert -(2 * Angle(1) + 0.5) * 3 == Angle(1, -6.0, -1.5)
    assert Angle(1).moved(4) == Angle(5)
    assert Angle(None, 1.0, 2.0).moved(4) == Angle(None, 1.0, 2.0)


def test_addition_appends_columns_and_then_can_share_them() -> None:
    one = Circuit(1).ry(0, Angle(1))
    assert [g.angle.column for g in (one + one).gates if g.angle] == [1, 3]
    assert (one + one).columns == 4
    assert [g.angle.column for g in one.then(one, share_columns=True).gates if g.angle] == [1, 1]


def test_inverse_returns_to_the_start() -> None:
    generator = np.random.default_rng(5)
    circuit = random_circuit(generator, 4, 40)
    angles = generator.normal(size=(3, 4))
    there_and_back = circuit.then(circuit.inverse(), share_columns=True)
    states = LocalBackend().states(there_and_back, angles)
    np.testing.assert_allclose(states, np.eye(1, 16).repeat(3, axis=0), atol=1e-14)


def test_depth_is_qiskits() -> None:
    quantum_circuit = pytest.importorskip("qiskit").QuantumCircuit
    circuit = random_circuit(np.random.default_rng(1), 5, 60, named_only=True)
    theirs = quantum_circuit(5)
    for gate in circuit.gates:
        getattr(theirs, gate.name)(*([] if gate.angle is None else [0.1]), *gate.qubits)
    assert circuit.depth == theirs.depth()
    assert circuit.two_qubit_gates == theirs.num_nonlocal_gates()


def test_survives_copy_and_pickle_after_use() -> None:
    circuit = Circuit(2).ry(0, Angle(0)).cx(0, 1)
    states = LocalBackend().states(circuit, [[0.3]])
    for twin in (copy.deepcopy(circuit), pickle.loads(pickle.dumps(circuit))):
        assert twin == circuit
        np.testing.assert_array_equal(LocalBackend().states(twin, [[0.3]]), states)


@pytest.mark.parametrize("qubits", [0, 21, -1])
def test_number_of_qubits(qubits: int) -> None:
    with pytest.raises(UsageError, match="1 to 20 qubits"):
        Circuit(qubits)


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        (Gate("h", (2,)), "qubit 2 is out of range 0..1"),
        (Gate("cx", (1, 1)), "repeat"),
        (Gate("cx", (0,)), "acts on 2 qubits"),
        (Gate("ccx", (0, 1)), "unknown gate 'ccx'"),
        (Gate("rx", (0,)), "takes an angle"),
        (Gate("h", (0,), Angle(0)), "takes no angle"),
        (Gate("rx", (0,), Angle(-1)), "negative"),
        (Gate("rx", (0,), Angle(0, float("nan"))), "finite"),
        (Gate("unitary", (0,), None, (1, 0, 0, 2)), "not unitary"),
        (Gate("unitary", (0, 1), None, (1, 0, 0, 1)), "4 x 4"),
        (Gate("unitary", (0,)), "2 x 2"),
    ],
)
def test_nonsense_is_refused(gate: Gate, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Circuit(2, [gate])


def test_composition_of_different_widths_is_refused() -> None:
    with pytest.raises(UsageError, match="2 and 3 qubits"):
        Circuit(2) + Circuit(3)


def test_too_few_columns_are_refused() -> None:
    with pytest.raises(UsageError, match="refer to 3 angle columns"):
        Circuit(1, [Gate("rx", (0,), Angle(2))], columns=2)


@pytest.mark.parametrize(
    ("angles", "problem"),
    [
        (np.zeros((3, 3)), r"shape \(n, 2\), not \(3, 3\)"),
        (np.zeros(2), r"not \(2,\)"),
        ([[0.0, 1.0], [0.0, np.nan]], "row 1, column 1 is nan"),
        ([[np.inf, 1.0]], "row 0, column 0 is inf"),
    ],
)
def test_angles_are_checked(angles: object, problem: str) -> None:
    circuit = Circuit(1).rx(0, Angle(0)).ry(0, Angle(1))
    with pytest.raises(UsageError, match=problem):
        LocalBackend().states(circuit, angles)  # type: ignore[arg-type]


def test_huge_finite_angles_are_no_error() -> None:
    big = np.full((1, 2), 1.7e308)  # their sum overflows
    Circuit(1).rx(0, Angle(0)).ry(0, Angle(1)).check_angles(big)
