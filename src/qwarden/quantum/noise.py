"""Gate noise: what goes wrong after each gate and at each read-out, as Kraus channels.

A `NoiseModel` says it for a whole machine. After every gate, on the qubits the gate acted on, come in this
order: depolarising of the gate's one or two qubits together, amplitude damping of each, phase damping of
each. Idle qubits stay as they are. Measuring is exact but for the read-out: each qubit's bit may be read
wrongly, as its confusion matrix says; whatever basis a qubit is measured in, turning into that basis costs
nothing more.

The model knows no simulator. `qwarden.quantum.backends.noisy` runs circuits under it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.circuit import FloatArray
from qwarden.quantum.gates import PAULI_MATRICES, Matrix

Confusion = tuple[tuple[float, float], tuple[float, float]]
"""``confusion[true][read]``: the chance that a qubit in `true` is read as `read`; each row sums to 1."""

_EXACT: Final[Confusion] = ((1.0, 0.0), (0.0, 1.0))


class Channel(NamedTuple):
    """A channel ``rho -> sum_k K_k rho K_k^dagger`` on some of a gate's qubits."""

    places: tuple[int, ...]
    """Which of the gate's qubits it acts on: (0,), (1,) or (0, 1)."""
    operators: tuple[Matrix, ...]
    """The Kraus operators, the first place the less significant bit."""


def depolarising(probability: float, qubits: int) -> tuple[Matrix, ...]:
    """Return the Kraus operators of ``rho -> (1 - p) rho + p 1/2**qubits``.

    Source: Nielsen and Chuang, eq. (8.100); p is Qiskit Aer's `depolarizing_error` parameter.

    >>> len(depolarising(0.1, 1)), len(depolarising(0.1, 2))
    (4, 16)
    """
    _check_probability("depolarising", probability)
    count = 4**qubits
    weights = [1 - probability * (count - 1) / count] + [probability / count] * (count - 1)
    made = []
    for weight, letters in zip(weights, itertools.product("IXYZ", repeat=qubits), strict=True):
        product: Matrix = np.full((1, 1), math.sqrt(weight), dtype=np.complex128)
        for letter in letters:
            product = np.asarray(np.kron(PAULI_MATRICES[letter], product), dtype=np.complex128)
        made.append(product)
    return tuple(made)


def amplitude_damping(probability: float) -> tuple[Matrix, ...]:
    """Return the Kraus operators of one qubit's decay from 1 to 0 with `probability`.

    Source: Nielsen and Chuang, eq. (8.108).

    >>> [operator.real.round(3).tolist() for operator in amplitude_damping(0.36)]
    [[[1.0, 0.0], [0.0, 0.8]], [[0.0, 0.6], [0.0, 0.0]]]
    """
    _check_probability("amplitude_damping", probability)
    stay = np.diag([1, math.sqrt(1 - probability)]).astype(np.complex128)
    fall = np.array([[0, math.sqrt(probability)], [0, 0]], dtype=np.complex128)
    return stay, fall


def phase_damping(probability: float) -> tuple[Matrix, ...]:
    """Return Kraus operators of one qubit's loss of phase: coherences shrink by ``sqrt(1 - probability)``.

    They are those of a phase flip, which is the same channel and whose chances do not depend on the state.

    Source: Nielsen and Chuang, eqs. (8.127) to (8.130).

    >>> [operator.diagonal().real.round(4).tolist() for operator in phase_damping(0.36)]
    [[0.9487, 0.9487], [0.3162, -0.3162]]
    """
    _check_probability("phase_damping", probability)
    flip = (1 - math.sqrt(1 - probability)) / 2
    return math.sqrt(1 - flip) * PAULI_MATRICES["I"], math.sqrt(flip) * PAULI_MATRICES["Z"]


