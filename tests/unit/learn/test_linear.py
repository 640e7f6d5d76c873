from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from qwarden.learn import LogisticTwin
from qwarden.learn.base import sigmoid


def cloud(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)) * [1.0, 10.0, 0.1, 3.0] + 5.0
    return X, (X[:, 0] + rng.normal(size=n) > 5.8).astype(int)


def test_log_odds_are_scikit_learns_on_standardised_rows():
    X, y = cloud()
    twin = LogisticTwin(ridge=1e-3, class_weight=None).fit(X, y)
    peer = LogisticRegression(C=0.5 / (1e-3 * len(X)), tol=1e-10, solver="newton-cholesky")
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = peer.fit(scaled, y).decision_function(scaled)
    np.testing.assert_allclose(twin.decision_function(X), expected, atol=2e-4)


def test_gradient_of_the_stated_loss_is_zero():
    """Mean weighted logistic loss plus ridge times the squared norm of the standardised weights."""
    X, y = cloud()
    weights = np.random.default_rng(1).random(len(X))
    twin = LogisticTwin(ridge=0.01, class_weight=None).fit(X, y, weights)
    share = weights / weights.sum()
    mean = share @ X
    scale = np.sqrt(share @ (X - mean) ** 2)
    scaled, own = (X - mean) / scale, twin.weights_ * scale
    slope = share * (sigmoid(twin.decision_function(X)) - y)
    np.testing.assert_allclose(scaled.T @ slope + 2 * 0.01 * own, 0.0, atol=1e-5)
    assert abs(slope.sum()) < 1e-5


def test_balanced_is_a_weight():
    X, y = cloud()
    share = y.mean()
    weights = np.where(y == 1, 0.5 / share, 0.5 / (1 - share))
    np.testing.assert_allclose(
        LogisticTwin().fit(X, y).decision_function(X),
        LogisticTwin(class_weight=None).fit(X, y, weights).decision_function(X),
        atol=1e-6,
    )


def test_unknown_is_the_mean_and_state_scores_alike():
    X, y = cloud()
    twin = LogisticTwin(class_weight=None).fit(X, y)
    row = X[:1].copy()
    row[0, 1] = np.nan
    filled = row.copy()
    filled[0, 1] = X[:, 1].mean()
    np.testing.assert_allclose(twin.decision_function(row), twin.decision_function(filled), atol=1e-12)
    again = LogisticTwin.from_state(twin.to_state())
    assert (again.decision_function(X) == twin.decision_function(X)).all()
