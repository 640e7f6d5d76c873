"""Grover search: find a basis state that a phase oracle marks, in about sqrt(N / M) calls of it.

The oracle is a circuit that turns the sign of the marked states. Whoever has one built from the problem's
structure hands it in; `phase_oracle` makes one from a list. What a measurement finds is checked by a
predicate, as on any machine: the search does not know what the oracle knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from qwarden.core.errors import UsageError
from qwarden.quantum.algorithms.diagonal import diagonal_circuit
from qwarden.quantum.backend import Backend
from qwarden.quantum.backends.local import LocalBackend
from qwarden.quantum.circuit import Circuit, FloatArray, Gate

_GROWTH = 6 / 5  # any factor between 1 and 4/3 will do; 6/5 is the source's


@dataclass(frozen=True, slots=True)
class GroverResult:
    """What a search found."""

    found: int | None
    """A basis state that the predicate accepts; None where none was found."""
    oracle_calls: int
    """Grover iterations in all runs together, one call of the oracle each."""
    runs: int
    """Circuits run, one shot and one call of the predicate each."""
    deepest: Circuit
    """The longest circuit that was run."""


def phase_oracle(qubits: int, marked: Collection[int]) -> Circuit:
    """Return a circuit that turns the sign of the `marked` basis states (but for a global phase).

    Raises
    ------
    UsageError : a state is out of range.

    >>> phase_oracle(3, [1, 3, 5, 7])  # all states whose qubit 0 is 1: a single Z
    Circuit(qubits=3, gates=1, columns=0, depth=1, two_qubit_gates=0)
    """
    phases = np.zeros(1 << qubits)
    for state in marked:
        if not 0 <= state < len(phases):
            raise UsageError(f"state {state} is out of range 0..{len(phases) - 1}")
        phases[state] = math.pi
    return diagonal_circuit(phases)


def grover_operator(oracle: Circuit, preparation: Circuit | None = None) -> Circuit:
    """Return one Grover iteration: the oracle, then the reflection about the prepared state.

    Both share the angle columns of `preparation`.

    Parameters
    ----------
    oracle : turns the sign of the marked states; reads the columns of `preparation` if any.
    preparation : prepares the state to start from; the uniform superposition by default.

    Source: Brassard, Hoyer, Mosca & Tapp 2002, "Quantum amplitude amplification and estimation", eq. (1).
    """
    preparation = uniform(oracle.qubits) if preparation is None else preparation
    about_zero = phase_oracle(oracle.qubits, [0])
    return _chain(oracle, preparation.inverse(), about_zero, preparation)


def grover_circuit(oracle: Circuit, iterations: int, preparation: Circuit | None = None) -> Circuit:
    """Return the preparation followed by `iterations` of `grover_operator`.

    With a the prepared state's probability to be marked and ``sin(t)**2 = a``, the probability afterwards
    is ``sin((2 * iterations + 1) * t)**2``.

    >>> oracle = phase_oracle(2, [2])
    >>> LocalBackend().sample(grover_circuit(oracle, 1), np.zeros((1, 0)), shots=9, seed=0).tolist()
    [[0, 0, 9, 0]]
    """
    if iterations < 0:
        raise UsageError(f"iterations is {iterations}: expected 0 or more")
    preparation = uniform(oracle.qubits) if preparation is None else preparation
    return repeated(preparation, grover_operator(oracle, preparation), iterations)


def repeated(preparation: Circuit, step: Circuit, iterations: int) -> Circuit:
    """Return the preparation followed by `iterations` of `step`, which shares its angle columns."""
    gates = (*preparation.gates, *step.gates * iterations)
    return Circuit(preparation.qubits, gates, max(preparation.columns, step.columns))


def optimal_iterations(states: int, marked: int) -> int:
    """Return the iterations that bring `marked` of `states` states nearest to certainty.

    Source: Boyer, Brassard, Hoyer & Tapp 1998, "Tight bounds on quantum searching", section 3.

    >>> optimal_iterations(1024, 1)
    25
    """
    if not 0 < marked <= states:
        raise UsageError(f"marked is {marked}: expected 1 to {states}")
    return math.floor(math.pi / (4.0 * math.asin(math.sqrt(marked / states))))


def grover_search(
    oracle: Circuit,
    accepts: Callable[[int], bool],
    *,
    seed: int,
    marked: int | None = None,
    failure: float = 1e-3,
    backend: Backend | None = None,
) -> GroverResult:
    """Search all basis states for one that `accepts` accepts.

    Where the number of marked states is known, each run takes `optimal_iterations`. Where it is not, a
    run's iterations are drawn from a range that grows by 6/5 from run to run up to sqrt(N); a marked state
    is then found within ``9/2 sqrt(N / M)`` calls on average.

    Parameters
    ----------
    oracle : turns the sign of the states that `accepts` accepts; without angle columns.
    seed : of the measurements and the draws.
    marked : how many states are marked, if known.
    failure : greatest probability to find nothing although something is marked.
    backend : runs the circuits; the local simulator by default.

    Raises
    ------
    UsageError : the oracle has angle columns, or `marked` or `failure` is out of range.

    Source: Boyer, Brassard, Hoyer & Tapp 1998, "Tight bounds on quantum searching", section 4, theorem 3.

    >>> result = grover_search(phase_oracle(5, [19]), lambda state: state == 19, seed=1)
    >>> result.found
    19
    """
    if oracle.columns:
        raise UsageError(f"a search needs an oracle without angle columns, not {oracle}")
    if not 0.0 < failure < 1.0:
        raise UsageError(f"failure is {failure}: expected a probability between 0 and 1")
    run = _Search(oracle, accepts, backend or LocalBackend(), np.random.default_rng(seed))
    if marked is not None:
        return run.known(marked, failure)
    return run.unknown(failure)


class _Search:
    """The runs of one search and what they have cost so far."""

    def __init__(
        self,
        oracle: Circuit,
        accepts: Callable[[int], bool],
        backend: Backend,
        generator: np.random.Generator,
    ) -> None:
        self.oracle, self.accepts, self.backend, self.generator = oracle, accepts, backend, generator
        self.calls = self.runs = 0
        self.preparation = self.deepest = uniform(oracle.qubits)
        self.step = grover_operator(oracle)

    def known(self, marked: int, failure: float) -> GroverResult:
        states = self.oracle.dimension
        iterations = optimal_iterations(states, marked)
        theta = math.asin(math.sqrt(marked / states))
        miss = math.cos((2 * iterations + 1) * theta) ** 2
        tries = 1 if miss < failure else math.ceil(math.log(failure) / math.log(miss))
        for _ in range(tries):
            found = self.attempt(iterations)
            if found is not None:
                return self.result(found)
        return self.result(None)

    def unknown(self, failure: float) -> GroverResult:
        root = math.sqrt(self.oracle.dimension)
        # By Markov's inequality, twice the mean number of calls fails with probability 1/2 at most.
        for _ in range(math.ceil(math.log2(1.0 / failure))):
            bound, limit = 1.0, self.calls + 9.0 * root
            while self.calls <= limit:
                found = self.attempt(int(self.generator.integers(math.ceil(bound))))
                if found is not None:
                    return self.result(found)
                bound = min(_GROWTH * bound, root)
        return self.result(None)

    def attempt(self, iterations: int) -> int | None:
        """Run the circuit once and return what was found if it is accepted."""
        circuit = repeated(self.preparation, self.step, iterations)
        seed = int(self.generator.integers(1 << 62))
        counts = self.backend.sample(circuit, _NO_ANGLES, shots=1, seed=seed)
        self.calls, self.runs = self.calls + iterations, self.runs + 1
        self.deepest = max(self.deepest, circuit, key=lambda c: len(c.gates))
        state = int(counts[0].argmax())
        return state if self.accepts(state) else None

    def result(self, found: int | None) -> GroverResult:
        return GroverResult(found, self.calls, self.runs, self.deepest)


_NO_ANGLES: FloatArray = np.zeros((1, 0))


def uniform(qubits: int) -> Circuit:
    """Return the circuit that prepares the uniform superposition."""
    return Circuit(qubits, [Gate("h", (qubit,)) for qubit in range(qubits)])


def _chain(first: Circuit, *others: Circuit) -> Circuit:
    for other in others:
        first = first.then(other, share_columns=True)
    return first
