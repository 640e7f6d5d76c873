"""Quantum nearest neighbours against a recount by hand."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.learn import QKNNClassifier


def rows(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, 3))
    return X, np.where((X**2).sum(axis=1) > 2.4, "out", "in")


@pytest.mark.parametrize("neighbors", [1, 4, 7])
def test_votes_are_those_of_a_recount(neighbors):
    X, y = rows()
    fresh, _ = rows(30, seed=1)
    weight = np.random.default_rng(2).random(120) + 0.5
    model = QKNNClassifier(qubits=3, layers=2, neighbors=neighbors).fit(X, y, weight)
    known, states = model.encoding_.states(X), model.encoding_.states(fresh)
    for state, share in zip(states, model.predict_proba(fresh)[:, 1], strict=True):
        nearest = np.argsort(-(np.abs(known.conj() @ state) ** 2))[:neighbors]
        assert abs(share - weight[nearest] @ (y[nearest] == "out") / weight[nearest].sum()) < 1e-12


def test_all_rows_as_faithful_as_the_kth_vote():
    """Three equal rows, of which two are in class 1: k = 1 cannot pick one of them."""
    X, y = np.array([[0.0], [0.0], [0.0], [3.0], [3.5]]), np.array([0, 1, 1, 0, 0])
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        model = QKNNClassifier(qubits=1, layers=1, neighbors=1).fit(X[order], y[order])
        np.testing.assert_allclose(model.predict_proba([[0.0]]), [[1 / 3, 2 / 3]], atol=1e-12)


def test_equal_votes_are_for_the_first_class():
    model = QKNNClassifier(qubits=1, layers=1, neighbors=2).fit([[0.0], [0.0], [2.0]], ["b", "a", "b"])
    assert model.predict([[0.0]]).tolist() == ["a"]


def test_sample_of_references_and_more_neighbours_than_rows():
    X, y = rows()
    model = QKNNClassifier(qubits=2, layers=1, reference_size=10, neighbors=50).fit(X, y)
    assert len(model._references) == 10
    assert len(np.unique(model.predict_proba(X)[:, 1])) == 1  # all ten vote on every row


def test_chunks_do_not_show():
    X, y = rows()
    many, _ = rows(1100, seed=3)
    model = QKNNClassifier(qubits=3, layers=1).fit(X, y)
    alone = np.concatenate([model.decision_function(many[i : i + 1]) for i in range(500, 530)])
    np.testing.assert_allclose(model.decision_function(many)[500:530], alone, atol=1e-9)


def test_no_neighbours_are_refused():
    with pytest.raises(ValueError, match="neighbors must be 1 or more"):
        QKNNClassifier(neighbors=0).fit(*rows())
