"""Compiled helpers for the few rows that arrive at a time when traffic is live."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, compiled_fast

Floats = npt.NDArray[np.float64]

FEW = 8
"""Up to so many rows one compiled loop beats calls of BLAS and their preparation."""


def fill_unknown(rows: Floats, neutral: Floats) -> Floats:
    """Return `rows` with `neutral` (one value a column) in the place of nan."""
    unknown = np.isnan(rows)
    return np.where(unknown, neutral, rows) if unknown.any() else rows


def linear(rows: Floats, neutral: Floats, weights: Floats, biases: Floats) -> Floats:
    """Return ``rows @ weights + biases``, (n, m), where `neutral` stands for nan.

    Each row by itself: BLAS would sum in an order that depends on how many rows there are.

    >>> linear(np.array([[1.0, np.nan]]), np.array([0.0, 5.0]), np.array([[2.0], [1.0]]), np.array([0.5]))
    array([[7.5]])
    """
    return _linear(rows, neutral, weights, biases)


@compiled
def any_infinite(rows: Floats) -> bool:
    """Say whether a value is infinite."""
    for row in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            if np.isinf(rows[row, column]):
                return True
    return False


@compiled_fast
def _linear(rows: Floats, neutral: Floats, weights: Floats, biases: Floats) -> Floats:
    out = np.empty((rows.shape[0], weights.shape[1]))
    for row in range(rows.shape[0]):
        out[row] = biases
        for column in range(rows.shape[1]):
            value = rows[row, column]
            if np.isnan(value):
                value = neutral[column]
            for to in range(weights.shape[1]):
                out[row, to] += value * weights[column, to]
    return out
