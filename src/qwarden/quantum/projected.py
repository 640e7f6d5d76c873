"""Projected kernels: states compared by what each single qubit shows.

Fidelities of many-qubit states are all nearly 0; the states of their single qubits still differ. The
projected kernel is the Gaussian of the distances of one-qubit reduced density matrices::

    k(a, b) = exp(-gamma * sum_k ||rho_k(a) - rho_k(b)||^2)

With ``rho = (I + r . sigma) / 2`` the squared Frobenius distance is half the squared distance of the Bloch
vectors r, so the kernel is a Gaussian of 3q real numbers a row (`projected_features`).

Source: Huang et al 2021, "Power of data in quantum machine learning", Nature Communications 12:2631.
"""

from __future__ import annotations

import numpy as np

from qwarden.core.compiled import compiled_fast
from qwarden.core.errors import UsageError
from qwarden.quantum.circuit import ComplexArray, FloatArray


def projected_features(states: ComplexArray) -> FloatArray:
    """Return each qubit's Bloch vector over ``sqrt(2)``, shape (n, 3q): <X>, <Y>, <Z> of qubit 0, then 1 ...

    Squared distances of these rows are ``sum_k ||rho_k - rho'_k||^2``.

    Parameters
    ----------
    states : shape (n, 2**q).

    Raises
    ------
    UsageError : no state of whole qubits.

    >>> import numpy as np
    >>> bell = np.array([[1, 0, 0, 1]]) / 2**0.5
    >>> projected_features(bell).round(12).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    states = np.ascontiguousarray(states, np.complex128)
    qubits = int(states.shape[-1]).bit_length() - 1
    if states.ndim != 2 or states.shape[1] != 2**qubits:
        raise UsageError(f"states must have the shape (n, 2**q), not {states.shape}")
    return _bloch(states.view(np.float64), qubits)


def reduced_densities(states: ComplexArray) -> ComplexArray:
    """Return the density matrix of each single qubit, shape (n, q, 2, 2).

    >>> import numpy as np
    >>> reduced_densities(np.array([[1, 0, 1, 0]]) / 2**0.5)[0, 1].real.round(12).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    features = projected_features(states) * np.sqrt(0.5)
    x, y, z = np.moveaxis(features.reshape(len(features), -1, 3), 2, 0)
    densities = np.empty((*x.shape, 2, 2), np.complex128)
    densities[..., 0, 0], densities[..., 1, 1] = 0.5 + z, 0.5 - z
    densities[..., 0, 1], densities[..., 1, 0] = x - 1j * y, x + 1j * y
    return densities


def projected_kernel(A: FloatArray, B: FloatArray, gamma: float) -> FloatArray:
    """Return the projected kernel of `projected_features`, shape (n, m).

    Parameters
    ----------
    A, B : shape (n, 3q) and (m, 3q).
    gamma : positive; the inverse scale of squared distances.

    >>> import numpy as np
    >>> a, b = projected_features(np.eye(2, dtype=complex))[:, None]
    >>> projected_kernel(a, b, gamma=0.5).round(6).tolist()
    [[0.367879]]
    """
    squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1) - 2.0 * (A @ B.T)
    kernel: FloatArray = np.exp(-gamma * np.maximum(squares, 0.0))
    return kernel


@compiled_fast
def _bloch(pairs: FloatArray, qubits: int) -> FloatArray:
    """Return Bloch vectors over sqrt(2); `pairs` are real and imaginary parts in turns."""
    features = np.zeros((pairs.shape[0], 3 * qubits))
    root = np.sqrt(2.0)
    for row in range(pairs.shape[0]):
        for qubit in range(qubits):
            bit = 1 << qubit
            x = y = z = 0.0
            for low in range(1 << qubits):
                if low & bit:
                    continue
                a, b = pairs[row, 2 * low], pairs[row, 2 * low + 1]
                c, d = pairs[row, 2 * (low | bit)], pairs[row, 2 * (low | bit) + 1]
                x += a * c + b * d
                y += a * d - b * c
                z += a * a + b * b - c * c - d * d
            features[row, 3 * qubit] = root * x
            features[row, 3 * qubit + 1] = root * y
            features[row, 3 * qubit + 2] = z / root
    return features
