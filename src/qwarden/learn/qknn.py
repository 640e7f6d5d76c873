"""Quantum nearest neighbours: the training rows of greatest fidelity vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn.aligned import AlignedEncoding
from qwarden.learn.base import ClassWeight, Complexes, Floats, logit
from qwarden.learn.encoded import EncodedClassifier
from qwarden.learn.encoding import MapName
from qwarden.learn.neighbours import sample_rows
from qwarden.quantum import fidelity_kernel

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

TIE = 1e-12
"""Fidelities as close as this are equal: their last digits depend on the order of sums."""

_CHUNK = 512


class QKNNClassifier(EncodedClassifier):
    """The weighted vote of the training rows whose states are most faithful to a row's state.

    All rows as faithful as the k-th vote with it, so that neither the order of the training rows nor
    rounding decides which of several equal ones counts. Where the votes of the classes are equal, the
    prediction is `classes_[0]`.

    Parameters
    ----------
    feature_map, qubits, layers, pca, scale_power, bandwidth, standardise : as `FixedEncoding`.
    neighbors : how many vote; more where the k-th is one of several equal ones.
    reference_size : training rows kept, a random sample if there are more; None keeps all.
    class_weight : ``balanced`` gives both classes the same weight in all.
    seed : of the sample.
    backend : computes states; the local simulator by default.
    entangled : False takes the unentangled twin of the map.
    encoding : trained instead of the fixed encoding that the parameters above describe.

    Source: Wiebe, Kapoor & Svore 2015, "Quantum algorithms for nearest-neighbor methods"; a swap test
    estimates each fidelity (`qwarden.quantum.swap_test`).

    Examples
    --------
    >>> X = [[0.0], [1.0], [9.0], [10.0]]
    >>> QKNNClassifier(qubits=1, layers=1, neighbors=1).fit(X, [0, 0, 1, 1]).predict([[2.0], [8.0]]).tolist()
    [0, 1]
    """

    _learnt_arrays = ("classes_", "_references", "_targets", "_weights")

    _references: Complexes
    _targets: Floats
    _weights: Floats

    def __init__(
        self,
        feature_map: MapName = "reupload",
        qubits: int = 6,
        layers: int = 3,
        pca: int = 36,
        scale_power: float = 0.5,
        bandwidth: float = 0.5,
        standardise: bool = True,
        neighbors: int = 5,
        reference_size: int | None = 20_000,
        class_weight: ClassWeight = None,
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
        self.neighbors = neighbors
        self.reference_size = reference_size
        self.class_weight: ClassWeight = class_weight
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
        """Store the rows' states."""
        rows, targets, weights = self._begin(X, y, sample_weight, self.class_weight)
        if self.neighbors < 1:
            raise ValueError(f"neighbors must be 1 or more, not {self.neighbors}")
        states = self._fit_encoding(rows, targets, weights, np.ones(len(rows), np.bool_), progress)
        kept = sample_rows(len(rows), self.reference_size, self.seed)
        self._references = states[kept]
        self._targets, self._weights = targets[kept], weights[kept]
        return self._finish()

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Return each class's share of the neighbours' weight, (n, 2)."""
        states = self.embed(X)
        k = min(self.neighbors, len(self._references))
        votes = np.column_stack([self._weights * self._targets, self._weights])
        counted = np.empty((len(states), 2))
        for start in range(0, len(states), _CHUNK):
            fidelities = fidelity_kernel(states[start : start + _CHUNK], self._references)
            least = np.partition(fidelities, -k, axis=1)[:, -k, None]
            counted[start : start + _CHUNK] = (fidelities >= least - TIE).astype(np.float64) @ votes
        positive, total = counted.T
        share = positive / np.where(total > 0.0, total, 1.0)
        return np.column_stack([1.0 - share, share])

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,), finite where all neighbours agree."""
        return logit(self.predict_proba(X)[:, 1])
