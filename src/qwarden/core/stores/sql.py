"""What every SQL store does the same way; a database's module adds how to open it and name its errors."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    bindparam,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from qwarden.core.audit import STORED, AuditEntry, Head, digest_events
from qwarden.core.clock import Clock, WallClock
from qwarden.core.errors import AuditError, InputError, StoreError, UsageError
from qwarden.core.events import Event, compose, from_parts
from qwarden.core.files import Json, canonical_text
from qwarden.core.lists import ListEntry, Removal, Scope
from qwarden.core.store import Stored
from qwarden.core.stores.tables import audit, cursors, events, heads, last_group, list_entries, settings

PAGE = 500
"""Rows read at a time by the iterators, so that no transaction stays open while they are used."""


class SqlStore:
    """A store on a SQLAlchemy engine; see `qwarden.core.store.Store`, which it implements.

    Parameters
    ----------
    engine : migrated already. A connection opened with the option ``write=True`` shall begin its
        transaction so that no other writer can come between.
    name : what errors call the store.
    clock : dates the audit entries of appends.
    """

    def __init__(self, engine: Engine, name: str, clock: Clock | None = None) -> None:
        self._engine, self._name, self._clock = engine, name, clock or WallClock()
        self._writing_engine = engine.execution_options(write=True)
        self._lock = threading.Lock()

    # Events

    def append(self, new: Sequence[Event]) -> list[Stored]:
        """Store events and chain them; see the contract."""
        by_id: dict[str, Event] = {}
        for event in new:
            by_id.setdefault(event.id, event)
        rows = {id: _row(event) for id, event in by_id.items()}
        with self._writing() as connection:
            for known in _known(connection, list(rows)):
                del rows[known]
            if not rows:
                return []
            seq, head = _ends(connection)
            for number, row in enumerate(rows.values(), seq + 1):
                row["seq"] = number
            self._insert(connection, list(rows.values()))
            body: Json = {
                "first": seq + 1,
                "last": seq + len(rows),
                "sha256": digest_events(map(_text, rows.values())),
            }
            entry = AuditEntry.chain(
                head, time=self._clock.now(), actor="store", action=STORED, event_id=None, body=body
            )
            _chain(connection, entry, seq + len(rows))
        return [Stored(row["seq"], by_id[id]) for id, row in rows.items()]

    def get(self, id: str) -> Event | None:
        """Return the event of this full id."""
        found = self._events(select(events).where(events.c.id == id))
        return found[0].event if found else None

    def find(self, part: str, *, room: str | None = None, kind: str | None = None) -> Event:
        """Return the one event whose id, or its last group, begins with `part`."""
        start = part.strip().lower()
        if not re.fullmatch("[0-9a-f-]+", start):
            raise UsageError(f"{part!r} is no id: expected hexadecimal digits")
        # "g" sorts behind everything an id may go on with.
        begins = or_(
            (events.c.id >= start) & (events.c.id < start + "g"),
            (last_group >= start) & (last_group < start + "g"),
        )
        query = select(events).where(begins, *_chosen(room, kind)).order_by(events.c.seq).limit(4)
        found = [stored.event for stored in self._events(query)]
        what = kind or "event"
        if not found:
            raise UsageError(f"there is no {what} {part}")
        if len(found) > 1:
            some = ", ".join(event.id for event in found[:3]) + (", ..." if len(found) > 3 else "")
            raise UsageError(f"{part} may mean several {what}s: {some}")
        return found[0]

    def events(
        self,
        *,
        room: str | None = None,
        kind: str | None = None,
        since: float | None = None,
        until: float | None = None,
        older_than: Event | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Return events, newest first."""
        query = select(events).where(*_chosen(room, kind, since, until))
        if older_than is not None:
            query = query.where(tuple_(events.c.time, events.c.id) < (older_than.time, older_than.id))
        query = query.order_by(events.c.time.desc(), events.c.id.desc()).limit(limit)
        return [stored.event for stored in self._events(query)]

    def count(
        self,
        *,
        room: str | None = None,
        kind: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> int:
        """Return how many events there are."""
        query = select(func.count()).select_from(events).where(*_chosen(room, kind, since, until))
        with self._reading() as connection:
            return connection.scalars(query).one()

    def after(
        self, seq: int, *, room: str | None = None, kind: str | None = None, limit: int = PAGE
    ) -> list[Stored]:
        """Return the events stored after number `seq`, in order."""
        query = select(events).where(events.c.seq > seq, *_chosen(room, kind))
        return self._events(query.order_by(events.c.seq).limit(limit))

    def last_seq(self) -> int:
        """Return the number of the event stored last."""
        with self._reading() as connection:
            return connection.scalars(_LAST_SEQ).one() or 0

    def event_texts(self, first: int, last: int) -> Iterator[str]:
        """Yield the canonical JSON of events number `first` to `last`."""
        for start in range(first, last + 1, PAGE):
            within = events.c.seq.between(start, min(start + PAGE - 1, last))
            with self._reading() as connection:
                rows = connection.execute(select(events).where(within).order_by(events.c.seq)).all()
            for row in rows:
                try:
                    yield compose(row.id, row.time, row.room, row.kind, row.body)
                except (TypeError, ValueError):  # SQLite takes a text for a number
                    yield f"no event: {tuple(row)!r}"  # as no hash covers

    # Cursors and settings

    def cursor(self, subscriber: str) -> int | None:
        """Return the number of the event a subscriber has dealt with last."""
        with self._reading() as connection:
            return connection.scalar(_CURSOR, {"who": subscriber})

    def move_cursor(self, subscriber: str, seq: int) -> None:
        """Remember that a subscriber has dealt with everything up to `seq`."""
        with self._writing() as connection:
            moved = connection.execute(_MOVE_CURSOR, {"who": subscriber, "to": seq})
            if moved.rowcount == 0 and connection.scalar(_CURSOR, {"who": subscriber}) is None:
                connection.execute(insert(cursors), {"subscriber": subscriber, "seq": seq})

    def setting(self, key: str) -> str | None:
        """Return a value kept by `keep_setting`."""
        with self._reading() as connection:
            return connection.scalar(select(settings.c.value).where(settings.c.key == key))

    def keep_setting(self, key: str, value: str) -> None:
        """Keep a small value under a key."""
        with self._writing() as connection:
            # An update, or an insert if there was nothing: every database has both, and no writer is between.
            changed = connection.execute(
                update(settings).where(settings.c.key == key).values(value=value)
            ).rowcount
            if not changed:
                connection.execute(insert(settings), {"key": key, "value": value})

    # The audit log

    def add_audit(
        self, *, time: float, actor: str, action: str, event_id: str | None, body: Json
    ) -> AuditEntry:
        """Chain one entry to the audit log."""
        with self._writing() as connection:
            return _record(connection, time=time, actor=actor, action=action, event_id=event_id, body=body)

    def audit_entries(self, after: int = 0) -> Iterator[AuditEntry]:
        """Yield the audit log's entries with numbers above `after`."""
        while True:
            query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(PAGE)
            with self._reading() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            for row in rows:
                yield _entry(row)
            after = rows[-1].seq

    def audit_head(self) -> Head:
        """Return count and head hash of the audit log."""
        with self._reading() as connection:
            return _ends(connection)[1]

    # The lists

    def add_list_entry(self, entry: ListEntry) -> None:
        """Keep an entry of a list and chain that it was added."""
        with self._writing() as connection:
            connection.execute(insert(list_entries), _list_row(entry))
            _record(
                connection, time=self._clock.now(), actor=entry.author, action="list.added",
                body=entry.document(),
            )  # fmt: skip

    def end_list_entry(self, id: str, removal: Removal) -> bool:
        """Note that an entry was removed and chain it."""
        stands = (list_entries.c.id == id) & list_entries.c.removed.is_(None)
        ended = {"removed": removal.time, "removed_by": removal.author, "removed_why": removal.reason}
        with self._writing() as connection:
            if not connection.execute(update(list_entries).where(stands).values(ended)).rowcount:
                return False
            _record(
                connection, time=self._clock.now(), actor=removal.author, action="list.removed",
                body={"id": id, "reason": removal.reason},
            )  # fmt: skip
        return True

    def list_entries(self) -> list[ListEntry]:
        """Return all entries, in the order of adding."""
        with self._reading() as connection:
            rows = connection.execute(select(list_entries).order_by(list_entries.c.id)).all()
        try:
            return [_list_entry(row) for row in rows]
        except UsageError as error:
            raise StoreError(f"{self._name}: a list's entry was changed: {error}") from error

    # The database

    def check(self) -> None:
        """Look for damage; a database's module knows how."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _events(self, query: Select[Any]) -> list[Stored]:
        with self._reading() as connection:
            rows = connection.execute(query).all()
        try:
            return [Stored(r.seq, from_parts(r.id, r.time, r.room, r.kind, r.body)) for r in rows]
        except (InputError, TypeError, ValueError) as error:
            raise StoreError(f"{self._name}: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._guarded(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # The lock is fair among this process's threads, which the database's own waiting is not.
        with self._lock, self._guarded(), self._writing_engine.begin() as connection:
            yield connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StoreError(f"{self._name}: {self._plain(error)}") from error

    def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Insert events; a database's module may know a faster way."""
        connection.execute(insert(events), rows)

    def _plain(self, error: SQLAlchemyError) -> str:
        """Say in plain words what a database error means."""
        return str(error)


# Statements of the hot path, built once: building them costs more than running them.
_ENDS = select(heads)
_MOVE_ENDS = update(heads).values(
    {name: bindparam(name) for name in ("last_event", "audit_count", "audit_hash")}
)
_ADD_AUDIT = insert(audit)
_GREATEST_ID = select(func.max(events.c.id))
_LAST_SEQ = select(func.max(events.c.seq))
_CURSOR = select(cursors.c.seq).where(cursors.c.subscriber == bindparam("who"))
_MOVE_CURSOR = (
    update(cursors)
    .where(cursors.c.subscriber == bindparam("who"), cursors.c.seq < bindparam("to"))
    .values(seq=bindparam("to"))
)


def _row(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "time": event.time,
        "room": event.room,
        "kind": event.kind,
        "body": canonical_text(event.body()),
    }


def _text(row: dict[str, Any]) -> str:
    return compose(row["id"], row["time"], row["room"], row["kind"], row["body"])


def _known(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Return those of the ids that are stored already."""
    greatest = connection.scalars(_GREATEST_ID).one()
    if not ids or greatest is None or min(ids) > greatest:
        return []  # as a rule: ids grow with time
    return [
        id
        for start in range(0, len(ids), PAGE)
        for id in connection.scalars(select(events.c.id).where(events.c.id.in_(ids[start : start + PAGE])))
    ]


def _chosen(
    room: str | None, kind: str | None, since: float | None = None, until: float | None = None
) -> list[ColumnElement[bool]]:
    chosen = []
    if room is not None:
        chosen.append(events.c.room == room)
    if kind is not None:
        chosen.append(events.c.kind == kind)
    if since is not None:
        chosen.append(events.c.time >= since)
    if until is not None:
        chosen.append(events.c.time < until)
    return chosen


def _ends(connection: Connection) -> tuple[int, Head]:
    """Return the number of the last event, and the head of the audit chain."""
    row = connection.execute(_ENDS).one()
    if not isinstance(row.last_event, int) or not isinstance(row.audit_count, int):
        raise AuditError(f"the ends of events and audit log were changed: {tuple(row)}")
    return row.last_event, Head(row.audit_count, row.audit_hash)


def _record(
    connection: Connection, *, time: float, actor: str, action: str, body: Json, event_id: str | None = None
) -> AuditEntry:
    """Chain an audit entry that is about no append."""
    seq, head = _ends(connection)
    entry = AuditEntry.chain(head, time=time, actor=actor, action=action, event_id=event_id, body=body)
    _chain(connection, entry, seq)
    return entry


def _chain(connection: Connection, entry: AuditEntry, last_event: int) -> None:
    """Add an entry and note the new ends."""
    row = {column.name: getattr(entry, column.name) for column in audit.columns}
    connection.execute(_ADD_AUDIT, row | {"body": canonical_text(entry.body)})
    connection.execute(
        _MOVE_ENDS, {"last_event": last_event, "audit_count": entry.seq, "audit_hash": entry.hash}
    )


def _entry(row: Row[Any]) -> AuditEntry:
    try:
        body = json.loads(row.body)
    except (TypeError, ValueError) as error:
        raise AuditError(f"audit entry {row.seq}: its content was changed") from error
    return AuditEntry(row.seq, row.time, row.actor, row.action, row.event_id, body, row.previous, row.hash)


def _list_row(entry: ListEntry) -> dict[str, Any]:
    own = ("id", "list", "reason", "author", "origin", "created", "expires", "timing")
    return {name: getattr(entry, name) for name in own} | entry.scope.given()


def _list_entry(row: Row[Any]) -> ListEntry:
    return ListEntry(
        id=row.id, list=row.list, reason=row.reason, author=row.author, origin=row.origin,
        created=row.created, expires=row.expires, timing=row.timing,
        scope=Scope(
            network=row.network, source=row.source, destination=row.destination, host=row.host, user=row.user,
            port=row.port, kind=row.kind,
        ),
        removed=None
        if row.removed is None
        else Removal(time=row.removed, author=row.removed_by, reason=row.removed_why),
    )  # fmt: skip
