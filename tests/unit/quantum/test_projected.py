"""One-qubit reduced states and the projected kernel: against Qiskit's partial trace."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.quantum import projected_features, projected_kernel, reduced_densities


def cloud(n: int, qubits: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n, 2**qubits)) + 1j * rng.normal(size=(n, 2**qubits))
    return states / np.linalg.norm(states, axis=1, keepdims=True)


@pytest.mark.parametrize("qubits", [1, 2, 5])
def test_reduced_densities_are_qiskits(qubits: int) -> None:
    information = pytest.importorskip("qiskit.quantum_info")
    states = cloud(3, qubits)
    found = reduced_densities(states)
    assert found.shape == (3, qubits, 2, 2)
    for state, densities in zip(states, found, strict=True):
        for qubit, density in enumerate(densities):
            others = [other for other in range(qubits) if other != qubit]
            expected = information.partial_trace(information.Statevector(state), others).data
            np.testing.assert_allclose(density, expected, atol=1e-14)


def test_kernel_is_the_gaussian_of_frobenius_distances() -> None:
    """Huang et al 2021, eq. (9), term by term."""
    A, B, gamma = cloud(4, 3), cloud(5, 3, seed=1), 0.7
    left, right = reduced_densities(A), reduced_densities(B)
    found = projected_kernel(projected_features(A), projected_features(B), gamma)
    for i in range(4):
        for j in range(5):
            distance = sum(np.linalg.norm(left[i, k] - right[j, k]) ** 2 for k in range(3))
            assert abs(found[i, j] - np.exp(-gamma * distance)) < 1e-14


def test_a_global_phase_does_not_matter() -> None:
    states = cloud(4, 3)
    np.testing.assert_allclose(projected_features(states * 1j), projected_features(states), atol=1e-15)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="shape"):
        projected_features(np.ones((2, 3), np.complex128))
    with pytest.raises(UsageError, match="shape"):
        projected_features(np.ones(4, np.complex128))
