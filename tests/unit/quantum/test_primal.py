"""Primal training: against scikit-learn's machines on the density features formed explicitly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from qwarden.core.errors import UsageError
from qwarden.quantum import density_features, evaluate_form, train_form

METHODS = ["direct", "cg"]


def cloud(n: int, qubits: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return random states, and the sign of a random observable's value with noise."""
    rng = np.random.default_rng(seed)
    size = (n, 2**qubits)
    states = rng.normal(size=size) + 1j * rng.normal(size=size)
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    values = (np.abs(states[:, : size[1] // 2]) ** 2).sum(axis=1) - 0.5
    return states, np.where(values + 0.1 * rng.normal(size=n) > 0, 1.0, -1.0)


def by_hand(states: np.ndarray) -> np.ndarray:
    """Return density matrices as real vectors: all real parts, all imaginary parts."""
    densities = np.einsum("ia,ib->iab", states, states.conj()).reshape(len(states), -1)
    return np.hstack([densities.real, densities.imag])


def values(found: object, states: np.ndarray) -> np.ndarray:
    return evaluate_form(found.form, states) + found.bias


def test_features_have_fidelities_as_inner_products() -> None:
    A, B = cloud(7, 3)[0], cloud(5, 3, seed=1)[0]
    products = density_features(A) @ density_features(B).T
    assert density_features(A).shape == (7, 64)
    np.testing.assert_allclose(products, np.abs(A.conj() @ B.T) ** 2, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_ridge_is_scikit_learns_on_explicit_features(method: str) -> None:
    states, signs = cloud(3000, 3)
    fresh, _ = cloud(200, 3, seed=1)
    weights = np.random.default_rng(2).random(3000) + 0.5
    found = train_form(
        states, signs, ridge=1e-3, weights=weights, loss="ridge", method=method, tolerance=1e-10
    )
    peer = Ridge(alpha=1e-3 * 3000, solver="cholesky").fit(by_hand(states), signs, sample_weight=weights)
    np.testing.assert_allclose(values(found, fresh), peer.predict(by_hand(fresh)), atol=1e-7)
    assert found.gradient <= 1e-10
    assert (found.products == 0) == (method == "direct")


@pytest.mark.parametrize("method", METHODS)
def test_squared_hinge_is_scikit_learns_on_explicit_features(method: str) -> None:
    """liblinear penalises its bias; a large intercept scaling takes that penalty away."""
    states, signs = cloud(1500, 3)
    fresh, _ = cloud(200, 3, seed=1)
    weights = np.random.default_rng(2).random(1500) + 0.5
    ridge = 1e-3
    found = train_form(states, signs, ridge=ridge, weights=weights, method=method, tolerance=1e-10)
    peer = LinearSVC(
        C=0.5 / (ridge * 1500), dual=False, tol=1e-12, max_iter=100_000, intercept_scaling=100.0
    ).fit(by_hand(states), signs, sample_weight=weights)
    np.testing.assert_allclose(values(found, fresh), peer.decision_function(by_hand(fresh)), atol=2e-4)
    assert (signs * values(found, states) > 1.0).any()  # else it would be ridge regression


@pytest.mark.parametrize("qubits", [2, 4, 5])
@pytest.mark.parametrize("loss", ["ridge", "squared_hinge"])
def test_both_ways_find_the_same_minimum(qubits: int, loss: str) -> None:
    states, signs = cloud(2500, qubits)  # more than one block
    direct, cg = (
        train_form(states, signs, ridge=1e-4, loss=loss, method=method, tolerance=1e-8) for method in METHODS
    )
    np.testing.assert_allclose(values(direct, states), values(cg, states), atol=1e-4)
    np.testing.assert_allclose(cg.form, cg.form.conj().T, atol=1e-12)
    assert abs(np.trace(direct.form)) < 1e-6  # the bias takes what the identity could


def test_a_row_of_weight_two_is_two_rows_and_of_weight_zero_none() -> None:
    states, signs = cloud(300, 2)
    weights = np.random.default_rng(3).integers(0, 3, 300).astype(float)
    repeated = np.repeat(np.arange(300), weights.astype(int))
    weighted = train_form(states, signs, ridge=1e-3, weights=weights, tolerance=1e-10)
    counted = train_form(states[repeated], signs[repeated], ridge=1e-3 * 300 / len(repeated), tolerance=1e-10)
    np.testing.assert_allclose(values(weighted, states), values(counted, states), atol=1e-8)


def test_one_class_alone_is_a_constant() -> None:
    states, _ = cloud(50, 2)
    found = train_form(states, np.ones(50), ridge=1e-3)
    np.testing.assert_allclose(values(found, states), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"states": np.ones(4)}, "states must have the shape"),
        ({"signs": np.ones(3)}, "as many signs"),
        ({"weights": np.ones(3)}, "as many signs"),
        ({"ridge": 0.0}, "positive"),
        ({"loss": "hinge"}, "unknown loss"),
        ({"method": "magic"}, "unknown method"),
    ],
)
def test_nonsense_is_refused(change: dict[str, object], complaint: str) -> None:
    states, signs = cloud(10, 2)
    with pytest.raises(UsageError, match=complaint):
        train_form(**{"states": states, "signs": signs, "ridge": 1e-3} | change)
