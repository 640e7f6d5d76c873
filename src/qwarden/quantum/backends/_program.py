"""From a circuit to the small program the compiled engine interprets.

Gates come in two sorts. Monomial gates (diagonal ones and permutations: Z, S, T, P, RZ, RZZ, CZ, CRZ, X,
Y, CX, SWAP) only move and turn single amplitudes; a whole run of them is

    |z>  ->  exp(i sum_m c_m chi_m(z)) * i**(octant(z)/2) * |perm(z)>,     chi_m(z) = (-1)**|z & m|,

one phase, one table, one permutation, however many gates it was. All others mix amplitudes and are done
one by one (a layer of H at once, RY two qubits at a time). Gates on different qubits commute, so every
gate is moved forward to the earliest run of its sort that it may join.

The numbers ``c_m`` and the half angles of rotations are the program's *slots*: linear forms of the angle
columns, of which the engine takes sine and cosine once for each row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.quantum.backends._tree import Tree, plant
from qwarden.quantum.circuit import Angle, Circuit, FloatArray, Gate

IntArray = npt.NDArray[np.int64]

# Instructions; each is a row [code, active qubits, operands ...] of `Program.ops`. While a circuit starts
# from |0...0>, only the amplitudes of the `active` low qubits can differ from zero.
(
    ROTATE,  # qubit, slot, second qubit or -1, its slot: RY
    GROW,  # qubit, slot: RY on the first qubit that is still |0>
    WIDEN,  # previously active: set to zero what becomes active
    MIX,  # bit mask, slot, 1 for YY: RX, RXX, RYY
    HADAMARD,  # bit mask of its qubits
    UNIFORM,  # start: H on the active qubits of |0...0>
    PHASE,  # first node of its tree, number of nodes, 1 if it starts from UNIFORM
    OCTANT,  # offset of its table
    PERMUTE,  # offset of its table
    UNITARY1,  # qubit, offset of its matrix
    UNITARY2,  # first and second qubit, offset of its matrix
) = range(11)
OPERANDS: Final = 6

_MONOMIAL: Final = frozenset(["x", "y", "z", "s", "t", "p", "rz", "rzz", "cz", "crz", "cx", "swap"])
_REAL: Final = frozenset(["h", "x", "z", "ry", "cx", "cz", "swap"])


@dataclass(frozen=True)
class Form:
    """``constant + sum weight * angles[:, column]``."""

    constant: float
    weights: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, angle: Angle, factor: float) -> Form:
        """Return ``factor * angle``."""
        weights = () if angle.column is None else ((angle.column, factor * angle.scale),)
        return cls(factor * angle.offset, weights)

    def plus(self, other: Form) -> Form:
        """Return the sum of two forms."""
        weights = dict(self.weights)
        for column, weight in other.weights:
            weights[column] = weights.get(column, 0.0) + weight
        kept = tuple(sorted((c, w) for c, w in weights.items() if w != 0.0))
        return Form(self.constant + other.constant, kept)


class Code(NamedTuple):
    """Where a program's parts begin in its integers and its floats."""

    ops: int
    """Instructions, `OPERANDS` integers each."""
    op_count: int
    stop: int
    """The first instruction that has an angle: the adjoint sweep ends there."""
    nodes: int
    """Nodes of all phase trees (see `_tree`)."""
    forms: int
    """Column numbers of the slots' linear forms, one after the other."""
    form_ends: int
    """Where each slot's columns end, counted from `forms`, with a leading 0."""
    slots: int
    """Number of slots."""
    tables: int
    """Octants and permutations."""
    weights: int
    """Float beside each of `forms`."""
    constants: int
    """One float a slot."""
    matrices: int
    """Constant unitaries, each followed by its inverse, as (real, imaginary) pairs of floats."""


@dataclass(frozen=True)
class Program:
    """What a circuit has become."""

    ints: IntArray
    floats: FloatArray
    code: Code
    qubits: int
    real: bool
    """Whether all amplitudes are real when the start is."""
    node_rows: int
    """Rows the widest phase tree works on."""


def compile_circuit(circuit: Circuit, from_zero: bool) -> Program:
    """Return the program of `circuit`, started from |0...0> or from any state."""
    return _Compiler(circuit, from_zero).program()


