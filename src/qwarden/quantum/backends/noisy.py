"""The noisy back end: circuits under gate noise and wrong read-outs, simulated on this machine.

Up to 10 qubits the state is a density matrix and everything exact (`_density`). Above, and on request, each
row of the batch is followed along quantum trajectories: state vectors that jump at random, whose average is
the density matrix (`_trajectories`); results then come with a standard error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.backend import Pullback
from qwarden.quantum.backends._density import MAX_DENSITY_QUBITS, DensityRun
from qwarden.quantum.backends._sampling import BasisGroup
from qwarden.quantum.backends._trajectories import TrajectoryRun
from qwarden.quantum.circuit import Circuit, ComplexArray, FloatArray
from qwarden.quantum.noise import NoiseModel
from qwarden.quantum.pauli import PauliSum

Method = Literal["auto", "density", "trajectories"]


class NoisyBackend:
    """Simulates circuits under noise; keeps the contract `qwarden.quantum.backend.Backend`.

    Parameters
    ----------
    noise : what goes wrong.
    method : ``density``: exact, up to 10 qubits; ``trajectories``: by random state vectors; ``auto``: the
        first where it can be, else the second.
    trajectories : how many of them each row's expectation values are averaged over. Counts take one
        trajectory a shot, as a processor would.
    seed : seed of the trajectories where a method is not given one.
    memory_bytes : how much working memory a call may take beside its arguments and results.

    Raises
    ------
    UsageError : from every method: what `LocalBackend` refuses, initial states that are not normalised, or
        a noise model that reads out another number of qubits.

    >>> import numpy as np
    >>> from qwarden.quantum import Circuit, NoiseModel, PauliSum
    >>> bell = Circuit(2).h(0).cx(0, 1)
    >>> backend = NoisyBackend(NoiseModel(depolarising_2q=0.1))
    >>> backend.expectations(bell, np.zeros((1, 0)), [PauliSum.zz(0, 1)]).round(12).tolist()
    [[0.9]]
    """

    def __init__(
        self,
        noise: NoiseModel,
        *,
        method: Method = "auto",
        trajectories: int = 1000,
        seed: int = 0,
        memory_bytes: int = 512 << 20,
    ) -> None:
        if method not in ("auto", "density", "trajectories"):
            raise UsageError(f"unknown method {method!r}: expected auto, density or trajectories")
        if trajectories < 2:
            raise UsageError(f"trajectories is {trajectories}: expected 2 or more")
        if memory_bytes < 1:
            raise UsageError(f"memory_bytes is {memory_bytes}: expected a positive number")
        self.noise, self.method, self.trajectories = noise, method, trajectories
        self.seed, self.memory_bytes = seed, memory_bytes

    def density_matrices(
        self, circuit: Circuit, angles: npt.ArrayLike, initial: ComplexArray | None = None
    ) -> ComplexArray:
        """Return the exact density matrices, complex128 of shape (n, 2**q, 2**q), whatever the method.

        The read-out has no part in them.

        Raises
        ------
        UsageError : more than 10 qubits.
        """
        return self._density(circuit, angles, initial, ()).matrices()

    def expectations(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None = None,
        shots: int | None = None,
        seed: int | None = None,
    ) -> FloatArray:
        """Return the expectation values of Pauli sums as they are read, shape (n, observables).

        They are what infinitely many shots would give, wrong read-outs included: exact from density
        matrices, averages over trajectories otherwise (`expectations_and_errors`).

        Parameters
        ----------
        shots : measurements for each group of terms that can be measured together (each qubit in one
            basis); None as above.
        seed : seed of the measurements; needed with `shots`.
        """
        if shots is None:
            return self.expectations_and_errors(circuit, angles, observables, initial)[0]
        if shots < 1 or seed is None:
            raise UsageError("a sampled expectation value needs shots >= 1 and a seed")
        return self._run(circuit, angles, initial, observables).estimates(observables, shots, seed)

    def expectations_and_errors(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the expectation values and their standard errors, 0 from density matrices.

        Both have the shape (n, observables).
        """
        return self._run(circuit, angles, initial, observables).expectations(observables)

    def expectations_and_pullback(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None = None,
    ) -> tuple[FloatArray, Pullback]:
        """Return the expectation values, shape (n, observables), and their pullback.

        ``pullback(d loss / d expectations)`` is d loss / d angles, of the shape of `angles`: exact from
        density matrices, by one sweep back; by the parameter-shift rule from trajectories, whose random
        numbers are the same for every shift.
        """
        run = self._run(circuit, angles, initial, observables)
        values, _ = run.expectations(observables)

        def pullback(slopes: npt.ArrayLike) -> FloatArray:
            given: FloatArray = np.asarray(slopes, dtype=np.float64)
            if given.shape != values.shape:
                raise UsageError(f"the slopes must have the shape {values.shape}, not {given.shape}")
            return run.gradient(observables, given)

        return values, pullback

    def sample(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        shots: int,
        seed: int,
        initial: ComplexArray | None = None,
    ) -> npt.NDArray[np.int64]:
        """Return how often each basis state was read in `shots` measurements, shape (n, 2**q).

        The same seed finds the same counts, whatever the memory budget.
        """
        if shots < 1:
            raise UsageError(f"shots is {shots}: expected 1 or more")
        return self._run(circuit, angles, initial, ()).counts([BasisGroup()], shots, seed)[0]

    def _run(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        initial: ComplexArray | None,
        observables: Sequence[PauliSum],
    ) -> DensityRun | TrajectoryRun:
        """Return the checked call by the method that is to serve it."""
        if self.method == "density" or (self.method == "auto" and circuit.qubits <= MAX_DENSITY_QUBITS):
            return self._density(circuit, angles, initial, observables)
        given = _checked(circuit, angles, initial, observables)
        return TrajectoryRun(circuit, self.noise, *given, self.trajectories, self.seed, self.memory_bytes)

    def _density(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        initial: ComplexArray | None,
        observables: Sequence[PauliSum],
    ) -> DensityRun:
        given = _checked(circuit, angles, initial, observables)
        return DensityRun(circuit, self.noise, *given, self.memory_bytes)


def _checked(
    circuit: Circuit,
    angles: npt.ArrayLike,
    initial: ComplexArray | None,
    observables: Sequence[PauliSum],
) -> tuple[FloatArray, ComplexArray | None]:
    """Return a call's angles and initial states, as arrays of the kind the compiled code knows."""
    rows = np.require(circuit.check_angles(angles), requirements=["W"])
    for observable in observables:
        if observable.qubits > circuit.qubits:
            raise UsageError(
                f"{observable} acts on {observable.qubits} qubits, the circuit has {circuit.qubits}"
            )
    if initial is None:
        return rows, None
    states: ComplexArray = np.require(initial, dtype=np.complex128, requirements=["C", "W"])
    if states.ndim != 2 or states.shape[1] != circuit.dimension:
        raise UsageError(f"initial states must have the shape (n, {circuit.dimension}), not {states.shape}")
    if len(states) != len(rows) and 1 not in (len(states), len(rows)):
        raise UsageError(f"{len(rows)} rows of angles do not match {len(states)} initial states")
    norms = np.linalg.norm(states, axis=1)
    if not np.allclose(norms, 1.0, rtol=0, atol=1e-8):
        row = int(np.argmax(~(np.abs(norms - 1) <= 1e-8)))
        raise UsageError(f"initial state {row} has the norm {norms[row]}: expected 1")
    return rows, states