@dataclass(frozen=True)
class NoiseModel:
    """The noise of a machine whose qubits are alike but for their read-out.

    Parameters
    ----------
    depolarising_1q, depolarising_2q : chance p of ``(1 - p) rho + p 1/2**k`` after a gate on k qubits.
    amplitude_damping, phase_damping : chance of decay and of loss of phase, for each qubit of a gate.
    readout : confusion matrices, ``[true][read]``: none for an exact read-out, one for all qubits, or
        one a qubit (qubit 0 first); anything of shape (0 or 1 or q, 2, 2).

    Raises
    ------
    UsageError : a rate or an entry is not between 0 and 1, or a confusion matrix is no such matrix.

    >>> noise = NoiseModel(depolarising_2q=0.01, readout=[[[0.98, 0.02], [0.05, 0.95]]])
    >>> len(noise.channels(1)), len(noise.channels(2)), noise.confusion(3).shape
    (0, 1, (3, 2, 2))
    """

    depolarising_1q: float = 0.0
    depolarising_2q: float = 0.0
    amplitude_damping: float = 0.0
    phase_damping: float = 0.0
    readout: tuple[Confusion, ...] = ()

    def __post_init__(self) -> None:
        for name in ("depolarising_1q", "depolarising_2q", "amplitude_damping", "phase_damping"):
            _check_probability(name, getattr(self, name))
        object.__setattr__(self, "readout", _checked_readout(self.readout))

    @classmethod
    def uniform(
        cls,
        *,
        depolarising_1q: float = 0.0,
        depolarising_2q: float = 0.0,
        amplitude_damping: float = 0.0,
        phase_damping: float = 0.0,
        readout: float = 0.0,
    ) -> NoiseModel:
        """Return the model whose read-out is wrong with the chance `readout`, for any qubit and bit.

        >>> NoiseModel.uniform(readout=0.25).readout
        (((0.75, 0.25), (0.25, 0.75)),)
        """
        _check_probability("readout", readout)
        confusion = ((1 - readout, readout), (readout, 1 - readout))
        return cls(
            depolarising_1q,
            depolarising_2q,
            amplitude_damping,
            phase_damping,
            (confusion,) if readout else (),
        )

    def channels(self, width: int) -> tuple[Channel, ...]:
        """Return the channels after a gate on `width` (1 or 2) qubits; those that do nothing are left out."""
        channels = []
        rate = self.depolarising_1q if width == 1 else self.depolarising_2q
        if rate:
            channels.append(Channel(tuple(range(width)), depolarising(rate, width)))
        if self.amplitude_damping:
            operators = amplitude_damping(self.amplitude_damping)
            channels += [Channel((place,), operators) for place in range(width)]
        if self.phase_damping:
            operators = phase_damping(self.phase_damping)
            channels += [Channel((place,), operators) for place in range(width)]
        return tuple(channels)

    def confusion(self, qubits: int) -> FloatArray:
        """Return the confusion matrix of each qubit, ``[qubit, true, read]``, shape (qubits, 2, 2).

        Raises
        ------
        UsageError : the model holds one matrix a qubit for another number of qubits.
        """
        given = self.readout or (_EXACT,)
        if len(given) not in (1, qubits):
            raise UsageError(f"the noise model reads out {len(given)} qubits, the circuit has {qubits}")
        return np.array(given * (qubits if len(given) == 1 else 1))


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name} is {value}: expected a probability between 0 and 1")


def _checked_readout(readout: npt.ArrayLike) -> tuple[Confusion, ...]:
    """Return the confusion matrices as nested tuples."""
    matrices = np.asarray(readout, dtype=np.float64)
    if not matrices.size:
        return ()
    if matrices.ndim != 3 or matrices.shape[1:] != (2, 2):
        raise UsageError(f"readout must have the shape (1 or qubits, 2, 2), not {matrices.shape}")
    for qubit, matrix in enumerate(matrices.tolist()):
        for true, row in enumerate(matrix):
            if not (min(row) >= 0 and abs(sum(row) - 1) <= 1e-12):
                raise UsageError(
                    f"readout of qubit {qubit}: row {true} is {row}: expected two chances that sum to 1"
                )
    return tuple(((a, b), (c, d)) for (a, b), (c, d) in matrices.tolist())
