"""Every entangling estimator has an unentangled twin: the same call, states that are products."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from qwarden import learn
from qwarden.quantum import reduced_densities

ENTANGLING = [
    learn.FixedEncoding(feature_map="reupload", qubits=3, layers=2),
    learn.FixedEncoding(feature_map="zz", qubits=3, layers=2),
    learn.FixedEncoding(feature_map="iqp", qubits=3, layers=2),
    learn.AlignedEncoding(qubits=3, layers=2, steps=5),
    learn.QNNClassifier(qubits=3, layers=2, steps=5),
    learn.HybridClassifier(learn.QNNClassifier(qubits=3, layers=2, steps=5), landmarks=30),
    learn.QSVC(qubits=3, layers=2),
    learn.QSVC(encoding=learn.AlignedEncoding(qubits=3, layers=2, steps=5)),
    learn.ProjectedQSVC(qubits=3, layers=2),
    learn.QKNNClassifier(qubits=3, layers=2),
]


def purities(model: object, X: np.ndarray) -> np.ndarray:
    """Return tr rho_k^2 of each single qubit: 1 everywhere exactly where states are products."""
    states = model.embed(X) if hasattr(model, "embed") else model.states(X)
    densities = reduced_densities(states)
    return np.einsum("nkab,nkba->nk", densities, densities).real


@pytest.mark.parametrize("model", ENTANGLING, ids=repr)
def test_twin_has_product_states_and_the_model_has_not(model):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    settings = model.get_params(deep=False)
    twin = type(model)(**settings | {"entangled": False})
    assert purities(type(model)(**settings).fit(X, y), X).min() < 0.9
    np.testing.assert_allclose(purities(twin.fit(X, y), X), 1.0, atol=1e-10)
    restored = type(model).from_state(twin.to_state())
    np.testing.assert_allclose(purities(restored, X), 1.0, atol=1e-10)


def test_every_estimator_with_a_circuit_has_the_parameter():
    shown = [getattr(learn, name) for name in learn.__all__]
    kinds = [kind for kind in shown if isinstance(kind, type) and issubclass(kind, learn.Estimator)]
    circuits = [kind for kind in kinds if "qubits" in inspect.signature(kind).parameters]
    assert len(circuits) >= 7
    for kind in circuits:
        assert inspect.signature(kind).parameters["entangled"].default is True, kind
