"""The quantum autoencoder: a circuit that learns to do without some of its qubits, for normals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import Interrupted
from qwarden.core.progress import SILENT, Progress, interruptible
from qwarden.learn.base import Floats, OneClassEstimator
from qwarden.learn.encoding import FixedEncoding, MapName
from qwarden.learn.one_class import mass_inside, mean_density
from qwarden.learn.optim import Adam
from qwarden.quantum import Circuit, LocalBackend, PauliSum, efficient_su2
from qwarden.quantum.pauli import PauliTerm

if TYPE_CHECKING:
    from qwarden.quantum.backend import StateBackend

_OFFSET_ROWS: Final = 2000
_NO_MASS: Final = 1e-12
_NEAR_ZERO: Final = 0.1


class QuantumAutoencoder(OneClassEstimator):
    """A circuit trained to press the states of normals into `latent` of its qubits.

    Rows become states by a `FixedEncoding`; layers of RY, RZ and CX are trained so that all other qubits,
    the trash, end in ``|0...0>``. What they learnt from normals fails for what is not normal:
    `score_samples` is the trash fidelity, the probability to find all trash qubits in 0; `strangeness` is
    1 less that. (Were the encoding trained as well, it would learn to ignore the data: one state for every
    row compresses perfectly.)

    The cost is 1 less the mean trash fidelity of the normals, which is linear in their mean density matrix
    rho. So it is computed on rho's eigenvectors: each step sees all normals and costs the same however
    many they are. No circuit gets below 1 less the sum of rho's 2**latent largest eigenvalues, which is
    the mass outside `QuantumOneClass`'s eigenspace of that dimension; `cost_` and `bound_` say how near
    the training came.

    Parameters
    ----------
    feature_map, qubits, layers, pca, scale_power, bandwidth, standardise : as `FixedEncoding`.
    latent : qubits that keep the state, 1 to ``qubits - 1``.
    depth : repetitions of `efficient_su2`; ``2 * qubits * (depth + 1)`` angles are trained, from angles
        near 0: from angles anywhere, deep circuits start on a barren plateau and end far from the bound.
    steps, learning_rate : of Adam; the rate falls to 0 as half a cosine.
    contamination : share of the normals beyond `offset_`.
    entangled : False leaves the entangling gates out of both circuits: the unentangled twin.
    seed : of the angles that the training starts from.
    backend : computes states and gradients; the local simulator by default.

    Attributes
    ----------
    cost_, bound_ : the trained circuit's mean probability of trash that is not 0, and the least that any
        unitary on these states can have.

    Source: Romero, Olson & Aspuru-Guzik 2017, "Quantum autoencoders for efficient compression of quantum
    data", section 2 (the cost of the trash state); Grant et al 2019, "An initialization strategy for
    addressing barren plateaus in parametrized quantum circuits" (starting near the identity).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3)) / 4
    >>> model = QuantumAutoencoder(qubits=3, latent=1, layers=1, steps=50).fit(X)
    >>> model.predict([[0.0, 0.0, 0.0], [4.0, -4.0, 4.0]]).tolist()
    [1, -1]
    """

    _learnt_arrays = ("angles_",)
    _learnt_facts = ("n_features_in_", "offset_", "cost_", "bound_")
    _learnt_parts = {"encoding_": FixedEncoding}  # noqa: RUF012
    _unstored_params = ("backend",)

    encoding_: FixedEncoding
    angles_: Floats
    """Of the trained circuit, (2 * qubits * (depth + 1),)."""
    cost_: float
    bound_: float

    def __init__(
        self,
        feature_map: MapName = "reupload",
        qubits: int = 6,
        layers: int = 3,
        pca: int = 40,
        scale_power: float = 0.5,
        bandwidth: float = 0.5,
        standardise: bool = False,
        latent: int = 3,
        depth: int = 12,
        steps: int = 300,
        learning_rate: float = 0.1,
        contamination: float = 0.02,
        entangled: bool = True,
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
        self.latent = latent
        self.depth = depth
        self.steps = steps
        self.learning_rate = learning_rate
        self.contamination = contamination
        self.entangled = entangled
        self.seed = seed
        self.backend = backend

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, progress: Progress = SILENT) -> Self:
        """Learn from normal rows; where labels are given, from rows of the least label only.

        Raises
        ------
        Interrupted
            At Ctrl-C.
        """
        rows = self._begin(X, y)
        if not 0 < self.latent < self.qubits:
            raise ValueError(f"latent must be 1 to {self.qubits - 1} of {self.qubits} qubits: {self.latent}")
        self.encoding_ = FixedEncoding(
            self.feature_map, self.qubits, self.layers, self.pca, self.scale_power, self.bandwidth,
            self.standardise, self.backend, entangled=self.entangled,
        ).fit(rows)  # fmt: skip
        shares, vectors = np.linalg.eigh(mean_density(self.encoding_, rows))
        self.bound_ = float(max(0.0, shares[: -(1 << self.latent)].sum()))
        kept = shares > _NO_MASS
        self._train(shares[kept], np.ascontiguousarray(vectors[:, kept].T), progress)
        self._finish()
        self.offset_ = float(np.quantile(self.score_samples(rows[:_OFFSET_ROWS]), self.contamination))
        return self

    def _train(self, shares: Floats, vectors: npt.NDArray[np.complex128], progress: Progress) -> None:
        """Lower the cost of states `vectors` (m, 2**qubits) that occur with frequencies `shares` (m,)."""
        backend, ansatz, clean = self.backend or LocalBackend(), self._ansatz(), [self._trash_is_zero()]
        angles = np.random.default_rng([self.seed, 0]).normal(scale=_NEAR_ZERO, size=ansatz.columns)
        adam = Adam(ansatz.columns, self.steps, self.learning_rate)
        with interruptible() as stop, progress.task("train", total=self.steps) as task:
            while adam.taken < self.steps and not stop:
                fidelities, pullback = backend.expectations_and_pullback(ansatz, angles[None], clean, vectors)
                adam.step(angles, pullback(-shares[:, None])[0])
                task.advance(1, f"cost {1.0 - shares @ fidelities[:, 0]:.3f}")
        if adam.taken < self.steps:
            raise Interrupted(f"training stopped after step {adam.taken} of {self.steps}")
        fidelities = backend.expectations(ansatz, angles[None], clean, vectors)
        self.angles_, self.cost_ = angles, float(1.0 - shares @ fidelities[:, 0])

    def _ansatz(self) -> Circuit:
        return efficient_su2(self.qubits, self.depth, entangled=self.entangled)

    def _trash_is_zero(self) -> PauliSum:
        """Return the projector on 0 of every trash qubit: the product of their ``(1 + Z) / 2``."""
        trash = self.qubits - self.latent
        return PauliSum(tuple(PauliTerm(0.5**trash, 0, z << self.latent) for z in range(1 << trash)))

    def _prepare(self) -> None:
        # The states that leave clean trash span a space; the trash fidelity is a state's mass inside it.
        latent = np.eye(1 << self.latent, 1 << self.qubits, dtype=np.complex128)
        backend = self.backend or LocalBackend()
        self._clean = backend.states(self._ansatz().inverse(), self.angles_[None], latent)

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return the trash fidelity of each row, (n,): higher is more normal."""
        rows = self._check_rows(X)
        return mass_inside(self.encoding_._states(rows), self._clean)

    def strangeness(self, X: npt.ArrayLike) -> Floats:
        """Return 1 less the trash fidelity, (n,): higher is stranger."""
        return 1.0 - self.score_samples(X)
