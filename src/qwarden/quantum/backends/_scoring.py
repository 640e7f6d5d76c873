"""From feature rows to scores in one compiled call: linear map, angles, circuit, observable.

Rows are taken four at a time, as everywhere in the engine; every lane sees the same IEEE operations in the
same order, so a row's score does not depend on the rows beside it. Sums of products are fused
multiply-adds, asked for by name: what a compiler would fuse by itself might differ from place to place.

`tile_inputs`, `tile_state` and `tile_value` are the steps, for compiled callers that score more than this.
"""

# The unused arguments below are what Numba types the call by.
# ruff: noqa: ARG001

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils
from numba.core.extending import intrinsic

from qwarden.core.compiled import compiled
from qwarden.quantum.backends._engine import advance, aligned
from qwarden.quantum.backends._lanes import (
    LANES,
    WIDTH,
    integer,
    lane,
    load,
    number,
    pack,
    splat,
    store,
)
from qwarden.quantum.backends._layout import LINE, Floats, Ints, Layout
from qwarden.quantum.backends._program import Code
from qwarden.quantum.backends._sincos import sincos

CODE: Final = len(Code._fields)
LAYOUT: Final = len(Layout._fields)
BLOCK: Final = 8
"""Columns of a linear map that are summed together: as many sums as hide each other's latency."""


def _instruction(generator: Callable[..., Any]) -> Any:
    """Make a function that returns (signature, code generator) callable in compiled code."""
    return intrinsic(generator)


@_instruction
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c`` of `Lanes`, rounded once (IEEE 754 fusedMultiplyAdd)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.DoubleType(), WIDTH)
        kind = ir.FunctionType(vector, [vector] * 3)
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, kind, f"llvm.fma.v{WIDTH}f64"
        )
        return builder.call(function, arguments)

    return LANES(LANES, LANES, LANES), generate


def blocked(weights: Floats, biases: Floats) -> tuple[Floats, Floats]:
    """Return W^T and b as `tile_state` reads them: blocks of `BLOCK` columns, filled up with zeros.

    Parameters
    ----------
    weights, biases : shapes (d, features) and (features,).

    Returns
    -------
    arrays of the shapes (blocks, d, BLOCK) and (blocks, BLOCK).
    """
    count = -(-weights.shape[1] // BLOCK)
    padded = np.zeros((len(weights), count * BLOCK))
    padded[:, : weights.shape[1]] = weights
    starts = np.zeros(count * BLOCK)
    starts[: len(biases)] = biases
    blocks = padded.reshape(len(weights), count, BLOCK).transpose(1, 0, 2)
    return np.ascontiguousarray(blocks), starts.reshape(count, BLOCK)


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

    `neutral` stands for nan; weights and biases are `blocked`. `products` (columns, factors) names the
    features whose product each angle is (see `FeatureMap`), filled up with -1. `head` is the program's
    `Code` and the `Layout`, one after the other: few plain arguments are what keeps a call short.
    """
    code, at = code_of(head), layout_of(head)
    room, inputs = np.empty(at.size), np.empty(rows.shape[1] * WIDTH + LINE // 8)
    spare = np.empty(angle_room(weights, products))
    scores = np.empty(len(rows))
    memory, x, angles = aligned(room), aligned(inputs), aligned(spare)
    for first in range(0, len(rows), WIDTH):
        tile_inputs(rows, first, neutral, x)
        state = tile_state(x, weights, biases, products, origin, code, at, ints, floats, memory, angles)
        values = tile_value(memory, state, at.plane, form)
        for i in range(min(WIDTH, len(rows) - first)):
            scores[first + i] = lane(values, i) + offset
    room[0], inputs[0], spare[0] = 0.0, 0.0, 0.0  # they live to the end: only their addresses were in use
    return scores


@compiled
def angle_room(weights: Floats, products: Ints) -> int:
    """Return how many numbers `tile_state` needs beside the engine's own."""
    return int((weights.shape[0] * BLOCK + len(products)) * WIDTH + LINE // 8)


@compiled
def code_of(head: Ints) -> Code:
    """Return the program's places, the first part of `head`."""
    h = head
    return Code(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10])


@compiled
def layout_of(head: Ints) -> Layout:
    """Return the map of the working memory, the second part of `head`."""
    h = head[CODE:]
    return Layout(
        h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13], h[14]
    )  # fmt: skip


@compiled
def tile_inputs(rows: Floats, first: int, neutral: Floats, x: int) -> None:
    """Write four rows from `first` on as lanes, `neutral` for nan; the last row is repeated."""
    last = len(rows) - 1
    r0, r1 = min(first, last), min(first + 1, last)
    r2, r3 = min(first + 2, last), min(first + 3, last)
    for column in range(rows.shape[1]):
        a, b, c, d = rows[r0, column], rows[r1, column], rows[r2, column], rows[r3, column]
        if np.isnan(a):
            a = neutral[column]
        if np.isnan(b):
            b = neutral[column]
        if np.isnan(c):
            c = neutral[column]
        if np.isnan(d):
            d = neutral[column]
        store(x, column * WIDTH, pack(a, b, c, d))


@compiled
def tile_state(
    x: int,
    weights: Floats,
    biases: Floats,
    products: Ints,
    origin: float,
    code: Code,
    at: Layout,
    ints: Ints,
    floats: Floats,
    memory: int,
    room: int,
) -> int:
    """Prepare the four states of the inputs at `x`; return where in the memory they stand."""
    angles = room + 8 * weights.shape[0] * BLOCK * WIDTH
    _features(x, weights, biases, room)
    _angles(room, products, origin, angles)
    _slots(ints.ctypes.data, floats.ctypes.data, code, at, memory, angles)
    store(memory, at.state, splat(1.0))
    store(memory, at.state + at.plane, splat(0.0))
    state, _, _ = advance(ints.ctypes.data, floats.ctypes.data, code, at, memory, at.state, at.spare, -1)
    return state


