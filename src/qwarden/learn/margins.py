"""Classical twins with the Gaussian kernel: the support vector machine, and the one-class one.

Where a quantum kernel machine compares states by their fidelity, these compare rows by
``exp(-gamma |x - l|^2)``; the classifier is trained as `FidelityMachine` trains, on landmarks that
randomly pivoted Cholesky chooses, so that the kernel is the only difference between the two.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled_fast
from qwarden.core.progress import SILENT, Progress, Task
from qwarden.learn._landmarks import chunks, fit_on_landmarks
from qwarden.learn._rows import FEW, fill_unknown
from qwarden.learn.base import (
    BinaryEstimator,
    ClassWeight,
    Floats,
    Ints,
    OneClassEstimator,
    held_out,
    standard_scale,
)
from qwarden.learn.calibration import Platt, fit_platt
from qwarden.learn.neighbours import sample_rows

Gamma = float | Literal["scale"]

_CANDIDATES = 10
_FOLDS = 5
_TOLERANCE = 1e-10


class RBFSVMTwin(BinaryEstimator):
    """A support vector machine with the Gaussian kernel, on Nystrom features: the twin of `QSVC`.

    Minimises the mean squared hinge loss plus `ridge` times the squared norm. Log-odds come from Platt's
    curve on held-out rows. Rows are standardised inside; an unknown value takes its column's mean.

    Parameters
    ----------
    gamma : of ``exp(-gamma |x - l|^2)`` between standardised rows; ``scale`` is 1 / columns.
    ridge : times the squared norm, relative to a loss averaged over the rows.
    landmarks : rows whose kernel columns span the features.
    class_weight : ``balanced`` gives both classes the same weight in all.
    calibration_share : share of each class held out for Platt's curve; with 0, or where a class is too
        small to spare any, the margin itself is the decision.
    seed : of the held-out rows and the landmarks.

    Source: Williams & Seeger 2000, "Using the Nystrom method to speed up kernel machines"; Chapelle 2007,
    "Training a support vector machine in the primal", section 4; Chen et al 2022, "Randomly pivoted
    Cholesky", algorithm 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> y = (X**2).sum(axis=1) > 1.4
    >>> RBFSVMTwin().fit(X, y).score(X, y) > 0.95
    True
    """

    _learnt_arrays = ("classes_", "mean_", "scale_", "_landmarks", "_alpha")
    _learnt_facts = ("n_features_in_", "gamma_", "bias_", "_slope", "_offset")

    mean_: Floats
    scale_: Floats
    gamma_: float
    bias_: float
    _landmarks: Floats
    _alpha: Floats

    def __init__(
        self,
        gamma: Gamma = "scale",
        ridge: float = 1e-4,
        landmarks: int = 1000,
        class_weight: ClassWeight = "balanced",
        calibration_share: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.gamma: Gamma = gamma
        self.ridge = ridge
        self.landmarks = landmarks
        self.class_weight: ClassWeight = class_weight
        self.calibration_share = calibration_share
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Choose landmarks, train on the features they span, calibrate."""
        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        self.mean_, self.scale_ = standard_scale(rows, weights)
        scaled = self._scaled(rows)
        self.gamma_ = 1.0 / rows.shape[1] if self.gamma == "scale" else float(self.gamma)
        apart = held_out(targets, self.calibration_share, self.seed)
        with progress.task("train on landmarks") as task:
            self._train(scaled[~apart], 2.0 * targets[~apart] - 1.0, weights[~apart], task)
        curve = Platt()
        if apart.any():
            curve = fit_platt(self._margin(scaled[apart]), targets[apart], weights[apart])
        self._slope, self._offset = curve.slope, curve.offset
        return self._finish()

    def _scaled(self, rows: Floats) -> Floats:
        scaled: Floats = (fill_unknown(rows, self.mean_) - self.mean_) / self.scale_
        return scaled

    def _train(self, rows: Floats, signs: Floats, weights: Floats, task: Task) -> None:
        rng = np.random.default_rng([self.seed, 4])
        size = min(len(rows), _CANDIDATES * self.landmarks)
        candidates = rows[rng.choice(len(rows), size, replace=False)]
        self._landmarks = candidates[_pivots(candidates, self.landmarks, self.gamma_, rng)]
        values, vectors = np.linalg.eigh(_kernel(self._landmarks, self._landmarks, self.gamma_))
        kept = values > _TOLERANCE * values[-1]
        projection = vectors[:, kept] / np.sqrt(values[kept])
        self._alpha, self.bias_ = fit_on_landmarks(
            lambda some: _kernel(some, self._landmarks, self.gamma_),
            projection, rows, signs, weights, "squared_hinge", self.ridge, task,
        )  # fmt: skip

    def _prepare(self) -> None:
        self._curve = Platt(self._slope, self._offset)

    def _margin(self, scaled: Floats) -> Floats:
        return _expansion(scaled, self._landmarks, self._alpha, self.gamma_) + self.bias_

    def margin(self, X: npt.ArrayLike) -> Floats:
        """Return the uncalibrated margin, (n,)."""
        return self._margin(self._scaled(self._check_rows(X)))

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,)."""
        margins = self.margin(X)
        return self._curve.log_odds(margins)


class OneClassSVMTwin(OneClassEstimator):
    """The one-class support vector machine with the Gaussian kernel.

    `score_samples` is the weighted mean of the kernels with the support vectors, 0 far from all of them;
    `strangeness` is minus that. libsvm's own threshold is its rows', which it has fitted; `offset_` is
    taken from rows that were left out. An unknown value takes its column's mean.

    Parameters
    ----------
    gamma : of ``exp(-gamma |x - l|^2)``; ``scale`` is 1 / (columns * their mean variance).
    reference_size : normals trained on, a random sample if there are more: libsvm's time is quadratic.
    nu : at least this share of them becomes support vectors.
    contamination : share of the normals beyond `offset_`.
    standardise : scale columns to unit variance first; a `Preprocessor` has done it already.
    seed : of the sample and of the folds in which `offset_` is estimated.

    Source: Schölkopf et al 2001, "Estimating the support of a high-dimensional distribution".

    Examples
    --------
    >>> twin = OneClassSVMTwin().fit(np.random.default_rng(0).normal(size=(500, 2)))
    >>> twin.predict([[0.0, 0.0], [6.0, -6.0]]).tolist()
    [1, -1]
    """

    _learnt_arrays = ("mean_", "scale_", "_support", "_alpha")
    _learnt_facts = ("n_features_in_", "offset_", "gamma_")

    mean_: Floats
    scale_: Floats
    gamma_: float
    _support: Floats
    _alpha: Floats

    def __init__(
        self,
        gamma: Gamma = "scale",
        reference_size: int = 4000,
        nu: float = 0.1,
        contamination: float = 0.02,
        standardise: bool = False,
        seed: int = 0,
    ) -> None:
        self.gamma: Gamma = gamma
        self.reference_size = reference_size
        self.nu = nu
        self.contamination = contamination
        self.standardise = standardise
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, progress: Progress = SILENT) -> Self:
        """Solve the dual with libsvm."""
        rows = self._begin(X, y)
        self.mean_, self.scale_ = standard_scale(rows)
        if not self.standardise:
            self.scale_ = np.ones_like(self.scale_)
        scaled = self._scaled(rows[sample_rows(len(rows), self.reference_size, self.seed)])
        variance = float(scaled.var(axis=0).mean()) or 1.0
        self.gamma_ = 1.0 / (rows.shape[1] * variance) if self.gamma == "scale" else float(self.gamma)
        order = np.random.default_rng([self.seed, 6]).permutation(len(scaled))
        folds = [order[start::_FOLDS] for start in range(min(_FOLDS, len(scaled)))]
        unseen = []
        with progress.task("solve the dual", total=len(folds) + 1) as task:
            for fold in folds:
                support, alpha = self._solve(np.delete(scaled, fold, axis=0))
                unseen.append(_expansion(scaled[fold], support, alpha, self.gamma_))
                task.advance()
            self._support, self._alpha = self._solve(scaled)
        self.offset_ = float(np.quantile(np.concatenate(unseen), self.contamination))
        return self._finish()

    def _solve(self, scaled: Floats) -> tuple[Floats, Floats]:
        """Return support vectors and their weights, which sum to 1."""
        from sklearn.svm import OneClassSVM

        model = OneClassSVM(kernel="rbf", gamma=self.gamma_, nu=self.nu, tol=1e-6).fit(scaled)
        return model.support_vectors_, model.dual_coef_[0] / model.dual_coef_.sum()

    def _scaled(self, rows: Floats) -> Floats:
        scaled: Floats = (fill_unknown(rows, self.mean_) - self.mean_) / self.scale_
        return scaled

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return the weighted mean of kernels with the support vectors, (n,): higher is more normal."""
        return _expansion(self._scaled(self._check_rows(X)), self._support, self._alpha, self.gamma_)

    def strangeness(self, X: npt.ArrayLike) -> Floats:
        """Return minus the score, (n,): higher is stranger."""
        return -self.score_samples(X)


