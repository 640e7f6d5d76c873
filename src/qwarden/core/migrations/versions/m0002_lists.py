"""The entries of the lists `ignore` and `never-act`."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "list_entries",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("list", sa.String(16), nullable=False),
        sa.Column("network", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("port", sa.Integer),
        sa.Column("kind", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float),
        sa.Column("timing", sa.String(16), nullable=False),
        sa.Column("removed", sa.Float),
        sa.Column("removed_by", sa.Text),
        sa.Column("removed_why", sa.Text),
    )
