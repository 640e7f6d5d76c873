"""From raw feature columns to the even scale that angles want; nan means unknown.

A column of counts or bytes spans decades, and one of flags has two values. Each numeric column is
mapped through its own quantiles to a normal law (clipped at 4, divided by 1.5), after a signed
logarithm where its tail is heavy, and then standardised. An unknown value becomes 0, the neutral
angle, beside an indicator column that says so. All maps of a column are folded into one table of
knots, so that scoring is one compiled interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.learn.base import Array, Estimator, Floats, Ints, as_rows, row_weights

CLIP = 4.0
"""Normal scores are cut here: one row in 16,000."""

SPREAD = 1.5
"""Normal scores are divided by this, so that nearly all angles lie within +-pi."""

LIMIT = 8.0
"""Standardised values are cut here: a rare flag must not turn its qubit round and round."""

_CURVE, _LEVEL, _TABLE, _MISSING = range(4)


class Preprocessor(Estimator):
    """Columns with unknown values to standardised columns without.

    Parameters
    ----------
    categorical : indices or names of columns that hold integer codes: one-hot, and, where `fit` gets
        labels, the smoothed log-odds of the second class at that code.
    nullable : indices or names of columns that may be unknown later although they never are in
        training; their indicator exists from the start.
    knots : the most points a quantile curve is kept at.
    prior_weight : rows of the overall rate that each code's log-odds start from.
    max_levels : the most codes of a column that get a column of their own, the most frequent first.
    cross_fit : with 2 or more, `fit_transform` takes a row's log-odds of codes from the other of so many
        random parts of the rows. Otherwise a rare code's log-odds tell the label of the very rows they were
        counted on, and what is trained on them leans on that.
    seed : of those parts.

    Attributes
    ----------
    feature_names_out_ : name of each output column: ``bytes_in``, ``bytes_in is unknown``,
        ``proto = 17``, ``proto log-odds``.
    source_ : input column of each output column, (m,).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 5.0], [10.0, 5.0], [100.0, np.nan], [np.nan, 5.0]])
    >>> p = Preprocessor().fit(X, names=["bytes", "flag"])
    >>> p.feature_names_out_
    ['bytes', 'bytes is unknown', 'flag is unknown']
    >>> p.transform([[10.0, np.nan], [np.nan, 5.0]]).round(6).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]

    Source: Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical attributes", eq. (3)
    (log-odds of codes).
    """

    _estimator_type_tag = "transformer"
    _learnt_arrays = ("source_", "_kind", "_log", "_level", "_start", "_xs", "_ys")
    _learnt_facts = ("n_features_in_", "feature_names_in_", "feature_names_out_")

    source_: Ints
    feature_names_in_: list[str]
    feature_names_out_: list[str]

    def __init__(
        self,
        categorical: Sequence[int | str] = (),
        nullable: Sequence[int | str] = (),
        knots: int = 64,
        prior_weight: float = 20.0,
        max_levels: int = 64,
        cross_fit: int = 0,
        seed: int = 0,
    ) -> None:
        self.categorical = categorical
        self.nullable = nullable
        self.knots = knots
        self.prior_weight = prior_weight
        self.max_levels = max_levels
        self.cross_fit = cross_fit
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
    ) -> Self:
        """Learn each column's map from rows `X` (n, d); `y` is needed only for the log-odds of codes."""
        self._is_fitted = False
        rows = as_rows(X, at_least=1)
        weights = row_weights(sample_weight, len(rows))
        self.n_features_in_ = rows.shape[1]
        names = getattr(X, "columns", None) if names is None else names
        self.feature_names_in_ = [f"x{i}" for i in range(rows.shape[1])] if names is None else list(names)
        if len(self.feature_names_in_) != rows.shape[1]:
            raise ValueError(f"{len(self.feature_names_in_)} names for {rows.shape[1]} columns")
        positive = _positive(y, len(rows))
        table = _Table()
        categorical, nullable = self._indices(self.categorical), self._indices(self.nullable)
        for column, name in enumerate(self.feature_names_in_):
            known = ~np.isnan(rows[:, column])
            values = rows[known, column]
            if column in categorical:
                self._add_codes(table, column, name, values, weights[known], _at(positive, known))
            else:
                self._add_curve(table, column, name, values)
            if column in nullable or (not known.all() and (known.any() or column in categorical)):
                table.add(column, f"{name} is unknown", _MISSING)
        if not table.names:
            raise ValueError("every column is constant: there is nothing to learn from")
        table.store(self)
        return self._finish()

    def transform(self, X: npt.ArrayLike) -> Floats:
        """Return the standardised columns, (n, m), without nan."""
        rows = self._check_rows(X)
        out = np.empty((len(rows), len(self.source_)))
        _transform(
            rows, self.source_, self._kind, self._log, self._level, self._start, self._xs, self._ys, out
        )
        return out

    def fit_transform(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        **fit_params: Any,
    ) -> Floats:
        """Fit, and transform the same rows; with `cross_fit`, log-odds of codes come from other rows."""
        out = self.fit(X, y, sample_weight, **fit_params).transform(X)
        rows = as_rows(X)
        positive = _positive(y, len(rows))
        if self.cross_fit >= 2 and positive is not None:
            weights = row_weights(sample_weight, len(rows))
            part = np.random.default_rng([self.seed, 7]).permutation(len(rows)) % self.cross_fit
            for at in np.flatnonzero(self._kind == _TABLE):
                values = rows[:, self.source_[at]]
                known = ~np.isnan(values)
                out[known, at] = self._odds_from_others(
                    values[known], weights[known], positive[known], part[known]
                )
        return out

    def _odds_from_others(self, values: Floats, weights: Floats, positive: Floats, part: Ints) -> Floats:
        """Return each row's standardised log-odds, counted on the parts that it is not in, (n,)."""
        codes, index = np.unique(values, return_inverse=True)
        odds, _ = self._log_odds(index, weights, positive, len(codes))
        mean, spread = odds[index].mean(), odds[index].std()
        result = np.full(len(values), mean)
        for number in np.unique(part):
            mine, others = part == number, part != number
            counted, prior = self._log_odds(index[others], weights[others], positive[others], len(codes))
            if not np.isnan(prior):
                result[mine] = counted[index[mine]]
        standard: Floats = np.clip((result - mean) / spread, -LIMIT, LIMIT)
        return standard

    def _log_odds(self, index: Ints, weights: Floats, positive: Floats, codes: int) -> tuple[Floats, float]:
        """Return the smoothed log-odds of each code, and those of all rows; nan where one class is absent."""
        ones = np.bincount(index, weights * positive, codes)
        total = np.bincount(index, weights, codes)
        rate = float(ones.sum() / total.sum())
        if not 0.0 < rate < 1.0:
            return np.full(codes, np.nan), np.nan
        smoothed = (ones + self.prior_weight * rate) / (total + self.prior_weight)
        return np.log(smoothed) - np.log1p(-smoothed), float(np.log(rate) - np.log1p(-rate))

    def get_feature_names_out(self, input_features: object = None) -> Array:  # noqa: ARG002
        """Return the names of the output columns (scikit-learn's protocol)."""
        self._check_fitted()
        return np.array(self.feature_names_out_, dtype=object)

    def _indices(self, columns: Sequence[int | str]) -> set[int]:
        """Return column numbers of columns given by number or name."""
        found = set()
        for column in columns:
            if isinstance(column, str):
                if column not in self.feature_names_in_:
                    raise ValueError(f"no column is called {column!r}")
                found.add(self.feature_names_in_.index(column))
            elif not 0 <= column < self.n_features_in_:
                raise ValueError(f"there is no column {column} among {self.n_features_in_}")
            else:
                found.add(int(column))
        return found

    def _add_curve(self, table: _Table, column: int, name: str, values: Floats) -> None:
        """Add a numeric column, unless it is constant."""
        if len(values) == 0 or values.min() == values.max():
            return
        log = _heavy_tailed(values)
        xs, scores = _quantile_curve(_signed_log(values) if log else values, self.knots)
        mapped = _extended_interp(_signed_log(values) if log else values, xs, scores)
        ys = (scores - mapped.mean()) / mapped.std()
        table.add(column, name, _CURVE, xs=xs, ys=ys, log=log)

    def _add_codes(
        self, table: _Table, column: int, name: str, values: Floats, weights: Floats, positive: Floats | None
    ) -> None:
        """Add a one-hot column for each frequent code, and the log-odds of the codes."""
        codes, index, counts = np.unique(values, return_inverse=True, return_counts=True)
        if len(codes) == 0:
            return
        if len(codes) > 1:
            frequent = np.sort(np.argsort(-counts, kind="stable")[: self.max_levels])
            for code, share in zip(codes[frequent], counts[frequent] / len(values), strict=True):
                spread = np.sqrt(share * (1.0 - share))
                hot = np.clip(np.array([-share, 1.0 - share]) / spread, -LIMIT, LIMIT)
                table.add(column, f"{name} = {code:g}", _LEVEL, level=float(code), ys=hot)
        if positive is None or len(codes) < 2:
            return
        odds, prior = self._log_odds(index, weights, positive, len(codes))
        if np.isnan(prior):
            return
        mean = float(np.average(odds, weights=counts))
        spread = float(np.sqrt(np.average((odds - mean) ** 2, weights=counts)))
        if spread > 1e-9:
            unseen = (prior - mean) / spread
            table.add(
                column, f"{name} log-odds", _TABLE, level=unseen, xs=codes,
                ys=np.clip((odds - mean) / spread, -LIMIT, LIMIT),
            )  # fmt: skip

    # what _Table stores
    _kind: Ints
    _log: npt.NDArray[np.bool_]
    _level: Floats
    _start: Ints
    _xs: Floats
    _ys: Floats


