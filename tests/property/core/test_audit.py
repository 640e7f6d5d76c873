"""No single value of the chain, or of an event under it, can be changed unseen."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwarden.core.audit import Audit
from qwarden.core.errors import AuditError
from qwarden.core.events import UnknownEvent
from qwarden.core.store import open_store

EVENTS = 12
COLUMNS = {
    "events": ["seq", "id", "time", "room", "kind", "body"],
    "audit": ["seq", "time", "actor", "action", "event_id", "body", "previous", "hash"],
    "heads": ["audit_count", "audit_hash"],
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    store = open_store(home)
    for start in range(0, EVENTS, 3):
        store.append(
            [
                UnknownEvent(time=float(n), room="r", kind="k", content={"n": n})
                for n in range(start, start + 3)
            ]
        )
        Audit(store).record("ann", "something.changed", {"at": start}, event_id="e")
    store.close()
    return home / "qwarden.db"


targets = st.sampled_from([(table, column) for table, columns in COLUMNS.items() for column in columns])


@given(targets, st.integers(0, EVENTS - 1), st.text('0123456789abcdef.:{}"', max_size=5) | st.integers(0, 99))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_is_seen(
    written: Path, tmp_path: Path, target: tuple[str, str], row: int, value: str | int
) -> None:
    table, column = target
    path = tmp_path / "qwarden.db"
    for stale in tmp_path.iterdir():
        stale.unlink()
    shutil.copy(written, path)
    connection = sqlite3.connect(path)
    rowids = [r for (r,) in connection.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]
    which = rowids[row % len(rowids)]
    [before] = connection.execute(f"SELECT * FROM {table} WHERE rowid = ?", (which,)).fetchall()
    try:
        connection.execute(f"UPDATE OR FAIL {table} SET {column} = ? WHERE rowid = ?", (value, which))
    except sqlite3.IntegrityError:  # the number or id of another row
        connection.close()
        return
    connection.commit()
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    connection.close()
    audit = Audit(store := open_store(tmp_path))
    if before in rows:  # the value it had
        audit.verify()
    else:
        with pytest.raises(AuditError, match=r"\d"):
            audit.verify()
    store.close()
