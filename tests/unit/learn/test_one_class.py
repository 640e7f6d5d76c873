from __future__ import annotations

import numpy as np
import pytest

from qwarden.learn import QuantumOneClass


@pytest.fixture(scope="module")
def fitted() -> tuple[QuantumOneClass, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(500, 5))
    return QuantumOneClass(qubits=3, layers=2, top_k=4, reference_size=200).fit(X), X


def test_score_is_the_mean_of_the_largest_fidelities(fitted):
    model, X = fitted
    stored = model.encoding_.states(X[model.reference_rows_])
    fidelity = np.abs(model.encoding_.states(X).conj() @ stored.T) ** 2
    expected = np.sort(fidelity, axis=1)[:, -4:].mean(axis=1)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-12)
    np.testing.assert_allclose(model.strangeness(X), -np.log(expected), atol=1e-12)


def test_one_row_scores_as_in_a_batch(fitted):
    model, X = fitted
    alone = np.concatenate([model.score_samples(X[i : i + 1]) for i in range(50)])
    np.testing.assert_allclose(alone, model.score_samples(X[:50]), atol=1e-12)


def test_nearest_of_a_stored_row_is_itself(fitted):
    model, X = fitted
    rows = X[model.reference_rows_[:40]]
    single = [model.nearest(row[None], 3) for row in rows]
    alone = np.vstack([f for f, _ in single]), np.vstack([n for _, n in single])
    for fidelities, numbers in (model.nearest(rows, 3), alone):
        assert numbers[:, 0].tolist() == list(range(40))
        np.testing.assert_allclose(fidelities[:, 0], 1.0, atol=1e-12)
        assert (np.diff(fidelities, axis=1) <= 0).all()


def test_few_references():
    X = np.random.default_rng(0).normal(size=(3, 2))
    model = QuantumOneClass(qubits=2, layers=1, top_k=5).fit(X)
    assert model.score_samples(X).shape == (3,)
    assert model.nearest(X, 10)[1].shape == (3, 3)


def test_contamination_is_the_share_of_unseen_normals_beyond_the_offset():
    rng = np.random.default_rng(0)
    model = QuantumOneClass(qubits=4, layers=1, contamination=0.1).fit(rng.normal(size=(2000, 3)))
    assert abs((model.predict(rng.normal(size=(2000, 3))) == -1).mean() - 0.1) < 0.03


def test_too_few_normals_are_refused():
    with pytest.raises(ValueError, match="normal rows"):
        QuantumOneClass().fit([[1.0], [2.0]], [0, 1])
