"""A key's bits in the rows that Cascade takes blocks of, and parities of ranges of them.

Rows 0 to `ORDERS` - 1 hold the whole key: row 0 as it is, the others shuffled. Row `ORDERS` + h is the h-th
random half: first the bits that it draws, then the others, both in the order of row `BASE`. A half costs
a random bit a key bit and no memory access out of turn, a shuffle twenty times that; to a pair of errors
both are equally fair. All of it follows from the public seed.

Bits stand 64 to a word, the first in the lowest place; places beyond the key are 0.

Source: Fisher-Yates (Durstenfeld, CACM 7, 420 (1964)); its draws by multiplication, with a bias below
n / 2^32 (Lemire, ACM TOMACS 29, 3 (2019)): fair enough, since nothing is secret here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined
from qwarden.keys._random import STEP, word
from qwarden.keys.records import Bits

Words = npt.NDArray[np.uint64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

ORDERS = 5
"""Rows that hold the whole key."""
BASE = ORDERS - 1
"""The one whose order the halves keep."""
LIVE = 16
"""Halves that can still be asked of: the last so many."""

ONE = np.uint64(1)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
NONE = np.uint64(0)


class Rows(NamedTuple):
    """An end's key in rows; W words hold n bits.

    Parameters
    ----------
    bits : the key itself, uint8 (n,).
    words : (ORDERS + 2 LIVE, W + 1): the key in each order, then what each live half draws by places of
        `BASE`, then how many bits that half draws before each word.
    order : where in the key each place of a row comes from, int32 (ORDERS, n).
    place : where in a row each bit of the key went, int32 (ORDERS, n); without rows for an end that never
        corrects.
    opened : 1 for each order that is laid out, and at its end the number of halves, int64 (ORDERS + 1,).
    """

    bits: Bits
    words: Words
    order: Int32
    place: Int32
    opened: Int64


@compiled
def make_rows(bits: Bits, corrects: bool) -> Rows:
    """Return the rows of a key, none laid out yet; `bits` is then theirs."""
    n = bits.size
    return Rows(
        bits,
        np.empty((ORDERS + 2 * LIVE, (n + 63) // 64 + 1), np.uint64),
        np.empty((ORDERS, n), np.int32),
        np.empty((ORDERS if corrects else 0, n), np.int32),
        np.zeros(ORDERS + 1, np.int64),
    )


@compiled
def open_row(rows: Rows, seed: np.uint64, row: int) -> None:
    """Lay out a row that is not there yet; of halves only the next is to be asked for."""
    order = row if row < ORDERS else BASE
    if not rows.opened[order]:
        _shuffle(rows.order[order], seed, order)
        for place in range(rows.place.shape[1] if rows.place.shape[0] else 0):
            rows.place[order, rows.order[order, place]] = place
        gather(rows.words[order], rows.order[order], rows.bits)
        rows.opened[order] = 1
    if row - ORDERS >= rows.opened[ORDERS]:
        mask = ORDERS + (row - ORDERS) % LIVE
        _draw_half(rows.words[mask], rows.words[mask + LIVE], rows.bits.size, seed, row)
        rows.opened[ORDERS] += 1


@inlined
def _branch(seed: np.uint64, row: int) -> np.uint64:
    return word(seed + word(np.uint64(row) * STEP))


@compiled
def _shuffle(order: Int32, seed: np.uint64, row: int) -> None:
    for place in range(order.size):
        order[place] = place
    if row == 0:
        return
    state = _branch(seed, row)
    for last in range(order.size - 1, 0, -1):
        state += STEP
        draw = np.int64(((word(state) >> np.uint64(32)) * np.uint64(last + 1)) >> np.uint64(32))
        order[last], order[draw] = order[draw], order[last]


@compiled
def gather(words: Words, order: Int32, bits: Bits) -> None:
    """Fill a row's words with the key in its order."""
    for w in range(words.size):
        packed = NONE
        for place in range(64 * w, min(64 * w + 64, order.size)):
            packed |= np.uint64(bits[order[place]]) << np.uint64(place & 63)
        words[w] = packed


@compiled
def _draw_half(mask: Words, drawn: Words, n: int, seed: np.uint64, row: int) -> None:
    # Never all of the key nor nothing of it.
    state = _branch(seed, row)
    total = 0
    while not 0 < total < n:
        total = 0
        for w in range(mask.size - 1):
            state += STEP
            mask[w] = word(state)
            if n - 64 * w < 64:
                mask[w] &= (ONE << np.uint64(n - 64 * w)) - ONE
            drawn[w] = np.uint64(total)
            total += _ones(mask[w])
        drawn[mask.size - 1] = np.uint64(total)


@inlined
def _ones(x: np.uint64) -> int:
    x -= (x >> ONE) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int(np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56)))


@inlined
def _odd(x: np.uint64) -> int:
    x ^= x >> np.uint64(32)
    x ^= x >> np.uint64(16)
    x ^= x >> np.uint64(8)
    x ^= x >> np.uint64(4)
    return int(np.int64((np.uint64(0x6996) >> (x & np.uint64(15))) & ONE))


