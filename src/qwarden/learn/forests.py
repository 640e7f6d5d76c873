"""The isolation forest: the classical one-class model that needs no distances."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._rows import fill_unknown
from qwarden.learn._tree_walk import Forest, plant, sum_of_leaves
from qwarden.learn.base import Floats, OneClassEstimator, standard_scale


class IsolationForestTwin(OneClassEstimator):
    """How few random cuts isolate a row from the rest.

    `strangeness` is the paper's anomaly score, between 0 and 1; `score_samples` is minus that, as in
    scikit-learn. The trees are grown by scikit-learn and kept as arrays (see `qwarden.learn.trees`); a
    leaf's value is the number of cuts to it plus what its rows would need further. An unknown value
    takes its column's mean.

    Parameters
    ----------
    trees : how many.
    samples : rows each tree is grown from, drawn without replacement.
    contamination : share of the normals beyond `offset_`.
    seed : of the draws and the cuts.

    Source: Liu, Ting & Zhou 2008, "Isolation forest", eq. (1) and (2).

    Examples
    --------
    >>> forest = IsolationForestTwin(trees=50).fit(np.random.default_rng(0).normal(size=(500, 2)))
    >>> forest.predict([[0.0, 0.0], [6.0, -6.0]]).tolist()
    [1, -1]
    """

    _learnt_arrays = ("mean_", *(f"_{name}" for name in Forest._fields))
    _learnt_facts = ("n_features_in_", "offset_", "_cuts_expected")

    mean_: Floats
    _cuts_expected: float
    """Cuts that isolate a row of a random sample on average, all trees together."""

    def __init__(
        self, trees: int = 100, samples: int = 256, contamination: float = 0.02, seed: int = 0
    ) -> None:
        self.trees = trees
        self.samples = samples
        self.contamination = contamination
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, progress: Progress = SILENT) -> Self:
        """Grow the trees with scikit-learn and lay them out."""
        from sklearn.ensemble import IsolationForest

        rows = self._begin(X, y)
        self.mean_, _ = standard_scale(rows)
        filled = fill_unknown(rows, self.mean_)
        samples = min(self.samples, len(rows))
        model = IsolationForest(n_estimators=self.trees, max_samples=samples, random_state=self.seed)
        with progress.task("grow trees"):
            model.fit(filled)
        planted = plant([_from_tree(tree.tree_) for tree in model.estimators_])
        for name, array in planted._asdict().items():
            setattr(self, f"_{name}", array)
        self._cuts_expected = self.trees * float(_mean_cuts(np.array([samples]))[0])
        self._finish()
        scores = self.score_samples(rows)
        difference = np.abs(scores - model.score_samples(filled)).max()
        if not difference < 1e-12:
            raise RuntimeError(f"the laid-out trees differ from scikit-learn's by {difference:.1e}")
        self.offset_ = float(np.quantile(scores, self.contamination))
        return self

    def _prepare(self) -> None:
        self._forest = Forest(*(getattr(self, f"_{name}") for name in Forest._fields))

    def strangeness(self, X: npt.ArrayLike) -> Floats:
        """Return the anomaly score ``2**(-cuts / expected cuts)``, (n,)."""
        # scikit-learn compares in float32: a value between two float32 numbers must fall the same way.
        with np.errstate(over="ignore"):
            rows = fill_unknown(self._check_rows(X), self.mean_).astype(np.float32).astype(np.float64)
        scores: Floats = np.exp2(-sum_of_leaves(rows, *self._forest, 0.0) / self._cuts_expected)
        return scores

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return minus the anomaly score, (n,): higher is more normal."""
        return -self.strangeness(X)


_EULER: Final = float(np.euler_gamma)


def _mean_cuts(rows: npt.NDArray[Any]) -> Floats:
    """Return c(n), the mean path length of an unsuccessful search in a binary tree of `rows` rows.

    >>> _mean_cuts(np.array([1, 2, 256])).round(3).tolist()
    [0.0, 1.0, 10.245]
    """
    many = np.maximum(rows, 3)
    cuts = 2.0 * (np.log(many - 1.0) + _EULER) - 2.0 * (many - 1.0) / many
    return np.where(rows > 2, cuts, np.where(rows == 2, 1.0, 0.0))


def _from_tree(tree: Any) -> Forest:
    """Lay out one tree; scikit-learn numbers a child higher than its parent."""
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    depth = np.zeros(tree.node_count)
    for node in np.flatnonzero(~leaf):
        depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1.0
    return Forest(
        roots=own[:1],
        feature=np.where(leaf, 0, tree.feature),
        threshold=tree.threshold,
        left=np.where(leaf, own, tree.children_left),
        right=np.where(leaf, own, tree.children_right),
        unknown_left=np.zeros(tree.node_count, np.bool_),
        value=np.where(leaf, depth + _mean_cuts(tree.n_node_samples), 0.0),
    )
