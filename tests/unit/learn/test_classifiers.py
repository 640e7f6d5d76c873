"""`QSVC` and `HybridClassifier`: how their parts work together."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from qwarden.core.errors import Interrupted
from qwarden.learn import QSVC, HybridClassifier, QNNClassifier
from qwarden.quantum import fidelity_kernel


def ring(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, 2))
    return X, ((X**2).sum(axis=1) > 1.4).astype(int)


NETWORK = QNNClassifier(qubits=3, layers=2, steps=120, learning_rate=0.05, batch_size=64)


@pytest.mark.parametrize("solver", ["dual", "nystrom", "primal"])
def test_qsvc_separates_a_ring(solver):
    X, y = ring()
    fresh, labels = ring(seed=1)
    model = QSVC(qubits=4, layers=2, C=100.0, ridge=1e-6, solver=solver).fit(X, y)
    assert model.score(fresh, labels) > 0.85


def test_qsvc_is_scikit_learns_svc_on_the_same_states():
    X, y = ring()
    model = QSVC(qubits=3, layers=2, C=5.0, solver="dual", class_weight=None, calibration_share=0.0).fit(X, y)
    states = model.encoding_.states(X)
    peer = SVC(kernel="precomputed", C=5.0).fit(fidelity_kernel(states), y)
    np.testing.assert_allclose(
        model.decision_function(X), peer.decision_function(fidelity_kernel(states)), atol=1e-9
    )


def test_hybrid_is_at_least_as_good_as_its_network():
    X, y = ring(600)
    fresh, labels = ring(600, seed=1)
    model = HybridClassifier(NETWORK, landmarks=100, ridge=1e-6).fit(X, y)
    assert model.score(fresh, labels) >= model.embedding_.score(fresh, labels) - 0.01
    assert model.score(fresh, labels) > 0.9


@pytest.mark.parametrize(
    "model", [QSVC(qubits=3, layers=2), HybridClassifier(NETWORK, landmarks=50, ridge=1e-4)], ids=repr
)
def test_probabilities_are_calibrated_on_rows_not_trained_on(model):
    """Among fresh rows said to be attacks with probability p, about p are."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 2))
    y = (rng.random(1200) < 1 / (1 + np.exp(-2.0 * X[:, 0]))).astype(int)
    fresh = rng.normal(size=(4000, 2))
    truth = 1 / (1 + np.exp(-2.0 * fresh[:, 0]))
    p = model.fit(X, y).predict_proba(fresh)[:, 1]
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        chosen = (p > low) & (p < high)
        assert abs(p[chosen].mean() - truth[chosen].mean()) < 0.12


def test_hybrid_does_not_touch_the_network_it_was_given():
    X, y = ring(100)
    network = QNNClassifier(qubits=2, layers=1, steps=5)
    HybridClassifier(network, landmarks=20).fit(X, y)
    assert not network.__sklearn_is_fitted__()


def test_hybrid_by_default_has_a_default_network_of_its_seed():
    X, y = ring(60)
    fitted = HybridClassifier(landmarks=20, seed=11).fit(X, y)
    assert fitted.embedding_.seed == 11
    assert fitted.embedding_.qubits == 6


def test_interrupted_hybrid_goes_on_to_the_same_bits(stop_at):
    X, y = ring(100)
    settings = NETWORK.get_params(deep=False) | {"steps": 30, "warm_start": True}
    model = HybridClassifier(QNNClassifier(**settings), landmarks=20)
    with pytest.raises(Interrupted):
        model.fit(X, y, progress=stop_at(10))
    plain = HybridClassifier(QNNClassifier(**settings | {"warm_start": False}), landmarks=20).fit(X, y)
    assert (model.fit(X, y).decision_function(X) == plain.decision_function(X)).all()
