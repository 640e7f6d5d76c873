"""A finding that still grows: what its flows amount to, in both lanes.

Flows that have ended and reports on flows that still run are counted apart: each flow comes in both lanes,
and a report is brought up to date by the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from qwarden.detect.behaviours import BEHAVIOURS, Behaviour
from qwarden.detect.scored import Scored
from qwarden.formats.flows import NOT_YET_FIRST, Flows
from qwarden.formats.transactions import Said

Status = Literal["clear", "ambiguous", "confirmed", "doubtful"]
"""Clear: its score never was ambiguous. Ambiguous: it is. The others: it was, and was looked at again."""

REMEMBERED: Final = 256
"""Distinct addresses, ports or running flows a finding remembers; past that it only says "or more"."""


def counted(distinct: int) -> str:
    """Return how many distinct ones a finding has, in words.

    >>> counted(12), counted(256)
    ('12', '256 or more')
    """
    return str(distinct) if distinct < REMEMBERED else f"{REMEMBERED} or more"


@dataclass(slots=True)
class Tally:
    """What the flows of one lane amount to."""

    flows: int = 0
    packets_out: int = 0
    packets: int = 0
    bytes: int = 0

    def add(self, flows: int, packets_out: int, packets: int, size: int) -> None:
        """Add flows, and what they carried."""
        self.flows += flows
        self.packets_out += packets_out
        self.packets += packets
        self.bytes += size

    @property
    def contacts(self) -> int:
        """Contacts shown: every flow is one, and so are ten packets sent."""
        return self.flows + self.packets_out // 10


@dataclass(slots=True)
class OpenFinding:
    """A finding that still grows.

    Attributes
    ----------
    at : index of its behaviour in `BEHAVIOURS`.
    ended, running : what the flows of each lane amount to.
    raised_ns : traffic time at which it was raised, None before.
    margin, row, flow, early : of its most alarming flow, and whether that still ran.
    evading : how many of its flows the second opinion alone raised (`qwarden.detect.evasion`).
    hiding : whether its most alarming flow is one of those.
    status : what rescoring made of it (`qwarden.detect.rescoring`).
    said : what protocols said within its flows, and in how many of them.
    """

    id: str
    at: int
    source: str
    first_ns: int
    last_ns: int
    ended: Tally = field(default_factory=Tally)
    running: Tally = field(default_factory=Tally)
    raised_ns: int | None = None
    twin_score: float = 0.0
    margin: float = -np.inf
    row: npt.NDArray[np.float64] | None = None
    flow: Flows | None = None
    early: bool = False
    evading: int = 0
    hiding: bool = False
    status: Status = "clear"
    sources: Counter[tuple[int, int]] = field(default_factory=Counter)
    destinations: Counter[tuple[int, int]] = field(default_factory=Counter)
    ports: Counter[int] = field(default_factory=Counter)
    own_ports: Counter[int] = field(default_factory=Counter)
    said: Counter[Said] = field(default_factory=Counter)
    _reported: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def tally(self) -> Tally:
        """The lane that shows more: reports at first, then the flows that have ended."""
        return max(self.ended, self.running, key=lambda tally: tally.flows)

    @property
    def enough(self) -> bool:
        """Whether it has shown the contacts that its behaviour asks for."""
        return max(self.ended.contacts, self.running.contacts) >= self.behaviour.least

    @property
    def main_port(self) -> tuple[int | None, float]:
        """The port that half of the flows and more go to, and their share; None and 0 if there is none."""
        port, flows = self.ports.most_common(1)[0]
        share = flows / self.ports.total()
        return (port, round(share, 4)) if port >= 0 and share >= 0.5 else (None, 0.0)

    @property
    def behaviour(self) -> Behaviour:
        """What the finding is called."""
        return BEHAVIOURS[self.at]

    def grow(self, alarms: Scored, members: npt.NDArray[np.int64]) -> None:
        """Take the flows at `members` of a piece."""
        part, scores, evading = alarms.flows[members], alarms.scores, alarms.evading
        self.first_ns = min(self.first_ns, int(part["start_ns"].min()))
        self.last_ns = max(self.last_ns, int(part["end_ns"].max()))
        if alarms.early:
            self._take_reports(part)
        else:
            self.ended.add(part.size, *(int(amount.sum()) for amount in _amounts(part)))
        if evading is not None:
            self.evading += int(evading[members].sum())
        remember(self.sources, zip(part["src_hi"].tolist(), part["src_lo"].tolist(), strict=True))
        remember(self.destinations, zip(part["dst_hi"].tolist(), part["dst_lo"].tolist(), strict=True))
        remember(self.ports, part["dst_port"].tolist())
        remember(self.own_ports, part["src_port"].tolist())
        for seq in part["seq"].tolist() if alarms.said else ():
            remember(self.said, alarms.said.get(seq, ()))
        self.twin_score = max(self.twin_score, float(scores.twin[members].max()))
        worst = int(members[np.argmax(scores.margin[members])])
        if self.row is None or scores.margin[worst] > self.margin:
            self.margin = float(scores.margin[worst])
            self.row = alarms.rows[worst].copy()
            self.flow = alarms.flows[worst : worst + 1].copy()
            self.early = alarms.early
            self.hiding = evading is not None and bool(evading[worst])

    def _take_reports(self, reports: Flows) -> None:
        amounts = [amount.tolist() for amount in _amounts(reports)]
        first = (reports["end_reason"] == NOT_YET_FIRST).tolist()
        for seq, begins, *now in zip(reports["seq"].tolist(), first, *amounts, strict=True):
            before = self._reported.pop(seq, None)
            new = begins or before is None
            grown = (now[at] - (before[at] if before is not None else 0) for at in range(3))
            self.running.add(int(new), *grown)
            if len(self._reported) < REMEMBERED:
                self._reported[seq] = (now[0], now[1], now[2])


def _amounts(flows: Flows) -> tuple[npt.NDArray[np.int64], ...]:
    """Return packets sent, packets and bytes of each flow; what is unknown counts as none."""
    out, back, sent, got = (
        np.maximum(flows[name], 0) for name in ("packets_out", "packets_in", "bytes_out", "bytes_in")
    )
    return out, out + back, sent + got


def remember(counter: Counter[Any], values: Iterable[Any]) -> None:
    """Count values, but no more than `REMEMBERED` distinct ones."""
    for value in values:
        if value in counter or len(counter) < REMEMBERED:
            counter[value] += 1
