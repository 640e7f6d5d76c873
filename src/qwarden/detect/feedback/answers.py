"""What people have said so far, as rows to learn from.

Verdicts on findings and on flows are events of the store; that is the queue, and nothing else keeps it. Of
several verdicts on the same finding or flow the last one counts. A finding stands for its cause: the flows of
that cause in the archive, between its start and its end, and the flow that it keeps itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError, QwardenError
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.archive import source_path, sources
from qwarden.detect.behaviours import KINDS, cause_keys
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.feedback.flows import KnownFlow, Piece, cause_text, derive
from qwarden.detect.feedback.missed import FlowVerdict
from qwarden.detect.feedback.verdicts import AnalystVerdict
from qwarden.detect.lookup import StoredFinding, find_finding
from qwarden.detect.training import CALIBRATE, HOLD_OUT, TRAIN
from qwarden.formats.flows import NOT_YET_FIRST, Flows

if TYPE_CHECKING:
    from qwarden.core.store import Store

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

FLOWS_A_CAUSE: Final = 20
"""Rows that one verdict gives, evenly spread: a flood of 10,000 flows would teach nothing but floods."""

_HELD_BACK: Final = 3
"""One cause in so many is held back."""
_CALIBRATES: Final = 6
"""Of the dismissed ones, one in so many serves the calibration, and not the training."""


@dataclass(frozen=True, slots=True)
class Given:
    """A verdict that counts: the last one on its finding or flow.

    Attributes
    ----------
    seq : its number in the store.
    about : the id of the finding, or of the flow.
    event : the verdict.
    """

    seq: int
    about: str
    event: AnalystVerdict | FlowVerdict


@dataclass(frozen=True, slots=True)
class Answer:
    """What one verdict has to teach.

    Attributes
    ----------
    given : the verdict.
    label : ``benign``, or the kind of attack.
    cause : what its flows have in common, as `cause_text`.
    flows, rows, named : its k flows, their rows (k, d) and behaviours (k,).
    """

    given: Given
    label: str
    cause: str
    flows: Flows
    rows: F64
    named: I64

    @property
    def attack(self) -> bool:
        """Whether it was an attack."""
        return self.given.event.attack


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that can be learnt from, and what cannot.

    Attributes
    ----------
    usable : in the order they were given.
    unusable : verdicts that teach nothing, with the reason.
    contradicted : findings and flows on which people said one thing and later another.
    through : number of the last verdict looked at, 0 if there is none.
    """

    usable: tuple[Answer, ...]
    unusable: tuple[tuple[Given, str], ...]
    contradicted: int
    through: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """Answers dealt to their uses, always by cause.

    Attributes
    ----------
    train, calibrate, held_back : the answers of each.
    """

    train: tuple[Answer, ...]
    calibrate: tuple[Answer, ...]
    held_back: tuple[Answer, ...]


def given_verdicts(store: Store) -> tuple[list[Given], int]:
    """Return the verdicts that count, in the order they were given, and how many were contradicted."""
    last: dict[str, Given] = {}
    contradicted: set[str] = set()
    for given in _all_verdicts(store):
        before = last.pop(given.about, None)
        if before is not None and before.event.attack != given.event.attack:
            contradicted.add(given.about)
        last[given.about] = given
    return list(last.values()), len(contradicted)


def gather(store: Store, home: Path, progress: Progress = SILENT) -> Answers:
    """Turn the verdicts that count into rows; what cannot be used is named, and no error."""
    given, contradicted = given_verdicts(store)
    found: list[tuple[Answer, StoredFinding | None]] = []
    unusable: list[tuple[Given, str]] = []
    for verdict in given:
        try:
            found.append(_answer(store, verdict))
        except QwardenError as error:
            unusable.append((verdict, str(error)))
    whole = _with_causes(home, found, progress)
    usable = []
    for answer in _last_word(whole):
        if answer.flows.size:
            usable.append(answer)
        else:
            unusable.append((answer.given, "later verdicts speak of all its flows"))
    through = max((one.seq for one in given), default=0)
    return Answers(tuple(usable), tuple(unusable), contradicted, through)


