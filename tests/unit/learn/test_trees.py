from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from qwarden.learn import ExtraTreesTwin, GradientBoostingTwin
from qwarden.learn._tree_walk import Forest, plant, sum_of_leaves


def stump(threshold: float, low: float, high: float, unknown_left: bool) -> Forest:
    return Forest(
        roots=np.array([0]),
        feature=np.array([0, 0, 0]),
        threshold=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, 1, 2]),
        right=np.array([2, 1, 2]),
        unknown_left=np.array([unknown_left, False, False]),
        value=np.array([0.0, low, high]),
    )


def test_walk_by_hand():
    forest = plant([stump(1.0, 10.0, 20.0, True), stump(2.0, 1.0, 2.0, False)])
    rows = np.array([[0.0], [1.0], [1.5], [3.0], [np.nan]])
    assert sum_of_leaves(rows, *forest, 0.5).tolist() == [11.5, 11.5, 21.5, 22.5, 12.5]


def test_weights_reach_scikit_learn():
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(200, 2)), rng.random(200)
    y = (X[:, 0] + rng.normal(size=200) > 0.8).astype(int)
    twin = GradientBoostingTwin(iterations=5).fit(X, y, weights)
    share = weights @ y / weights.sum()
    balanced = weights * np.where(y == 1, 0.5 / share, 0.5 / (1 - share))
    peer = HistGradientBoostingClassifier(max_iter=5, early_stopping=False, random_state=0)
    peer.fit(X, y, sample_weight=balanced / balanced.mean())
    np.testing.assert_allclose(twin.predict_proba(X), peer.predict_proba(X), atol=1e-12)


def test_extra_trees_compare_in_single_precision():
    """A value that float32 rounds onto a threshold goes the way scikit-learn sends it."""
    from sklearn.ensemble import ExtraTreesClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 1))
    y = (X[:, 0] > 0).astype(int)
    y[::7] = 1 - y[::7]
    twin, peer = (
        ExtraTreesTwin(trees=5, class_weight=None).fit(X, y),
        ExtraTreesClassifier(5, random_state=0).fit(X, y),
    )
    edges = np.concatenate([t.tree_.threshold for t in peer.estimators_])
    edges = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)])[:, None]
    np.testing.assert_allclose(twin.predict_proba(edges), peer.predict_proba(edges), atol=1e-12)


def test_a_layout_that_differs_is_noticed(monkeypatch):
    X = np.arange(100.0)[:, None]
    monkeypatch.setattr(
        "qwarden.learn.trees.plant", lambda trees: plant(trees)._replace(value=np.zeros(10_000))
    )
    with pytest.raises(RuntimeError, match="differ from scikit-learn's"):
        GradientBoostingTwin(iterations=3).fit(X, X[:, 0] > 50)


def test_trees_asked_by_feature_say_what_a_walk_says_to_the_bit():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(900, 6)).round(1)
    X[rng.random(X.shape) < 0.15] = np.nan
    y = np.nansum(X[:, :3], axis=1) > 0
    twin = GradientBoostingTwin(iterations=30, max_leaf_nodes=64).fit(X, y)
    assert twin._ranked is not None
    walked = sum_of_leaves(X, *twin._forest, twin._baseline)
    assert twin.decision_function(X).tolist() == walked.tolist()


def test_trees_of_many_leaves_are_walked_through():
    rng = np.random.default_rng(9)
    X = rng.normal(size=(4000, 2))
    twin = GradientBoostingTwin(iterations=2, max_leaf_nodes=100, min_samples_leaf=5)
    twin.fit(X, np.sin(5 * X[:, 0]) * np.cos(5 * X[:, 1]) > 0)
    assert twin._ranked is None
    assert (
        twin.decision_function(X[:5]).tolist() == sum_of_leaves(X[:5], *twin._forest, twin._baseline).tolist()
    )
