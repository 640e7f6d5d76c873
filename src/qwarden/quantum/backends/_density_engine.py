"""The compiled loops over Pauli vectors: forwards, and backwards with gradients.

A step goes over a Pauli vector in blocks. A block is 16 neighbouring patterns of the digits the step does
not touch, each with the 4 or 16 digits (pairs) it does touch, laid out digit after digit in four registers
of four numbers (`_lanes`). A step that touches qubit 0 has its digits in neighbouring places: there four
registers are transposed on the way in and out. Vectors are at least `LEAST_QUBITS` long, so that every step
fills a block; a circuit on fewer qubits has its Pauli vector in the first places and zeros after it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from qwarden.core.compiled import compiled, inlined
from qwarden.quantum.backends._density_program import DensityProgram, IntArray
from qwarden.quantum.backends._lanes import lane, load, splat, store, transpose
from qwarden.quantum.circuit import FloatArray

LEAST_QUBITS: Final = 4
_BLOCK: Final = 16


@compiled
def run_forward(program: DensityProgram, angles: FloatArray, vectors: FloatArray) -> None:
    """Take each Pauli vector, shape (n, 4**q), through the program, in place.

    `angles` has a row for each vector, or one for all.
    """
    no_trail = np.empty((0, 0))
    for row in range(len(vectors)):
        _forward(program, angles[row % len(angles)], 0, len(program.low), vectors[row], no_trail)


@compiled
def run_backward(program: DensityProgram, angles: FloatArray, cotangents: FloatArray) -> None:
    """Take d loss / d vectors, shape (n, 4**q), from the end of the program to its beginning, in place."""
    no_trail, no_gradient = np.empty((0, 0)), np.empty(0)
    for row in range(len(cotangents)):
        given = angles[row % len(angles)]
        _backward(program, given, 0, len(program.low), cotangents[row], no_trail, no_gradient)


@compiled
def run_gradient(
    program: DensityProgram,
    angles: FloatArray,
    vectors: FloatArray,
    cotangents: FloatArray,
    segment: int,
    gradient: FloatArray,
) -> None:
    """Add d loss / d angles to `gradient`, given the first vectors and d loss / d last vectors.

    Noise cannot be undone, so the vector before each step is kept, for `segment` steps at a time: the first
    sweep keeps the vector at the beginning of each segment, and a segment is run again when its turn comes.
    """
    steps, no_trail = len(program.low), np.empty((0, 0))
    segments = (steps + segment - 1) // segment
    begins = np.empty((segments, vectors.shape[1]))
    trail = np.empty((min(segment, steps), vectors.shape[1]))
    for row in range(len(vectors)):
        given, slopes = angles[row % len(angles)], gradient[row % len(gradient)]
        for number in range(segments):
            begins[number] = vectors[row]
            if number < segments - 1:
                _forward(program, given, number * segment, (number + 1) * segment, vectors[row], no_trail)
        for number in range(segments - 1, -1, -1):
            start, stop = number * segment, min((number + 1) * segment, steps)
            _forward(program, given, start, stop, begins[number], trail)
            _backward(program, given, start, stop, cotangents[row], trail, slopes)


@inlined
def _forward(
    program: DensityProgram,
    angles: FloatArray,
    start: int,
    stop: int,
    vector: FloatArray,
    trail: FloatArray,
) -> None:
    """Take a vector through the steps, keeping what it was before each of them where there is a trail."""
    room, factors = np.empty(2 * 16 * _BLOCK), np.empty(256)
    before, after, base = room.ctypes.data, room.ctypes.data + 8 * 16 * _BLOCK, vector.ctypes.data
    for step in range(start, stop):
        if len(trail):
            trail[step - start] = vector
        _factors(program, step, angles, factors)
        low, high = program.low[step], program.high[step]
        first, end = program.begin[step], program.begin[step + 1]
        digits = 4 if high < 0 else 16
        for group in range(0, len(vector) // digits, _BLOCK):
            _gather(base, group, low, high, before)
            _multiply(program.target, program.source, program.by_target, first, end, factors, before, after)
            _scatter(base, group, low, high, after)


@inlined
def _backward(
    program: DensityProgram,
    angles: FloatArray,
    start: int,
    stop: int,
    cotangent: FloatArray,
    trail: FloatArray,
    gradient: FloatArray,
) -> None:
    """Take a cotangent back through the steps, collecting d loss / d angles where there is a trail."""
    room, factors, slopes = np.empty(3 * 16 * _BLOCK), np.empty(256), np.empty(256)
    after, base = room.ctypes.data, cotangent.ctypes.data
    before, kept = after + 8 * 16 * _BLOCK, after + 16 * 16 * _BLOCK
    for step in range(stop - 1, start - 1, -1):
        _factors(program, step, angles, factors)
        turns = len(trail) > 0 and program.column[step] >= 0
        if turns:
            _slopes(program, step, angles, slopes)
        low, high = program.low[step], program.high[step]
        first, end = program.begin[step], program.begin[step + 1]
        digits = 4 if high < 0 else 16
        total = 0.0
        for group in range(0, len(cotangent) // digits, _BLOCK):
            _gather(base, group, low, high, after)
            if turns:
                _gather(trail[step - start].ctypes.data, group, low, high, kept)
                total += _contract(program, step, slopes, after, kept)
            _multiply(program.source, program.target, program.by_source, first, end, factors, after, before)
            _scatter(base, group, low, high, before)
        if turns:
            gradient[program.column[step]] += program.scale[step] * total


@inlined
def _factors(program: DensityProgram, step: int, angles: FloatArray, factors: FloatArray) -> None:
    """Fill in the step's entries at its angle."""
    begin, end, w = program.begin[step], program.begin[step + 1], program.weights
    if program.column[step] < 0:
        for k in range(begin, end):
            factors[k - begin] = w[k, 0]
        return
    angle = program.scale[step] * angles[program.column[step]] + program.offset[step]
    c, s, c2, s2 = math.cos(angle), math.sin(angle), math.cos(angle / 2), math.sin(angle / 2)
    for k in range(begin, end):
        factors[k - begin] = w[k, 0] + w[k, 1] * c + w[k, 2] * s + w[k, 3] * c2 + w[k, 4] * s2


