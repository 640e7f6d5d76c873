from __future__ import annotations

import math

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.quantum import Angle, Circuit
from qwarden.quantum.algorithms import (
    grover_circuit,
    grover_operator,
    grover_search,
    optimal_iterations,
    phase_oracle,
)


@pytest.mark.parametrize(("qubits", "marked"), [(2, [2]), (3, [0, 5]), (4, [7]), (5, [1, 2, 30])])
def test_success_probability_is_the_sources(qubits, marked, qiskit_state):
    """sin((2 k + 1) theta)^2 for every k, on Qiskit's simulator."""
    theta = math.asin(math.sqrt(len(marked) / (1 << qubits)))
    for k in range(6):
        state = qiskit_state(grover_circuit(phase_oracle(qubits, marked), k))
        found = (np.abs(state[marked]) ** 2).sum()
        assert found == pytest.approx(math.sin((2 * k + 1) * theta) ** 2, abs=1e-11)


def test_amplification_of_a_prepared_state(qiskit_state):
    """The same law for any preparation, here one with an angle column."""
    preparation = Circuit(3).ry(0, Angle(0)).cx(0, 1).rx(2, 2 * Angle(0) + 0.3).cx(2, 1).rz(1, Angle(1))
    row, good = np.array([0.7, 1.1]), [1, 6]
    start = qiskit_state(preparation, row)
    theta = math.asin(np.linalg.norm(start[good]))
    for k in (1, 2, 5):
        circuit = grover_circuit(phase_oracle(3, good), k, preparation)
        assert circuit.columns == 2
        amplified = qiskit_state(circuit, row)
        assert np.linalg.norm(amplified[good]) ** 2 == pytest.approx(math.sin((2 * k + 1) * theta) ** 2)


def test_operator_turns_in_the_plane_of_good_and_bad(qiskit_state):
    """Its eigenvalues on that plane are exp(+-2 i theta), but for a global phase."""
    oracle = phase_oracle(3, [6])
    states = [qiskit_state(grover_circuit(oracle, k)) for k in range(3)]
    assert grover_circuit(oracle, 1).gates[3:] == grover_operator(oracle).gates
    overlaps = [abs(np.vdot(states[k], states[k + 1])) for k in range(2)]
    theta = math.asin(math.sqrt(1 / 8))
    np.testing.assert_allclose(overlaps, abs(math.cos(2 * theta)), atol=1e-12)


@pytest.mark.parametrize(("qubits", "marked"), [(4, [3]), (5, [4, 9]), (3, [0, 1, 2, 3, 4, 5])])
def test_known_number(qubits, marked):
    """As often at the first run as the law says, and in the end always."""
    oracle, iterations = phase_oracle(qubits, marked), optimal_iterations(1 << qubits, len(marked))
    results = [
        grover_search(oracle, lambda state: state in marked, seed=seed, marked=len(marked))
        for seed in range(50)
    ]
    assert all(result.found in marked for result in results)
    theta = math.asin(math.sqrt(len(marked) / (1 << qubits)))
    chance = math.sin((2 * iterations + 1) * theta) ** 2
    first = sum(result.runs == 1 for result in results) / 50
    assert abs(first - chance) < 4 * math.sqrt(chance * (1 - chance) / 50) + 1e-9
    assert all(result.oracle_calls == result.runs * iterations for result in results)


@pytest.mark.parametrize("marked", [[17], [3, 21, 30], list(range(0, 32, 4))], ids=len)
def test_unknown_number_takes_no_more_calls_than_the_sources_bound(marked):
    oracle = phase_oracle(5, marked)
    results = [grover_search(oracle, lambda state: state in marked, seed=seed) for seed in range(30)]
    assert all(result.found in marked for result in results)
    assert np.mean([result.oracle_calls for result in results]) < 4.5 * math.sqrt(32 / len(marked))


def test_where_nothing_is_marked_the_search_ends():
    oracle = phase_oracle(3, [])
    result = grover_search(oracle, lambda state: False, seed=0, failure=0.1)
    assert result.found is None
    assert 4 * 9 * math.sqrt(8) <= result.oracle_calls <= 4 * (9 * math.sqrt(8) + 3)


def test_all_marked():
    assert grover_search(phase_oracle(2, range(4)), lambda state: True, seed=0, marked=4).oracle_calls == 0


def test_one_seed_gives_one_search():
    runs = [grover_search(phase_oracle(4, [9]), lambda state: state == 9, seed=5) for _ in range(2)]
    assert runs[0] == runs[1]


def test_what_makes_no_sense_is_refused():
    oracle = phase_oracle(2, [1])
    with pytest.raises(UsageError, match="out of range"):
        phase_oracle(2, [4])
    with pytest.raises(UsageError, match="iterations"):
        grover_circuit(oracle, -1)
    with pytest.raises(UsageError, match="marked"):
        grover_search(oracle, bool, seed=0, marked=5)
    with pytest.raises(UsageError, match="failure"):
        grover_search(oracle, bool, seed=0, failure=0.0)
    with pytest.raises(UsageError, match="angle columns"):
        grover_search(Circuit(2).rz(0, Angle(0)), bool, seed=0)
