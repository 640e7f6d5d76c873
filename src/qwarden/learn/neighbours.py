"""Classical twins that compare a row with stored rows: k nearest neighbours, two forms."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._rows import fill_unknown
from qwarden.learn._search import RowSearch, mean_of_each
from qwarden.learn.base import (
    BinaryEstimator,
    ClassWeight,
    Floats,
    Ints,
    OneClassEstimator,
    logit,
    standard_scale,
)


class KNeighborsTwin(BinaryEstimator):
    """The weighted vote of the k nearest training rows.

    Rows are standardised inside; an unknown value takes its column's mean.

    Parameters
    ----------
    neighbors : how many vote.
    reference_size : training rows kept, a random sample if there are more; None keeps all.
    class_weight : ``balanced`` gives both classes the same weight in all.
    seed : of the sample.

    Examples
    --------
    >>> twin = KNeighborsTwin(neighbors=1).fit([[0.0], [1.0], [9.0], [10.0]], [0, 0, 1, 1])
    >>> twin.predict([[2.0], [8.0]]).tolist()
    [0, 1]
    """

    _learnt_arrays = ("classes_", "mean_", "scale_", "_references", "_targets", "_weights")

    mean_: Floats
    scale_: Floats
    _references: Floats
    _targets: Floats
    _weights: Floats

    def __init__(
        self,
        neighbors: int = 5,
        reference_size: int | None = 20_000,
        class_weight: ClassWeight = None,
        seed: int = 0,
    ) -> None:
        self.neighbors = neighbors
        self.reference_size = reference_size
        self.class_weight: ClassWeight = class_weight
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,  # noqa: ARG002
    ) -> Self:
        """Store the rows."""
        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        self.mean_, self.scale_ = standard_scale(rows)
        kept = sample_rows(len(rows), self.reference_size, self.seed)
        self._references = (fill_unknown(rows[kept], self.mean_) - self.mean_) / self.scale_
        self._targets, self._weights = targets[kept], weights[kept]
        return self._finish()

    def _prepare(self) -> None:
        self._search = RowSearch(self._references)

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Return each class's share of the neighbours' weight, (n, 2)."""
        rows = (fill_unknown(self._check_rows(X), self.mean_) - self.mean_) / self.scale_
        _, nearest = self._search.nearest(rows, self.neighbors)
        weights = self._weights[nearest]
        total = weights.sum(axis=1)
        positive = (weights * self._targets[nearest]).sum(axis=1) / np.where(total > 0.0, total, 1.0)
        return np.column_stack([1.0 - positive, positive])

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,), finite where all neighbours agree."""
        return logit(self.predict_proba(X)[:, 1])


class NeighborDistanceTwin(OneClassEstimator):
    """The mean distance to the k nearest normals: the classical twin of `QuantumOneClass`.

    Parameters
    ----------
    neighbors : how many distances are averaged.
    reference_size : normals kept, a random sample if there are more.
    contamination : share of the normals beyond `offset_`.
    standardise : scale columns to unit variance first; a `Preprocessor` has done it already.
    seed : of the sample.

    Source: Ramaswamy, Rastogi & Shim 2000, "Efficient algorithms for mining outliers".
    """

    _learnt_arrays = ("mean_", "scale_", "_references")
    _learnt_facts = ("n_features_in_", "offset_")

    mean_: Floats
    scale_: Floats
    _references: Floats

    def __init__(
        self,
        neighbors: int = 5,
        reference_size: int = 4000,
        contamination: float = 0.02,
        standardise: bool = False,
        seed: int = 0,
    ) -> None:
        self.neighbors = neighbors
        self.reference_size = reference_size
        self.contamination = contamination
        self.standardise = standardise
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,  # noqa: ARG002
    ) -> Self:
        """Store normal rows."""
        rows = self._begin(X, y)
        self.mean_, self.scale_ = standard_scale(rows)
        if not self.standardise:
            self.scale_ = np.ones_like(self.scale_)
        kept = sample_rows(len(rows), self.reference_size, self.seed)
        self._references = self._scaled(rows[kept])
        # A stored row is its own nearest neighbour: leave it out of its own distance.
        self._prepare()
        distances, _ = self._search.nearest(self._references[:2000], self.neighbors + 1)
        self.offset_ = float(np.quantile(-distances[:, 1:].mean(axis=1), self.contamination))
        return self._finish()

    def _prepare(self) -> None:
        self._search = RowSearch(self._references)

    def _scaled(self, rows: Floats) -> Floats:
        scaled: Floats = (fill_unknown(rows, self.mean_) - self.mean_) / self.scale_
        return scaled

    def strangeness(self, X: npt.ArrayLike) -> Floats:
        """Return the mean distance to the nearest normals, (n,)."""
        return mean_of_each(self.nearest(X, self.neighbors)[0])

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return minus the mean distance to the nearest normals, (n,): higher is more normal."""
        return -self.strangeness(X)

    def nearest(self, X: npt.ArrayLike, k: int = 5) -> tuple[Floats, Ints]:
        """Return distances and numbers of the k nearest stored normals, nearest first, (n, k) each."""
        rows = self._scaled(self._check_rows(X))
        return self._search.nearest(rows, k)


def sample_rows(count: int, size: int | None, seed: int) -> Ints:
    """Return row numbers of a random sample in rising order, all rows if they are few enough."""
    if size is None or count <= size:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 3]).choice(count, size, replace=False))
