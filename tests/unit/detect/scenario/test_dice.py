from __future__ import annotations

import numpy as np
import pytest

from qwarden.detect.scenario.dice import Dice, Range


def test_range_goes_through_its_quantiles_and_rises() -> None:
    quantity = Range(7, 20, 340, low=2, high=900)
    assert [quantity.at(u) for u in (0.0, 0.05, 0.5, 0.95, 1.0)] == pytest.approx([2, 7, 20, 340, 900])
    values = [quantity.at(u) for u in np.linspace(0, 1, 500)]
    assert np.all(np.diff(values) > 0)


def test_range_is_geometric_between_quantiles() -> None:
    # Half-way between two quantiles lies their geometric mean.
    assert Range(10, 1_000, 4_000).at(0.275) == pytest.approx(100)


def test_draws_follow_the_range() -> None:
    dice, quantity = Dice(3), Range(5, 50, 500)
    draws = [dice.of(quantity) for _ in range(20_000)]
    assert np.quantile(draws, [0.05, 0.5, 0.95]) == pytest.approx([5, 50, 500], rel=0.1)


def test_streams_of_a_seed_are_independent_and_repeat() -> None:
    one, again, other = Dice(5, 1), Dice(5, 1), Dice(5, 2)
    first = [one.unit() for _ in range(5_000)]
    assert first == [again.unit() for _ in range(5_000)]
    second = [other.unit() for _ in range(5_000)]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_waiting_times_have_their_mean_and_never_run_away() -> None:
    dice = Dice(1)
    waits = np.array([dice.waiting(3.0) for _ in range(40_000)])
    assert waits.mean() == pytest.approx(3.0, rel=0.03)
    assert waits.std() == pytest.approx(3.0, rel=0.06)
    assert waits.max() <= 24.0


def test_integer_reaches_both_ends_evenly() -> None:
    dice = Dice(2)
    counts = np.bincount([dice.integer(3, 6) for _ in range(8_000)], minlength=7)[3:]
    assert counts.sum() == 8_000
    assert counts.min() > 1_850


def test_some_gives_different_ones() -> None:
    dice = Dice(2)
    for count in (0, 3, 10, 99):
        taken = dice.some(range(10), count)
        assert len(set(taken)) == len(taken) == min(count, 10)


def test_weighted_choices_come_by_weight() -> None:
    dice = Dice(4)
    drawn = [dice.weighted(((3, "a"), (1, "b"))) for _ in range(8_000)]
    assert drawn.count("a") / 8_000 == pytest.approx(0.75, abs=0.02)


def test_many_bytes_are_evenly_spread() -> None:
    data = np.frombuffer(Dice(9).many_bytes(100_001), np.uint8)
    assert len(data) == 100_001
    assert np.bincount(data, minlength=256).min() > 250
