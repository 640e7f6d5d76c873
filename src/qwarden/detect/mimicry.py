"""Evasion by mimicry: attack rows take over from normal ones whatever an attacker can change.

A `Mutability` says, column by column, what can be changed: nothing, upwards only (more can be sent, what
was sent cannot be taken back), or freely within a range. `mimic` is the attack: it sees a detector's score,
proposes values of normal donors for the columns that it may change, and keeps what lowers the score. All
rows are attacked side by side, one query of each a round, so the detector is asked in batches.

The attack serves twice: adversarial training draws from it (`second_opinion`), and the protocols judge by
it, on rows and donors of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Change = Literal["grows", "moves"]
Score = Callable[[F64], F64]

NEAR: Final = 100
"""Donors most like a row in what it cannot change: most proposals take one of these."""

NEAR_SHARE: Final = 0.6
WHOLE_SHARE: Final = 0.2
"""Proposals that take over a donor's mutable values as a whole; the others take some of them."""

BLEND_SHARE: Final = 0.2
"""Proposals that go only a part of the way to the donor."""

_PAIRS: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Mutable:
    """How an attacker can change a column.

    Attributes
    ----------
    change : ``grows`` (never below what it was) or ``moves`` (both ways).
    per_unit : values there are in one unit: 1 for counts, 100 for shares told in hundredths; 0 for any
        number.
    low, high : the least and the greatest value there can be.
    """

    change: Change
    per_unit: float = 0.0
    low: float = 0.0
    high: float = np.inf


