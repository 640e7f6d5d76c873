"""The quantum neural network: data enter every layer again through trained weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import Interrupted
from qwarden.core.progress import SILENT, Progress, interruptible
from qwarden.learn._rows import FEW, fill_unknown, linear
from qwarden.learn.base import (
    BinaryEstimator,
    ClassWeight,
    Complexes,
    Floats,
    sigmoid,
    standard_scale,
)
from qwarden.learn.optim import Adam, Batches
from qwarden.quantum import LocalBackend, PauliSum, RowScorer, cz_ring_reupload

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

Readout = Literal["ring", "all"]


class QNNClassifier(BinaryEstimator):
    """A variational classifier whose encoding is trained.

    Each of `layers` layers turns qubit i by ``RY(w x + b)`` and ``RZ(w' x + b')``, then entangles the
    qubits by a ring of CZ. The logit is linear in <Z_i> and <Z_i Z_j>. All columns of a row enter
    every layer, so no reduction of the data stands before it. Trained by Adam on balanced binary
    cross-entropy, with noise on the inputs.

    Rows are standardised inside, and an unknown value takes its column's mean; a `Preprocessor` before
    it does both better.

    Parameters
    ----------
    qubits, layers : size of the circuit.
    steps, batch_size, learning_rate : of the training; the rate falls to 0 as half a cosine.
    input_noise : standard deviation of the normal noise added to standardised rows while training.
    weight_decay : pulls all weights towards 0.
    readout : pairs whose <Z Z> is read: neighbours on the ring, or all.
    class_weight : ``balanced`` gives both classes the same weight in all.
    on_interrupt : at Ctrl-C, ``raise`` `Interrupted` (`fit` again with `warm_start` goes on to the same
        bits as if nothing had happened), or ``keep`` the best weights so far as the fitted model.
    warm_start : go on with a stopped training, or from the weights of a finished one.
    seed : of weights, batches and noise. One seed on one thread gives one model, bit for bit.
    backend : computes expectation values; the local simulator by default.
    entangled : False trains the unentangled twin: the same turns without the ring of CZ.

    Source: Perez-Salinas et al 2020, "Data re-uploading for a universal quantum classifier", eq. (7).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X[:, 0] * X[:, 1] > 0
    >>> QNNClassifier(qubits=2, layers=2, steps=100, learning_rate=0.05).fit(X, y).score(X, y) > 0.9
    True
    """

    _learnt_arrays = ("classes_", "parameters_", "mean_", "scale_")
    _unstored_params = ("backend",)

    parameters_: Floats
    mean_: Floats
    scale_: Floats

    def __init__(
        self,
        qubits: int = 6,
        layers: int = 3,
        steps: int = 500,
        batch_size: int = 256,
        learning_rate: float = 5e-3,
        input_noise: float = 0.1,
        weight_decay: float = 1e-4,
        readout: Readout = "ring",
        class_weight: ClassWeight = "balanced",
        on_interrupt: Literal["raise", "keep"] = "raise",
        warm_start: bool = False,
        seed: int = 0,
        backend: StateBackend | None = None,
        entangled: bool = True,
    ) -> None:
        self.qubits = qubits
        self.layers = layers
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.input_noise = input_noise
        self.weight_decay = weight_decay
        self.readout = readout
        self.class_weight: ClassWeight = class_weight
        self.on_interrupt = on_interrupt
        self.warm_start = warm_start
        self.seed = seed
        self.backend = backend
        self.entangled = entangled

    # -- training --------------------------------------------------------------------------------

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Train from rows (n, d), labels of two kinds and weights (n,).

        Raises
        ------
        Interrupted
            At Ctrl-C, unless `on_interrupt` is ``keep``.
        """
        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        self.mean_, self.scale_ = standard_scale(rows)
        rows = (fill_unknown(rows, self.mean_) - self.mean_) / self.scale_
        run = self._run = self._new_or_stopped_run(rows.shape[1])
        network = self._new_network()
        batches = Batches(len(rows), self.batch_size, self.seed)
        with interruptible() as stop, progress.task("train", total=self.steps) as task:
            task.advance(run.adam.taken)
            while run.adam.taken < self.steps and not stop:
                step = run.adam.taken
                chosen = batches.at(step)
                noise = np.random.default_rng([self.seed, 2, step]).normal(size=(len(chosen), rows.shape[1]))
                loss, gradient = network.loss_and_gradient(
                    run.parameters, rows[chosen] + self.input_noise * noise, targets[chosen], weights[chosen]
                )
                run.note(loss)
                run.adam.step(run.parameters, gradient)
                task.advance(1, f"loss {run.smoothed:.3f}")
        if run.adam.taken < self.steps:
            if self.on_interrupt != "keep":
                raise Interrupted(
                    f"training stopped after step {run.adam.taken} of {self.steps}; "
                    "fit again with warm_start=True to go on"
                )
            self.parameters_ = run.best.copy()
        else:
            self.parameters_ = run.parameters.copy()
        return self._finish()

    def _new_network(self) -> _Network:
        backend = self.backend or LocalBackend()
        return _Network(self.qubits, self.layers, self.readout, backend, self.entangled)

    _run: _Run | None = None

    def _new_or_stopped_run(self, features: int) -> _Run:
        """Return the training to go on with, or a new one."""
        size = _Layout.of(self.qubits, self.layers, self.readout, features).size
        old = self._run if self.warm_start and self._run is not None else None
        if old is not None and len(old.parameters) == size:
            if old.adam.taken < self.steps == old.adam.steps:
                return old
            start = old.parameters
        else:
            start = _Layout.of(self.qubits, self.layers, self.readout, features).initial(self.seed)
        return _Run(start, Adam(size, self.steps, self.learning_rate, self.weight_decay))

    # -- scoring ---------------------------------------------------------------------------------

    def _prepare(self) -> None:
        layout = _Layout.of(self.qubits, self.layers, self.readout, self.n_features_in_)
        W, b, self._readout_weights, bias = layout.split(self.parameters_)
        self._readout_bias = float(bias[0])
        # Standardising is one more linear map: fold it into the weights.
        self._weights = np.ascontiguousarray((W / self.scale_).T)
        self._biases = b - self.mean_ @ self._weights
        self._network = self._new_network()
        self._scorer = self.row_scorer(
            self._network.readout_diagonal(self._readout_weights), self._readout_bias
        )

    def row_scorer(self, observable: npt.ArrayLike, offset: float) -> RowScorer | None:
        """Return one compiled call from rows to the observable in their states, plus `offset`.

        None where another machine computes the states, or where they are too large for it to pay.
        """
        circuit = self._network.circuit
        if circuit.dimension > RowScorer.MAX_DIMENSION or not isinstance(self._network.backend, LocalBackend):
            return None
        return RowScorer(circuit, self._weights, self._biases, self.mean_, observable, offset)

    def _angles(self, rows: Floats) -> Floats:
        return linear(rows, self.mean_, self._weights, self._biases)

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,)."""
        rows = self._check_rows(X)
        if len(rows) <= FEW and self._scorer is not None:
            return self._scorer(rows)
        expectations = self._network.expectations(self._angles(rows))
        result: Floats = expectations @ self._readout_weights + self._readout_bias
        return result

    def embed(self, X: npt.ArrayLike) -> Complexes:
        """Return the state of each row before it is read out, (n, 2**qubits)."""
        return self._states(self._check_rows(X))

    def _states(self, rows: Floats) -> Complexes:
        return self._network.states(self._angles(rows))


class _Layout(NamedTuple):
    """How the flat parameter vector is cut: weights (angles, features), biases, readout, its bias."""

    angles: int
    features: int
    observables: int

    @classmethod
    def of(cls, qubits: int, layers: int, readout: Readout, features: int) -> _Layout:
        return cls(2 * qubits * layers, features, qubits + len(_pairs(qubits, readout)))

    @property
    def size(self) -> int:
        return self.angles * self.features + self.angles + self.observables + 1

    def split(self, flat: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return views of `flat`."""
        W, b, v, c = np.split(flat, np.cumsum([self.angles * self.features, self.angles, self.observables]))
        return W.reshape(self.angles, self.features), b, v, c

    def initial(self, seed: int) -> Floats:
        """Draw weights that turn a standardised row by about half a radian, about any point."""
        rng = np.random.default_rng([seed, 0])
        W = rng.normal(size=self.angles * self.features) * 0.5 / np.sqrt(self.features)
        b = rng.uniform(-np.pi / 2, np.pi / 2, size=self.angles)
        v = rng.normal(size=self.observables) / np.sqrt(self.observables)
        return np.concatenate([W, b, v, [0.0]])