# What follows is called once or more for each question. Few arguments and two indices in place of a row's
# slice: handing over an array, and counting a slice in and out of use, take longer than the work itself.


@inlined
def drawn_by(words: Words, row: int) -> int:
    """Return how many bits a half draws: where its first block ends."""
    return int(np.int64(words[ORDERS + LIVE + (row - ORDERS) % LIVE, words.shape[1] - 1]))


@inlined
def parity(words: Words, row: int, start: int, stop: int) -> int:
    """Return the parity of places `start` to `stop` of a row, which must be open, live and that long."""
    if row < ORDERS:
        return _odd(_folded(words, row, start, stop))
    return _half_parity(words, row, start, stop)


@inlined
def _folded(words: Words, row: int, start: int, stop: int) -> np.uint64:
    # The sum modulo 2 of the words of a range, both ends cut.
    first, last = start >> 6, (stop - 1) >> 6
    head = ALL << np.uint64(start & 63)
    tail = ALL >> np.uint64(63 - ((stop - 1) & 63))
    found: np.uint64 = words[row, first] & head & tail
    if first == last:
        return found
    found = (words[row, first] & head) ^ (words[row, last] & tail)
    for w in range(first + 1, last):
        found ^= words[row, w]
    return found


@compiled
def _half_parity(words: Words, row: int, start: int, stop: int) -> int:
    mask, middle = ORDERS + (row - ORDERS) % LIVE, drawn_by(words, row)
    found = NONE
    if start < middle:
        high = _select(words, mask, min(stop, middle) - 1, NONE)
        found ^= _folded_under(words, mask, _select(words, mask, start, NONE), high + 1, NONE)
    if stop > middle:
        low = _select(words, mask, max(start, middle) - middle, ALL)
        found ^= _folded_under(words, mask, low, _select(words, mask, stop - middle - 1, ALL) + 1, ALL)
    return _odd(found)


@inlined
def _folded_under(words: Words, mask: int, start: int, stop: int, others: np.uint64) -> np.uint64:
    # The same of row `BASE` for the places that a half draws (`others` all zeros) or leaves (all ones).
    first, last = start >> 6, (stop - 1) >> 6
    head = ALL << np.uint64(start & 63)
    tail = ALL >> np.uint64(63 - ((stop - 1) & 63))
    found: np.uint64 = words[BASE, first] & (words[mask, first] ^ others) & head & tail
    if first == last:
        return found
    found = words[BASE, first] & (words[mask, first] ^ others) & head
    found ^= words[BASE, last] & (words[mask, last] ^ others) & tail
    for w in range(first + 1, last):
        found ^= words[BASE, w] & (words[mask, w] ^ others)
    return found


@compiled
def _select(words: Words, mask: int, rank: int, others: np.uint64) -> int:
    # The place in `BASE` of the rank-th bit that a half draws (`others` all zeros) or leaves (all ones).
    low, high = 0, words.shape[1] - 1
    before = 0
    while high - low > 1:
        middle = (low + high) >> 1
        drawn = int(np.int64(words[mask + LIVE, middle]))
        ahead = 64 * middle - drawn if others else drawn
        if ahead <= rank:
            low, before = middle, ahead
        else:
            high = middle
    rest = words[mask, low] ^ others
    for _ in range(rank - before):
        rest &= rest - ONE
    return 64 * low + _ones((rest & (~rest + ONE)) - ONE)


@inlined
def bit_at(words: Words, order: Int32, row: int, place: int) -> int:
    """Return which bit of the key stands at a place of a row."""
    if row < ORDERS:
        return int(order[row, place])
    middle, mask = drawn_by(words, row), ORDERS + (row - ORDERS) % LIVE
    others = place >= middle
    return int(order[BASE, _select(words, mask, place - middle * others, ALL if others else NONE)])


@inlined
def place_of(words: Words, places: Int32, row: int, bit: int) -> int:
    """Return at which place of a row a bit of the key stands; the inverse of `bit_at`."""
    if row < ORDERS:
        return int(places[row, bit])
    mask, place = ORDERS + (row - ORDERS) % LIVE, int(places[BASE, bit])
    drawn, this = words[mask, place >> 6], ONE << np.uint64(place & 63)
    before = int(np.int64(words[mask + LIVE, place >> 6])) + _ones(drawn & (this - ONE))
    if drawn & this:
        return before
    return drawn_by(words, row) + place - before


@inlined
def flip(bits: Bits, words: Words, places: Int32, opened: Int64, bit: int) -> None:
    """Flip a bit of the key in all its rows."""
    bits[bit] ^= 1
    for order in range(ORDERS):
        if opened[order]:
            place = int(places[order, bit])
            words[order, place >> 6] ^= ONE << np.uint64(place & 63)


@compiled
def copy_half(to: Words, source: Words, row: int) -> None:
    """Give an end what a half draws, as another has laid it out; nothing for rows of the whole key."""
    if row >= ORDERS:
        mask = ORDERS + (row - ORDERS) % LIVE
        to[mask], to[mask + LIVE] = source[mask], source[mask + LIVE]
