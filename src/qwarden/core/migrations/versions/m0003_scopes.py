"""An exception may name the two ends of a conversation apart."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; what stands has neither."""
    op.add_column("list_entries", sa.Column("source", sa.Text))
    op.add_column("list_entries", sa.Column("destination", sa.Text))
