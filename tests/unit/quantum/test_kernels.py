"""Kernels against their definition, and against the circuits that would measure them."""

from __future__ import annotations

import numpy as np
import pytest
from random_circuits import random_states

from qwarden.core.errors import UsageError
from qwarden.quantum import (
    LocalBackend,
    PauliSum,
    evaluate_form,
    fidelity_kernel,
    nystrom_landmarks,
    observable_form,
    swap_test,
    swap_test_circuit,
    zz_feature_map,
)


def overlaps(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.array([[abs(np.vdot(a, b)) ** 2 for b in B] for a in A])


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 5), (40, 7)])
def test_kernel_is_the_squared_overlap(n: int, m: int) -> None:
    generator = np.random.default_rng(1)
    A, B = random_states(generator, n, 4), random_states(generator, m, 4)
    np.testing.assert_allclose(fidelity_kernel(A, B), overlaps(A, B), rtol=0, atol=1e-14)
    np.testing.assert_allclose(fidelity_kernel(A), overlaps(A, A), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [255, 256, 257, 600])
def test_kernel_over_several_blocks(n: int) -> None:
    A = random_states(np.random.default_rng(n), n, 3)
    K = fidelity_kernel(A)
    np.testing.assert_allclose(K, np.abs(A.conj() @ A.T) ** 2, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(np.diag(K), 1.0, rtol=0, atol=1e-14)
    np.testing.assert_allclose(fidelity_kernel(A, A[:300]), K[:, :300], rtol=0, atol=1e-14)


def test_kernel_of_nothing() -> None:
    nothing = np.zeros((0, 4), dtype=complex)
    assert fidelity_kernel(nothing).shape == (0, 0)
    assert fidelity_kernel(np.ones((3, 4), dtype=complex), nothing).shape == (3, 0)


def test_kernel_is_qiskits() -> None:
    library = pytest.importorskip("qiskit.circuit.library")
    information = pytest.importorskip("qiskit.quantum_info")
    X = np.random.default_rng(2).normal(size=(5, 3))
    ours, theirs = zz_feature_map(3), library.zz_feature_map(3)
    states = [information.Statevector(theirs.assign_parameters(x)) for x in X]
    expected = [[information.state_fidelity(a, b) for b in states] for a in states]
    found = fidelity_kernel(LocalBackend().states(ours, ours.angles(X)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_swap_test_circuit_measures_the_fidelity() -> None:
    generator = np.random.default_rng(3)
    A, B = random_states(generator, 4, 2), random_states(generator, 4, 2)
    both = np.zeros((4, 32), dtype=complex)
    for row, (a, b) in enumerate(zip(A, B, strict=True)):
        both[row, :16] = np.kron(b, a)  # the first register is the less significant one
    found = LocalBackend().expectations(swap_test_circuit(2), np.zeros((1, 0)), [PauliSum.z(4)], both)
    np.testing.assert_allclose(found[:, 0], np.diag(overlaps(A, B)), rtol=0, atol=1e-13)


def test_the_sampled_swap_test_is_unbiased_and_symmetric() -> None:
    A = random_states(np.random.default_rng(4), 6, 2)
    assert np.array_equal(swap_test(A), fidelity_kernel(A))
    estimates = [swap_test(A, shots=1000, seed=seed) for seed in range(40)]
    assert all(np.array_equal(K, K.T) for K in estimates)
    # A single estimate's standard deviation is at most 1/sqrt(1000); five of it after 40.
    assert np.abs(np.mean(estimates, axis=0) - fidelity_kernel(A)).max() < 5 / np.sqrt(40_000)
    assert np.array_equal(estimates[0], swap_test(A, shots=1000, seed=0))


def test_the_observable_form_is_the_kernel_expansion() -> None:
    generator = np.random.default_rng(5)
    support, rows = random_states(generator, 30, 3), random_states(generator, 7, 3)
    weights = generator.normal(size=30)
    form = observable_form(support, weights)
    np.testing.assert_allclose(form, form.conj().T, rtol=0, atol=1e-14)
    expected = overlaps(rows, support) @ weights
    np.testing.assert_allclose(evaluate_form(form, rows), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", ["pivoted", "uniform"])
def test_landmarks_at_full_rank_give_the_kernel_back(method: str) -> None:
    A = random_states(np.random.default_rng(6), 60, 2)  # the kernel's rank is at most 4 ** 2
    chosen = nystrom_landmarks(A, 40, seed=1, method=method)
    features = chosen.features(A)
    np.testing.assert_allclose(features @ features.T, fidelity_kernel(A), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(chosen.landmarks, A[chosen.rows])
    assert features.shape[1] <= 16


def test_pivoting_finds_what_uniform_choice_misses() -> None:
    """Two hundred copies of one state hide three others."""
    states = np.zeros((203, 4), dtype=complex)
    states[:200, 0] = 1
    states[[200, 201, 202], [1, 2, 3]] = 1
    chosen = nystrom_landmarks(states, 4, seed=0)
    assert set(chosen.rows.tolist()) >= {200, 201, 202}
    again = nystrom_landmarks(states, 4, seed=0)
    np.testing.assert_array_equal(chosen.rows, again.rows)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda S: fidelity_kernel(S, np.ones((1, 2))), "dimension 4 and 2"),
        (lambda S: fidelity_kernel(S[0]), r"shape \(n, 2\*\*q\)"),
        (lambda S: swap_test(S, shots=10), "a seed"),
        (lambda S: swap_test(S, shots=0, seed=1), "shots >= 1"),
        (lambda S: observable_form(S, [1.0]), "expected 3 weights"),
        (lambda S: evaluate_form(np.eye(2), S), "does not fit"),
        (lambda S: nystrom_landmarks(S, 0, seed=1), "count >= 1"),
        (lambda S: nystrom_landmarks(S, 1, seed=1, method="best"), "unknown method"),
    ],
)
def test_nonsense_is_refused(call: object, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        call(np.ones((3, 4), dtype=complex) / 2)  # type: ignore[operator]
