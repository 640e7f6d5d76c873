"""The compiled scoring call: one row's bits whatever stands beside it, and what the members say alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.errors import ModelError
from qwarden.detect._score_loops import TIE
from qwarden.detect.behaviours import KINDS
from qwarden.detect.model import AlarmTable
from qwarden.detect.scoring import FlowScorer, FlowScores
from qwarden.learn import (
    ConformalFusion,
    GradientBoostingTwin,
    HybridClassifier,
    NeighborDistanceTwin,
    Preprocessor,
    QNNClassifier,
    QuantumOneClass,
)

COLUMNS = 9


def some_rows(seed: int, count: int) -> np.ndarray:
    """Counts, shares and flags, some unknown."""
    rng = np.random.default_rng(seed)
    rows = np.exp(rng.normal(size=(count, COLUMNS)) * 2)
    rows[:, 3] = rng.integers(0, 2, count)
    rows[:, 4] = rng.random(count)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


def fitted(method: str) -> tuple[FlowScorer, dict]:
    rows = some_rows(0, 700)
    attack = (np.nan_to_num(rows[:, 0]) > 3).astype(int)
    preprocessor = Preprocessor().fit(rows)
    inputs = preprocessor.transform(rows)
    parts = {
        "preprocessor": preprocessor,
        "hybrid": HybridClassifier(QNNClassifier(3, 2, 20), landmarks=40).fit(inputs, attack),
        "one_class": QuantumOneClass(qubits=3, layers=2, reference_size=150, method=method).fit(
            inputs[attack == 0]
        ),
        "boosting": GradientBoostingTwin(iterations=20).fit(inputs, attack),
        "neighbours": NeighborDistanceTwin(reference_size=150).fit(inputs[attack == 0]),
    }
    scorer = FlowScorer(*parts.values())
    benign = some_rows(1, 900)
    scores = scorer(benign).members
    named = np.random.default_rng(2).integers(-1, len(KINDS), len(benign))
    judges = []
    for mine in (scores[:, :2], scores[:, 2:]):
        fusion = ConformalFusion(combine="tippett").fit(mine)
        judges.append((fusion, AlarmTable.of(-fusion.log_p(mine), named)))
    scorer.judged_by(*judges)
    return scorer, parts | {"judges": judges}


@pytest.fixture(scope="module", params=["neighbours", "eigenspace"])
def made(request: pytest.FixtureRequest) -> tuple[FlowScorer, dict]:
    return fitted(request.param)


ROWS = some_rows(3, 1200)
NAMED = np.random.default_rng(4).integers(-1, len(KINDS), len(ROWS))


def assert_same(one: FlowScores, other: FlowScores) -> None:
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_members_say_in_one_call_what_they_say_by_themselves(made: tuple[FlowScorer, dict]) -> None:
    scorer, parts = made
    inputs = parts["preprocessor"].transform(ROWS)
    expected = np.column_stack(
        [
            parts["hybrid"].decision_function(inputs),
            parts["one_class"].strangeness(inputs),
            parts["boosting"].decision_function(inputs),
            parts["neighbours"].strangeness(inputs),
        ]
    )
    found = scorer(ROWS, NAMED)
    np.testing.assert_allclose(found.members, expected, rtol=0, atol=1e-10)
    for lead, (fusion, alarms) in enumerate(parts["judges"]):
        mine = found.members[:, 2 * lead : 2 * lead + 2]
        np.testing.assert_array_equal(found.margins[lead], -fusion.log_p(mine))
        counted = [
            (1 + (alarms.scores[alarms.starts[k] : alarms.starts[k + 1]] >= margin - TIE).sum())
            / (alarms.total + 1)
            for margin, k in zip(found.margins[lead], NAMED % (len(KINDS) + 1), strict=True)
        ]
        np.testing.assert_array_equal(found.p_values[lead], counted)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=12), st.integers(0, 1000))
def test_bits_do_not_depend_on_how_rows_are_cut(sizes: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(ROWS))[: sum(sizes)]
    together = CUT(ROWS[order], NAMED[order])
    bounds = np.cumsum([0, *sizes])
    for start, stop in itertools.pairwise(bounds):
        part = CUT(ROWS[order[start:stop]], NAMED[order[start:stop]])
        np.testing.assert_array_equal(part.members, together.members[start:stop])
        np.testing.assert_array_equal(part.margins, together.margins[:, start:stop])
        np.testing.assert_array_equal(part.p_values, together.p_values[:, start:stop])


CUT, _ = fitted("eigenspace")


def test_bits_do_not_depend_on_threads(made: tuple[FlowScorer, dict]) -> None:
    scorer, _ = made
    alone = scorer(ROWS, NAMED)
    for threads in (2, 3, 8):
        assert_same(scorer(ROWS, NAMED, threads=threads), alone)


def test_every_row_by_itself(made: tuple[FlowScorer, dict]) -> None:
    scorer, _ = made
    together = scorer(ROWS[:60], NAMED[:60])
    for at in range(60):
        one = scorer(ROWS[at : at + 1], NAMED[at : at + 1])
        assert one.members.tolist() == together.members[at : at + 1].tolist()
        assert one.p_values.tolist() == together.p_values[:, at : at + 1].tolist()


def test_without_the_twins_the_rest_is_the_same(made: tuple[FlowScorer, dict]) -> None:
    scorer, _ = made
    both, one = scorer(ROWS, NAMED), scorer(ROWS, NAMED, twins=False)
    np.testing.assert_array_equal(one.members[:, :2], both.members[:, :2])
    np.testing.assert_array_equal(one.p_values[0], both.p_values[0])
    assert np.isnan(one.members[:, 2:]).all()
    assert np.isnan(one.p_values[1]).all()


def test_a_flow_like_a_calibration_flow_counts_it_however_it_was_rounded() -> None:
    margins = np.array([1.0, 2.0, 2.0, 2.0])
    table = AlarmTable.of(margins, np.zeros(4, np.int64))
    at_it = table.p_value(np.array([2.0]), np.zeros(1, np.int64))[0]
    assert at_it == 4 / 5
    above = np.nextafter(2.0, 3.0)
    assert table.p_value(np.array([above]), np.zeros(1, np.int64))[0] == at_it


def test_what_does_not_fit_is_refused(made: tuple[FlowScorer, dict]) -> None:
    scorer, parts = made
    assert scorer(ROWS[:0]).members.shape == (0, 4)
    with pytest.raises(ValueError, match="shape"):
        scorer(ROWS[:, :3])
    with pytest.raises(ValueError, match="infinity"):
        scorer(np.full((1, COLUMNS), np.inf))
    large = QuantumOneClass(qubits=9, layers=1, method="eigenspace", reference_size=20)
    large.fit(parts["preprocessor"].transform(ROWS[:30]))
    with pytest.raises(ModelError, match="too large"):
        FlowScorer(parts["preprocessor"], parts["hybrid"], large, parts["boosting"], parts["neighbours"])