def _kernel(rows: Floats, others: Floats, gamma: float) -> Floats:
    """Return ``exp(-gamma |x - l|^2)`` of all pairs, (n, m)."""
    squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * rows @ others.T
    kernel: Floats = np.exp(-gamma * np.maximum(squares, 0.0))
    return kernel


def _pivots(rows: Floats, count: int, gamma: float, rng: np.random.Generator) -> Ints:
    """Return rows drawn in proportion to what the rows drawn before leave of their own kernel."""
    count = min(count, len(rows))
    residual, factor = np.ones(len(rows)), np.empty((len(rows), count))
    chosen: list[int] = []
    while len(chosen) < count and residual.max() > _TOLERANCE:
        row, done = int(rng.choice(len(rows), p=residual / residual.sum())), len(chosen)
        column = _kernel(rows, rows[row : row + 1], gamma)[:, 0] - factor[:, :done] @ factor[row, :done]
        factor[:, done] = column / np.sqrt(residual[row])
        residual = np.maximum(residual - factor[:, done] ** 2, 0.0)
        residual[row] = 0.0
        chosen.append(row)
    return np.array(chosen)


def _expansion(rows: Floats, others: Floats, alpha: Floats, gamma: float) -> Floats:
    """Return ``sum_j alpha_j exp(-gamma |x - l_j|^2)`` of each row, (n,)."""
    if len(rows) <= FEW:
        return _expansion_of_few(np.ascontiguousarray(rows), others, alpha, gamma)
    return np.concatenate([_kernel(rows[part], others, gamma) @ alpha for part in chunks(len(rows))])


@compiled_fast
def _expansion_of_few(rows: Floats, others: Floats, alpha: Floats, gamma: float) -> Floats:
    out = np.zeros(rows.shape[0])
    for row in range(rows.shape[0]):
        for other in range(others.shape[0]):
            square = 0.0
            for column in range(rows.shape[1]):
                gap = rows[row, column] - others[other, column]
                square += gap * gap
            out[row] += alpha[other] * np.exp(-gamma * square)
    return out
