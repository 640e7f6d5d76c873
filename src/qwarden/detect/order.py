"""Flows in order of their end, whatever order they were emitted in.

The host windows must see flows in one order that depends on the traffic alone, not on when a time-out
happened to fire. The meter promises that no flow emitted after a batch ended before the batch's
watermark less the idle time-out; so whatever ended before that can be let go, sorted.
"""

from __future__ import annotations

import numpy as np

from qwarden.formats.flows import FLOW, Flows


class EndOrder:
    """Holds flows back until none that ended earlier can still come.

    Parameters
    ----------
    delay_s : the meter's idle time-out, seconds of traffic time.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_ns = int(delay_s * 1e9)
        self._held: Flows = np.empty(0, FLOW)

    def add(self, flows: Flows, watermark_ns: int) -> Flows:
        """Take flows and return those that are now safe to process, sorted by (end_ns, seq)."""
        held = np.concatenate([self._held, flows]) if self._held.size else flows
        safe = held["end_ns"] < watermark_ns - self._delay_ns
        self._held = held[~safe]
        return _sorted(held[safe])

    def rest(self) -> Flows:
        """Return what is still held, sorted."""
        rest, self._held = self._held, np.empty(0, FLOW)
        return _sorted(rest)


def _sorted(flows: Flows) -> Flows:
    ordered: Flows = flows[np.lexsort((flows["seq"], flows["end_ns"]))]
    return ordered
