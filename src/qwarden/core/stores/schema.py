"""Brings a store's tables to the version this code knows.

Versions are alembic revisions in `qwarden.core.migrations`, numbered ``0001``, ``0002`` ... Alembic is only
imported when there is something to migrate.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from qwarden.core.errors import StoreError

NEWEST = "0003"
MIGRATIONS = Path(__file__).parent.parent / "migrations"


def version(connection: Connection) -> str | None:
    """Return the version of the tables; None for an empty database."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))
    if tables:
        raise StoreError(f"holds the tables of another program ({', '.join(sorted(tables)[:3])})")
    return None


def upgrade(connection: Connection) -> None:
    """Migrate to `NEWEST`, within the connection's transaction.

    Raises
    ------
    StoreError
        The tables are of a newer version, or another program's.
    """
    found = version(connection)
    if found == NEWEST:
        return
    if found is not None and found > NEWEST:
        raise StoreError(f"was written by a newer Qwarden (store version {found}, this one reads {NEWEST})")
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config,
        script,
        fn=lambda revision, _: script._upgrade_revs("head", revision),
        destination_rev="head",
    ) as context:
        context.configure(connection=connection)
        context.run_migrations()
