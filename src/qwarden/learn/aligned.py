"""A trained kernel: the feature map's own parameters climb the kernel's alignment with the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import Interrupted
from qwarden.core.progress import SILENT, Progress, interruptible
from qwarden.learn._rows import fill_unknown, linear
from qwarden.learn.base import (
    ClassWeight,
    Complexes,
    Floats,
    Transformer,
    binary_training_set,
    standard_scale,
)
from qwarden.learn.optim import Adam, Batches
from qwarden.quantum import LocalBackend, alignment_and_cotangent, cz_ring_reupload

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend


class AlignedEncoding(Transformer):
    """Rows to states by a re-uploading circuit whose angles ``W x + b`` are trained.

    W and b climb the centred kernel-target alignment of mini-batches: rows of one class come to resemble
    each other, and differ from the other class, in fidelity. A kernel machine is trained afterwards, on
    the kernel as it then is (``QSVC(encoding=AlignedEncoding())``).

    Rows are standardised inside; an unknown value takes its column's mean.

    Parameters
    ----------
    qubits, layers : size of the circuit, `qwarden.quantum.cz_ring_reupload`.
    steps, batch_size, learning_rate : of Adam; the rate falls to 0 as half a cosine. 0 steps leave the
        random map as it is.
    weight_decay : pulls all weights towards 0.
    class_weight : ``balanced`` gives both classes the same weight in all.
    entangled : False trains the unentangled twin.
    seed : of weights and batches. One seed on one thread gives one map, bit for bit.
    backend : computes states; the local simulator by default.

    Attributes
    ----------
    alignments_ : alignment of each step's batch; known after `fit` only.

    Source: Hubregtsen et al 2022, "Training quantum embedding kernels on near-term quantum computers";
    Cortes, Mohri & Rostamizadeh 2012 (centred alignment).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X[:, 0] * X[:, 1] > 0
    >>> encoding = AlignedEncoding(qubits=2, layers=2, steps=100, learning_rate=0.05).fit(X, y)
    >>> bool(encoding.alignments_[-1] > 2 * encoding.alignments_[0])
    True
    """

    _learnt_arrays = ("mean_", "weights_", "biases_")
    _unstored_params = ("backend",)
    _needs_labels = True

    mean_: Floats
    weights_: Floats
    biases_: Floats
    alignments_: Floats

    def __init__(
        self,
        qubits: int = 6,
        layers: int = 3,
        steps: int = 200,
        batch_size: int = 128,
        learning_rate: float = 2e-2,
        weight_decay: float = 1e-4,
        class_weight: ClassWeight = "balanced",
        entangled: bool = True,
        seed: int = 0,
        backend: StateBackend | None = None,
    ) -> None:
        self.qubits = qubits
        self.layers = layers
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.class_weight: ClassWeight = class_weight
        self.entangled = entangled
        self.seed = seed
        self.backend = backend

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Train from rows (n, d), labels of two kinds and weights (n,).

        Raises
        ------
        Interrupted
            At Ctrl-C.
        """
        self._is_fitted = False
        rows, targets, weights, _ = binary_training_set(self, X, y, sample_weight, self.class_weight)
        self.n_features_in_ = rows.shape[1]
        self.mean_, scale = standard_scale(rows)
        rows = (fill_unknown(rows, self.mean_) - self.mean_) / scale
        signs, engine = 2.0 * targets - 1.0, self.backend or LocalBackend()
        circuit = cz_ring_reupload(self.qubits, self.layers, entangled=self.entangled)
        flat = self._initial(circuit.columns, rows.shape[1])
        W, b = flat[: -circuit.columns].reshape(circuit.columns, -1), flat[-circuit.columns :]
        adam = Adam(len(flat), self.steps, self.learning_rate, self.weight_decay)
        batches, alignments = Batches(len(rows), self.batch_size, self.seed), []
        with interruptible() as stop, progress.task("align the kernel", total=self.steps) as task:
            for step in range(self.steps):
                if stop:
                    raise Interrupted(f"training stopped after step {step} of {self.steps}")
                chosen = batches.at(step)
                states, pullback = engine.states_and_pullback(circuit, rows[chosen] @ W.T + b)
                alignment, cotangent = alignment_and_cotangent(states, signs[chosen], weights[chosen])
                d_angles = pullback(-cotangent)
                adam.step(flat, np.concatenate([(d_angles.T @ rows[chosen]).ravel(), d_angles.sum(axis=0)]))
                alignments.append(alignment)
                task.advance(1, f"alignment {alignment:.3f}")
        self.alignments_ = np.array(alignments)
        # Standardising is one more linear map: fold it into the weights.
        self.weights_ = np.ascontiguousarray((W / scale).T)
        self.biases_ = b - self.mean_ @ self.weights_
        return self._finish()

    def _initial(self, angles: int, features: int) -> Floats:
        """Draw weights that turn a standardised row by about half a radian, about any point."""
        rng = np.random.default_rng([self.seed, 0])
        W = rng.normal(size=angles * features) * 0.5 / np.sqrt(features)
        return np.concatenate([W, rng.uniform(-np.pi / 2, np.pi / 2, size=angles)])

    def _prepare(self) -> None:
        self._circuit = cz_ring_reupload(self.qubits, self.layers, entangled=self.entangled)
        self._engine = self.backend or LocalBackend()

    def transform(self, X: npt.ArrayLike) -> Floats:
        """Return the circuit's angles, (n, 2 * qubits * layers), radians."""
        return linear(self._check_rows(X), self.mean_, self.weights_, self.biases_)

    def states(self, X: npt.ArrayLike) -> Complexes:
        """Return the state of each row, (n, 2**qubits)."""
        return self._states(self._check_rows(X))

    def _states(self, rows: Floats) -> Complexes:
        angles = linear(rows, self.mean_, self.weights_, self.biases_)
        return self._engine.states(self._circuit, angles)
