"""Exceptions: what they cover, that they hold, that they end when they should."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from qwarden.core.audit import Audit
from qwarden.core.clock import TrafficClock
from qwarden.core.errors import StoreError, UsageError
from qwarden.core.lists import IGNORE, NEVER_ACT, Lists, Scope, Subject
from qwarden.core.store import Store, open_store
from qwarden.core.stores.sqlite import SqliteStore

NOW = 1_000_000.0
HOST = Subject(addresses=("192.0.2.1", "10.1.2.3"), port=443, kind="beacon")


@pytest.fixture
def wall() -> TrafficClock:
    return TrafficClock(NOW)


@pytest.fixture
def lists(store: Store, wall: TrafficClock) -> Lists:
    return Lists(store, wall=wall)


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope(network="10.0.0.0/8"), True),
        (Scope(network="10.1.2.3"), True),
        (Scope(network="::ffff:10.1.2.3"), True),
        (Scope(network="::ffff:10.0.0.0/104"), True),
        (Scope(network="192.0.2.0/24", port=443, kind="beacon"), True),
        (Scope(network="::/0"), False),
        (Scope(source="10.1.2.3"), False),
        (Scope(network="11.0.0.0/8"), False),
        (Scope(network="10.0.0.0/8", port=80), False),
        (Scope(network="10.0.0.0/8", kind="dead_c2"), False),
        (Scope(network="10.0.0.0/8", user="ada"), False),
        (Scope(port=443), True),
        (Scope(kind="beacon"), True),
        (Scope(host="db-1"), False),
    ],
)
def test_all_that_a_scope_names_must_fit(scope: Scope, covered: bool) -> None:
    assert scope.covers(HOST) is covered


def test_names_are_compared_without_case() -> None:
    scope = Scope(host="DB-1", user="Ada")
    assert scope.covers(Subject(host="db-1", user="ADA"))
    assert not scope.covers(Subject(host="db-1"))
    assert not scope.covers(Subject(host="db-2", user="ada"))


@pytest.mark.parametrize(
    ("scope", "problem"),
    [
        ({}, "a scope needs"),
        ({"network": "10.0.0.5/8"}, r"host bits set: write 10\.0\.0\.0/8, or the address 10\.0\.0\.5 alone"),
        ({"network": "10.0.0"}, "network 10.0.0: "),
        ({"port": 65536}, "expected 0 to 65535"),
        ({"port": -1}, "expected 0 to 65535"),
        ({"kind": " "}, "kind ''"),
        ({"user": "a\x1b[2J"}, "printable"),
        ({"host": "\ud800"}, "printable"),
    ],
)
def test_a_scope_that_means_nothing_is_refused(scope: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Scope(**scope)  # type: ignore[arg-type]


def test_lists_are_apart(lists: Lists) -> None:
    entry = lists.add(NEVER_ACT, Scope(network="10.0.0.0/8"), reason="domain controllers", author="ada")
    assert lists.match(NEVER_ACT, HOST, at=0) == entry
    assert lists.match(IGNORE, HOST, at=0) is None
    assert lists.rules(IGNORE) == []
    assert lists.entries(NEVER_ACT) == [entry]
    assert lists.entries(IGNORE) == []


def test_an_exception_outlives_the_process(lists: Lists, tmp_path: Path, wall: TrafficClock) -> None:
    entry = lists.add(
        IGNORE, Scope(network="10.0.0.0/8", host="db-1", user="ada", port=443, kind="beacon"),
        reason="backup", author="ada", expires=NOW + 60, timing="wall",
    )  # fmt: skip
    assert Lists(open_store(tmp_path), wall=wall).entries() == [entry]
    assert entry.created == NOW


def test_traffic_time_ends_an_entry_whatever_the_wall_clock_says(lists: Lists, wall: TrafficClock) -> None:
    lists.add(IGNORE, Scope(port=443), reason="test", author="ada", expires=5000.0)
    wall.advance(NOW + 1e9)
    assert lists.match(IGNORE, HOST, at=4999.9)
    assert not lists.match(IGNORE, HOST, at=5000.0)
    assert [rule.until for rule in lists.rules(IGNORE)] == [5000.0]


def test_wall_time_ends_an_entry_whatever_the_traffic_says(lists: Lists, wall: TrafficClock) -> None:
    entry = lists.add(IGNORE, Scope(port=443), reason="test", author="ada", expires=NOW + 60, timing="wall")
    wall.advance(NOW + 59.9)
    assert lists.match(IGNORE, HOST, at=1e12)
    assert len(lists.rules(IGNORE)) == 1
    wall.advance(NOW + 60)
    assert not lists.match(IGNORE, HOST, at=0)
    assert lists.rules(IGNORE) == []
    assert lists.entries() == [entry]  # and it stays on record


def test_a_removed_entry_stays_on_record(lists: Lists, wall: TrafficClock) -> None:
    entry = lists.add(IGNORE, Scope(port=443), reason="test", author="ada")
    wall.advance(NOW + 5)
    removed = lists.remove(entry.id, reason="no longer", author="bob")
    assert lists.match(IGNORE, HOST, at=0) is None
    assert lists.entries() == [removed]
    assert removed.removed
    assert (removed.removed.time, removed.removed.author, removed.removed.reason) == (
        NOW + 5,
        "bob",
        "no longer",
    )
    with pytest.raises(UsageError, match="was removed already"):
        lists.remove(entry.id, reason="again", author="bob")


def test_entries_are_found_by_a_piece_of_their_id(lists: Lists) -> None:
    first = lists.add(IGNORE, Scope(port=1), reason="test", author="ada")
    lists.add(IGNORE, Scope(port=2), reason="test", author="ada")
    with pytest.raises(UsageError, match=f"may mean several entries: {first.id}"):
        lists.remove(first.id[:4], reason="test", author="ada")
    for part in ("", "zzz"):
        with pytest.raises(UsageError, match="there is no entry"):
            lists.remove(part, reason="test", author="ada")
    assert lists.remove(first.id.rpartition("-")[2].upper(), reason="test", author="ada").id == first.id


def test_the_platform_cannot_override_a_person(lists: Lists) -> None:
    person = lists.add(IGNORE, Scope(network="10.0.0.0/8"), reason="ours", author="ada")
    lists.add(
        IGNORE, Scope(network="10.0.0.0/8"), reason="learnt", author="detect", origin="automatic", expires=1.0
    )
    with pytest.raises(UsageError, match="only a person removes it"):
        lists.remove(person.id, reason="looked hostile", author="respond", origin="automatic")
    assert lists.match(IGNORE, HOST, at=1e12) == person


def test_the_platform_may_end_its_own_and_a_person_both(lists: Lists) -> None:
    entries = [
        lists.add(IGNORE, Scope(port=443), reason="learnt", author="detect", origin="automatic")
        for _ in range(2)
    ]
    lists.remove(entries[0].id, reason="over", author="detect", origin="automatic")
    lists.remove(entries[1].id, reason="wrong", author="ada")
    assert lists.match(IGNORE, HOST, at=0) is None


def test_a_persons_entry_is_named_first(lists: Lists) -> None:
    lists.add(IGNORE, Scope(port=443), reason="learnt", author="detect", origin="automatic")
    person = lists.add(IGNORE, Scope(port=443), reason="ours", author="ada")
    assert lists.match(IGNORE, HOST, at=0) == person


def test_settings_and_people_add_up(store: Store) -> None:
    lists = Lists(store, ignore=("10.1.2.3/8", "2001:db8::/32"))  # the settings allow host bits
    found = lists.match(IGNORE, HOST, at=0)
    assert found
    assert (found.origin, found.scope.network) == ("settings", "10.0.0.0/8")
    person = lists.add(IGNORE, Scope(network="10.0.0.0/8"), reason="ours", author="ada")
    assert lists.match(IGNORE, HOST, at=0) == person
    assert len(lists.entries()) == 3
    with pytest.raises(UsageError, match=r"take it out of detect\.ignore"):
        lists.remove("settings-0", reason="test", author="ada")


def test_a_running_process_sees_what_another_adds(
    lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr("qwarden.core.lists.time.monotonic", lambda: next(clock))
    assert lists.match(IGNORE, HOST, at=0) is None
    entry = Lists(open_store(tmp_path)).add(IGNORE, Scope(port=443), reason="test", author="ada")
    assert lists.match(IGNORE, HOST, at=0) == entry
    Lists(open_store(tmp_path)).remove(entry.id, reason="test", author="ada")
    assert lists.match(IGNORE, HOST, at=0) is None


def test_every_change_is_audited_with_it(lists: Lists, store: Store) -> None:
    entry = lists.add(IGNORE, Scope(port=443), reason="noise", author="ada")
    lists.remove(entry.id, reason="fixed", author="bob")
    added, removed = Audit(store).entries()
    assert (added.actor, added.action, added.body) == ("ada", "list.added", entry.document())
    assert (removed.actor, removed.action) == ("bob", "list.removed")
    assert removed.body == {"id": entry.id, "reason": "fixed"}
    assert Audit(store).verify().count == 2


def test_what_is_refused_leaves_no_trace(lists: Lists, store: Store) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"reason": " "}, "reason"),
        ({"author": ""}, "author"),
        ({"reason": "x" * 1001}, "reason"),
        ({"expires": float("nan")}, "expected seconds"),
        ({"expires": NOW, "timing": "wall"}, "lies in the past"),
        ({"origin": "settings"}, "written there"),
        ({"list": "block"}, "there is no list 'block'"),
    ]
    for change, problem in wrong:
        call = {"list": IGNORE, "reason": "r", "author": "a"} | change
        with pytest.raises(UsageError, match=problem):
            lists.add(scope=Scope(port=1), **call)  # type: ignore[arg-type]
    assert lists.entries() == []
    assert Audit(store).head().count == 0
    with pytest.raises(UsageError, match="no store"):
        Lists().add(IGNORE, Scope(port=1), reason="r", author="a")
    with pytest.raises(UsageError, match=r"detect\.ignore: "):
        Lists(ignore=("nowhere",))


def test_rules_join_networks_and_leave_names_out(lists: Lists) -> None:
    for network in ("10.0.0.0/9", "10.128.0.0/9", "192.0.2.1"):
        lists.add(IGNORE, Scope(network=network), reason="test", author="ada")
    lists.add(IGNORE, Scope(network="10.0.0.0/8", kind="beacon"), reason="test", author="ada")
    lists.add(IGNORE, Scope(user="ada"), reason="test", author="ada")
    [everything, beacons] = sorted(lists.rules(IGNORE), key=lambda rule: rule.kind or "")
    assert everything.kind is None
    assert everything.addresses
    assert beacons.addresses
    mapped = 0xFFFF << 32
    assert everything.addresses.ranges == [
        (mapped + 0x0A000000, mapped + 0x0AFFFFFF), (mapped + 0xC0000201, mapped + 0xC0000201),
    ]  # fmt: skip
    assert beacons.addresses.holds("10.200.0.1")
    lists.add(IGNORE, Scope(port=53), reason="test", author="ada")
    assert [rule.addresses for rule in lists.rules(IGNORE) if rule.port == 53] == [None]


def test_a_store_of_the_version_before_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "qwarden.db"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE list_entries")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.commit()
    connection.close()
    lists = Lists(open_store(tmp_path))
    entry = lists.add(IGNORE, Scope(port=443), reason="test", author="ada")
    assert Lists(open_store(tmp_path)).entries() == [entry]


def test_the_two_ends_of_a_conversation_are_told_apart() -> None:
    there = Subject(source="10.1.2.3", destination="192.0.2.1", port=443, kind="beacon")
    assert Scope(source="10.0.0.0/8", destination="192.0.2.1", kind="beacon").covers(there)
    assert Scope(network="192.0.2.1").covers(there)
    assert not Scope(source="192.0.2.1").covers(there)
    assert not Scope(destination="10.0.0.0/8").covers(there)


def test_an_entry_of_both_ends_comes_back_from_the_store(lists: Lists, tmp_path: Path) -> None:
    entry = lists.add(
        IGNORE, Scope(source="10.1.2.3", destination="192.0.2.0/24", port=21), reason="test", author="ada"
    )
    assert Lists(open_store(tmp_path)).entries() == [entry]


def test_an_entry_that_was_changed_in_the_file_is_named(lists: Lists, tmp_path: Path) -> None:
    lists.add(IGNORE, Scope(network="10.0.0.0/8"), reason="test", author="ada")
    connection = sqlite3.connect(tmp_path / "qwarden.db")
    connection.execute("UPDATE list_entries SET network = 'everything'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"a list's entry was changed: network everything"):
        lists.entries()
