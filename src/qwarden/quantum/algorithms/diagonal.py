"""Diagonal operators: from a table over the basis states to gates, and from Pauli sums to a table.

Both ways lead over parities. Any real function of a basis index z is ``sum_m c_m (-1)^|z & m|``, and
``exp(i c (-1)^|z & m|)`` is one RZ on a qubit that holds the parity of the bits in m.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.circuit import MAX_QUBITS, Angle, Circuit, FloatArray, Gate
from qwarden.quantum.pauli import PauliSum, PauliTerm

_ZERO = 1e-12


def walsh(values: npt.ArrayLike) -> FloatArray:
    """Return ``sum_z values[z] (-1)^|z & m|`` for every m, shape (2**q,); twice is ``2**q`` times once.

    >>> walsh([1.0, 2.0, 3.0, 4.0]).tolist()
    [10.0, -2.0, -4.0, 0.0]
    """
    table = np.array(values, dtype=np.float64)
    half = 1
    while half < len(table):
        pairs = table.reshape(-1, 2, half)
        table = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        half *= 2
    return table


def diagonal_circuit(phases: npt.ArrayLike) -> Circuit:
    """Return a circuit whose matrix is ``diag(exp(i phases))`` but for a global phase.

    One RZ for each parity the phases depend on, and one CX for each where they depend on all of them:
    ``2**q`` gates of either kind at most, no ancilla.

    Parameters
    ----------
    phases : radians, shape (2**q,), a phase a basis state.

    Raises
    ------
    UsageError : not one finite phase for each state of 1 to 20 qubits.

    Source: Welch, Greenbaum, Mostame & Aspuru-Guzik 2014, "Efficient quantum circuits for diagonal
    unitaries without ancillas", section 3.

    >>> diagonal_circuit([0, 0, 0, np.pi])  # CZ
    Circuit(qubits=2, gates=5, columns=0, depth=4, two_qubit_gates=2)
    """
    table = np.asarray(phases, dtype=np.float64)
    qubits = table.size.bit_length() - 1
    if table.ndim != 1 or table.size != 1 << qubits or not 1 <= qubits <= MAX_QUBITS:
        raise UsageError(f"phases must have the shape (2**q,) with q of 1 to {MAX_QUBITS}, not {table.shape}")
    if not np.isfinite(table).all():
        raise UsageError("a phase is not finite")
    weights = walsh(table) / table.size
    gates: list[Gate] = []
    for target in range(qubits):
        held = 0  # which lower qubits' parity `target` holds beside its own bit
        for code in range(1 << target):
            mask = code ^ code >> 1  # Gray code: neighbours differ in one bit
            weight = float(weights[mask | 1 << target])
            if abs(weight) > _ZERO:
                gates += _parity_changes(held ^ mask, target)
                gates.append(Gate("rz", (target,), Angle(None, 1.0, -2.0 * weight)))
                held = mask
        gates += _parity_changes(held, target)
    return Circuit(qubits, gates)


def _parity_changes(mask: int, target: int) -> list[Gate]:
    return [Gate("cx", (qubit, target)) for qubit in range(target) if mask >> qubit & 1]


def energies(cost: PauliSum, qubits: int) -> FloatArray:
    """Return what a diagonal observable says of every basis state, shape (2**qubits,).

    Raises
    ------
    UsageError : the observable is not diagonal or acts on more qubits.

    >>> energies(PauliSum.zz(0, 1) + 0.5 * PauliSum.z(0), 2).tolist()
    [1.5, -1.5, -0.5, 0.5]
    """
    if not cost.diagonal or cost.qubits > qubits:
        raise UsageError(f"a cost must be made of Z on {qubits} qubits, not {cost}")
    weights = np.zeros(1 << qubits)
    for term in cost.terms:
        weights[term.z] += term.coefficient
    return walsh(weights)


def qubo(matrix: npt.ArrayLike) -> PauliSum:
    """Return the observable whose value on bits x is ``x^T Q x``, so that a QUBO becomes an Ising cost.

    Parameters
    ----------
    matrix : Q, real, shape (q, q); bit i is qubit i, and ``x_i = (1 - Z_i) / 2``.

    Raises
    ------
    UsageError : the matrix is not square.

    Source: Lucas 2014, "Ising formulations of many NP problems", section 1.

    >>> energies(qubo([[1, -3], [0, 1]]), 2).tolist()
    [0.0, 1.0, 1.0, -1.0]
    """
    Q = np.asarray(matrix, dtype=np.float64)
    if Q.ndim != 2 or Q.shape[0] != Q.shape[1] or not len(Q):
        raise UsageError(f"a QUBO is a square matrix, not of shape {Q.shape}")
    pairs = np.triu(Q + Q.T, 1) / 4
    fields = -np.diag(Q) / 2 - pairs.sum(axis=0) - pairs.sum(axis=1)
    constant = float(np.trace(Q) / 2 + pairs.sum())
    terms = [PauliTerm(constant, 0, 0)]
    terms += [PauliTerm(float(fields[i]), 0, 1 << i) for i in np.flatnonzero(fields).tolist()]
    terms += [PauliTerm(float(pairs[i, j]), 0, 1 << i | 1 << j) for i, j in np.argwhere(pairs).tolist()]
    return PauliSum(tuple(terms))
