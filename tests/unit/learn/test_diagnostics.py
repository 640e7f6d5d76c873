from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from qwarden.core.errors import UsageError
from qwarden.learn import geometric_difference, gradient_variance, kernel_concentration
from qwarden.learn.diagnostics import classical_kernels
from qwarden.quantum import (
    Angle,
    Circuit,
    Gate,
    LocalBackend,
    PauliSum,
    fidelity_kernel,
    strongly_entangling,
    zz_feature_map,
)

# -- gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("qubits", [1, 2, 4])
def test_variance_of_a_product_is_known(qubits):
    """<Z...Z> after one RY a qubit is prod cos: each slope has the variance 2**-q."""
    circuit = Circuit(qubits)
    for qubit in range(qubits):
        circuit = circuit.ry(qubit, Angle(qubit))
    found = gradient_variance(circuit, PauliSum.from_terms({"Z" * qubits: 1.0}), seed=0, samples=20_000)
    assert found.variances.shape == (qubits,)
    np.testing.assert_allclose(found.variances, 0.5**qubits, rtol=0.06)


def test_barren_plateau_and_its_absence():
    """A deep circuit's slopes fall with 2**q (McClean et al 2018), one layer's local slopes do not."""
    deep = [gradient_variance(strongly_entangling(q, 10), PauliSum.z(0), seed=1, samples=400) for q in (2, 6)]
    assert 8 < deep[0].mean / deep[1].mean < 32
    # The last RY before Z turns a single qubit: its slope does not know how many others there are.
    for qubits in (2, 6):
        layer = Circuit(qubits, [Gate("ry", (q,), Angle(q)) for q in range(qubits)])
        assert gradient_variance(layer, PauliSum.z(0), seed=1).largest == pytest.approx(0.5, rel=0.1)


def test_variance_against_the_parameter_shift_rule():
    circuit, observable = strongly_entangling(2, 2), PauliSum.zz(0, 1)
    angles = np.random.default_rng(5).uniform(-np.pi, np.pi, (300, circuit.columns))
    backend = LocalBackend()
    slopes = []
    for column in range(circuit.columns):
        shift = np.zeros(circuit.columns)
        shift[column] = np.pi / 2
        plus, minus = (backend.expectations(circuit, angles + s, [observable]) for s in (shift, -shift))
        slopes.append((plus - minus)[:, 0] / 2)
    found = gradient_variance(circuit, observable, seed=5, samples=300)
    np.testing.assert_allclose(found.variances, np.var(slopes, axis=1, ddof=1), atol=1e-12)


def test_nothing_to_vary_is_refused():
    for circuit, samples in ((Circuit(1).h(0), 10), (Circuit(1).rx(0, Angle(0)), 1)):
        with pytest.raises(UsageError, match="variance"):
            gradient_variance(circuit, PauliSum.z(0), seed=0, samples=samples)


# -- kernels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qubits", [2, 4])
def test_random_states_concentrate_as_said(qubits):
    rng = np.random.default_rng(qubits)
    states = rng.normal(size=(900, 1 << qubits)) + 1j * rng.normal(size=(900, 1 << qubits))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    found = kernel_concentration(fidelity_kernel(states), qubits)
    assert found.mean == pytest.approx(found.random_mean, rel=0.02)
    assert found.variance == pytest.approx(found.random_variance, rel=0.05)
    assert found.shots == pytest.approx(found.mean * (1 - found.mean) / found.variance)


def test_bandwidth_keeps_a_kernel_from_concentrating():
    """Full-width angles on eight qubits look like random states, an eighth of them does not."""
    X = np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 8))
    feature_map, backend = zz_feature_map(8), LocalBackend()
    wide, narrow = (
        kernel_concentration(fidelity_kernel(backend.states(feature_map, angles)), 8)
        for angles in (feature_map.angles(X), feature_map.angles(X) / 64)
    )
    assert wide.mean < 3 * wide.random_mean
    assert narrow.variance > 10 * wide.variance
    assert narrow.shots < wide.shots
    assert not narrow.concentrated


def test_equal_entries_take_shots_without_end():
    assert kernel_concentration(np.full((3, 3), 0.5), 1).shots == math.inf


def test_difference_is_the_sources_formula():
    """By matrix functions of SciPy instead of spectra."""
    rng = np.random.default_rng(0)
    quantum, classical = (M @ M.T for M in rng.normal(size=(2, 12, 15)))
    found = geometric_difference(quantum, {"one": classical}, ridge=0.0)
    Q, C = (12 * M / np.trace(M) for M in (quantum, classical))
    expected = math.sqrt(np.linalg.norm(sqrtm(Q) @ inv(C) @ sqrtm(Q), 2))
    assert found.difference == pytest.approx(expected, rel=1e-8)
    ridge, one = 0.3, np.eye(12)
    expected = math.sqrt(np.linalg.norm(sqrtm(Q) @ inv(C + ridge * one) @ sqrtm(Q), 2))
    assert geometric_difference(quantum, {"one": classical}, ridge).difference == pytest.approx(expected)


def test_the_nearest_kernel_is_named_and_scale_does_not_matter():
    X = np.random.default_rng(1).normal(size=(30, 3))
    kernels = classical_kernels(X)
    found = geometric_difference(7.0 * kernels["gaussian 1"], kernels, ridge=1e-6)
    assert found.best == "gaussian 1"
    assert found.difference == pytest.approx(1.0, abs=1e-2)
    assert found.differences.keys() == kernels.keys()
    assert found.difference == min(found.differences.values())
    assert not found.promising


def test_a_kernel_no_classical_one_resembles():
    """Orthogonal rows against equal ones: g of the identity against rank one grows as the ridge allows."""
    n = 25
    equal = np.ones((n, n)) + 1e-6 * np.eye(n)
    found = geometric_difference(np.eye(n), {"constant": equal}, ridge=0.0)
    assert found.difference == pytest.approx(1e3, rel=1e-3)
    assert found.promising


def test_a_singular_kernel_without_ridge_is_infinitely_far():
    found = geometric_difference(np.eye(3), {"constant": np.ones((3, 3))}, ridge=0.0)
    assert found.difference == math.inf


def test_classical_kernels_are_scikit_learns():
    X = np.random.default_rng(2).normal(size=(20, 4))
    found, scale = classical_kernels(X), 1.0 / (4 * X.var())
    np.testing.assert_allclose(found["gaussian 10"], rbf_kernel(X, gamma=10 * scale), atol=1e-12)
    np.testing.assert_allclose(found["quadratic"], polynomial_kernel(X, degree=2, gamma=scale), atol=1e-12)
    np.testing.assert_allclose(found["linear"], X @ X.T, atol=1e-12)


def test_what_is_no_kernel_is_refused():
    one = np.eye(3)
    for wrong in (lambda: geometric_difference(one, {}), lambda: geometric_difference(one, {"k": one}, -1.0)):
        with pytest.raises(UsageError, match="needs"):
            wrong()
    with pytest.raises(UsageError, match="rows"):
        geometric_difference(one, {"k": np.eye(2)})
    with pytest.raises(UsageError, match="trace"):
        geometric_difference(one, {"k": 0 * one})
    with pytest.raises(UsageError, match="square"):
        kernel_concentration(np.ones((2, 3)), 1)
    with pytest.raises(UsageError, match="3 or more"):
        kernel_concentration(np.eye(2), 1)
