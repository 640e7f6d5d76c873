from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from qwarden.learn import KNeighborsTwin, NeighborDistanceTwin


def cloud(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)) * [1.0, 10.0, 0.1, 3.0]
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)


def test_classifier_is_scikit_learns_on_standardised_rows():
    X, y = cloud()
    scale = lambda rows: (rows - X.mean(axis=0)) / X.std(axis=0)  # noqa: E731
    peer = KNeighborsClassifier(7).fit(scale(X), y)
    fresh = np.random.default_rng(1).normal(size=(100, 4)) * [1.0, 10.0, 0.1, 3.0]
    twin = KNeighborsTwin(neighbors=7).fit(X, y)
    np.testing.assert_allclose(twin.predict_proba(fresh), peer.predict_proba(scale(fresh)), atol=1e-12)


def test_distances_are_scikit_learns():
    X, _ = cloud()
    fresh = X[:50] + 0.3
    twin = NeighborDistanceTwin(neighbors=4).fit(X)
    distances, numbers = NearestNeighbors(n_neighbors=4).fit(X).kneighbors(fresh)
    found, whose = twin.nearest(fresh, 4)
    np.testing.assert_allclose(found, distances, atol=1e-9)
    assert (whose == numbers).all()
    np.testing.assert_allclose(twin.strangeness(fresh), distances.mean(axis=1), atol=1e-9)


def test_unknown_is_the_mean():
    X, _ = cloud()
    twin = NeighborDistanceTwin().fit(X)
    row = X[:1].copy()
    row[0, 1] = np.nan
    filled = row.copy()
    filled[0, 1] = X[:, 1].mean()
    assert twin.strangeness(row) == twin.strangeness(filled)


def test_reference_size_is_kept():
    X, y = cloud()
    assert len(KNeighborsTwin(reference_size=50).fit(X, y)._references) == 50
    assert len(NeighborDistanceTwin(reference_size=50).fit(X)._references) == 50


def test_offset_leaves_a_row_out_of_its_own_distance():
    X, _ = cloud(200)
    twin = NeighborDistanceTwin(neighbors=3, contamination=0.1).fit(X)
    distances, _ = NearestNeighbors(n_neighbors=4).fit(X).kneighbors(X)
    np.testing.assert_allclose(twin.offset_, np.quantile(-distances[:, 1:].mean(axis=1), 0.1))
