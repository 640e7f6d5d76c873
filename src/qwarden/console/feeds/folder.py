"""A folder of captures and logs: each is read once, when nobody writes to it any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from qwarden.console.events import SourceRead
from qwarden.console.feeds.reading import SourceReader
from qwarden.core.errors import Interrupted, UnreadableError
from qwarden.core.files import sha256_file
from qwarden.formats import format_of
from qwarden.formats.kinds import READ, ZEEK_TRANSACTIONS

if TYPE_CHECKING:
    from qwarden.core.store import Store

_LOOK_EVERY_S: Final = 1.0
QUIET_S: Final = 30.0
"""Where the system does not say whether a file is being written: finished after so long unchanged."""


class _State(NamedTuple):
    """What changes when a file does."""

    size: int
    mtime_ns: int
    inode: int


class FolderFeed:
    """Reads the captures and logs of a folder, now and as they come.

    A file is read when its writer has closed it. What was read is remembered by its content, in the
    store: a file that is renamed, or found again after a restart, is not read twice; one that has
    grown is new content and read anew. So is one whose reading was interrupted.

    Parameters
    ----------
    path : the folder, searched to the bottom; or one capture or log.
    reader : reads them.
    store : remembers what was read.
    """

    def __init__(self, path: Path, reader: SourceReader, store: Store) -> None:
        self._path, self._reader, self._store = path, reader, store
        self._done: dict[Path, _State] = {}
        self._changed: dict[Path, tuple[_State, float]] = {}

    def open(self) -> None:
        """Look whether it is there."""
        if not os.access(self._path, os.R_OK):
            problem = "does not exist or may not be read; expected a folder of captures"
            raise UnreadableError(self._path, problem)

    def run(self, stop: threading.Event) -> None:
        """Look for captures and read them until asked to stop."""
        known = self._read_before()
        with contextlib.suppress(Interrupted):
            while not stop.is_set():
                self._reader.watch.doing = f"watching {self._path} for captures"
                for path, state in self._finished():
                    content = _content(path)
                    if content and content not in known:
                        self._reader.read(path, stop, sha256=content)
                        known.add(content)
                    self._done[path] = state
                stop.wait(_LOOK_EVERY_S)

    def _read_before(self) -> set[str]:
        known, after = set(), 0
        while page := self._store.after(after, room=SourceRead.room, kind=SourceRead.kind):
            known |= {stored.event.sha256 for stored in page if isinstance(stored.event, SourceRead)}
            after = page[-1].seq
        return known

    def _finished(self) -> list[tuple[Path, _State]]:
        """Return what is new or changed and no longer written to, the oldest first.

        Before them all come Zeek's logs that tell what was said within the flows of the others.
        """
        found = []
        for path in _files(self._path):
            try:
                status = path.stat()
                state = _State(status.st_size, status.st_mtime_ns, status.st_ino)
                if self._done.get(path) == state:
                    continue
                if self._is_finished(path, state):
                    kind = format_of(path)
                    if kind in READ:
                        found.append((kind not in ZEEK_TRANSACTIONS, path, state))
                    else:
                        self._done[path] = state
            except OSError:
                continue  # it has gone, or may not be read
        found.sort(key=lambda item: (item[0], item[2].mtime_ns, item[1]))
        return [(path, state) for _, path, state in found]

    def _is_finished(self, path: Path, state: _State) -> bool:
        written = being_written(path)
        if written is not None:
            return not written
        before, since = self._changed.get(path, (None, 0.0))
        if before != state:
            self._changed[path] = (state, time.monotonic())
            return False
        return time.monotonic() - since >= QUIET_S


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [
        Path(place, name)
        for place, _, names in os.walk(path)
        for name in names
        if not name.startswith(".")  # as a file is called until it is whole
    ]


def _content(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return ""


def being_written(path: Path) -> bool | None:
    """Say whether some process has a file open for writing; None where the system does not tell.

    A read lease is granted only on a file that nobody has open for writing (fcntl(2), F_SETLEASE); it is
    given back at once. Files of other users, and most network file systems, grant none.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Whoever opens it for writing meanwhile has us told by a signal. The usual one would end us.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False