@inlined
def _slopes(program: DensityProgram, step: int, angles: FloatArray, slopes: FloatArray) -> None:
    """Fill in the derivatives of the step's entries by its angle."""
    begin, end, w = program.begin[step], program.begin[step + 1], program.weights
    angle = program.scale[step] * angles[program.column[step]] + program.offset[step]
    c, s, c2, s2 = math.cos(angle), math.sin(angle), math.cos(angle / 2), math.sin(angle / 2)
    for k in range(begin, end):
        slopes[k - begin] = w[k, 2] * c - w[k, 1] * s + (w[k, 4] * c2 - w[k, 3] * s2) / 2


@inlined
def _place(group: int, low: int, high: int) -> int:
    """Return the index of a pattern with the step's own digits zero."""
    index = (group >> 2 * low) << 2 * low + 2 | group & ((1 << 2 * low) - 1)
    if high >= 0:
        index = (index >> 2 * high) << 2 * high + 2 | index & ((1 << 2 * high) - 1)
    return index


@inlined
def _gather(base: int, group: int, low: int, high: int, block: int) -> None:
    """Copy a block out of the vector at address `base` to the address `block`."""
    for part in range(4):
        at = _place(group + 4 * part, low, high)
        for upper in range(1 if high < 0 else 4):
            to, start = 64 * upper + 4 * part, at + (upper << 2 * max(high, 0))
            if low:
                for digit in range(4):
                    store(block, to + 16 * digit, load(base, start + (digit << 2 * low)))
            else:
                apart = _place(group + 4 * part + 1, low, high) - at
                a, b = load(base, start), load(base, start + apart)
                c, d = load(base, start + 2 * apart), load(base, start + 3 * apart)
                a, b, c, d = transpose(a, b, c, d)
                store(block, to, a)
                store(block, to + 16, b)
                store(block, to + 32, c)
                store(block, to + 48, d)


@inlined
def _scatter(base: int, group: int, low: int, high: int, block: int) -> None:
    """Copy the block at the address `block` back to its places in the vector at address `base`."""
    for part in range(4):
        at = _place(group + 4 * part, low, high)
        for upper in range(1 if high < 0 else 4):
            to, start = 64 * upper + 4 * part, at + (upper << 2 * max(high, 0))
            if low:
                for digit in range(4):
                    store(base, start + (digit << 2 * low), load(block, to + 16 * digit))
            else:
                apart = _place(group + 4 * part + 1, low, high) - at
                a, b = load(block, to), load(block, to + 16)
                c, d = load(block, to + 32), load(block, to + 48)
                a, b, c, d = transpose(a, b, c, d)
                store(base, start, a)
                store(base, start + apart, b)
                store(base, start + 2 * apart, c)
                store(base, start + 3 * apart, d)


@inlined
def _multiply(
    rows: IntArray,
    columns: IntArray,
    order: IntArray,
    first: int,
    end: int,
    factors: FloatArray,
    given: int,
    out: int,
) -> None:
    """Write a step's matrix, its entries taken row by row in `order`, times the block at `given`."""
    k = first
    while k < end:
        entry = order[k]
        row = rows[entry]
        at = 16 * columns[entry]
        factor = splat(factors[entry - first])
        a, b = factor * load(given, at), factor * load(given, at + 4)
        c, d = factor * load(given, at + 8), factor * load(given, at + 12)
        k += 1
        while k < end and rows[order[k]] == row:
            entry = order[k]
            at = 16 * columns[entry]
            factor = splat(factors[entry - first])
            a, b = a + factor * load(given, at), b + factor * load(given, at + 4)
            c, d = c + factor * load(given, at + 8), d + factor * load(given, at + 12)
            k += 1
        at = 16 * row
        store(out, at, a)
        store(out, at + 4, b)
        store(out, at + 8, c)
        store(out, at + 12, d)


@inlined
def _contract(program: DensityProgram, step: int, slopes: FloatArray, cotangent: int, kept: int) -> float:
    """Return ``cotangent^T (d matrix / d angle) kept`` of a block."""
    begin, total = program.begin[step], splat(0.0)
    for k in range(begin, program.begin[step + 1]):
        i, j, dot = 16 * program.target[k], 16 * program.source[k], splat(0.0)
        for part in range(0, _BLOCK, 4):
            dot = dot + load(cotangent, i + part) * load(kept, j + part)
        total = total + splat(slopes[k - begin]) * dot
    return float(lane(total, 0) + lane(total, 1) + lane(total, 2) + lane(total, 3))
