from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from qwarden.learn import IsolationForestTwin


def cloud(n: int = 700) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 4)) * [1.0, 10.0, 0.1, 3.0]


def test_scores_are_scikit_learns():
    X, fresh = cloud(), np.random.default_rng(1).normal(size=(300, 4)) * 5
    twin = IsolationForestTwin(trees=30, samples=100, seed=3).fit(X)
    peer = IsolationForest(n_estimators=30, max_samples=100, random_state=3).fit(X)
    np.testing.assert_allclose(twin.score_samples(fresh), peer.score_samples(fresh), atol=1e-12)
    np.testing.assert_allclose(twin.strangeness(fresh), -peer.score_samples(fresh), atol=1e-12)
    assert twin.offset_ == pytest.approx(np.quantile(peer.score_samples(X), 0.02), abs=1e-12)


def test_a_value_on_a_threshold_falls_as_in_scikit_learn():
    X = cloud(100)[:, :1]
    twin = IsolationForestTwin(trees=5).fit(X)
    peer = IsolationForest(n_estimators=5, max_samples=100, random_state=0).fit(X)
    edges = np.concatenate([tree.tree_.threshold for tree in peer.estimators_])
    edges = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])[:, None]
    np.testing.assert_allclose(twin.score_samples(edges), peer.score_samples(edges), atol=1e-12)


def test_equal_rows_cannot_be_isolated():
    """One leaf holds all: the paper's score is then 1/2 for everything."""
    twin = IsolationForestTwin(trees=4, samples=64).fit(np.ones((64, 2)))
    np.testing.assert_allclose(twin.strangeness([[1.0, 1.0], [9.0, 9.0]]), 0.5, atol=1e-12)


def test_unknown_is_the_mean_and_state_scores_alike():
    X = cloud()
    twin = IsolationForestTwin(trees=20).fit(X)
    row = X[:1].copy()
    row[0, 1] = np.nan
    filled = row.copy()
    filled[0, 1] = X[:, 1].mean()
    assert twin.strangeness(row) == twin.strangeness(filled)
    again = IsolationForestTwin.from_state(twin.to_state())
    assert (again.decision_function(X) == twin.decision_function(X)).all()


def test_a_layout_that_differs_is_noticed(monkeypatch):
    monkeypatch.setattr("qwarden.learn.forests._mean_cuts", lambda rows: np.ones(np.shape(rows)))
    with pytest.raises(RuntimeError, match="differ from scikit-learn's"):
        IsolationForestTwin(trees=3).fit(cloud(50))
