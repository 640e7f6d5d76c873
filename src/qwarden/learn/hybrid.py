"""The hybrid QNN-QSVM: a trained encoding, and a kernel machine on its states."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._landmarks import Loss
from qwarden.learn.base import BinaryEstimator, ClassWeight, Complexes, Floats, held_out
from qwarden.learn.calibration import Platt
from qwarden.learn.fidelity import FidelityMachine, Solver
from qwarden.learn.qnn import QNNClassifier
from qwarden.learn.qsvc import fit_calibrated


class HybridClassifier(BinaryEstimator):
    """A QNN learns how to encode rows; a support vector machine separates the states it prepares.

    A part of the rows is held out from both, and Platt's curve of the margins on it gives log-odds.

    Parameters
    ----------
    embedding : the network whose states are used; a default `QNNClassifier` with this `seed` if None.
    solver, C, loss, ridge, landmarks : as `FidelityMachine`.
    class_weight : ``balanced`` gives both classes the same weight in all, in the machine and in the
        calibration; the network has its own.
    calibration_share : share of each class held out for Platt's curve; with 0, or where a class is too
        small to spare any, the margin itself is the decision.
    seed : of the held-out rows and the landmarks.
    entangled : False trains the unentangled twin: the network without its entangling gates.

    Attributes
    ----------
    embedding_, machine_ : the fitted network and the fitted machine.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> y = X[:, 0] * X[:, 1] > 0
    >>> network = QNNClassifier(qubits=2, layers=2, steps=100, learning_rate=0.05)
    >>> HybridClassifier(network).fit(X, y).score(X, y) > 0.95
    True
    """

    _learnt_arrays = ("classes_",)
    _learnt_facts = ("n_features_in_", "_slope", "_offset")
    _learnt_parts = {"embedding_": QNNClassifier, "machine_": FidelityMachine}  # noqa: RUF012

    embedding_: QNNClassifier
    machine_: FidelityMachine
    _slope: float
    _offset: float

    def __init__(
        self,
        embedding: QNNClassifier | None = None,
        solver: Solver = "nystrom",
        C: float = 1.0,
        loss: Loss = "ridge",
        ridge: float = 1e-4,
        landmarks: int = 1000,
        class_weight: ClassWeight = "balanced",
        calibration_share: float = 0.2,
        seed: int = 0,
        entangled: bool = True,
    ) -> None:
        self.embedding = embedding
        self.solver: Solver = solver
        self.C = C
        self.loss: Loss = loss
        self.ridge = ridge
        self.landmarks = landmarks
        self.class_weight: ClassWeight = class_weight
        self.calibration_share = calibration_share
        self.seed = seed
        self.entangled = entangled

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Train the network, then the machine, then the calibration.

        Raises
        ------
        Interrupted
            At Ctrl-C while the network is trained, unless its `on_interrupt` is ``keep``.
        """
        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        apart = held_out(targets, self.calibration_share, self.seed)
        network = QNNClassifier(seed=self.seed) if self.embedding is None else self.embedding
        if self._embedding is None or not network.warm_start:
            settings = network.get_params(deep=False)
            settings["entangled"] = self.entangled and network.entangled
            self._embedding = type(network)(**settings)
        own = None if sample_weight is None else np.asarray(sample_weight, np.float64)[~apart]
        self.embedding_ = self._embedding.fit(rows[~apart], targets[~apart], own, progress=progress)
        self.machine_ = FidelityMachine(self.solver, self.C, self.loss, self.ridge, self.landmarks, self.seed)
        curve = fit_calibrated(self.machine_, self.embedding_.embed(rows), targets, weights, apart, progress)
        self._slope, self._offset = curve.slope, curve.offset
        return self._finish()

    def _prepare(self) -> None:
        self._curve = Platt(self._slope, self._offset)
        self._scorer = self.embedding_.row_scorer(
            self._slope * self.machine_.observable(), self._slope * self.machine_.bias_ + self._offset
        )

    _embedding: QNNClassifier | None = None

    def embed(self, X: npt.ArrayLike) -> Complexes:
        """Return the state of each row, (n, 2**qubits)."""
        rows = self._check_rows(X)
        return self.embedding_._states(rows)

    def margin(self, X: npt.ArrayLike) -> Floats:
        """Return the uncalibrated margin, (n,)."""
        states = self.embed(X)
        return self.machine_.margin(states)

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,)."""
        rows = self._check_rows(X)
        if self._scorer is not None:
            return self._scorer(rows)
        margins = self.machine_.margin(self.embedding_._states(rows))
        return self._curve.log_odds(margins)
