"""Several detectors' scores to one threat score whose false alarms are known in advance.

Each detector speaks its own scale. What they share is how rarely a normal flow scores as high: a
conformal p-value against held-out normals. Their logarithms are summed (Fisher) or the strongest is
taken (Tippett), and the result, whose distribution nobody knows since detectors agree with each
other, is held against further normals again.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.learn._rows import any_infinite
from qwarden.learn.base import Estimator, Floats, Ints

Combination = Literal["fisher", "tippett"]


class ConformalFusion(Estimator):
    """Members' scores (higher is more suspicious) to a p-value, a threat score and a verdict.

    `fit` takes scores of normals that no member was trained on, and splits them: one part turns each
    member's score into a p-value, the other calibrates the fused evidence. The fused evidence is therefore a
    fixed function to the second part, and the p-value is valid: a normal flow exchangeable with the
    held-out ones has ``p_value <= a`` with probability at most ``a``, for any ``a``, whatever the
    members are. Between calibration points the p-value is interpolated from above, so it stays valid.

    Beyond the largest held-out normal there is nothing to count. There the p-value rests at
    ``1 / (n + 1)``, but `threat_score` goes on by an extrapolation, an exponential tail of the fused
    evidence, so that a strong attack still ranks above a weak one.

    A score of nan (a member that has nothing to say) counts as no evidence.

    Parameters
    ----------
    fpr : the false-positive budget: the share of normal flows that `flag` may raise.
    combine : ``fisher`` adds the members' evidence: best where attacks look suspicious to all of them;
        ``tippett`` takes the strongest: best where some attacks look normal to all but one.
    member_share : share of the normals spent on the members' p-values.
    seed : of the split.

    Source: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", eq. (2.20); Bates et
    al 2023, "Testing for outliers with conformal p-values", section 2; Fisher 1925; Tippett 1931.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> fusion = ConformalFusion(fpr=0.01).fit(rng.normal(size=(2000, 2)))
    >>> fusion.flag([[0.0, 0.0], [3.5, 3.5], [np.nan, 9.0]]).tolist()
    [False, True, True]
    """

    _learnt_arrays = ("_members", "_starts", "_tails", "_sums")
    _learnt_facts = ("n_features_in_", "_sum_tail")

    _members: Floats
    _starts: Ints
    _tails: Floats
    _sums: Floats
    _sum_tail: float

    def __init__(
        self, fpr: float = 0.02, combine: Combination = "fisher", member_share: float = 0.5, seed: int = 0
    ) -> None:
        self.fpr = fpr
        self.combine: Combination = combine
        self.member_share = member_share
        self.seed = seed

    def fit(self, scores: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Self:
        """Calibrate on scores (n, members) of normals; where labels are given, of the least label only.

        Raises
        ------
        ValueError
            If there are fewer than 20 normals, a score is infinite, or `combine` is unknown.
        """
        if self.combine not in ("fisher", "tippett"):
            raise ValueError(f"combine must be 'fisher' or 'tippett', not {self.combine!r}")
        table = self._check_scores(scores)
        if y is not None:
            labels = np.asarray(y)
            table = table[labels == labels.min()]
        if len(table) < 20:
            raise ValueError(f"calibration needs at least 20 normals, got {len(table)}")
        self.n_features_in_ = table.shape[1]
        order = np.random.default_rng(self.seed).permutation(len(table))
        cut = min(max(round(len(table) * self.member_share), 10), len(table) - 10)
        first, second = table[order[:cut]], table[order[cut:]]

        known = [np.sort(column[~np.isnan(column)]) for column in first.T]
        self._members = np.concatenate(known)
        self._starts = np.cumsum([0, *map(len, known)]).astype(np.int64)
        self._tails = np.array([_tail_scale(column) for column in known])
        xs, ys, starts = _curves(self._members, self._starts)
        self._sums = np.sort(_fused(second, xs, ys, starts, self._tails, self._strongest))
        self._sum_tail = _tail_scale(self._sums)
        return self._finish()

    def _prepare(self) -> None:
        ends = np.append(self._starts, self._starts[-1] + len(self._sums))
        self._xs, self._ys, self._marks = _curves(np.concatenate([self._members, self._sums]), ends)
        self._scales = np.append(self._tails, self._sum_tail)

    @property
    def resolution_(self) -> float:
        """The least p-value that can be counted; a budget below it leans on the extrapolation."""
        return 1.0 / (len(self._sums) + 1)

    def evidence(self, scores: npt.ArrayLike) -> Floats:
        """Return ``-log p`` of each member, (n, members): who contributed how much."""
        return _surprises(self._check_scores(scores), self._xs, self._ys, self._marks, self._scales)

    def log_p(self, scores: npt.ArrayLike) -> Floats:
        """Return the natural logarithm of the extrapolated p-value, (n,): unbounded below, for ranking."""
        table = self._check_scores(scores)
        return _log_p(table, self._xs, self._ys, self._marks, self._scales, self._strongest)

    def p_value(self, scores: npt.ArrayLike) -> Floats:
        """Return the valid p-value of "this flow is normal", (n,), never below `resolution_`."""
        return np.maximum(np.exp(self.log_p(scores)), self.resolution_)

    def threat_score(self, scores: npt.ArrayLike) -> Floats:
        """Return 1 - p, (n,): the share of normal flows that look less suspicious than this one.

        It rises with every member's score; above ``1 - resolution_`` it is extrapolated.
        """
        result: Floats = -np.expm1(self.log_p(scores))
        return result

    def flag(self, scores: npt.ArrayLike, fpr: float | None = None) -> npt.NDArray[np.bool_]:
        """Say which flows to raise within a false-positive budget, (n,)."""
        raised: npt.NDArray[np.bool_] = self.log_p(scores) <= np.log(self.fpr if fpr is None else fpr)
        return raised

    def threshold(self, fpr: float | None = None) -> float:
        """Return the threat score from which on `flag` raises."""
        return 1.0 - (self.fpr if fpr is None else fpr)

    @property
    def _strongest(self) -> bool:
        return self.combine == "tippett"

    def _check_scores(self, scores: npt.ArrayLike) -> Floats:
        table = np.ascontiguousarray(scores, np.float64)
        if table.ndim != 2 or (self._is_fitted and table.shape[1] != self.n_features_in_):
            raise ValueError(f"scores must be (n, members), got the shape {table.shape}")
        if any_infinite(table):
            raise ValueError("a score is infinite")
        return table


def _tail_scale(ordered: Floats) -> float:
    """Return the mean excess over the 95 % quantile: the scale of an exponential tail."""
    if len(ordered) < 2:
        return 1.0
    edge = ordered[int(0.95 * (len(ordered) - 1))]
    excess = float((ordered[ordered > edge] - edge).mean()) if ordered[-1] > edge else 0.0
    return max(excess, 1e-3 * float(ordered[-1] - ordered[0]), 1e-9)


@compiled
def _curves(ordered: Floats, starts: Ints) -> tuple[Floats, Floats, Ints]:
    """Return the distinct scores of each part of `ordered`, their ``-log p``, and where each part starts."""
    xs, ys, marks = np.empty(len(ordered)), np.empty(len(ordered)), np.empty(len(starts), np.int64)
    count = 0
    for part in range(len(starts) - 1):
        marks[part] = count
        n = starts[part + 1] - starts[part]
        for rank in range(n):
            value = ordered[starts[part] + rank]
            if rank == 0 or value != xs[count - 1]:
                xs[count], ys[count] = value, np.log((n + 1) / (1 + n - rank))
                count += 1
    marks[-1] = count
    return xs[:count].copy(), ys[:count].copy(), marks


@compiled
def surprise(value: float, xs: Floats, ys: Floats, tail: float, slow: bool) -> float:
    """Return ``-log p`` of `value` among the scores of normals, of which `_curves` tells.

    At a calibration point p is ``(1 + #{scores >= value}) / (n + 1)``; between two points -log p is
    interpolated, which is below the count's; beyond the last one it grows by the excess over the
    `tail` scale: linearly (an exponential tail) or, if `slow`, logarithmically, so that one member
    far out does not drown the others.
    """
    n = len(xs)
    if n == 0 or np.isnan(value):
        return 0.0
    if value > xs[n - 1]:
        excess = (value - xs[n - 1]) / tail
        return float(ys[n - 1] + (np.log1p(excess) if slow else excess))
    above = lower_bound(xs, value)
    if above == 0 or xs[above] == value:
        return float(ys[above])
    share = (value - xs[above - 1]) / (xs[above] - xs[above - 1])
    return float(ys[above - 1] + share * (ys[above] - ys[above - 1]))


@compiled
def lower_bound(ordered: Floats, value: float) -> int:
    """Return how many of the `ordered` numbers are below `value`."""
    at, size = 0, len(ordered)
    while size > 0:
        half = (size + 1) >> 1
        at += half if ordered[at + half - 1] < value else 0
        size -= half
    return at


@compiled
def fused_surprise(
    scores: Floats, xs: Floats, ys: Floats, marks: Ints, scales: Floats, strongest: bool
) -> float:
    """Return minus the logarithm of the p-value of one row of members' scores."""
    fused = 0.0
    for member in range(len(scores)):
        first, last = marks[member], marks[member + 1]
        one = surprise(scores[member], xs[first:last], ys[first:last], scales[member], True)
        fused = max(fused, one) if strongest else fused + one
    first, last = marks[len(scores)], marks[len(scores) + 1]
    return surprise(fused, xs[first:last], ys[first:last], scales[len(scores)], False)


@compiled
def _surprises(table: Floats, xs: Floats, ys: Floats, marks: Ints, scales: Floats) -> Floats:
    out = np.empty(table.shape)
    for row in range(table.shape[0]):
        for member in range(table.shape[1]):
            first, last = marks[member], marks[member + 1]
            out[row, member] = surprise(
                table[row, member], xs[first:last], ys[first:last], scales[member], True
            )
    return out


@compiled
def _fused(table: Floats, xs: Floats, ys: Floats, marks: Ints, scales: Floats, strongest: bool) -> Floats:
    """Return the sum of each row's evidence (Fisher), or its largest (Tippett)."""
    surprises = _surprises(table, xs, ys, marks, scales)
    fused = np.zeros(table.shape[0])
    for member in range(table.shape[1]):
        fused = np.maximum(fused, surprises[:, member]) if strongest else fused + surprises[:, member]
    return fused


@compiled
def _log_p(table: Floats, xs: Floats, ys: Floats, marks: Ints, scales: Floats, strongest: bool) -> Floats:
    out = np.empty(table.shape[0])
    for row in range(table.shape[0]):
        out[row] = -fused_surprise(table[row], xs, ys, marks, scales, strongest)
    return out
