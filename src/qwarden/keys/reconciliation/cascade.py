"""Cascade: Bob asks for parities of blocks and halves the odd ones until he holds the wrong bits.

Variants: `original` (Brassard and Salvail), `biconf`, `yanetal`, `option3` and `option8` as the cascade-cpp
study runs them, to stand beside its figures; and two of ours: `lean`, the default, discloses least, `brisk`
hardly more in a third of the round trips.

The bytes. Numbers are unsigned LEB128 varints, shortest form, at most five bytes. A request is one of::

    S row size count       the first `count` blocks of `size` places of a row; of a random half (rows from
                           5 on) size is 0 and the blocks are the bits it draws and the others
    L count (row start length) * count      ranges of rows that an S opened before

and its answer is ``P count bits``: a parity for each block or range in order, the first in the lowest bit
of the first byte, unused bits 0. Each of these `count` bits is disclosed, and nothing else is. Rows are those
of `_cascade_rows`: rows 0 to 4 whenever they are wanted, halves one after the other, of which the last 16
stay.

Start reading at `VARIANTS`, then `bob` and `Alice.answer`; `locally` is both ends in one compiled loop, for
statistics: the same questions, the same leak, the same key.

Source: Martinez-Mateo, Pacher, Peev, Ciurana, Martin, "Demystifying the information reconciliation protocol
Cascade", Quantum Inf. Comput. 15, 453 (2015); Rijsman, cascade-cpp, whose study's scheduling the five keep.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError, UsageError
from qwarden.keys.reconciliation import Bob, Reconciled, checked_bits
from qwarden.keys.reconciliation._cascade_loops import (
    ASKED,
    CONTRADICTION,
    LEAK,
    ROUNDS,
    ROW,
    SWEEP,
    TIMES_MOST,
    Tree,
    advance,
    answer,
    converse,
    make_tree,
)
from qwarden.keys.reconciliation._cascade_rows import LIVE, ORDERS, Rows, drawn_by, make_rows, open_row
from qwarden.keys.reconciliation._cascade_wire import NAME, read_numbers, read_ranges, varints, write_ranges
from qwarden.keys.records import Bits

QBER_LEAST: Final = 1e-5
"""A lower estimate is taken for this one."""
BITS_LEAST: Final = 64
BITS_MOST: Final = 1 << 28
WORK_MOST: Final = 1000
"""Times the length of her key that Alice adds up places for one Bob; an honest one needs some ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a variant cuts the key.

    Parameters
    ----------
    sizes : block sizes of the first passes, for a QBER.
    halves : number of passes after them, each of a random half and the rest.
    streak : whether these go on until so many on end found nothing (BICONF); nothing is then looked up
        again in earlier passes.
    reach : 0 for the study's schedule; else odd leaves up to so many times the smallest are searched at
        once, see `_cascade_loops`.
    """

    sizes: Callable[[float], tuple[int, ...]]
    halves: int
    streak: bool = False
    reach: int = 0


def _option8(qber: float) -> tuple[int, ...]:
    alpha = math.log2(1 / qber) - 0.5
    return 2 ** math.ceil(alpha), 2 ** math.ceil((alpha + 12) / 2), 4096


def _powers(*times: int) -> Callable[[float], tuple[int, ...]]:
    def sizes(qber: float) -> tuple[int, ...]:
        first = 2 ** math.ceil(math.log2(1 / qber) - 0.5)
        return first, *(first * factor for factor in times)

    return sizes


def _growing(share: float, *times: int) -> Callable[[float], tuple[int, ...]]:
    return lambda qber: tuple(math.ceil(share / qber) * factor for factor in times)


VARIANTS: Final[Mapping[str, Variant]] = MappingProxyType(
    {
        "original": Variant(sizes=_growing(0.73, 1, 2, 4, 8), halves=0),
        "biconf": Variant(sizes=_growing(0.92, 1, 3), halves=10, streak=True),
        "yanetal": Variant(sizes=_growing(0.80, 1, 5), halves=8),
        "option3": Variant(sizes=_growing(1.00, 1, 2), halves=14),
        "option8": Variant(sizes=_option8, halves=11),
        "lean": Variant(sizes=_powers(8), halves=12, reach=16),
        "brisk": Variant(sizes=_powers(8, 64), halves=11, reach=BITS_MOST),
    }
)


def bob(bits: Bits, qber: float, *, seed: int, variant: str = "lean") -> Bob:
    """Return Bob's end: yields requests, is sent Alice's answers, returns `Reconciled`.

    Parameters
    ----------
    bits : his sifted bits, uint8 (n,), n at least 64.
    qber : what share of them is estimated to be wrong, from 0 to below 0.5; far from the truth it costs
        leak, not correctness.
    seed : public, of this block, the same as Alice's.
    variant : one of `VARIANTS`.

    Raises
    ------
    UsageError
        An argument is out of its range.
    InputError
        From the generator: an answer is malformed or contradicts the others, or more parities would be
        disclosed than an honest run ever needs.

    Examples
    --------
    >>> from qwarden.keys.reconciliation import pump
    >>> right = np.tile(np.array([0, 1, 1, 0], np.uint8), 250)
    >>> wrong = right.copy(); wrong[[3, 500, 777]] ^= 1
    >>> done = pump(bob(wrong, 0.01, seed=7), alice(right, seed=7))
    >>> bool((done.bits == right).all()), done.corrected
    (True, 3)
    """
    search = _Search(bits, qber, seed, variant)
    return _ask(search)


def alice(bits: Bits, *, seed: int) -> Alice:
    """Return Alice's end, whose bits are right by definition.

    Parameters
    ----------
    bits : her sifted bits, uint8 (n,), n at least 64.
    seed : public, of this block, the same as Bob's.

    Raises
    ------
    UsageError
        An argument is out of its range.
    """
    return Alice(bits, seed)


def locally(alice_bits: Bits, bob_bits: Bits, qber: float, *, seed: int, variant: str = "lean") -> Reconciled:
    """Run both ends in one compiled loop; the same as `pump` of `bob` and `alice`, faster.

    Raises
    ------
    UsageError
        An argument is out of its range.
    InputError
        More parities would be disclosed than an honest run ever needs.
    """
    hers = _checked(alice_bits, "Alice's bits")
    search = _Search(bob_bits, qber, seed, variant)
    if hers.size != search.n:
        raise UsageError(f"Alice's bits: expected {search.n} like Bob's, found {hers.size}")
    search.check(converse(hers, search.rows, search.tree, search.sizes, search.seed))
    return search.result()


class _Search:
    """Bob's state: his rows, the tree and the plan."""

    def __init__(self, bits: Bits, qber: float, seed: int, variant: str) -> None:
        mine = _checked(bits, "Bob's bits")
        if not 0 <= qber < 0.5:
            raise UsageError(f"qber: expected 0 to below 0.5, found {qber:g}")
        if variant not in VARIANTS:
            raise UsageError(f"variant: expected one of {', '.join(VARIANTS)}, found {variant!r}")
        plan = VARIANTS[variant]
        self.n = mine.size
        self._came_with = mine
        self.sizes = plan_sizes(variant, qber, self.n)
        self.seed = _checked_seed(seed)
        passes = self.sizes.size + (1 if plan.streak else plan.halves)
        self.rows: Rows = make_rows(mine.copy(), True)
        self.tree: Tree = make_tree(self.n, passes, plan.halves, plan.streak, plan.reach)

    def advance(self, answers: Bits) -> int:
        return self.check(advance(self.rows, self.tree, self.sizes, self.seed, answers))

    def check(self, count: int) -> int:
        if count == CONTRADICTION:
            raise InputError(NAME, "Alice's parities contradict each other: no key has them")
        if count < 0:
            raise InputError(
                NAME, f"more parities are needed than {TIMES_MOST} times the key's {self.n} bits"
            )
        return count

    def request(self) -> bytes:
        tree, count = self.tree, int(self.tree.at[ASKED])
        if not tree.at[SWEEP]:
            return b"L" + varints(count) + write_ranges(tree.nodes, tree.asked[:count])
        row = int(tree.nodes[tree.asked[0], ROW])
        size = int(min(self.sizes[row], self.n)) if row < ORDERS else 0
        return b"S" + varints(row, size, count)

    def result(self) -> Reconciled:
        at = self.tree.at
        corrected = self.rows.bits
        return Reconciled(
            bits=corrected,
            corrected=int(np.count_nonzero(corrected != self._came_with)),
            leak_bits=int(at[LEAK]),
            rounds=int(at[ROUNDS]),
        )


