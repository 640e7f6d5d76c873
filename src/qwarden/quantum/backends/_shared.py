"""One row of angles for the whole batch: the circuit as a matrix.

With U the circuit's matrix and X the initial states as rows, the final states are ``X U^T``, and with
cotangents C of the final states the loss changes by ``Re sum conj(G) * dU^T`` where ``G = X^H C``. So both
sweeps act on the ``2**q`` basis states only, and the batch enters through two matrix products. A circuit
of real gates has a real U: then real and imaginary parts are stacked and all products are real.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, compiled_fast
from qwarden.quantum.circuit import ComplexArray, FloatArray
from qwarden.quantum.pauli import PauliSum

MAX_DIMENSION = 1024


def pays(dimension: int, rows: int, observables: Sequence[PauliSum]) -> bool:
    """Return whether the matrix is worth its making; observables must be diagonal."""
    return dimension <= MAX_DIMENSION and rows >= 2 * dimension and all(o.diagonal for o in observables)


@lru_cache(maxsize=16)
def basis_states(dimension: int) -> ComplexArray:
    """Return all basis states; the array is shared and must not be written to."""
    return np.eye(dimension, dtype=np.complex128)


class SharedStates:
    """The final states of a batch under one matrix.

    Parameters
    ----------
    images : row k is the image of basis state k (U^T), shape (2**q, 2**q).
    real : whether U is real.
    initial : shape (n, 2**q).
    """

    def __init__(self, images: ComplexArray, real: bool, initial: ComplexArray) -> None:
        self._batch = _Batch(initial, real)
        self._final = self._batch.times(images)

    def states(self) -> ComplexArray:
        """Return the final states."""
        if not self._batch.real:
            return self._final
        rows = len(self._final) // 2
        states = np.empty((rows, self._final.shape[1]), dtype=np.complex128)
        states.real, states.imag = self._final[:rows], self._final[rows:]
        return states

    def cotangent(self, cotangents: ComplexArray) -> ComplexArray:
        """Return the cotangent of U^T, given that of the final states."""
        parts = _Batch(cotangents, self._batch.real).parts
        return np.asarray(self._batch.transposed_times(parts), dtype=np.complex128)


class SharedReadout:
    """Expectation values of a batch under one matrix, for observables made of Z only.

    U keeps the norm, so a constant may be taken off an observable's diagonal and paid back as that
    multiple of the norm. What is taken off is what most basis states have: their amplitudes then need
    not be known. For a single Z that is half of them.

    Parameters
    ----------
    images, real, initial : as `SharedStates`.
    observables : made of Z only.
    """

    def __init__(
        self,
        images: ComplexArray,
        real: bool,
        initial: ComplexArray,
        observables: tuple[PauliSum, ...],
    ) -> None:
        self._batch = _Batch(initial, real)
        self._common, self._kept, self._table = diagonals(observables, len(images))
        self._final = self._batch.times(images[:, self._kept])

    def expectations(self) -> FloatArray:
        """Return the expectation values, shape (n, observables)."""
        if self._batch.real:
            return _measure(self._final, self._table, self._batch.parts, self._common)
        values = _square(self._final) @ self._table.T
        values += _square(self._batch.parts).sum(axis=1)[:, None] * self._common
        return np.asarray(values)

    def cotangent(self, slopes: FloatArray) -> ComplexArray:
        """Return the cotangent of U^T, given d loss / d expectations."""
        if self._batch.real:
            weighted: npt.NDArray[Any] = _weigh(self._final, self._table, slopes)
        else:
            weighted = (2.0 * slopes @ self._table) * self._final
        whole = np.zeros((self._batch.parts.shape[1],) * 2, dtype=np.complex128)
        whole[:, self._kept] = self._batch.transposed_times(weighted)
        return whole


class _Batch:
    """The initial states as a complex matrix, or, for a real U, as stacked real and imaginary parts."""

    def __init__(self, initial: ComplexArray, real: bool) -> None:
        self.real = real
        self.parts: npt.NDArray[Any] = _stack(initial.view(np.float64)) if real else initial

    def times(self, images: ComplexArray) -> npt.NDArray[Any]:
        """Return the images of the batch."""
        product: npt.NDArray[Any] = self.parts @ (np.ascontiguousarray(images.real) if self.real else images)
        return product

    def transposed_times(self, final: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the product over the batch."""
        return np.asarray((self.parts.T if self.real else self.parts.conj().T) @ final)


def _square(states: ComplexArray) -> FloatArray:
    return np.asarray(states.real**2 + states.imag**2)


@lru_cache(maxsize=16)
def diagonals(
    observables: tuple[PauliSum, ...], dimension: int
) -> tuple[FloatArray, npt.NDArray[np.intp], FloatArray]:
    """Return what most basis states have as the observables' values, the others, and what those have more.

    >>> common, kept, more = diagonals((PauliSum.z(0),), 4)
    >>> common.tolist(), kept.tolist(), more.tolist()
    ([-1.0], [0, 2], [[2.0, 2.0]])
    """
    z = np.arange(dimension)
    table = np.zeros((len(observables), dimension))
    for k, observable in enumerate(observables):
        for term in observable.terms:
            table[k] += term.coefficient * (1.0 - 2.0 * (np.bitwise_count(z & term.z) & 1))
    values, counts = np.unique(table, axis=1, return_counts=True)
    common = np.ascontiguousarray(values[:, np.argmax(counts)])
    kept = np.flatnonzero((table != common[:, None]).any(axis=0))
    return common, kept, np.ascontiguousarray(table[:, kept] - common[:, None])


@compiled
def _stack(pairs: FloatArray) -> FloatArray:
    """Return rows of (real, imaginary) pairs as the real parts of all rows, then the imaginary parts."""
    rows, dimension = pairs.shape[0], pairs.shape[1] // 2
    parts = np.empty((2 * rows, dimension))
    for i in range(rows):
        for z in range(dimension):
            parts[i, z] = pairs[i, 2 * z]
            parts[rows + i, z] = pairs[i, 2 * z + 1]
    return parts


@compiled_fast
def _measure(parts: FloatArray, table: FloatArray, initial: FloatArray, common: FloatArray) -> FloatArray:
    """Return ``sum_z table[k, z] |psi(z)|^2 + common[k] |initial|^2`` of stacked states, shape (n, k)."""
    rows, width = len(parts) // 2, parts.shape[1]
    values = np.empty((rows, len(table)))
    chances = np.empty(width)
    for i in range(rows):
        norm = 0.0
        for z in range(initial.shape[1]):
            norm += initial[i, z] * initial[i, z] + initial[rows + i, z] * initial[rows + i, z]
        for z in range(width):
            chances[z] = parts[i, z] * parts[i, z] + parts[rows + i, z] * parts[rows + i, z]
        for k in range(len(table)):
            total = common[k] * norm
            for z in range(width):
                total += chances[z] * table[k, z]
            values[i, k] = total
    return values


@compiled
def _weigh(parts: FloatArray, table: FloatArray, slopes: FloatArray) -> FloatArray:
    """Return ``2 * sum_k slopes_k O_k |state>`` of stacked states."""
    rows = len(parts) // 2
    out = np.empty_like(parts)
    weights = np.empty(parts.shape[1])
    for i in range(rows):
        weights[:] = 0.0
        for k in range(len(table)):
            for z in range(len(weights)):
                weights[z] += 2.0 * slopes[i, k] * table[k, z]
        for z in range(len(weights)):
            out[i, z] = weights[z] * parts[i, z]
            out[rows + i, z] = weights[z] * parts[rows + i, z]
    return out
