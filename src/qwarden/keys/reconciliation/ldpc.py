"""Low-density parity-check codes: Bob asks once, Alice answers with her syndrome, Bob decodes.

A block is shuffled by its seed and cut into equal frames of at most `FRAME` bits. For each the code of
`codes` is taken whose syndrome is what the estimated QBER and the frame's length ask for (`rows_for`).
Places of the code beyond the frame's bits are 0 at both ends, known to everybody, spread evenly (the code
is *shortened*). Codes being made for every rate, nothing is punctured.

What is disclosed of a frame is its syndrome. Each of its bits counts, also one that others imply, or that
hangs on known places alone; the efficiency sets it against the frame's bits of the key, without the known
places.

A frame that does not decode from this one answer has failed, and counts as a frame error wherever these are
stated. It is not lost: Bob names such frames, Alice adds a further eighth of their syndrome, and so on until
they decode or twice the first syndrome is out. If one remains then, the verification hash ends the block.

The bytes. A request is one of::

    C rows              16 bits: the syndrome of all frames, of so many rows of the base graph
    E frame ...         32 bits each, ascending: the next extension's rows, of frames that were asked of in
                        the request before

and its answer is the checks, frame by frame, row by row, eight to a byte. All of these bits are disclosed and
count; nothing else is. Numbers are big-endian. Eight times the bytes of the answers is the leak.

Start reading at `rows_for`, then `bob` and `Alice.answer`.

Source: Slepian, Wolf, IEEE Trans. Inf. Theory 19, 471 (1973); Elkouss, Leverrier, Alleaume, Boutros, ISIT
2009, arXiv 0901.2140; Martinez-Mateo, Elkouss, Martin, "Blind reconciliation", Quantum Inf. Comput. 12, 791
(2012), whose second round this one's is in spirit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError, UsageError
from qwarden.keys.finite_key import binary_entropy
from qwarden.keys.reconciliation import Bob, Reconciled, checked_bits
from qwarden.keys.reconciliation._cascade_rows import Int32, make_rows, open_row
from qwarden.keys.reconciliation._ldpc_loops import decode, syndrome
from qwarden.keys.reconciliation.codes import STEPS, Code, code
from qwarden.keys.records import Bits

NAME: Final = "ldpc"
FRAME: Final = 1 << 18
"""Bits of a frame at most: the longer, the nearer to Shannon's limit."""
BITS_LEAST: Final = 64
BITS_MOST: Final = 1 << 28
QBERS: Final = (0.002, 0.2)
"""An estimate beyond them is taken for the nearer."""
COLUMNS: Final = (64, 512)
"""Of a base graph: multiples of 16 within."""
LIFTING_LEAST: Final = 16
ROWS_LEAST: Final = 4