def plan_sizes(variant: str, qber: float, bits: int) -> npt.NDArray[np.int64]:
    """Return the block sizes of the passes that come before the halves.

    >>> plan_sizes("brisk", 0.05, 100_000).tolist()
    [16, 128, 1024]
    """
    plan = VARIANTS[variant]
    sizes = plan.sizes(max(qber, QBER_LEAST))
    if plan.reach:
        # A block of half the key or more is what the random halves are for.
        sizes = tuple(size for size in sizes if 2 * size < bits) or (min(sizes[0], bits),)
    return np.array(sizes, np.int64)


def _ask(search: _Search) -> Bob:
    count = search.advance(np.empty(0, np.uint8))
    while count:
        reply = yield search.request()
        count = search.advance(_parities(reply, count))
    return search.result()


def _parities(reply: bytes, count: int) -> Bits:
    """Return the parities of an answer that must hold `count` of them."""
    head = b"P" + varints(count)
    if reply[: len(head)] != head or len(reply) != len(head) + (count + 7) // 8:
        raise InputError(NAME, f"expected an answer of {count} parities, found {len(reply)} other bytes")
    bits = np.unpackbits(np.frombuffer(reply, np.uint8, offset=len(head)), bitorder="little")
    if bits[count:].any():
        raise InputError(NAME, "an answer's unused bits are not 0", f"byte {len(reply) - 1}")
    return bits[:count]


