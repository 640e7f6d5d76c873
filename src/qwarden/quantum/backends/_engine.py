"""The interpreter: runs a compiled program over the batch, tile by tile, forwards and backwards.

A tile is four rows; all its states, phases and sums stay in the processor's first caches for up to some
ten qubits. In the compiled functions `ints`, `floats` and `work` are the addresses of the program's (or
the read-out's) numbers and of the working memory, and all places are indices from there (see `_layout`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.quantum.backends._gates import (
    fill,
    grow,
    hadamards,
    mix,
    permute,
    phase_gradient,
    rotate,
    rotate_two,
    start_phases,
    turn_octants,
    turn_phases,
    undo_mix,
    undo_permute,
    undo_rotate,
    undo_rotate_two,
    unitary,
)
from qwarden.quantum.backends._lanes import (
    WIDTH,
    integer,
    load,
    number,
    pack,
    put_number,
    splat,
    store,
    store_single,
    transpose,
)
from qwarden.quantum.backends._layout import LINE, Layout, Readout
from qwarden.quantum.backends._program import (
    GROW,
    HADAMARD,
    MIX,
    OCTANT,
    OPERANDS,
    PERMUTE,
    PHASE,
    ROTATE,
    UNIFORM,
    UNITARY1,
    UNITARY2,
    WIDEN,
    Code,
)
from qwarden.quantum.backends._readout import measure, seed_adjoint
from qwarden.quantum.backends._sincos import sincos
from qwarden.quantum.backends._tree import BITS, COLUMNS, LOW, ROW, build_phases, collect, fold

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ROOT_HALF: Final = 0.5**0.5
_BYTES: Final = 8  # of a number


# Whole batches.


@compiled
def run_forward(
    ints: Ints,
    floats: Floats,
    code: Code,
    readout_ints: Ints,
    readout_floats: Floats,
    readout: Readout,
    at: Layout,
    work: Floats,
    rows: int,
    angles: Floats,
    initial: Floats,
    states: Floats,
    single: bool,
    expectations: Floats,
    kept: Floats,
) -> None:
    """Simulate `rows` rows.

    Writes what has room: `states` (rows, 2 * 2**q; half as many where `single`, each the room of a
    complex64), `expectations` (rows, observables), and `kept` (tiles, planes * 4 * 2**q), the final tiles
    as they stand, for `run_backward`.
    """
    program, constants, memory = ints.ctypes.data, floats.ctypes.data, aligned(work)
    store_to, keep_at, width = states.ctypes.data, kept.ctypes.data, 2 * at.plane // WIDTH
    state, spare, built = at.state, at.spare, -1
    for first in range(0, rows, WIDTH):
        if first == 0 or len(angles) > 1:
            load_slots(program, constants, code, at, memory, angles, first)
            built = -1
        if len(initial):
            load_states(memory, at, state, initial, first)
        else:
            store(memory, state, splat(1.0))
            if at.planes == 2:
                store(memory, state + at.plane, splat(0.0))
        state, spare, built = advance(program, constants, code, at, memory, state, spare, built)
        here = min(WIDTH, rows - first)
        if len(states):
            store_states(memory, at, state, store_to + (4 if single else 8) * first * width, here, single)
        if len(kept):
            size = at.planes * at.plane
            for i in range(0, size, WIDTH):
                store(keep_at, first // WIDTH * size + i, load(memory, state + i))
        if readout.observables:
            measure(readout_ints.ctypes.data, readout_floats.ctypes.data, readout, at, memory, state, spare)
            for k in range(readout.observables):
                for i in range(here):
                    expectations[first + i, k] = number(memory, at.energies + k * WIDTH + i)


@compiled
def run_backward(
    ints: Ints,
    floats: Floats,
    code: Code,
    readout_ints: Ints,
    readout_floats: Floats,
    readout: Readout,
    at: Layout,
    work: Floats,
    rows: int,
    angles: Floats,
    kept: Floats,
    slopes: Floats,
    cotangents: Floats,
    out: Floats,
) -> None:
    """Add d loss / d angles to `out`, shape of `angles`, starting from the `kept` final tiles.

    Either `slopes` (rows, observables) is d loss / d expectations, or `cotangents` (rows, 2 * 2**q) is
    the cotangent of the states.
    """
    program, constants, memory = ints.ctypes.data, floats.ctypes.data, aligned(work)
    keep_at, size = kept.ctypes.data, at.planes * at.plane
    built = -1
    for first in range(0, rows, WIDTH):
        here = min(WIDTH, rows - first)
        if first == 0 or len(angles) > 1:
            load_slots(program, constants, code, at, memory, angles, first)
            built = -1
        for i in range(0, size, WIDTH):
            store(memory, at.state + i, load(keep_at, first // WIDTH * size + i))
        if len(cotangents):
            load_states(memory, at, at.adjoint, cotangents, first)
        else:
            fill(memory, at.energies, readout.observables, 0.0)
            for k in range(readout.observables):
                for i in range(here):
                    put_number(memory, at.energies + k * WIDTH + i, slopes[first + i, k])
            seed_adjoint(readout_ints.ctypes.data, readout_floats.ctypes.data, readout, at, memory, at.state)
        fill(memory, at.slots, code.slots, 0.0)
        built = retreat(program, constants, code, at, memory, built)
        for slot in range(code.slots):
            for entry in range(ints[code.form_ends + slot], ints[code.form_ends + slot + 1]):
                column, weight = ints[code.forms + entry], floats[code.weights + entry]
                for i in range(here):
                    row = first + i if len(out) > 1 else 0
                    out[row, column] += weight * number(memory, at.slots + slot * WIDTH + i)


@compiled
def aligned(work: Floats) -> int:
    """Return the first address in `work` that begins a cache line: lanes then never straddle two."""
    return (work.ctypes.data + LINE - 1) // LINE * LINE


# In and out of a tile.


@compiled
def load_slots(ints: int, floats: int, code: Code, at: Layout, work: int, angles: Floats, first: int) -> None:
    """Compute cosine and sine of every slot for the four rows from `first` on (the last is repeated)."""
    last = len(angles) - 1
    r0, r1 = min(first, last), min(first + 1, last)
    r2, r3 = min(first + 2, last), min(first + 3, last)
    entry = 0
    for slot in range(code.slots):
        total = splat(number(floats, code.constants + slot))
        end = integer(ints, code.form_ends + slot + 1)
        while entry < end:
            c = integer(ints, code.forms + entry)
            row = pack(angles[r0, c], angles[r1, c], angles[r2, c], angles[r3, c])
            total = total + splat(number(floats, code.weights + entry)) * row
            entry += 1
        store(work, at.slots + slot * WIDTH, total)
    sincos(work, at.slots, at.cos, at.sin, code.slots)


@compiled
def load_states(work: int, at: Layout, state: int, given: Floats, first: int) -> None:
    """Copy four rows of (real, imaginary) pairs into a tile.

    Rows beyond the last are zero; a single row serves all.
    """
    source, count, width = given.ctypes.data, len(given), 2 * at.plane // WIDTH
    if count > 1 and first + WIDTH <= count:
        start = first * width
        for z in range(0, width // 2, 2):
            i = start + 2 * z
            x0, y0, x1, y1 = transpose(
                load(source, i),
                load(source, i + width),
                load(source, i + 2 * width),
                load(source, i + 3 * width),
            )
            to = state + z * WIDTH
            store(work, to, x0)
            store(work, to + WIDTH, x1)
            if at.planes == 2:
                store(work, to + at.plane, y0)
                store(work, to + at.plane + WIDTH, y1)
        return
    for i in range(WIDTH):
        row = 0 if count == 1 else first + i
        for z in range(width // 2):
            for p in range(at.planes):
                value = number(source, row * width + 2 * z + p) if row < count else 0.0
                put_number(work, state + p * at.plane + z * WIDTH + i, value)


@compiled
def store_states(work: int, at: Layout, state: int, target: int, rows: int, single: bool) -> None:
    """Copy the first `rows` rows of a tile to the address `target`, as (real, imaginary) pairs."""
    width = 2 * at.plane // WIDTH
    y0 = y1 = splat(0.0)
    for z in range(0, width // 2, 2):
        x = state + z * WIDTH
        if at.planes == 2:
            y0, y1 = load(work, x + at.plane), load(work, x + at.plane + WIDTH)
        a, b, c, d = transpose(load(work, x), y0, load(work, x + WIDTH), y1)
        _put(target, 2 * z, a, single)
        if rows > 1:
            _put(target, 2 * z + width, b, single)
        if rows > 2:
            _put(target, 2 * z + 2 * width, c, single)
        if rows > 3:
            _put(target, 2 * z + 3 * width, d, single)


@compiled
def _put(target: int, index: int, value: Any, single: bool) -> None:
    """Write four numbers of eight bytes, or of four."""
    if single:
        store_single(target, index, value)
    else:
        store(target, index, value)


# The sweep forwards.


@compiled
def advance(
    ints: int, floats: int, code: Code, at: Layout, work: int, state: int, spare: int, built: int
) -> tuple[int, int, int]:
    """Run all instructions on the tile at `state`.

    Returns where the state and the spare planes stand now, and which phase tree is built.
    """
    for k in range(code.op_count):
        op = code.ops + k * OPERANDS
        kind, active = integer(ints, op), integer(ints, op + 1)
        a, b = integer(ints, op + 2), integer(ints, op + 3)
        c, d = integer(ints, op + 4), integer(ints, op + 5)
        rows = 1 << active
        if kind == ROTATE:
            ca, sa = load(work, at.cos + b * WIDTH), load(work, at.sin + b * WIDTH)
            cb, sb = load(work, at.cos + d * WIDTH), load(work, at.sin + d * WIDTH)
            for p in range(at.planes):
                if c < 0:
                    rotate(work, state + p * at.plane, rows, a, ca, sa)
                else:
                    rotate_two(work, state + p * at.plane, rows, a, ca, sa, c, cb, sb)
        elif kind == PHASE:
            tree = ints + _BYTES * (code.nodes + a * COLUMNS)
            if built != a:
                build_phases(tree, b, work, at.cos, at.sin, at.re, at.im)
                built = a
            root = (b - 1) * COLUMNS
            low, bits, row = integer(tree, root + LOW), integer(tree, root + BITS), integer(tree, root + ROW)
            re, im = at.re + row * WIDTH, at.im + row * WIDTH
            if c:
                start_phases(work, state, at.plane, rows, re, im, low, bits, _ROOT_HALF**active)
            else:
                turn_phases(work, state, at.plane, rows, re, im, low, bits, 1.0)
        elif kind == GROW:
            ca, sa = load(work, at.cos + b * WIDTH), load(work, at.sin + b * WIDTH)
            for p in range(at.planes):
                grow(work, state + p * at.plane, a, ca, sa)
        elif kind == PERMUTE:
            for p in range(at.planes):
                permute(work, state + p * at.plane, spare + p * at.plane, rows, ints, code.tables + a)
            state, spare = spare, state
        elif kind == OCTANT:
            turn_octants(work, state, at.plane, at.planes, rows, ints, code.tables + a, 1)
        elif kind == HADAMARD:
            for p in range(at.planes):
                hadamards(work, state + p * at.plane, rows, a)
        elif kind == UNIFORM:
            fill(work, state, rows, _ROOT_HALF**active)
            if at.planes == 2:
                fill(work, state + at.plane, rows, 0.0)
        elif kind == WIDEN:
            for p in range(at.planes):
                fill(work, state + p * at.plane + (WIDTH << a), rows - (1 << a), 0.0)
        elif kind == MIX:
            ca, sa = load(work, at.cos + b * WIDTH), load(work, at.sin + b * WIDTH)
            mix(work, state, at.plane, rows, a, c, ca, sa)
        elif kind == UNITARY1:
            unitary(work, state, at.plane, at.planes, rows, a, -1, floats, code.matrices + b, at.scratch)
        elif kind == UNITARY2:
            unitary(work, state, at.plane, at.planes, rows, a, b, floats, code.matrices + c, at.scratch)
    return state, spare, built


# The sweep backwards.


@compiled
def retreat(ints: int, floats: int, code: Code, at: Layout, work: int, built: int) -> int:
    """Take the instructions back from the state and the adjoint, adding up the slots' gradients.

    Returns which phase tree is built.
    """
    state, spare, adjoint = at.state, at.spare, at.adjoint
    for k in range(code.op_count - 1, code.stop - 1, -1):
        op = code.ops + k * OPERANDS
        kind, active = integer(ints, op), integer(ints, op + 1)
        a, b = integer(ints, op + 2), integer(ints, op + 3)
        c, d = integer(ints, op + 4), integer(ints, op + 5)
        rows = 1 << active
        if kind in (ROTATE, GROW):
            ca, sa = load(work, at.cos + b * WIDTH), load(work, at.sin + b * WIDTH)
            cb, sb = load(work, at.cos + d * WIDTH), load(work, at.sin + d * WIDTH)
            for p in range(at.planes):
                x, u = state + p * at.plane, adjoint + p * at.plane
                ga, gb = at.slots + b * WIDTH, at.slots + d * WIDTH
                if kind == GROW or c < 0:
                    undo_rotate(work, x, u, rows, a, ca, sa, ga)
                else:
                    undo_rotate_two(work, x, u, rows, a, ca, sa, ga, c, cb, sb, gb)
        elif kind == PHASE:
            tree, root = ints + _BYTES * (code.nodes + a * COLUMNS), b - 1
            low, bits = integer(tree, root * COLUMNS + LOW), integer(tree, root * COLUMNS + BITS)
            row = integer(tree, root * COLUMNS + ROW) * WIDTH
            if bits == active:
                phase_gradient(work, state, adjoint, at.plane, rows, at.tree + row)
            else:
                # The spare planes are free, and as wide as the state.
                phase_gradient(work, state, adjoint, at.plane, rows, spare)
                fold(tree, root, rows, work, spare, at.tree)
            collect(tree, b, work, at.tree, at.slots)
            if k > code.stop:
                if built != a:
                    build_phases(tree, b, work, at.cos, at.sin, at.re, at.im)
                    built = a
                re, im = at.re + row, at.im + row
                turn_phases(work, state, at.plane, rows, re, im, low, bits, -1.0)
                turn_phases(work, adjoint, at.plane, rows, re, im, low, bits, -1.0)
        elif kind == PERMUTE:
            for p in range(at.planes):
                shift, table = p * at.plane, code.tables + a
                undo_permute(work, state + shift, spare + shift, rows, ints, table)
                undo_permute(work, adjoint + shift, state + shift, rows, ints, table)
            state, adjoint, spare = spare, state, adjoint
        elif kind == OCTANT:
            turn_octants(work, state, at.plane, at.planes, rows, ints, code.tables + a, -1)
            turn_octants(work, adjoint, at.plane, at.planes, rows, ints, code.tables + a, -1)
        elif kind == HADAMARD:
            for p in range(2 * at.planes):
                vector = (state if p < at.planes else adjoint) + p % at.planes * at.plane
                hadamards(work, vector, rows, a)
        elif kind == MIX:
            ca, sa = load(work, at.cos + b * WIDTH), load(work, at.sin + b * WIDTH)
            undo_mix(work, state, adjoint, at.plane, rows, a, c, ca, sa, at.slots + b * WIDTH)
        elif kind in (UNITARY1, UNITARY2):
            second, matrix = (-1, b + 8) if kind == UNITARY1 else (b, c + 32)
            for v in range(2):
                vector = adjoint if v else state
                unitary(
                    work,
                    vector,
                    at.plane,
                    at.planes,
                    rows,
                    a,
                    second,
                    floats,
                    code.matrices + matrix,
                    at.scratch,
                )
    return built
