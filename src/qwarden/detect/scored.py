"""Flows with what was said of them: the piece of work that passes from the detector to who looks on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qwarden.detect.model import Scores
from qwarden.detect.transactions import Joined
from qwarden.formats.flows import Flows

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """Flows of one source, scored, in order of their end.

    Attributes
    ----------
    source : the path of the capture or log, or what a stream is called.
    epoch : as in `FlowBatch`: times of two epochs are not ordered.
    flows : (n,) rows of `FLOW`.
    rows : (n, d) feature rows, columns as `FEATURE_NAMES`.
    named : (n,) index into `BEHAVIOURS`, or `NO_BEHAVIOUR`.
    scores : four arrays (n,).
    told : (n,) whether the flow alarms: within the budget, of a named behaviour, and no exception holds.
    early : the flows still run: they come again when they have ended.
    evading : (n,) which of those that alarm the second opinion alone raises; None if it was not asked.
    said : what protocols said within them, by `seq`.
    """

    source: str
    epoch: int
    flows: Flows
    rows: F64
    named: I64
    scores: Scores
    told: Mask
    early: bool = False
    evading: Mask | None = None
    said: Joined = field(default_factory=dict)

    def alarms(self) -> Scored:
        """Return those that alarm."""
        told, scores = self.told, self.scores
        return Scored(
            self.source, self.epoch, self.flows[told], self.rows[told], self.named[told],
            Scores(scores.p_value[told], scores.threat[told], scores.margin[told], scores.twin[told]),
            told[told], self.early, None if self.evading is None else self.evading[told],
            self.said,
        )  # fmt: skip


class Watcher(Protocol):
    """Looks at every flow that was scored: an archive, a watch for drift."""

    def scored(self, piece: Scored) -> None:
        """Take a piece; its arrays are not to be changed."""

    def ended(self, source: str) -> None:
        """Take note that a source has come to its end, whole or not."""
