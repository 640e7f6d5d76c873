"""Backtracking of ambiguous scores: the alert goes out first, then the score is worked out again.

Beside the p-value that raised it, which is joint with its behaviour, a finding has two conformal ones: the
share of all benign flows that look at least as suspicious, and the share of known attacks of its kind that
look at most as suspicious. The classes whose p-value exceeds a level make the *conformal set*; a set of both
is ambiguous: what the hosts did has the name of an attack, and the flow would pass for either. Then, by a
deadline in traffic time, it is looked at again: with the context that has come since, by the classical twin,
and by the second opinion (`qwarden.detect.evasion`), where there is one. Each look is an attempt of
`core.backtrack`, on record; what no look settles stays ambiguous, and the finding says so.

Source: the article's component on threat detection (Hossain et al. 2024); Vovk, Gammerman and Shafer 2005,
label-conditional conformal prediction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from qwarden.core.backtrack import Attempt, Backtrack, BacktrackStep, Parameters, Verdict
from qwarden.core.clock import TrafficClock
from qwarden.core.errors import BacktrackExhausted
from qwarden.core.events import Event
from qwarden.detect.open_finding import OpenFinding, Status

if TYPE_CHECKING:
    from qwarden.detect.evasion import EvasionOpinion
    from qwarden.detect.model import ThreatModel

Outcome = Literal["attack", "benign", "ambiguous"]

FIRST, CONTEXT, TWIN, SECOND = "first", "context", "twin", "second_opinion"
LOOKS: Final = (FIRST, CONTEXT, TWIN, SECOND)
"""Looks in their order: as it was raised; with what came since; by the twin; by the second opinion, if there
is one."""


_STATUS: Final[dict[Outcome, Status]] = {
    "attack": "confirmed", "benign": "doubtful", "ambiguous": "ambiguous"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """Two conformal p-values of one flow, and the level that a class must exceed to be possible.

    >>> Look(0.2, 0.4, level=0.05).outcome, Look(0.01, 0.4, level=0.05).outcome
    ('ambiguous', 'attack')
    """

    benign: float
    attack: float
    level: float

    @property
    def outcome(self) -> Outcome:
        """The one class that is possible; of neither, the one that is less impossible."""
        if self.benign > self.level and self.attack > self.level:
            return "ambiguous"
        return "benign" if self.benign > self.attack else "attack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored(Event):
    """An ambiguous finding was looked at again.

    Parameters
    ----------
    finding_id : of which finding.
    run : the backtracking's steps carry it.
    outcome : what came of it.
    benign, attack : conformal p-values of the last look.
    looks : how many looks were taken, the first included.
    after_s : traffic time from the alert.
    took_ms : wall time of the looks.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "rescored"

    finding_id: str
    run: str
    outcome: Outcome
    benign: float
    attack: float
    looks: int
    after_s: float
    took_ms: float


class Rescorer:
    """Remembers what is ambiguous until its deadline.

    Parameters
    ----------
    model : that scores; its twin is asked as well.
    publish : keeps steps and outcomes.
    level : of the conformal sets, in (0, 1).
    within_s : the deadline, in traffic time from the alert.
    second : the second opinion, asked last; None if there is none.
    """

    def __init__(
        self,
        model: ThreatModel,
        publish: Callable[[Event], None],
        *,
        level: float,
        within_s: float,
        second: EvasionOpinion | None = None,
    ) -> None:
        self._model, self._twin, self._second, self._publish = model, model.twin(), second, publish
        self._looks = LOOKS if second is not None else LOOKS[:-1]
        self._level, self._within_ns = level, int(within_s * 1e9)
        self._waiting: dict[str, tuple[OpenFinding, Look]] = {}

    def raised(self, finding: OpenFinding) -> None:
        """Take a finding whose alert has gone out."""
        first = self._look_again(finding)
        if first.outcome == "ambiguous":
            finding.status = "ambiguous"
            self._waiting[finding.id] = (finding, first)

    def due(self, now_ns: int | None = None) -> None:
        """Look again at what has come to its deadline; at everything, if None."""
        for id, (finding, first) in list(self._waiting.items()):
            raised_ns = finding.raised_ns or 0
            if now_ns is None or now_ns - raised_ns >= self._within_ns:
                del self._waiting[id]
                at_ns = finding.last_ns if now_ns is None else now_ns
                self._again(finding, first, max(at_ns, raised_ns))

    def _again(self, finding: OpenFinding, first: Look, now_ns: int) -> None:
        def take(parameters: Parameters) -> Look:
            look = parameters["look"]
            if look == FIRST:
                return first
            if look == SECOND and self._second is not None:
                return self._ask(self._second, finding)
            return self._look_again(finding) if look == CONTEXT else self._look(self._twin, finding)

        def check(look: Look) -> Verdict:
            told = f"p benign {look.benign:.4g}, p attack {look.attack:.4g}"
            return Verdict.reject(told) if look.outcome == "ambiguous" else Verdict.accept(told)

        def change(last: Attempt[Look]) -> Parameters:
            return {"look": LOOKS[LOOKS.index(str(last.parameters["look"])) + 1]}

        runs: list[str] = []

        def keep(step: Event) -> None:
            if isinstance(step, BacktrackStep):
                runs.append(step.run)
            self._publish(step)

        began = time.perf_counter()
        action: Backtrack[Look] = Backtrack(
            by="detect", subject=f"finding {finding.id}", attempt=take, check=check, undo=lambda _: None,
            change=change, publish=keep, at_most=len(self._looks), clock=TrafficClock(now_ns / 1e9),
        )  # fmt: skip
        try:
            looks = [attempt.result for attempt in action.run({"look": FIRST}).attempts]
        except BacktrackExhausted as exhausted:
            looks = [attempt.result for attempt in exhausted.attempts if isinstance(attempt, Attempt)]
        last = looks[-1]
        finding.status = _STATUS[last.outcome]
        self._publish(
            Rescored(
                time=now_ns / 1e9, finding_id=finding.id, run=runs[-1], outcome=last.outcome,
                benign=last.benign, attack=last.attack, looks=len(looks),
                after_s=(now_ns - (finding.raised_ns or 0)) / 1e9,
                took_ms=(time.perf_counter() - began) * 1e3,
            )
        )  # fmt: skip

    def _look_again(self, finding: OpenFinding) -> Look:
        """Look with the model that raised it: what evaded one model is not for that to settle."""
        if finding.hiding and self._second is not None:
            return self._ask(self._second, finding)
        return self._look(self._model, finding)

    def _look(self, model: ThreatModel, finding: OpenFinding) -> Look:
        assert finding.row is not None
        named = np.array([finding.at], np.int64)
        margin = model.score(finding.row[None, :], named, early=finding.early).margin
        return Look(
            math.exp(-float(margin[0])),
            float(model.attack_p_value(margin, named)[0]),
            self._level,
        )

    def _ask(self, second: EvasionOpinion, finding: OpenFinding) -> Look:
        assert finding.row is not None
        margin = second.margin(finding.row[None, :])
        attack = second.attack_p_value(margin, np.array([finding.at], np.int64))
        return Look(math.exp(-float(margin[0])), float(attack[0]), self._level)
