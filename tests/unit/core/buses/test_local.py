"""The bus's contract, held by the local bus."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from qwarden.core.bus import SubscriberFailed, open_bus
from qwarden.core.errors import StoreError, UsageError
from qwarden.core.events import Event
from qwarden.core.store import Store, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Event):
    room: ClassVar[str] = "test"
    kind: ClassVar[str] = "tick"

    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tock(Event):
    room: ClassVar[str] = "test"
    kind: ClassVar[str] = "tock"

    n: int


def ticks(*numbers: int) -> list[Tick]:
    return [Tick(time=float(n), n=n) for n in numbers]


def failing_on(n: int, times: int, heard: list[int]):  # type: ignore[no-untyped-def]
    left = [times]

    def handler(event: Event) -> None:
        assert isinstance(event, Tick)
        if event.n == n and left[0] > 0:
            left[0] -= 1
            raise RuntimeError("no luck")
        heard.append(event.n)

    return handler


def test_events_are_stored_before_they_are_delivered(store: Store) -> None:
    bus = open_bus(store)
    stored_when_heard = []
    bus.subscribe(lambda event: stored_when_heard.append(store.get(event.id) == event))
    bus.publish(*ticks(1, 2))
    assert stored_when_heard == [True, True]


def test_what_could_not_be_stored_is_not_delivered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = open_bus(store)
    heard: list[Event] = []
    bus.subscribe(heard.append)

    def full(_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "append", full)
    with pytest.raises(StoreError, match="full"):
        bus.publish(*ticks(1))
    assert heard == []


def test_subscribers_choose_by_room_and_kind(store: Store) -> None:
    bus = open_bus(store)
    everything: list[Event] = []
    tocks: list[Event] = []
    named: list[Event] = []
    bus.subscribe(everything.append)
    bus.subscribe(tocks.append, room="test", kind="tock")
    bus.subscribe(named.append, name="tocks", kind="tock")
    bus.subscribe(everything.append, room="elsewhere")
    tick, tock = Tick(time=1, n=1), Tock(time=1, n=2)
    bus.publish(tick, tock)
    assert (everything, tocks, named) == ([tick, tock], [tock], [tock])


def test_publishing_again_delivers_nothing_twice(store: Store) -> None:
    bus = open_bus(store)
    heard: list[Event] = []
    bus.subscribe(heard.append, name="n")
    events = ticks(1, 2)
    bus.publish(*events)
    bus.publish(*events)
    assert heard == events
    assert bus.drain() == 0


def test_a_named_subscriber_resumes_where_it_was(store: Store, tmp_path: Path) -> None:
    before, after = open_bus(store), open_bus(open_store(tmp_path))
    heard: list[Event] = []
    subscription = before.subscribe(heard.append, name="n")
    events = ticks(*range(6))
    before.publish(*events[:2])
    subscription.close()
    before.publish(*events[2:4])
    after.subscribe(heard.append, name="n")
    assert heard == events[:2]
    assert after.drain() == 2
    after.publish(*events[4:])
    assert heard == events


def test_what_was_missed_comes_first(store: Store, tmp_path: Path) -> None:
    bus, elsewhere = open_bus(store), open_bus(open_store(tmp_path))
    heard: list[Event] = []
    bus.subscribe(heard.append, name="n")
    events = ticks(*range(1200))
    elsewhere.publish(*events[:1199])
    bus.publish(events[1199])
    assert heard == events


def test_a_new_name_begins_now_or_with_the_first_event(store: Store) -> None:
    bus = open_bus(store)
    events = ticks(1, 2)
    bus.publish(*events)
    late: list[Event] = []
    whole: list[Event] = []
    bus.subscribe(late.append, name="late")
    bus.subscribe(whole.append, name="whole", from_start=True)
    assert bus.drain() == 2
    assert (late, whole) == ([], events)


def test_a_name_is_taken_once(store: Store) -> None:
    bus = open_bus(store)
    subscription = bus.subscribe(print, name="n")
    with pytest.raises(UsageError, match="'n' already"):
        bus.subscribe(print, name="n")
    subscription.close()
    subscription.close()
    bus.subscribe(print, name="n")


def test_others_go_on_when_one_fails_and_it_is_said(store: Store) -> None:
    bus = open_bus(store)
    failing: list[int] = []
    good: list[Event] = []
    bus.subscribe(failing_on(1, 9, failing))
    bus.subscribe(good.append, kind="tick")
    events = ticks(1, 2)
    bus.publish(*events)
    assert (failing, good) == ([2], events)
    [said] = store.events(kind="subscriber_failed")
    assert isinstance(said, SubscriberFailed)
    assert (said.event_id, said.error) == (events[0].id, "RuntimeError: no luck")
    assert "failing_on" in said.subscriber


def test_a_named_subscriber_is_offered_an_event_again_in_order(store: Store) -> None:
    bus = open_bus(store)
    heard: list[int] = []
    bus.subscribe(failing_on(1, 2, heard), name="n", kind="tick")
    bus.publish(*ticks(0, 1, 2))
    assert heard == [0]
    bus.publish(*ticks(3))
    assert heard == [0]
    bus.publish(*ticks(4))
    assert heard == [0, 1, 2, 3, 4]
    assert store.count(kind="subscriber_failed") == 0


def test_a_named_subscriber_is_passed_over_after_three_failures(store: Store) -> None:
    bus = open_bus(store)
    heard: list[int] = []
    bus.subscribe(failing_on(1, 9, heard), name="n", kind="tick")
    events = ticks(0, 1, 2)
    bus.publish(*events)
    assert bus.drain() == 1
    assert heard == [0, 2]
    [said] = store.events(kind="subscriber_failed")
    assert isinstance(said, SubscriberFailed)
    assert (said.subscriber, said.event_id) == ("n", events[1].id)


def test_failing_on_the_news_of_a_failure_ends(store: Store) -> None:
    bus = open_bus(store)

    def hopeless(event: Event) -> None:
        raise ValueError("always")

    bus.subscribe(hopeless)
    bus.publish(*ticks(1))
    assert [event.kind for event in store.events()] == ["subscriber_failed", "tick"]


def test_what_a_handler_publishes_comes_after_what_was_published_before(store: Store) -> None:
    bus = open_bus(store)
    first: list[tuple[str, int]] = []
    second: list[tuple[str, int]] = []

    def answering(event: Event) -> None:
        first.append((event.kind, event.n))  # type: ignore[attr-defined]
        if isinstance(event, Tick):
            bus.publish(Tock(time=event.time, n=event.n))
            assert bus.drain() == 0

    bus.subscribe(answering)
    bus.subscribe(lambda e: second.append((e.kind, e.n)), name="n")  # type: ignore[attr-defined]
    bus.publish(*ticks(1, 2))
    assert first == second == [("tick", 1), ("tick", 2), ("tock", 1), ("tock", 2)]


def test_each_publishers_order_is_kept_across_threads(store: Store) -> None:
    bus = open_bus(store)
    heard: list[Tick] = []
    bus.subscribe(heard.append, name="n")  # type: ignore[arg-type]

    def publish(start: int) -> None:
        for n in range(start, start + 30):
            bus.publish(*ticks(n))

    threads = [threading.Thread(target=publish, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bus.drain()
    assert heard == [stored.event for stored in store.after(0)]
    for start in (0, 100, 200):
        assert [t.n for t in heard if start <= t.n < start + 100] == list(range(start, start + 30))


def test_draining_waits_for_a_delivery_in_another_thread(store: Store) -> None:
    bus = open_bus(store)
    entered, go_on = threading.Event(), threading.Event()
    heard: list[Event] = []

    def slow(event: Event) -> None:
        entered.set()
        assert go_on.wait(30)
        heard.append(event)

    bus.subscribe(slow, name="n")
    events = ticks(1, 2)
    publisher = threading.Thread(target=bus.publish, args=events)
    publisher.start()
    assert entered.wait(30)
    bus.publish(*(more := ticks(3)))  # queued behind, and not waited for
    assert heard == []
    threading.Timer(0.05, go_on.set).start()
    assert bus.drain() == 0
    assert heard == events + more
    publisher.join()


def test_a_subscriber_may_close_itself(store: Store) -> None:
    bus = open_bus(store)
    heard: list[Event] = []

    def once(event: Event) -> None:
        heard.append(event)
        subscription.close()

    subscription = bus.subscribe(once, name="n")
    events = ticks(1, 2)
    bus.publish(*events)
    assert heard == events[:1]


def test_an_interrupted_delivery_leaves_the_rest_for_the_next(store: Store) -> None:
    bus = open_bus(store)
    heard: list[int] = []

    def interrupted_once(event: Event) -> None:
        assert isinstance(event, Tick)
        if event.n == 1 and 1 not in heard:
            heard.append(1)
            raise KeyboardInterrupt
        heard.append(event.n)

    bus.subscribe(interrupted_once, name="n")
    with pytest.raises(KeyboardInterrupt):
        bus.publish(*ticks(0, 1, 2))
    assert store.cursor("n") == 1
    assert bus.drain() == 2
    assert heard == [0, 1, 1, 2]


CHILD = """
import os, signal, sys
from qwarden.core.bus import open_bus
from qwarden.core.events import UnknownEvent
from qwarden.core.store import open_store

home, killed_at = sys.argv[1], int(sys.argv[2])
bus = open_bus(open_store(home))

def handler(event):
    if event.content["n"] == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)  # stored, and not yet delivered
    print(event.content["n"], flush=True)

bus.subscribe(handler, name="n")
for n in range(10):
    bus.publish(UnknownEvent(time=float(n), room="test", kind="count", content={"n": n}))
"""


def test_nothing_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "4"], capture_output=True, text=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    delivered = [int(line) for line in child.stdout.split()]
    assert delivered == [0, 1, 2, 3]
    store = open_store(tmp_path)
    store.check()
    bus = open_bus(store)
    resumed: list[int] = []
    bus.subscribe(lambda event: resumed.append(event.body()["n"]), name="n")  # type: ignore[arg-type]
    bus.drain()
    assert resumed == [4]  # what had been published, behind what had been dealt with
    assert store.count() == 5
