"""Exact search for the nearest of stored rows or states, most of them ruled out by a bound.

Stored vectors are turned into the axes along which they spread most. The first few coordinates, and the
norm of the rest as one more, bound the distance (or the fidelity) from one side:

    |q - r|^2   >=  sum_(i<k) (q_i - r_i)^2 + (|q_rest| - |r_rest|)^2
    |<r|phi>|   <=  |sum_(i<k) conj(r_i) phi_i| + |r_rest| |phi_rest|        (Cauchy and Schwarz)

Bounds are computed in single precision, four rows at a time, with room for its rounding (see `_ROOM`); what
they cannot rule out is compared in double precision, in one fixed order of operations. So the answer is
that of comparing with everything, bit for bit, for a row by itself as for many, whatever the axes.

Source: Weber, Schek & Blott 1998, "A quantitative analysis and performance study for similarity-search
methods in high-dimensional spaces" (scan of approximations, then of candidates).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, compiled_fast
from qwarden.quantum.backends._lanes import WIDTH, lane, load, number, splat
from qwarden.quantum.backends._scoring import fused

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Complexes = npt.NDArray[np.complex128]

ROW_COORDINATES: Final = 24
"""Coordinates of a row's bound, the norm of the rest among them."""

STATE_COORDINATES: Final = 24
"""Complex coordinates of a state's bound."""

TILE: Final = WIDTH
"""Rows whose bounds are computed together: what is stored is then read once for all of them."""

_BLOCK: Final = 16
"""Bounds whose least is kept, so that whole blocks are passed over."""

_STRIP: Final = 384
"""Bounds worked on at once: with the coordinates of so many references they fit the first cache."""

_ROOM: Final = 2e-5
"""Share of the squared norms left for rounding. A coordinate in single precision is off by a share of 2**-24,
and a sum of 25 products by at most 25 * 2**-24 times the products' moduli, which add up to less than both
squared norms: 4e-6 in all."""


class RowSearch:
    """The nearest of stored rows by Euclidean distance.

    Parameters
    ----------
    references : stored rows (n, d), finite.

    >>> RowSearch(np.array([[3.0], [1.0], [2.0]])).nearest(np.array([[0.0]]), 2)[1].tolist()
    [[1, 2]]
    """

    def __init__(self, references: Floats) -> None:
        self.references = np.ascontiguousarray(references, np.float64)
        count, width = self.references.shape
        self.centre = self.references.mean(axis=0)
        centred = self.references - self.centre
        axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
        kept = min(ROW_COORDINATES - 1, width)
        self.axes = np.zeros((width, ROW_COORDINATES))
        self.axes[:, :kept] = axes[:, :kept]
        turned = centred @ axes
        self.near = np.zeros((ROW_COORDINATES, _padded(count)), np.float32)
        self.near[:kept, :count] = turned[:, :kept].T
        self.near[-1, :count] = np.sqrt((turned[:, kept:] ** 2).sum(axis=1))
        self.norms = np.full(self.near.shape[1], np.inf, np.float32)  # beyond the last: no bound lets it in
        self.norms[:count] = (1.0 - _ROOM) * (centred**2).sum(axis=1)

    def nearest(self, rows: Floats, k: int) -> tuple[Floats, Ints]:
        """Return distances and numbers of the k nearest, nearest first, of equals the first: (n, k) each."""
        return _nearest_rows(
            np.ascontiguousarray(rows), min(k, len(self.references)), self.references, self.centre, self.axes,
            self.near, self.norms,
        )  # fmt: skip


