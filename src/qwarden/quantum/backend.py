"""The contract of a machine that runs circuits.

Back ends differ in what they can know. The local one (`qwarden.quantum.backends.local`) holds the state
vector: it gives states, exact expectation values, and exact gradients by the adjoint method. A quantum
processor gives counts of finite shots only: expectation values come with an error of order
``1/sqrt(shots)``, gradients by the parameter-shift rule, and `states` does not exist. So callers that
shall run anywhere use `expectations` and `sample`; those that need `states` ask for a `StateBackend`.

Shapes: `angles` is (n, A), one row a sample, or (1, A) to share one row over the rows of `initial`;
`initial` is (n, 2**q), or (1, 2**q) to share one state; both default to the ground state |0...0>.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qwarden.quantum.circuit import Circuit, ComplexArray, FloatArray
from qwarden.quantum.pauli import PauliSum

Pullback = Callable[[npt.ArrayLike], FloatArray]
"""Turns d loss / d output into d loss / d angles, of the shape of `angles`."""


class Backend(Protocol):
    """What every machine can do."""

    def expectations(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None = None,
        shots: int | None = None,
        seed: int | None = None,
    ) -> FloatArray:
        """Return the expectation values, shape (n, observables)."""

    def expectations_and_pullback(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        observables: Sequence[PauliSum],
        initial: ComplexArray | None = None,
    ) -> tuple[FloatArray, Pullback]:
        """Return the expectation values and the map from their gradient to the angles' gradient."""

    def sample(
        self,
        circuit: Circuit,
        angles: npt.ArrayLike,
        shots: int,
        seed: int,
        initial: ComplexArray | None = None,
    ) -> npt.NDArray[np.int64]:
        """Return how often each basis state was found, shape (n, 2**q)."""


class StateBackend(Backend, Protocol):
    """A machine that holds the state vector."""

    def states(
        self, circuit: Circuit, angles: npt.ArrayLike, initial: ComplexArray | None = None
    ) -> ComplexArray:
        """Return the state vectors, complex128 of shape (n, 2**q)."""

    def states_and_pullback(
        self, circuit: Circuit, angles: npt.ArrayLike, initial: ComplexArray | None = None
    ) -> tuple[ComplexArray, Pullback]:
        """Return the state vectors and their pullback.

        The cotangent, complex of shape (n, 2**q), means: the loss changes by ``Re sum conj(cot) * dS``.
        """