GAP: Final = 1.095
"""What the codes disclose over Shannon's limit where frames are endlessly long, with room for decoding to end
soon."""
SIGMAS: Final = 2.7
"""Beyond it, so many standard deviations of what a frame's errors take to tell."""
ITERATIONS: Final = 100
KNOWN: Final = np.float32(60)
"""Belief in a place that is 0 at both ends."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a block is cut: `frames` of them, each in a graph of `columns` times `lifting` places."""

    bits: int
    frames: int
    columns: int
    lifting: int

    @property
    def longest(self) -> int:
        """Bits of the longest frame."""
        return -(-self.bits // self.frames)

    def begins(self, frame: int) -> int:
        """Return which of the shuffled bits a frame starts with."""
        return self.bits * frame // self.frames


def layout(bits: int) -> Layout:
    """Cut a block of so many bits.

    >>> layout(1_000_000)
    Layout(bits=1000000, frames=4, columns=496, lifting=512)
    """
    frames = -(-bits // FRAME)
    longest = -(-bits // frames)
    lifting = max(LIFTING_LEAST, 1 << (-(-longest // COLUMNS[1]) - 1).bit_length())
    columns = max(COLUMNS[0], 16 * math.ceil(longest / lifting / 16))
    return Layout(bits, frames, columns, lifting)


def rows_for(qber: float, cut: Layout) -> int:
    """Return the rows of the base graph that an estimated QBER asks for.

    The syndrome is `GAP` times Shannon's limit, and `SIGMAS` times the standard deviation of the information
    in a frame's errors, in whole rows.
    """
    q = min(max(qber, QBERS[0]), QBERS[1])
    deviation = math.sqrt(q * (1 - q) * cut.longest) * math.log2((1 - q) / q)
    leak = GAP * cut.longest * binary_entropy(q) + SIGMAS * deviation
    return min(max(math.ceil(leak / cut.lifting), ROWS_LEAST), cut.columns)


def bob(bits: Bits, qber: float, *, seed: int) -> Bob:
    """Return Bob's end: yields requests, is sent Alice's answers, returns `Reconciled`.

    Parameters
    ----------
    bits : his sifted bits, uint8 (n,), n at least 64.
    qber : what share of them is estimated to be wrong, from 0 to below 0.5; too low an estimate costs further
        round trips, too high a one leak.
    seed : public, of this block, the same as Alice's.

    Raises
    ------
    UsageError
        An argument is out of its range.
    InputError
        From the generator: an answer is of another size than was asked for.

    Examples
    --------
    >>> from qwarden.keys.reconciliation import pump
    >>> right = np.tile(np.array([0, 1, 1, 0], np.uint8), 5000)
    >>> wrong = right.copy(); wrong[::50] ^= 1
    >>> done = pump(bob(wrong, 0.02, seed=7), alice(right, seed=7))
    >>> bool((done.bits == right).all()), done.corrected, done.rounds
    (True, 400, 1)
    """
    if not 0 <= qber < 0.5:
        raise UsageError(f"qber: expected 0 to below 0.5, found {qber:g}")
    return _ask(_Frames(bits, seed, "Bob's bits"), qber)


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


class _Frames:
    """An end's key, shuffled and cut."""

    def __init__(self, bits: Bits, seed: int, name: str) -> None:
        self.bits = checked_bits(bits, name)
        if not BITS_LEAST <= self.bits.size <= BITS_MOST:
            raise UsageError(f"{name}: expected {BITS_LEAST} to {BITS_MOST} bits, found {self.bits.size}")
        if not 0 <= seed < 1 << 64:
            raise UsageError(f"seed: expected 0 to 2^64 - 1, found {seed}")
        self.cut = layout(self.bits.size)
        rows = make_rows(self.bits, False)
        open_row(rows, np.uint64(seed), 1)
        self._order: Int32 = rows.order[1]

    def order(self, frame: int) -> Int32:
        """Return which bits of the key a frame holds."""
        return self._order[self.cut.begins(frame) : self.cut.begins(frame + 1)]

    def held(self, frame: int) -> npt.NDArray[np.bool_]:
        """Return which places of the graph hold them, (columns, lifting)."""
        ends = self.order(frame).size * np.arange(self.cut.columns + 1) // self.cut.columns
        return np.arange(self.cut.lifting) < np.diff(ends)[:, None]

    def places(self, frame: int) -> Bits:
        """Return a frame's bits in the graph, uint8 (columns, lifting)."""
        place = np.zeros((self.cut.columns, self.cut.lifting), np.uint8)
        place[self.held(frame)] = self.bits[self.order(frame)]
        return place

    def code(self, rows: int) -> Code:
        return code(self.cut.columns, rows, self.cut.lifting)


def _ask(mine: _Frames, qber: float) -> Bob:
    cut, corrected = mine.cut, mine.bits.copy()
    made = mine.code(rows_for(qber, cut))
    parity = np.zeros((cut.frames, made.rows + STEPS * made.step, cut.lifting), np.uint8)
    frames, first, last = list(range(cut.frames)), 0, made.rows
    request = b"C" + struct.pack(">H", made.rows)
    leak = rounds = 0
    while True:
        shape = (len(frames), last - first, cut.lifting)
        parity[frames, first:last] = _checks((yield request), shape)
        rounds += 1
        # The one place where Bob counts what is disclosed.
        leak += math.prod(shape)
        frames = [i for i in frames if not _corrects(mine, i, made, parity[i, :last], qber, corrected)]
        if not frames or last == parity.shape[1]:
            break
        request = b"E" + struct.pack(f">{len(frames)}I", *frames)
        first, last = last, last + made.step
    return Reconciled(
        bits=corrected,
        corrected=int(np.count_nonzero(corrected != mine.bits)),
        leak_bits=leak,
        rounds=rounds,
    )


def _checks(reply: bytes, shape: tuple[int, int, int]) -> Bits:
    """Return the checks of an answer, by frame and row."""
    if 8 * len(reply) != math.prod(shape):
        raise InputError(NAME, f"expected an answer of {math.prod(shape)} checks, found {len(reply)} bytes")
    return np.unpackbits(np.frombuffer(reply, np.uint8)).reshape(shape)


def _corrects(mine: _Frames, frame: int, made: Code, parity: Bits, qber: float, corrected: Bits) -> bool:
    """Decode a frame into its bits of the key; return whether it came to the parities."""
    held = mine.held(frame)
    place = mine.places(frame)
    # What is decoded is the errors: their parities are those of the two keys together.
    odd = np.empty_like(parity)
    syndrome(place, made.column, made.shift, made.start, 0, odd)
    odd ^= parity
    if parity.shape[0] > made.rows:
        qber = max(qber, _rate(odd[made.rows :], made, float(held.mean())))
    q = min(max(qber, QBERS[0]), QBERS[1])
    belief = np.where(held, np.float32(math.log((1 - q) / q)), KNOWN)
    if decode(belief, made.column, made.shift, made.start, odd, ITERATIONS) < 0:
        return False
    corrected[mine.order(frame)] ^= belief[held] < 0
    return True


def _rate(odd: Bits, made: Code, share: float) -> float:
    """Return the QBER that so many odd checks of the extensions speak for; a share of the places is held."""
    width = share * float(made.start[-1] - made.start[made.rows]) / (made.start.size - 1 - made.rows)
    return 0.5 - 0.5 * math.pow(max(1 - 2 * float(odd.mean()), 0), 1 / width)


class Alice:
    """Answers with syndromes of her key; see `alice`."""

    def __init__(self, bits: Bits, seed: int) -> None:
        self._mine = _Frames(bits, seed, "Alice's bits")
        self._code: Code | None = None
        self._told = 0
        self._frames: Sequence[int] = range(self._mine.cut.frames)
        self._leak = 0

    @property
    def leak_bits(self) -> int:
        """Bits disclosed so far."""
        return self._leak

    def answer(self, request: bytes) -> bytes:
        """Return the checks that a request asks for.

        Raises
        ------
        InputError
            It is malformed, or out of turn. Nothing is disclosed and nothing changes.
        """
        made, frames, rows = self._asked(request)
        out = np.empty((len(frames), rows, self._mine.cut.lifting), np.uint8)
        for i, frame in enumerate(frames):
            syndrome(self._mine.places(frame), made.column, made.shift, made.start, self._told, out[i])
        self._code, self._frames = made, frames
        self._told += rows
        # The one place where Alice counts what is disclosed.
        self._leak += out.size
        return np.packbits(out).tobytes()

    def _asked(self, request: bytes) -> tuple[Code, Sequence[int], int]:
        """Return the code, the frames and the number of further rows."""
        if self._code is None:
            if len(request) != 3 or request[:1] != b"C":
                raise InputError(NAME, "expected C and a number of rows")
            (rows,) = struct.unpack_from(">H", request, 1)
            if not ROWS_LEAST <= rows <= self._mine.cut.columns:
                raise InputError(NAME, f"no code of {rows} rows for {self._mine.cut.columns} columns")
            return self._mine.code(rows), self._frames, rows
        if len(request) < 5 or len(request) % 4 != 1 or request[:1] != b"E":
            raise InputError(NAME, "expected E and frames")
        frames = struct.unpack_from(f">{len(request) // 4}I", request, 1)
        if self._told == self._code.rows + STEPS * self._code.step:
            raise InputError(NAME, "all extensions are told")
        if sorted(set(frames) & set(self._frames)) != list(frames):
            raise InputError(NAME, "frames that were not asked of before, or not in order")
        return self._code, frames, self._code.step
