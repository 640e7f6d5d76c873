"""Time, of which there are two kinds, and the ids that are made of it.

*Traffic time* decides windows and expiry: a capture replayed at a thousand times its speed gives the
same findings. *Wall time* says when a person or the platform did something. Both are seconds since
the epoch (UTC) behind one `Clock`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Return seconds since the epoch (UTC)."""


class WallClock:
    """The time of the machine it runs on."""

    def now(self) -> float:
        """Return the machine's time in seconds since the epoch."""
        return time.time()


class TrafficClock:
    """The time of the traffic: moves only when traffic does, and never backwards.

    Parameters
    ----------
    start : seconds since the epoch before any traffic was seen.

    Examples
    --------
    >>> clock = TrafficClock()
    >>> clock.advance(20.0), clock.advance(15.0), clock.now()
    (20.0, 20.0, 20.0)
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the latest traffic time seen."""
        return self._now

    def advance(self, to: float) -> float:
        """Move to `to` unless that lies in the past, as a reordered packet's time does; return the time."""
        if to > self._now:  # false for NaN too
            self._now = to
        return self._now


class Uuid7:
    """Makes UUIDs of version 7: ordered by time, and strictly increasing within one maker.

    48 bits of Unix milliseconds, then 74 random bits. A second id within a millisecond (or after the
    clock was set back) adds a random step to the last one instead of drawing anew: RFC 9562
    section 6.2, method 2 (monotonic random). The step has 56 bits, so ids stay unguessable and
    their last groups differ.

    Parameters
    ----------
    now_ns : the wall clock in nanoseconds.
    randbits : ``randbits(k)`` returns k random bits; give ``random.Random(seed).getrandbits`` and a
        fixed clock for reproducible ids.

    Source: RFC 9562 sections 5.7 and 6.2.

    Examples
    --------
    >>> import random
    >>> new = Uuid7(now_ns=lambda: 1_645_557_742_000 * 1_000_000, randbits=random.Random(1).getrandbits)
    >>> new()[:15], new() < new()
    ('017f22e2-79b0-7', True)
    """

    def __init__(
        self,
        now_ns: Callable[[], int] = time.time_ns,
        randbits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._now_ns, self._randbits = now_ns, randbits
        self._millisecond, self._random = -1, 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Return the next id in its usual text form, 36 characters in lower case."""
        with self._lock:
            millisecond = self._now_ns() // 1_000_000
            if millisecond > self._millisecond:
                self._millisecond, self._random = millisecond, self._randbits(74)
            else:
                self._random += self._randbits(56) + 1
                if self._random >> 74:  # used up: borrow from the next millisecond
                    self._millisecond, self._random = self._millisecond + 1, self._randbits(74)
            head, tail = self._random >> 62, self._random & (1 << 62) - 1
            value = self._millisecond << 80 | 7 << 76 | head << 64 | 0b10 << 62 | tail
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


uuid7 = Uuid7()
"""The process's own maker of ids."""
