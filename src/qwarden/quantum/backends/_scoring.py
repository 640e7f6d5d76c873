"""From feature rows to scores in one compiled call: linear map, angles, circuit, observable.

Rows are taken four at a time, as everywhere in the engine; every lane sees the same IEEE operations in the
same order, so a row's score does not depend on the rows beside it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.quantum.backends._engine import advance, aligned, load_slots
from qwarden.quantum.backends._lanes import WIDTH, lane, load, number, splat, store
from qwarden.quantum.backends._layout import Floats, Ints, Layout
from qwarden.quantum.backends._program import Code

CODE: Final = len(Code._fields)
LAYOUT: Final = len(Layout._fields)


@compiled
def score_rows(
    rows: Floats,
    neutral: Floats,
    weights: Floats,
    biases: Floats,
    products: Ints,
    origin: float,
    head: Ints,
    ints: Ints,
    floats: Floats,
    form: npt.NDArray[np.float64],
    offset: float,
) -> Floats:
    """Return ``<phi|M|phi> + offset`` with phi the circuit's state at ``rows @ weights + biases``, (n,).

    `neutral` stands for nan. `products` (columns, factors) names the features whose product each angle is
    (see `FeatureMap`), filled up with -1. `head` is the program's `Code` and the `Layout`, one after the
    other: few plain arguments are what keeps a call short.
    """
    code, at = _code(head), _layout(head)
    room = np.empty(at.size)
    features = np.empty((WIDTH, weights.shape[1]))
    angles = np.empty((WIDTH, len(products)))
    scores = np.empty(len(rows))
    memory, state, spare = aligned(room), at.state, at.spare
    for first in range(0, len(rows), WIDTH):
        here = min(WIDTH, len(rows) - first)
        for i in range(here):
            _features(rows[first + i], neutral, weights, biases, features[i])
            _angles(features[i], products, origin, angles[i])
        load_slots(ints.ctypes.data, floats.ctypes.data, code, at, memory, angles[:here], 0)
        store(memory, state, splat(1.0))
        store(memory, state + at.plane, splat(0.0))
        state, spare, _ = advance(ints.ctypes.data, floats.ctypes.data, code, at, memory, state, spare, -1)
        if form.shape[0] == 1:
            values = _diagonal_value(memory, state, at.plane, form.ctypes.data, form.shape[2])
        else:
            values = _form_value(memory, state, at.plane, form.ctypes.data, form.shape[2])
        for i in range(here):
            scores[first + i] = lane(values, i) + offset
    return scores


@compiled
def _code(h: Ints) -> Code:
    return Code(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10])


@compiled
def _layout(head: Ints) -> Layout:
    h = head[CODE:]
    return Layout(
        h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13], h[14]
    )  # fmt: skip


@compiled
def _features(row: Floats, neutral: Floats, weights: Floats, biases: Floats, out: Floats) -> None:
    """Write ``row @ weights + biases``."""
    out[:] = biases
    for column in range(len(row)):
        value = neutral[column] if np.isnan(row[column]) else row[column]
        for to in range(len(out)):
            out[to] += value * weights[column, to]


@compiled
def _angles(features: Floats, products: Ints, origin: float, out: Floats) -> None:
    """Write the products of features that the angles are; `origin` is nan where there is none."""
    for column in range(len(out)):
        first = products[column, 0]
        if products.shape[1] == 1 or products[column, 1] < 0:
            out[column] = features[first]
            continue
        product = 1.0
        for factor in range(products.shape[1]):
            feature = products[column, factor]
            if feature >= 0:
                product *= features[feature] if np.isnan(origin) else origin - features[feature]
        out[column] = product


@compiled
def _diagonal_value(work: int, state: int, plane: int, form: int, dimension: int):  # type: ignore[no-untyped-def]
    """Return ``sum_z d_z |phi_z|^2``, four rows at once."""
    total = splat(0.0)
    for z in range(dimension):
        x, y = load(work, state + z * WIDTH), load(work, state + plane + z * WIDTH)
        total = total + splat(number(form, z)) * (x * x + y * y)
    return total


@compiled
def _form_value(work: int, state: int, plane: int, form: int, dimension: int):  # type: ignore[no-untyped-def]
    """Return ``<phi|M|phi>``, four rows at once, from the lower triangle of M (real parts, then imaginary).

    ``<phi|M|phi> = sum_i M_ii |phi_i|^2 + 2 Re sum_(j<i) conj(phi_i) M_ij phi_j``.
    """
    imaginary = dimension * dimension
    total = splat(0.0)
    for i in range(dimension):
        along, across = splat(0.0), splat(0.0)
        for j in range(i):
            a, b = splat(number(form, i * dimension + j)), splat(number(form, imaginary + i * dimension + j))
            x, y = load(work, state + j * WIDTH), load(work, state + plane + j * WIDTH)
            along = along + (a * x - b * y)
            across = across + (a * y + b * x)
        x, y = load(work, state + i * WIDTH), load(work, state + plane + i * WIDTH)
        own = splat(number(form, i * dimension + i))
        total = total + (x * (own * x + along + along) + y * (own * y + across + across))
    return total
