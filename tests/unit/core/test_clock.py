from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable

from qwarden.core.clock import TrafficClock, Uuid7, WallClock, uuid7


def fixed(*values: int) -> Callable[[int], int]:
    remaining = list(values)
    return lambda bits: remaining.pop(0)


def test_wall_clock_tells_the_time() -> None:
    before = time.time()
    assert before <= WallClock().now() <= time.time()


def test_traffic_clock_never_goes_back() -> None:
    clock = TrafficClock(100.0)
    assert clock.advance(90.0) == 100.0
    assert clock.advance(math.nan) == 100.0
    assert clock.advance(101.5) == 101.5
    assert clock.now() == 101.5


def test_uuid7_is_the_standards_example() -> None:
    # RFC 9562, appendix A.6.
    new = Uuid7(now_ns=lambda: 0x017F22E279B0 * 1_000_000, randbits=fixed(0xCC3 << 62 | 0x18C4DC0C0C07398F))
    assert new() == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_uuid7_is_a_uuid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    parsed = uuid.UUID(text := uuid7())
    assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, text)
    assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000


def test_uuid7_borrows_from_the_next_millisecond_when_random_bits_run_out() -> None:
    new = Uuid7(now_ns=lambda: 5_000_000, randbits=fixed((1 << 74) - 1, 0, 3))
    first, second = uuid.UUID(new()), uuid.UUID(new())
    assert (first.int >> 80, second.int >> 80) == (5, 6)
    assert second.version == 7


def test_uuid7_grows_while_the_clock_is_set_back() -> None:
    times = iter([9_000_000, 2_000_000, 9_000_000])
    new = Uuid7(now_ns=lambda: next(times))
    ids = [new() for _ in range(3)]
    assert ids == sorted(set(ids))
