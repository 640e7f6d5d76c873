"""The early lane: flows are looked at while they run, so that a long attack need not end to be seen.

The detector sees a flow when it has ended and can be put in order: up to the idle time-out later. The early
lane takes the meter's reports (`qwarden.formats.meter.reports`) as they come: of a TCP connection when it
closes, of any other flow at certain ages. It has windows of its own, in the order of the reports, and never
touches those of the ended flows, whose order depends on the traffic alone.

A flow enters the early windows once, with its first report. A later report brings its own columns up to
date beside the context of the first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.features import FEATURE_NAMES, FLOW_NAMES, failed, own_columns
from qwarden.detect.windows import HostWindows
from qwarden.formats.flows import END_TCP_CLOSED, NOT_YET_FIRST, TCP_STATES, Flows

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

REMEMBERED: Final = 1 << 16
"""Flows whose context is kept for a later report; of those that began earlier, none is looked at again."""

_OPEN_STATES: Final = tuple(TCP_STATES.index(name) for name in ("S0", "S1", "S2", "S3", "OTH"))


class EarlyLane:
    """Reports in, feature rows out.

    Parameters
    ----------
    ages_s : as the meter was told (`MeterSettings.report_after_s`).

    Attributes
    ----------
    forgotten : later reports passed over because the first was no longer remembered.
    """

    def __init__(self, ages_s: Sequence[float]) -> None:
        self.forgotten = 0
        self._ages_ns = np.array([round(age * 1e9) for age in ages_s] or [0], np.int64)
        self._windows = HostWindows()
        self._clock_ns = 0
        self._context: OrderedDict[int, F64] = OrderedDict()

    def rows(self, reports: Flows) -> tuple[Flows, F64, npt.NDArray[np.int64]]:
        """Return the reports that can be scored, (n,), their feature rows, (n, d), and when they came, (n,).

        The moments are nanoseconds of traffic time: the latest packet that was reported by then.

        Parameters
        ----------
        reports : of one epoch, in the order they came.
        """
        first = reports["end_reason"] == NOT_YET_FIRST
        lost = failed(reports)
        rows = np.empty((reports.size, len(FEATURE_NAMES)))
        known = np.ones(reports.size, np.bool_)
        wide = len(FLOW_NAMES)
        own_columns(reports, lost, rows)
        lasting = np.isin(reports["tcp_state"], _OPEN_STATES) | (reports["tcp_state"] < 0)
        moments = self._moments(reports, first, lasting)
        if first.any():
            ordered = reports[first]
            ordered["end_ns"] = moments[first]
            rows[first, wide:] = self._windows.update(ordered, lost[first])
        for at, (seq, begins, lasts) in enumerate(
            zip(reports["seq"].tolist(), first.tolist(), lasting.tolist(), strict=True)
        ):
            if begins and lasts:
                self._context[seq] = rows[at, wide:].copy()
            elif not begins:
                context = self._context.get(seq)
                known[at] = context is not None
                if context is not None:
                    rows[at, wide:] = context
        while len(self._context) > REMEMBERED:
            self._context.popitem(last=False)
        self.forgotten += int((~known).sum())
        return reports[known], rows[known], moments[known]

    def forget(self, ended: Flows) -> None:
        """Let go of flows that have ended."""
        if self._context:
            for seq in ended["seq"][ended["end_reason"] != END_TCP_CLOSED].tolist():
                self._context.pop(seq, None)

    def _moments(self, reports: Flows, first: Mask, lasting: Mask) -> npt.NDArray[np.int64]:
        """Return when reports came, never falling: at the last packet, or at the age that was waited for."""
        # Which later age it was is not told; it was the second at least.
        age_ns = np.where(first, self._ages_ns[0], self._ages_ns[:2][-1])
        came = np.where(
            lasting, np.maximum(reports["end_ns"], reports["start_ns"] + age_ns), reports["end_ns"]
        )
        moments: npt.NDArray[np.int64] = np.maximum.accumulate(np.maximum(came, self._clock_ns))
        if moments.size:
            self._clock_ns = int(moments[-1])
        return moments