@dataclass(frozen=True)
class Mutability:
    """What an attacker can change in rows of the columns `names`; what is not in `columns` is fixed.

    Raises
    ------
    ValueError
        A mutable column is not among the names.

    Examples
    --------
    >>> can = Mutability(("flag", "bytes"), {"bytes": Mutable("grows", per_unit=1)})
    >>> can.valid(np.array([[1.0, 50.0]]), np.array([[0.0, 20.6]])).tolist()
    [[1.0, 50.0]]
    >>> can.valid(np.array([[1.0, 50.0]]), np.array([[0.0, 70.6]])).tolist()
    [[1.0, 71.0]]
    """

    names: tuple[str, ...]
    columns: Mapping[str, Mutable]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(self.names))
        if unknown:
            raise ValueError(f"no such column to change: {', '.join(unknown)}")

    def _marked(self, change: Change) -> Bools:
        return np.array([n in self.columns and self.columns[n].change == change for n in self.names])

    @cached_property
    def grows(self) -> Bools:
        """Columns that can only grow, (d,)."""
        return self._marked("grows")

    @cached_property
    def moves(self) -> Bools:
        """Columns that can go both ways, (d,)."""
        return self._marked("moves")

    @cached_property
    def fixed(self) -> Bools:
        """Columns that cannot be changed, (d,)."""
        return ~(self.grows | self.moves)

    @cached_property
    def _ranges(self) -> tuple[F64, F64, F64]:
        some = [self.columns.get(name, Mutable("moves", low=-np.inf)) for name in self.names]
        return (
            np.array([c.per_unit for c in some]),
            np.array([c.low for c in some]),
            np.array([c.high for c in some]),
        )

    def valid(self, original: F64, wanted: F64) -> F64:
        """Return what comes nearest to the `wanted` rows (n, d) within what can be made of `original`.

        An unknown value stays unknown, and a known one is not made unknown.
        """
        per_unit, low, high = self._ranges
        counted = per_unit > 0
        rows = wanted.copy()
        rows[:, counted] = np.rint(rows[:, counted] * per_unit[counted]) / per_unit[counted]
        rows = np.clip(rows, low, high)
        rows = np.where(self.grows, np.maximum(rows, original), rows)
        kept = self.fixed | np.isnan(rows) | np.isnan(original)
        return np.where(kept, original, rows)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; an infinite bound is None."""
        return {
            "names": list(self.names),
            "columns": {
                name: [c.change, c.per_unit, *(b if np.isfinite(b) else None for b in (c.low, c.high))]
                for name, c in self.columns.items()
            },
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Mutability:
        """Undo `to_json`."""
        return cls(
            tuple(document["names"]),
            {
                name: Mutable(
                    change, per_unit, -np.inf if low is None else low, np.inf if high is None else high
                )
                for name, (change, per_unit, low, high) in document["columns"].items()
            },
        )


@dataclass(frozen=True, slots=True)
class Mimicry:
    """What came of an attack on n rows.

    Attributes
    ----------
    rows : (n, d) as the attack left them; those that evaded as they were when they did.
    scores : (n,) of the detector.
    queries : (n,) proposals made until the row evaded, 0 if it needed none, -1 if it never did.
    """

    rows: F64
    scores: F64
    queries: I64

    def evaded(self, within: int) -> Bools:
        """Say which rows evaded within so many queries, (n,)."""
        return (self.queries >= 0) & (self.queries <= within)


def mimic(
    rows: F64,
    donors: F64,
    mutability: Mutability,
    score: Score,
    *,
    queries: int,
    seed: int | Sequence[int],
    evades_below: float = -np.inf,
) -> Mimicry:
    """Attack `rows` (n, d) by the values of normal `donors` (m, d), with `queries` of the detector a row.

    Hill climbing on the score: a proposal takes some or all mutable values of a donor, or goes a part of
    the way, and is kept if its score is lower. A row stops when its score falls below `evades_below`.

    Parameters
    ----------
    score : rows (k, d) to scores (k,), higher is more suspicious.
    seed : of all choices; one seed gives one attack.
    """
    rng = np.random.default_rng(seed)
    found, scores = rows.copy(), np.asarray(score(rows), np.float64).copy()
    needed = np.where(scores < evades_below, 0, -1).astype(np.int64)
    near = nearest_donors(rows, donors, mutability.fixed, NEAR)
    for query in range(1, queries + 1):
        active = np.flatnonzero(needed < 0)
        if len(active) == 0:
            break
        chosen = donors[_choose(near[active], len(donors), query, rng)]
        wanted = _proposals(rows[active], found[active], chosen, mutability, rng)
        proposed = mutability.valid(rows[active], wanted)
        answers = np.asarray(score(proposed), np.float64)
        better = answers < scores[active]
        kept = active[better]
        found[kept], scores[kept] = proposed[better], answers[better]
        needed[kept[scores[kept] < evades_below]] = query
    return Mimicry(found, scores, needed)


def _choose(near: I64, donors: int, query: int, rng: np.random.Generator) -> I64:
    """Return a donor for each row, (n,): one of the nearest, or any; the nearest ones come first."""
    count = len(near)
    at = np.where(
        rng.random(count) < 0.5, (query - 1) % near.shape[1], rng.integers(near.shape[1], size=count)
    )
    close = near[np.arange(count), at]
    return np.where(rng.random(count) < NEAR_SHARE, close, rng.integers(donors, size=count))


def _proposals(
    original: F64, found: F64, donors: F64, mutability: Mutability, rng: np.random.Generator
) -> F64:
    """Return what to try next: the best so far, with mutable values moved to a donor's."""
    count, width = found.shape
    whole = rng.random((count, 1)) < WHOLE_SHARE
    # Of the others, every column with a probability of the row's own: from single columns to nearly all.
    some = rng.random((count, width)) < rng.random((count, 1))
    taken: Bools = (whole | some) & ~mutability.fixed
    way = np.where(rng.random((count, 1)) < BLEND_SHARE, rng.random((count, 1)), 1.0)
    # What has grown may shrink again, down to what it was.
    start = np.where(mutability.grows, original, found)
    return np.where(taken, start + way * (donors - start), found)


def nearest_donors(rows: F64, donors: F64, fixed: Bools, count: int) -> I64:
    """Return, for each row, the numbers of the `count` donors most like it in the `fixed` columns.

    A column counts by its difference in standard deviations of the donors, at most 1: as many columns as
    possible shall agree. Unknown agrees with unknown only. Nearest first, (n, count).
    """
    count = min(count, len(donors))
    some, others = rows[:, fixed], donors[:, fixed]
    if some.shape[1] == 0:
        return np.tile(np.arange(count), (len(rows), 1))
    known = np.where(np.isnan(others), 0.0, others)
    spread = known.std(axis=0)
    spread[spread == 0.0] = 1.0
    kinds, which = np.unique(some, axis=0, return_inverse=True)  # many rows are alike in what is fixed
    nearest = np.empty((len(kinds), count), np.int64)
    step = max(1, _PAIRS // others.size)
    for at in range(0, len(kinds), step):
        part: F64 = kinds[at : at + step, None, :]
        gap = np.minimum(np.abs(part - others) / spread, 1.0)
        one_unknown = np.isnan(part) ^ np.isnan(others[None])
        gap = np.where(np.isnan(gap), one_unknown, gap)
        distance = gap.sum(axis=2)
        best = np.argpartition(distance, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distance, best, axis=1), axis=1, kind="stable")
        nearest[at : at + step] = np.take_along_axis(best, order, axis=1)
    return nearest[which.ravel()]
