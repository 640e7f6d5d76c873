"""Randomness that is the same on every machine.

Everything random in a scenario comes from `Dice`, which only ever asks NumPy's PCG64 for uniform
doubles: that stream is part of NumPy's compatibility promise, the derived distributions are not.
What is built on top uses additions, products and square roots, which IEEE 754 rounds the same way
everywhere, so a seed gives the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import log1p, sqrt
from typing import Any, Final, TypeVar

import numpy as np

T = TypeVar("T")

_BLOCK: Final = 4096
_STEPS: Final = 16  # knots a quantile segment; a power of two, so bisection fills it


@dataclass(frozen=True)
class Range:
    """A positive quantity by its 5, 50 and 95 % quantiles, geometric in between.

    Parameters
    ----------
    p5, p50, p95 : the quantiles, as measured.
    low, high : smallest and largest value; by default a step of the same kind beyond p5 and p95.

    >>> Range(7, 20, 34).at(0.5), Range(7, 20, 34).at(0.05)
    (20.0, 7.0)
    """

    p5: float
    p50: float
    p95: float
    low: float = 0.0
    high: float = 0.0
    _knots: tuple[tuple[float, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        low = self.low or self.p5 * 0.8
        high = self.high or self.p95 * 1.5
        marks = (low, self.p5, self.p50, self.p95, high)
        segments = tuple(_geometric(a, b) for a, b in pairwise(marks))
        object.__setattr__(self, "_knots", segments)

    def at(self, u: float) -> float:
        """Return the quantile of `u` in [0, 1]."""
        if u < 0.05:
            segment, share = 0, u / 0.05
        elif u < 0.5:
            segment, share = 1, (u - 0.05) / 0.45
        elif u < 0.95:
            segment, share = 2, (u - 0.5) / 0.45
        else:
            segment, share = 3, (u - 0.95) / 0.05
        knots = self._knots[segment]
        place = min(share, 1.0) * _STEPS
        step = min(int(place), _STEPS - 1)
        return knots[step] + (knots[step + 1] - knots[step]) * (place - step)


def _geometric(a: float, b: float) -> tuple[float, ...]:
    """Return `_STEPS` + 1 knots from `a` to `b` in equal ratios, by square roots only."""
    knots = [a, b]
    while len(knots) <= _STEPS:
        middle = [sqrt(x * y) for x, y in pairwise(knots)]
        knots = [value for pair in zip(knots, middle, strict=False) for value in pair] + [knots[-1]]
    return tuple(knots)


@lru_cache
def _range(p5: float, p50: float, p95: float) -> Range:
    return Range(p5, p50, p95)


# Quantiles of the unit exponential; rounded, so that a last-place difference of log1p cannot matter.
_EXPONENTIAL: Final = (*(round(-log1p(-i / 512), 9) for i in range(512)), 8.0)


class Dice:
    """Draws from one named stream of a seed.

    Parameters
    ----------
    seed : the scenario's seed.
    stream : which independent stream of it; draws in one stream never shift another.

    >>> Dice(7, 1).integer(1, 6) == Dice(7, 1).integer(1, 6)
    True
    """

    def __init__(self, seed: int, *stream: int) -> None:
        sequence = np.random.SeedSequence(entropy=seed, spawn_key=stream)
        self._generator = np.random.Generator(np.random.PCG64(sequence))
        self._pool: list[float] = []

    def unit(self) -> float:
        """Return a uniform number in [0, 1)."""
        if not self._pool:
            self._pool = self._generator.random(_BLOCK).tolist()
        return self._pool.pop()

    def chance(self, share: float) -> bool:
        """Return True with probability `share`."""
        return self.unit() < share

    def between(self, low: float, high: float) -> float:
        """Return a uniform number in [low, high)."""
        return low + (high - low) * self.unit()

    def log_between(self, low: float, high: float) -> float:
        """Return a number in [low, high), about as often in each octave."""
        return _range(low, sqrt(low * high), high).at(0.05 + 0.9 * self.unit())

    def integer(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int((high - low + 1) * self.unit())

    def of(self, quantity: Range) -> float:
        """Return a draw from a measured range."""
        return quantity.at(self.unit())

    def whole(self, quantity: Range) -> int:
        """Return a whole draw from a measured range, at least 1."""
        return max(1, int(quantity.at(self.unit()) + 0.5))

    def whole_of(self, p5: float, p50: float, p95: float) -> int:
        """Return a whole draw from the range of these quantiles, at least 1."""
        return self.whole(_range(p5, p50, p95))

    def waiting(self, mean: float) -> float:
        """Return an exponential waiting time with the given mean (at most 8 times it)."""
        place = self.unit() * 512
        step = int(place)
        return mean * (_EXPONENTIAL[step] + (_EXPONENTIAL[step + 1] - _EXPONENTIAL[step]) * (place - step))

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`, each as likely."""
        return choices[int(len(choices) * self.unit())]

    def weighted(self, choices: Sequence[tuple[float, T]]) -> T:
        """Return one of the `(weight, choice)` pairs by weight."""
        place = self.unit() * sum(weight for weight, _ in choices)
        for weight, choice in choices:
            place -= weight
            if place < 0:
                return choice
        return choices[-1][1]

    def skewed(self, choices: Sequence[T]) -> T:
        """Return one of `choices`, the first ones far more often (popularity)."""
        u = self.unit()
        return choices[int(len(choices) * u * u * u)]

    def some(self, choices: Sequence[T], count: int) -> list[T]:
        """Return `count` different ones of `choices` (all, shuffled, if there are fewer)."""
        pool = list(choices)
        count = min(count, len(pool))
        for i in range(count):
            j = self.integer(i, len(pool) - 1)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:count]

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Shuffle in place."""
        for i in range(len(items) - 1):
            j = self.integer(i, len(items) - 1)
            items[i], items[j] = items[j], items[i]

    def few_bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        return bytes(int(256 * self.unit()) for _ in range(count))

    def many_bytes(self, count: int) -> bytes:
        """Return many random bytes at once."""
        return (
            (self._generator.random((count + 5) // 6) * 2.0**48)
            .astype("<u8")
            .view(np.uint8)
            .reshape(-1, 8)[:, :6]
            .tobytes()[:count]
        )
