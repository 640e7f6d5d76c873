"""One compiled call from a feature row to a score.

A kernel machine's decision is one observable (`observable_form`), a variational circuit's read-out another;
both are ``<phi(x)|M|phi(x)> + offset`` with a state whose angles are a linear map of the row. When rows
arrive one at a time, the calls in between cost more than the arithmetic: `RowScorer` makes them one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.backends._layout import compile_readout, lay_out
from qwarden.quantum.backends._scoring import blocked, score_rows
from qwarden.quantum.backends.local import program_of
from qwarden.quantum.circuit import Circuit, FloatArray
from qwarden.quantum.feature_maps import FeatureMap
from qwarden.quantum.precision import StateArray


class RowScorer:
    """Scores rows: ``f(x) = <phi(W x + b)|M|phi(W x + b)> + offset``.

    Parameters
    ----------
    circuit : starts from |0...0>; W x + b are its angles, or, of a `FeatureMap`, its features.
    weights, biases : W^T and b, shapes (d, features) and (features,).
    neutral : shape (d,), the value that stands for nan in each column.
    observable : M, Hermitian of shape (2**q, 2**q), or its diagonal alone, shape (2**q,), real.
    offset : added to each score.

    Raises
    ------
    UsageError : shapes that do not fit, numbers that are not finite, or M is not Hermitian.

    Source: Schuld 2021, "Supervised quantum machine learning models are kernel methods", eq. (23).

    >>> import numpy as np
    >>> from qwarden.quantum import Angle, Circuit
    >>> score = RowScorer(Circuit(1).ry(0, Angle(0)), [[1.0], [2.0]], [0.0], [0.0, 0.0], [1.0, -1.0], 0.5)
    >>> score(np.array([[0.0, 0.0], [np.pi, 0.0], [np.nan, np.pi / 4]])).round(12).tolist()
    [1.5, -0.5, 0.5]
    """

    MAX_DIMENSION: ClassVar[int] = 256
    """Greatest state for which one call pays: beyond, M no longer fits the processor's caches."""

    def __init__(
        self,
        circuit: Circuit,
        weights: npt.ArrayLike,
        biases: npt.ArrayLike,
        neutral: npt.ArrayLike,
        observable: npt.ArrayLike,
        offset: float = 0.0,
    ) -> None:
        features = circuit.features if isinstance(circuit, FeatureMap) else circuit.columns
        self._neutral = _finite("neutral", neutral, (None,))
        self._weights, self._biases = blocked(
            _finite("weights", weights, (len(self._neutral), features)),
            _finite("biases", biases, (features,)),
        )
        self._form = _planes(np.asarray(observable), circuit.dimension)
        self._offset = float(_finite("offset", offset, ()))
        self._products, self._origin = _products(circuit)
        program = program_of(circuit, from_zero=True)
        layout = lay_out(
            circuit.qubits, program.code.slots, program.node_rows, compile_readout(())[2], 2, backwards=False
        )
        self._head = np.array([*program.code, *layout], dtype=np.int64)
        self._ints, self._floats = program.ints, program.floats

    @property
    def parts(self) -> tuple[Any, ...]:
        """Weights, biases, products, origin, head, integers, floats, form and offset of the compiled call.

        For compiled callers that do more than score (see `qwarden.quantum.backends._scoring`).
        """
        return (
            self._weights, self._biases, self._products, self._origin, self._head, self._ints, self._floats,
            self._form, self._offset,
        )  # fmt: skip

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return the scores of C-ordered float64 rows (n, d), shape (n,).

        Raises
        ------
        UsageError : `rows` is of another kind or shape, or holds an infinity.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self._neutral):
            raise UsageError(f"rows must have the shape (n, {len(self._neutral)}), not {rows.shape}")
        if rows.dtype != np.float64 or not rows.flags.c_contiguous or not rows.flags.writeable:
            rows = np.array(rows, dtype=np.float64, order="C")
        scores = score_rows(
            rows, self._neutral, self._weights, self._biases, self._products, self._origin,
            self._head, self._ints, self._floats, self._form, self._offset,
        )  # fmt: skip
        if not np.isfinite(scores).all():
            raise UsageError("a row to score is not finite")
        return scores


def _finite(name: str, given: npt.ArrayLike, shape: tuple[int | None, ...]) -> FloatArray:
    """Return `given` as a C-ordered array of its own after checking it; None in `shape` is any size."""
    array: FloatArray = np.array(given, dtype=np.float64, order="C")
    if array.ndim != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        raise UsageError(f"{name} must have the shape {shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} must be finite")
    return array


def _planes(observable: StateArray, dimension: int) -> FloatArray:
    """Return real and imaginary part, shape (2, dimension, dimension), or a diagonal, (1, 1, dimension)."""
    if observable.ndim == 1:
        return _finite("observable", observable, (dimension,))[None, None]
    real = _finite("observable", observable.real, (dimension, dimension))
    imag = _finite("observable", observable.imag, (dimension, dimension))
    slack = 1e-9 * max(1.0, float(np.abs(real).max()))
    if np.abs(real - real.T).max() > slack or np.abs(imag + imag.T).max() > slack:
        raise UsageError("observable must be Hermitian")
    return np.stack([real, imag])


def _products(circuit: Circuit) -> tuple[npt.NDArray[np.int64], float]:
    """Return the features whose product each angle column is, filled up with -1, and their origin or nan."""
    if not isinstance(circuit, FeatureMap):
        return np.arange(circuit.columns, dtype=np.int64)[:, None], np.nan
    table = np.full((circuit.columns, max(map(len, circuit.products), default=1)), -1, dtype=np.int64)
    for column, factors in enumerate(circuit.products):
        table[column, : len(factors)] = factors
    return table, np.nan if circuit.origin is None else circuit.origin
