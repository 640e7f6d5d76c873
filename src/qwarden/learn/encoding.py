"""Fixed encodings: principal components as angles of a feature map that is not trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt

from qwarden.learn._rows import fill_unknown, linear
from qwarden.learn.base import Complexes, Floats, Transformer, as_rows, standard_scale
from qwarden.quantum import (
    FeatureMap,
    LocalBackend,
    iqp_feature_map,
    reupload_map,
    z_feature_map,
    zz_feature_map,
)

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

MapName = Literal["reupload", "z", "zz", "iqp"]


class FixedEncoding(Transformer):
    """Rows to states: principal components, scaled, into a feature map.

    Parameters
    ----------
    feature_map : ``reupload`` (components spread over ``2 * qubits * layers`` rotations), or ``z``, ``zz``,
        ``iqp`` (one component a qubit, the map repeated `layers` times).
    qubits, layers : size of the circuit.
    pca : components kept, at most as many as the map takes.
    scale_power : a component of standard deviation s enters with standard deviation ``s**(1 - power)``:
        0 keeps the components' own scale, 1 whitens.
    bandwidth : factor on all angles. 0.5 was better than 1 in every measurement: narrower kernels
        concentrate.
    standardise : scale columns to unit variance first; a `Preprocessor` has done it already.
    backend : computes states; the local simulator by default.
    entangled : False takes the map's unentangled twin: the same angles, no gate that links two qubits.

    Source: Shaydulin & Wild 2022, "Importance of kernel bandwidth in quantum machine learning".
    """

    _learnt_arrays = ("mean_", "projection_")
    _unstored_params = ("backend",)

    mean_: Floats
    projection_: Floats

    def __init__(
        self,
        feature_map: MapName = "reupload",
        qubits: int = 8,
        layers: int = 3,
        pca: int = 40,
        scale_power: float = 0.5,
        bandwidth: float = 0.5,
        standardise: bool = False,
        backend: StateBackend | None = None,
        entangled: bool = True,
    ) -> None:
        self.feature_map = feature_map
        self.qubits = qubits
        self.layers = layers
        self.pca = pca
        self.scale_power = scale_power
        self.bandwidth = bandwidth
        self.standardise = standardise
        self.backend = backend
        self.entangled = entangled

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Learn the principal components of rows (n, d)."""
        rows = as_rows(X, at_least=2)
        self.n_features_in_ = rows.shape[1]
        self.mean_, scale = standard_scale(rows)
        if not self.standardise:
            scale = np.ones_like(scale)
        centred = (fill_unknown(rows, self.mean_) - self.mean_) / scale
        variances, axes = np.linalg.eigh(centred.T @ centred / len(rows))
        slots = 2 * self.qubits * self.layers if self.feature_map == "reupload" else self.qubits
        keep = max(1, min(self.pca, slots, int((variances > 1e-12 * max(variances[-1], 1e-300)).sum())))
        spread = np.sqrt(np.maximum(variances[::-1][:keep], 1e-300))
        axes = axes[:, ::-1][:, :keep]
        # An eigenvector's sign is arbitrary: let its largest entry be positive, whatever LAPACK says.
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(keep)])
        self.projection_ = axes / scale[:, None] * (self.bandwidth / spread**self.scale_power)
        return self._finish()

    def _prepare(self) -> None:
        kept = self.projection_.shape[1]
        self._map = _build(self.feature_map, kept, self.qubits, self.layers, self.entangled)
        # Maps of one feature a qubit get 0 where there are fewer components than qubits.
        self._weights = np.zeros((self.projection_.shape[0], self._map.features))
        self._weights[:, :kept] = self.projection_
        self._biases = -(self.mean_ @ self._weights)
        # Where each angle is one feature, projection and map are one linear map.
        products = self._map.products
        self._order = [p[0] for p in products] if all(len(p) == 1 for p in products) else None
        if self._order is not None:
            self._angle_weights = np.ascontiguousarray(self._weights[:, self._order])
            self._angle_biases = self._biases[self._order]
        self._engine = self.backend or LocalBackend()

    def transform(self, X: npt.ArrayLike) -> Floats:
        """Return the scaled components, (n, features of the map), radians."""
        return linear(self._check_rows(X), self.mean_, self._weights, self._biases)

    def states(self, X: npt.ArrayLike) -> Complexes:
        """Return the state of each row, (n, 2**qubits)."""
        return self._states(self._check_rows(X))

    def _states(self, rows: Floats) -> Complexes:
        if self._order is not None:
            angles = linear(rows, self.mean_, self._angle_weights, self._angle_biases)
        else:
            angles = self._map.angles(linear(rows, self.mean_, self._weights, self._biases))
        return self._engine.states(self._map, angles)


def _build(name: MapName, features: int, qubits: int, layers: int, entangled: bool) -> FeatureMap:
    if name == "reupload":
        return reupload_map(features, qubits, layers, entangled=entangled)
    if name == "z":
        return z_feature_map(qubits, layers)
    if name == "zz":
        return zz_feature_map(qubits, layers, "linear", entangled=entangled)
    if name == "iqp":
        return iqp_feature_map(qubits, layers, entangled=entangled)
    raise ValueError(f"feature_map must be 'reupload', 'z', 'zz' or 'iqp', not {name!r}")
