"""The laid-out trees say what scikit-learn's say, whatever the data."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from qwarden.learn import ExtraTreesTwin, GradientBoostingTwin, Preprocessor

rows_of = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans(), st.booleans())


def draw(
    seed: int, columns: int, unknowns: bool, integers: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X, fresh = rng.normal(size=(150, columns)) * 10, rng.normal(size=(100, columns)) * 12
    y = (X[:, 0] + rng.normal(size=150) > 0).astype(int)
    if integers:
        X, fresh = X.round(), fresh.round()
    if unknowns:
        X[rng.random(X.shape) < 0.2] = np.nan
        fresh[rng.random(fresh.shape) < 0.3] = np.nan
    return X, y, np.vstack([X, fresh])


@settings(max_examples=10)
@given(rows_of)
def test_gradient_boosting(drawn):
    X, y, fresh = draw(*drawn)
    twin = GradientBoostingTwin(iterations=6, class_weight=None).fit(X, y)
    peer = HistGradientBoostingClassifier(max_iter=6, early_stopping=False, random_state=0).fit(X, y)
    np.testing.assert_allclose(twin.predict_proba(fresh), peer.predict_proba(fresh), atol=1e-12, rtol=0)
    np.testing.assert_allclose(
        twin.decision_function(fresh), peer.decision_function(fresh), atol=1e-12, rtol=1e-12
    )


@settings(max_examples=15)
@given(rows_of)
def test_extra_trees(drawn):
    X, y, fresh = draw(*drawn)
    twin = ExtraTreesTwin(trees=10, class_weight=None).fit(X, y)
    peer = ExtraTreesClassifier(10, random_state=0).fit(X, y)
    np.testing.assert_allclose(twin.predict_proba(fresh), peer.predict_proba(fresh), atol=1e-12, rtol=0)


@settings(max_examples=30)
@given(rows_of, st.booleans())
def test_preprocessor_is_finite_monotone_and_row_by_row(drawn, heavy):
    X, _, fresh = draw(*drawn)
    if heavy:
        X, fresh = np.sign(X) * np.expm1(np.abs(X)), np.sign(fresh) * np.expm1(np.abs(fresh))
    p = Preprocessor().fit(X)
    out = p.transform(fresh)
    assert np.isfinite(out).all()
    alone = np.vstack([p.transform(fresh[i : i + 1]) for i in range(len(fresh))])
    assert (alone == out).all()
    known = ~np.isnan(fresh[:, 0])
    order = np.argsort(fresh[known, 0], kind="stable")
    assert (np.diff(out[known, 0][order]) >= -1e-12).all()
