"""The quantum one-class detector: how faithfully a row's state resembles those of normals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled_fast
from qwarden.core.progress import SILENT, Progress
from qwarden.learn._rows import FEW
from qwarden.learn.base import Complexes, Floats, Ints, OneClassEstimator
from qwarden.learn.encoding import FixedEncoding, MapName
from qwarden.learn.neighbours import sample_rows
from qwarden.quantum import fidelity_kernel

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

_CHUNK = 512


class QuantumOneClass(OneClassEstimator):
    """Mean fidelity of a row's state with the most similar states of stored normals.

    `score_samples` is that mean, between 0 and 1, higher for the more normal row; `decision_function`
    subtracts `offset_`, so that an outlier is negative; `strangeness` is ``-log`` of the score.

    Parameters
    ----------
    feature_map, qubits, layers, pca, scale_power, bandwidth, standardise : as `FixedEncoding`.
    top_k : fidelities that are averaged.
    reference_size : normals kept, a random sample if there are more. One row costs
        ``reference_size * 2**qubits`` complex products: 6 qubits and 1,500 references are 50 us.
    contamination : share of the normals beyond `offset_`.
    seed : of the sample.
    backend : computes states; the local simulator by default.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> detector = QuantumOneClass(qubits=2, layers=1).fit(rng.normal(size=(200, 3)))
    >>> detector.predict([[0.0, 0.0, 0.0], [4.0, -4.0, 4.0]]).tolist()
    [1, -1]
    """

    _learnt_arrays = ("_references",)
    _learnt_facts = ("n_features_in_", "offset_")
    _learnt_parts = {"encoding_": FixedEncoding}  # noqa: RUF012
    _unstored_params = ("backend",)

    encoding_: FixedEncoding
    _references: Complexes

    def __init__(
        self,
        feature_map: MapName = "reupload",
        qubits: int = 8,
        layers: int = 3,
        pca: int = 40,
        scale_power: float = 0.5,
        bandwidth: float = 0.5,
        standardise: bool = False,
        top_k: int = 5,
        reference_size: int = 4000,
        contamination: float = 0.02,
        seed: int = 0,
        backend: StateBackend | None = None,
    ) -> None:
        self.feature_map: MapName = feature_map
        self.qubits = qubits
        self.layers = layers
        self.pca = pca
        self.scale_power = scale_power
        self.bandwidth = bandwidth
        self.standardise = standardise
        self.top_k = top_k
        self.reference_size = reference_size
        self.contamination = contamination
        self.seed = seed
        self.backend = backend

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, progress: Progress = SILENT) -> Self:
        """Learn from normal rows; where labels are given, from rows of the least label only."""
        rows = self._begin(X, y)
        self.encoding_ = FixedEncoding(
            self.feature_map, self.qubits, self.layers, self.pca, self.scale_power, self.bandwidth,
            self.standardise, self.backend,
        ).fit(rows)  # fmt: skip
        self.reference_rows_ = sample_rows(len(rows), self.reference_size, self.seed)
        with progress.task("store normal states"):
            self._references = self.encoding_.states(rows[self.reference_rows_])
            self._prepare()
            # A stored state resembles itself perfectly: leave it out of its own score.
            k = min(self.top_k + 1, len(self._references))
            fidelities, _ = self._most_similar(self._references[:2000], k)
        self.offset_ = float(np.quantile(fidelities[:, 1:].mean(axis=1), self.contamination))
        return self._finish()

    reference_rows_: Ints
    """Which of the normal rows are stored; known after `fit` only."""

    def _prepare(self) -> None:
        self._known = _parts(self._references)

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return the mean of the `top_k` fidelities, (n,): higher is more normal."""
        rows = self._check_rows(X)
        return self._score(self.encoding_._states(rows))

    def _score(self, states: Complexes) -> Floats:
        k = min(self.top_k, len(self._references))
        fidelities, _ = self._most_similar(states, k)
        means: Floats = fidelities @ np.full(k, 1.0 / k)
        return means

    def strangeness(self, X: npt.ArrayLike) -> Floats:
        """Return minus the logarithm of the score, (n,): higher is stranger."""
        return -np.log(np.maximum(self.score_samples(X), 1e-12))

    def nearest(self, X: npt.ArrayLike, k: int = 5) -> tuple[Floats, Ints]:
        """Return fidelities and numbers of the k most similar stored normals, most similar first.

        The numbers count the stored normals; `reference_rows_` says, after `fit`, which rows they were.
        """
        rows = self._check_rows(X)
        states = self.encoding_._states(rows)
        return self._most_similar(states, min(k, len(self._references)))

    def _most_similar(self, states: Complexes, k: int) -> tuple[Floats, Ints]:
        if len(states) <= FEW:
            return _search(*_parts(states), *self._known, k)
        found = [
            _largest(fidelity_kernel(states[start : start + _CHUNK], self._references), k)
            for start in range(0, len(states), _CHUNK)
        ]
        return np.concatenate([f for f, _ in found]), np.concatenate([n for _, n in found])


def _parts(states: Complexes) -> tuple[Floats, Floats]:
    """Return real and imaginary parts, each contiguous."""
    return np.ascontiguousarray(states.real), np.ascontiguousarray(states.imag)


def _largest(table: Floats, k: int) -> tuple[Floats, Ints]:
    """Return the k largest entries of each row and their columns, largest first."""
    columns = np.argpartition(-table, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(table, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(columns, order, axis=1)


@compiled_fast
def _search(
    real: Floats, imag: Floats, known_real: Floats, known_imag: Floats, k: int
) -> tuple[Floats, Ints]:
    """Return the k largest fidelities of a few states with the known ones, and whose they are."""
    values = np.full((real.shape[0], k), -1.0)
    numbers = np.zeros((real.shape[0], k), np.int64)
    for row in range(real.shape[0]):
        for other in range(known_real.shape[0]):
            along = 0.0
            across = 0.0
            for i in range(real.shape[1]):
                along += known_real[other, i] * real[row, i] + known_imag[other, i] * imag[row, i]
                across += known_real[other, i] * imag[row, i] - known_imag[other, i] * real[row, i]
            fidelity = along * along + across * across
            if fidelity > values[row, k - 1]:
                place = k - 1
                while place > 0 and values[row, place - 1] < fidelity:
                    values[row, place] = values[row, place - 1]
                    numbers[row, place] = numbers[row, place - 1]
                    place -= 1
                values[row, place] = fidelity
                numbers[row, place] = other
    return values, numbers
