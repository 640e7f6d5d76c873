"""Entanglement distillation: two noisy pairs become one better pair, or none.

Both ends turn their qubits, entangle those of two pairs, measure one pair and keep the other if their results
agree. Each round at least halves the number of pairs. `recurrence` is the exact map of the four Bell
weights, `distil` runs the circuits in the stabiliser formalism.

Source: Deutsch, Ekert, Jozsa, Macchiavello, Popescu, Sanpera, PRL 77, 2818 (1996), equations 3 to 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.keys.qec.protected import depolarising, library

ROUNDS_MOST: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """What distillation makes of pairs.

    Parameters
    ----------
    raw_qber : before.
    qber_z, qber_x : after.
    yield_ : pairs that come out for each that goes in.
    shots : pairs that came out, of which the error rates are.
    """

    raw_qber: float
    qber_z: float
    qber_x: float
    yield_: float
    shots: int

    @property
    def qber(self) -> float:
        """The larger of both error rates."""
        return max(self.qber_z, self.qber_x)


def werner(qber: float) -> npt.NDArray[np.float64]:
    """Return the Bell weights (phi+, psi-, psi+, phi-) of a Werner state with this QBER.

    Examples
    --------
    >>> werner(0.02).round(3).tolist()
    [0.97, 0.01, 0.01, 0.01]
    """
    return np.array([1 - 1.5 * qber, qber / 2, qber / 2, qber / 2])


def recurrence(weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the Bell weights after one round, and the chance that the round succeeds."""
    a, b, c, d = weights
    success = float((a + b) ** 2 + (c + d) ** 2)
    return np.array([a * a + b * b, 2 * c * d, c * c + d * d, 2 * a * b]) / success, success


def expected(raw_qber: float, rounds: int) -> Distilled:
    """Return what the map says, for comparison with `distil`."""
    weights, pairs = werner(raw_qber), 1.0
    for _ in range(rounds):
        weights, success = recurrence(weights)
        pairs *= success / 2
    _, psi_minus, psi_plus, phi_minus = weights
    return Distilled(
        raw_qber=raw_qber,
        qber_z=float(psi_minus + psi_plus),
        qber_x=float(psi_minus + phi_minus),
        yield_=pairs,
        shots=0,
    )


def distil(raw_qber: float, rounds: int, *, shots: int, seed: int) -> Distilled:
    """Run `rounds` of distillation on groups of 2^rounds pairs.

    Parameters
    ----------
    shots : groups; a group that fails a round is lost as a whole, so the yield is a lower bound.

    Raises
    ------
    UsageError
        More than `ROUNDS_MOST` rounds.
    UnavailableError
        The simulator is not installed (extra ``qec``).
    """
    if not 0 <= rounds <= ROUNDS_MOST:
        raise UsageError(f"{rounds} rounds of distillation; expected 0 to {ROUNDS_MOST}")
    stim = library("stim")
    circuit = stim.Circuit(_circuit(rounds, depolarising(raw_qber)))
    detectors, observables = circuit.compile_detector_sampler(seed=seed).sample(
        shots, separate_observables=True
    )
    good = ~np.asarray(detectors).any(axis=1)
    kept = int(good.sum())
    if kept == 0:
        raise UsageError(f"none of {shots} groups passed {rounds} rounds")
    qber_z, qber_x = np.asarray(observables)[good].mean(axis=0)
    return Distilled(
        raw_qber=raw_qber,
        qber_z=float(qber_z),
        qber_x=float(qber_x),
        yield_=kept / shots / 2**rounds,
        shots=kept,
    )


def _circuit(rounds: int, error: float) -> str:
    """Write the circuit of a group: pair k is qubits 2k (Alice) and 2k + 1 (Bob)."""
    pairs = 2**rounds
    alice, bob = list(range(0, 2 * pairs, 2)), list(range(1, 2 * pairs, 2))
    lines = [
        f"H {_listed(alice)}",
        "CX " + " ".join(f"{a} {b}" for a, b in zip(alice, bob, strict=True)),
        f"DEPOLARIZE1({error}) {_listed(bob)}",
    ]
    alive = list(range(pairs))
    while len(alive) > 1:
        lines += [
            "SQRT_X " + _listed(2 * k for k in alive),
            "SQRT_X_DAG " + _listed(2 * k + 1 for k in alive),
        ]
        keep, spend = alive[::2], alive[1::2]
        for source, target in zip(keep, spend, strict=True):
            lines += [
                f"CX {2 * source} {2 * target} {2 * source + 1} {2 * target + 1}",
                f"MPP Z{2 * target}*Z{2 * target + 1}",
                "DETECTOR rec[-1]",
            ]
        alive = keep
    lines += ["MPP Z0*Z1", "OBSERVABLE_INCLUDE(0) rec[-1]", "MPP X0*X1", "OBSERVABLE_INCLUDE(1) rec[-1]"]
    return "\n".join(lines)


def _listed(qubits: Iterable[int]) -> str:
    return " ".join(map(str, qubits))
