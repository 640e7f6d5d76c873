from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.errors import UsageError
from qwarden.quantum import PauliSum
from qwarden.quantum.algorithms import diagonal_circuit, energies, qubo
from qwarden.quantum.algorithms.diagonal import walsh


def matrix(circuit, state):
    """Return the circuit's diagonal: what it does to the uniform superposition, times its norm."""
    from qwarden.quantum import Circuit

    plus = Circuit(circuit.qubits)
    for qubit in range(circuit.qubits):
        plus = plus.h(qubit)
    return state(plus + circuit) * np.sqrt(circuit.dimension)


@pytest.mark.parametrize("qubits", range(1, 6))
def test_circuit_is_the_diagonal_but_for_a_global_phase(qubits, qiskit_state):
    phases = np.random.default_rng(qubits).uniform(-np.pi, np.pi, 1 << qubits)
    found = matrix(diagonal_circuit(phases), qiskit_state)
    expected = np.exp(1j * phases)
    np.testing.assert_allclose(found * (expected[0] / found[0]), expected, atol=1e-12)


def test_gates_are_no_more_than_the_sources():
    phases = np.random.default_rng(0).uniform(-np.pi, np.pi, 64)
    circuit = diagonal_circuit(phases)
    assert circuit.two_qubit_gates == 62  # 2**q - 2
    assert len(circuit.gates) - circuit.two_qubit_gates == 63  # 2**q - 1


def test_phases_of_few_parities_take_few_gates():
    bits = np.arange(64)
    circuit = diagonal_circuit(np.pi * (bits >> 5 & 1) + 0.3 * (1 - 2 * ((bits >> 1 ^ bits >> 3) & 1)))
    assert [gate.name for gate in circuit.gates] == ["cx", "rz", "cx", "rz"]
    assert diagonal_circuit(np.full(8, 1.7)).gates == ()


@given(st.lists(st.floats(-5, 5), min_size=8, max_size=8))
def test_walsh_is_its_definition_and_its_own_inverse(values):
    z = np.arange(8)
    signs = np.array([[(-1) ** (a & b).bit_count() for b in range(8)] for a in z.tolist()])
    np.testing.assert_allclose(walsh(values), signs @ values, atol=1e-9)
    np.testing.assert_allclose(walsh(walsh(values)), 8 * np.array(values), atol=1e-9)


def test_energies_are_the_observables_diagonal():
    cost = PauliSum.from_terms({"ZZI": 0.5, "IIZ": -2.0, "ZZZ": 0.25, "III": 1.5})
    np.testing.assert_allclose(energies(cost, 4), np.diag(cost.matrix(4)).real, atol=1e-12)


@pytest.mark.parametrize("triangle", [np.asarray, np.triu], ids=["full", "upper"])
def test_qubo_costs_what_the_quadratic_form_says(triangle):
    Q = triangle(np.random.default_rng(1).normal(size=(4, 4)))
    found = energies(qubo(Q), 4)
    for index, bits in enumerate(itertools.product([0, 1], repeat=4)):
        x = np.array(bits[::-1])
        assert found[index] == pytest.approx(x @ Q @ x, abs=1e-12)


@pytest.mark.parametrize("phases", [[0.0], [0.0] * 3, [[0.0, 1.0]], [0.0, np.nan]])
def test_phases_of_no_register_are_refused(phases):
    with pytest.raises(UsageError, match="phase"):
        diagonal_circuit(phases)


def test_wrong_costs_are_refused():
    with pytest.raises(UsageError, match="made of Z"):
        energies(PauliSum.from_terms({"X": 1.0}), 1)
    with pytest.raises(UsageError, match="square"):
        qubo([[1.0, 2.0]])
