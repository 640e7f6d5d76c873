"""The store in one SQLite file.

Write-ahead log, so that readers and one writer do not wait for each other; synchronous=NORMAL, so that
a killed process loses nothing and a power cut at most the last transactions. The file is private (mode
0600), and so are the ``-wal`` and ``-shm`` files that SQLite makes beside it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from qwarden.core.clock import Clock
from qwarden.core.errors import StoreError
from qwarden.core.stores import schema
from qwarden.core.stores.sql import SqlStore

BUSY_TIMEOUT_S = 10.0

# Primary result codes, https://www.sqlite.org/rescode.html; extended ones begin with one of them.
_PLAIN = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_BUSY": "locked: another process has been writing to it for too long",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_NOTADB": "the file is damaged, or no SQLite database",
    "SQLITE_READONLY": "the file cannot be written to",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_IOERR": "the disk reports an error",
}

_INSERT = (
    "INSERT INTO events (seq, id, time, room, kind, body) VALUES (:seq, :id, :time, :room, :kind, :body)"
)


class SqliteStore(SqlStore):
    """A store in a file.

    Parameters
    ----------
    path : the file; made (mode 0600) if it is not there, migrated if it is old. Its folder must exist.
    clock : dates the audit entries of appends.
    busy_timeout_s : how long to wait for another process's transaction.

    Raises
    ------
    StoreError
        The file cannot be opened, is locked or damaged, belongs to another program, or was written by a
        newer version.
    """

    def __init__(
        self, path: str | Path, clock: Clock | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self.path = Path(path).absolute()
        super().__init__(_engine(self.path, busy_timeout_s), str(self.path), clock)
        self._make_private()
        with self._writing() as connection:
            try:
                schema.upgrade(connection)
            except StoreError as error:
                raise StoreError(f"{self.path}: {error}") from error

    def _make_private(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o600)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def check(self) -> None:
        """Run SQLite's integrity check, which reads the whole file."""
        with self._reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if found != "ok":
            raise StoreError(f"{self.path}: the file is damaged: {found}")

    def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        # Past SQLAlchemy's handling of parameters, which costs more than SQLite's work.
        connection.exec_driver_sql(_INSERT, rows)

    def _plain(self, error: SQLAlchemyError) -> str:
        cause = error.orig if isinstance(error, DBAPIError) else None
        if isinstance(cause, sqlite3.Error):
            name = getattr(cause, "sqlite_errorname", "") or ""
            for code, plain in _PLAIN.items():
                if name.startswith(code):
                    return plain
            return str(cause)
        return str(error)


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin below, not by guess
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: one that began as a reader could not wait for it later.
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