class Alice:
    """Answers with parities of her key; see `alice`."""

    def __init__(self, bits: Bits, seed: int) -> None:
        mine = _checked(bits, "Alice's bits")
        self._rows: Rows = make_rows(mine, False)
        self._seed = _checked_seed(seed)
        self._leak = self._work = 0

    @property
    def leak_bits(self) -> int:
        """Bits disclosed so far; never more than `TIMES_MOST` times the key has."""
        return self._leak

    def answer(self, request: bytes) -> bytes:
        """Return the parities that a request asks for.

        Raises
        ------
        InputError
            It is malformed, asks of a row that is not there or places beyond it, or would bring the bits
            disclosed above what an honest Bob ever needs. Nothing is disclosed and nothing changes.
        """
        if request[:1] == b"S":
            row, start, stop = self._blocks(request)
        elif request[:1] == b"L":
            row, start, stop = self._ranges(request)
        else:
            raise InputError(NAME, "expected a request that begins with S or L", "byte 0")
        self._work_off(int((stop - start).sum(dtype=np.int64)))
        parities = np.empty(row.size, np.uint8)
        answer(self._rows.words, row, start, stop, parities)
        # The one place where Alice counts what is disclosed.
        self._leak += parities.size
        return b"P" + varints(parities.size) + np.packbits(parities, bitorder="little").tobytes()

    def _blocks(self, request: bytes) -> tuple[npt.NDArray[np.int32], ...]:
        (row, size, count), end = read_numbers(request, 3)
        if end != len(request):
            raise InputError(NAME, f"{len(request) - end} bytes are left over", f"byte {end}")
        n, halves = self._rows.bits.size, int(self._rows.opened[ORDERS])
        if row < ORDERS:
            most = -(-n // size) if 0 < size <= n else 0
        else:
            most = 2 if size == 0 and halves - LIVE <= row - ORDERS <= halves else 0
        if not 0 < count <= most:
            raise InputError(NAME, f"no {count} blocks of {size} places in row {row}")
        self._afford(count)
        open_row(self._rows, self._seed, row)
        middle = size if row < ORDERS else drawn_by(self._rows.words, row)
        start = np.arange(count, dtype=np.int32) * np.int32(middle)
        stop = np.minimum(start + np.int32(middle), n).astype(np.int32)
        if row >= ORDERS and count == 2:
            stop[1] = n
        return np.full(count, row, np.int32), start, stop

    def _ranges(self, request: bytes) -> tuple[npt.NDArray[np.int32], ...]:
        (count,), begin = read_numbers(request, 1)
        if count == 0:
            raise InputError(NAME, "a list of no ranges", "byte 1")
        self._afford(count)
        return read_ranges(request, begin, count, self._rows.opened, self._rows.bits.size)

    def _work_off(self, places: int) -> None:
        """Refuse what costs too much to answer, though it tells little."""
        if self._work + places > WORK_MOST * self._rows.bits.size:
            raise InputError(
                NAME, f"{self._work + places} places to add up, {WORK_MOST} times the key at most"
            )
        self._work += places

    def _afford(self, count: int) -> None:
        most = TIMES_MOST * self._rows.bits.size
        if self._leak + count > most:
            raise InputError(NAME, f"{count} parities after {self._leak} are more than {most}")


def _checked(bits: Bits, name: str) -> Bits:
    # A copy, since a loop compiled for arrays that may be written to is compiled anew for others.
    mine = checked_bits(bits, name).copy()
    if not BITS_LEAST <= mine.size <= BITS_MOST:
        raise UsageError(f"{name}: expected {BITS_LEAST} to {BITS_MOST} bits, found {mine.size}")
    return mine


def _checked_seed(seed: int) -> np.uint64:
    if not 0 <= seed < 1 << 64:
        raise UsageError(f"seed: expected 0 to 2^64 - 1, found {seed}")
    return np.uint64(seed)