def deal(answers: Sequence[Answer]) -> Lesson:
    """Deal answers to training, calibration and judgement, whole causes at a time.

    A cause's place follows from its name alone, so what was held back once is held back for ever, and no
    later model has trained on what an earlier one is judged by. A class of at least two causes has one held
    back and one to train on, whatever their names.
    """
    uses: dict[tuple[str, bool], int] = {}
    for attack in (False, True):
        causes = sorted({a.cause for a in answers if a.attack == attack}, key=_place)
        for cause in causes:
            uses[cause, attack] = _use(cause, attack)
        if len(causes) >= 2:
            held = [cause for cause in causes if uses[cause, attack] == HOLD_OUT]
            if not held:
                uses[causes[0], attack] = HOLD_OUT
            if not any(uses[cause, attack] == TRAIN for cause in causes):
                free = [cause for cause in causes if uses[cause, attack] != HOLD_OUT] or causes
                uses[free[-1], attack] = TRAIN
        elif causes:
            uses[causes[0], attack] = TRAIN
    # One cause that was called both serves one use only.
    for cause in {cause for cause, _ in uses}:
        if HOLD_OUT in (uses.get((cause, False)), uses.get((cause, True))):
            for attack in (False, True):
                if (cause, attack) in uses:
                    uses[cause, attack] = HOLD_OUT
    parts = {use: tuple(a for a in answers if uses[a.cause, a.attack] == use) for use in set(uses.values())}
    return Lesson(parts.get(TRAIN, ()), parts.get(CALIBRATE, ()), parts.get(HOLD_OUT, ()))


def rows_of(answers: Sequence[Answer]) -> tuple[F64, npt.NDArray[np.str_], I64]:
    """Return rows (n, d), labels (n,) and behaviours (n,) of answers."""
    if not answers:
        return np.empty((0, len(FEATURE_NAMES))), np.empty(0, "<U16"), np.empty(0, np.int64)
    labels = np.concatenate([np.full(len(a.rows), a.label) for a in answers])
    return np.concatenate([a.rows for a in answers]), labels, np.concatenate([a.named for a in answers])


def _all_verdicts(store: Store) -> Iterator[Given]:
    found: list[Given] = []
    for kind in (AnalystVerdict, FlowVerdict):
        after = 0
        while page := store.after(after, room=kind.room, kind=kind.kind):
            for stored in page:
                event = stored.event
                if isinstance(event, AnalystVerdict):
                    found.append(Given(stored.seq, event.finding_id, event))
                elif isinstance(event, FlowVerdict):
                    found.append(Given(stored.seq, event.flow_id, event))
            after = page[-1].seq
    yield from sorted(found, key=lambda given: given.seq)


def _answer(store: Store, given: Given) -> tuple[Answer, StoredFinding | None]:
    """Return what a verdict teaches by itself, and the finding it is about."""
    event, finding = given.event, None
    if isinstance(event, FlowVerdict):
        place, evidence, said = f"flow {event.flow_id}", event.evidence, event.label
    else:
        finding = find_finding(store, event.finding_id)
        place, evidence, said = f"finding {event.finding_id}", finding.evidence, ""
    known = KnownFlow.read(evidence, place)
    if known.kind is None:
        raise InputError(place, "shows no named behaviour, so it could not alarm: there is nothing to learn")
    label = "benign" if not event.attack else said if said in KINDS else known.kind
    return (
        Answer(given, label, known.cause, known.flow, known.row[None, :], np.array([known.behaviour])),
        finding,
    )


def _with_causes(
    home: Path, found: Sequence[tuple[Answer, StoredFinding | None]], progress: Progress
) -> list[Answer]:
    """Add to each answer on a finding the flows of its cause that the archive still has."""
    by_path: dict[str, list[int]] = {}
    for at, (_, finding) in enumerate(found):
        if finding is not None:
            path = str(Path(finding.document["source"]).absolute())
            by_path.setdefault(path, []).append(at)
    more: dict[int, list[Piece]] = {at: [] for at in range(len(found))}
    wanted = {id: members for id in sources(home) if (members := by_path.get(str(source_path(home, id))))}
    with progress.task("flows of the verdicts", len(wanted)) as task:
        for id, members in wanted.items():
            try:
                for piece in derive(home, id):
                    _collect(piece, members, found, more)
            except InputError:
                pass  # what the archive has let go of cannot be added; the verdict keeps its own flow
            task.advance(1)
    return [_grown(answer, more[at]) for at, (answer, _) in enumerate(found)]


def _collect(
    piece: Piece,
    members: Sequence[int],
    found: Sequence[tuple[Answer, StoredFinding | None]],
    more: Mapping[int, list[Piece]],
) -> None:
    for at in members:
        answer, finding = found[at]
        assert finding is not None
        since, until = (round(finding.document[end] * 1e9) for end in ("start", "end"))
        # A millisecond of slack: seconds as floats do not hold nanoseconds.
        mine = piece.sound & (piece.named == answer.named[0])
        mine &= (piece.flows["end_ns"] >= since - 1_000_000) & (piece.flows["start_ns"] <= until + 1_000_000)
        chosen = np.flatnonzero(mine)
        keys = cause_keys(piece.flows[chosen], piece.named[chosen])
        chosen = chosen[np.array([cause_text(key) == answer.cause for key in keys], bool)]
        if chosen.size:
            more[at].append(
                Piece(
                    piece.source, piece.flows[chosen], piece.rows[chosen], piece.named[chosen],
                    piece.told[chosen], piece.sound[chosen],
                )
            )  # fmt: skip


def _grown(answer: Answer, pieces: Sequence[Piece]) -> Answer:
    """Add flows to an answer, `FLOWS_A_CAUSE` in all; its own only stays where it had ended."""
    if not pieces:
        return answer
    flows = np.concatenate([piece.flows for piece in pieces])
    rows = np.concatenate([piece.rows for piece in pieces])
    ended = int(answer.flows["end_reason"][0]) < NOT_YET_FIRST
    room = FLOWS_A_CAUSE - int(ended)
    at = np.unique(np.linspace(0, flows.size - 1, min(room, flows.size)).round().astype(np.int64))
    if ended:
        own = answer.flows.tobytes()
        at = at[[flows[i : i + 1].tobytes() != own for i in at.tolist()]]
        flows, rows = np.concatenate([answer.flows, flows[at]]), np.concatenate([answer.rows, rows[at]])
    else:
        flows, rows = flows[at], rows[at]
    return replace(answer, flows=flows, rows=rows, named=np.full(len(rows), answer.named[0], np.int64))


def _last_word(answers: Sequence[Answer]) -> list[Answer]:
    """Let each flow be spoken of by the last verdict alone."""
    last: dict[bytes, int] = {}
    for at, answer in enumerate(answers):
        for i in range(answer.flows.size):
            last[answer.flows[i : i + 1].tobytes()] = at
    kept = []
    for at, answer in enumerate(answers):
        mine = np.array(
            [last[answer.flows[i : i + 1].tobytes()] == at for i in range(answer.flows.size)], bool
        )
        kept.append(
            replace(answer, flows=answer.flows[mine], rows=answer.rows[mine], named=answer.named[mine])
        )
    return kept


def _place(cause: str) -> int:
    return int.from_bytes(hashlib.sha256(cause.encode()).digest()[:8], "big")


def _use(cause: str, attack: bool) -> int:
    place = _place(cause)
    if place % _HELD_BACK == 0:
        return HOLD_OUT
    return CALIBRATE if not attack and place % _CALIBRATES == 1 else TRAIN
