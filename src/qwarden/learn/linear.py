"""The plainest classical twin: logistic regression."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._rows import fill_unknown, linear
from qwarden.learn.base import BinaryEstimator, ClassWeight, Floats, standard_scale


class LogisticTwin(BinaryEstimator):
    """Logistic regression: log-odds that are linear in the columns.

    What a quantum classifier gains over it is what non-linearity gains at all. Rows are standardised
    inside; an unknown value takes its column's mean.

    Parameters
    ----------
    ridge : times the squared norm of the weights, relative to a loss averaged over the rows.
    class_weight : ``balanced`` gives both classes the same weight in all.

    Source: Cox 1958, "The regression analysis of binary sequences".

    Examples
    --------
    >>> twin = LogisticTwin().fit([[0.0], [1.0], [9.0], [10.0]], [0, 0, 1, 1])
    >>> twin.predict([[2.0], [8.0]]).tolist()
    [0, 1]
    """

    _learnt_arrays = ("classes_", "mean_", "weights_")
    _learnt_facts = ("n_features_in_", "bias_")

    mean_: Floats
    weights_: Floats
    """Of the columns as they come, (n_features_in_,)."""
    bias_: float

    def __init__(self, ridge: float = 1e-4, class_weight: ClassWeight = "balanced") -> None:
        self.ridge = ridge
        self.class_weight: ClassWeight = class_weight

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Find the weights with scikit-learn."""
        from sklearn.linear_model import LogisticRegression

        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        self.mean_, scale = standard_scale(rows, weights)
        scaled = (fill_unknown(rows, self.mean_) - self.mean_) / scale
        # scikit-learn minimises |w|^2 / 2 + C * (sum of losses).
        model = LogisticRegression(C=0.5 / (self.ridge * weights.sum()), tol=1e-6, max_iter=1000)
        with progress.task("fit weights"):
            model.fit(scaled, targets, sample_weight=weights)
        self.weights_ = model.coef_[0] / scale
        self.bias_ = float(model.intercept_[0] - self.mean_ @ self.weights_)
        return self._finish()

    def _prepare(self) -> None:
        self._columns, self._biases = self.weights_[:, None], np.array([self.bias_])

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,)."""
        return linear(self._check_rows(X), self.mean_, self._columns, self._biases)[:, 0]
