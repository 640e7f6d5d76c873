"""Where the bytes of a capture or a log come from: a descriptor, plain or gzip.

Both fill a given memory and keep nothing else, so that a stream of any length, and a gzip of any
expansion, needs the same memory.
"""

from __future__ import annotations

import os
import select
import zlib
from collections.abc import Callable
from typing import Final, Protocol

GZIP_MAGIC: Final = b"\x1f\x8b"

_INPUT: Final = 64 * 1024
_OUTPUT: Final = 1024 * 1024


class Source(Protocol):
    """A stream of bytes."""

    @property
    def fault(self) -> str:
        """Why the stream ended before its end; empty if it did not."""

    def readinto(self, view: memoryview) -> int:
        """Fill `view` from its start; return the bytes filled, 0 at the end."""


class DescriptorSource:
    """The bytes of an open descriptor.

    Parameters
    ----------
    fd : read from where it stands.
    waiting : called about once a second while there is nothing to read; for a pipe or socket.
    """

    def __init__(self, fd: int, waiting: Callable[[], None] | None = None) -> None:
        self.fault = ""
        self._fd = fd
        self._waiting = waiting

    def readinto(self, view: memoryview) -> int:
        """Fill `view` with what one read gives."""
        if self._waiting is not None:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            while not poll.poll(1000):
                self._waiting()
        try:
            return os.readv(self._fd, [view])
        except OSError as error:
            self.fault = f"reading failed: {error.strerror}"
            return 0


class Replay:
    """A source with its first bytes put back: they were read to see what it is."""

    def __init__(self, first: bytes, rest: Source) -> None:
        self._first = first
        self._rest = rest

    @property
    def fault(self) -> str:
        """The underlying source's fault."""
        return self._rest.fault

    def readinto(self, view: memoryview) -> int:
        """Fill `view`, first with what was put back."""
        if self._first:
            count = min(len(view), len(self._first))
            view[:count] = self._first[:count]
            self._first = self._first[count:]
            return count
        return self._rest.readinto(view)


class GzipSource:
    """The unpacked bytes of a gzip stream (RFC 1952), of one member or several.

    A cut or corrupt stream gives everything up to the damage, then ends with a `fault`.
    """

    def __init__(self, packed: Source) -> None:
        self.fault = ""
        self._packed = packed
        self._buffer = memoryview(bytearray(_INPUT))
        self._data = b""
        self._taken = 0  # packed bytes taken from the source
        self._ready = b""  # unpacked, not yet handed out
        self._inflate: zlib._Decompress | None = None
        self._ended = False

    def readinto(self, view: memoryview) -> int:
        """Fill `view` with unpacked bytes."""
        while not self._ready and not self._ended:
            if self._inflate is None:
                self._next_member()
            else:
                self._unpack(self._inflate, min(len(view), _OUTPUT))
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _fill(self) -> bool:
        """Append packed bytes to `_data`; return whether there were any."""
        count = self._packed.readinto(self._buffer)
        self._taken += count
        self._data += bytes(self._buffer[:count])
        return count > 0

    def _end(self, fault: str = "") -> None:
        self._ended = True
        if fault:
            self.fault = (
                self._packed.fault or f"{fault} (byte {self._taken - len(self._data)} of the gzip file)"
            )

    def _next_member(self) -> None:
        while len(self._data) < 2 and self._fill():
            pass
        if self._data[:2] == GZIP_MAGIC:
            self._inflate = zlib.decompressobj(wbits=31)
        elif not any(self._data):  # zero padding, as tapes and gzip -l know it
            while self._fill() and not any(self._data):
                self._data = b""
            self._end("bytes follow the last gzip member" if any(self._data) else "")
        else:
            self._end("bytes follow the last gzip member")

    def _unpack(self, inflate: zlib._Decompress, limit: int) -> None:
        starved = not self._data and not self._fill()
        before = inflate.copy()
        try:
            self._ready = inflate.decompress(self._data, limit)
        except zlib.error as error:
            self._salvage(before)
            self._end(f"the gzip stream is damaged: {error}")
            return
        if inflate.eof:
            self._data = inflate.unused_data
            self._inflate = None
        else:
            self._data = inflate.unconsumed_tail
            if starved and not self._ready:
                self._end("the gzip stream is cut off")

    def _salvage(self, inflate: zlib._Decompress) -> None:
        """Unpack byte by byte what stands before the damage."""
        saved = bytearray()
        for position in range(len(self._data)):
            try:
                saved += inflate.decompress(self._data[position : position + 1])
            except zlib.error:
                self._data = self._data[position:]
                break
        self._ready = bytes(saved)


def read_fully(source: Source, view: memoryview) -> int:
    """Fill `view` as far as `source` reaches; return the bytes filled."""
    filled = 0
    while filled < len(view):
        count = source.readinto(view[filled:])
        if count == 0:
            break
        filled += count
    return filled
