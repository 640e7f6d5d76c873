"""Mimicry against rules that a plain loop checks, and against detectors whose weak spot is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.detect.mimicry import Mutability, Mutable, mimic, nearest_donors

NAMES = ("flag", "bytes", "count", "rate", "free")
CAN = Mutability(
    NAMES,
    {
        "bytes": Mutable("grows", per_unit=1),
        "count": Mutable("moves", per_unit=1, low=1, high=511),
        "rate": Mutable("moves", per_unit=100, high=1),
        "free": Mutable("moves", low=-np.inf),
    },
)


def some_rows(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [
            rng.integers(0, 3, count),
            rng.integers(0, 5000, count),
            rng.integers(1, 512, count),
            rng.integers(0, 101, count) / 100,
            rng.normal(size=count),
        ]
    ).astype(float)


def is_valid(original: np.ndarray, row: np.ndarray) -> bool:
    """The rules in words, value by value."""
    return (
        row[0] == original[0]
        and row[1] >= original[1]
        and float(row[1]).is_integer()
        and 1 <= row[2] <= 511
        and float(row[2]).is_integer()
        and 0 <= row[3] <= 1
        and float(f"{row[3]:.2f}") == row[3]
    )


def test_columns_are_fixed_unless_something_else_is_said() -> None:
    assert CAN.fixed.tolist() == [True, False, False, False, False]
    assert CAN.grows.tolist() == [False, True, False, False, False]
    with pytest.raises(ValueError, match="no such column to change: bits"):
        Mutability(("flag",), {"bits": Mutable("grows")})


def test_a_mutability_survives_json() -> None:
    again = Mutability.from_json(CAN.to_json())
    assert again.names == CAN.names
    assert dict(again.columns) == dict(CAN.columns)


@given(st.integers(0, 10_000), st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5))
def test_whatever_is_wanted_becomes_a_row_that_can_be_made(seed: int, wanted: list[float]) -> None:
    original = some_rows(1, seed)
    assert is_valid(original[0], CAN.valid(original, np.array([wanted]))[0])


def test_unknown_values_stay_unknown_and_known_ones_known() -> None:
    original = np.array([[1.0, np.nan, 5.0, 0.5, 0.0]])
    found = CAN.valid(original, np.array([[0.0, 10.0, np.nan, 0.25, 2.0]]))
    np.testing.assert_array_equal(found, [[1.0, np.nan, 5.0, 0.25, 2.0]])


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_every_row_of_an_attack_can_be_made(seed: int) -> None:
    rows, donors = some_rows(30, seed), some_rows(50, seed + 1)
    weights = np.random.default_rng(seed).normal(size=5)
    found = mimic(rows, donors, CAN, lambda r: r @ weights, queries=40, seed=seed)
    assert all(is_valid(was, row) for was, row in zip(rows, found.rows, strict=True))
    assert (found.scores <= rows @ weights).all()
    np.testing.assert_allclose(found.scores, found.rows @ weights)
    assert (found.queries == -1).all()  # without a threshold nothing counts as evaded


def test_a_detector_of_movable_columns_is_evaded_and_queries_are_counted() -> None:
    rows, donors = some_rows(40, 1), some_rows(100, 2)
    rows[:, 2], donors[:, 2] = 400, np.arange(100) % 50 + 1
    asked: list[int] = []

    def score(some: np.ndarray) -> np.ndarray:
        asked.append(len(some))
        return some[:, 2]

    found = mimic(rows, donors, CAN, score, queries=500, seed=0, evades_below=60.0)
    assert (found.rows[:, 2] < 60).all()
    assert found.evaded(500).all()
    assert not found.evaded(0).any()
    # The first call is that of the rows as they were; then one query a row until it evaded.
    assert sum(asked) == len(rows) + found.queries.sum()


def test_nothing_evades_a_detector_of_what_cannot_be_changed_back() -> None:
    rows, donors = some_rows(40, 1), some_rows(100, 2)
    before = rows[:, 0] * 1e5 + rows[:, 1]
    found = mimic(rows, donors, CAN, lambda r: r[:, 0] * 1e5 + r[:, 1], queries=200, seed=0)
    np.testing.assert_array_equal(found.scores, before)


def test_a_row_that_is_not_flagged_needs_no_query() -> None:
    rows = some_rows(5, 1)
    found = mimic(rows, rows, CAN, lambda r: np.zeros(len(r)), queries=9, seed=0, evades_below=1.0)
    assert found.queries.tolist() == [0] * 5
    np.testing.assert_array_equal(found.rows, rows)


def test_one_seed_is_one_attack() -> None:
    rows, donors = some_rows(20, 1), some_rows(50, 2)
    first, again, other = (
        mimic(rows, donors, CAN, lambda r: r[:, 2] + r[:, 4], queries=30, seed=seed).rows
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_nearest_donors_against_a_plain_search() -> None:
    rows, donors = some_rows(15, 3), some_rows(60, 4)
    rows[2, 4] = donors[5, 4] = np.nan
    fixed = np.array([True, False, False, True, True])
    spread = np.where(np.isnan(donors), 0, donors).std(axis=0)

    def distance(row: np.ndarray, donor: np.ndarray) -> float:
        total = 0.0
        for at in np.flatnonzero(fixed):
            if np.isnan(row[at]) or np.isnan(donor[at]):
                total += np.isnan(row[at]) != np.isnan(donor[at])
            else:
                total += min(abs(row[at] - donor[at]) / spread[at], 1.0)
        return total

    found = nearest_donors(rows, donors, fixed, 7)
    for row, near in zip(rows, found, strict=True):
        distances = np.array([distance(row, donor) for donor in donors])
        np.testing.assert_allclose(distances[near], np.sort(distances)[:7])