class _Table:
    """Output columns as they are collected; `store` lays them out for the compiled loop."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: list[tuple[int, int, bool, float]] = []
        self.xs: list[Floats] = []
        self.ys: list[Floats] = []

    def add(
        self,
        source: int,
        name: str,
        kind: int,
        *,
        level: float = 0.0,
        log: bool = False,
        xs: Floats | None = None,
        ys: Floats | None = None,
    ) -> None:
        """Append one output column."""
        self.names.append(name)
        self.rows.append((source, kind, log, level))
        ys = np.zeros(0) if ys is None else ys
        self.xs.append(np.zeros(len(ys)) if xs is None else xs)
        self.ys.append(ys)

    def store(self, into: Preprocessor) -> None:
        """Set the learnt arrays of `into`."""
        into.feature_names_out_ = self.names
        into.source_ = np.array([row[0] for row in self.rows], np.int64)
        into._kind = np.array([row[1] for row in self.rows], np.int64)
        into._log = np.array([row[2] for row in self.rows], np.bool_)
        into._level = np.array([row[3] for row in self.rows], np.float64)
        into._start = np.cumsum([0, *(len(ys) for ys in self.ys)]).astype(np.int64)
        into._xs = np.concatenate(self.xs)
        into._ys = np.concatenate(self.ys)


def _positive(y: npt.ArrayLike | None, count: int) -> Floats | None:
    """Return 1.0 for rows of the greatest label, 0.0 for others, (count,)."""
    if y is None:
        return None
    labels = np.asarray(y)
    if labels.shape != (count,):
        raise ValueError(f"y must hold one label a row: {labels.shape} for {count} rows")
    positive: Floats = (labels == np.unique(labels)[-1]).astype(np.float64)
    return positive


def _at(array: Floats | None, chosen: npt.NDArray[np.bool_]) -> Floats | None:
    return None if array is None else array[chosen]


def _signed_log(values: Floats) -> Floats:
    result: Floats = np.sign(values) * np.log1p(np.abs(values))
    return result


def _skewness(values: Floats) -> float:
    """Return the absolute third standardised moment."""
    scale = float(np.abs(values).max())  # keeps the cube of a huge value finite
    centred = values / scale - (values / scale).mean()
    spread = float(centred.std())
    return abs(float((centred**3).mean())) / spread**3 if spread > 1e-100 else 0.0


def _heavy_tailed(values: Floats) -> bool:
    """Say whether a signed logarithm makes a skewed column more even."""
    skewness = _skewness(values)
    return skewness > 2.0 and _skewness(_signed_log(values)) < skewness


def _quantile_curve(values: Floats, knots: int) -> tuple[Floats, Floats]:
    """Return knots (x, normal score / SPREAD) of the mid-rank distribution function.

    Ties take the middle of their ranks, so a flag's two values sit symmetrically about its share.
    """
    from scipy.special import ndtr, ndtri

    ordered = np.sort(values)
    distinct = np.unique(ordered)
    if len(distinct) > knots:
        # Evenly in normal scores, so that tails get knots; half of them among the distinct values, so
        # that ties do not eat all of them.
        shares = ndtr(np.linspace(-CLIP, CLIP, knots // 2))
        shares[[0, -1]] = 0.0, 1.0
        picks = [a[(shares * (len(a) - 1)).round().astype(np.intp)] for a in (ordered, distinct)]
        distinct = np.unique(np.concatenate(picks))
    below = np.searchsorted(ordered, distinct, "left")
    upto = np.searchsorted(ordered, distinct, "right")
    scores = ndtri((below + upto) / (2.0 * len(ordered)))
    return distinct, np.clip(scores, -CLIP, CLIP) / SPREAD


def _extended_interp(values: Floats, xs: Floats, ys: Floats) -> Floats:
    """Interpolate all values with the rule that scoring uses."""
    out = np.empty((len(values), 1))
    one = np.zeros(1, np.int64)
    _transform(
        np.ascontiguousarray(values[:, None]), one, one, np.zeros(1, np.bool_), np.zeros(1),
        np.array([0, len(xs)]), xs, ys, out,
    )  # fmt: skip
    return out[:, 0]


@compiled
def _interpolate(value: float, xs: Floats, ys: Floats, first: int, last: int) -> float:
    """Interpolate between knots ``first..last``; beyond them the outermost slope goes on, to a limit."""
    low, high = first, last
    if value <= xs[first]:
        high = first + 1
    elif value >= xs[last]:
        low = last - 1
    else:
        while high - low > 1:
            middle = (low + high) // 2
            if xs[middle] <= value:
                low = middle
            else:
                high = middle
    share = (value - xs[low]) / (xs[high] - xs[low])
    result = ys[low] + share * (ys[high] - ys[low])
    return float(min(max(result, -LIMIT), LIMIT))


@compiled
def _transform(
    rows: Floats,
    source: Ints,
    kind: Ints,
    log: npt.NDArray[np.bool_],
    level: Floats,
    start: Ints,
    xs: Floats,
    ys: Floats,
    out: Floats,
) -> None:
    """Fill `out` row by row."""
    for r in range(rows.shape[0]):
        transform_row(rows[r], source, kind, log, level, start, xs, ys, out[r])


@compiled
def transform_row(
    row: Floats,
    source: Ints,
    kind: Ints,
    log: npt.NDArray[np.bool_],
    level: Floats,
    start: Ints,
    xs: Floats,
    ys: Floats,
    out: Floats,
) -> None:
    """Fill `out`, the columns of one row."""
    for c in range(source.shape[0]):
        value = row[source[c]]
        first, last = start[c], start[c + 1] - 1
        if kind[c] == _MISSING:
            out[c] = 1.0 if np.isnan(value) else 0.0
        elif np.isnan(value):
            out[c] = 0.0
        elif kind[c] == _CURVE:
            if log[c] and value != 0.0:  # the logarithm of 1 + 0 is 0, and 0 is what most columns hold
                value = np.log1p(value) if value >= 0.0 else -np.log1p(-value)
            out[c] = _interpolate(value, xs, ys, first, last)
        elif kind[c] == _LEVEL:
            out[c] = ys[last] if value == level[c] else ys[first]
        else:
            place = first + np.searchsorted(xs[first : last + 1], value)
            out[c] = ys[place] if place <= last and xs[place] == value else level[c]
