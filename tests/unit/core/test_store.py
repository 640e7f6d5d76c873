"""The store's contract, held by the SQLite store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from qwarden.core.errors import ConfigError, StoreError, UsageError
from qwarden.core.events import Event, UnknownEvent
from qwarden.core.store import Store, Stored, open_store

IDS = [
    "01900000-0000-7000-8000-aaaa00000001",
    "01900000-0000-7000-8000-aaab00000002",
    "01900000-0001-7000-8000-bbbb00000003",
]


def test_events_are_numbered_in_the_order_of_storing(store: Store, ping: type) -> None:
    late, early = ping(time=9.0, n=1), ping(time=1.0, n=2)
    assert store.append([late, early]) == [Stored(1, late), Stored(2, early)]
    assert store.append([third := ping(time=5.0, n=3)]) == [Stored(3, third)]
    assert store.after(1) == [Stored(2, early), Stored(3, third)]
    assert store.last_seq() == 3


def test_storing_again_is_harmless(store: Store, ping: type) -> None:
    first, second = ping(time=1.0, n=1), ping(time=2.0, n=2)
    store.append([second])
    assert store.append([first, second, first]) == [Stored(2, first)]
    assert store.append([second]) == []
    assert store.append([]) == []
    assert store.count() == 2


def test_events_outlive_the_store(store: Store, ping: type, tmp_path: Path) -> None:
    store.append([event := ping(time=1.25, n=7)])
    store.close()
    assert open_store(tmp_path).get(event.id) == event
    assert open_store(tmp_path).get("no such id") is None


def test_unknown_events_are_kept_whole(store: Store) -> None:
    event = UnknownEvent(time=1.0, room="later", kind="new", content={"x": [1, None]})
    store.append([event])
    assert store.get(event.id) == event


def test_queries_choose_and_order(store: Store, ping: type, pong: type) -> None:
    pings = [ping(time=float(t), n=t) for t in (3, 1, 2)]
    pongs = [pong(time=float(t), n=t) for t in (2, 4)]
    store.append([*pings, *pongs])

    def times(**choice: object) -> list[float]:
        return [event.time for event in store.events(**choice)]

    assert times() == [4.0, 3.0, 2.0, 2.0, 1.0]
    assert times(kind="ping") == [3.0, 2.0, 1.0]
    assert times(room="test", kind="pong") == [4.0, 2.0]
    assert times(room="elsewhere") == []
    assert times(since=2.0, until=4.0) == [3.0, 2.0, 2.0]
    assert times(limit=2) == [4.0, 3.0]
    assert store.count(kind="ping", since=2.0) == 2
    assert [stored.event for stored in store.after(0, kind="pong")] == pongs


def test_pages_meet_without_gap_or_overlap(store: Store, ping: type) -> None:
    events = [ping(time=float(n // 4), n=n) for n in range(23)]  # many share a time
    store.append(events)
    pages: list[Event] = []
    last = None
    while page := store.events(limit=5, older_than=last):
        pages += page
        last = page[-1]
    assert pages == sorted(events, key=lambda e: (e.time, e.id), reverse=True)


def test_a_short_id_finds_its_event(store: Store, ping: type) -> None:
    events = [ping(id=id, time=1.0, n=n) for n, id in enumerate(IDS)]
    store.append(events)
    assert store.find("bbbb") == events[2]
    assert store.find(" AAAB0 ") == events[1]
    assert store.find(IDS[0]) == events[0]
    assert store.find("01900000-0001") == events[2]
    assert store.find(events[0].short_id) == events[0]


def test_an_ambiguous_or_unknown_id_is_a_usage_error(store: Store, ping: type) -> None:
    store.append([ping(id=id, time=1.0, n=n) for n, id in enumerate(IDS)])
    with pytest.raises(UsageError, match=f"aaa may mean several events: {IDS[0]}, {IDS[1]}$"):
        store.find("aaa")
    with pytest.raises(UsageError, match=r"several pings: .*"):
        store.find("019", kind="ping")
    with pytest.raises(UsageError, match="there is no pong bbbb"):
        store.find("bbbb", kind="pong")
    for part in ("", "x%", "a_b"):
        with pytest.raises(UsageError, match="is no id"):
            store.find(part)


def test_cursors_only_move_forward(store: Store) -> None:
    assert store.cursor("who") is None
    store.move_cursor("who", 0)
    assert store.cursor("who") == 0
    store.move_cursor("who", 7)
    store.move_cursor("who", 3)
    store.move_cursor("other", 1)
    assert (store.cursor("who"), store.cursor("other")) == (7, 1)


def test_settings_are_kept(store: Store, tmp_path: Path) -> None:
    assert store.setting("theme") is None
    store.keep_setting("theme", "dark")
    store.keep_setting("theme", "light")
    assert open_store(tmp_path).setting("theme") == "light"


def test_threads_may_share_it(store: Store, ping: type) -> None:
    def work(start: int) -> None:
        for n in range(start, start + 25):
            store.append([ping(time=1.0, n=n)])

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 25, 50, 75)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = store.after(0)
    assert [s.seq for s in stored] == list(range(1, 101))
    assert sorted(s.event.n for s in stored) == list(range(100))  # type: ignore[attr-defined]


def test_the_url_chooses_the_store(tmp_path: Path, ping: type) -> None:
    event = ping(time=1.0, n=1)
    open_store(tmp_path, f"sqlite:///{tmp_path}/elsewhere.db").append([event])
    assert open_store(tmp_path, "sqlite:///elsewhere.db").get(event.id) == event
    with pytest.raises(ConfigError, match=r"store\.url"):
        open_store(tmp_path, "oracle://somewhere")


def test_an_event_this_version_cannot_read_is_a_store_error(store: Store, ping: type) -> None:
    event = UnknownEvent(time=1.0, room="test", kind="ping", content={"n": "not a number"})
    store.append([event])
    with pytest.raises(StoreError, match=rf"qwarden.db: event {event.id}: n: expected test.ping"):
        store.events()
