from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from qwarden.learn import QuantumOneClass
from qwarden.learn.one_class import eigenspace, mean_density


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


# -- the eigenspace of rho ---------------------------------------------------------------------------


def correlated(seed: int, rows: int = 600) -> np.ndarray:
    """Rows near a plane: their states fill few dimensions."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 2)) @ [[1.0, 0.5, -0.5, 0.2], [0.0, 1.0, 0.3, -0.8]] / 2


@pytest.fixture(scope="module")
def spaced() -> tuple[QuantumOneClass, np.ndarray]:
    X = correlated(0)
    return QuantumOneClass(qubits=4, layers=2, method="eigenspace", mass=0.98).fit(X), X


def test_score_is_the_mass_inside_the_leading_eigenvectors(spaced):
    """Against a projector built from the singular vectors of the states, without rho."""
    model, X = spaced
    states = model.encoding_.states(X)
    _, singular, right = np.linalg.svd(states, full_matrices=False)
    held = np.cumsum(singular**2) / len(X)
    kept = int((held < 0.98).sum()) + 1
    assert 1 < kept < 15
    fresh = np.random.default_rng(1).normal(size=(50, 4))
    image = model.encoding_.states(fresh) @ right[:kept].conj().T @ right[:kept]
    expected = (np.abs(image) ** 2).sum(axis=1)
    np.testing.assert_allclose(model.score_samples(fresh), expected, atol=1e-10)
    np.testing.assert_allclose(model.strangeness(fresh), 1.0 - expected, atol=1e-10)
    assert held[kept - 1] == pytest.approx(model.score_samples(X).mean(), abs=1e-10)


def test_mean_density_does_not_depend_on_how_rows_are_cut(spaced, monkeypatch):
    model, X = spaced
    whole = mean_density(model.encoding_, X)
    states = model.encoding_.states(X)
    np.testing.assert_allclose(whole, states.T @ states.conj() / len(X), atol=1e-12)
    monkeypatch.setattr("qwarden.learn.one_class._DENSITY_ROWS", 7)
    np.testing.assert_allclose(mean_density(model.encoding_, X), whole, atol=1e-12)


def test_nearest_of_the_eigenspace_is_an_eigenvector(spaced):
    model, X = spaced
    states, space = model.encoding_.states(X[:20]), model._references
    values = np.einsum("ki,ij,kj->k", space.conj(), mean_density(model.encoding_, X), space).real
    assert (np.diff(values) < 0).all()
    fidelities, numbers = model.nearest(X[:20], 1)
    expected = np.abs(states.conj() @ space.T) ** 2
    assert numbers[:, 0].tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(fidelities[:, 0], expected.max(axis=1), atol=1e-12)


def test_offset_of_the_eigenspace_holds_for_unseen_normals_even_where_they_are_few():
    """200 rows in 256 dimensions: every one of them lies inside the space they span."""
    rates = []
    for seed in range(5):
        model = QuantumOneClass(method="eigenspace", contamination=0.1, seed=seed)
        model.fit(np.random.default_rng(seed).normal(size=(200, 6)))
        assert (model.predict(np.random.default_rng(seed).normal(size=(200, 6))) == 1).all()
        unseen = np.random.default_rng(seed + 100).normal(size=(1000, 6))
        rates.append((model.predict(unseen) == -1).mean())
    assert 0.03 < np.mean(rates) < 0.13


def test_there_is_always_an_inside_and_an_outside():
    rho = np.diag([0.25] * 4).astype(complex)
    assert eigenspace(rho, 1.0).shape == (3, 4)
    assert eigenspace(np.diag([1.0, 0.0]).astype(complex), 0.5).shape == (1, 2)


@pytest.mark.parametrize(("wrong", "said"), [({"mass": 0.0}, "mass"), ({"method": "all"}, "method")])
def test_wrong_parameters_of_the_eigenspace(wrong, said):
    with pytest.raises(ValueError, match=said):
        QuantumOneClass(**{"method": "eigenspace", "qubits": 2, **wrong}).fit(np.eye(4))


@pytest.mark.parametrize("method", ["neighbours", "eigenspace"])
def test_the_unentangled_twin_is_trained_by_the_same_call(method):
    X = correlated(0)
    model = QuantumOneClass(qubits=3, layers=2, method=method, mass=0.9)
    pair = [clone(model).set_params(entangled=entangled).fit(X) for entangled in (True, False)]
    assert [model.encoding_._map.two_qubit_gates for model in pair] == [6, 0]
    assert np.abs(pair[0].score_samples(X) - pair[1].score_samples(X)).max() > 1e-3


@pytest.mark.parametrize("method", ["neighbours", "eigenspace"])
def test_state_scores_alike(method):
    X = correlated(0)
    model = QuantumOneClass(qubits=3, method=method).fit(X)
    again = QuantumOneClass.from_state(model.to_state())
    assert (again.decision_function(X) == model.decision_function(X)).all()


def test_a_state_from_before_there_was_a_choice_is_one_of_neighbours(fitted):
    model, X = fitted
    state = model.to_state()
    for name in ("method", "mass", "entangled"):
        del state.params[name]
    again = QuantumOneClass.from_state(state)
    assert again.method == "neighbours"
    assert (again.score_samples(X) == model.score_samples(X)).all()