class StateSearch:
    """The most similar of stored states by fidelity.

    Parameters
    ----------
    references : stored states (n, 2**q), normalised.
    """

    def __init__(self, references: Complexes) -> None:
        count, dimension = references.shape
        self.references = planes(references)
        axes = np.linalg.eigh(references.T @ references.conj())[1][:, ::-1]
        kept = min(STATE_COORDINATES, dimension)
        self.axes = np.stack([axes[:, :kept].real, axes[:, :kept].imag])
        turned = references @ axes.conj()
        self.near = np.zeros((2 * kept, _padded(count)), np.float32)
        self.near[0::2, :count], self.near[1::2, :count] = turned[:, :kept].real.T, turned[:, :kept].imag.T
        self.rest = np.full(self.near.shape[1], -np.inf, np.float32)
        self.rest[:count] = np.sqrt((np.abs(turned[:, kept:]) ** 2).sum(axis=1)) + _ROOM

    def nearest(self, states: Floats, k: int) -> tuple[Floats, Ints]:
        """Return fidelities and numbers of the k most similar, most similar first, (n, k) each.

        Parameters
        ----------
        states : real and imaginary parts, (n, 2, 2**q).
        """
        return _nearest_states(
            np.ascontiguousarray(states), min(k, len(self.references)), self.references, self.axes, self.near,
            self.rest,
        )  # fmt: skip


def planes(states: Complexes) -> Floats:
    """Return real and imaginary parts of states (n, dimension), (n, 2, dimension)."""
    return np.stack([states.real, states.imag], axis=1)


def mean_of_each(values: Floats) -> Floats:
    """Return the mean of each row, summed from the left whatever the number of rows, (n,)."""
    total = values[:, 0].copy()
    for column in values.T[1:]:
        total += column
    means: Floats = total / values.shape[1]
    return means


def _padded(count: int) -> int:
    return -(-count // _BLOCK) * _BLOCK


# -- rows --------------------------------------------------------------------------------------------


@compiled
def _nearest_rows(
    rows: Floats, k: int, references: Floats, centre: Floats, axes: Floats, near: Singles, norms: Singles
) -> tuple[Floats, Ints]:
    values, numbers = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)
    room = search_room(near.shape[1])
    for first in range(0, len(rows), TILE):
        last = min(first + TILE, len(rows))
        nearest_rows(
            rows[first:last], references, centre, axes, near, norms, room, values[first:last],
            numbers[first:last],
        )  # fmt: skip
    return values, numbers


@compiled
def search_room(stored: int) -> Singles:
    """Return room to work in for a search among so many references, as many as `near` has columns."""
    return np.empty((2 * TILE, stored), np.float32)


@compiled
def nearest_rows(
    rows: Floats,
    references: Floats,
    centre: Floats,
    axes: Floats,
    near: Singles,
    norms: Singles,
    room: Singles,
    values: Floats,
    numbers: Ints,
) -> None:
    """Write distances and numbers of the nearest references of at most `TILE` rows.

    The other arguments are those of `RowSearch`; `room` is from `search_room`.
    """
    k, own, candidates = values.shape[1], np.zeros(TILE), np.empty(near.shape[1], np.int64)
    _row_bounds(rows, centre, axes, near, norms, room, own)
    for row in range(len(rows)):
        bounds, lows = room[row], room[TILE + row]
        mine, found, whose = rows[row].ctypes.data, values[row], numbers[row]
        _begin(bounds, lows, found, whose)
        for place in range(k):  # the likeliest first: what they reach rules out most of the others
            found[place] = -_squared_distance(mine, references[whose[place]].ctypes.data, rows.shape[1])
        _sort(found, whose)
        limit = -found[k - 1] - own[row]
        count = _below(bounds, limit, candidates)
        likely = 0.5 * (limit + bounds[whose[0]])
        for _half in range(2):  # of these, again, the likelier first
            for at in range(count):
                other = candidates[at]
                if bounds[other] > min(limit, likely) or _among(other, whose):
                    continue
                square = _squared_distance(mine, references[other].ctypes.data, rows.shape[1])
                _insert(-square, other, found, whose)
                bounds[other] = np.inf  # seen
                limit = -found[k - 1] - own[row]
            likely = np.inf
        for place in range(k):
            found[place] = np.sqrt(-found[place])


