from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from qwarden.learn import FidelityMachine
from qwarden.quantum import fidelity_kernel


def cloud(n: int, dimension: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random states; the target is which half of the space holds more of the state."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n, dimension)) + 1j * rng.normal(size=(n, dimension))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    return states, (np.abs(states[:, : dimension // 2]) ** 2).sum(axis=1) > 0.5


def by_hand(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.abs(A.conj() @ B.T) ** 2


def test_dual_is_scikit_learns_machine_on_the_precomputed_kernel():
    states, y = cloud(120, 8)
    fresh, _ = cloud(40, 8, seed=1)
    weights = np.random.default_rng(2).random(120) + 0.5
    machine = FidelityMachine(solver="dual", C=3.0).fit_states(states, y.astype(float), weights)
    peer = SVC(kernel="precomputed", C=3.0).fit(by_hand(states, states), y, sample_weight=weights)
    np.testing.assert_allclose(
        machine.margin(fresh), peer.decision_function(by_hand(fresh, states)), atol=1e-9
    )
    assert machine.support_count_ == len(peer.support_)


@pytest.mark.parametrize("solver", ["dual", "nystrom"])
@pytest.mark.parametrize("dimension", [4, 64])
def test_collapsed_or_not_the_margin_is_the_sum_over_support_vectors(solver, dimension):
    states, y = cloud(60, dimension)
    kept = {}

    class Kept(FidelityMachine):
        def _solve_dual(self, *args):
            kept["sum"] = super()._solve_dual(*args)
            return kept["sum"]

        def _solve_nystrom(self, *args):
            kept["sum"] = super()._solve_nystrom(*args)
            return kept["sum"]

    machine = Kept(solver=solver, landmarks=30).fit_states(states, y.astype(float))
    support, alpha, bias = kept["sum"]
    assert (len(machine._form) > 0) == (len(support) > dimension)
    expected = by_hand(states, support) @ alpha + bias
    np.testing.assert_allclose(machine.margin(states), expected, atol=1e-10 * np.abs(alpha).sum())
    few = np.concatenate([machine.margin(states[i : i + 3]) for i in range(0, 60, 3)])
    np.testing.assert_allclose(few, expected, atol=1e-10 * np.abs(alpha).sum())


def test_nystrom_with_all_landmarks_is_exact_kernel_ridge():
    """Against the bordered system of the least-squares machine with a free bias (Suykens 1999, eq. 6)."""
    states, y = cloud(50, 16)
    fresh, _ = cloud(20, 16, seed=1)
    weights = np.random.default_rng(2).random(50) + 0.5
    ridge, n = 1e-3, 50
    machine = FidelityMachine(solver="nystrom", landmarks=n, ridge=ridge, loss="ridge")
    machine.fit_states(states, y.astype(float), weights)
    K = by_hand(states, states)
    system = np.block(
        [[np.zeros((1, 1)), np.ones((1, n))], [np.ones((n, 1)), K + n * ridge * np.diag(1 / weights)]]
    )
    bias, *alpha = np.linalg.solve(system, np.concatenate([[0.0], 2.0 * y - 1.0]))
    np.testing.assert_allclose(machine.margin(fresh), by_hand(fresh, states) @ alpha + bias, atol=1e-6)


def test_squared_hinge_is_at_its_minimum():
    """Independent of the solver: no small change of the function lowers the objective."""
    states, y = cloud(80, 8)
    signs, ridge, n = 2.0 * y - 1.0, 1e-2, 80
    machine = FidelityMachine(solver="nystrom", landmarks=n, ridge=ridge, loss="squared_hinge")
    captured = {}
    original = machine._solve_nystrom

    def capture(*args):
        captured["sum"] = original(*args)
        return captured["sum"]

    machine._solve_nystrom = capture
    machine.fit_states(states, y.astype(float))
    support, alpha, bias = captured["sum"]
    K, Ks = by_hand(states, support), by_hand(support, support)

    def objective(alpha: np.ndarray, bias: float) -> float:
        hinge = np.maximum(0.0, 1.0 - signs * (K @ alpha + bias))
        return (hinge**2).sum() + ridge * n * alpha @ Ks @ alpha

    best = objective(alpha, bias)
    rng = np.random.default_rng(0)
    for size in (1e-1, 1e-3):
        for _ in range(50):
            assert (
                objective(alpha + size * rng.normal(size=len(alpha)), bias + size * rng.normal())
                >= best - 1e-9
            )
    assert (signs * (K @ alpha + bias) > 1.0).any()  # else it would be plain ridge regression


@pytest.mark.parametrize("loss", ["ridge", "squared_hinge"])
def test_landmarks_among_many_rows_separate_new_ones(loss):
    states, y = cloud(3000, 4)
    fresh, labels = cloud(500, 4, seed=1)
    machine = FidelityMachine("nystrom", loss=loss, landmarks=40, ridge=1e-6)
    machine.fit_states(states, y.astype(float))
    assert 0 < machine.support_count_ <= 40
    assert ((machine.margin(fresh) > 0) == labels).mean() > 0.95


def test_auto_takes_the_dual_for_few_rows():
    states, y = cloud(100, 8)
    auto = FidelityMachine().fit_states(states, y.astype(float))
    dual = FidelityMachine(solver="dual").fit_states(states, y.astype(float))
    assert (auto.margin(states) == dual.margin(states)).all()


def test_auto_takes_the_primal_for_more_rows_and_landmarks_for_large_states(monkeypatch):
    monkeypatch.setattr("qwarden.learn.fidelity.DUAL_LIMIT", 99)
    monkeypatch.setattr("qwarden.learn.fidelity.PRIMAL_DIMENSION", 8)
    for dimension, solver in ((8, "primal"), (16, "nystrom")):
        states, y = cloud(100, dimension)
        auto = FidelityMachine().fit_states(states, y.astype(float))
        told = FidelityMachine(solver=solver).fit_states(states, y.astype(float))
        assert (auto.margin(states) == told.margin(states)).all()
        assert (auto.support_count_ == 0) == (solver == "primal")


@pytest.mark.parametrize("loss", ["ridge", "squared_hinge"])
def test_primal_is_nystrom_with_every_row_a_landmark(loss):
    states, y = cloud(400, 4)
    fresh, _ = cloud(50, 4, seed=1)
    weights = np.random.default_rng(2).random(400) + 0.5
    primal, nystrom = (
        FidelityMachine(solver, loss=loss, ridge=1e-3, landmarks=400).fit_states(
            states, y.astype(float), weights
        )
        for solver in ("primal", "nystrom")
    )
    np.testing.assert_allclose(primal.margin(fresh), nystrom.margin(fresh), atol=1e-4)
    few = np.concatenate([primal.margin(fresh[i : i + 1]) for i in range(50)])
    np.testing.assert_allclose(few, primal.margin(fresh), atol=1e-10)


def test_kernel_of_the_engine_is_the_one_by_hand():
    A, _ = cloud(5, 8)
    B, _ = cloud(4, 8, seed=3)
    np.testing.assert_allclose(fidelity_kernel(A, B), by_hand(A, B), atol=1e-13)


@pytest.mark.parametrize("settings", [{"solver": "spiral"}, {"solver": "nystrom", "loss": "hinge"}])
def test_unknown_choices_are_refused(settings):
    states, y = cloud(10, 4)
    with pytest.raises(ValueError, match="must be"):
        FidelityMachine(**settings).fit_states(states, y.astype(float))
