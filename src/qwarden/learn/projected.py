"""The projected-kernel support vector machine: rows compared by what each single qubit shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._landmarks import Loss, chunks, fit_on_landmarks
from qwarden.learn.aligned import AlignedEncoding
from qwarden.learn.base import ClassWeight, Complexes, Estimator, Floats, held_out
from qwarden.learn.calibration import Platt
from qwarden.learn.encoded import EncodedClassifier
from qwarden.learn.encoding import FixedEncoding, MapName
from qwarden.learn.fidelity import DUAL_LIMIT
from qwarden.learn.qsvc import fit_calibrated
from qwarden.quantum import projected_features, projected_kernel

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

Gamma = float | Literal["scale"]

_SMALLEST = 1e-10


class ProjectedMachine(Estimator):
    """A support vector machine with the projected kernel, on states.

    Parameters
    ----------
    gamma : of ``exp(-gamma * sum_k ||rho_k - rho'_k||^2)``; ``scale`` is 1 / (3q * the variance of the
        features), as in scikit-learn's `SVC`.
    solver : ``dual`` (libsvm), ``nystrom`` (a linear machine on the features that `landmarks` random rows
        span), ``auto`` (dual up to `DUAL_LIMIT` rows).
    C : inverse regularisation of the dual, as in scikit-learn's `SVC`.
    loss, ridge : of the Nystrom solver, as `FidelityMachine`.
    landmarks : number of landmark rows.
    seed : of their choice.

    Source: Huang et al 2021, "Power of data in quantum machine learning", the projected quantum kernel.

    Examples
    --------
    >>> states = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], complex)
    >>> machine = ProjectedMachine().fit_states(states, np.array([0.0, 0.0, 1.0, 1.0]))
    >>> (machine.margin(states) > 0).tolist()
    [False, False, True, True]
    """

    _learnt_arrays = ("_support", "_alpha")
    _learnt_facts = ("n_features_in_", "gamma_", "bias_")

    gamma_: float
    bias_: float
    _support: Floats
    _alpha: Floats

    def __init__(
        self,
        gamma: Gamma = "scale",
        solver: Literal["auto", "dual", "nystrom"] = "auto",
        C: float = 1.0,
        loss: Loss = "squared_hinge",
        ridge: float = 1e-4,
        landmarks: int = 1000,
        seed: int = 0,
    ) -> None:
        self.gamma: Gamma = gamma
        self.solver = solver
        self.C = C
        self.loss: Loss = loss
        self.ridge = ridge
        self.landmarks = landmarks
        self.seed = seed

    def fit_states(
        self,
        states: Complexes,
        targets: Floats,
        weights: Floats | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Learn from states (n, 2**q), targets (0.0 or 1.0) and weights of mean 1."""
        if self.solver not in ("auto", "dual", "nystrom"):
            raise ValueError(f"solver must be 'auto', 'dual' or 'nystrom', not {self.solver!r}")
        if self.loss not in ("ridge", "squared_hinge"):
            raise ValueError(f"loss must be 'ridge' or 'squared_hinge', not {self.loss!r}")
        weights = np.ones(len(states)) if weights is None else weights
        features = projected_features(states)
        spread = features.shape[1] * float(features.var())
        self.gamma_ = (1.0 / spread if spread > 0.0 else 1.0) if self.gamma == "scale" else float(self.gamma)
        dual = self.solver == "dual" or (self.solver == "auto" and len(states) <= DUAL_LIMIT)
        with progress.task("solve the dual" if dual else "train on landmarks") as task:
            if dual:
                self._solve_dual(features, targets, weights)
            else:
                rng = np.random.default_rng([self.seed, 4])
                count = min(self.landmarks, len(features))
                self._support = features[rng.choice(len(features), count, replace=False)]
                values, vectors = np.linalg.eigh(self._kernel(self._support))
                kept = values > _SMALLEST * values[-1]
                self._alpha, self.bias_ = fit_on_landmarks(
                    self._kernel, vectors[:, kept] / np.sqrt(values[kept]),
                    features, 2.0 * targets - 1.0, weights, self.loss, self.ridge, task,
                )  # fmt: skip
        self.n_features_in_ = states.shape[1]
        return self._finish()

    def _solve_dual(self, features: Floats, targets: Floats, weights: Floats) -> None:
        from sklearn.svm import SVC

        machine = SVC(C=self.C, gamma=self.gamma_).fit(features, targets, sample_weight=weights)
        self._support, self._alpha = machine.support_vectors_, machine.dual_coef_[0]
        self.bias_ = float(machine.intercept_[0])

    def _kernel(self, features: Floats) -> Floats:
        return projected_kernel(features, self._support, self.gamma_)

    def margin(self, states: Complexes) -> Floats:
        """Return the decision value of each state, (n,): positive on the side of target 1."""
        self._check_fitted()
        features = projected_features(states)
        parts = [self._kernel(features[part]) @ self._alpha for part in chunks(len(features))]
        return np.concatenate([np.zeros(0), *parts]) + self.bias_


