"""Whole lines of the pieces in which they come."""

from __future__ import annotations

from typing import Final

MOST: Final = 1 << 20
"""Bytes of a line that are kept; the reader counts a longer one as malformed."""


class Assembly:
    r"""Puts the pieces of one connection together.

    Attributes
    ----------
    lines : whole lines handed on.

    >>> pieces = Assembly()
    >>> pieces.take(b"one\ntw"), pieces.take(b"o\nthree"), pieces.end(), pieces.lines
    (b'one\n', b'two\n', b'three\n', 3)
    """

    def __init__(self) -> None:
        self.lines = 0
        self._rest = bytearray()
        self._too_long = False

    def take(self, piece: bytes) -> bytes:
        """Take a piece; return the lines it completes."""
        end = piece.rfind(b"\n") + 1
        if end == 0:
            self._keep(piece)
            return b""
        found = bytes(self._rest) + piece[:end]
        if self._too_long:  # what is over the limit was left out; the line stays too long
            found = bytes(self._rest) + piece[piece.find(b"\n") : end]
        self._rest, self._too_long = bytearray(), False
        self._keep(piece[end:])
        self.lines += found.count(b"\n")
        return found

    def end(self) -> bytes:
        """Return the line that was not completed, with an end, so that it is counted and not forgotten."""
        if not self._rest:
            return b""
        found, self._rest = bytes(self._rest) + b"\n", bytearray()
        self.lines += 1
        return found

    def _keep(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) > 2 * MOST:
            del self._rest[2 * MOST :]
            self._too_long = True
