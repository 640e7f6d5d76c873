from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Statevector, partial_trace

from qwarden.core.errors import Interrupted
from qwarden.learn import QuantumAutoencoder
from qwarden.learn.one_class import mean_density
from qwarden.quantum import LocalBackend


def plane(seed: int, rows: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 2)) @ [[1.0, 0.5, -0.5, 0.2], [0.0, 1.0, 0.3, -0.8]] / 2


@pytest.fixture(scope="module")
def fitted() -> tuple[QuantumAutoencoder, np.ndarray]:
    X = plane(0)
    return QuantumAutoencoder(qubits=3, layers=1, latent=1, depth=8, bandwidth=1.0).fit(X), X


def test_score_is_the_trash_qubits_fidelity_with_zero(fitted):
    """Against Qiskit's partial trace of the compressed states."""
    model, X = fitted
    compressed = LocalBackend().states(model._ansatz(), model.angles_[None], model.encoding_.states(X[:20]))
    expected = [partial_trace(Statevector(state), [0]).data[0, 0].real for state in compressed]
    np.testing.assert_allclose(model.score_samples(X[:20]), expected, atol=1e-10)
    np.testing.assert_allclose(model.strangeness(X[:20]), 1.0 - np.array(expected), atol=1e-10)


def test_cost_is_the_mean_over_all_normals_and_stays_above_the_bound(fitted):
    model, X = fitted
    assert model.cost_ == pytest.approx(model.strangeness(X).mean(), abs=1e-9)
    states = model.encoding_.states(X)
    singular = np.linalg.svd(states, compute_uv=False)
    assert model.bound_ == pytest.approx(1.0 - (singular[:2] ** 2).sum() / len(X), abs=1e-9)
    assert model.bound_ - 1e-9 <= model.cost_


@pytest.mark.parametrize("seed", range(3))
def test_training_comes_near_the_bound(fitted, seed):
    _, X = fitted
    model = QuantumAutoencoder(qubits=3, layers=1, latent=1, depth=8, bandwidth=1.0, seed=seed).fit(X)
    untrained = QuantumAutoencoder(qubits=3, layers=1, latent=1, depth=8, bandwidth=1.0, seed=seed, steps=0)
    assert model.cost_ < model.bound_ + 0.01 * (untrained.fit(X).cost_ - model.bound_)


def test_what_lies_far_from_normals_does_not_compress(fitted):
    model, _ = fitted
    normal, other = plane(7), np.random.default_rng(7).normal(size=(400, 4)) * 3
    ranks = (model.strangeness(other)[:, None] > model.strangeness(normal)).mean()
    assert ranks > 0.8


def test_training_sees_rho_and_not_the_rows(fitted):
    """Rows in another order, or all of them twice, have the same mean density matrix."""
    model, X = fitted
    again = QuantumAutoencoder(qubits=3, layers=1, latent=1, depth=8, bandwidth=1.0)
    again.fit(np.vstack([X[::-1], X]))
    rho = mean_density(model.encoding_, X)
    np.testing.assert_allclose(mean_density(again.encoding_, np.vstack([X[::-1], X])), rho, atol=1e-9)
    assert again.cost_ == pytest.approx(model.cost_, abs=1e-3)


def test_unentangled_twin_has_no_gate_on_two_qubits(fitted):
    _, X = fitted
    twin = QuantumAutoencoder(qubits=3, layers=1, latent=1, depth=2, entangled=False, steps=20).fit(X)
    assert twin._ansatz().two_qubit_gates == twin.encoding_._map.two_qubit_gates == 0
    assert len(twin.angles_) == 2 * 3 * 3


def test_state_scores_alike_and_one_seed_gives_one_model(fitted):
    model, X = fitted
    again = QuantumAutoencoder.from_state(model.to_state())
    assert (again.decision_function(X) == model.decision_function(X)).all()
    twin = QuantumAutoencoder(qubits=3, layers=1, latent=1, depth=8, bandwidth=1.0).fit(X)
    assert (twin.angles_ == model.angles_).all()


def test_unknown_is_the_mean(fitted):
    model, X = fitted
    row = X[:1].copy()
    row[0, 2] = np.nan
    filled = row.copy()
    filled[0, 2] = X[:, 2].mean()
    np.testing.assert_allclose(model.strangeness(row), model.strangeness(filled), atol=1e-12)


def test_interrupt_says_how_far_it_came(stop_at):
    with pytest.raises(Interrupted, match="after step 3 of 50"):
        QuantumAutoencoder(qubits=2, latent=1, steps=50).fit(plane(0), progress=stop_at(3))


@pytest.mark.parametrize("latent", [0, 3])
def test_latent_leaves_some_trash(latent):
    with pytest.raises(ValueError, match="latent"):
        QuantumAutoencoder(qubits=3, latent=latent).fit(plane(0))
