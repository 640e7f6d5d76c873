"""Questions to people: the flows about which an answer would teach most.

A model is uncertain of a flow that shows a behaviour and whose p-value lies near the false-positive budget,
on either side; first come those whose conformal set holds both classes (`qwarden.detect.rescoring`). A round
goes through the causes in turn, the most uncertain one first, one flow of each before a second of any: a
hundred flows of one cause would be one question. What was answered is not asked again, neither the flow nor,
where a finding was judged, its cause.

Source: Settles 2009, "Active learning literature survey", sections 3.1 and 5.2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from qwarden.core.clock import uuid7
from qwarden.core.errors import InputError, QwardenError, UsageError
from qwarden.core.events import Event
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.archive import sources
from qwarden.detect.behaviours import NO_BEHAVIOUR, cause_keys
from qwarden.detect.feedback.answers import given_verdicts
from qwarden.detect.feedback.flows import KnownFlow, Piece, cause_text, derive
from qwarden.detect.feedback.missed import FlowVerdict
from qwarden.detect.lookup import find_finding
from qwarden.formats.flows import join_address

if TYPE_CHECKING:
    from qwarden.core.bus import Bus
    from qwarden.core.store import Store
    from qwarden.detect.model import ThreatModel

COUNT: Final = 100
"""Questions a round."""

A_CAUSE: Final = 5
"""Questions about one cause, at most."""

AMBIGUOUS, NEAR = "ambiguous", "near"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Event):
    """A flow that a model is uncertain of; `time` is wall time.

    Parameters
    ----------
    round : the same for all questions of a round.
    flow_id : as ``SOURCE:NUMBER``.
    why : ``ambiguous``: both classes are possible; ``near``: its p-value is near the budget.
    p_value, twin_p_value, fpr : the model's, the twin's, and the budget.
    model : name and version.
    evidence : the flow, its row and behaviour, as `KnownFlow.document`.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "question"

    round: str
    flow_id: str
    why: str
    p_value: float
    twin_p_value: float
    fpr: float
    model: str
    evidence: dict[str, Any]

    def known(self) -> KnownFlow:
        """Return its flow; `InputError` if it is of another version."""
        return KnownFlow.read(self.evidence, f"question about flow {self.flow_id}")

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, without the row."""
        flow = self.known().flow[0]
        return {
            "flow": self.flow_id, "kind": self.evidence["behaviour"], "why": self.why,
            "src_ip": join_address(flow["src_hi"], flow["src_lo"]),
            "dst_ip": join_address(flow["dst_hi"], flow["dst_lo"]),
            "dst_port": int(flow["dst_port"]) if flow["dst_port"] >= 0 else None,
            "start": int(flow["start_ns"]) / 1e9, "p_value": self.p_value,
            "twin_p_value": self.twin_p_value, "fpr": self.fpr, "model": self.model,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Round:
    """A round of questions.

    Attributes
    ----------
    questions : the most uncertain first.
    new : False where they are those that are open already.
    candidates : flows that show a behaviour and were looked at.
    passed_over : sources whose rows can no longer be derived, with the reason.
    """

    questions: tuple[Question, ...]
    new: bool
    candidates: int
    passed_over: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A flow that may be asked about; the lesser `doubt` is the greater uncertainty."""

    doubt: float
    id: str
    cause: str
    why: str
    p_value: float
    twin_p_value: float
    known: KnownFlow


def ask(
    store: Store,
    bus: Bus,
    home: Path,
    model: ThreatModel,
    *,
    fpr: float,
    level: float,
    count: int = COUNT,
    progress: Progress = SILENT,
) -> Round:
    """Pick the flows of the archive that a model is least certain of, and keep them as questions.

    They take the place of those of earlier rounds. Where nothing has changed, the open questions are returned
    and nothing is stored.

    Parameters
    ----------
    fpr : the false-positive budget, near which flows are uncertain.
    level : of the conformal sets (``detect.ambiguity``).

    Raises
    ------
    UsageError
        The archive is empty, or `count` is not above 0.
    """
    if count < 1:
        raise UsageError(f"--count {count}: expected 1 or more")
    there = sources(home)
    if not there:
        raise UsageError("the archive has no flows to ask about: run qwarden detect first")
    answered, judged = _answered(store)
    best: dict[str, list[_Candidate]] = {}
    looked_at, passed_over = 0, []
    with progress.task("look for doubtful flows", len(there)) as task:
        for source in there:
            try:
                for piece in derive(home, source):
                    looked_at += _add_candidates(piece, model, fpr, level, answered, judged, best)
            except InputError as error:
                passed_over.append(str(error))
            task.advance(1)
    chosen = _in_turn(best, count)
    open_ones = open_questions(store)
    called = f"{model.name} {model.version}"
    same = [q.flow_id for q in open_ones] == [c.id for c in chosen] and {q.model for q in open_ones} == {
        called
    }
    if same:
        return Round(tuple(open_ones), False, looked_at, tuple(passed_over))
    now, round_id = time.time(), uuid7()
    questions = tuple(
        Question(
            time=now, round=round_id, flow_id=one.id, why=one.why, p_value=one.p_value,
            twin_p_value=one.twin_p_value, fpr=fpr, model=called, evidence=one.known.document(),
        )
        for one in chosen
    )  # fmt: skip
    if questions:
        bus.publish(*questions)
    return Round(questions, True, looked_at, tuple(passed_over))


