"""Density matrices of a batch: exact, by Pauli vectors (`_density_program`, `_density_engine`).

Every step is a real linear map and an expectation value a real linear form, so the same compiled program
runs forwards on states and backwards on observables. Where one row of angles serves many initial states
the observables are taken back instead, once for the whole batch (the Heisenberg picture).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.core.errors import UsageError
from qwarden.quantum.backends._density_engine import LEAST_QUBITS, run_backward, run_forward, run_gradient
from qwarden.quantum.backends._density_program import DensityProgram, IntArray, compile_density
from qwarden.quantum.backends._sampling import BasisGroup, basis_groups, estimate
from qwarden.quantum.circuit import Circuit, ComplexArray, FloatArray
from qwarden.quantum.kernels import evaluate_form, observable_form
from qwarden.quantum.noise import NoiseModel
from qwarden.quantum.pauli import PauliSum, PauliTerm

MAX_DENSITY_QUBITS: Final = 10


class DensityRun:
    """A circuit under noise, run on density matrices for each row of a batch.

    Parameters
    ----------
    angles : shape (n, A) or (1, A), checked.
    initial : shape (n, 2**q) or (1, 2**q), checked; None for |0...0>.
    memory : bytes of working memory.
    """

    def __init__(
        self,
        circuit: Circuit,
        noise: NoiseModel,
        angles: FloatArray,
        initial: ComplexArray | None,
        memory: int,
    ) -> None:
        if circuit.qubits > MAX_DENSITY_QUBITS:
            raise UsageError(
                f"density matrices go up to {MAX_DENSITY_QUBITS} qubits, the circuit has {circuit.qubits}"
            )
        self.qubits = circuit.qubits
        self.angles, self.initial, self.memory = angles, initial, memory
        self.rows = len(angles) if initial is None or len(initial) == 1 else len(initial)
        self.confusion = noise.confusion(circuit.qubits)
        self._length: int = 4 ** max(circuit.qubits, LEAST_QUBITS)
        self._need(self._row)
        program = circuit.compiled.get(noise)
        if not isinstance(program, DensityProgram):
            program = circuit.compiled[noise] = compile_density(circuit, noise)
        self._program = program

    def matrices(self) -> ComplexArray:
        """Return the density matrices, shape (n, 2**q, 2**q)."""
        matrices = np.empty((self.rows, 1 << self.qubits, 1 << self.qubits), dtype=np.complex128)
        for part, vectors in self._finals():
            _to_matrices(vectors, _spread(self.qubits), matrices[part])
        return matrices

    def counts(self, groups: Sequence[BasisGroup], shots: int, seed: int) -> list[npt.NDArray[np.int64]]:
        """Return for each group how often its measurement reads each basis state, shape (n, 2**q) each."""
        read = [np.empty((self.rows, 1 << self.qubits)) for _ in groups]
        for part, vectors in self._finals():
            for group, chances in zip(groups, read, strict=True):
                chances[part] = self._read(vectors, group)
        generator = np.random.default_rng(seed)
        return [generator.multinomial(shots, chances, size=self.rows) for chances in read]

    def estimates(self, observables: Sequence[PauliSum], shots: int, seed: int) -> FloatArray:
        """Return what the observables are read as in `shots` shots a group, shape (n, observables)."""
        groups = basis_groups(observables)
        values = np.zeros((self.rows, len(observables)))
        if any((term.x, term.z) != (group.x, group.z) for group in groups for _, term in group.terms):
            for group, counts in zip(groups, self.counts(groups, shots, seed), strict=True):
                values += estimate(group, counts, len(observables))
            return values
        # One product a group: its two outcomes follow from its expectation value.
        means, _ = self.expectations([PauliSum((PauliTerm(1.0, g.x, g.z),)) for g in groups])
        ups = np.random.default_rng(seed).binomial(shots, np.clip((1 + means) / 2, 0.0, 1.0))
        for group, up in zip(groups, ups.T, strict=True):
            for k, term in group.terms:
                values[:, k] += term.coefficient * (2 * up / shots - 1)
        return values

    def expectations(self, observables: Sequence[PauliSum]) -> tuple[FloatArray, FloatArray]:
        """Return what the observables are read as on average, and no errors, shape (n, observables) each."""
        places, weights = _measured(observables, self.confusion)
        values, errors = np.empty((self.rows, len(observables))), np.zeros((self.rows, len(observables)))
        if self._shared is None:
            for part, vectors in self._finals():
                values[part] = vectors[:, places] @ weights.T
            return values, errors
        scale = 1 << self.qubits  # an operator's Pauli coefficients are its traces over the dimension
        for k, weight in enumerate(weights):
            form = self._cotangents(places, weight[None])
            run_backward(self._program, self.angles, form)
            matrix = np.empty((1, scale, scale), dtype=np.complex128)
            _to_matrices(form, _spread(self.qubits), matrix)
            values[:, k] = evaluate_form(scale * matrix[0], self._shared)
        return values, errors

    def gradient(self, observables: Sequence[PauliSum], slopes: FloatArray) -> FloatArray:
        """Return d loss / d angles, given d loss / d expectations, by going back through every step."""
        places, weights = _measured(observables, self.confusion)
        gradient = np.zeros_like(self.angles)
        segment, kept = self._segment()
        if self._shared is None:
            for part, vectors in self._starts(self.memory - kept):
                cotangents = self._cotangents(places, slopes[part] @ weights)
                given, out = _part(self.angles, part), _part(gradient, part)
                run_gradient(self._program, given, vectors, cotangents, segment, out)
            return gradient
        for k, weight in enumerate(weights):  # the loss is linear in sum_i slopes_ik |s_i><s_i|
            vector = np.zeros((1, self._length))
            _from_matrices(observable_form(self._shared, slopes[:, k])[None], _spread(self.qubits), vector)
            cotangent = self._cotangents(places, weight[None])
            run_gradient(self._program, self.angles, vector, cotangent, segment, gradient)
        return gradient

    @property
    def _row(self) -> int:
        """Bytes a row takes: its vector, the complex matrix it comes from, and what is read from it."""
        return 32 * self._length

    def _need(self, size: int) -> None:
        if size > self.memory:
            raise UsageError(
                f"{self.qubits} qubits need {size} bytes of working memory; memory_bytes is {self.memory}"
            )

    @property
    def _shared(self) -> ComplexArray | None:
        """The initial states, if one row of angles serves them all."""
        return self.initial if len(self.angles) == 1 else None

    def _starts(self, memory: int) -> Iterator[tuple[slice, FloatArray]]:
        """Yield the rows, as many at a time as the memory has room for, with their first Pauli vectors."""
        spread, step = _spread(self.qubits), memory // self._row
        for first in range(0, self.rows, step):
            part = slice(first, min(first + step, self.rows))
            vectors = np.zeros((part.stop - first, self._length))
            if self.initial is None:
                vectors[:, spread << 1] = 1.0  # |0...0>: every product of Z has the value 1
            else:
                states = _part(self.initial, part)
                _from_matrices(states[:, :, None] * states.conj()[:, None, :], spread, vectors)
            yield part, vectors

    def _finals(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield the rows, part by part, with their last Pauli vectors."""
        for part, vectors in self._starts(self.memory):
            run_forward(self._program, _part(self.angles, part), vectors)
            yield part, vectors

    def _cotangents(self, places: IntArray, weights: FloatArray) -> FloatArray:
        cotangents = np.zeros((len(weights), self._length))
        cotangents[:, places] = weights
        return cotangents

    def _segment(self) -> tuple[int, int]:
        """Return how many steps' vectors a gradient keeps at once, all if there is room, and their bytes."""
        steps, vector = max(1, len(self._program.low)), 8 * self._length
        kept = vector * (steps + 1)
        if kept + self._row <= self.memory:
            return steps, kept
        segment = math.isqrt(steps - 1) + 1
        kept = vector * (segment - (-steps // segment))
        self._need(kept + self._row)
        return segment, kept

    def _read(self, vectors: FloatArray, group: BasisGroup) -> FloatArray:
        """Return the chances of all read-outs when each qubit is measured in the group's basis."""
        spread, masks = _spread(self.qubits), np.arange(1 << self.qubits)
        z = ~group.x | group.z  # a qubit no term names is measured in Z
        chances: FloatArray = vectors[:, spread[masks & group.x] | spread[masks & z] << 1]
        for qubit, confusion in enumerate(self.confusion):
            split = chances.reshape(len(chances), -1, 2, 1 << qubit)
            change = confusion.T @ np.array([[0.5, 0.5], [0.5, -0.5]])
            chances = np.einsum("rm,nhml->nhrl", change, split)
        chances = np.maximum(chances.reshape(len(vectors), -1), 0.0)
        chances /= chances.sum(axis=1, keepdims=True)
        return chances


def _part(array: FloatArray | ComplexArray, part: slice) -> Any:
    """Return the rows of `part`, or the single row that serves all."""
    return array if len(array) == 1 else array[part]


def _measured(observables: Sequence[PauliSum], confusion: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the observables as they are read: places in a Pauli vector, weights (observables, places).

    A wrong read-out makes ``bias + slope * P`` of a qubit's Pauli matrix P, so that a product of Pauli
    matrices becomes a sum over the products of some of them.
    """
    signs = confusion @ [1.0, -1.0]  # what a qubit in 0, and one in 1, is read as on average
    bias, slope = signs.sum(axis=1) / 2, (signs[:, 0] - signs[:, 1]) / 2
    sums: list[dict[tuple[int, int], float]] = []
    for observable in observables:
        total: dict[tuple[int, int], float] = {}
        for term in observable.terms:
            products = {(0, 0): term.coefficient}
            for qubit in range(len(confusion)):
                x, z = term.x & 1 << qubit, term.z & 1 << qubit
                if x | z:
                    kept = {(px | x, pz | z): slope[qubit] * c for (px, pz), c in products.items()}
                    lost = {key: bias[qubit] * c for key, c in products.items()} if bias[qubit] else {}
                    products = lost | kept
            for key, coefficient in products.items():
                total[key] = total.get(key, 0.0) + coefficient
        sums.append(total)
    columns = {key: i for i, key in enumerate(dict.fromkeys(key for total in sums for key in total))}
    weights = np.zeros((len(sums), len(columns)))
    for row, total in zip(weights, sums, strict=True):
        for key, coefficient in total.items():
            row[columns[key]] = coefficient
    masks = np.array(list(columns), dtype=np.int64).reshape(-1, 2)
    spread = _spread(len(confusion))
    return spread[masks[:, 0]] | spread[masks[:, 1]] << 1, weights


@lru_cache(maxsize=16)
def _spread(qubits: int) -> IntArray:
    """Return for each mask the number whose bits ``2 q`` are the mask's bits q."""
    masks = np.arange(1 << qubits, dtype=np.int64)
    return np.asarray(sum((masks >> q & 1) << 2 * q for q in range(qubits)), dtype=np.int64)


@compiled
def _to_matrices(vectors: FloatArray, spread: IntArray, matrices: ComplexArray) -> None:
    """Write ``2**-q sum_P r_P P`` for each Pauli vector r.

    Digit by digit the four coefficients of a qubit become the four entries of its 2 x 2 block, in the
    order 00, 01, 10, 11 of (row, column).
    """
    length = len(spread) ** 2
    work = np.empty(length, np.complex128)
    for index in range(len(vectors)):
        for k in range(length):
            work[k] = vectors[index, k]
        stride = 1
        while stride < length:
            for block in range(0, length, 4 * stride):
                for k in range(block, block + stride):
                    one, x = work[k] / 2, work[k + stride] / 2
                    z, y = work[k + 2 * stride] / 2, 1j * work[k + 3 * stride] / 2
                    work[k], work[k + 3 * stride] = one + z, one - z
                    work[k + stride], work[k + 2 * stride] = x - y, x + y
            stride *= 4
        for row in range(len(spread)):
            for column in range(len(spread)):
                matrices[index, row, column] = work[spread[column] | spread[row] << 1]


@compiled
def _from_matrices(matrices: ComplexArray, spread: IntArray, vectors: FloatArray) -> None:
    """Write the Pauli vectors ``r_P = tr(P rho)``; a single matrix serves all vectors."""
    length = len(spread) ** 2
    work = np.empty(length, np.complex128)
    for index in range(len(matrices)):
        for row in range(len(spread)):
            for column in range(len(spread)):
                work[spread[column] | spread[row] << 1] = matrices[index, row, column]
        stride = 1
        while stride < length:
            for block in range(0, length, 4 * stride):
                for k in range(block, block + stride):
                    a, b = work[k], work[k + stride]
                    c, d = work[k + 2 * stride], work[k + 3 * stride]
                    work[k], work[k + 2 * stride] = a + d, a - d
                    work[k + stride], work[k + 3 * stride] = b + c, 1j * (b - c)
            stride *= 4
        for k in range(length):
            vectors[index, k] = work[k].real
    for index in range(len(matrices), len(vectors)):
        vectors[index] = vectors[0]
