"""Circuits: immutable lists of gates whose angles are columns of a batch x angles matrix.

A `Circuit` holds no numbers to be learnt and no data. A gate that turns refers to an `Angle`,
``scale * column + offset``, and the numbers come in later as a matrix with one row a sample: the same
circuit serves one row or a million, and the engine hands back the loss's gradient for the same matrix.
Whatever turns data or weights into angles (products, ``W x + b``) is plain linear algebra outside.

Qubit 0 is the least significant bit of the basis index, as in Qiskit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.gates import KINDS, Matrix, gate_matrix

MAX_QUBITS: Final = 20

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class Angle:
    """An angle in radians: ``scale * angles[:, column] + offset``.

    ``column`` is None for an angle that is always `offset`. Arithmetic reads as it is written:

    >>> 2 * Angle(3) + 0.5
    Angle(column=3, scale=2.0, offset=0.5)
    """

    column: int | None
    scale: float = 1.0
    offset: float = 0.0

    def __mul__(self, factor: float) -> Angle:
        return Angle(self.column, self.scale * factor, self.offset * factor)

    __rmul__ = __mul__

    def __add__(self, shift: float) -> Angle:
        return Angle(self.column, self.scale, self.offset + shift)

    def __neg__(self) -> Angle:
        return self * -1.0

    def moved(self, columns: int) -> Angle:
        """Return the same angle read `columns` further to the right."""
        return self if self.column is None else Angle(self.column + columns, self.scale, self.offset)


AngleLike = Angle | float


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: a name of `qwarden.quantum.gates.KINDS`, its qubits, and its angle or constant matrix."""

    name: str
    qubits: tuple[int, ...]
    angle: Angle | None = None
    entries: tuple[complex, ...] | None = None

    @property
    def diagonal(self) -> bool:
        """Whether the gate is diagonal in the computational basis by its name."""
        return KINDS[self.name].diagonal

    def matrix(self, angle: float | None = None) -> Matrix:
        """Return the gate's matrix (first qubit = less significant bit), at `angle` radians if it turns."""
        if self.entries is not None:
            side = 1 << len(self.qubits)
            return np.array(self.entries, dtype=np.complex128).reshape(side, side)
        return gate_matrix(self.name, angle)

    def inverse(self) -> Gate:
        """Return the gate that undoes this one."""
        if self.angle is not None:
            return Gate(self.name, self.qubits, -self.angle)
        if self.name in ("s", "t"):
            return Gate("p", self.qubits, Angle(None, 1.0, -math.pi / (2 if self.name == "s" else 4)))
        if self.entries is not None:
            return Gate("unitary", self.qubits, None, tuple(self.matrix().conj().T.ravel().tolist()))
        return self


