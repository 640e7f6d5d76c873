"""From a circuit and its noise to steps on Pauli vectors.

A density matrix is kept as its real Pauli vector ``r_P = tr(P rho)``, whose index counts the Pauli
matrices in base 4, qubit 0 last, with the digits I, X, Z, Y: bit ``2 q`` of the index is the X mask's bit
q, bit ``2 q + 1`` the Z mask's. There a gate with the channels after it is one real matrix on the digits of
its qubits, the Pauli transfer matrix ``R_PQ = tr(P E(Q)) / 2**k``, and most of its entries are zero. A
rotation's entries are ``a + b cos t + c sin t + d cos(t/2) + e sin(t/2)`` in its angle t, so that a program
serves every row of angles.

Source: Greenbaum 2015, "Introduction to quantum gate set tomography", section 2.2 (transfer matrices).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.quantum.circuit import Circuit, FloatArray, Gate
from qwarden.quantum.gates import PAULI_MATRICES, Matrix
from qwarden.quantum.noise import NoiseModel

IntArray = npt.NDArray[np.int64]

HARMONICS: Final = 5
"""Functions of the angle an entry is made of: 1, cos t, sin t, cos t/2, sin t/2."""
_NEGLIGIBLE: Final = 1e-15


class DensityProgram(NamedTuple):
    """One step a gate: sparse matrices, flat.

    Step s owns the entries ``begin[s] .. begin[s + 1]``; entry k adds ``weights[k] @ harmonics`` times the
    digit pair ``source[k]`` to the digit pair ``target[k]``, where a pair is ``digit of low + 4 * digit of
    high``. Entries stand in the order of their targets.
    """

    low: IntArray
    """The lower of the gate's qubits."""
    high: IntArray
    """The higher, -1 for a gate on one qubit."""
    column: IntArray
    """The angle's column, -1 for a gate whose angle, if any, is constant."""
    scale: FloatArray
    offset: FloatArray
    begin: IntArray
    target: IntArray
    source: IntArray
    weights: FloatArray
    """Shape (entries, 5)."""
    by_target: IntArray
    """The entries as they stand."""
    by_source: IntArray
    """Each step's entries in the order of their sources."""


def compile_density(circuit: Circuit, noise: NoiseModel) -> DensityProgram:
    """Return the program of a circuit under noise."""
    after = {width: _noise_transfer(noise, width) for width in (1, 2)}
    targets, sources, weights, orders, begin = [], [], [], [], [0]
    for gate in circuit.gates:
        transfer = after[len(gate.qubits)] @ _gate_harmonics(gate)
        if gate.qubits[0] > gate.qubits[-1]:
            transfer = transfer.reshape(HARMONICS, 4, 4, 4, 4).transpose(0, 2, 1, 4, 3).reshape(-1, 16, 16)
        used = np.abs(transfer).max(axis=0) > _NEGLIGIBLE
        target, source = np.nonzero(used | np.eye(len(used), dtype=bool))  # each digit gets a value, if 0
        targets.append(target)
        sources.append(source)
        weights.append(transfer[:, target, source].T)
        orders.append(begin[-1] + np.argsort(source, kind="stable"))
        begin.append(begin[-1] + len(target))
    angles = [gate.angle for gate in circuit.gates]
    return DensityProgram(
        low=_ints(min(gate.qubits) for gate in circuit.gates),
        high=_ints(max(gate.qubits) if len(gate.qubits) == 2 else -1 for gate in circuit.gates),
        column=_ints(-1 if angle is None or angle.column is None else angle.column for angle in angles),
        scale=np.array([0.0 if angle is None else angle.scale for angle in angles]),
        offset=np.array([0.0 if angle is None else angle.offset for angle in angles]),
        begin=_ints(begin),
        target=np.concatenate([_ints(()), *targets]),
        source=np.concatenate([_ints(()), *sources]),
        weights=np.concatenate([np.zeros((0, HARMONICS)), *weights]),
        by_target=np.arange(begin[-1]),
        by_source=np.concatenate([_ints(()), *orders]),
    )


def _ints(values: Iterable[int]) -> IntArray:
    return np.array(list(values), dtype=np.int64)


@lru_cache(maxsize=2)
def _paulis(width: int) -> Matrix:
    """Return the Pauli products of `width` qubits in the order of their digits."""
    products = np.ones((1, 1, 1), dtype=np.complex128)
    letters = np.stack([PAULI_MATRICES[letter] for letter in "IXZY"])
    for _ in range(width):
        side = 2 * products.shape[1]
        products = np.einsum("pij,qkl->pqikjl", letters, products).reshape(-1, side, side)
    return products


def transfer_matrix(operators: Iterable[Matrix], width: int) -> FloatArray:
    """Return the Pauli transfer matrix of a channel on `width` qubits, shape (4**width, 4**width).

    >>> import numpy as np
    >>> transfer_matrix([np.diag([1, 1j])], 1).round(12).astype(int).tolist()  # S: X -> Y -> -X
    [[1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0], [0, 1, 0, 0]]
    """
    paulis = _paulis(width)
    images = sum(operator @ paulis @ operator.conj().T for operator in operators)
    matrix: FloatArray = np.einsum("pij,qji->pq", paulis, images).real / (1 << width)
    return matrix


def _noise_transfer(noise: NoiseModel, width: int) -> FloatArray:
    """Return the transfer matrix of what follows a gate on `width` qubits."""
    total: FloatArray = np.eye(4**width)
    for places, operators in noise.channels(width):
        matrix = transfer_matrix(operators, len(places))
        if len(places) < width:
            one = np.eye(4)
            matrix = np.asarray(np.kron(one, matrix) if places == (0,) else np.kron(matrix, one))
        total = np.asarray(matrix @ total, dtype=np.float64)
    return total


def _gate_harmonics(gate: Gate) -> FloatArray:
    """Return the gate's transfer matrix as coefficients of the harmonics, shape (5, 4**k, 4**k)."""
    width = len(gate.qubits)
    if gate.angle is not None and gate.angle.column is not None:
        return _turning_harmonics(gate.name, width)
    matrix = gate.matrix(None if gate.angle is None else gate.angle.offset)
    constant = np.zeros((HARMONICS, 4**width, 4**width))
    constant[0] = transfer_matrix([matrix], width)
    return constant


@lru_cache
def _turning_harmonics(name: str, width: int) -> FloatArray:
    """Return the coefficients of a named rotation, solved from its matrices at five angles."""
    gate = Gate(name, tuple(range(width)))
    angles = 4 * math.pi / HARMONICS * np.arange(HARMONICS)
    functions = np.stack([angles**0, np.cos(angles), np.sin(angles), np.cos(angles / 2), np.sin(angles / 2)])
    values = np.stack([transfer_matrix([gate.matrix(angle)], width) for angle in angles])
    found: FloatArray = np.linalg.solve(functions.T, values.reshape(HARMONICS, -1)).reshape(values.shape)
    return found.round(12)  # quarters of integers: rounding takes the solver's error off
