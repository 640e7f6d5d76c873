"""Verdicts become rows: the last one counts, a cause is never torn apart, what teaches nothing is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.clock import uuid7
from qwarden.core.config import DetectSettings
from qwarden.core.errors import UsageError
from qwarden.core.lists import Lists
from qwarden.detect.archive import Query, search
from qwarden.detect.behaviours import NO_BEHAVIOUR, cause_keys
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.feedback.answers import FLOWS_A_CAUSE, Answer, Given, deal, gather, rows_of
from qwarden.detect.feedback.flows import cause_text
from qwarden.detect.feedback.learning import learn
from qwarden.detect.feedback.missed import judge_flow, report_missed
from qwarden.detect.feedback.verdicts import AnalystVerdict, judge_finding
from qwarden.detect.shipped import load_default_model
from qwarden.formats.flows import unknown_flows

from .conftest import FPR, Seen


def say(seen: Seen, id: str, attack: bool) -> None:
    judge_finding(seen.store, seen.bus, Lists(seen.store), id, attack=attack, reason="x", author="ann")


def test_a_finding_stands_for_the_flows_of_its_cause(seen: Seen) -> None:
    for finding in seen.findings:
        say(seen, finding.id, True)
    answers = gather(seen.store, seen.home)
    assert len(answers.usable) == len(seen.findings) >= 3
    assert (answers.unusable, answers.contradicted) == ((), 0)
    archived = search(seen.home, Query())
    keys = np.array([cause_text(key) for key in cause_keys(archived.flows, archived.behaviours)])
    for answer, finding in zip(answers.usable, seen.findings, strict=True):
        during = (archived.flows["end_ns"] / 1e9 >= finding.start) & (
            archived.flows["start_ns"] / 1e9 <= finding.end
        )
        mine = {flow.tobytes() for flow in archived.flows[during & (keys == answer.cause)]}
        assert {flow.tobytes() for flow in answer.flows} <= mine
        assert min(FLOWS_A_CAUSE, len(mine)) - 1 <= len(answer.rows) <= min(FLOWS_A_CAUSE, len(mine))
        assert answer.label == finding.behaviour
    rows, labels, named = rows_of(answers.usable)
    assert rows.shape == (len(labels), len(FEATURE_NAMES)) == (len(named), len(FEATURE_NAMES))


def test_the_last_verdict_counts_and_both_are_on_record(seen: Seen) -> None:
    finding = seen.findings[0]
    for attack in (True, False, True, False):
        say(seen, finding.id, attack)
    answers = gather(seen.store, seen.home)
    (answer,) = answers.usable
    assert (answer.attack, answer.label, answers.contradicted) == (False, "benign", 1)
    assert seen.store.count(kind=AnalystVerdict.kind) == 4


def test_no_flow_is_taught_as_both(seen: Seen) -> None:
    """A finding was an attack, says one; one of its flows was none, says a later verdict."""
    finding = next(f for f in seen.findings if f.flows >= 4)
    say(seen, finding.id, True)
    (whole,) = gather(seen.store, seen.home).usable
    other = whole.flows[1:2].tobytes()
    archived = search(seen.home, Query())
    id = next(i for i, flow in zip(archived.ids(), archived.flows, strict=True) if flow.tobytes() == other)
    judge_flow(seen.bus, seen.home, id, attack=False, reason="x", author="bob")
    first, second = gather(seen.store, seen.home).usable
    assert (first.attack, second.attack) == (True, False)
    assert not {f.tobytes() for f in first.flows} & {f.tobytes() for f in second.flows}
    assert len(first.rows) == len(whole.rows) - 1


def test_what_teaches_nothing_is_named(seen: Seen) -> None:
    archived = search(seen.home, Query())
    plain = archived.ids()[np.flatnonzero(archived.behaviours == NO_BEHAVIOUR)[0]]
    report_missed(
        seen.bus, seen.home, load_default_model(), plain, kind="beacon", fpr=FPR, reason="x", author="ann"
    )
    missing = uuid7()
    gone = AnalystVerdict(time=1.0, finding_id=missing, attack=True, reason="x", author="ann")
    seen.bus.publish(gone)
    answers = gather(seen.store, seen.home)
    assert answers.usable == ()
    reasons = {one.about: why for one, why in answers.unusable}
    assert "no named behaviour" in reasons[plain]
    assert "no finding" in reasons[missing]
    with pytest.raises(UsageError, match="none of 2 verdicts can be learnt from"):
        learn(seen.home, seen.store, DetectSettings(fpr=FPR))


def test_nothing_can_be_judged_by_one_cause_alone(seen: Seen) -> None:
    with pytest.raises(UsageError, match="no verdicts yet"):
        learn(seen.home, seen.store, DetectSettings(fpr=FPR))
    say(seen, seen.findings[0].id, False)
    with pytest.raises(UsageError, match="1 verdicts, all on one cause"):
        learn(seen.home, seen.store, DetectSettings(fpr=FPR))


def test_a_verdict_outlives_the_archive(seen: Seen) -> None:
    finding = seen.findings[0]
    say(seen, finding.id, False)
    for path in (seen.home / "flows").glob("*/*.parquet"):
        path.unlink()
    (answer,) = gather(seen.store, seen.home).usable
    assert len(answer.rows) == 1


def made(cause: str, attack: bool, seq: int) -> Answer:
    event = AnalystVerdict(time=1.0, finding_id=str(seq), attack=attack, reason="x", author="a")
    rows = np.zeros((1, len(FEATURE_NAMES)))
    label = "beacon" if attack else "benign"
    return Answer(Given(seq, str(seq), event), label, cause, unknown_flows(1), rows, np.zeros(1, np.int64))


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60))
def test_causes_stay_whole_and_every_answer_has_one_use(said: list[tuple[int, bool]]) -> None:
    answers = [made(f"beacon {cause}", attack, seq) for seq, (cause, attack) in enumerate(said)]
    lesson = deal(answers)
    parts = (lesson.train, lesson.calibrate, lesson.held_back)
    assert sorted(a.given.seq for part in parts for a in part) == list(range(len(answers)))
    held = {a.cause for a in lesson.held_back}
    assert not held & {a.cause for part in parts[:2] for a in part}
    assert not any(a.attack for a in lesson.calibrate)
    if len({cause for cause, _ in said}) >= 2 and len({attack for _, attack in said}) == 1:
        assert lesson.train
        assert lesson.held_back


def test_what_is_held_back_stays_so_when_more_is_said() -> None:
    answers = [made(f"beacon {at}", at % 2 == 0, at) for at in range(200)]
    few, many = deal(answers[:100]), deal(answers)
    assert {a.cause for a in few.held_back} <= {a.cause for a in many.held_back}
    assert {a.cause for a in few.train} <= {a.cause for a in many.train}
    assert 0.2 < len(many.held_back) / 200 < 0.45


def test_answers_without_rows_are_no_rows() -> None:
    assert [len(part) for part in rows_of([])] == [0, 0, 0]
    assert rows_of([replace(made("x", True, 1), label="guessing")])[1].tolist() == ["guessing"]


def test_labels_are_not_cut_off() -> None:
    labels = rows_of([made("x", False, 1), replace(made("y", True, 2), label="scan_horizontal")])[1]
    assert labels.tolist() == ["benign", "scan_horizontal"]
