from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from qwarden.learn import FixedEncoding
from qwarden.quantum import LocalBackend, zz_feature_map


def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 3.0


def test_components_are_those_of_scikit_learn_up_to_sign_and_scale():
    X = rows()
    peer = PCA(4).fit(X)
    expected = 0.5 * peer.transform(X) / (peer.transform(X).std(axis=0) ** 0.25)
    found = FixedEncoding(qubits=4, pca=4, scale_power=0.25, bandwidth=0.5).fit(X).transform(X)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)


def test_whitening_and_none():
    X = rows()
    white = FixedEncoding(qubits=4, pca=6, scale_power=1.0, bandwidth=1.0).fit(X).transform(X)
    np.testing.assert_allclose(white.std(axis=0), 1.0, atol=1e-9)
    plain = FixedEncoding(qubits=4, pca=6, scale_power=0.0, bandwidth=1.0).fit(X).transform(X)
    distance = np.linalg.norm(X[0] - X[1])
    np.testing.assert_allclose(np.linalg.norm(plain[0] - plain[1]), distance, atol=1e-9)


@pytest.mark.parametrize(("name", "slots"), [("reupload", 6), ("z", 3), ("zz", 3), ("iqp", 3)])
def test_states_have_unit_norm_and_use_at_most_the_maps_slots(name, slots):
    X = rows()
    encoding = FixedEncoding(name, qubits=3, layers=1, pca=40).fit(X)
    assert encoding.transform(X).shape == (200, slots)
    np.testing.assert_allclose(np.linalg.norm(encoding.states(X), axis=1), 1.0)


def test_states_are_the_engines():
    X = rows()
    encoding = FixedEncoding("zz", qubits=3, layers=2, pca=3).fit(X)
    circuit = zz_feature_map(3, 2, "linear")
    expected = LocalBackend().states(circuit, circuit.angles(encoding.transform(X)))
    np.testing.assert_allclose(encoding.states(X), expected, atol=1e-12)


def test_fewer_components_than_the_map_has_features():
    X = rows()[:, :2]
    components = FixedEncoding("z", qubits=4, layers=1).fit(X).transform(X)
    assert components.shape == (200, 4)
    assert not components[:, 2:].any()


def test_unknown_is_the_mean_and_constant_columns_are_harmless():
    X = np.column_stack([rows()[:, 0], np.full(200, 7.0)])
    encoding = FixedEncoding(qubits=2, standardise=True).fit(X)
    np.testing.assert_allclose(
        encoding.states([[np.nan, np.nan]]), encoding.states([[X[:, 0].mean(), 7.0]]), atol=1e-9
    )


def test_unknown_map_is_refused():
    with pytest.raises(ValueError, match="feature_map"):
        FixedEncoding("spiral").fit(rows())