class ProjectedQSVC(EncodedClassifier):
    """A support vector classifier whose kernel compares the one-qubit reduced states of rows.

    Rows become states as for `QSVC`; a `ProjectedMachine` separates them. Log-odds come from Platt's
    curve on held-out rows. Where fidelities of many qubits concentrate near 0, this kernel does not.

    Parameters
    ----------
    feature_map, qubits, layers, pca, scale_power, bandwidth, standardise : as `FixedEncoding`.
    gamma, solver, C, loss, ridge, landmarks : as `ProjectedMachine`.
    class_weight : ``balanced`` gives both classes the same weight in all.
    calibration_share : share of each class held out for Platt's curve; with 0, or where a class is too
        small to spare any, the margin itself is the decision.
    seed : of the held-out rows and the landmarks.
    backend : computes states; the local simulator by default.
    entangled : False takes the unentangled twin of the map.
    encoding : trained instead of the fixed encoding that the parameters above describe.

    Source: Huang et al 2021, "Power of data in quantum machine learning", Nature Communications 12:2631.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> y = np.where((X**2).sum(axis=1) > 1.4, "outside", "inside")
    >>> ProjectedQSVC(qubits=4, layers=2).fit(X, y).score(X, y) > 0.9
    True
    """

    _learnt_arrays = ("classes_",)
    _learnt_facts = ("n_features_in_", "_slope", "_offset")
    _learnt_parts = {"encoding_": FixedEncoding, "machine_": ProjectedMachine}  # noqa: RUF012

    machine_: ProjectedMachine
    _slope: float
    _offset: float

    def __init__(
        self,
        feature_map: MapName = "reupload",
        qubits: int = 6,
        layers: int = 3,
        pca: int = 36,
        scale_power: float = 0.5,
        bandwidth: float = 0.5,
        standardise: bool = True,
        gamma: Gamma = "scale",
        solver: Literal["auto", "dual", "nystrom"] = "auto",
        C: float = 10.0,
        loss: Loss = "squared_hinge",
        ridge: float = 1e-4,
        landmarks: int = 1000,
        class_weight: ClassWeight = "balanced",
        calibration_share: float = 0.2,
        seed: int = 0,
        backend: StateBackend | None = None,
        entangled: bool = True,
        encoding: AlignedEncoding | None = None,
    ) -> None:
        self.feature_map: MapName = feature_map
        self.qubits = qubits
        self.layers = layers
        self.pca = pca
        self.scale_power = scale_power
        self.bandwidth = bandwidth
        self.standardise = standardise
        self.gamma: Gamma = gamma
        self.solver = solver
        self.C = C
        self.loss: Loss = loss
        self.ridge = ridge
        self.landmarks = landmarks
        self.class_weight: ClassWeight = class_weight
        self.calibration_share = calibration_share
        self.seed = seed
        self.backend = backend
        self.entangled = entangled
        self.encoding = encoding

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Learn from rows (n, d), labels of two kinds and weights (n,)."""
        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        apart = held_out(targets, self.calibration_share, self.seed)
        states = self._fit_encoding(rows, targets, weights, ~apart, progress)
        self.machine_ = ProjectedMachine(
            self.gamma, self.solver, self.C, self.loss, self.ridge, self.landmarks, self.seed
        )
        curve = fit_calibrated(self.machine_, states, targets, weights, apart, progress)
        self._slope, self._offset = curve.slope, curve.offset
        return self._finish()

    def _prepare(self) -> None:
        self._curve = Platt(self._slope, self._offset)

    def margin(self, X: npt.ArrayLike) -> Floats:
        """Return the uncalibrated margin, (n,)."""
        states = self.embed(X)
        return self.machine_.margin(states)

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,)."""
        margins = self.margin(X)
        return self._curve.log_odds(margins)
