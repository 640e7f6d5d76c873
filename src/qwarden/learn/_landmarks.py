"""Linear machines on the features that landmark rows span (the Nystrom method).

Features are ``K(rows, landmarks) @ projection``; they exist for one chunk of rows at a time. The machine
comes back as weights of the landmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from qwarden.core.progress import Task
from qwarden.learn.base import Array, Floats

Loss = Literal["squared_hinge", "ridge"]
Kernel = Callable[[Any], Floats]

_CHUNK = 4096
_NEWTON_STEPS = 20


def fit_on_landmarks(
    kernel: Kernel,
    projection: Floats,
    rows: Array,
    signs: Floats,
    weights: Floats,
    loss: Loss,
    ridge: float,
    task: Task,
) -> tuple[Floats, float]:
    """Return the weight of each landmark and the bias, which is not penalised.

    Parameters
    ----------
    kernel : from some rows to their kernel with the m landmarks, (k, m).
    projection : (m, r), the inverse square root of the landmarks' own kernel.
    rows, signs, weights : (n, ...), (n,) of +1 or -1, (n,).
    loss, ridge : squared error to the sign, or squared hinge; plus `ridge` times the squared norm,
        relative to a loss averaged over the rows.

    Source: Williams & Seeger 2000 (Nystrom); Chapelle 2007, section 4 (Newton's method).
    """
    active = np.ones(len(rows), np.bool_)
    solution = _least_squares(kernel, projection, rows, signs, weights, ridge)
    for _ in range(_NEWTON_STEPS if loss == "squared_hinge" else 0):
        task.advance()
        # Newton's step for the squared hinge is least squares on the rows inside the margin.
        alpha = projection @ solution[:-1]
        values = np.concatenate([kernel(rows[part]) @ alpha for part in chunks(len(rows))])
        inside = signs * (values + solution[-1]) < 1.0
        if (inside == active).all():
            break
        active = inside
        solution = _least_squares(kernel, projection, rows, signs, weights * active, ridge)
    return projection @ solution[:-1], float(solution[-1])


def _least_squares(
    kernel: Kernel, projection: Floats, rows: Array, signs: Floats, weights: Floats, ridge: float
) -> Floats:
    """Return coefficients and bias of the weighted ridge regression to `signs`; the bias is free."""
    size = projection.shape[1] + 1
    normal, right = np.zeros((size, size)), np.zeros(size)
    for part in chunks(len(rows)):
        features = np.column_stack([kernel(rows[part]) @ projection, np.ones(len(signs[part]))])
        weighted = features * weights[part, None]
        normal += features.T @ weighted
        right += weighted.T @ signs[part]
    normal[np.diag_indices(size - 1)] += ridge * len(rows)
    normal[-1, -1] += 1e-12 * len(rows)  # for the case that no row is active
    solution: Floats = np.linalg.solve(normal, right)
    return solution


def chunks(count: int) -> Iterator[slice]:
    """Cut `count` rows into parts whose kernel fits the cache."""
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)
