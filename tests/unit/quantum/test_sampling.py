"""Finite shots: unbiased, of the expected spread, and reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.quantum import Angle, Circuit, LocalBackend, PauliSum, strongly_entangling
from qwarden.quantum.backends._sampling import basis_groups

BACKEND = LocalBackend()


def test_counts_are_multinomial() -> None:
    circuit = Circuit(2).ry(0, Angle(0)).cx(0, 1)
    counts = BACKEND.sample(circuit, np.array([[0.0], [np.pi / 3]]), 100_000, 7)
    assert counts.sum(axis=1).tolist() == [100_000, 100_000]
    assert counts[0].tolist() == [100_000, 0, 0, 0]
    assert counts[1, 1:3].tolist() == [0, 0]
    # cos(pi/6)^2 = 3/4; five standard deviations are 0.007.
    assert abs(counts[1, 0] / 100_000 - 0.75) < 0.007


def test_the_seed_decides() -> None:
    circuit, angles = strongly_entangling(3, 1), np.ones((4, 9))
    first = BACKEND.sample(circuit, angles, 50, 3)
    np.testing.assert_array_equal(first, BACKEND.sample(circuit, angles, 50, 3))
    assert (first != BACKEND.sample(circuit, angles, 50, 4)).any()


def test_estimates_come_within_their_error() -> None:
    generator = np.random.default_rng(1)
    circuit, angles = strongly_entangling(3, 2), generator.normal(size=(5, 18))
    observables = [
        PauliSum.from_terms({"XXI": 1.0, "IYZ": -0.5, "III": 0.25}),
        PauliSum.z(1) + PauliSum.zz(0, 2),
        PauliSum.from_terms({"YYY": 2.0}),
    ]
    exact = BACKEND.expectations(circuit, angles, observables)
    shots = 40_000
    found = BACKEND.expectations(circuit, angles, observables, shots=shots, seed=2)
    # The sum of the coefficients' magnitudes bounds a shot's deviation; six standard errors of it.
    assert np.abs(found - exact).max() < 6 * 2.0 / np.sqrt(shots)
    assert (found != exact).any()


def test_eigenstates_are_measured_without_error() -> None:
    plus_i = Circuit(2).h(0).s(0).h(1)
    observables = [PauliSum.from_terms({"IY": 1.0}), PauliSum.from_terms({"XI": 1.0, "II": 1.0})]
    values = BACKEND.expectations(plus_i, np.zeros((1, 0)), observables, shots=10, seed=0)
    np.testing.assert_allclose(values, [[1.0, 2.0]], rtol=0, atol=1e-12)


def test_groups_share_a_basis() -> None:
    observables = [
        PauliSum.from_terms({"ZZI": 1, "IZZ": 1, "XIX": 1}),
        PauliSum.from_terms({"XYI": 1, "IYX": 1}),
    ]
    groups = basis_groups(observables)
    assert [len(group.terms) for group in groups] == [2, 3]


@pytest.mark.parametrize("rows", [1, 3])
def test_shots_from_given_states(rows: int) -> None:
    initial = np.zeros((rows, 4), dtype=complex)
    initial[:, 2] = 1.0
    counts = BACKEND.sample(Circuit(2).x(0), np.zeros((1, 0)), 5, 0, initial)
    assert counts.tolist() == [[0, 0, 0, 5]] * rows