@dataclass
class _Run:
    """A run of monomial gates, followed symbolically.

    ``parity[q]`` and ``flip[q]`` say what qubit q holds by now as a function of the run's input z:
    ``(-1)**bit = (-1)**flip * chi_parity(z)``.
    """

    qubits: int
    parity: list[int] = field(default_factory=list)
    flip: list[int] = field(default_factory=list)
    phases: dict[int, Form] = field(default_factory=dict)
    octants: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    """(octant, parities, flips): so much phase where all these bits are 1."""
    turn: int = 0
    """Octant everywhere."""

    def __post_init__(self) -> None:
        self.parity = [1 << q for q in range(self.qubits)]
        self.flip = [0] * self.qubits

    def add(self, gate: Gate) -> None:
        """Append one gate."""
        a, b = gate.qubits[0], gate.qubits[-1]
        fixed = {"z": 4, "s": 2, "t": 1, "cz": 4}.get(gate.name, _fixed_phase(gate))
        if gate.name == "x":
            self.flip[a] ^= 1
        elif gate.name == "y":  # Y = i X Z
            self.turn += 2
            self._where_set(4, a)
            self.flip[a] ^= 1
        elif gate.name == "cx":
            self.parity[b] ^= self.parity[a]
            self.flip[b] ^= self.flip[a]
        elif gate.name == "swap":
            self.parity[a], self.parity[b] = self.parity[b], self.parity[a]
            self.flip[a], self.flip[b] = self.flip[b], self.flip[a]
        elif fixed is not None:
            self._where_set(fixed, *gate.qubits)
        else:
            assert gate.angle is not None
            if gate.name == "rz":
                self._phase(gate.angle, -0.5, a)
            elif gate.name == "rzz":
                self._phase(gate.angle, -0.5, a, b)
            elif gate.name == "p":  # exp(i angle (1 - chi) / 2)
                self._phase(gate.angle, 0.5)
                self._phase(gate.angle, -0.5, a)
            else:  # crz: exp(-i angle/2 chi_b (1 - chi_a) / 2)
                self._phase(gate.angle, -0.25, b)
                self._phase(gate.angle, 0.25, a, b)

    def _where_set(self, octant: int, *qubits: int) -> None:
        parities = tuple(self.parity[q] for q in qubits)
        self.octants.append((octant, parities, tuple(self.flip[q] for q in qubits)))

    def _phase(self, angle: Angle, factor: float, *qubits: int) -> None:
        mask = 0
        for q in qubits:
            mask ^= self.parity[q]
            factor = -factor if self.flip[q] else factor
        form = Form.of(angle, factor)
        self.phases[mask] = self.phases[mask].plus(form) if mask in self.phases else form

    def tables(self, active: int) -> tuple[IntArray, IntArray]:
        """Return the octant and the destination of each of the active amplitudes."""
        z = np.arange(1 << active, dtype=np.int64)
        octant = np.full(len(z), self.turn, dtype=np.int64)
        for eighths, parities, flips in self.octants:
            octant += eighths * np.prod(
                [_parity(z & m) ^ f for m, f in zip(parities, flips, strict=True)], axis=0, dtype=np.int64
            )
        to = np.zeros_like(z)
        for q in range(active):
            to |= (_parity(z & self.parity[q]) ^ self.flip[q]) << q
        return octant % 8, to


def _parity(values: IntArray) -> IntArray:
    return np.asarray(np.bitwise_count(values) & 1, dtype=np.int64)


def _fixed_phase(gate: Gate) -> int | None:
    """Return the octant of a P gate whose constant angle is a multiple of pi/4, else None."""
    if gate.name != "p" or gate.angle is None or gate.angle.column is not None:
        return None
    eighths = gate.angle.offset / (math.pi / 4)
    return int(eighths) % 8 if eighths == round(eighths) else None


