"""The gates: their names, how many qubits and angles they take, and their matrices.

Matrices follow Qiskit: little-endian, so that for a gate on qubits ``(a, b)`` the first qubit `a` is the
less significant bit of the row and column index. Rotations are ``exp(-i angle/2 G)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.complex128]

_I2: Final = np.eye(2, dtype=np.complex128)
_X: Final = np.array([[0, 1], [1, 0]], dtype=np.complex128)
_Y: Final = np.array([[0, -1j], [1j, 0]], dtype=np.complex128)
_Z: Final = np.diag([1, -1]).astype(np.complex128)
_H: Final = np.array([[1, 1], [1, -1]], dtype=np.complex128) / math.sqrt(2)

PAULI_MATRICES: Final[dict[str, Matrix]] = {"I": _I2, "X": _X, "Y": _Y, "Z": _Z}


class GateKind(NamedTuple):
    """What a gate's name stands for."""

    qubits: int
    """How many qubits it acts on (0: as many as its constant matrix says)."""
    turns: bool
    """Whether it takes an angle."""
    diagonal: bool
    """Whether it is diagonal in the computational basis."""


KINDS: Final[dict[str, GateKind]] = {
    "h": GateKind(1, False, False),
    "x": GateKind(1, False, False),
    "y": GateKind(1, False, False),
    "z": GateKind(1, False, True),
    "s": GateKind(1, False, True),
    "t": GateKind(1, False, True),
    "rx": GateKind(1, True, False),
    "ry": GateKind(1, True, False),
    "rz": GateKind(1, True, True),
    "p": GateKind(1, True, True),
    "rxx": GateKind(2, True, False),
    "ryy": GateKind(2, True, False),
    "rzz": GateKind(2, True, True),
    "cx": GateKind(2, False, False),
    "cz": GateKind(2, False, True),
    "crz": GateKind(2, True, True),
    "swap": GateKind(2, False, False),
    "unitary": GateKind(0, False, False),
}
"""Every gate there is."""

_CONSTANT: Final[dict[str, Matrix]] = {
    "h": _H,
    "x": _X,
    "y": _Y,
    "z": _Z,
    "s": np.diag([1, 1j]),
    "t": np.diag([1, complex(math.sqrt(0.5), math.sqrt(0.5))]),
    "cx": np.eye(4, dtype=np.complex128)[[0, 3, 2, 1]],
    "cz": np.diag([1, 1, 1, -1]).astype(np.complex128),
    "swap": np.eye(4, dtype=np.complex128)[[0, 2, 1, 3]],
}


def _rotation(generator: Matrix) -> Callable[[float], Matrix]:
    """Return ``angle -> exp(-i angle/2 generator)`` for a generator that squares to one."""
    one = np.eye(len(generator), dtype=np.complex128)
    return lambda angle: math.cos(angle / 2) * one - 1j * math.sin(angle / 2) * generator


def _twice(pauli: Matrix) -> Matrix:
    return np.asarray(np.kron(pauli, pauli), dtype=np.complex128)


_TURNING: Final[dict[str, Callable[[float], Matrix]]] = {
    "rx": _rotation(_X),
    "ry": _rotation(_Y),
    "rz": _rotation(_Z),
    "p": lambda angle: np.diag([1, complex(math.cos(angle), math.sin(angle))]),
    "rxx": _rotation(_twice(_X)),
    "ryy": _rotation(_twice(_Y)),
    "rzz": _rotation(_twice(_Z)),
    # Control is the first qubit (the less significant bit): rows 1 and 3 carry the rotation.
    "crz": lambda angle: np.diag(np.exp(0.5j * angle * np.array([0, -1, 0, 1]))),
}


def gate_matrix(name: str, angle: float | None = None) -> Matrix:
    """Return the matrix of a named gate.

    Parameters
    ----------
    name : a key of `KINDS` other than ``unitary`` (whose matrix the gate itself holds).
    angle : radians, for the gates that turn.

    Returns
    -------
    complex128, shape (2, 2) or (4, 4).

    Source: Qiskit's `qiskit.circuit.library` matrices.

    >>> gate_matrix("cx").real.astype(int).tolist()
    [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]
    """
    if name in _CONSTANT:
        return _CONSTANT[name].copy()
    if angle is None:
        raise ValueError(f"gate {name} takes an angle")
    return _TURNING[name](angle)
