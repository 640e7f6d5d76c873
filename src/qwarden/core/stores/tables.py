"""The tables, as `migrations` leaves them.

Nothing here is SQLite's own: the same tables serve PostgreSQL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    literal_column,
)

metadata = MetaData()

# SQLite's own row number must be declared INTEGER, which has 64 bits there.
Number = BigInteger().with_variant(Integer, "sqlite")

events = Table(
    "events",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("id", String(36), nullable=False, unique=True),
    Column("time", Float, nullable=False),
    Column("room", String(32), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Index("events_time", "time", "id"),
    Index("events_kind", "room", "kind", "time", "id"),
)

# People type the start of an id's last group; see `Event.short_id`.
last_group = literal_column("substr(id, 25)", String)
Index("events_last_group", last_group, _table=events)

audit = Table(
    "audit",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("time", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("event_id", String(36)),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("seq", Number, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# One row. Whoever appends reads and writes it first, which makes writers queue, numbers them without a
# gap, and keeps the audit log's end in a second place.
heads = Table(
    "heads",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("last_event", Number, nullable=False),
    Column("audit_count", Number, nullable=False),
    Column("audit_hash", String(64), nullable=False),
)

# Exceptions that people made; see `qwarden.core.lists.ListEntry`. A row is changed once, when it is removed.
list_entries = Table(
    "list_entries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("list", String(16), nullable=False),
    Column("network", Text),
    Column("host", Text),
    Column("user", Text),
    Column("port", Integer),
    Column("kind", Text),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("origin", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("timing", String(16), nullable=False),
    Column("removed", Float),
    Column("removed_by", Text),
    Column("removed_why", Text),
    Column("source", Text),
    Column("destination", Text),
)