class _Compiler:
    """Lays the gates into alternating segments (mixing, monomial, mixing ...) and writes them out."""

    def __init__(self, circuit: Circuit, from_zero: bool) -> None:
        self.circuit = circuit
        self.qubits = circuit.qubits
        self.active = 0 if from_zero else circuit.qubits
        self.ops: list[list[int]] = []
        self.slots: dict[Form, int] = {}
        self.trees: dict[tuple[tuple[int, int], ...], tuple[int, int]] = {}
        self.nodes: list[IntArray] = []
        self.node_count = self.node_rows = 0
        self.tables: dict[bytes, IntArray] = {}
        self.table_places: dict[bytes, int] = {}
        self.table_size = 0
        self.matrices: list[float] = []

    def program(self) -> Program:
        for index, segment in enumerate(_segments(self.circuit)):
            if segment and index % 2:
                self.monomial(segment)
            elif segment:
                self.mixing(segment)
        self.widen(self.qubits)
        forms = list(self.slots)
        entries = [entry for form in forms for entry in form.weights]
        ints: dict[str, npt.ArrayLike] = {
            "ops": [i for op in self.ops for i in op + [0] * (OPERANDS - len(op))],
            "nodes": np.concatenate([*self.nodes, Tree.NOTHING]),
            "forms": [column for column, _ in entries],
            "form_ends": np.cumsum([0, *(len(form.weights) for form in forms)]),
            "tables": np.concatenate([*self.tables.values(), _NO_TABLE]),
        }
        floats: dict[str, npt.ArrayLike] = {
            "weights": [weight for _, weight in entries],
            "constants": [form.constant for form in forms],
            "matrices": self.matrices,
        }
        all_ints, int_places = _concatenated(ints, np.int64)
        all_floats, float_places = _concatenated(floats, np.float64)
        stop = next((i for i, op in enumerate(self.ops) if op[0] in _ANGLED), len(self.ops))
        return Program(
            ints=all_ints,
            floats=all_floats,
            code=Code(op_count=len(self.ops), stop=stop, slots=len(forms), **int_places, **float_places),
            qubits=self.qubits,
            real=all(_is_real(gate) for gate in self.circuit.gates),
            node_rows=self.node_rows,
        )

    def emit(self, code: int, *operands: int) -> None:
        self.ops.append([code, self.active, *operands])

    def slot(self, form: Form) -> int:
        return self.slots.setdefault(form, len(self.slots))

    def widen(self, active: int) -> None:
        """Make sure the low `active` qubits are among the active ones."""
        if active > self.active:
            before, self.active = self.active, active
            self.emit(WIDEN, before)

    # Monomial runs.

    def monomial(self, gates: list[Gate]) -> None:
        self.widen(1 + max(q for gate in gates for q in gate.qubits))
        run = _Run(self.qubits)
        for gate in gates:
            run.add(gate)
        terms = {m: f for m, f in run.phases.items() if f.weights or f.constant}
        if terms:
            tree = self.tree({m: self.slot(form) for m, form in terms.items()})
            if self.ops and self.ops[-1][0] == UNIFORM and self.ops[-1][1] == self.active:
                self.ops.pop()
                self.emit(PHASE, *tree, 1)
            else:
                self.emit(PHASE, *tree, 0)
        octant, to = run.tables(self.active)
        if octant.any():
            self.emit(OCTANT, self.table(octant))
        if (to != np.arange(len(to))).any():
            self.emit(PERMUTE, self.table(to))

    def tree(self, slots: dict[int, int]) -> tuple[int, int]:
        key = tuple(sorted(slots.items()))
        if key not in self.trees:
            tree = plant(slots)
            self.trees[key] = (self.node_count, len(tree.nodes))
            self.nodes.append(tree.nodes)
            self.node_count += len(tree.nodes)
            self.node_rows = max(self.node_rows, tree.rows)
        return self.trees[key]

    def table(self, values: IntArray) -> int:
        data = values.tobytes()
        if data not in self.tables:
            self.tables[data] = values
            self.table_places[data] = self.table_size
            self.table_size += len(values)
        return self.table_places[data]

    # Mixing gates.

    def mixing(self, gates: list[Gate]) -> None:
        layer: list[Gate] = []  # of H or of RY on different qubits
        for gate in self.uniform(_in_rounds(gates)):
            joins = gate.name in ("h", "ry") and gate.qubits[0] < self.active
            if not joins or any(gate.name != g.name or gate.qubits == g.qubits for g in layer):
                self.layer(layer)
                layer = []
            if joins:
                layer.append(gate)
            else:
                self.mix(gate)
        self.layer(layer)

    def uniform(self, gates: list[Gate]) -> list[Gate]:
        """Turn the Hadamards that a circuit from |0...0> begins with into one instruction."""
        count = 0
        while count < min(len(gates), self.qubits) and gates[count] == Gate("h", (count,)):
            count += 1
        if self.ops or self.active or not count:
            return gates
        self.active = count
        self.emit(UNIFORM)
        return gates[count:]

    def layer(self, gates: list[Gate]) -> None:
        """Do like gates on different qubits: all Hadamards at once, RY two by two."""
        if gates and gates[0].name == "h":
            self.emit(HADAMARD, sum(1 << gate.qubits[0] for gate in gates))
            return
        for first, second in zip(gates[::2], gates[1::2], strict=False):
            self.emit(ROTATE, first.qubits[0], self.half(first), second.qubits[0], self.half(second))
        if len(gates) % 2:
            self.mix(gates[-1])

    def half(self, gate: Gate) -> int:
        assert gate.angle is not None
        return self.slot(Form.of(gate.angle, 0.5))

    def mix(self, gate: Gate) -> None:
        a, b = gate.qubits[0], gate.qubits[-1]
        if gate.name == "ry" and a == self.active:
            self.active = a + 1
            self.emit(GROW, a, self.half(gate))
            return
        self.widen(max(gate.qubits) + 1)
        if gate.name == "h":
            self.emit(HADAMARD, 1 << a)
        elif gate.name == "ry":
            self.emit(ROTATE, a, self.half(gate), -1, 0)
        elif gate.name in ("rx", "rxx", "ryy"):
            self.emit(MIX, 1 << a | 1 << b, self.half(gate), int(gate.name == "ryy"))
        else:
            self.emit(*((UNITARY1, a) if len(gate.qubits) == 1 else (UNITARY2, a, b)), len(self.matrices))
            for matrix in (gate.matrix(), gate.matrix().conj().T):
                self.matrices += np.ascontiguousarray(matrix).view(np.float64).ravel().tolist()