class Circuit:
    """An immutable circuit on 1 to 20 qubits; every building method returns a new one.

    Parameters
    ----------
    qubits : number of qubits.
    gates : the gates in the order they act.
    columns : number of columns of the angles matrix; by default as many as the gates refer to.

    Raises
    ------
    UsageError : a qubit or column is out of range, qubits repeat, or a matrix is not unitary.

    Source: gate definitions of OpenQASM 3 / Qiskit's standard library.

    >>> bell = Circuit(2).h(0).cx(0, 1)
    >>> bell
    Circuit(qubits=2, gates=2, columns=0, depth=2, two_qubit_gates=1)
    >>> Circuit(1).ry(0, Angle(0)) + Circuit(1).rz(0, 2 * Angle(0))
    Circuit(qubits=1, gates=2, columns=2, depth=2, two_qubit_gates=0)
    """

    def __init__(self, qubits: int, gates: Iterable[Gate] = (), columns: int | None = None) -> None:
        if not 1 <= qubits <= MAX_QUBITS:
            raise UsageError(f"a circuit has 1 to {MAX_QUBITS} qubits, not {qubits}")
        self._qubits = int(qubits)
        self._gates = tuple(gates)
        used = 0
        for gate in self._gates:
            _check(gate, self._qubits)
            if gate.angle is not None and gate.angle.column is not None:
                used = max(used, gate.angle.column + 1)
        if columns is not None and columns < used:
            raise UsageError(f"the gates refer to {used} angle columns, but columns={columns} was given")
        self._columns = used if columns is None else int(columns)
        self.compiled: dict[object, object] = {}
        """What back ends have made of this circuit; theirs to fill."""

    # What it is.

    @property
    def qubits(self) -> int:
        """Number of qubits."""
        return self._qubits

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates in the order they act."""
        return self._gates

    @property
    def columns(self) -> int:
        """Number of columns A of the angles matrix (n, A)."""
        return self._columns

    @property
    def dimension(self) -> int:
        """Number of amplitudes of a state, ``2**qubits``."""
        return 1 << self._qubits

    @cached_property
    def depth(self) -> int:
        """Number of time steps when gates on different qubits act at once."""
        level = [0] * self._qubits
        for gate in self._gates:
            step = 1 + max(level[q] for q in gate.qubits)
            for q in gate.qubits:
                level[q] = step
        return max(level)

    @cached_property
    def two_qubit_gates(self) -> int:
        """Number of gates that act on two qubits."""
        return sum(len(gate.qubits) == 2 for gate in self._gates)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(qubits={self.qubits}, gates={len(self.gates)}, columns={self.columns},"
            f" depth={self.depth}, two_qubit_gates={self.two_qubit_gates})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Circuit) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        return self._qubits, self._columns, self._gates

    # Gates.

    def gate(
        self, name: str, *qubits: int, angle: AngleLike | None = None, matrix: npt.ArrayLike | None = None
    ) -> Circuit:
        """Return this circuit with the gate called `name` appended; the methods below are shorthands."""
        entries = None
        if matrix is not None:
            entries = tuple(np.asarray(matrix, dtype=np.complex128).ravel().tolist())
        if angle is not None and not isinstance(angle, Angle):
            angle = Angle(None, 1.0, float(angle))
        return Circuit(self._qubits, (*self._gates, Gate(name, qubits, angle, entries)), self._grown(angle))

    def _grown(self, angle: Angle | None) -> int:
        column = -1 if angle is None or angle.column is None else angle.column
        return max(self._columns, column + 1)

    def h(self, qubit: int) -> Circuit:
        """Append a Hadamard gate."""
        return self.gate("h", qubit)

    def x(self, qubit: int) -> Circuit:
        """Append a Pauli X gate."""
        return self.gate("x", qubit)

    def y(self, qubit: int) -> Circuit:
        """Append a Pauli Y gate."""
        return self.gate("y", qubit)

    def z(self, qubit: int) -> Circuit:
        """Append a Pauli Z gate."""
        return self.gate("z", qubit)

    def s(self, qubit: int) -> Circuit:
        """Append an S gate, ``diag(1, i)``."""
        return self.gate("s", qubit)

    def t(self, qubit: int) -> Circuit:
        """Append a T gate, ``diag(1, exp(i pi/4))``."""
        return self.gate("t", qubit)

    def rx(self, qubit: int, angle: AngleLike) -> Circuit:
        """Append ``exp(-i angle/2 X)``."""
        return self.gate("rx", qubit, angle=angle)

    def ry(self, qubit: int, angle: AngleLike) -> Circuit:
        """Append ``exp(-i angle/2 Y)``."""
        return self.gate("ry", qubit, angle=angle)

    def rz(self, qubit: int, angle: AngleLike) -> Circuit:
        """Append ``exp(-i angle/2 Z)``."""
        return self.gate("rz", qubit, angle=angle)

    def p(self, qubit: int, angle: AngleLike) -> Circuit:
        """Append a phase gate, ``diag(1, exp(i angle))``."""
        return self.gate("p", qubit, angle=angle)

    def rxx(self, first: int, second: int, angle: AngleLike) -> Circuit:
        """Append ``exp(-i angle/2 XX)``."""
        return self.gate("rxx", first, second, angle=angle)

    def ryy(self, first: int, second: int, angle: AngleLike) -> Circuit:
        """Append ``exp(-i angle/2 YY)``."""
        return self.gate("ryy", first, second, angle=angle)

    def rzz(self, first: int, second: int, angle: AngleLike) -> Circuit:
        """Append ``exp(-i angle/2 ZZ)``."""
        return self.gate("rzz", first, second, angle=angle)

    def cx(self, control: int, target: int) -> Circuit:
        """Append a controlled X gate."""
        return self.gate("cx", control, target)

    def cz(self, first: int, second: int) -> Circuit:
        """Append a controlled Z gate."""
        return self.gate("cz", first, second)

    def crz(self, control: int, target: int, angle: AngleLike) -> Circuit:
        """Append a controlled RZ gate."""
        return self.gate("crz", control, target, angle=angle)

    def swap(self, first: int, second: int) -> Circuit:
        """Append a SWAP gate."""
        return self.gate("swap", first, second)

    def unitary(self, matrix: npt.ArrayLike, *qubits: int) -> Circuit:
        """Append a constant 1- or 2-qubit unitary (the first qubit is its less significant bit)."""
        return self.gate("unitary", *qubits, matrix=matrix)

    # Composition.

    def then(self, other: Circuit, *, share_columns: bool = False) -> Circuit:
        """Return this circuit followed by `other`.

        Parameters
        ----------
        other : a circuit on as many qubits.
        share_columns : False: the angle columns of `other` stand to the right of this circuit's (`+`
            does the same); True: both read the same columns.

        Raises
        ------
        UsageError : the numbers of qubits differ.
        """
        if other.qubits != self.qubits:
            raise UsageError(f"cannot compose circuits of {self.qubits} and {other.qubits} qubits")
        if share_columns:
            columns = max(self.columns, other.columns)
            return Circuit(self.qubits, self.gates + other.gates, columns)
        moved = (
            g if g.angle is None else Gate(g.name, g.qubits, g.angle.moved(self.columns)) for g in other.gates
        )
        return Circuit(self.qubits, (*self.gates, *moved), self.columns + other.columns)

    __add__ = then

    def inverse(self) -> Circuit:
        """Return the circuit that undoes this one when given the same angles."""
        return Circuit(self.qubits, (gate.inverse() for gate in reversed(self.gates)), self.columns)

    # How it looks.

    def draw(self, width: int | None = 100) -> str:
        """Return the circuit as text; longer than `width` characters it is folded, None does not fold.

        >>> print(Circuit(2).h(0).cx(0, 1).ry(1, 2 * Angle(0)).draw())
              ┌───┐
        q0: ──┤ H ├──●───────────────
              └───┘  │
                     │  ┌─────────┐
        q1: ─────────⊕──┤ RY(2θ0) ├──
                        └─────────┘
        """
        from qwarden.quantum.drawing import draw

        return draw(self, width)

    def to_svg(self, width: int | None = 960) -> str:
        """Return the circuit as an SVG document; wider than `width` pixels it is folded."""
        from qwarden.quantum.drawing import to_svg

        return to_svg(self, width)

    # Angles.

    def check_angles(self, angles: npt.ArrayLike) -> FloatArray:
        """Return `angles` as C-ordered float64 of shape (n, columns).

        Raises
        ------
        UsageError : the shape is wrong or an angle is not finite.
        """
        matrix = np.ascontiguousarray(angles, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != self._columns:
            raise UsageError(f"angles must have the shape (n, {self._columns}), not {matrix.shape}")
        # One reduction instead of a mask: the sum is finite unless an angle is not, or it overflows.
        with np.errstate(over="ignore", invalid="ignore"):
            total = matrix.sum()
        if not math.isfinite(total) and not np.isfinite(matrix).all():
            row, column = np.argwhere(~np.isfinite(matrix))[0].tolist()
            raise UsageError(
                f"angle at row {row}, column {column} is {matrix[row, column]}: expected a finite number"
            )
        return matrix


def _check(gate: Gate, qubits: int) -> None:
    """Raise `UsageError` if `gate` does not fit a circuit of `qubits` qubits."""
    kind = KINDS.get(gate.name)
    if kind is None:
        raise UsageError(f"unknown gate {gate.name!r}: expected one of {', '.join(KINDS)}")
    for qubit in gate.qubits:
        if not 0 <= qubit < qubits:
            raise UsageError(f"{gate.name}: qubit {qubit} is out of range 0..{qubits - 1}")
    if len(set(gate.qubits)) != len(gate.qubits):
        raise UsageError(f"{gate.name}: the qubits {gate.qubits} repeat")
    if kind.qubits and len(gate.qubits) != kind.qubits:
        raise UsageError(f"{gate.name} acts on {kind.qubits} qubits, not {len(gate.qubits)}")
    if kind.turns != (gate.angle is not None):
        raise UsageError(f"{gate.name} takes {'an' if kind.turns else 'no'} angle")
    if gate.angle is not None:
        if gate.angle.column is not None and gate.angle.column < 0:
            raise UsageError(f"{gate.name}: angle column {gate.angle.column} is negative")
        if not (math.isfinite(gate.angle.scale) and math.isfinite(gate.angle.offset)):
            raise UsageError(f"{gate.name}: scale and offset of an angle must be finite")
    if gate.name == "unitary":
        _check_unitary(gate)


def _check_unitary(gate: Gate) -> None:
    side = 1 << len(gate.qubits)
    if len(gate.qubits) not in (1, 2) or gate.entries is None or len(gate.entries) != side * side:
        raise UsageError(f"unitary: expected a {side} x {side} matrix on 1 or 2 qubits")
    matrix = gate.matrix()
    if not np.allclose(matrix.conj().T @ matrix, np.eye(side), rtol=0, atol=1e-10):
        raise UsageError("unitary: the matrix is not unitary")


def blocks(qubits: int, size: int, entanglement: str) -> list[tuple[int, ...]]:
    """Return the groups of `size` qubits that a layer entangles.

    Parameters
    ----------
    entanglement : ``linear`` (neighbours in a line), ``reverse_linear`` (the same, last first), ``full``
        (every combination), or ``circular`` (first the groups that wrap round to qubit 0, then linear;
        where a single group covers all qubits the same as linear).

    Raises
    ------
    UsageError : unknown name, or more qubits in a group than there are.

    Source: Qiskit, `n_local`, entanglement maps.

    >>> blocks(3, 2, "circular")
    [(2, 0), (0, 1), (1, 2)]
    """
    if size > qubits:
        raise UsageError(f"cannot entangle groups of {size} among {qubits} qubits")
    linear = [tuple(range(i, i + size)) for i in range(qubits - size + 1)]
    if entanglement == "linear" or (entanglement == "circular" and size in (1, qubits)):
        return linear
    if entanglement == "reverse_linear":
        return linear[::-1]
    if entanglement == "full":
        return list(itertools.combinations(range(qubits), size))
    if entanglement == "circular":
        wrapped = [tuple((i + k) % qubits for k in range(size)) for i in range(qubits - size + 1, qubits)]
        return wrapped + linear
    raise UsageError(
        f"unknown entanglement {entanglement!r}: expected linear, reverse_linear, full or circular"
    )
