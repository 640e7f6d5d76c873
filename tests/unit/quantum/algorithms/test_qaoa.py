from __future__ import annotations

import itertools

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.quantum import LocalBackend, PauliSum
from qwarden.quantum.algorithms import energies, qaoa, qaoa_circuit, qubo
from qwarden.quantum.pauli import PauliTerm


def ring(qubits: int) -> PauliSum:
    """The Ising cost of MaxCut on a ring: an edge that is cut costs -1, another +1."""
    return PauliSum(tuple(PauliTerm(1.0, 0, 1 << i | 1 << (i + 1) % qubits) for i in range(qubits)))


def cut(expectation: float, edges: int) -> float:
    return (edges - expectation) / 2 / edges


@pytest.mark.parametrize(("layers", "qubits"), [(1, 6), (2, 6), (2, 8), (3, 8)])
def test_ring_of_disagrees(layers, qubits):
    """The best p layers cut (2 p + 1) / (2 p + 2) of a ring longer than 2 p + 1 (Farhi et al 2014)."""
    result = qaoa(ring(qubits), layers=layers, seed=0)
    assert cut(result.expectation, qubits) == pytest.approx((2 * layers + 1) / (2 * layers + 2), abs=1e-6)


def test_one_layer_of_a_single_bond():
    """<Z Z> at p = 1 is sin(4 beta) sin(2 gamma) for two qubits (Wang et al 2018, eq. (14), no triangles)."""
    circuit = qaoa_circuit(PauliSum.zz(0, 1), 1)
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (50, 2))
    found = LocalBackend().expectations(circuit, angles, [PauliSum.zz(0, 1)])[:, 0]
    expected = np.sin(4 * angles[:, 1]) * np.sin(2 * angles[:, 0])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_state_is_the_product_of_exponentials(qiskit_state):
    """Against matrix exponentials, with terms of one to three Z and a constant."""
    from scipy.linalg import expm

    cost = PauliSum.from_terms({"ZZI": 0.7, "IIZ": -0.4, "ZZZ": 0.3, "III": 2.0})
    mixer = PauliSum.from_terms({"XII": 1.0, "IXI": 1.0, "IIX": 1.0}).matrix(3)
    row = np.array([0.4, -1.1, 0.8, 0.5])
    state = np.full(8, 8**-0.5, complex)
    for gamma, beta in zip(row[:2], row[2:], strict=True):
        state = expm(-1j * beta * mixer) @ expm(-1j * gamma * cost.matrix(3)) @ state
    found = qiskit_state(qaoa_circuit(cost, 2), row)
    assert abs(np.vdot(found, state)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_brute_force_finds_nothing_cheaper(seed):
    """A random QUBO of 7 bits, three layers, a thousand samples of 128 states."""
    Q = np.random.default_rng(seed).normal(size=(7, 7))
    cheapest = min(x @ Q @ x for x in map(np.array, itertools.product([0, 1], repeat=7)))
    result = qaoa(qubo(Q), layers=3, seed=seed)
    assert result.cost == pytest.approx(cheapest, abs=1e-9)
    assert result.bits @ Q @ result.bits == pytest.approx(cheapest, abs=1e-9)


def test_training_helps_and_samples_agree_with_the_expectation():
    cost = qubo(np.random.default_rng(9).normal(size=(6, 6)))
    result = qaoa(cost, layers=3, seed=1, shots=20_000)
    table = energies(cost, 6)
    assert result.samples.sum() == 20_000
    mean = result.samples @ table / 20_000
    assert mean == pytest.approx(result.expectation, abs=5 * table.std() / np.sqrt(20_000))
    assert result.expectation < table.mean() - table.std()


def test_more_starts_are_never_worse():
    cost = qubo(np.random.default_rng(3).normal(size=(5, 5)))
    one, many = (qaoa(cost, layers=2, seed=0, starts=starts).expectation for starts in (1, 6))
    assert many <= one + 1e-12


def test_the_unit_of_the_cost_does_not_matter():
    cost = qubo(np.random.default_rng(4).normal(size=(5, 5)))
    small, large = (qaoa(cost * unit, layers=2, seed=0) for unit in (1.0, 2.0**20))
    assert (small.bits == large.bits).all()
    assert large.expectation == pytest.approx(2**20 * small.expectation)


def test_one_seed_gives_one_result():
    first, second = (qaoa(ring(4), seed=3) for _ in range(2))
    assert (first.angles == second.angles).all()
    assert (first.samples == second.samples).all()


@pytest.mark.parametrize(
    ("cost", "said"),
    [(PauliSum.from_terms({"XZ": 1.0}), "made of Z"), (PauliSum.from_terms({"I": 1.0}), "made of Z")],
)
def test_what_is_no_cost_is_refused(cost, said):
    with pytest.raises(UsageError, match=said):
        qaoa(cost, seed=0)
    with pytest.raises(UsageError, match="layers"):
        qaoa(ring(3), layers=0, seed=0)
    with pytest.raises(UsageError, match="shots"):
        qaoa(ring(3), shots=0, seed=0)
