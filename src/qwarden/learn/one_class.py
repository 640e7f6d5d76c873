"""The quantum one-class detector: how faithfully a row's state resembles those of normals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._search import StateSearch, mean_of_each, planes
from qwarden.learn.base import Complexes, Floats, Ints, OneClassEstimator
from qwarden.learn.encoding import FixedEncoding, MapName
from qwarden.learn.neighbours import sample_rows
from qwarden.quantum import LocalBackend, RowScorer, fidelity_kernel, observable_form

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

Method = Literal["neighbours", "eigenspace"]

_DENSITY_ROWS = 4096
_OFFSET_ROWS = 2000
_FOLDS = 5


class QuantumOneClass(OneClassEstimator):
    """Fidelity of a row's state with what is stored of the states of normals.

    ``neighbours`` stores normals and scores a row by its mean fidelity with the most similar of them.
    ``eigenspace`` stores the leading eigenvectors of their mean density matrix rho; the score is the
    mass of the row's state inside the space these span, at a cost that no number of normals changes.

    `score_samples` is between 0 and 1, higher for the more normal row; `decision_function` subtracts
    `offset_`, so that an outlier is negative; `strangeness` is ``-log`` of the score of ``neighbours``,
    and 1 less the score of ``eigenspace``: the mass outside.

    Parameters
    ----------
    feature_map, qubits, layers, pca, scale_power, bandwidth, standardise : as `FixedEncoding`.
    top_k : (``neighbours``) fidelities that are averaged.
    reference_size : (``neighbours``) normals kept, a random sample if there are more. One row costs
        ``reference_size * 2**qubits`` complex products: 6 qubits and 1,500 references are 50 us.
    contamination : share of the normals beyond `offset_`.
    seed : of the sample and of the folds in which `offset_` is estimated.
    backend : computes states; the local simulator by default.
    method : ``neighbours`` or ``eigenspace``.
    mass : (``eigenspace``) share of rho's mass inside the space; at least one dimension stays outside.
    entangled : False leaves the entangling gates out: the unentangled twin.

    Source: Lloyd, Mohseni & Rebentrost 2014, "Quantum principal component analysis" (the components of
    rho); Liu & Rebentrost 2018, "Quantum machine learning for quantum anomaly detection".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> detector = QuantumOneClass(qubits=2, layers=1).fit(rng.normal(size=(200, 3)))
    >>> detector.predict([[0.0, 0.0, 0.0], [4.0, -4.0, 4.0]]).tolist()
    [1, -1]
    >>> space = QuantumOneClass(qubits=3, layers=1, method="eigenspace").fit(rng.normal(size=(200, 3)) / 4)
    >>> space.predict([[0.0, 0.0, 0.0], [4.0, -4.0, 4.0]]).tolist()
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
        method: Method = "neighbours",
        mass: float = 0.999,
        entangled: bool = True,
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
        self.method: Method = method
        self.mass = mass
        self.entangled = entangled

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, progress: Progress = SILENT) -> Self:
        """Learn from normal rows; where labels are given, from rows of the least label only."""
        rows = self._begin(X, y)
        self.encoding_ = FixedEncoding(
            self.feature_map, self.qubits, self.layers, self.pca, self.scale_power, self.bandwidth,
            self.standardise, self.backend, entangled=self.entangled,
        ).fit(rows)  # fmt: skip
        if self.method == "neighbours":
            with progress.task("store normal states"):
                normal = self._learn_neighbours(rows)
        elif self.method == "eigenspace":
            with progress.task("average normal states"):
                normal = self._learn_eigenspace(rows)
        else:
            raise ValueError(f"method must be 'neighbours' or 'eigenspace', not {self.method!r}")
        self.offset_ = float(np.quantile(normal, self.contamination))
        return self._finish()

    reference_rows_: Ints
    """Which of the normal rows are stored by ``neighbours``; known after `fit` only."""

    def _learn_neighbours(self, rows: Floats) -> Floats:
        """Store normals; return their own scores."""
        self.reference_rows_ = sample_rows(len(rows), self.reference_size, self.seed)
        self._references = self.encoding_.states(rows[self.reference_rows_])
        self._prepare()
        # A stored state resembles itself perfectly: leave it out of its own score.
        fidelities, _ = self._search.nearest(planes(self._references[:_OFFSET_ROWS]), self.top_k + 1)
        scores: Floats = fidelities[:, 1:].mean(axis=1)
        return scores

    def _learn_eigenspace(self, rows: Floats) -> Floats:
        """Store the eigenspace of all rows; return scores of rows in spaces learnt without them."""
        order = np.random.default_rng([self.seed, 6]).permutation(len(rows))
        folds = [order[start::_FOLDS] for start in range(min(_FOLDS, len(rows)))]
        sums = [len(fold) * mean_density(self.encoding_, rows[fold]) for fold in folds]
        total: Complexes = np.sum(sums, axis=0)
        self._references = eigenspace(total, self.mass)
        scores = []
        for fold, part in zip(folds, sums, strict=True):
            unseen = self.encoding_.states(rows[fold[: _OFFSET_ROWS // _FOLDS]])
            scores.append(mass_inside(unseen, eigenspace(total - part, self.mass)))
        return np.concatenate(scores)

    def _prepare(self) -> None:
        if self.method == "neighbours":
            self._search = StateSearch(self._references)
        else:
            self._scorer = self.row_scorer(self.observable(), 0.0)

    def observable(self) -> Complexes:
        """Return the projector on the eigenspace, P of (2**q, 2**q): a state's score is <phi|P|phi>."""
        projector: Complexes = self._references.T @ self._references.conj()
        return projector

    def row_scorer(self, observable: npt.ArrayLike, offset: float) -> RowScorer | None:
        """Return one compiled call from rows to the observable in their states, plus `offset`.

        None where another machine computes the states, or where they are too large for it to pay.
        """
        encoding = self.encoding_
        if encoding._map.dimension > RowScorer.MAX_DIMENSION or not isinstance(
            encoding._engine, LocalBackend
        ):
            return None
        return RowScorer(
            encoding._map, encoding._weights, encoding._biases, encoding.mean_, observable, offset
        )

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return the mean of the `top_k` fidelities, or the mass inside the eigenspace, (n,)."""
        rows = self._check_rows(X)
        if self.method == "neighbours":
            return mean_of_each(self._search.nearest(planes(self.encoding_._states(rows)), self.top_k)[0])
        if self._scorer is not None:
            return np.clip(self._scorer(rows), 0.0, 1.0)
        return mass_inside(self.encoding_._states(rows), self._references)

    def strangeness(self, X: npt.ArrayLike) -> Floats:
        """Return ``-log(score)`` of ``neighbours``, ``1 - score`` of ``eigenspace``, (n,)."""
        scores = self.score_samples(X)
        if self.method == "eigenspace":
            return 1.0 - scores
        return -np.log(np.maximum(scores, 1e-12))

    def nearest(self, X: npt.ArrayLike, k: int = 5) -> tuple[Floats, Ints]:
        """Return fidelities and numbers of the k most similar stored states, most similar first.

        The numbers count the stored states. Of ``neighbours`` these are normals, and `reference_rows_`
        says, after `fit`, which rows they were; of ``eigenspace`` they are the eigenvectors of rho, that
        of the largest eigenvalue first.
        """
        states = self.encoding_._states(self._check_rows(X))
        if self.method == "neighbours":
            return self._search.nearest(planes(states), k)
        return _largest(fidelity_kernel(states, self._references), min(k, len(self._references)))


def mean_density(encoding: FixedEncoding, rows: Floats) -> Complexes:
    """Return the mean density matrix ``mean_i |s_i><s_i|`` of the rows' states, (2**q, 2**q).

    The states are not kept: memory does not grow with the number of rows.
    """
    total = np.zeros((1 << encoding.qubits, 1 << encoding.qubits), np.complex128)
    for start in range(0, len(rows), _DENSITY_ROWS):
        states = encoding.states(rows[start : start + _DENSITY_ROWS])
        total += observable_form(states, np.full(len(states), 1.0 / len(rows)))
    return total


def eigenspace(density: Complexes, mass: float) -> Complexes:
    """Return the fewest eigenvectors of `density` that hold the share `mass` of its trace, one a row.

    At least one, and at least one less than there are dimensions, the largest eigenvalue first.

    >>> eigenspace(np.diag([0.1, 0.7, 0.2]).astype(complex), 0.85).real.tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not 0.0 < mass <= 1.0:
        raise ValueError(f"mass must be above 0 and at most 1, not {mass!r}")
    values, vectors = np.linalg.eigh(density)
    held = np.cumsum(values[::-1])
    kept = 1 + int(np.searchsorted(held, mass * held[-1]))
    kept = max(1, min(kept, len(values) - 1))
    return np.ascontiguousarray(vectors[:, ::-1][:, :kept].T)


def mass_inside(states: Complexes, space: Complexes) -> Floats:
    """Return the mass of each state inside the space that orthonormal rows span, (n,)."""
    masses: Floats = fidelity_kernel(states, space).sum(axis=1)
    return np.minimum(masses, 1.0)


def _largest(table: Floats, k: int) -> tuple[Floats, Ints]:
    """Return the k largest entries of each row and their columns, largest first."""
    columns = np.argpartition(-table, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(table, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(columns, order, axis=1)
