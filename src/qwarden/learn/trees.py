"""Classical twins made of trees: trained by scikit-learn, kept and scored as plain arrays.

scikit-learn grows the trees inside `fit`. They are then laid out as arrays (`_tree_walk.Forest`) and
scored by a compiled loop, so a stored twin needs neither pickle nor scikit-learn, and one row costs
microseconds. `fit` checks on its own rows that the arrays say exactly what scikit-learn's model says.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._ranked_trees import rank, sum_of_ranked
from qwarden.learn._tree_walk import Forest, plant, sum_of_leaves
from qwarden.learn.base import Array, BinaryEstimator, ClassWeight, Floats, logit


class _TreeTwin(BinaryEstimator):
    """What both twins share: the arrays and the check against the model they came from."""

    _learnt_arrays = ("classes_", *(f"_{name}" for name in Forest._fields))

    def _take(self, trees: list[Forest]) -> None:
        for name, array in plant(trees)._asdict().items():
            setattr(self, f"_{name}", array)

    def _prepare(self) -> None:
        self._forest = Forest(*(getattr(self, f"_{name}") for name in Forest._fields))

    def _check_against(self, model: Any, rows: Floats) -> None:
        """Raise if the arrays disagree with scikit-learn (whose tree layout is not a public contract)."""
        sample = rows[:: max(1, len(rows) // 500)]
        difference = np.abs(self.predict_proba(sample) - model.predict_proba(sample)).max()
        if not difference < 1e-12:
            raise RuntimeError(f"the laid-out trees differ from scikit-learn's by {difference:.1e}")


class GradientBoostingTwin(_TreeTwin):
    """Gradient-boosted trees on histograms, the strongest classical model on flow tables.

    Parameters
    ----------
    iterations, learning_rate, max_leaf_nodes, min_samples_leaf, l2 : as scikit-learn's
        `HistGradientBoostingClassifier`.
    class_weight : ``balanced`` gives both classes the same weight in all.
    seed : of the training.

    Source: Friedman 2001, "Greedy function approximation"; Ke et al 2017, "LightGBM".

    Examples
    --------
    >>> X = np.arange(200.0)[:, None]
    >>> twin = GradientBoostingTwin(iterations=10).fit(X, X[:, 0] > 99)
    >>> twin.predict([[0.0], [180.0]]).tolist()
    [False, True]
    """

    _learnt_facts = ("n_features_in_", "_baseline")

    _baseline: float

    def __init__(
        self,
        iterations: int = 100,
        learning_rate: float = 0.1,
        max_leaf_nodes: int = 31,
        min_samples_leaf: int = 20,
        l2: float = 0.0,
        class_weight: ClassWeight = "balanced",
        seed: int = 0,
    ) -> None:
        self.iterations = iterations
        self.learning_rate = learning_rate
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.l2 = l2
        self.class_weight: ClassWeight = class_weight
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Grow the trees with scikit-learn and lay them out."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        model = HistGradientBoostingClassifier(
            max_iter=self.iterations,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=self.seed,
        )
        with progress.task("grow trees"):
            model.fit(rows, targets, sample_weight=weights)
        self._baseline = float(np.ravel(model._baseline_prediction)[0])
        self._take([_from_histogram_tree(stage[0].nodes) for stage in model._predictors])
        self._finish()
        self._check_against(model, rows)
        return self

    def _prepare(self) -> None:
        super()._prepare()
        self._ranked = rank(self._forest, self.n_features_in_)

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,)."""
        rows = self._check_rows(X)
        if self._ranked is None:
            return sum_of_leaves(rows, *self._forest, self._baseline)
        return sum_of_ranked(rows, *self._ranked, self._baseline)


class ExtraTreesTwin(_TreeTwin):
    """Extremely randomised trees: the best single model on NSL-KDD's shifted test set.

    Parameters
    ----------
    trees, min_samples_leaf : as scikit-learn's `ExtraTreesClassifier`.
    class_weight : ``balanced`` gives both classes the same weight in all.
    seed : of the training.

    Source: Geurts, Ernst & Wehenkel 2006, "Extremely randomized trees".
    """

    def __init__(
        self,
        trees: int = 100,
        min_samples_leaf: int = 1,
        class_weight: ClassWeight = "balanced",
        seed: int = 0,
    ) -> None:
        self.trees = trees
        self.min_samples_leaf = min_samples_leaf
        self.class_weight: ClassWeight = class_weight
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Grow the trees with scikit-learn and lay them out."""
        from sklearn.ensemble import ExtraTreesClassifier

        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        model = ExtraTreesClassifier(
            n_estimators=self.trees, min_samples_leaf=self.min_samples_leaf, random_state=self.seed
        )
        with progress.task("grow trees"):
            model.fit(rows, targets, sample_weight=weights)
        self._take([_from_tree(tree.tree_) for tree in model.estimators_])
        self._finish()
        self._check_against(model, rows)
        return self

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Return the mean of the trees' class shares, (n, 2)."""
        # scikit-learn compares in float32: a value between two float32 numbers must fall the same way.
        with np.errstate(over="ignore"):
            rows = self._check_rows(X).astype(np.float32).astype(np.float64)
        positive = sum_of_leaves(rows, *self._forest, 0.0) / (len(self._forest.roots) - 1)
        return np.column_stack([1.0 - positive, positive])

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,), finite where all trees agree."""
        return logit(self.predict_proba(X)[:, 1])


def _from_histogram_tree(nodes: Array) -> Forest:
    """Lay out one tree of `HistGradientBoostingClassifier`."""
    own = np.arange(len(nodes))
    leaf = nodes["is_leaf"].astype(bool)
    return Forest(
        roots=own[:1],
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=np.where(leaf, own, nodes["left"]),
        right=np.where(leaf, own, nodes["right"]),
        unknown_left=nodes["missing_go_to_left"],
        value=np.where(leaf, nodes["value"], 0.0),
    )


def _from_tree(tree: Any) -> Forest:
    """Lay out one tree of `ExtraTreesClassifier`."""
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    shares = tree.value[:, 0, :]
    return Forest(
        roots=own[:1],
        feature=np.where(leaf, 0, tree.feature),
        threshold=tree.threshold,
        left=np.where(leaf, own, tree.children_left),
        right=np.where(leaf, own, tree.children_right),
        unknown_left=np.asarray(tree.missing_go_to_left),
        value=np.where(leaf, shares[:, 1] / shares.sum(axis=1), 0.0),
    )
