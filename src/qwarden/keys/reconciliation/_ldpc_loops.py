"""The compiled half of `ldpc`: the graph's edges laid one by one, syndromes, and the decoder.

Everything is quasi-cyclic: a *column* of the base graph is `lifting` places of a frame, a *row* as many
checks, an edge between them that many wires: check t of the row hangs on place (t + shift) mod lifting of
the column. What the loops run over is thus contiguous, and the compiler makes vectors of it.

`lay_edges` is progressive edge growth (Hu, Eleftheriou, Arnold, IEEE Trans. Inf. Theory 51, 386 (2005)) in
the lifted graph: each edge goes to a check that the place cannot reach yet, or only by a long way.

`decode` is belief propagation, layered (Hocevar, SiPS 2004): each row uses what the row before has just
learnt. Two beliefs join in a check as::

    a + b   ->   k(a + b) - k(a - b),    k(x) = ln(2 cosh(x / 2)) = |x| / 2 + ln(1 + exp(-|x|))

which is exact; only the last logarithm, a bend near 0, is a fourth power that fits its value and slope there
and vanishes beyond 8 ln 2. So there is no branch and no table, and nothing to scale or to offset.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, compiled_fast, inlined
from qwarden.keys._random import STEP, word
from qwarden.keys.records import Bits

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

REACH: Final = 8_000
"""Wires that a search for short cycles follows out of checks: all that close a cycle of four, and more."""

BEND: Final = np.float32(8 * math.log(2))
HEIGHT: Final = np.float32(math.log(2) / (8 * math.log(2)) ** 4)
HALF: Final = np.float32(0.5)
MOST: Final = np.float32(40)
"""No belief of a single wire is stronger: e^-40 is no doubt worth keeping."""


class Wires(NamedTuple):
    """Edges of a base graph, by column and by row.

    Parameters
    ----------
    of_column, of_row : int32 (columns, most), (rows, most): what an edge leads to, in the order laid.
    by_column, by_row : its shift, alike.
    column_degree, row_degree : how many there are, int32.
    """

    of_column: Int32
    by_column: Int32
    column_degree: Int32
    of_row: Int32
    by_row: Int32
    row_degree: Int32


@compiled
def make_wires(columns: int, rows: int, column_most: int, row_most: int) -> Wires:
    """Return a graph without edges and with room for so many at a column and a row."""
    return Wires(
        np.empty((columns, column_most), np.int32),
        np.empty((columns, column_most), np.int32),
        np.zeros(columns, np.int32),
        np.empty((rows, row_most), np.int32),
        np.empty((rows, row_most), np.int32),
        np.zeros(rows, np.int32),
    )


@compiled
def lay_edges(wires: Wires, order: Int32, first: int, last: int, lifting: int, seed: np.uint64) -> None:
    """Lay an edge from each column in `order` (one that stands twice gets two) to rows `first` to `last`.

    Rows stay of equal degree; of those with the fewest edges it is one with checks far away, by chance.
    """
    rows = wires.row_degree.size
    seen = np.zeros(rows * lifting, np.int64)
    known = np.zeros(wires.column_degree.size * lifting, np.int32)
    queue = np.empty(known.size, np.int32)
    near = np.empty(rows, np.int32)
    crowded = wires.of_row.shape[1]
    state = seed
    since = 0
    for i in range(order.size):
        column = order[i]
        until = _search(wires, column, lifting, seen, known, queue, i + 1, near, since)
        row, ties = -1, 0
        least = 2 * crowded
        for r in range(first, last):
            if _joined(wires, column, r) or wires.row_degree[r] == crowded:
                continue
            # A row without a far check is worse than any number of edges.
            rank = int(wires.row_degree[r]) + (crowded if near[r] == lifting else 0)
            if rank < least:
                least, ties = rank, 0
            if rank == least:
                ties += 1
                state += STEP
                if (word(state) >> np.uint64(32)) * np.uint64(ties) >> np.uint64(32) == np.uint64(0):
                    row = r
        if row >= 0:
            state += STEP
            check = _farthest(seen, row, lifting, since, int(np.int64(word(state) & np.uint64(lifting - 1))))
            _join(wires, column, row, (lifting - check) % lifting)
        since = until


@inlined
def _farthest(seen: Int64, row: int, lifting: int, since: int, begin: int) -> int:
    # Of a row's checks one that the last search did not come to, or came to last; the first from `begin`.
    found = begin
    for t in range(lifting):
        check = (begin + t) % lifting
        if seen[row * lifting + check] <= since:
            return check
        if seen[row * lifting + check] > seen[row * lifting + found]:
            found = check
    return found


@inlined
def _joined(wires: Wires, column: int, row: int) -> bool:
    found = False
    for e in range(wires.column_degree[column]):
        found |= wires.of_column[column, e] == row
    return found


@inlined
def _join(wires: Wires, column: int, row: int, shift: int) -> None:
    c, r = wires.column_degree[column], wires.row_degree[row]
    wires.of_column[column, c], wires.by_column[column, c] = row, shift
    wires.of_row[row, r], wires.by_row[row, r] = column, shift
    wires.column_degree[column] += 1
    wires.row_degree[row] += 1


@compiled
def _search(
    wires: Wires,
    column: int,
    lifting: int,
    seen: Int64,
    known: Int32,
    queue: Int32,
    mark: int,
    near: Int32,
    now: int,
) -> int:
    # Numbers the checks that place 0 of a column reaches from `now` on, the nearest first, and returns the
    # last number; counts them by row in `near`.
    near[:] = 0
    bits, mask = 0, lifting - 1  # a power of two: a division would take longer than all the rest
    while lifting >> bits > 1:
        bits += 1
    queue[0], known[column * lifting] = column * lifting, mark
    head, tail, followed, since = 0, 1, 0, now
    while head < tail:
        c, t = queue[head] >> bits, queue[head] & mask
        head += 1
        for e in range(wires.column_degree[c]):
            row = wires.of_column[c, e]
            check = (t - wires.by_column[c, e]) & mask
            if seen[(row << bits) + check] > since:
                continue
            now += 1
            seen[(row << bits) + check] = now
            near[row] += 1
            if followed >= REACH:
                continue
            for other in range(wires.row_degree[row]):
                place = (wires.of_row[row, other] << bits) + ((check + wires.by_row[row, other]) & mask)
                followed += 1
                if known[place] != mark:
                    known[place] = mark
                    queue[tail] = place
                    tail += 1
    return now


@compiled
def syndrome(place: Bits, column: Int32, shift: Int32, start: Int32, first: int, out: Bits) -> None:
    """Write the parities of some rows of checks.

    Parameters
    ----------
    place : bits of a frame, (columns, lifting).
    column, shift, start : of the edges, row after row, and where each row's begin.
    first : the first row wanted; as many as `out` (rows, lifting) has.
    """
    lifting = place.shape[1]
    for r in range(out.shape[0]):
        out[r, :] = 0
        for e in range(start[first + r], start[first + r + 1]):
            c, s = column[e], shift[e]
            for t in range(lifting - s):
                out[r, t] ^= place[c, t + s]
            for t in range(lifting - s, lifting):
                out[r, t] ^= place[c, t + s - lifting]


@inlined
def _bend(x: np.float32) -> np.float32:
    size = abs(x)
    rest = BEND - size
    rest = rest if rest > np.float32(0) else np.float32(0)
    rest *= rest
    return HALF * size + HEIGHT * rest * rest


@compiled_fast
def decode(belief: Float32, column: Int32, shift: Int32, start: Int32, parity: Bits, iterations: int) -> int:
    """Bring a frame towards the given parities; return the iterations it took, or -1 if it did not come.

    Parameters
    ----------
    belief : ln P(0) / P(1) of each place, (columns, lifting); overwritten by what is believed in the end.
    column, shift, start : see `syndrome`.
    parity : that the checks shall have, (rows, lifting); it may be of fewer rows than there are.
    iterations : at most.
    """
    rows, lifting = parity.shape
    message = np.zeros((start[rows], lifting), np.float32)
    widest = 0
    for r in range(rows):
        widest = max(widest, start[r + 1] - start[r])
    heard = np.empty((widest, lifting), np.float32)
    ahead = np.empty((widest, lifting), np.float32)
    behind = np.empty(lifting, np.float32)
    sign = np.empty(lifting, np.float32)
    for iteration in range(iterations):
        if _agrees(belief, column, shift, start, parity):
            return iteration
        for r in range(rows):
            begin, degree = start[r], start[r + 1] - start[r]
            for d in range(degree):
                c, s = column[begin + d], shift[begin + d]
                for t in range(lifting - s):
                    heard[d, t] = belief[c, t + s] - message[begin + d, t]
                for t in range(lifting - s, lifting):
                    heard[d, t] = belief[c, t + s - lifting] - message[begin + d, t]
            for t in range(lifting):
                sign[t] = np.float32(1) - np.float32(2) * np.float32(parity[r, t])
                ahead[0, t] = heard[0, t] * sign[t]
            for d in range(1, degree - 1):
                for t in range(lifting):
                    a, b = ahead[d - 1, t], heard[d, t]
                    ahead[d, t] = _bend(a + b) - _bend(a - b)
            for t in range(lifting):
                behind[t] = heard[degree - 1, t]
                message[begin + degree - 1, t] = ahead[degree - 2, t]
            for d in range(degree - 2, 0, -1):
                for t in range(lifting):
                    a, b, new = ahead[d - 1, t], behind[t], heard[d, t]
                    message[begin + d, t] = _bend(a + b) - _bend(a - b)
                    behind[t] = _bend(b + new) - _bend(b - new)
            for t in range(lifting):
                message[begin, t] = behind[t] * sign[t]
            for d in range(degree):
                c, s = column[begin + d], shift[begin + d]
                for t in range(lifting):
                    told = message[begin + d, t]
                    told = told if told < MOST else MOST
                    message[begin + d, t] = told if told > -MOST else -MOST
                for t in range(lifting - s):
                    belief[c, t + s] = heard[d, t] + message[begin + d, t]
                for t in range(lifting - s, lifting):
                    belief[c, t + s - lifting] = heard[d, t] + message[begin + d, t]
    return iterations if _agrees(belief, column, shift, start, parity) else -1


@compiled
def _agrees(belief: Float32, column: Int32, shift: Int32, start: Int32, parity: Bits) -> bool:
    rows, lifting = parity.shape
    odd = np.empty(lifting, np.uint8)
    for r in range(rows):
        odd[:] = parity[r]
        for e in range(start[r], start[r + 1]):
            c, s = column[e], shift[e]
            for t in range(lifting - s):
                odd[t] ^= np.uint8(belief[c, t + s] < np.float32(0))
            for t in range(lifting - s, lifting):
                odd[t] ^= np.uint8(belief[c, t + s - lifting] < np.float32(0))
        if odd.any():
            return False
    return True
