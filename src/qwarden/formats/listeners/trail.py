"""Where one was in a file, so that the place is found again: after a rotation, after a restart.

A name means nothing, since rotation gives it to another file; neither does an inode alone, since it is
given away again. What was read is known by its first and its last bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

SAMPLE: Final = 4096
"""Bytes at either end by which what was read is known."""
_CHUNK: Final = 1 << 20
_MOST_SIBLINGS: Final = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read.

    Attributes
    ----------
    device, inode : of the file.
    offset : bytes read.
    head, tail : SHA-256 of the first and of the last `SAMPLE` bytes before `offset`, or as many as there are.
    changed_ns : when the file was last seen to have changed.
    """

    device: int
    inode: int
    offset: int
    head: str
    tail: str
    changed_ns: int

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """Return what `text` says, None if it says nothing."""
        try:
            told = json.loads(text)
            place = cls(**told)
        except (ValueError, TypeError):
            return None
        numbers = (place.device, place.inode, place.offset, place.changed_ns)
        return place if all(type(number) is int and number >= 0 for number in numbers) else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Trail:
    """Follows what is read of one file, from its first byte or from a place that was found again.

    Parameters
    ----------
    status : of the file.
    offset : bytes that were read before.
    head, tail : the first and the last `SAMPLE` of them.

    Attributes
    ----------
    status : as last seen.
    changed_ns : when the file changed last, if `status` does not say, since it is of a copy.
    """

    def __init__(self, status: os.stat_result, offset: int = 0, head: bytes = b"", tail: bytes = b"") -> None:
        self.offset = offset
        self.status, self.changed_ns = status, 0
        self._head, self._tail = head[:SAMPLE], tail[-SAMPLE:]

    @classmethod
    def resumed(cls, fd: int, offset: int) -> Trail:
        """Return the trail of an open file of which `offset` bytes were read."""
        size = min(offset, SAMPLE)
        return cls(os.fstat(fd), offset, os.pread(fd, size, 0), os.pread(fd, size, offset - size))

    def take(self, data: bytes) -> None:
        """Take note of what was read next."""
        if len(self._head) < SAMPLE:
            self._head += data[: SAMPLE - len(self._head)]
        self._tail = data[-SAMPLE:] if len(data) >= SAMPLE else (self._tail + data)[-SAMPLE:]
        self.offset += len(data)

    @property
    def head(self) -> bytes:
        """The first bytes that were read."""
        return self._head

    @property
    def place(self) -> Place:
        """How far it was read."""
        status, changed_ns = self.status, self.changed_ns or self.status.st_mtime_ns
        head, tail = _digest(self._head), _digest(self._tail)
        return Place(status.st_dev, status.st_ino, self.offset, head, tail, changed_ns)


def holds(fd: int, place: Place) -> bool:
    """Whether an open file begins with what was read up to `place`, as far as head and tail tell."""
    if os.fstat(fd).st_size < place.offset:
        return False
    size = min(place.offset, SAMPLE)
    return (
        _digest(os.pread(fd, size, 0)) == place.head
        and _digest(os.pread(fd, size, place.offset - size)) == place.tail
    )


class Packed:
    """A gzip, read as if it were not packed; what is damaged ends it.

    Parameters
    ----------
    stream : the packed bytes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(wbits=31)

    def read(self, most: int = _CHUNK) -> bytes:
        """Return up to `most` unpacked bytes, none at the end."""
        while True:
            if self._inflate.eof:
                rest = self._inflate.unused_data
                if not rest.startswith(b"\x1f\x8b"):
                    return b""
                self._inflate = zlib.decompressobj(wbits=31)
                data = rest
            else:
                data = self._inflate.unconsumed_tail or self._stream.read(1 << 16)
            if not data:
                return b""
            try:
                found = self._inflate.decompress(data, most)
            except zlib.error:
                return b""
            if found:
                return found


def is_packed(path: Path) -> bool:
    """Whether a file is a gzip.

    Raises
    ------
    OSError : it cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def is_copy(path: Path, place: Place) -> bool:
    """Whether a file, packed or not, is what was read up to `place`, or a copy of it, perhaps of a part.

    Raises
    ------
    OSError : it cannot be read.
    """
    size = min(place.offset, SAMPLE)
    with path.open("rb") as stream:
        source = Packed(stream) if is_packed(path) else stream
        head = b""
        while len(head) <= size and (more := source.read(size + 1 - len(head))):
            head += more
        status = os.fstat(stream.fileno())
    other = (status.st_dev, status.st_ino) != (place.device, place.inode)
    if other and len(head) > size == place.offset:
        return False  # little was read, and files may well begin alike: this one goes on
    return _digest(head[:size]) == place.head


def resume_packed(path: Path, place: Place) -> tuple[Trail, Packed, IO[bytes]] | None:
    """Return a gzip of the file that was read, open behind `place`, None if it is of another.

    Raises
    ------
    OSError : it cannot be read.
    """
    stream = path.open("rb")
    packed = Packed(stream)
    trail = Trail(os.fstat(stream.fileno()))
    while trail.offset < place.offset and (data := packed.read(min(_CHUNK, place.offset - trail.offset))):
        trail.take(data)
    found = trail.place
    if (found.offset, found.head, found.tail) == (place.offset, place.head, place.tail):
        return trail, packed, stream
    stream.close()
    return None


def siblings(path: Path) -> list[Path]:
    """Return what rotation may have made of a file: the same folder, the same stem; the oldest first.

    ``conn.log`` becomes ``conn.2026-01-01-00-00-00.log.gz``, ``conn.log.1`` or ``conn.log-20260101``.
    """
    stem = path.name.split(".")[0]
    found: list[tuple[int, Path]] = []
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            related = entry.name.startswith((stem + ".", path.name + "-")) and entry.name != path.name
            with contextlib.suppress(OSError):  # it may have gone
                if related and entry.is_file() and len(found) < _MOST_SIBLINGS:
                    found.append((entry.stat().st_mtime_ns, Path(entry.path)))
    return [each for _, each in sorted(found)]
