"""Lines of a source, a chunk at a time, each at most a mebibyte long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qwarden.formats.readers.sources import Source

CHUNK: Final = 1 << 20
MOST: Final = 1 << 20
"""Longest line that is kept."""

Line = bytes | None
"""A line without its end; None if it was longer than `MOST`. Some that are up to twice as long are kept."""


def chunks_of_lines(source: Source) -> Iterator[tuple[int, list[Line]]]:
    r"""Yield lines as they come, with the position of the first of them.

    What follows the last end of line is a line too, unless it is empty. A line that is dropped comes
    alone.

    >>> from io import BytesIO
    >>> list(chunks_of_lines(BytesIO(b"one\n\nthree")))
    [(0, [b'one', b'']), (5, [b'three'])]
    """
    view = memoryview(bytearray(CHUNK))
    at = 0  # position of the first byte of the line that `rest` begins
    rest = bytearray()
    dropped = 0  # bytes of it that were dropped before `rest`
    while count := source.readinto(view):
        piece = bytes(view[:count])
        if dropped and (end := piece.find(b"\n")) >= 0:
            yield at, [None]
            at += dropped + len(rest) + end + 1
            rest, dropped = bytearray(), 0
            piece = piece[end + 1 :]
        end = piece.rfind(b"\n")
        if end < 0:
            rest += piece
        else:
            block = bytes(rest) + piece[:end]
            yield at, list(block.split(b"\n"))
            at += len(block) + 1
            rest = bytearray(piece[end + 1 :])
        if len(rest) > MOST:
            dropped += len(rest)
            rest = bytearray()
    if dropped:
        yield at, [None]
    elif rest:
        yield at, [bytes(rest)]
