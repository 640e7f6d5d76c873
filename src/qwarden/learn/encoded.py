"""What the classifiers on encoded rows share: from their parameters to a fitted encoding."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import Progress
from qwarden.learn.aligned import AlignedEncoding
from qwarden.learn.base import BinaryEstimator, Complexes, Estimator, Floats, State
from qwarden.learn.encoding import FixedEncoding, MapName

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

Bools = npt.NDArray[np.bool_]


class EncodedClassifier(BinaryEstimator, ABC):
    """A classifier of the states of rows.

    Its parameters describe a `FixedEncoding`, unless `encoding` is given, of which a copy is trained
    instead. `entangled` = False leaves the entangling gates out of either.
    """

    _learnt_parts = {"encoding_": FixedEncoding}  # noqa: RUF012
    _unstored_params = ("backend",)

    feature_map: MapName
    qubits: int
    layers: int
    pca: int
    scale_power: float
    bandwidth: float
    standardise: bool
    backend: StateBackend | None
    entangled: bool
    encoding: AlignedEncoding | None
    encoding_: FixedEncoding | AlignedEncoding

    def _fit_encoding(
        self, rows: Floats, targets: Floats, weights: Floats, learning: Bools, progress: Progress
    ) -> Complexes:
        """Fit the encoding and return the rows' states; labels are shown of `learning` rows only."""
        if self.encoding is None:
            self.encoding_ = FixedEncoding(
                self.feature_map, self.qubits, self.layers, self.pca, self.scale_power, self.bandwidth,
                self.standardise, self.backend, self.entangled,
            ).fit(rows)  # fmt: skip
        else:
            settings = self.encoding.get_params(deep=False)
            settings["entangled"] = self.entangled and self.encoding.entangled
            self.encoding_ = AlignedEncoding(**settings).fit(
                rows[learning], targets[learning], weights[learning], progress=progress
            )
        return self.encoding_.states(rows)

    @classmethod
    def _part_kinds(cls, state: State) -> Mapping[str, type[Estimator]]:
        trained = "weights_" in state.parts["encoding_"].arrays
        return {**cls._learnt_parts, "encoding_": AlignedEncoding if trained else FixedEncoding}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the fitted estimator that `state` describes."""
        model = super().from_state(state)
        model.encoding = model.encoding_ if isinstance(model.encoding_, AlignedEncoding) else None
        return model

    def embed(self, X: npt.ArrayLike) -> Complexes:
        """Return the state of each row, (n, 2**qubits)."""
        rows = self._check_rows(X)
        return self.encoding_._states(rows)