@compiled_fast
def _row_bounds(
    rows: Floats, centre: Floats, axes: Floats, near: Singles, norms: Singles, room: Singles, own: Floats
) -> None:
    """Write lower bounds of squared distances, less each row's `own` part, and the least of each block."""
    turned = np.zeros((TILE, ROW_COORDINATES))
    for row in range(len(rows)):
        given, mine = rows[row], turned[row]
        norm = 0.0
        for column in range(len(given)):
            value = given[column] - centre[column]
            norm += value * value
            axis = axes[column]
            for to in range(ROW_COORDINATES):
                mine[to] += value * axis[to]
        rest = norm
        for at in range(ROW_COORDINATES):
            rest -= mine[at] * mine[at]
        mine[ROW_COORDINATES - 1] = np.sqrt(max(rest, 0.0))
        own[row] = (1.0 - _ROOM) * norm
    twice = (2.0 * turned).astype(np.float32)
    for start in range(0, near.shape[1], _STRIP):
        _strip(twice, near, norms, room, start, min(start + _STRIP, near.shape[1]))
    _lowest(room, len(rows))


@compiled_fast
def _strip(twice: Singles, near: Singles, norms: Singles, bounds: Singles, start: int, stop: int) -> None:
    """Write ``norms - twice @ near``; contiguous slices are what the compiler makes vector code of."""
    b0, b1, b2, b3 = (
        bounds[0, start:stop],
        bounds[1, start:stop],
        bounds[2, start:stop],
        bounds[3, start:stop],
    )
    here = norms[start:stop]
    for other in range(len(here)):
        value = here[other]
        b0[other], b1[other], b2[other], b3[other] = value, value, value, value
    for at in range(0, ROW_COORDINATES, 4):
        n0, n1 = near[at, start:stop], near[at + 1, start:stop]
        n2, n3 = near[at + 2, start:stop], near[at + 3, start:stop]
        p0, p1, p2, p3 = twice[0, at], twice[0, at + 1], twice[0, at + 2], twice[0, at + 3]
        q0, q1, q2, q3 = twice[1, at], twice[1, at + 1], twice[1, at + 2], twice[1, at + 3]
        r0, r1, r2, r3 = twice[2, at], twice[2, at + 1], twice[2, at + 2], twice[2, at + 3]
        s0, s1, s2, s3 = twice[3, at], twice[3, at + 1], twice[3, at + 2], twice[3, at + 3]
        for other in range(len(here)):
            x, y, z, w = n0[other], n1[other], n2[other], n3[other]
            b0[other] -= p0 * x + p1 * y + p2 * z + p3 * w
            b1[other] -= q0 * x + q1 * y + q2 * z + q3 * w
            b2[other] -= r0 * x + r1 * y + r2 * z + r3 * w
            b3[other] -= s0 * x + s1 * y + s2 * z + s3 * w


@compiled
def _squared_distance(a: int, b: int, count: int) -> float:
    """Return the squared distance of the `count` numbers at two addresses, in a fixed order."""
    s, t, u, v = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    whole = count - count % (4 * WIDTH)
    for at in range(0, whole, 4 * WIDTH):
        x, y = load(a, at) - load(b, at), load(a, at + WIDTH) - load(b, at + WIDTH)
        z, w = (
            load(a, at + 2 * WIDTH) - load(b, at + 2 * WIDTH),
            load(a, at + 3 * WIDTH) - load(b, at + 3 * WIDTH),
        )
        s, t, u, v = fused(x, x, s), fused(y, y, t), fused(z, z, u), fused(w, w, v)
    s = (s + t) + (u + v)
    total = (lane(s, 0) + lane(s, 1)) + (lane(s, 2) + lane(s, 3))
    for at in range(whole, count):
        gap = number(a, at) - number(b, at)
        total += gap * gap
    return float(total)


# -- states ------------------------------------------------------------------------------------------


@compiled
def _nearest_states(
    states: Floats, k: int, references: Floats, axes: Floats, near: Singles, rest: Singles
) -> tuple[Floats, Ints]:
    values, numbers = np.empty((len(states), k)), np.empty((len(states), k), np.int64)
    room = search_room(near.shape[1])
    for first in range(0, len(states), TILE):
        last = min(first + TILE, len(states))
        nearest_states(
            states[first:last], references, axes, near, rest, room, values[first:last], numbers[first:last]
        )
    return values, numbers


