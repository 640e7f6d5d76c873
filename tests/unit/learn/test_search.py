"""The search with bounds against comparing with everything."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.learn._search import RowSearch, StateSearch, planes


def rows_and_references(case: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    if case == "clusters":
        centres = rng.normal(size=(9, 60)) * 4
        references = centres[rng.integers(9, size=700)] + rng.normal(size=(700, 60)) * 0.3
        return np.concatenate([references[:40] + 0.1, rng.normal(size=(33, 60)) * 6]), references
    if case == "far from the origin":
        references = 1e4 + rng.normal(size=(300, 30))
        return references[:50] + rng.normal(size=(50, 30)) * 0.5, references
    if case == "one column":
        return rng.normal(size=(50, 1)), rng.normal(size=(400, 1))
    if case == "few":
        return rng.normal(size=(7, 5)), rng.normal(size=(3, 5))
    references = rng.integers(0, 3, size=(500, 6)).astype(float)  # many ties, many equal rows
    return rng.integers(0, 3, size=(60, 6)).astype(float), references


CASES = ["clusters", "far from the origin", "one column", "few", "ties"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 5, 9])
def test_nearest_rows_are_those_of_comparing_with_all(case: str, k: int) -> None:
    rows, references = rows_and_references(case)
    distances, numbers = RowSearch(references).nearest(rows, k)
    squares = ((rows[:, None, :] - references) ** 2).sum(axis=2)
    expected = np.argsort(squares, axis=1, kind="stable")[:, :k]
    np.testing.assert_allclose(distances, np.sqrt(np.take_along_axis(squares, expected, axis=1)), rtol=1e-12)
    np.testing.assert_array_equal(numbers, expected)


def random_states(seed: int, count: int, qubits: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    start = rng.normal(size=1 << qubits) + 1j * rng.normal(size=1 << qubits)
    states = start + spread * (
        rng.normal(size=(count, 1 << qubits)) + 1j * rng.normal(size=(count, 1 << qubits))
    )
    return states / np.linalg.norm(states, axis=1, keepdims=True)


@pytest.mark.parametrize("qubits", [1, 2, 4, 6])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_most_similar_states_are_those_of_comparing_with_all(qubits: int, spread: float) -> None:
    stored, asked = random_states(1, 333, qubits, spread), random_states(2, 45, qubits, spread)
    asked[0] = stored[7]
    fidelities, numbers = StateSearch(stored).nearest(planes(asked), 5)
    table = np.abs(asked.conj() @ stored.T) ** 2
    expected = np.argsort(-table, axis=1, kind="stable")[:, :5]
    np.testing.assert_allclose(fidelities, np.take_along_axis(table, expected, axis=1), atol=1e-13)
    assert numbers[0, 0] == 7
    assert (numbers == expected).mean() > 0.99  # fidelities that agree to the last digit may change places


def test_a_row_by_itself_finds_the_same_bits() -> None:
    rows, references = rows_and_references("clusters")
    search, states = RowSearch(references), StateSearch(random_states(1, 200, 3, 1.0))
    asked = planes(random_states(2, 21, 3, 1.0))
    for find, given in ((search.nearest, rows), (states.nearest, asked)):
        together = find(given, 4)
        alone = [find(given[i : i + 1], 4) for i in range(len(given))]
        for part in (0, 1):
            np.testing.assert_array_equal(np.concatenate([one[part] for one in alone]), together[part])
