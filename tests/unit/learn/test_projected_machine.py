"""The projected-kernel machine against scikit-learn's on a kernel built from reduced density matrices."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from qwarden.learn import ProjectedMachine, ProjectedQSVC
from qwarden.quantum import reduced_densities


def ring(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, 2))
    return X, ((X**2).sum(axis=1) > 1.4).astype(int)


def by_hand(A: np.ndarray, B: np.ndarray, gamma: float) -> np.ndarray:
    a, b = reduced_densities(A)[:, None], reduced_densities(B)[None]
    return np.exp(-gamma * (np.abs(a - b) ** 2).sum(axis=(2, 3, 4)))


def test_dual_is_scikit_learns_machine_on_the_kernel_by_hand():
    X, y = ring()
    fresh, _ = ring(40, seed=1)
    weight = np.random.default_rng(2).random(300) + 0.5
    model = ProjectedQSVC(qubits=3, layers=2, gamma=1.3, C=4.0, class_weight=None, calibration_share=0.0).fit(
        X, y, weight
    )
    states, new = model.encoding_.states(X), model.encoding_.states(fresh)
    peer = SVC(kernel="precomputed", C=4.0, tol=1e-6)
    peer.fit(by_hand(states, states, 1.3), y, sample_weight=weight / weight.mean())
    expected = peer.decision_function(by_hand(new, states, 1.3))
    np.testing.assert_allclose(model.decision_function(fresh), expected, atol=5e-3)


def test_nystrom_with_all_rows_is_exact_kernel_ridge():
    """Against the bordered system of the least-squares machine with a free bias (Suykens 1999, eq. 6)."""
    X, y = ring(60)
    states = ProjectedQSVC(qubits=3, layers=2).fit(X, y).encoding_.states(X)
    ridge, n = 1e-3, 60
    machine = ProjectedMachine(gamma=2.0, solver="nystrom", loss="ridge", ridge=ridge, landmarks=n)
    machine.fit_states(states, y.astype(float))
    system = np.zeros((n + 1, n + 1))
    system[0, 1:] = system[1:, 0] = 1.0
    system[1:, 1:] = by_hand(states, states, 2.0) + n * ridge * np.eye(n)
    bias, *alpha = np.linalg.solve(system, np.concatenate([[0.0], 2.0 * y - 1.0]))
    np.testing.assert_allclose(machine.margin(states), by_hand(states, states, 2.0) @ alpha + bias, atol=1e-5)


@pytest.mark.parametrize("solver", ["dual", "nystrom"])
def test_it_separates_a_ring(solver):
    model = ProjectedQSVC(qubits=4, layers=2, solver=solver, landmarks=100, ridge=1e-6).fit(*ring())
    assert model.score(*ring(seed=1)) > 0.9


def test_scale_is_scikit_learns():
    X, y = ring()
    model = ProjectedQSVC(qubits=3, layers=2).fit(X, y)
    states = model.encoding_.states(X)
    machine = ProjectedMachine().fit_states(states, y.astype(float))
    bloch = np.stack(
        [
            reduced_densities(states)[..., 0, 1].real * 2,
            reduced_densities(states)[..., 0, 1].imag * -2,
            (reduced_densities(states)[..., 0, 0] - reduced_densities(states)[..., 1, 1]).real,
        ],
        axis=-1,
    ).reshape(300, 9) / np.sqrt(2)
    assert machine.gamma_ == pytest.approx(SVC(gamma="scale").fit(bloch, y)._gamma)


@pytest.mark.parametrize("settings", [{"solver": "primal"}, {"loss": "hinge"}])
def test_unknown_choices_are_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        ProjectedQSVC(**settings).fit(*ring(20))