@dataclass(slots=True)
class _Run:
    """A training as far as it has come."""

    parameters: Floats
    adam: Adam
    smoothed: float = np.nan
    lowest: float = np.inf
    best: Floats = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.parameters = self.parameters.copy()
        self.best = self.parameters.copy()

    def note(self, loss: float) -> None:
        """Take in the loss of the present parameters; remember those where it was lowest."""
        self.smoothed = loss if np.isnan(self.smoothed) else 0.9 * self.smoothed + 0.1 * loss
        if self.smoothed < self.lowest:
            self.lowest = self.smoothed
            self.best[:] = self.parameters


class _Network:
    """The circuit, its readout, and the loss with its gradient."""

    def __init__(
        self, qubits: int, layers: int, readout: Readout, backend: StateBackend, entangled: bool = True
    ) -> None:
        self.circuit = cz_ring_reupload(qubits, layers, entangled=entangled)
        self.layers, self.readout, self.backend = layers, readout, backend

    @cached_property
    def observables(self) -> list[PauliSum]:
        qubits = self.circuit.qubits
        pairs = _pairs(qubits, self.readout)
        return [*(PauliSum.z(i) for i in range(qubits)), *(PauliSum.zz(i, j) for i, j in pairs)]

    def readout_diagonal(self, weights: Floats) -> Floats:
        """Return the weighted sum of the observables, all made of Z, on each basis state."""
        z = np.arange(self.circuit.dimension)
        total = np.zeros(self.circuit.dimension)
        for weight, observable in zip(weights, self.observables, strict=True):
            for term in observable.terms:
                total += weight * term.coefficient * (1.0 - 2.0 * (np.bitwise_count(z & term.z) & 1))
        return total

    def expectations(self, angles: Floats) -> Floats:
        return self.backend.expectations(self.circuit, angles, self.observables)

    def states(self, angles: Floats) -> Complexes:
        return self.backend.states(self.circuit, angles)

    def loss_and_gradient(
        self, parameters: Floats, rows: Floats, targets: Floats, weights: Floats
    ) -> tuple[float, Floats]:
        """Return the weighted binary cross-entropy of logits, and its gradient in all parameters."""
        layout = _Layout.of(self.circuit.qubits, self.layers, self.readout, rows.shape[1])
        W, b, v, c = layout.split(parameters)
        E, pullback = self.backend.expectations_and_pullback(self.circuit, rows @ W.T + b, self.observables)
        logits = E @ v + c[0]
        share = weights / len(rows)
        loss = float(share @ (np.logaddexp(0.0, logits) - targets * logits))
        d_logits = share * (sigmoid(logits) - targets)
        d_angles = pullback(d_logits[:, None] * v)
        gradient = [(d_angles.T @ rows).ravel(), d_angles.sum(axis=0), E.T @ d_logits, [d_logits.sum()]]
        return loss, np.concatenate(gradient)


def _pairs(qubits: int, readout: Readout) -> list[tuple[int, int]]:
    if readout == "all":
        return [(i, j) for i in range(qubits) for j in range(i + 1, qubits)]
    if readout == "ring":
        return [(i, (i + 1) % qubits) for i in range(qubits if qubits > 2 else qubits - 1)]
    raise ValueError(f"readout must be 'ring' or 'all', not {readout!r}")
