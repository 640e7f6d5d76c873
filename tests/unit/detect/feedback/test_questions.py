"""Questions are about the most uncertain flows, of all causes in turn, and never about answered ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.core.lists import Lists
from qwarden.detect.behaviours import NO_BEHAVIOUR, cause_keys
from qwarden.detect.feedback.flows import KnownFlow, cause_text, derive
from qwarden.detect.feedback.missed import judge_flow
from qwarden.detect.feedback.questions import A_CAUSE, Question, ask, asked_about, open_questions
from qwarden.detect.feedback.verdicts import judge_finding
from qwarden.detect.lookup import find_finding
from qwarden.detect.shipped import load_default_model

from .conftest import FPR, Seen


def all_doubts(seen: Seen) -> dict[str, tuple[float, str]]:
    """Return each flow's distance from the budget, and its cause, worked out plainly."""
    model, found = load_default_model(), {}
    for piece in derive(seen.home, seen.source):
        for at in np.flatnonzero(piece.named != NO_BEHAVIOUR):
            one = slice(at, at + 1)
            p = model.score(piece.rows[one], piece.named[one]).p_value[0]
            cause = cause_text(cause_keys(piece.flows[one], piece.named[one])[0])
            found[piece.id(at)] = (abs(np.log(p / FPR)), cause)
    return found


def test_a_round_takes_the_most_uncertain_of_each_cause_first(seen: Seen) -> None:
    doubts, model = all_doubts(seen), load_default_model()
    causes = {cause for _, cause in doubts.values()}
    found = ask(seen.store, seen.bus, seen.home, model, fpr=FPR, level=0.001, count=30)
    asked = [question.flow_id for question in found.questions]
    assert len(asked) == len(set(asked)) == 30
    assert found.candidates == len(doubts)
    if all(question.why == "near" for question in found.questions):
        first = {c: min(d for d, cause in doubts.values() if cause == c) for c in causes}
        expected = sorted(first.values())[: min(30, len(causes))]
        assert [doubts[id][0] for id in asked[: len(expected)]] == pytest.approx(expected)
    shares = Counter(doubts[id][1] for id in asked)
    assert len(shares) == min(30, len(causes))
    assert max(shares.values()) - min(shares.values()) <= A_CAUSE
    many = ask(seen.store, seen.bus, seen.home, model, fpr=FPR, level=0.001, count=10_000)
    assert max(Counter(doubts[q.flow_id][1] for q in many.questions).values()) <= A_CAUSE


def test_answered_flows_and_judged_causes_are_not_asked_again(seen: Seen) -> None:
    doubts, model = all_doubts(seen), load_default_model()

    def round_of(count: int) -> list[Question]:
        found = ask(seen.store, seen.bus, seen.home, model, fpr=FPR, level=0.001, count=count)
        return list(found.questions)

    first = round_of(10)
    stored = seen.store.count(kind=Question.kind)
    assert [q.id for q in round_of(10)] == [q.id for q in first]  # nothing has changed, nothing is stored
    assert seen.store.count(kind=Question.kind) == stored
    for question in first[:4]:
        known = asked_about(seen.store, question.flow_id)
        judge_flow(
            seen.bus, seen.home, question.flow_id, attack=False, reason="known", author="ann", known=known
        )
    assert [q.flow_id for q in open_questions(seen.store)] == [q.flow_id for q in first[4:]]
    finding = seen.findings[0]
    judge_finding(seen.store, seen.bus, Lists(seen.store), finding.id, attack=True, reason="x", author="ann")
    rest = round_of(10_000)
    assert not {q.flow_id for q in first[:4]} & {q.flow_id for q in rest}
    judged = KnownFlow.read(find_finding(seen.store, finding.id).evidence, "finding").cause
    assert judged in {cause for _, cause in doubts.values()}
    assert judged not in {doubts[q.flow_id][1] for q in rest}


def test_an_answer_does_not_need_the_archive(seen: Seen) -> None:
    (question,) = ask(
        seen.store, seen.bus, seen.home, load_default_model(), fpr=FPR, level=0.001, count=1
    ).questions
    known = asked_about(seen.store, question.flow_id)
    assert known is not None
    for path in (seen.home / "flows").glob("*/*.parquet"):
        path.unlink()
    verdict = judge_flow(
        seen.bus, seen.home, question.flow_id, attack=True, reason="x", author="ann", known=known
    )
    assert verdict.evidence == question.evidence
    assert open_questions(seen.store) == []


def test_bad_questions(seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = load_default_model()
    with pytest.raises(UsageError, match="count"):
        ask(seen.store, seen.bus, seen.home, model, fpr=FPR, level=0.001, count=0)
    with pytest.raises(UsageError, match="no flows"):
        ask(seen.store, seen.bus, tmp_path_factory.mktemp("empty"), model, fpr=FPR, level=0.001)
