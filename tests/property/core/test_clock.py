from __future__ import annotations

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.clock import TrafficClock, Uuid7

times = st.lists(st.integers(0, (1 << 48) - 2), min_size=1, max_size=200)


@given(times, st.integers(0, 1 << 32))
def test_uuid7_strictly_grows_whatever_the_clock_does(milliseconds: list[int], seed: int) -> None:
    ticks = iter(milliseconds)
    new = Uuid7(now_ns=lambda: next(ticks) * 1_000_000, randbits=random.Random(seed).getrandbits)
    ids = [new() for _ in milliseconds]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(uuid.UUID(id).version, uuid.UUID(id).variant) for id in ids} == {(7, uuid.RFC_4122)}


@given(st.lists(st.floats()))
def test_traffic_clock_shows_the_latest_time(seen: list[float]) -> None:
    clock = TrafficClock()
    shown = [clock.advance(t) for t in seen]
    assert shown == sorted(shown)
    assert clock.now() == max([0.0, *(t for t in seen if t == t)])