def open_questions(store: Store) -> list[Question]:
    """Return the questions of the last round that nobody has answered, in their order."""
    newest = store.events(room=Question.room, kind=Question.kind, limit=1)
    if not newest or not isinstance(newest[0], Question):
        return []
    asked = [q for q in _all_questions(store) if q.round == newest[0].round]
    answered = {given.about for given in given_verdicts(store)[0]}
    return [question for question in asked if question.flow_id not in answered]


def asked_about(store: Store, flow_id: str) -> KnownFlow | None:
    """Return the flow as the newest question about it keeps it, None if it was never asked about."""
    found = [question for question in _all_questions(store) if question.flow_id == flow_id]
    return found[-1].known() if found else None


def _all_questions(store: Store) -> list[Question]:
    found: list[Question] = []
    after = 0
    while page := store.after(after, room=Question.room, kind=Question.kind):
        found += [stored.event for stored in page if isinstance(stored.event, Question)]
        after = page[-1].seq
    return found


def _answered(store: Store) -> tuple[set[str], set[str]]:
    """Return the ids of flows that were judged, and the causes of findings that were."""
    flows, causes = set(), set()
    for given in given_verdicts(store)[0]:
        if isinstance(given.event, FlowVerdict):
            flows.add(given.about)
            continue
        try:
            evidence = find_finding(store, given.about).evidence
            causes.add(KnownFlow.read(evidence, given.about).cause)
        except QwardenError:
            continue  # of another version: it excludes nothing
    return flows, causes


def _add_candidates(
    piece: Piece,
    model: ThreatModel,
    fpr: float,
    level: float,
    answered: Collection[str],
    judged: Collection[str],
    best: dict[str, list[_Candidate]],
) -> int:
    """Take up the most uncertain flows of a piece, `A_CAUSE` of a cause; return how many it looked at."""
    chosen = np.flatnonzero(piece.sound & (piece.named != NO_BEHAVIOUR))
    if not chosen.size:
        return 0
    named = piece.named[chosen]
    scores = model.score(piece.rows[chosen], named)
    attack_p = model.attack_p_value(scores.margin, named)
    # A model that knows no attack of a behaviour gives 1 to whatever shows it, however harmless.
    knows = model.attack_p_value(np.full(len(named), -1.0), named) < 1.0
    ambiguous = knows & (np.exp(-scores.margin) > level) & (attack_p > level)
    distance = np.abs(np.log(scores.p_value) - math.log(fpr))
    keys = cause_keys(piece.flows[chosen], named)
    for i in np.lexsort((chosen, distance, ~ambiguous)).tolist():
        at = int(chosen[i])
        id, cause = piece.id(at), cause_text(keys[i])
        mine = best.setdefault(cause, [])
        if id in answered or cause in judged:
            continue
        doubt = float(distance[i]) - (_FIRST if ambiguous[i] else 0.0)
        if len(mine) == A_CAUSE and doubt >= mine[-1].doubt:
            continue
        mine.append(
            _Candidate(
                doubt, id, cause, AMBIGUOUS if ambiguous[i] else NEAR, float(scores.p_value[i]),
                1.0 - float(scores.twin[i]), piece.flow(at),
            )
        )  # fmt: skip
        mine.sort(key=lambda candidate: (candidate.doubt, candidate.id))
        del mine[A_CAUSE:]
    return int(chosen.size)


_FIRST: Final = 1e6
"""Puts ambiguous flows before all others."""


def _in_turn(best: dict[str, list[_Candidate]], count: int) -> list[_Candidate]:
    """Return one flow of each cause, the most uncertain first, then a second of each, and so on."""
    ranked = [(rank, one.doubt, one.id, one) for mine in best.values() for rank, one in enumerate(mine)]
    return [one for *_, one in sorted(ranked, key=lambda item: item[:3])[:count]]