@compiled
def tile_value(memory: int, state: int, plane: int, form: npt.NDArray[np.float64]):  # type: ignore[no-untyped-def]
    """Return ``<phi|M|phi>`` of the four states; `form` is M's real and imaginary part, or its diagonal."""
    if form.shape[0] == 1:
        return _diagonal_value(memory, state, plane, form.ctypes.data, form.shape[2])
    return _form_value(memory, state, plane, form.ctypes.data, form.shape[2])


@compiled
def _features(x: int, weights: Floats, biases: Floats, out: int) -> None:
    """Write ``x @ weights + biases``, each sum in the order of the columns of x."""
    start, given = biases.ctypes.data, weights.ctypes.data
    for block in range(weights.shape[0]):
        b = block * BLOCK
        s0, s1 = splat(number(start, b)), splat(number(start, b + 1))
        s2, s3 = splat(number(start, b + 2)), splat(number(start, b + 3))
        s4, s5 = splat(number(start, b + 4)), splat(number(start, b + 5))
        s6, s7 = splat(number(start, b + 6)), splat(number(start, b + 7))
        w = block * weights.shape[1] * BLOCK
        for column in range(weights.shape[1]):
            value = load(x, column * WIDTH)
            s0 = fused(splat(number(given, w)), value, s0)
            s1 = fused(splat(number(given, w + 1)), value, s1)
            s2 = fused(splat(number(given, w + 2)), value, s2)
            s3 = fused(splat(number(given, w + 3)), value, s3)
            s4 = fused(splat(number(given, w + 4)), value, s4)
            s5 = fused(splat(number(given, w + 5)), value, s5)
            s6 = fused(splat(number(given, w + 6)), value, s6)
            s7 = fused(splat(number(given, w + 7)), value, s7)
            w += BLOCK
        to = b * WIDTH
        store(out, to, s0)
        store(out, to + WIDTH, s1)
        store(out, to + 2 * WIDTH, s2)
        store(out, to + 3 * WIDTH, s3)
        store(out, to + 4 * WIDTH, s4)
        store(out, to + 5 * WIDTH, s5)
        store(out, to + 6 * WIDTH, s6)
        store(out, to + 7 * WIDTH, s7)


@compiled
def _angles(features: int, products: Ints, origin: float, out: int) -> None:
    """Write the products of features that the angles are; `origin` is nan where there is none."""
    for column in range(len(products)):
        first = products[column, 0]
        if products.shape[1] == 1 or products[column, 1] < 0:
            store(out, column * WIDTH, load(features, first * WIDTH))
            continue
        product = splat(1.0)
        for factor in range(products.shape[1]):
            feature = products[column, factor]
            if feature >= 0:
                value = load(features, feature * WIDTH)
                product = product * (value if np.isnan(origin) else splat(origin) - value)
        store(out, column * WIDTH, product)


@compiled
def _slots(ints: int, floats: int, code: Code, at: Layout, work: int, angles: int) -> None:
    """Compute cosine and sine of every slot, as `_engine.load_slots` does from rows of angles."""
    entry = 0
    for slot in range(code.slots):
        total = splat(number(floats, code.constants + slot))
        end = integer(ints, code.form_ends + slot + 1)
        while entry < end:
            angle = load(angles, integer(ints, code.forms + entry) * WIDTH)
            total = total + splat(number(floats, code.weights + entry)) * angle
            entry += 1
        store(work, at.slots + slot * WIDTH, total)
    sincos(work, at.slots, at.cos, at.sin, code.slots)


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

    ``<phi|M|phi> = sum_i M_ii |phi_i|^2 + 2 Re sum_(j<i) conj(phi_i) M_ij phi_j``. Rows of M are taken in
    pairs, so that a sum need not wait for the one before.
    """
    imaginary = dimension * dimension
    total = splat(0.0)
    for i in range(0, dimension, 2):
        p, q = i * dimension, (i + 1) * dimension
        a1, a2, b1, b2 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        c1, c2, d1, d2 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
        for j in range(i):
            x, y = load(work, state + j * WIDTH), load(work, state + plane + j * WIDTH)
            re, im = splat(number(form, p + j)), splat(number(form, imaginary + p + j))
            a1, a2 = fused(re, x, a1), fused(im, y, a2)
            b1, b2 = fused(re, y, b1), fused(im, x, b2)
            re, im = splat(number(form, q + j)), splat(number(form, imaginary + q + j))
            c1, c2 = fused(re, x, c1), fused(im, y, c2)
            d1, d2 = fused(re, y, d1), fused(im, x, d2)
        x, y = load(work, state + i * WIDTH), load(work, state + plane + i * WIDTH)
        u, v = load(work, state + (i + 1) * WIDTH), load(work, state + plane + (i + 1) * WIDTH)
        own, along, across = splat(number(form, p + i)), a1 - a2, b1 + b2
        total = total + (x * (own * x + along + along) + y * (own * y + across + across))
        # The element below the diagonal joins the second row of the pair.
        re, im = splat(number(form, q + i)), splat(number(form, imaginary + q + i))
        own, along, across = (
            splat(number(form, q + i + 1)),
            fused(re, x, c1) - fused(im, y, c2),
            fused(re, y, d1) + fused(im, x, d2),
        )
        total = total + (u * (own * u + along + along) + v * (own * v + across + across))
    return total
