from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM

from qwarden.learn import OneClassSVMTwin, RBFSVMTwin


def rings(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, 3)) * [1.0, 2.0, 0.5]
    return X, ((X / [1.0, 2.0, 0.5]) ** 2).sum(axis=1) > 2.4


# -- the classifier ------------------------------------------------------------------------------------


def test_all_rows_as_landmarks_solve_the_whole_problem():
    """At the optimum of mean squared hinge + ridge |f|^2 the coefficients are the loss's slopes.

    Setting the derivative in f to zero gives a = w * sign * max(0, 1 - sign f) / (n * ridge), which needs
    no solver: the trained margins must reproduce themselves through it.
    """
    X, y = rings(150)
    ridge, signs = 1e-2, np.where(y, 1.0, -1.0)
    twin = RBFSVMTwin(gamma=0.5, ridge=ridge, class_weight=None, calibration_share=0).fit(X, y)
    margins = twin.margin(X)
    slopes = signs * np.maximum(0.0, 1.0 - signs * margins) / (len(X) * ridge)
    kernel = rbf_kernel((X - X.mean(axis=0)) / X.std(axis=0), gamma=0.5)
    np.testing.assert_allclose(kernel @ slopes + twin.bias_, margins, atol=1e-6)
    assert abs(slopes.sum()) < 1e-6


def test_few_landmarks_come_near_the_whole_problem():
    X, y = rings(600)
    fresh, _ = rings(300, seed=1)
    whole, few = (RBFSVMTwin(landmarks=m, ridge=1e-2).fit(X, y) for m in (600, 60))
    assert len(few._landmarks) == 60
    assert np.corrcoef(whole.margin(fresh), few.margin(fresh))[0, 1] > 0.999


def test_it_learns_a_ring_and_its_probabilities_mean_something():
    X, y = rings(2000)
    fresh, truth = rings(2000, seed=1)
    twin = RBFSVMTwin(landmarks=100).fit(X, y)
    assert twin.score(fresh, truth) > 0.95
    chances = twin.predict_proba(fresh)[:, 1]
    unsure = (chances > 0.2) & (chances < 0.8)
    assert unsure.sum() > 20
    assert abs(truth[unsure].mean() - chances[unsure].mean()) < 0.15


def test_equal_rows_give_one_landmark():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0)
    twin = RBFSVMTwin(calibration_share=0).fit(X, np.repeat([0, 1], 20))
    assert len(twin._landmarks) == 2
    assert twin.predict([[0.1, 0.0], [1.0, 0.9]]).tolist() == [0, 1]


# -- the one-class model -------------------------------------------------------------------------------


def test_scores_are_scikit_learns_but_for_their_scale():
    X, _ = rings()
    fresh, _ = rings(50, seed=1)
    twin = OneClassSVMTwin(gamma=0.3, nu=0.2).fit(X)
    peer = OneClassSVM(gamma=0.3, nu=0.2, tol=1e-8).fit(X)
    np.testing.assert_allclose(twin.score_samples(fresh) * 0.2 * len(X), peer.score_samples(fresh), atol=1e-3)
    assert twin._alpha.sum() == pytest.approx(1.0)


def test_scale_is_scikit_learns():
    X, _ = rings()
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    assert OneClassSVMTwin(standardise=True).fit(X).gamma_ == pytest.approx(1.0 / (3 * standard.var()))


def test_contamination_is_the_share_of_unseen_normals_beyond_the_offset():
    rng = np.random.default_rng(0)
    twin = OneClassSVMTwin(gamma=2.0, contamination=0.1).fit(rng.normal(size=(600, 3)))
    assert abs((twin.predict(rng.normal(size=(3000, 3))) == -1).mean() - 0.1) < 0.04


def test_reference_size_is_kept():
    X, _ = rings()
    assert len(OneClassSVMTwin(reference_size=50, nu=0.99).fit(X)._support) == 50


# -- both ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "twin", [RBFSVMTwin(landmarks=30), OneClassSVMTwin()], ids=lambda t: type(t).__name__
)
def test_single_rows_unknown_values_and_state(twin):
    X, y = rings()
    twin.fit(X, None if isinstance(twin, OneClassSVMTwin) else y)
    alone = np.concatenate([twin.decision_function(X[i : i + 1]) for i in range(40)])
    np.testing.assert_allclose(alone, twin.decision_function(X[:40]), atol=1e-9)
    row = X[:1].copy()
    row[0, 1] = np.nan
    filled = row.copy()
    filled[0, 1] = twin.mean_[1]
    assert twin.decision_function(row) == twin.decision_function(filled)
    again = type(twin).from_state(twin.to_state())
    assert (again.decision_function(X) == twin.decision_function(X)).all()
