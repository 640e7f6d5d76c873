from __future__ import annotations

from typing import Any

import pytest

from qwarden.core.backtrack import Backtrack, BacktrackStep, Parameters, Verdict
from qwarden.core.bus import open_bus
from qwarden.core.clock import TrafficClock
from qwarden.core.errors import BacktrackExhausted, QwardenError, StoreError
from qwarden.core.events import Event
from qwarden.core.store import Store


def halving(steps: list[Any], **overrides: Any) -> Backtrack[float]:
    """An action that is accepted at 0.25 or below, and halves."""
    arguments: dict[str, Any] = {
        "by": "test",
        "subject": "halving",
        "attempt": lambda p: p["x"] / 2,
        "check": lambda x: Verdict.accept("small") if x <= 0.25 else Verdict.reject(f"{x} is too large"),
        "undo": lambda x: None,
        "change": lambda last: {"x": last.result},
        "publish": steps.append,
    }
    return Backtrack(**arguments | overrides)


def told(steps: list[BacktrackStep]) -> list[tuple[str, int, str]]:
    return [(s.step, s.attempt, s.reason) for s in steps]


def test_it_tries_again_until_accepted() -> None:
    steps: list[BacktrackStep] = []
    done = halving(steps).run({"x": 1.0})
    assert done.result == 0.25
    assert [(a.parameters, a.result, a.verdict.accepted) for a in done.attempts] == [
        ({"x": 1.0}, 0.5, False),
        ({"x": 0.5}, 0.25, True),
    ]
    assert told(steps) == [
        ("attempted", 1, ""),
        ("rejected", 1, "0.5 is too large"),
        ("undone", 1, ""),
        ("attempted", 2, ""),
        ("accepted", 2, "small"),
    ]
    assert {(s.run, s.by, s.subject, s.at_most) for s in steps} == {(done.run, "test", "halving", 3)}


def test_it_gives_up_loudly() -> None:
    steps: list[BacktrackStep] = []
    with pytest.raises(BacktrackExhausted, match=r"gave up after 2 attempts \(1: 4.0 is .*; 2: 2.0") as gone:
        halving(steps, at_most=2).run({"x": 8.0})
    assert [a.result for a in gone.value.attempts] == [4.0, 2.0]  # type: ignore[attr-defined]
    assert told(steps)[-1] == ("exhausted", 2, "gave up")


def test_no_attempt_begins_after_the_deadline() -> None:
    clock = TrafficClock(100.0)
    steps: list[BacktrackStep] = []

    def slow(parameters: Parameters) -> float:
        clock.advance(clock.now() + 3.0)
        return 9.0

    with pytest.raises(BacktrackExhausted, match="deadline passed after 2 attempts"):
        halving(steps, attempt=slow, clock=clock, deadline=106.0, at_most=9).run({"x": 1.0})
    assert [s.time for s in steps if s.step == "attempted"] == [103.0, 106.0]


def test_a_deadline_in_the_past_attempts_nothing() -> None:
    with pytest.raises(BacktrackExhausted, match="after 0 attempts"):
        halving([], clock=TrafficClock(5.0), deadline=5.0).run({"x": 0.1})


def test_an_attempt_that_raises_is_on_record_and_passes_through() -> None:
    steps: list[BacktrackStep] = []
    undone: list[float] = []
    with pytest.raises(ZeroDivisionError):
        halving(steps, attempt=lambda p: 1 / 0, undo=undone.append).run({})
    assert told(steps) == [("failed", 1, "ZeroDivisionError: division by zero")]
    assert undone == []


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyboardInterrupt()])
def test_a_check_that_raises_undoes_the_result(error: BaseException) -> None:
    steps: list[BacktrackStep] = []
    undone: list[float] = []

    def check(result: float) -> Verdict:
        raise error

    with pytest.raises(type(error)):
        halving(steps, check=check, undo=undone.append).run({"x": 1.0})
    assert undone == [0.5]
    assert [s.step for s in steps] == ["attempted", "undone", "failed"]


def test_an_undo_that_fails_is_loud_and_final() -> None:
    steps: list[BacktrackStep] = []

    def undo(result: float) -> None:
        raise OSError("firewall is gone")

    with pytest.raises(QwardenError, match="attempt 1 could not be undone and still stands: OSError") as e:
        halving(steps, undo=undo).run({"x": 8.0})
    assert not isinstance(e.value, BacktrackExhausted)
    assert [s.step for s in steps] == ["attempted", "rejected", "undo_failed"]


def test_an_undo_that_fails_is_loud_even_when_it_cannot_be_recorded() -> None:
    def publish(event: Event) -> None:
        raise OSError("disk is full")

    def undo(result: float) -> None:
        raise OSError("firewall is gone")

    with pytest.raises(QwardenError, match="still stands"):
        halving([], undo=undo, publish=publish).run({"x": 8.0})


def test_what_cannot_be_recorded_does_not_stand() -> None:
    undone: list[float] = []

    def publish(event: Event) -> None:
        assert isinstance(event, BacktrackStep)
        if event.step == "accepted":
            raise OSError("disk is full")

    with pytest.raises(OSError, match="full"):
        halving([], publish=publish, undo=undone.append).run({"x": 0.5})
    assert undone == [0.25]


def test_at_least_one_attempt() -> None:
    with pytest.raises(ValueError, match="at least one"):
        halving([], at_most=0)


def test_its_steps_go_through_the_bus(store: Store) -> None:
    heard: list[Event] = []
    bus = open_bus(store)
    bus.subscribe(heard.append, kind="backtrack_step")
    done = halving([], publish=bus.publish).run({"x": 1.0})
    assert [stored.event for stored in store.after(0)] == heard
    assert {e.run for e in heard} == {done.run}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "traceback"), [(StoreError("the disk is full"), False), (KeyError("x"), True)]
)
def test_a_full_store_is_told_in_one_line_and_a_mistake_with_its_place(
    caplog: pytest.LogCaptureFixture, error: Exception, traceback: bool
) -> None:
    def publish(step: Event) -> None:
        raise error

    with pytest.raises(type(error)):
        halving([], publish=publish).run({"x": 1.0})
    (record,) = caplog.records
    assert "step 'undone' could not be recorded: " in record.message
    assert str(error) in record.message
    assert "\n" not in record.message
    assert bool(record.exc_info) is traceback
