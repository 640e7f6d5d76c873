"""Raw keys recorded on a real link: the files of the University of Padova's three-state experiment.

Three files a recording, for Alice's states, Bob's outcomes and Alice's intensities. Each is a row of blocks:
8 bytes, big-endian, that say how many bytes follow, then those bytes, with four symbols in each from its
least significant bits on. Of a symbol's two bits the lower is the basis (0 Z, 1 X) and the upper the bit, so
H, D, V, A are 0, 1, 2, 3; of intensities the upper bit says the weaker one and the lower is unused. The
protocol has three states: Alice never sends A, and one decoy: there are no vacuum pulses.

Source: the layout is described with the laboratory course "Quantum cryptography and security" (Padova,
2021/22), whose participants decoded the same files (nicolezattarin/Quantum-Cryptography-protocols).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError, UnreadableError
from qwarden.keys.records import SLOTS, Detections, Preparations

Symbols = npt.NDArray[np.uint8]

HEADER: Final = 8
MOST_BYTES: Final = 1 << 30
"""Longest block that is believed; a longer one is a wrong length."""
STATE_A: Final = 3


def read_padova(
    alice: str | Path, bob: str | Path, intensities: str | Path, *, pulses_per_block: int
) -> Iterator[tuple[Preparations, Detections]]:
    """Yield what both ends hold of each block of a recording.

    The files hold detected pulses only, and neither their places nor double clicks nor arrival times: indices
    count the detections, and every slot is the middle one.

    Parameters
    ----------
    alice, bob, intensities : the three files.
    pulses_per_block : how many pulses were sent for a block: the clock rate times the time it took.

    Raises
    ------
    InputError
        A block is cut short or implausibly long, the files have different numbers of symbols, more than
        `pulses_per_block`, or hold a state or an intensity that the protocol does not have.
    UnreadableError
        A file cannot be opened, or is empty.
    """
    blocks = [_blocks(Path(path)) for path in (alice, bob, intensities)]
    number = 0
    while True:
        number += 1
        states, outcomes, weaker = (next(kind, None) for kind in blocks)
        for path, found in ((bob, outcomes), (intensities, weaker)):
            _refuse_unequal(number, alice, states, path, found)
        if states is None or outcomes is None or weaker is None:
            return
        if states.size > pulses_per_block:
            raise InputError(
                alice, f"{states.size} detections of {pulses_per_block} pulses", f"block {number}"
            )
        _refuse(alice, number, states == STATE_A, "state A, which this protocol never sends")
        _refuse(intensities, number, _lower(weaker) == 1, "an intensity that is neither of the two")
        yield _records(states, outcomes, weaker, pulses_per_block)


def _records(
    states: Symbols, outcomes: Symbols, weaker: Symbols, pulses: int
) -> tuple[Preparations, Detections]:
    index = np.arange(states.size)
    alice = Preparations(
        pulses=pulses, index=index, basis=_lower(states), bit=_upper(states), intensity=_upper(weaker)
    )
    bob = Detections(
        pulses=pulses, index=index, basis=_lower(outcomes), bit=_upper(outcomes),
        double=np.zeros(outcomes.size, np.bool_), slot=np.full(outcomes.size, SLOTS // 2, np.uint8),
    )  # fmt: skip
    return alice, bob


def _lower(symbols: Symbols) -> Symbols:
    return np.bitwise_and(symbols, 1, dtype=np.uint8)


def _upper(symbols: Symbols) -> Symbols:
    return np.right_shift(symbols, 1, dtype=np.uint8)


def _blocks(path: Path) -> Iterator[Symbols]:
    """Yield the symbols of each block of a file."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UnreadableError(path, f"cannot be opened: {error.strerror}") from error
    with stream:
        number = 0
        while header := stream.read(HEADER):
            number += 1
            yield _symbols(path, stream, header, number)
    if not number:
        raise UnreadableError(path, "is empty: expected blocks of 8 bytes of length and as many bytes")


def _symbols(path: Path, stream: BinaryIO, header: bytes, number: int) -> Symbols:
    if len(header) < HEADER:
        raise InputError(path, f"ends after {len(header)} of the {HEADER} bytes of length", f"block {number}")
    size = int.from_bytes(header, "big")
    if not 0 < size <= MOST_BYTES:
        raise InputError(path, f"expected 1 to {MOST_BYTES} bytes, its length says {size}", f"block {number}")
    packed = np.frombuffer(stream.read(size), np.uint8)
    if packed.size < size:
        raise InputError(path, f"ends after {packed.size} of its {size} bytes", f"block {number}")
    return np.asarray((packed[:, np.newaxis] >> np.array([0, 2, 4, 6], np.uint8) & 3).ravel())


def _refuse_unequal(
    number: int, path: str | Path, first: Symbols | None, other: str | Path, second: Symbols | None
) -> None:
    sizes = [0 if found is None else found.size for found in (first, second)]
    if sizes[0] != sizes[1]:
        raise InputError(other, f"{sizes[1]} symbols, where {path} has {sizes[0]}", f"block {number}")


def _refuse(path: str | Path, number: int, wrong: npt.NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise InputError(path, what, f"block {number}, symbol {int(wrong.argmax()) + 1}")
