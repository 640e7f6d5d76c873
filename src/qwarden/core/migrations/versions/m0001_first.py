"""Events, the audit chain, cursors and settings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite's own row number must be declared INTEGER, which has 64 bits there.
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "events",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("room", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("events_time", "events", ["time", "id"])
    op.create_index("events_kind", "events", ["room", "kind", "time", "id"])
    op.create_index("events_last_group", "events", [sa.text("substr(id, 25)")])
    op.create_table(
        "audit",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("event_id", sa.String(36)),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "cursors",
        sa.Column("subscriber", sa.Text, primary_key=True),
        sa.Column("seq", NUMBER, nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    heads = op.create_table(
        "heads",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_event", NUMBER, nullable=False),
        sa.Column("audit_count", NUMBER, nullable=False),
        sa.Column("audit_hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(heads, [{"one": 1, "last_event": 0, "audit_count": 0, "audit_hash": "0" * 64}])
