"""Flows in order of their end, whatever order they were emitted in.

The host windows must see flows in one order that depends on the traffic alone, not on when a time-out
happened to fire. The meter promises that no flow emitted after a batch ended before the batch's
watermark less the idle time-out; so whatever ended before that can be let go, sorted.

Logs promise nothing: Zeek writes a connection minutes, of some services an hour, after it ended, and
Suricata, when it stops, all it holds in no order. They are sorted as a whole as far as memory allows:
when more flows are held than may be, the half that ended first goes. What comes behind that is late;
it is let go with the next, and counted. A log that is followed has no end, so there flows are held for
so long by the wall clock, and no longer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from qwarden.formats.accounting import END_OF_TIME
from qwarden.formats.flows import FLOW, Flows

_NEVER: Final = END_OF_TIME


class EndOrder:
    """Holds flows back until none that ended earlier can still come, or too many are held.

    Parameters
    ----------
    delay_s : the meter's idle time-out, seconds of traffic time.
    capacity : flows held at most (bounds memory: 400 bytes a flow).
    hold_s : flows are let go so many seconds of wall time after they came, watermark or not; None: never.
    clock : tells seconds of wall time.

    Attributes
    ----------
    late : flows that came when later ones had already been let go.
    """

    def __init__(
        self,
        delay_s: float,
        capacity: int = 1 << 18,
        hold_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.late = 0
        self._hold_s, self._clock = hold_s, clock
        self._came: deque[tuple[float, int]] = deque()  # when flows came, and when the last of them ended
        self._delay_ns = int(delay_s * 1e9)
        self._capacity = capacity
        self._parts: list[Flows] = []
        self._held = 0
        self._earliest_ns = _NEVER
        self._gone_ns = -1

    def add(self, flows: Flows, watermark_ns: int) -> Flows:
        """Take flows and return those that are now to be processed, sorted by (end_ns, seq)."""
        if flows.size:
            self._parts.append(flows)
            self._held += flows.size
            self._earliest_ns = min(self._earliest_ns, int(flows["end_ns"].min()))
            self.late += int((flows["end_ns"] < self._gone_ns).sum())
        safe_ns = max(watermark_ns - self._delay_ns, self._overdue(flows))
        if self._earliest_ns >= safe_ns and self._held <= self._capacity:
            return np.empty(0, FLOW)
        held = self._take()
        safe = int(np.searchsorted(held["end_ns"], safe_ns))
        if held.size - safe > self._capacity:
            safe = max(safe, held.size - self._capacity // 2)
        gone, rest = held[:safe], held[safe:]
        if rest.size:
            self._parts, self._held, self._earliest_ns = [rest], rest.size, int(rest["end_ns"][0])
        if watermark_ns == END_OF_TIME:  # what comes next is of another epoch
            self._gone_ns = -1
        elif gone.size:
            self._gone_ns = max(self._gone_ns, int(gone["end_ns"][-1]))
        return gone

    def settled(self, read: int) -> int:
        """Return how many of the `read` flows of a source, from its first, are held no more."""
        return min((int(part["seq"].min()) for part in self._parts), default=read)

    def _overdue(self, flows: Flows) -> int:
        """Return the end, exclusive, up to which flows have been held long enough."""
        if self._hold_s is None:
            return 0
        now, until = self._clock(), 0
        if flows.size:
            self._came.append((now, int(flows["end_ns"].max())))
        while self._came and self._came[0][0] <= now - self._hold_s:
            until = max(until, self._came.popleft()[1] + 1)
        return until

    def rest(self) -> Flows:
        """Return what is still held, sorted."""
        return self._take()

    def _take(self) -> Flows:
        held = np.concatenate(self._parts) if self._parts else np.empty(0, FLOW)
        self._parts, self._held, self._earliest_ns = [], 0, _NEVER
        ordered: Flows = held[np.lexsort((held["seq"], held["end_ns"]))]
        return ordered
