"""Packets between the wire and the detector: capture files that rotate, and a reader that follows.

The writer never waits for the reader, so a burst costs disk and not packets. Together the files never
take more than they may: the oldest go first, and if one goes unread its packets count as lost. What
stays until then is evidence, in files that every tool reads.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from qwarden.formats.writers.pcap import file_header

ROTATE_S: Final = 60.0
_CHUNK: Final = 1 << 20
_IDLE_S: Final = 1.0
_SLACK_NS: Final = 5_000_000_000
"""Packets have times before their capture's: they wait in the kernel, and are written in blocks."""


def spooled(folder: Path, since_ns: int, until_ns: int) -> list[Path]:
    """Return the captures of a spool that may have packets from then until then, the oldest first.

    A capture is called by the moment at which it was begun, and ends where the next one begins.
    """
    files = sorted((int(path.stem), path) for path in folder.glob("*.pcap") if path.stem.isdecimal())
    ends = [began for began, _ in files[1:]]
    return [
        path
        for at, (began, path) in enumerate(files)
        if began - _SLACK_NS <= until_ns and (at == len(ends) or ends[at] + _SLACK_NS >= since_ns)
    ]


@dataclass(slots=True)
class _File:
    path: Path
    size: int
    packets: int = 0
    began: float = 0.0
    taken: bool = False


class Spool:
    """A folder of rotating captures.

    Parameters
    ----------
    folder : where they stand; what is there already counts towards the limit, and is not followed.
    linktype : of the frames.
    keep_bytes : what all files together may take; a file takes an eighth of it at most.
    rotate_s : how long a file is written to.

    Attributes
    ----------
    name : of the folder.
    packets : how many were written.
    lost : how many had to go unread.
    """

    def __init__(self, folder: Path, linktype: int, keep_bytes: int, rotate_s: float = ROTATE_S) -> None:
        self.name = folder.name
        self.packets = self.lost = 0
        self._folder, self._header = folder, file_header(linktype)
        self._keep, self._rotate_s = keep_bytes, rotate_s
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._old = deque(_File(p, p.stat().st_size, taken=True) for p in sorted(folder.glob("*.pcap")))
        self._files: deque[_File] = deque()  # the last one is being written
        self._stream: IO[bytes] | None = None
        self._finished = False
        self._news = threading.Condition()
        self._file: _File | None = None  # the one that is read
        self._reading: IO[bytes] | None = None
        self._at = 0

    def append(self, block: bytes, packets: int) -> None:
        """Write whole records."""
        with self._news:
            file = self._current(len(block))
            assert self._stream is not None
            self._stream.write(block)
            file.size += len(block)
            file.packets += packets
            self.packets += packets
            self._make_room()
            self._news.notify_all()

    def finish(self) -> None:
        """Write no more; who follows comes to an end."""
        with self._news:
            self._finished = True
            if self._stream is not None:
                self._stream.close()
            self._news.notify_all()

    def follow(self, idle: Callable[[], bytes] | None = None) -> Iterator[bytes]:
        """Yield one capture, made of all the files as they are written.

        Following anew goes on where the last one stopped; only one follows at a time.

        Parameters
        ----------
        idle : makes what is yielded about once a second while nothing is written.
        """
        yield self._header
        while True:
            size = self._wait(None if idle is None else _IDLE_S)
            if size < 0:
                return
            if size == 0:
                assert idle is not None
                yield idle()
                continue
            assert self._reading is not None
            chunk = self._reading.read(min(_CHUNK, size))
            self._at += len(chunk)
            yield chunk

    def _current(self, coming: int) -> _File:
        """Return the file to write to, a new one if the last is full or old."""
        now = time.monotonic()
        if self._files:
            file = self._files[-1]
            if file.size + coming <= self._keep // 8 and now - file.began < self._rotate_s:
                return file
        if self._stream is not None:
            self._stream.close()
        path = self._folder / f"{time.time_ns()}.pcap"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._stream = os.fdopen(descriptor, "wb", buffering=0)
        self._stream.write(self._header)
        self._files.append(_File(path, len(self._header), began=now))
        return self._files[-1]

    def _make_room(self) -> None:
        total = sum(f.size for f in self._old) + sum(f.size for f in self._files)
        while total > self._keep and (self._old or len(self._files) > 1):
            gone = self._old.popleft() if self._old else self._files.popleft()
            total -= gone.size
            if not gone.taken:
                self.lost += gone.packets
            gone.path.unlink(missing_ok=True)

    def _wait(self, patience_s: float | None) -> int:
        """Wait until there is something to read.

        Returns
        -------
        How many bytes of the file that `_reading` has open; 0 if the patience ended; -1 if nothing will come.
        """
        with self._news:
            while True:
                if self._file is None:
                    if self._take():
                        continue
                    if self._finished:
                        return -1
                elif self._file.size > self._at:
                    return self._file.size - self._at
                elif self._finished or self._files[-1] is not self._file:
                    self._leave()
                    continue
                if not self._news.wait(patience_s):
                    return 0

    def _take(self) -> bool:
        """Begin to read the oldest file not yet taken; return whether there is one."""
        for file in self._files:
            if not file.taken:
                file.taken = True
                # It can be read to its end even when it is removed.
                self._file, self._reading, self._at = file, file.path.open("rb"), len(self._header)
                self._reading.seek(self._at)
                return True
        return False

    def _leave(self) -> None:
        assert self._reading is not None
        self._reading.close()
        self._file = self._reading = None
