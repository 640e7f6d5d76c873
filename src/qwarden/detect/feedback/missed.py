"""An attack that was missed, and verdicts on single flows.

A verdict on a flow keeps the flow and its feature row with it: the archive forgets, verdicts do not. One that
says an attack was missed also has its surroundings looked at again: flows of the same source, destination or
service within an hour, at wider and wider budgets, until something there would alarm that did not. Each
widening is an attempt of `core.backtrack`, on record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import numpy as np

from qwarden.core.backtrack import Attempt, Backtrack, BacktrackStep, Parameters, Verdict
from qwarden.core.clock import TrafficClock
from qwarden.core.errors import BacktrackExhausted, UsageError
from qwarden.core.events import Event
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR
from qwarden.detect.feedback.flows import KnownFlow, Piece, derive, find_flow, sources_at
from qwarden.formats.flows import join_address

if TYPE_CHECKING:
    from qwarden.core.bus import Bus
    from qwarden.core.store import Store
    from qwarden.detect.model import ThreatModel

WITHIN_S: Final = 3600.0
"""How far surroundings reach, in traffic time before the flow's start and after its end."""
WIDER: Final = (10.0, 100.0, 1000.0)
"""Multiples of the false-positive budget that are tried in turn."""
WIDEST: Final = 0.5
LISTED: Final = 200
"""Flows that an event names, the most suspicious first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowVerdict(Event):
    """What a person said of one flow; the last one counts. `time` is wall time.

    Parameters
    ----------
    flow_id : as ``SOURCE:NUMBER``.
    attack : whether it was part of an attack.
    missed : whether it was told as an attack that was missed.
    label : the kind of attack as the person calls it, else the behaviour it shows; empty if it shows none.
    reason, author : why, and who says so.
    evidence : the flow, its row and behaviour, as `KnownFlow.document`.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "flow_verdict"

    flow_id: str
    attack: bool
    missed: bool
    label: str
    reason: str
    author: str
    evidence: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, without the row."""
        return {
            "flow": self.flow_id, "attack": self.attack, "missed": self.missed, "kind": self.label or None,
            "shows": self.evidence.get("behaviour"), "reason": self.reason, "author": self.author,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SurroundingsRescored(Event):
    """The surroundings of a missed attack were looked at again; `time` is the flow's end, traffic time.

    Parameters
    ----------
    verdict_id : of the `FlowVerdict`.
    run : the backtracking's steps carry it.
    fpr : the budget at which something would alarm, or the widest that was tried.
    looked_at : flows of the surroundings that show a behaviour.
    alarming : how many of them would alarm at that budget and did not.
    flows : the ids of the first `LISTED` of them.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "surroundings_rescored"

    verdict_id: str
    run: str
    fpr: float
    looked_at: int
    alarming: int
    flows: list[str]


@dataclass(frozen=True, slots=True)
class Nearby:
    """A flow of the surroundings that shows a behaviour, and its score."""

    id: str
    kind: str
    src_ip: str
    dst_ip: str
    dst_port: int | None
    start: float
    p_value: float
    twin_p_value: float
    told: bool

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id, "kind": self.kind, "src_ip": self.src_ip, "dst_ip": self.dst_ip,
            "dst_port": self.dst_port, "start": self.start, "p_value": self.p_value,
            "twin_p_value": self.twin_p_value,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Missed:
    """A missed attack as it was reported, and what its surroundings say.

    Attributes
    ----------
    verdict, rescored : as they are stored.
    known : the flow.
    p_value : the flow's own, by the model in use; None if it shows no behaviour and so cannot alarm.
    found : what would alarm at the wider budget, the most suspicious first.
    """

    verdict: FlowVerdict
    rescored: SurroundingsRescored
    known: KnownFlow
    p_value: float | None
    found: tuple[Nearby, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "verdict": self.verdict.document(),
            "p_value": self.p_value,
            "surroundings": {
                "run": self.rescored.run, "fpr": self.rescored.fpr, "looked_at": self.rescored.looked_at,
                "alarming": self.rescored.alarming, "flows": [near.document() for near in self.found],
            },
        }  # fmt: skip


def judge_flow(
    bus: Bus, home: Path, id: str, *, attack: bool, reason: str, author: str, known: KnownFlow | None = None
) -> FlowVerdict:
    """Keep a verdict on a flow of the archive.

    Parameters
    ----------
    known : the flow, where a question kept it; else it is derived from the archive.

    Raises
    ------
    UsageError, InputError
        As `find_flow`; or reason or author is none.
    """
    return _keep(bus, id, known or find_flow(home, id), attack, False, "", reason, author)


