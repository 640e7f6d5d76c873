"""A file that grows, is rotated, cut and replaced: its bytes as they come, no line lost or taken twice.

Only whole lines of a log are handed on; the last one waits for its end. Nothing is looked into but where
lines end, and which lines begin with ``#``: after a restart those at the head of the file come first, so
that the fields of a Zeek log are known.

What is noticed, at each look:

- *renamed*, and another file has the name: the old one is read until nobody writes to it any more, then
  what rotation put between them (packed or not), then the new one.
- *cut* (copy and truncate), or written anew in place: what was not yet read is looked for in a copy beside
  it, then the file is read from its start.
- *gone*: what is open is read on, until another file has the name.

A capture is handed on byte by byte; the file that follows it is a source of its own.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from qwarden.core.errors import UnreadableError
from qwarden.formats.kinds import CAPTURE_MAGICS, HEAD, kind_of
from qwarden.formats.listeners.listener import Heard
from qwarden.formats.listeners.trail import (
    Packed,
    Place,
    Trail,
    holds,
    is_copy,
    is_packed,
    resume_packed,
    siblings,
)

LOOK_EVERY_S: Final = 0.25
QUIET_S: Final = 1.0
"""A file that lost its name and has not grown for so long is done with."""
KEEP_EVERY_S: Final = 1.0
_CHUNK: Final = 1 << 20
_MOST_HEADER: Final = 1 << 16
_NUMBER: Final = re.compile(rb"""(?:^|[\s,;|"'])[0-9]""")
_GZIP: Final = b"\x1f\x8b"
_REMEMBERED: Final = 64
"""Files read to their end whose copies are known."""
_DEATHS: Final = 2
"""A reader that dies so often at one place is not given the same lines again."""


def _nothing() -> str | None:
    return None


def _forget(text: str) -> None:
    del text


class FollowListener:
    """Follows one file; see `qwarden.formats.listeners.listener.Listener`.

    Parameters
    ----------
    path : the file; it may come later, its folder must be there.
    recall, keep : return and keep the place up to which its lines are dealt with (`Place.text`).
    """

    def __init__(
        self, path: Path, recall: Callable[[], str | None] = _nothing, keep: Callable[[str], None] = _forget
    ) -> None:
        self.name, self.heard, self.failed = str(path), Heard(), ""
        self._path, self._recall, self._keep = path, recall, keep
        self._stopping = threading.Event()
        self._file: IO[bytes] | None = None
        self._trail: Trail | None = None
        self._lines = 0  # of this source, handed on
        self._marks: deque[tuple[int, Place]] = deque()
        self._settled: Place | None = None
        self._kept_at = 0.0
        self._unkept = False
        self._more, self._is_capture = False, False
        self._deaths = 0
        self._left: Trail | None = None  # of the file before, if what rotation put behind it is not read yet
        self._done: deque[Place] = deque(maxlen=_REMEMBERED)  # files that were read to their end
        self._lock = threading.Lock()

    @property
    def more(self) -> bool:
        """Whether another capture has the name now."""
        return self._more and not self._stopping.is_set()

    def open(self) -> None:
        """Look whether it can be followed.

        Raises
        ------
        UnreadableError
            Its folder is not there, it is a directory, a gzip, or may not be read.
        """
        if not self._path.parent.is_dir():
            raise UnreadableError(self._path, "there is no such folder to wait in")
        if self._path.is_dir():
            raise UnreadableError(self._path, "is a directory; expected a file that grows")
        try:
            if self._path.exists() and is_packed(self._path):
                raise UnreadableError(self._path, "is a gzip, which does not grow; read it as it is")
        except OSError as error:
            raise UnreadableError(self._path, (error.strerror or "cannot be opened").lower()) from None
        told = self._recall()
        self._settled = Place.parse(told) if told else None

    def blocks(self) -> Iterator[bytes]:
        """Yield whole lines, or a capture's bytes, as they come."""
        self._more, self._lines = False, 0
        with self._lock:
            self._marks.clear()
        if self._file is None:
            yield from self._resume()
        elif not self._is_capture:
            yield from self._header()
        quiet_since, size_before = 0.0, -1
        while True:
            last_look = self._stopping.is_set()
            if self._file is not None or self._open():
                assert self._file is not None
                if self._left is not None:
                    yield from self._between()
                if self._is_anew():
                    yield from self._start_anew()
                else:
                    yield from self._grown()
                    size = os.fstat(self._file.fileno()).st_size
                    if size != size_before:
                        quiet_since, size_before = time.monotonic(), size
                    elif self._has_lost_its_name() and time.monotonic() - quiet_since >= QUIET_S:
                        yield from self._leave()
                        size_before = -1
            if self._more or last_look:
                return
            if not self._stopping.wait(LOOK_EVERY_S):
                yield b""  # whoever takes it sees whether the reader is still there

    def settled(self, lines: int) -> None:
        """Keep the place up to which so many lines lead."""
        with self._lock:
            while self._marks and self._marks[0][0] <= lines:
                self._settled = self._marks.popleft()[1]
                self._unkept, self._deaths = True, 0
        if self._unkept and time.monotonic() - self._kept_at >= KEEP_EVERY_S:
            self._keep_place()

    def died(self, done: int) -> None:
        """Go back to the place up to which lines are dealt with, unless that was tried before."""
        self._deaths += 1
        if self._is_capture:
            self.heard.note("the process reading it has ended; the capture is read anew")
            self._close_file()
            return
        if self._deaths < _DEATHS:
            self.heard.note("the process reading it has ended; what it left undone is read again")
            self._close_file()
            return
        lost = max(self._lines - done, 0)
        self.heard.lost += lost
        self._deaths = 0
        self.heard.note("the process reading it has ended twice at one place; what it held is lost")

    def stop(self) -> None:
        """Come to an end after what is there now."""
        self._stopping.set()

    def close(self) -> None:
        """Close the file, and keep the place."""
        self._close_file()
        if self._unkept:
            self._keep_place()

    def _keep_place(self) -> None:
        if self._settled is not None:
            self._keep(self._settled.text())
        self._unkept, self._kept_at = False, time.monotonic()

    # The file under the name

    def _open(self) -> bool:
        """Open the file that has the name, once it says what it is."""
        try:
            stream = self._path.open("rb", buffering=0)
        except OSError:
            return False
        head = os.pread(stream.fileno(), 4, 0)
        if len(head) < 4 and not head.endswith(b"\n"):
            stream.close()
            return False
        if head[:2] == _GZIP:
            self.heard.note("a gzip has its name now, which does not grow; waiting for another file")
            stream.close()
            return False
        self._file, self._is_capture = stream, head in CAPTURE_MAGICS
        self._trail = Trail(os.fstat(stream.fileno()))
        return True

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._trail = None

    def _has_lost_its_name(self) -> bool:
        """Whether another file has the name, and says what it is."""
        assert self._trail is not None
        try:
            status = self._path.stat()
        except OSError:
            return False
        ours = self._trail.status
        return (status.st_dev, status.st_ino) != (ours.st_dev, ours.st_ino) and status.st_size > 0

    def _is_anew(self) -> bool:
        """Whether the file does not begin with what was read of it."""
        assert self._file is not None
        assert self._trail is not None
        status, before = os.fstat(self._file.fileno()), self._trail.status
        if status.st_size == before.st_size and status.st_mtime_ns == before.st_mtime_ns:
            return False
        if not holds(self._file.fileno(), self._trail.place):
            return True
        self._trail.status = status
        return False

    # What is handed on

    def _hand_on(self, data: bytes, trail: Trail) -> Iterator[bytes]:
        """Yield lines, and mark the place behind them."""
        trail.take(data)
        count = data.count(b"\n")
        self._lines += count
        self.heard.lines += count
        with self._lock:
            self._marks.append((self._lines, trail.place))
        yield data

    def _grown(self) -> Iterator[bytes]:
        """Yield what has come since the last look: of a log, whole lines."""
        assert self._file is not None
        assert self._trail is not None
        fd, trail = self._file.fileno(), self._trail
        while data := os.pread(fd, _CHUNK, trail.offset):
            if self._is_capture:
                trail.take(data)
                yield data
                continue
            end = data.rfind(b"\n") + 1
            if end == 0:
                if len(data) < _CHUNK:
                    return
                end = len(data)  # longer than any line that is kept; the reader says so
            yield from self._hand_on(data[:end], trail)

    def _rest(self, read: Callable[[int], bytes], trail: Trail) -> Iterator[bytes]:
        """Yield all that follows in a file nobody writes to; a last line without end is given one."""
        rest = b""
        while data := read(_CHUNK):
            data = rest + data
            end = data.rfind(b"\n") + 1
            if end == 0 and len(data) >= _CHUNK:
                end = len(data)
            rest = data[end:]
            if end:
                yield from self._hand_on(data[:end], trail)
        if rest:
            yield from self._end_line(rest, trail)

    def _end_line(self, rest: bytes, trail: Trail) -> Iterator[bytes]:
        trail.take(rest)
        self._lines += 1
        self.heard.lines += 1
        with self._lock:
            self._marks.append((self._lines, trail.place))
        yield rest + b"\n"

    def _header(self) -> Iterator[bytes]:
        """Yield the lines at the head of the file that say what the others mean."""
        assert self._file is not None
        assert self._trail is not None
        head = os.pread(self._file.fileno(), min(_MOST_HEADER, self._trail.offset), 0)
        yield from self._names_of_columns(head)

    def _names_of_columns(self, head: bytes) -> Iterator[bytes]:
        """Yield Zeek's lines with ``#``; or a table's names, a line where no field begins with a digit."""
        end = 0
        while line_end := head.find(b"\n", end) + 1:
            line = head[end:line_end].strip()
            is_comment = line.startswith(b"#")
            if not is_comment and (line[:1] in (b"", b"{", b"[") or _NUMBER.search(line)):
                break
            end = line_end
            if not is_comment:
                break
        if end:
            self._lines += head.count(b"\n", 0, end)
            yield head[:end]

    # What rotation did

    def _leave(self) -> Iterator[bytes]:
        """Finish the file that lost its name, and what was put between it and the next one."""
        assert self._file is not None
        assert self._trail is not None
        trail = self._trail
        if self._is_capture:
            self._close_file()
            self._more = True
            return
        rest = os.pread(self._file.fileno(), _CHUNK, trail.offset)
        if rest:
            yield from self._end_line(rest, trail)
        self._close_file()
        self._left = trail

    def _start_anew(self) -> Iterator[bytes]:
        """Finish what was cut, as far as a copy of it can be found, and begin at the start."""
        assert self._trail is not None
        if self._is_capture:
            self._close_file()
            self._more = True
            return
        left, place = self._trail, self._trail.place
        copy = self._find(place)
        if copy is None:
            self.heard.note(
                f"it was cut or written anew behind byte {place.offset}, and no copy of it was found: "
                "what came between the last look and that is lost"
            )
        else:
            yield from self._rest_of(*copy)
            left = copy[0]
            left.changed_ns = place.changed_ns
        assert self._file is not None
        self._trail, self._left = Trail(os.fstat(self._file.fileno())), left

    def _resume(self) -> Iterator[bytes]:
        """Find the place again up to which lines are dealt with, and hand on what follows it elsewhere."""
        place = self._settled
        if place is None or place.offset == 0:
            return
        if self._open():
            assert self._file is not None
            if self._is_capture:
                return
            if holds(self._file.fileno(), place):
                self._trail = Trail.resumed(self._file.fileno(), place.offset)
                yield from self._header()
                return
            self._close_file()
        found = self._find(place)
        if found is None:
            self.heard.note(
                "the file that was read before is not here any more; the one that is is read whole"
            )
            return
        yield from self._rest_of(*found, header=True)
        self._left = found[0]
        self._left.changed_ns = place.changed_ns

    def _find(self, place: Place) -> tuple[Trail, Packed | IO[bytes], IO[bytes]] | None:
        """Return the file beside ours that holds what was read, open behind `place`."""
        for path in reversed(siblings(self._path)):
            try:
                if is_packed(path):
                    packed = resume_packed(path, place)
                    if packed is not None:
                        return packed
                    continue
                stream = path.open("rb")
                if holds(stream.fileno(), place):
                    stream.seek(place.offset)
                    return Trail.resumed(stream.fileno(), place.offset), stream, stream
                stream.close()
            except OSError:
                continue  # it has gone, or may not be read
        return None

    def _rest_of(
        self, trail: Trail, source: Packed | IO[bytes], stream: IO[bytes], header: bool = False
    ) -> Iterator[bytes]:
        with stream:
            if header:
                yield from self._names_of_columns(trail.head)
            yield from self._rest(source.read, trail)

    def _between(self) -> Iterator[bytes]:
        """Yield the files that were written after the one that was left and before the one that is open."""
        assert self._file is not None
        assert self._left is not None
        left, self._left = self._left, None
        self._done.append(left.place)
        fd = self._file.fileno()
        kind, since_ns = kind_of(left.head), left.place.changed_ns
        again = bool(kind)
        while again:  # whoever packs a file may take it away while we look
            again = False
            ours = Trail.resumed(fd, os.fstat(fd).st_size).place
            for path in siblings(self._path):
                try:
                    if path.stat().st_mtime_ns < since_ns or self._is_known(path, ours):
                        continue
                    if self._kind(path) != kind:
                        continue
                    stream = path.open("rb")
                except OSError:
                    again = True
                    break
                with stream:
                    source = Packed(stream) if is_packed(path) else stream
                    trail = Trail(os.fstat(stream.fileno()))
                    yield from self._rest(source.read, trail)
                    self._done.append(trail.place)
            # Cut meanwhile: the copy of what was open, which was passed over, is all there is of it.
            again = again or not holds(fd, ours)

    def _is_known(self, path: Path, ours: Place) -> bool:
        """Whether a file is the one that is open, or one that was read, or a copy of one of them."""
        if path.suffix == ".gz" and path.with_suffix("").exists():
            return True  # it is not finished; what it is made of is there
        return any(place.offset and is_copy(path, place) for place in (ours, *self._done))

    @staticmethod
    def _kind(path: Path) -> str:
        """Return the format of a file, by its first bytes."""
        with path.open("rb") as stream:
            source = Packed(stream) if is_packed(path) else stream
            return kind_of(source.read(HEAD))
