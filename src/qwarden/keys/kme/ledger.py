"""The file under a key store: SQLite, one process at a time, on disk when a transaction is left.

Deleted rows are overwritten in the file (`secure_delete`); what a journal still holds of them is sealed, and
`tidy` empties the journal.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from qwarden.core.errors import ConfigError, KeySupplyError, QwardenError

FILE: Final = "keys.db"
LOCK: Final = "keys.lock"
SCHEMA: Final = 1

_TABLES: Final = """
create table blocks (
    id text primary key, peer text not null, origin text not null, method text not null,
    epsilon real not null, bits integer not null, stored real not null);
create table quanta (
    row integer primary key, block text not null, n integer not null, peer text not null,
    own integer not null, origin text not null, sealed blob not null, unique (block, n));
create index quanta_drawn on quanta (peer, own, origin, row);
create table keys (
    id text primary key, peer text not null, master text not null, waiting text not null,
    origin text not null, epsilon real not null, bits integer not null, made real not null,
    sealed blob not null);
create table pools (peer text primary key, renewed real not null, used integer not null);
"""


class Ledger:
    """The open file of a folder; safe for threads.

    Parameters
    ----------
    folder : holds ``keys.db`` and ``keys.lock`` (mode 0600).

    Raises
    ------
    KeySupplyError
        Another process has it open, or it is damaged or of another version.
    ConfigError
        The folder is missing or not writable.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._mutex = threading.Lock()
        self._held = _lock(folder / LOCK)
        try:
            with self._storing():
                self._db = self._open()
        except BaseException:
            os.close(self._held)
            raise

    def close(self) -> None:
        """Let go of the file."""
        with self._mutex:
            self._db.close()
            os.close(self._held)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it is left."""
        with self._mutex, self._storing():
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:  # SQLite may have rolled back by itself
                    self._db.execute("rollback")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Look at what is stored."""
        with self._mutex, self._storing():
            yield self._db

    def tidy(self) -> None:
        """Empty the journal, which may hold sealed keys that are gone from the tables."""
        with self.reading() as db:
            db.execute("pragma wal_checkpoint(truncate)")

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        self._path.chmod(0o600)
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for pragma in ("locking_mode = exclusive", "journal_mode = wal", "synchronous = full"):
            db.execute(f"pragma {pragma}")
        db.execute("pragma secure_delete = on")
        version = db.execute("pragma user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"begin; {_TABLES} pragma user_version = {SCHEMA}; commit;")
        elif version != SCHEMA:
            db.close()
            raise KeySupplyError(f"{self._path}: is of version {version}; this is version {SCHEMA}")
        return db

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except QwardenError:
            raise
        except sqlite3.Error as error:
            raise KeySupplyError(f"{self._path}: {error}") from error


def _lock(path: Path) -> int:
    """Take the lock of a folder for as long as this process lives; it is let go even by a kill."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(path, "key store", (error.strerror or str(error)).lower()) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise KeySupplyError(f"{path.parent}: in use by another process (id {holder})") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle
