from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from qwarden.core.audit import Audit, Head
from qwarden.core.errors import AuditError
from qwarden.core.store import Store, open_store


class FixedClock:
    def now(self) -> float:
        return 1700000000.5


@pytest.fixture
def audit(store: Store, ping: type) -> Audit:
    audit = Audit(store, FixedClock())
    audit.record("ann", "user.added", {"user": "bob", "roles": ["viewer"]})
    store.append([ping(time=float(n), n=n) for n in range(3)])
    audit.record("detect", "model.trained", {"loss": 0.25}, event_id="e-1")
    store.append([ping(time=3.0, n=3)])
    return audit


def tamper(tmp_path: Path, *statements: str) -> Audit:
    connection = sqlite3.connect(tmp_path / "qwarden.db")
    for statement in statements:
        assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()
    return Audit(open_store(tmp_path))


def test_the_hash_is_what_the_documentation_says(audit: Audit) -> None:
    first, second, *_ = audit.entries()
    sealed = (
        '{"action":"user.added","actor":"ann","body":{"roles":["viewer"],"user":"bob"},"event_id":null,'
        f'"previous":"{"0" * 64}","seq":1,"time":1700000000.5}}'
    )
    assert first.hash == hashlib.sha256(sealed.encode()).hexdigest()
    assert second.previous == first.hash


def test_storing_events_is_chained(audit: Audit, store: Store) -> None:
    entry = list(audit.entries())[1]
    lines = "".join(f"{stored.event.to_json()}\n" for stored in store.after(0, limit=3))
    assert (entry.actor, entry.action) == ("store", "events.stored")
    assert entry.body == {"first": 1, "last": 3, "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def test_an_untouched_log_verifies(audit: Audit, tmp_path: Path) -> None:
    head = audit.head()
    assert head.count == 4
    assert audit.verify() == audit.verify(head) == Audit(open_store(tmp_path)).verify() == head


def test_an_empty_log_verifies(store: Store) -> None:
    assert Audit(store).verify() == Head(0, "0" * 64)


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE audit SET actor = 'eve' WHERE seq = 3"], "entry 3: its content was changed"),
        (["UPDATE audit SET body = '{\"loss\":0.1}' WHERE seq = 3"], "entry 3: its content was changed"),
        (["UPDATE audit SET body = '{' WHERE seq = 3"], "entry 3: its content was changed"),
        (["UPDATE audit SET time = 5 WHERE seq = 1"], "entry 1: its content was changed"),
        (["UPDATE audit SET hash = 'x' WHERE seq = 2"], "entry 2: its content was changed"),
        (["UPDATE audit SET previous = 'x' WHERE seq = 2"], "entry 2: does not follow"),
        (["DELETE FROM audit WHERE seq = 2"], "entry 2 is missing"),
        (["DELETE FROM audit WHERE seq = 4"], "entry 4 is missing: 4 were written"),
        (["DELETE FROM audit"], "entry 1 is missing: 4 were written"),
        (["UPDATE heads SET audit_count = 3"], "ends with .*count=4.*, but .*count=3.* was written"),
        (["UPDATE heads SET audit_hash = 'x'"], "ends with .*, but .*hash='x'.* was written"),
        (["UPDATE events SET body = '{\"n\":9}' WHERE seq = 2"], "entry 2: events number 1 to 3"),
        (["UPDATE events SET time = 9 WHERE seq = 4"], "entry 4: events number 4 to 4"),
        (["DELETE FROM events WHERE seq = 4"], "entry 4: events number 4 to 4"),
        (
            ["INSERT INTO events SELECT 5, 'x', time, room, kind, body FROM events WHERE seq = 1"],
            "event number 5 is not covered",
        ),
        (
            [
                "DELETE FROM audit WHERE seq = 4",
                "UPDATE heads SET audit_count = 3, audit_hash = (SELECT hash FROM audit WHERE seq = 3)",
            ],
            "event number 4 is not covered",
        ),
    ],
)
def test_tampering_is_named(audit: Audit, tmp_path: Path, statements: list[str], problem: str) -> None:
    with pytest.raises(AuditError, match=problem):
        tamper(tmp_path, *statements).verify()


def test_a_chain_cut_with_care_is_seen_only_by_an_exported_head(audit: Audit, tmp_path: Path) -> None:
    exported = audit.head()
    cut = tamper(
        tmp_path,
        "DELETE FROM events WHERE seq = 4",
        "DELETE FROM audit WHERE seq = 4",
        "UPDATE heads SET last_event = 3, audit_count = 3",
        "UPDATE heads SET audit_hash = (SELECT hash FROM audit WHERE seq = 3)",
    )
    cut.verify()  # the documented limit
    with pytest.raises(AuditError, match="has 3 entries, the exported head 4"):
        cut.verify(exported)
    cut.record("eve", "covering.up")
    with pytest.raises(AuditError, match="entry 4 is not the one that was exported"):
        cut.verify(exported)


def test_an_older_exported_head_lies_on_the_chain(audit: Audit, store: Store) -> None:
    exported = audit.head()
    audit.record("ann", "user.removed", json.loads("{}"))
    audit.verify(exported)


@pytest.mark.parametrize("before", [0, 3])
def test_verifying_while_others_write_is_no_alarm(
    before: int, store: Store, ping: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(before):
        store.append([ping(time=0.0, n=n)])
    last_seq: Callable[[], int] = store.last_seq
    writes = iter([4, 5])

    def last_seq_while_others_write() -> int:
        for n in writes:
            store.append([ping(time=float(n), n=n)])
            break
        return last_seq()

    monkeypatch.setattr(store, "last_seq", last_seq_while_others_write)
    assert Audit(store).verify().count == before + 2


def test_the_stores_own_action_is_reserved(audit: Audit) -> None:
    with pytest.raises(ValueError, match="by the store alone"):
        audit.record("eve", "events.stored", {})
