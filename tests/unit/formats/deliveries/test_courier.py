from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qwarden.core.bus import SubscriberFailed
from qwarden.core.store import Store, open_store
from qwarden.detect import Alert, Finding
from qwarden.formats.deliveries import courier as module
from qwarden.formats.deliveries.courier import FIRST_WAIT_S, LONGEST_WAIT_S, Courier, pause_s
from qwarden.formats.delivery import TAKEN, Outcome, parse_target
from qwarden.formats.writers.notice import Notice

from ..writers.samples import finding

TARGET = parse_target("webhook+https://h/")


def stored(number: int) -> Finding:
    document = finding(id=f"019b0000-0000-7000-8000-{number:012x}")
    document["behaviour"] = document.pop("kind")
    return Finding(**document)


def alert(number: int) -> Alert:
    event = stored(number)
    id = f"019b0000-0000-7000-9000-{number:012x}"
    return Alert(id=id, time=event.time, finding_id=event.id, finding=event.document())


class Receiver:
    """A delivery that keeps what it takes, and answers as told."""

    def __init__(self, answer: Callable[[int, Notice], Outcome] = lambda _, __: TAKEN) -> None:
        self.taken: list[Notice] = []
        self.attempts = 0
        self.closed = False
        self._answer = answer

    def send(self, notice: Notice) -> Outcome:
        self.attempts += 1
        outcome = self._answer(self.attempts, notice)
        if outcome is TAKEN:
            self.taken.append(notice)
        return outcome

    def close(self) -> None:
        self.closed = True

    @property
    def ids(self) -> list[int]:
        return [int(notice.id[-12:], 16) for notice in self.taken]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def started(store: Store, home: Path, receiver: Receiver, telling: str = "both", **options: int) -> Courier:
    courier = Courier(store, TARGET, receiver, telling, home, **options)  # type: ignore[arg-type]
    courier.start()
    return courier


def ended(courier: Courier, patience_s: float = 10.0) -> object:
    courier.end(patience_s)
    return courier.join()


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.005)


def test_findings_arrive_in_order_and_once(store: Store, tmp_path: Path) -> None:
    receiver = Receiver()
    courier = started(store, tmp_path, receiver)
    for n in range(200):
        store.append([stored(n)])
    courier.wake()
    assert ended(courier) is None
    assert receiver.ids == list(range(200))
    assert receiver.closed
    assert courier.tally.taken == 200


def test_it_looks_by_itself(store: Store, tmp_path: Path) -> None:
    receiver = Receiver()
    courier = started(store, tmp_path, receiver)
    store.append([stored(1)])
    until(lambda: receiver.ids == [1])
    assert ended(courier) is None


@pytest.mark.parametrize(
    ("telling", "states"), [("both", ["opened", "closed"]), ("opened", ["opened"]), ("closed", ["whole"])]
)
def test_what_is_told_when(store: Store, tmp_path: Path, telling: str, states: list[str]) -> None:
    receiver = Receiver()
    courier = started(store, tmp_path, receiver, telling)
    store.append([alert(1)])
    store.append([stored(1)])
    assert ended(courier) is None
    assert [notice.state for notice in receiver.taken] == states


def test_a_new_target_hears_of_what_comes_and_an_old_one_of_what_it_missed(
    store: Store, tmp_path: Path
) -> None:
    store.append([stored(1)])
    first = Receiver()
    courier = started(store, tmp_path, first)
    store.append([stored(2)])
    assert ended(courier) is None
    store.append([stored(3)])
    second = Receiver()
    assert ended(started(store, tmp_path, second)) is None
    assert (first.ids, second.ids) == ([2], [3])


def test_what_fails_is_tried_until_it_is_taken(store: Store, tmp_path: Path) -> None:
    receiver = Receiver(lambda n, _: TAKEN if n > 6 else Outcome("later", "status 503"))
    courier = started(store, tmp_path, receiver)
    store.append([stored(1), stored(2)])
    until(lambda: len(receiver.taken) == 2)
    assert ended(courier) is None
    assert receiver.ids == [1, 2]
    assert (courier.tally.failures, courier.tally.trouble) == (6, "")


