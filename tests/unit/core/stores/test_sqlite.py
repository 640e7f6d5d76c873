"""What is the SQLite store's own: the file, its mode, its versions, its failures."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from qwarden.core.errors import StoreError
from qwarden.core.events import UnknownEvent
from qwarden.core.stores import schema
from qwarden.core.stores.sqlite import SqliteStore
from qwarden.core.stores.tables import metadata


def some(n: int) -> list[UnknownEvent]:
    return [UnknownEvent(time=float(i), room="r", kind="k", content={"i": i}) for i in range(n)]


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_its_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.touch(mode=0o644)
    store = SqliteStore(path)
    store.append(some(3))
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes == {"s.db": 0o600, "s.db-wal": 0o600, "s.db-shm": 0o600}


def test_it_is_set_up_for_concurrent_readers_and_durability(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    with store._reading() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 10_000}


def test_migrations_end_in_the_tables_of_the_code(tmp_path: Path) -> None:
    def shape(path: Path) -> set[tuple[str, ...]]:
        rows = sqlite3.connect(path).execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        return {(t, n, " ".join((sql or "").split())) for t, n, sql in rows if "alembic" not in n}

    SqliteStore(tmp_path / "migrated.db").close()
    metadata.create_all(create_engine(f"sqlite:///{tmp_path}/made.db"))
    assert shape(tmp_path / "migrated.db") == shape(tmp_path / "made.db")
    assert ScriptDirectory(str(schema.MIGRATIONS)).get_heads() == [schema.NEWEST]


def test_opening_again_needs_no_migration(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "s.db").close()
    code = f"""
import sys
from qwarden.core.stores.sqlite import SqliteStore
SqliteStore({str(tmp_path / "s.db")!r})
sys.exit("alembic" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_several_processes_may_make_it_at_once(tmp_path: Path) -> None:
    code = f"""
from qwarden.core.stores.sqlite import SqliteStore
from qwarden.core.events import UnknownEvent
SqliteStore({str(tmp_path / "s.db")!r}).append([UnknownEvent(time=1.0, room="r", kind="k", content={{}})])
"""
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert SqliteStore(tmp_path / "s.db").last_seq() == 2


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    SqliteStore(path).close()
    execute(path, "UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(StoreError, match=r"s\.db: was written by a newer Qwarden \(store version 0999"):
        SqliteStore(path)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    execute(path, "CREATE TABLE cookies (name TEXT)")
    with pytest.raises(StoreError, match=r"s\.db: holds the tables of another program \(cookies\)"):
        SqliteStore(path)
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("cookies",)]


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"s\.db: the file is damaged, or no SQLite database"):
        SqliteStore(path)


def read_everything(path: Path) -> None:
    store = SqliteStore(path)
    list(store.event_texts(1, 2000))
    store.events(limit=2000)


def test_damage_is_found_and_the_file_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    store.append(some(2000))
    store.check()
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 4))
    with pytest.raises(StoreError, match=r"s\.db: the file is damaged"):
        SqliteStore(path).check()
    with pytest.raises(StoreError, match=r"s\.db: "):
        read_everything(path)


def test_a_full_disk_is_named_and_nothing_is_half_stored(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    store.append(first := some(1))
    with store._engine.connect() as connection:  # the pool has this one connection
        connection.exec_driver_sql("PRAGMA max_page_count = 40")
    with pytest.raises(StoreError, match=r"s\.db: the disk is full"):
        store.append(some(5000))
    assert [stored.event for stored in store.after(0)] == first
    store.check()


def test_a_locked_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = SqliteStore(path, busy_timeout_s=0.05)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"s\.db: locked"):
        store.append(some(1))
    assert store.count() == 0  # readers do not wait
    other.close()
    store.append(some(1))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/s\.db: No such file or directory"):
        SqliteStore(tmp_path / "nowhere" / "s.db")


def test_short_ids_are_found_by_an_index(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    store.append(some(10))
    with store._engine.connect() as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT * FROM events WHERE id >= 'a' AND id < 'ag'"
                " OR substr(id, 25) >= 'a' AND substr(id, 25) < 'ag'"
            )
        ).all()
    assert any("events_last_group" in row.detail for row in plan)
    assert not any(row.detail.startswith("SCAN") for row in plan)


def test_a_failure_that_is_not_the_databases_is_named_too(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    with pytest.raises(StoreError, match=r"s\.db: no such table: elsewhere"), store._reading() as connection:
        connection.exec_driver_sql("SELECT * FROM elsewhere")
    with pytest.raises(StoreError, match=r"s\.db: .*too_many"), store._reading() as connection:
        connection.execute(text("SELECT :too_many"))


@pytest.mark.parametrize("change", ["time = 'noon'", "body = 5", "body = '{'", "body = '[]'"])
def test_a_value_of_the_wrong_type_is_named(tmp_path: Path, change: str) -> None:
    path = tmp_path / "s.db"
    SqliteStore(path).append(some(1))
    execute(path, f"UPDATE events SET {change}")
    with pytest.raises(StoreError, match=r"s\.db: "):
        SqliteStore(path).events()