_ANGLED: Final = frozenset({ROTATE, GROW, MIX, PHASE})
_NO_TABLE: Final = np.zeros(0, np.int64)


def _concatenated(parts: Mapping[str, npt.ArrayLike], kind: type) -> tuple[Any, dict[str, int]]:
    """Return the parts as one array, and where each begins."""
    arrays: list[npt.NDArray[Any]] = [np.asarray(part, dtype=kind).ravel() for part in parts.values()]
    ends = np.cumsum([0, *(len(array) for array in arrays)]).tolist()
    return np.concatenate(arrays), dict(zip(parts, ends, strict=False))


def _segments(circuit: Circuit) -> list[list[Gate]]:
    """Return the gates in segments that are mixing (even index) and monomial (odd index) by turns."""
    segments: list[list[Gate]] = []
    latest = [-1] * circuit.qubits
    for gate in circuit.gates:
        index = max(latest[q] for q in gate.qubits)
        if index < 0 or (gate.name in _MONOMIAL) != index % 2:
            index += 1
        if (gate.name in _MONOMIAL) != index % 2:  # only from -1: the first segment is of the other sort
            index += 1
        while len(segments) <= index:
            segments.append([])
        segments[index].append(gate)
        for q in gate.qubits:
            latest[q] = index
    return segments


def _in_rounds(gates: list[Gate]) -> list[Gate]:
    """Return single-qubit gates sorted so that like ones stand together: first all qubits' first gates."""
    if any(len(gate.qubits) > 1 for gate in gates):
        return gates
    seen: dict[int, int] = {}
    keyed = []
    for gate in gates:
        turn = seen[gate.qubits[0]] = seen.get(gate.qubits[0], -1) + 1
        keyed.append(((turn, gate.name, gate.qubits[0]), gate))
    return [gate for _, gate in sorted(keyed, key=lambda pair: pair[0])]


def _is_real(gate: Gate) -> bool:
    if gate.entries is not None:
        return not any(entry.imag for entry in gate.entries)
    return gate.name in _REAL