def test_what_nobody_takes_is_said_and_stays(store: Store, tmp_path: Path) -> None:
    away = Receiver(lambda *_: Outcome("later", "connection refused"))
    courier = started(store, tmp_path, away)
    store.append([stored(1)])
    problem = ended(courier, 0.2)
    assert problem is not None
    assert "output webhook+https://h:443" in str(problem)
    assert "connection refused" in str(problem)
    back = Receiver()
    assert ended(started(store, tmp_path, back)) is None
    assert back.ids == [1]


def test_what_is_called_wrong_is_passed_over_on_record(store: Store, tmp_path: Path) -> None:
    receiver = Receiver(lambda _, n: Outcome("never", "status 400") if n.id.endswith("02") else TAKEN)
    courier = started(store, tmp_path, receiver)
    store.append([stored(1), stored(2), stored(3)])
    assert ended(courier) is None
    assert receiver.ids == [1, 3]
    (event,) = store.events(room="core", kind="subscriber_failed")
    assert isinstance(event, SubscriberFailed)
    assert (event.event_id, event.error) == (stored(2).id, "status 400")
    assert courier.tally.refused == 1
    assert receiver.attempts == 2 + 3


def test_what_is_too_far_behind_is_passed_over_on_record(store: Store, tmp_path: Path) -> None:
    started_once = started(store, tmp_path, Receiver())
    assert ended(started_once) is None
    for n in range(30):
        store.append([stored(n)])
    receiver = Receiver()
    courier = started(store, tmp_path, receiver, most_behind=10)
    assert ended(courier) is None
    assert receiver.ids == list(range(20, 30))
    assert courier.tally.skipped == 20
    (event,) = store.events(room="core", kind="subscriber_failed")
    assert isinstance(event, SubscriberFailed)
    assert event.event_id == stored(0).id


def test_a_delivery_that_breaks_is_tried_again(store: Store, tmp_path: Path) -> None:
    def breaks_once(attempt: int, _: Notice) -> Outcome:
        if attempt == 1:
            raise RuntimeError("a fault of ours")
        return TAKEN

    receiver = Receiver(breaks_once)
    courier = started(store, tmp_path, receiver)
    store.append([stored(1)])
    until(lambda: receiver.ids == [1])
    assert ended(courier) is None


def test_one_courier_a_target_and_another_takes_over(tmp_path: Path) -> None:
    stores = [open_store(tmp_path) for _ in range(2)]
    receivers = [Receiver(), Receiver()]
    couriers = [started(s, tmp_path, r) for s, r in zip(stores, receivers, strict=True)]
    until(lambda: couriers[0]._lock._handle >= 0 or couriers[1]._lock._handle >= 0)
    for n in range(40):
        stores[n % 2].append([stored(n)])
    first = 0 if couriers[0]._lock._handle >= 0 else 1
    assert ended(couriers[first]) is None
    stores[1 - first].append([stored(40)])
    assert ended(couriers[1 - first]) is None
    assert receivers[first].ids + receivers[1 - first].ids == list(range(41))
    for one in stores:
        one.close()


def test_an_end_does_not_wait_for_the_pause(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 300.0)
    receiver = Receiver(lambda n, _: TAKEN if n > 1 else Outcome("later", "status 503"))
    courier = started(store, tmp_path, receiver)
    store.append([stored(1)])
    until(lambda: receiver.attempts == 1)
    assert ended(courier) is None
    assert receiver.ids == [1]


def test_pauses_grow_and_are_shortened_at_random() -> None:
    assert (FIRST_WAIT_S, LONGEST_WAIT_S) == (0.5, 300.0)
    assert pause_s(10_000, lambda: 0.0) == 300.0
    drawn = [pause_s(5, lambda x=x: x) for x in (0.0, 0.5, 0.999)]
    assert drawn[0] == 2 * drawn[0] / 2 > drawn[1] > drawn[2] >= drawn[0] / 2


def test_no_thread_stays(store: Store, tmp_path: Path) -> None:
    before = threading.active_count()
    assert ended(started(store, tmp_path, Receiver())) is None
    assert threading.active_count() == before
