"""Drift is told when shares move, in traffic time, and not when they stay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qwarden.core.events import Event
from qwarden.detect.drift import LEAST_FLOWS, SPAN_S, Baseline, Drift, DriftWatch, count_bins
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.model import Scores
from qwarden.detect.scored import Scored
from qwarden.formats.flows import unknown_flows

WIDTH = len(FEATURE_NAMES)
HOUR = SPAN_S * 1_000_000_000


def rows(rng: np.random.Generator, n: int, shift: float = 0.0) -> np.ndarray:
    table = rng.normal(size=(n, WIDTH))
    table[:, 3] += shift
    table[rng.random(n) < 0.1, 5] = np.nan
    table[:, 7] = rng.integers(0, 2, n)  # a column of few values
    return table


@pytest.fixture
def baseline() -> Baseline:
    rng = np.random.default_rng(0)
    return Baseline.of(rows(rng, 20_000), rng.exponential(size=20_000))


def piece(rng: np.random.Generator, n: int, at_ns: int, shift: float = 0.0, harder: float = 1.0) -> Scored:
    flows = unknown_flows(n)
    flows["start_ns"] = flows["end_ns"] = at_ns + np.arange(n)
    ones = np.ones(n)
    scores = Scores(ones, ones, harder * rng.exponential(size=n), ones)
    return Scored("x", 0, flows, rows(rng, n, shift), np.zeros(n, np.int64), scores, ones > 2)


def told(watch_of: Baseline, *pieces: Scored) -> list[Drift]:
    kept: list[Event] = []
    watch = DriftWatch(watch_of, "m 1", kept.append)
    for each in pieces:
        watch.scored(each)
    watch.ended("x")
    assert all(Event.from_json(event.to_json()) == event for event in kept)
    return [event for event in kept if isinstance(event, Drift)]


def test_shares_equal_a_plain_count() -> None:
    rng = np.random.default_rng(1)
    table = rows(rng, 300)
    edges = np.sort(rng.normal(size=(WIDTH, 10)), axis=1)
    counts = count_bins(table, edges)
    for at in (0, 3, 5, 7):
        plain = [0] * 12
        for value in table[:, at].tolist():
            plain[11 if math.isnan(value) else sum(value >= edge for edge in edges[at].tolist())] += 1
        assert counts[at].tolist() == plain
    assert (counts.sum(axis=1) == 300).all()


def test_the_same_traffic_does_not_drift(baseline: Baseline) -> None:
    rng = np.random.default_rng(2)
    (event,) = told(baseline, piece(rng, 1000, 0))
    assert event.level == "none"
    assert event.population_psi < 0.05


def test_a_shifted_feature_is_named_first(baseline: Baseline) -> None:
    rng = np.random.default_rng(3)
    (event,) = told(baseline, piece(rng, 1000, 0, shift=1.5))
    assert next(iter(event.features)) == FEATURE_NAMES[3]
    assert event.features[FEATURE_NAMES[3]] > 0.25
    assert event.level == "none"


def test_scores_that_move_are_major(baseline: Baseline) -> None:
    rng = np.random.default_rng(4)
    (event,) = told(baseline, piece(rng, 1000, 0, harder=4.0))
    assert (event.level, event.score_psi > 0.25) == ("major", True)


def test_spans_are_hours_of_traffic_with_enough_flows(baseline: Baseline) -> None:
    rng = np.random.default_rng(5)
    few, many = LEAST_FLOWS // 2, LEAST_FLOWS
    events = told(
        baseline,
        piece(rng, few, 0),
        piece(rng, few, 2 * HOUR),
        piece(rng, many, 3 * HOUR),
        piece(rng, few, 9 * HOUR),
    )
    # The first span goes on past its hour until it has enough; what is left at the end is too little.
    assert [(e.start, e.flows) for e in events] == [(0.0, 2 * few), (3 * SPAN_S, many)]


def test_no_flow_is_unknown_to_the_index(baseline: Baseline) -> None:
    empty = Baseline.of(np.full((100, WIDTH), np.nan), np.zeros(100))
    assert np.isfinite(empty.psi(count_bins(np.zeros((50, WIDTH + 1)), empty.edges))).all()
    assert np.isfinite(
        baseline.psi(np.zeros_like(count_bins(np.zeros((1, WIDTH + 1)), baseline.edges)))
    ).all()