@compiled
def nearest_states(
    states: Floats,
    references: Floats,
    axes: Floats,
    near: Singles,
    rest: Singles,
    room: Singles,
    values: Floats,
    numbers: Ints,
) -> None:
    """Write fidelities and numbers of the most similar references of at most `TILE` states.

    The other arguments are those of `StateSearch`; `room` is from `search_room`.
    """
    k, dimension, candidates = values.shape[1], states.shape[2], np.empty(near.shape[1], np.int64)
    _state_bounds(states, axes, near, rest, room)
    for row in range(len(states)):
        bounds, lows = room[row], room[TILE + row]
        mine, found, whose = states[row].ctypes.data, values[row], numbers[row]
        _begin(bounds, lows, found, whose)
        for place in range(k):
            found[place] = _fidelity(mine, references[whose[place]].ctypes.data, dimension)
        _sort(found, whose)
        limit = -np.sqrt(found[k - 1])
        count = _below(bounds, limit, candidates)
        likely = 0.5 * (limit + bounds[whose[0]])
        for _half in range(2):  # of these, again, the likelier first
            for at in range(count):
                other = candidates[at]
                if bounds[other] > min(limit, likely) or _among(other, whose):
                    continue
                fidelity = _fidelity(mine, references[other].ctypes.data, dimension)
                _insert(fidelity, other, found, whose)
                bounds[other] = np.inf  # seen
                limit = -np.sqrt(found[k - 1])
            likely = np.inf


@compiled_fast
def _state_bounds(states: Floats, axes: Floats, near: Singles, rest: Singles, room: Singles) -> None:
    """Write minus the upper bounds of the overlaps' moduli, and the least of each block."""
    kept = axes.shape[2]
    turned, own = np.zeros((TILE, 2 * kept), np.float32), np.zeros(TILE, np.float32)
    real, imag = np.empty(kept), np.empty(kept)
    for row in range(len(states)):
        real[:], imag[:] = 0.0, 0.0
        for z in range(states.shape[2]):
            x, y, a, b = states[row, 0, z], states[row, 1, z], axes[0, z], axes[1, z]
            for to in range(kept):  # <axis|phi>
                real[to] += a[to] * x + b[to] * y
                imag[to] += a[to] * y - b[to] * x
        outside = 1.0
        for at in range(kept):
            outside -= real[at] * real[at] + imag[at] * imag[at]
            turned[row, 2 * at], turned[row, 2 * at + 1] = real[at], imag[at]
        own[row] = np.sqrt(max(outside, 0.0)) + _ROOM
    sums = np.empty((4, _STRIP), np.float32)
    for row in range(0, len(states), 2):
        for start in range(0, near.shape[1], _STRIP):
            _overlaps(turned, near, rest, own, sums, room, row, start, min(start + _STRIP, near.shape[1]))
    _lowest(room, len(states))


@compiled_fast
def _overlaps(
    turned: Singles,
    near: Singles,
    rest: Singles,
    own: Singles,
    sums: Singles,
    bounds: Singles,
    row: int,
    start: int,
    stop: int,
) -> None:
    """Write minus the upper bounds of the overlaps of two states with a strip of references."""
    p, q = sums[0, : stop - start], sums[1, : stop - start]
    r, s = sums[2, : stop - start], sums[3, : stop - start]
    p[:], q[:], r[:], s[:] = 0, 0, 0, 0
    for at in range(0, len(near), 2):
        x, y = near[at, start:stop], near[at + 1, start:stop]
        a, b, c, d = turned[row, at], turned[row, at + 1], turned[row + 1, at], turned[row + 1, at + 1]
        for i in range(len(p)):
            p[i] += x[i] * a + y[i] * b
            q[i] += x[i] * b - y[i] * a
            r[i] += x[i] * c + y[i] * d
            s[i] += x[i] * d - y[i] * c
    far, u, v = rest[start:stop], bounds[row, start:stop], bounds[row + 1, start:stop]
    e, f, aside = own[row], own[row + 1], np.float32(_ROOM)
    for i in range(len(p)):
        u[i] = -(np.sqrt(p[i] * p[i] + q[i] * q[i]) + e * far[i] + aside)
        v[i] = -(np.sqrt(r[i] * r[i] + s[i] * s[i]) + f * far[i] + aside)


