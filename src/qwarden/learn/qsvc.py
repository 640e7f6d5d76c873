"""The quantum support vector classifier: a fixed feature map and the fidelity kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._landmarks import Loss
from qwarden.learn.aligned import AlignedEncoding
from qwarden.learn.base import ClassWeight, Complexes, Floats, held_out
from qwarden.learn.calibration import Platt, fit_platt
from qwarden.learn.encoded import Bools, EncodedClassifier
from qwarden.learn.encoding import FixedEncoding, MapName
from qwarden.learn.fidelity import FidelityMachine, Solver

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend


class QSVC(EncodedClassifier):
    """A support vector classifier whose kernel is the fidelity of states.

    Rows become principal components, those angles, those states (`FixedEncoding`), and a
    `FidelityMachine` separates the states. Log-odds come from Platt's curve on held-out rows.

    Parameters
    ----------
    feature_map, qubits, layers, pca, scale_power, bandwidth, standardise : as `FixedEncoding`.
    solver, C, loss, ridge, landmarks : as `FidelityMachine`.
    class_weight : ``balanced`` gives both classes the same weight in all.
    calibration_share : share of each class held out for Platt's curve; with 0, or where a class is too
        small to spare any, the margin itself is the decision.
    seed : of the held-out rows and the landmarks.
    backend : computes states; the local simulator by default.
    entangled : False takes the unentangled twin of the map.
    encoding : trained instead of the fixed encoding that the parameters above describe, so that the
        kernel is a trained one. It is not shown the labels of held-out rows.

    Source: Havlicek et al 2019, "Supervised learning with quantum-enhanced feature spaces".

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> y = np.where((X**2).sum(axis=1) > 1.4, "outside", "inside")
    >>> QSVC(qubits=4, layers=2, C=100.0).fit(X, y).score(X, y) > 0.9
    True
    """

    _learnt_arrays = ("classes_",)
    _learnt_facts = ("n_features_in_", "_slope", "_offset")
    _learnt_parts = {"encoding_": FixedEncoding, "machine_": FidelityMachine}  # noqa: RUF012

    machine_: FidelityMachine
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
        solver: Solver = "auto",
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
        self.solver: Solver = solver
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
        self.machine_ = FidelityMachine(self.solver, self.C, self.loss, self.ridge, self.landmarks, self.seed)
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


class StateMachine(Protocol):
    """A machine that separates states."""

    def fit_states(
        self, states: Complexes, targets: Floats, weights: Floats | None = None, *, progress: Progress
    ) -> Any:
        """Learn from states (n, 2**q), targets (0.0 or 1.0) and weights (n,)."""

    def margin(self, states: Complexes) -> Floats:
        """Return the decision value of each state, (n,)."""


def fit_calibrated(
    machine: StateMachine,
    states: Complexes,
    targets: Floats,
    weights: Floats,
    apart: Bools,
    progress: Progress,
) -> Platt:
    """Fit `machine` on the rows that are not `apart`, and Platt's curve of its margins on those that are."""
    machine.fit_states(states[~apart], targets[~apart], weights[~apart], progress=progress)
    if not apart.any():
        return Platt()
    return fit_platt(machine.margin(states[apart]), targets[apart], weights[apart])
