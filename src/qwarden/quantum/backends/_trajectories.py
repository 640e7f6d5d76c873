"""Quantum trajectories: state vectors that jump at random, whose average is the density matrix.

After a gate each of its channels draws one Kraus operator K with the chance ``|K psi|^2`` for a normalised
psi, and leaves ``K psi``, whose norm is kept in mind. Where the operators are multiples of unitaries
(depolarising, phase damping) the chances do not depend on the state; else (amplitude damping) they follow
from the chance to find the qubit in 1.

Source: Dalibard, Castin and Molmer 1992, "Wave-function approach to dissipative processes in quantum
optics".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled_fast, inlined
from qwarden.core.errors import UsageError
from qwarden.quantum.backends._sampling import BasisGroup, basis_groups, estimate
from qwarden.quantum.circuit import Angle, Circuit, ComplexArray, FloatArray, Gate
from qwarden.quantum.gates import PAULI_MATRICES
from qwarden.quantum.noise import NoiseModel
from qwarden.quantum.pauli import PauliSum

IntArray = npt.NDArray[np.int64]

_UNIFORMS: Final = 1 << 20
"""How many random numbers are drawn at once at most."""


class TrajectoryRun:
    """A circuit under noise, followed along random trajectories for each row of a batch.

    Each row's random numbers come from a generator of its own, seeded by `seed` and the row.

    Parameters
    ----------
    angles : shape (n, A) or (1, A), checked.
    initial : normalised states, shape (n, 2**q) or (1, 2**q), checked; None for |0...0>.
    trajectories : how many an expectation value is averaged over.
    memory : bytes of working memory.
    """

    def __init__(
        self,
        circuit: Circuit,
        noise: NoiseModel,
        angles: FloatArray,
        initial: ComplexArray | None,
        trajectories: int,
        seed: int,
        memory: int,
    ) -> None:
        self.circuit, self.noise, self.angles, self.initial = circuit, noise, angles, initial
        self.trajectories, self.seed, self.memory = trajectories, seed, memory
        self.rows = len(angles) if initial is None or len(initial) == 1 else len(initial)
        self.confusion = noise.confusion(circuit.qubits)
        needed = 64 * circuit.dimension
        if needed > memory:
            raise UsageError(
                f"{circuit.qubits} qubits need {needed} bytes of working memory; memory_bytes is {memory}"
            )

    def expectations(self, observables: Sequence[PauliSum]) -> tuple[FloatArray, FloatArray]:
        """Return what the observables are read as on average, and the averages' standard errors."""
        values, errors = np.empty((self.rows, len(observables))), np.empty((self.rows, len(observables)))
        for row in range(self.rows):
            found = self._values(row, self.circuit, observables)
            values[row] = found.mean(axis=0)
            errors[row] = found.std(axis=0, ddof=1) / math.sqrt(len(found))
        return values, errors

    def gradient(self, observables: Sequence[PauliSum], slopes: FloatArray) -> FloatArray:
        """Return d loss / d angles, given d loss / d expectations, by shifting one gate after the other.

        Source: Schuld et al 2019, "Evaluating analytic gradients on quantum hardware"; for CRZ, with its
        two frequencies, the four terms of Anselmetti et al 2021, eq. (8).
        """
        gradient = np.zeros_like(self.angles)
        for number, gate in enumerate(self.circuit.gates):
            if gate.angle is None or gate.angle.column is None:
                continue
            for factor, shift in _FOUR_TERMS if gate.name == "crz" else _TWO_TERMS:
                shifted = _shifted(self.circuit, number, shift)
                for row in range(self.rows):
                    loss = self._values(row, shifted, observables).mean(axis=0) @ slopes[row]
                    gradient[row % len(gradient), gate.angle.column] += gate.angle.scale * factor * loss
        return gradient

    def counts(self, groups: Sequence[BasisGroup], shots: int, seed: int) -> list[npt.NDArray[np.int64]]:
        """Return for each group how often its measurement reads each basis state, shape (n, 2**q) each."""
        read = []
        for number, group in enumerate(groups):
            counts = np.zeros((self.rows, self.circuit.dimension), dtype=np.int64)
            gates = (*self.circuit.gates, *group.change_of_basis(self.circuit.qubits).gates)
            program = _compile_jumps(gates, len(self.circuit.gates), self.noise)
            for row in range(self.rows):
                generator = np.random.default_rng([seed, row, number])
                matrices, start = self._matrices(row, gates), self._start(row)
                for uniforms in self._draws(generator, shots, program.draws + 1 + self.circuit.qubits):
                    _count(program, matrices, start, uniforms, self.confusion, counts[row])
            read.append(counts)
        return read

    def estimates(self, observables: Sequence[PauliSum], shots: int, seed: int) -> FloatArray:
        """Return what the observables are read as in `shots` shots a group, shape (n, observables)."""
        groups = basis_groups(observables)
        values = np.zeros((self.rows, len(observables)))
        for group, counts in zip(groups, self.counts(groups, shots, seed), strict=True):
            values += estimate(group, counts, len(observables))
        return values

    def _values(self, row: int, circuit: Circuit, observables: Sequence[PauliSum]) -> FloatArray:
        """Return the expectation values in each trajectory of a row, shape (trajectories, observables)."""
        program = _compile_jumps(circuit.gates, len(circuit.gates), self.noise)
        readout = _compile_readout(observables, self.confusion)
        matrices, start = self._matrices(row, circuit.gates), self._start(row)
        values = np.zeros((self.trajectories, len(observables)))
        done = 0
        for uniforms in self._draws(
            np.random.default_rng([self.seed, row]), self.trajectories, program.draws
        ):
            _expect(program, matrices, start, uniforms, readout, values[done : done + len(uniforms)])
            done += len(uniforms)
        return values

    def _draws(self, generator: np.random.Generator, count: int, width: int) -> Iterator[FloatArray]:
        """Yield `count` rows of random numbers, as many at a time as the memory has room for."""
        step = max(1, min(_UNIFORMS, self.memory // 32) // max(1, width))
        for first in range(0, count, step):
            yield generator.random((min(step, count - first), width))

    def _matrices(self, row: int, gates: Sequence[Gate]) -> ComplexArray:
        """Return the gates' matrices at a row of angles, shape (gates, 4, 4)."""
        angles = self.angles[row % len(self.angles)]
        matrices = np.zeros((len(gates), 4, 4), dtype=np.complex128)
        for matrix, gate in zip(matrices, gates, strict=True):
            side = 1 << len(gate.qubits)
            matrix[:side, :side] = gate.matrix(None if gate.angle is None else _radians(gate.angle, angles))
        return matrices

    def _start(self, row: int) -> ComplexArray:
        state: ComplexArray = np.zeros(self.circuit.dimension, dtype=np.complex128)
        state[0] = 1.0
        if self.initial is not None:
            state = self.initial[row % len(self.initial)]
        return state


_ROOT: Final = math.sqrt(2)
_TWO_TERMS: Final = ((0.5, math.pi / 2), (-0.5, -math.pi / 2))
_FOUR_TERMS: Final = (
    ((_ROOT + 1) / (4 * _ROOT), math.pi / 2),
    (-(_ROOT + 1) / (4 * _ROOT), -math.pi / 2),
    (-(_ROOT - 1) / (4 * _ROOT), 3 * math.pi / 2),
    ((_ROOT - 1) / (4 * _ROOT), -3 * math.pi / 2),
)


def _radians(angle: Angle, row: FloatArray) -> float:
    given = 0.0 if angle.column is None else float(row[angle.column])
    return angle.scale * given + angle.offset


def _shifted(circuit: Circuit, number: int, shift: float) -> Circuit:
    """Return the circuit with the angle of one gate shifted."""
    gates = list(circuit.gates)
    gate = gates[number]
    assert gate.angle is not None
    gates[number] = Gate(gate.name, gate.qubits, gate.angle + shift)
    return Circuit(circuit.qubits, gates, circuit.columns)


class _Jumps(NamedTuple):
    """Steps: a gate (kind -1) or one application of a channel (kind: which of the distinct channels)."""

    first: IntArray
    second: IntArray
    """-1 for a step on one qubit."""
    kind: IntArray
    gate: IntArray
    """The gate's number, for a gate."""
    operators: ComplexArray
    """Each kind's Kraus operators, shape (kinds, 16, 4, 4); as unitaries where the chances are fixed."""
    chances: FloatArray
    """Each operator's chance where the qubit is 0, and where it is 1, shape (kinds, 16, 2)."""
    fixed: npt.NDArray[np.bool_]
    """Whether the kind's chances do not depend on the state, shape (kinds,)."""
    idle: npt.NDArray[np.bool_]
    """Whether the operator changes nothing, shape (kinds, 16)."""
    draws: int
    """Random numbers a trajectory takes."""


def _compile_jumps(gates: Sequence[Gate], noisy: int, noise: NoiseModel) -> _Jumps:
    """Return the steps of the gates, the first `noisy` of them with their noise."""
    channels = {width: noise.channels(width) for width in (1, 2)}
    distinct = [*channels[1], *channels[2]]
    operators = np.zeros((len(distinct), 16, 4, 4), dtype=np.complex128)
    chances = np.zeros((len(distinct), 16, 2))
    fixed, idle = np.ones(len(distinct), dtype=bool), np.zeros((len(distinct), 16), dtype=bool)
    for kind, channel in enumerate(distinct):
        weights = [np.diag(operator.conj().T @ operator).real for operator in channel.operators]
        fixed[kind] = all(np.allclose(weight, weight[0], rtol=0, atol=1e-15) for weight in weights)
        for k, (operator, weight) in enumerate(zip(channel.operators, weights, strict=True)):
            side = len(operator)
            if fixed[kind] and weight[0] > 0:
                operator = operator / math.sqrt(weight[0])
                idle[kind, k] = np.allclose(operator, np.eye(side), rtol=0, atol=1e-12)
            operators[kind, k, :side, :side] = operator
            chances[kind, k] = weight[0], weight[-1]
    steps: list[tuple[int, int, int, int]] = []
    for number, gate in enumerate(gates):
        steps.append((gate.qubits[0], gate.qubits[1] if len(gate.qubits) == 2 else -1, -1, number))
        width = len(gate.qubits) if number < noisy else 0
        for index, channel in enumerate(channels.get(width, ())):
            qubits = [gate.qubits[place] for place in channel.places]
            kind = index + (len(channels[1]) if width == 2 else 0)
            steps.append((qubits[0], qubits[1] if len(qubits) == 2 else -1, kind, -1))
    first, second, kinds, numbers = np.array(steps, dtype=np.int64).reshape(-1, 4).T.copy()
    draws = int((kinds >= 0).sum())
    return _Jumps(first, second, kinds, numbers, operators, chances, fixed, idle, draws)


class _Readout(NamedTuple):
    """Pauli terms as products of 2 x 2 matrices: what each qubit is read as, wrong read-outs included."""

    begin: IntArray
    """Term t owns the factors ``begin[t] .. begin[t + 1]``."""
    qubit: IntArray
    matrix: ComplexArray
    """Shape (factors, 4, 4), the 2 x 2 matrix in the corner."""
    coefficient: FloatArray
    observable: IntArray


def _compile_readout(observables: Sequence[PauliSum], confusion: FloatArray) -> _Readout:
    signs = confusion @ [1.0, -1.0]
    bias, slope = signs.sum(axis=1) / 2, (signs[:, 0] - signs[:, 1]) / 2
    begin, qubits, matrices = [0], [], []
    terms = [(k, term) for k, observable in enumerate(observables) for term in observable.terms]
    for _, term in terms:
        for qubit in range(len(confusion)):
            letter = "IXZY"[(term.x >> qubit & 1) | (term.z >> qubit & 1) << 1]
            if letter != "I":
                matrix = np.zeros((4, 4), dtype=np.complex128)
                matrix[:2, :2] = bias[qubit] * np.eye(2) + slope[qubit] * PAULI_MATRICES[letter]
                matrices.append(matrix)
                qubits.append(qubit)
        begin.append(len(qubits))
    return _Readout(
        begin=np.array(begin),
        qubit=np.array(qubits, dtype=np.int64),
        matrix=np.array(matrices, dtype=np.complex128).reshape(-1, 4, 4),
        coefficient=np.array([term.coefficient for _, term in terms], dtype=np.float64),
        observable=np.array([k for k, _ in terms], dtype=np.int64),
    )


@compiled_fast
def _expect(
    program: _Jumps,
    matrices: ComplexArray,
    start: ComplexArray,
    uniforms: FloatArray,
    readout: _Readout,
    values: FloatArray,
) -> None:
    """Add the observables' values in the end of each trajectory to `values`."""
    state, turned = np.empty_like(start), np.empty_like(start)
    for number in range(len(uniforms)):
        state[:] = start
        norm = _follow(program, matrices, uniforms[number], state)
        for term in range(len(readout.coefficient)):
            turned[:] = state
            for factor in range(readout.begin[term], readout.begin[term + 1]):
                _apply(turned, readout.qubit[factor], -1, readout.matrix[factor])
            value = 0.0
            for k in range(len(state)):
                value += state[k].real * turned[k].real + state[k].imag * turned[k].imag
            values[number, readout.observable[term]] += readout.coefficient[term] * value / norm


@compiled_fast
def _count(
    program: _Jumps,
    matrices: ComplexArray,
    start: ComplexArray,
    uniforms: FloatArray,
    confusion: FloatArray,
    counts: IntArray,
) -> None:
    """Measure the end of each trajectory once and count what is read."""
    state = np.empty_like(start)
    for number in range(len(uniforms)):
        state[:] = start
        norm = _follow(program, matrices, uniforms[number], state)
        left, found = uniforms[number, program.draws] * norm, len(state) - 1
        for k in range(len(state)):
            left -= state[k].real ** 2 + state[k].imag ** 2
            if left < 0:
                found = k
                break
        read = found
        for qubit in range(len(confusion)):
            bit = found >> qubit & 1
            if uniforms[number, program.draws + 1 + qubit] < confusion[qubit, bit, 1 - bit]:
                read ^= 1 << qubit
        counts[read] += 1


@inlined
def _follow(program: _Jumps, matrices: ComplexArray, uniforms: FloatArray, state: ComplexArray) -> float:
    """Take the state along the trajectory that the random numbers choose; return its squared norm."""
    norm, drawn = 1.0, 0
    for step in range(len(program.kind)):
        first, second, kind = program.first[step], program.second[step], program.kind[step]
        if kind < 0:
            _apply(state, first, second, matrices[program.gate[step]])
            continue
        one = 0.0 if program.fixed[kind] else min(_weight_of_one(state, first) / norm, 1.0)
        chosen, chance = _choose(program.chances[kind], uniforms[drawn], one)
        drawn += 1
        if not program.idle[kind, chosen]:
            _apply(state, first, second, program.operators[kind, chosen])
        if not program.fixed[kind]:
            norm *= chance
            if norm < 0.5:
                scale = 1 / math.sqrt(norm)
                for k in range(len(state)):
                    state[k] *= scale
                norm = 1.0
    return norm


@inlined
def _choose(chances: FloatArray, uniform: float, one: float) -> tuple[int, float]:
    """Return the Kraus operator that the random number chooses, and its chance; `one`: that of a 1."""
    chosen, chance = 0, 1.0
    for k in range(len(chances)):
        here = chances[k, 0] * (1 - one) + chances[k, 1] * one
        if here > 0:
            chosen, chance = k, here
            if uniform < here:
                break
            uniform -= here
    return chosen, chance


@inlined
def _weight_of_one(state: ComplexArray, qubit: int) -> float:
    stride, total = 1 << qubit, 0.0
    for block in range(stride, len(state), 2 * stride):
        for k in range(block, block + stride):
            total += state[k].real ** 2 + state[k].imag ** 2
    return total


@inlined
def _apply(state: ComplexArray, first: int, second: int, matrix: ComplexArray) -> None:
    """Apply a 2 x 2 matrix (`second` is -1) or a 4 x 4 matrix; those that are sparse go the short way."""
    if second < 0:
        if matrix[0, 1] != 0 or matrix[1, 0] != 0:
            _mix_one(state, first, matrix)
        else:
            _scale_one(state, first, matrix[0, 0], matrix[1, 1])
        return
    used = 0
    for row in range(4):
        for column in range(4):
            used += matrix[row, column] != 0
    if used > 4:
        _mix_two(state, first, second, matrix)
    else:
        _permute_two(state, first, second, matrix)


@inlined
def _mix_one(state: ComplexArray, qubit: int, m: ComplexArray) -> None:
    stride = 1 << qubit
    for block in range(0, len(state), 2 * stride):
        for k in range(block, block + stride):
            a, b = state[k], state[k + stride]
            state[k], state[k + stride] = m[0, 0] * a + m[0, 1] * b, m[1, 0] * a + m[1, 1] * b


@inlined
def _scale_one(state: ComplexArray, qubit: int, zero: complex, one: complex) -> None:
    stride = 1 << qubit
    for block in range(0, len(state), 2 * stride):
        if zero != 1:
            for k in range(block, block + stride):
                state[k] *= zero
        for k in range(block + stride, block + 2 * stride):
            state[k] *= one


@inlined
def _mix_two(state: ComplexArray, first: int, second: int, m: ComplexArray) -> None:
    a, b = 1 << first, 1 << second
    near, far = min(a, b), max(a, b)
    for outer in range(0, len(state), 2 * far):
        for inner in range(outer, outer + far, 2 * near):
            for k in range(inner, inner + near):
                w, x, y, z = state[k], state[k + a], state[k + b], state[k + a + b]
                state[k] = m[0, 0] * w + m[0, 1] * x + m[0, 2] * y + m[0, 3] * z
                state[k + a] = m[1, 0] * w + m[1, 1] * x + m[1, 2] * y + m[1, 3] * z
                state[k + b] = m[2, 0] * w + m[2, 1] * x + m[2, 2] * y + m[2, 3] * z
                state[k + a + b] = m[3, 0] * w + m[3, 1] * x + m[3, 2] * y + m[3, 3] * z


@inlined
def _permute_two(state: ComplexArray, first: int, second: int, m: ComplexArray) -> None:
    """Apply a matrix with one entry in each row."""
    a, b = 1 << first, 1 << second
    near, far = min(a, b), max(a, b)
    c0, c1, c2, c3 = _entry(m, 0), _entry(m, 1), _entry(m, 2), _entry(m, 3)
    f0, f1, f2, f3 = m[0, c0], m[1, c1], m[2, c2], m[3, c3]
    d0, d1 = (c0 & 1) * a + (c0 >> 1) * b, (c1 & 1) * a + (c1 >> 1) * b
    d2, d3 = (c2 & 1) * a + (c2 >> 1) * b, (c3 & 1) * a + (c3 >> 1) * b
    for outer in range(0, len(state), 2 * far):
        for inner in range(outer, outer + far, 2 * near):
            for k in range(inner, inner + near):
                w, x, y, z = state[k + d0], state[k + d1], state[k + d2], state[k + d3]
                state[k], state[k + a], state[k + b], state[k + a + b] = f0 * w, f1 * x, f2 * y, f3 * z


@inlined
def _entry(m: ComplexArray, row: int) -> int:
    """Return the column of a row's one entry."""
    for column in range(3):
        if m[row, column] != 0:
            return column
    return 3