@compiled
def _fidelity(a: int, b: int, dimension: int) -> float:
    """Return ``|<b|a>|^2`` of states of which real parts, then imaginary parts, stand at two addresses."""
    if dimension < WIDTH:
        real, imag = 0.0, 0.0
        for z in range(dimension):
            x, y, u, v = number(a, z), number(a, dimension + z), number(b, z), number(b, dimension + z)
            real += u * x + v * y
            imag += u * y - v * x
        return real * real + imag * imag
    p, q, r, s = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    for z in range(0, dimension, WIDTH):
        x, y, u, v = load(a, z), load(a, dimension + z), load(b, z), load(b, dimension + z)
        p, q = fused(u, x, p), fused(v, y, q)
        r, s = fused(u, y, r), fused(v, x, s)
    p, r = p + q, r - s
    real = (lane(p, 0) + lane(p, 1)) + (lane(p, 2) + lane(p, 3))
    imag = (lane(r, 0) + lane(r, 1)) + (lane(r, 2) + lane(r, 3))
    return float(real * real + imag * imag)


# -- the few best, greatest value first, then lowest number ------------------------------------------


@compiled_fast
def _lowest(room: Singles, rows: int) -> None:
    """Write the least of each block: block b is b, b + blocks, b + 2 blocks ... of the bounds."""
    blocks = room.shape[1] // _BLOCK
    for row in range(rows):
        bounds, lows = room[row], room[TILE + row, :blocks]
        lows[:] = bounds[:blocks]
        for start in range(blocks, len(bounds), blocks):
            part = bounds[start : start + blocks]
            for block in range(blocks):
                lows[block] = part[block] if part[block] < lows[block] else lows[block]


@compiled
def _begin(bounds: Singles, lows: Singles, values: Floats, numbers: Ints) -> None:
    """Write the numbers of some references with low bounds: the lowest of each of the lowest blocks.

    Where there are too few blocks, the lowest of all.
    """
    blocks, k = len(bounds) // _BLOCK, len(values)
    values[:] = -np.inf
    numbers[:] = -1
    if blocks < k:
        for other in range(len(bounds)):
            if bounds[other] < np.inf:
                _insert(-bounds[other], other, values, numbers)
        return
    for block in range(blocks):
        if -lows[block] > values[k - 1] or numbers[k - 1] < 0:
            _insert(-lows[block], block, values, numbers)
    for place in range(k):
        block = numbers[place]
        other = block
        while bounds[other] != lows[block]:
            other += blocks
        numbers[place] = other


@compiled
def _below(bounds: Singles, limit: float, candidates: Ints) -> int:
    """Write which bounds are not above the limit; without a branch, which nothing could foretell."""
    count, top = 0, np.float32(limit)
    for other in range(len(bounds)):
        candidates[count] = other
        count += bounds[other] <= top
    return count


@compiled
def _insert(value: float, number: int, values: Floats, numbers: Ints) -> None:
    """Put an entry in its place, if it has one."""
    place = len(values)
    while place > 0 and (
        numbers[place - 1] < 0
        or value > values[place - 1]
        or (value == values[place - 1] and number < numbers[place - 1])
    ):
        place -= 1
    for at in range(len(values) - 1, place, -1):
        values[at], numbers[at] = values[at - 1], numbers[at - 1]
    if place < len(values):
        values[place], numbers[place] = value, number


@compiled
def _sort(values: Floats, numbers: Ints) -> None:
    for end in range(1, len(values)):
        value, mine = values[end], numbers[end]
        place = end
        while place > 0 and (
            value > values[place - 1] or (value == values[place - 1] and mine < numbers[place - 1])
        ):
            values[place], numbers[place] = values[place - 1], numbers[place - 1]
            place -= 1
        values[place], numbers[place] = value, mine


@compiled
def _among(other: int, numbers: Ints) -> bool:
    found = False
    for place in range(len(numbers)):
        found |= numbers[place] == other
    return found
