"""The messages of a key exchange, byte by byte, and nothing accepted that is not exactly one of them.

A message is a head (version, kind, block, number of the message in its direction) and a body. Bodies of
sifting are packed arrays; their sizes follow from what they say, and a byte too many or too few is an error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError
from qwarden.keys.link import Basis
from qwarden.keys.records import Bits

VERSION: Final = 1
_HEAD: Final = struct.Struct(">2sBB16sI")
_MARK: Final = b"QK"
_DETECTED: Final = struct.Struct(">QI")


class Kind(IntEnum):
    """What a message says; who says it."""

    HELLO = 1  # both: name, terms
    DETECTED = 2  # Bob: which gates, which bases, all bits outside the key basis
    SIFTED = 3  # Alice: which of them count, bases, intensities, her bits outside the key basis
    ASK = 4  # Bob: a request of reconciliation
    ANSWER = 5  # Alice
    RECONCILED = 6  # Bob: how many bits he corrected, by intensity
    VERIFY = 7  # Alice: point and hash
    CHECKED = 8  # Bob: whether his hash is the same
    SEAL = 9  # Alice: seed of the matrix and length; tagged
    CONFIRM = 10  # Bob: the key is stored; tagged
    COMMIT = 11  # Alice: it is stored here too; tagged
    ABORT = 12  # either: why
    RESUME = 13  # either, on a new connection: blocks that it has stored and not heard of since; tagged
    REVEAL = 14  # both: all bits of a key that is dead, to learn what was wrong


_KINDS: Final = frozenset(int(kind) for kind in Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it came."""

    kind: Kind
    block: bytes
    number: int
    body: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Return its bytes."""
        return _HEAD.pack(_MARK, VERSION, self.kind, self.block, self.number) + self.body


def decode(frame: bytes) -> Message:
    """Read a message.

    Raises
    ------
    InputError
        It is none of this version.
    """
    if len(frame) < _HEAD.size:
        raise malformed(f"{len(frame)} bytes, a head has {_HEAD.size}")
    mark, version, kind, block, number = _HEAD.unpack_from(frame)
    if mark != _MARK or version != VERSION or kind not in _KINDS:
        raise malformed("no message of this version")
    return Message(kind=Kind(kind), block=block, number=number, body=frame[_HEAD.size :])


def malformed(problem: str) -> InputError:
    """Return the error for a message that is none."""
    return InputError("key exchange", problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What Bob tells first. How often each detector clicked he keeps: it tells how many ones his key has.

    Parameters
    ----------
    pulses : gates of the block.
    index, basis : of each detection, int64 and uint8 (n,).
    bits : in order, those of detections outside the key basis.
    """

    pulses: int
    index: npt.NDArray[np.int64]
    basis: npt.NDArray[np.uint8]
    bits: Bits = field(repr=False)

    def encode(self) -> bytes:
        """Return its bytes; gaps between detections take four each."""
        gaps = np.diff(self.index, prepend=-1)
        if gaps.size and (gaps.min() < 1 or gaps.max() > 0xFFFFFFFF):
            raise ValueError("detections are not in order, or too far apart")
        head = _DETECTED.pack(self.pulses, self.index.size)
        packed = np.packbits(self.bits).tobytes()
        return b"".join((head, gaps.astype(">u4").tobytes(), _pack2(self.basis), packed))

    @classmethod
    def decode(cls, body: bytes) -> Detected:
        """Read it; raises InputError."""
        reader = _Reader(body)
        pulses, n = _DETECTED.unpack(reader.take(_DETECTED.size))
        gaps = np.frombuffer(reader.take(4 * n), dtype=">u4").astype(np.int64)
        basis = reader.pairs(n)
        bits = reader.bits(int((basis != Basis.Z).sum()))
        reader.end()
        index = np.cumsum(gaps) - 1
        if n and (gaps.min() < 1 or index[-1] >= pulses):
            raise malformed("detections are not in order within the block")
        return cls(pulses=pulses, index=index, basis=basis, bits=bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What Alice answers.

    Parameters
    ----------
    present : of each of Bob's detections, whether she has something for it, bool (n,).
    basis, intensity : hers, uint8, one for each that is present.
    bits : in order, those of present detections that are not in the key basis at both ends and that Bob told
        his bit of: see `disclosed`.
    watchdog : of the photodiode at her exit.
    """

    present: npt.NDArray[np.bool_]
    basis: npt.NDArray[np.uint8]
    intensity: npt.NDArray[np.uint8]
    bits: Bits = field(repr=False)
    watchdog: float

    def encode(self) -> bytes:
        """Return its bytes."""
        return b"".join(
            (
                struct.pack(">d", self.watchdog),
                np.packbits(self.present).tobytes(),
                _pack2(self.basis),
                _pack2(self.intensity),
                np.packbits(self.bits).tobytes(),
            )
        )

    @classmethod
    def decode(cls, body: bytes, heard: Detected) -> Sifted:
        """Read the answer to what was `heard`; raises InputError."""
        reader = _Reader(body)
        (watchdog,) = struct.unpack(">d", reader.take(8))
        present: npt.NDArray[np.bool_] = reader.bits(heard.index.size) == 1
        count = int(present.sum())
        basis, intensity = reader.pairs(count), reader.pairs(count)
        if count and (basis.max() > Basis.X or intensity.max() > 2):
            raise malformed("no such basis or intensity")
        bits = reader.bits(int(disclosed(basis, heard.basis[present]).sum()))
        reader.end()
        if not np.isfinite(watchdog):
            raise malformed("a reading is no number")
        return cls(present=present, basis=basis, intensity=intensity, bits=bits, watchdog=watchdog)


def disclosed(alice: npt.NDArray[np.uint8], bob: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Say of which pairs of bases Alice tells her bit: both check, or Bob tests CHSH; never of the key's."""
    both_check = (alice == int(Basis.X)) & (bob == int(Basis.X))
    told: npt.NDArray[np.bool_] = both_check | (bob > int(Basis.X))
    return told


def _pack2(values: npt.NDArray[np.uint8]) -> bytes:
    padded = np.zeros(-(-values.size // 4) * 4, dtype=np.uint8)
    padded[: values.size] = values
    shifts = np.array([6, 4, 2, 0], dtype=np.uint8)
    packed: npt.NDArray[np.uint8] = np.bitwise_or.reduce(padded.reshape(-1, 4) << shifts, axis=1)
    return packed.tobytes()


class _Reader:
    """Takes a body apart from its start; a body that is too short or too long is an error."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = memoryview(body), 0

    def take(self, size: int) -> memoryview:
        if self._at + size > len(self._body):
            raise malformed("a message ends too early")
        self._at += size
        return self._body[self._at - size : self._at]

    def bits(self, count: int) -> Bits:
        packed = np.frombuffer(self.take(-(-count // 8)), dtype=np.uint8)
        bits = np.unpackbits(packed)
        if bits[count:].any():
            raise malformed("padding is not zero")
        return bits[:count]

    def pairs(self, count: int) -> npt.NDArray[np.uint8]:
        packed = np.frombuffer(self.take(-(-count // 4)), dtype=np.uint8)
        four = [packed >> np.uint8(shift) & np.uint8(3) for shift in (6, 4, 2, 0)]
        pairs: npt.NDArray[np.uint8] = np.stack(four, axis=1).reshape(-1)
        if pairs[count:].any():
            raise malformed("padding is not zero")
        return pairs[:count]

    def end(self) -> None:
        if self._at != len(self._body):
            raise malformed(f"a message has {len(self._body) - self._at} bytes too many")