def report_missed(
    bus: Bus,
    home: Path,
    model: ThreatModel,
    id: str,
    *,
    kind: str | None,
    fpr: float,
    reason: str,
    author: str,
    progress: Progress = SILENT,
) -> Missed:
    """Keep that a flow was part of an attack that was missed, and look at its surroundings again.

    Parameters
    ----------
    kind : one of `KINDS`, if the person knows.
    fpr : the budget in use; wider ones are tried.

    Raises
    ------
    UsageError, InputError
        As `find_flow`; or the kind is none, or reason or author.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind {kind}: expected one of {', '.join(KINDS)}")
    known = find_flow(home, id)
    verdict = _keep(bus, id, known, True, True, kind or "", reason, author)
    nearby = _surroundings(home, model, known, progress)
    mine = next((near for near in nearby if near.id == id), None)
    rescored, found = _widen(bus.publish, verdict, known, nearby, fpr)
    bus.publish(rescored)
    return Missed(verdict, rescored, known, None if mine is None else mine.p_value, found)


def flow_verdicts(store: Store) -> list[FlowVerdict]:
    """Return every verdict on a flow, in the order they were given."""
    found: list[FlowVerdict] = []
    after = 0
    while page := store.after(after, room=FlowVerdict.room, kind=FlowVerdict.kind):
        found += [stored.event for stored in page if isinstance(stored.event, FlowVerdict)]
        after = page[-1].seq
    return found


def _keep(
    bus: Bus, id: str, known: KnownFlow, attack: bool, missed: bool, label: str, reason: str, author: str
) -> FlowVerdict:
    for name, value in (("reason", reason), ("author", author)):
        if not value.strip():
            raise UsageError(f"--{name}: expected a text")
    verdict = FlowVerdict(
        time=time.time(), flow_id=id, attack=attack, missed=missed, label=label or known.kind or "",
        reason=reason, author=author, evidence=known.document(),
    )  # fmt: skip
    bus.publish(verdict)
    return verdict


def _surroundings(home: Path, model: ThreatModel, known: KnownFlow, progress: Progress) -> list[Nearby]:
    """Return the flows around one that show a behaviour, itself among them, the most suspicious first."""
    flow = known.flow[0]
    since, until = flow["start_ns"] / 1e9 - WITHIN_S, flow["end_ns"] / 1e9 + WITHIN_S
    found: list[Nearby] = []
    there = sources_at(home, since, until)
    with progress.task("surroundings", len(there)) as task:
        for source in there:
            for piece in derive(home, source):
                found += _scored_near(model, known, piece, since, until)
            task.advance(1)
    return sorted(found, key=lambda near: (near.p_value, near.start, near.id))


def _scored_near(
    model: ThreatModel, known: KnownFlow, piece: Piece, since: float, until: float
) -> list[Nearby]:
    flow, flows = known.flow[0], piece.flows
    same_source, same_destination = (
        (flows[f"{side}_hi"] == flow[f"{side}_hi"]) & (flows[f"{side}_lo"] == flow[f"{side}_lo"])
        for side in ("src", "dst")
    )
    same_service = (flows["dst_port"] == flow["dst_port"]) & (flows["proto"] == flow["proto"])
    near = (same_source | same_destination | same_service) & piece.sound & (piece.named != NO_BEHAVIOUR)
    near &= (flows["end_ns"] >= since * 1e9) & (flows["start_ns"] <= until * 1e9)
    chosen = np.flatnonzero(near)
    if not chosen.size:
        return []
    scores = model.score(piece.rows[chosen], piece.named[chosen])
    return [
        Nearby(
            piece.id(at), KINDS[piece.named[at]],
            join_address(flows["src_hi"][at], flows["src_lo"][at]),
            join_address(flows["dst_hi"][at], flows["dst_lo"][at]),
            int(flows["dst_port"][at]) if flows["dst_port"][at] >= 0 else None,
            int(flows["start_ns"][at]) / 1e9, float(scores.p_value[i]), 1.0 - float(scores.twin[i]),
            bool(piece.told[at]),
        )
        for i, at in enumerate(chosen.tolist())
    ]  # fmt: skip


def _widen(
    publish: Callable[[Event], None], verdict: FlowVerdict, known: KnownFlow, nearby: list[Nearby], fpr: float
) -> tuple[SurroundingsRescored, tuple[Nearby, ...]]:
    """Widen the budget until something would alarm that did not, or it is as wide as may be."""
    budgets = list(dict.fromkeys(min(fpr * factor, WIDEST) for factor in WIDER))

    def look(parameters: Parameters) -> tuple[Nearby, ...]:
        budget = cast(float, parameters["fpr"])
        return tuple(near for near in nearby if near.p_value <= budget and not near.told)

    def check(found: tuple[Nearby, ...]) -> Verdict:
        if found:
            return Verdict.accept(f"{len(found)} of {len(nearby)} flows would alarm")
        return Verdict.reject(f"none of {len(nearby)} flows would alarm")

    def wider(last: Attempt[tuple[Nearby, ...]]) -> Parameters:
        at = budgets.index(cast(float, last.parameters["fpr"]))
        return {**last.parameters, "fpr": budgets[at + 1]}

    runs: list[str] = []

    def keep(step: Event) -> None:
        if isinstance(step, BacktrackStep):
            runs.append(step.run)
        publish(step)

    ends = int(known.flow["end_ns"][0]) / 1e9
    action: Backtrack[tuple[Nearby, ...]] = Backtrack(
        by="detect", subject=f"surroundings of flow {verdict.flow_id}", attempt=look, check=check,
        undo=lambda _: None, change=wider, publish=keep, at_most=len(budgets), clock=TrafficClock(ends),
    )  # fmt: skip
    found: tuple[Nearby, ...] = ()
    budget = budgets[-1]
    try:
        done = action.run({"fpr": budgets[0], "within_s": WITHIN_S})
        found, budget = done.result, cast(float, done.attempts[-1].parameters["fpr"])
    except BacktrackExhausted:
        pass  # on record; the answer is that nothing would alarm
    rescored = SurroundingsRescored(
        time=ends, verdict_id=verdict.id, run=runs[-1], fpr=budget, looked_at=len(nearby),
        alarming=len(found), flows=[near.id for near in found[:LISTED]],
    )  # fmt: skip
    return rescored, found[:LISTED]
