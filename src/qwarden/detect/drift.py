"""Drift: how far traffic, and the scores it gets, are from what the model was calibrated on.

The model keeps deciles of each feature and of the fused evidence, of its benign calibration flows. In
traffic time, span after span, the flows scored are counted into the same bins, and the population
stability index says how far the shares have moved:

    PSI = sum over bins of (seen - expected) ln(seen / expected)

By custom, below 0.1 nothing has moved, from 0.25 on a model wants a look (Siddiqi 2006, "Credit Risk
Scorecards", chapter on scorecard monitoring). A drift says nothing about attacks: it says that the
false-positive budget is not to be relied on, and that the network's own traffic should be learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt

from qwarden.core.events import Event
from qwarden.detect.features import FEATURE_NAMES

if TYPE_CHECKING:
    from qwarden.detect.scored import Scored

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

Level = Literal["none", "moderate", "major"]

SPAN_S: Final = 3600
"""Traffic time that one comparison takes in."""
LEAST_FLOWS: Final = 500
"""Flows without which shares say nothing: a span goes on until it has them."""
A_PIECE: Final = 1024
"""Flows counted of a piece at most, evenly spread: a distribution needs no more."""
MODERATE, MAJOR = 0.1, 0.25
NAMED: Final = 5
"""Features that an event names."""

_BINS: Final = 12
"""Below the first decile, between each and the next, above the last; and unknown, the last bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(Event):
    """How far a span of traffic is from the calibration flows; `time` is its end.

    Parameters
    ----------
    source : of which capture, log or stream.
    start : of the span, seconds since the epoch.
    flows : how many were counted.
    score_psi : of the fused evidence.
    population_psi : median over the features.
    level : of the score's drift.
    features : the features that moved most, with their PSI.
    model : name and version.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "drift"

    source: str
    start: float
    flows: int
    score_psi: float
    population_psi: float
    level: Level
    features: dict[str, float]
    model: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """What traffic looked like at calibration.

    Attributes
    ----------
    edges : (d + 1, 10) rising inner edges of the bins of each feature, the evidence last.
    shares : (d + 1, 12) share of the calibration flows in each bin.
    """

    edges: F64
    shares: F64

    @classmethod
    def of(cls, rows: F64, margins: F64) -> Baseline:
        """Learn it of feature rows (m, d) and their evidence (m,)."""
        table = np.column_stack([rows, margins])
        edges = np.full((table.shape[1], _BINS - 2), np.inf)
        for at, column in enumerate(table.T):
            known = column[~np.isnan(column)]
            if known.size:
                edges[at] = np.quantile(known, np.linspace(0.05, 0.95, _BINS - 2), method="higher")
        counts = count_bins(table, edges)
        return cls(edges, counts / max(len(table), 1))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return its arrays; `read` reads them."""
        return {"drift_edges": self.edges, "drift_shares": self.shares}

    @classmethod
    def read(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Baseline | None:
        """Read what `arrays` wrote; None where there is none."""
        return cls(arrays["drift_edges"], arrays["drift_shares"]) if "drift_edges" in arrays else None

    def psi(self, counts: I64) -> F64:
        """Return the population stability index of each column (d + 1,), of its counts (d + 1, 12)."""
        flows = counts.sum(axis=1, keepdims=True)
        # Half a flow more in each bin: an empty one would be infinitely far.
        seen = (counts + 0.5) / (flows + 0.5 * _BINS)
        expected = (self.shares * flows + 0.5) / (flows + 0.5 * _BINS)
        index: F64 = ((seen - expected) * np.log(seen / expected)).sum(axis=1)
        return index


def count_bins(table: F64, edges: F64) -> I64:
    """Return how many values of each column (n, c) fall into each bin (c, 12); unknown ones into the last."""
    counts = np.zeros((table.shape[1], _BINS), np.int64)
    for at, column in enumerate(table.T):
        known = ~np.isnan(column)
        placed = np.searchsorted(edges[at], column[known], "right")
        counts[at, : _BINS - 1] = np.bincount(placed, minlength=_BINS - 1)
        counts[at, -1] = len(column) - int(known.sum())
    return counts


class DriftWatch:
    """Compares span after span of each source with the baseline.

    Parameters
    ----------
    baseline, model : the model's, and its name and version.
    publish : takes the events.
    """

    def __init__(self, baseline: Baseline, model: str, publish: Callable[[Event], None]) -> None:
        self._baseline, self._model, self._publish = baseline, model, publish
        self._start(None)

    def _start(self, at_ns: int | None) -> None:
        self._counts = np.zeros(self._baseline.shares.shape, np.int64)
        self._start_ns, self._end_ns, self._flows, self._epoch = at_ns, 0, 0, 0

    def scored(self, piece: Scored) -> None:
        """Count a piece; tell of a span that is over."""
        first = int(piece.flows["end_ns"][0])
        if self._start_ns is not None and (
            piece.epoch != self._epoch
            or (first - self._start_ns >= SPAN_S * 1_000_000_000 and self._flows >= LEAST_FLOWS)
        ):
            self._tell(piece.source)
        if self._start_ns is None:
            self._start_ns, self._epoch = first, piece.epoch
        step = -(-len(piece.rows) // A_PIECE)
        table = np.column_stack([piece.rows[::step], piece.scores.margin[::step]])
        self._counts += count_bins(table, self._baseline.edges)
        self._flows += len(table)
        self._end_ns = int(piece.flows["end_ns"][-1])

    def ended(self, source: str) -> None:
        """Tell of what is left, if it is enough."""
        if self._start_ns is not None:
            self._tell(source)

    def _tell(self, source: str) -> None:
        if self._flows >= LEAST_FLOWS and self._start_ns is not None:
            index = self._baseline.psi(self._counts)
            score = float(index[-1])
            most = np.argsort(-index[:-1], kind="stable")[:NAMED]
            self._publish(
                Drift(
                    time=self._end_ns / 1e9, source=source, start=self._start_ns / 1e9, flows=self._flows,
                    score_psi=round(score, 4), population_psi=round(float(np.median(index[:-1])), 4),
                    level="major" if score >= MAJOR else "moderate" if score >= MODERATE else "none",
                    features={FEATURE_NAMES[at]: round(float(index[at]), 4) for at in most},
                    model=self._model,
                )
            )  # fmt: skip
        self._start(None)
