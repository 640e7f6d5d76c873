"""Iterative amplitude estimation: how probable the good states of a prepared state are.

Sampling alone needs ``1 / e**2`` preparations for an error of e; amplitude estimation about ``1 / e``. It
runs Grover iterations of growing power k, each of which tells the angle theta, ``a = sin(theta)**2``, in
finer and finer parts, and always knows from the coarser ones which part.

The noise it knows is depolarising: after k iterations a state is left with the share ``c_k`` and replaced
by the maximally mixed one otherwise, so that good states are found with probability::

    p_k = c_k sin((2 k + 1) theta)**2 + (1 - c_k) g,    c_k = preparation * per_iteration**k

g being the share of good states among all. Inverting that takes the bias away and widens the interval by
``1 / c_k``; where the contrast itself is known within limits only, the interval covers both of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.algorithms.grover import grover_operator, phase_oracle, repeated
from qwarden.quantum.backend import Backend
from qwarden.quantum.backends.local import LocalBackend
from qwarden.quantum.circuit import Circuit, FloatArray

Interval = tuple[float, float]

_TURN: Final = 2.0 * math.pi
_GRID: Final = 400


@dataclass(frozen=True, slots=True)
class Contrast:
    """How much of a state depolarising noise leaves; the default is no noise.

    Parameters
    ----------
    per_iteration : share that each Grover iteration leaves, above 0 and at most 1.
    preparation : share that preparation and measurement leave, taken as exact.
    error : how far `per_iteration` may be off to either side.

    Raises
    ------
    UsageError : a share is not above 0 and at most 1, or the error not below `per_iteration`.

    Source: Tanaka et al 2021, "Amplitude estimation via maximum likelihood on noisy quantum computer",
    section 3.
    """

    per_iteration: float = 1.0
    preparation: float = 1.0
    error: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 < self.per_iteration <= 1.0 and 0.0 < self.preparation <= 1.0):
            raise UsageError(f"{self}: a contrast is above 0 and at most 1")
        if not 0.0 <= self.error < self.per_iteration:
            raise UsageError(f"{self}: the error must be 0 or more and below per_iteration")

    def after(self, power: int) -> Interval:
        """Return the least and greatest share left after `power` iterations."""
        low, high = self.per_iteration - self.error, min(1.0, self.per_iteration + self.error)
        return self.preparation * low**power, self.preparation * high**power

    @property
    def best_power(self) -> float:
        """The power whose measurements tell most: ``c_k (2 k + 1)`` is greatest there."""
        if self.per_iteration == 1.0:
            return math.inf
        return max(0.0, -1.0 / math.log(self.per_iteration) - 0.5)


@dataclass(frozen=True, slots=True)
class AmplitudeEstimate:
    """What an estimation found."""

    estimate: float
    """The probability of the good states: the middle of the interval."""
    lower: float
    upper: float
    """The interval that holds it with at least the confidence asked for."""
    converged: bool
    """Whether the interval became as narrow as asked for within the oracle calls allowed."""
    oracle_calls: int
    """Grover iterations in all shots together."""
    shots: int
    """Runs of a circuit in all; each prepares once more than twice its power."""
    powers: tuple[int, ...]
    """The powers of the Grover iteration that were run, in order."""
    deepest: Circuit
    """The longest circuit that was run."""


def estimate_amplitude(
    preparation: Circuit,
    good: Collection[int],
    *,
    precision: float,
    seed: int,
    confidence: float = 0.95,
    shots: int = 100,
    contrast: Contrast | None = None,
    max_oracle_calls: int | None = None,
    angles: npt.ArrayLike | None = None,
    backend: Backend | None = None,
) -> AmplitudeEstimate:
    """Estimate the probability that the prepared state is found among the good basis states.

    Parameters
    ----------
    preparation : prepares the state from |0...0>.
    good : basis states, none twice.
    precision : half the width the interval shall have at most.
    seed : of the measurements.
    confidence : least probability that the interval holds the true value.
    shots : a round; rounds at one power are added up.
    contrast : what noise leaves (see `Contrast`); None for an exact machine.
    max_oracle_calls : stop there, with an interval that may be wider than asked for.
    angles : one row for the preparation's columns, if it has any.
    backend : runs the circuits; the local simulator by default.

    Raises
    ------
    UsageError : a number is out of range, a good state does not exist, or angles do not fit.

    Notes
    -----
    Intervals are Clopper and Pearson's. Each of the at most T powers may be wrong with probability
    ``(1 - confidence) / T``, of which its j-th round spends ``1 / (j (j + 1))``: so the interval keeps its
    confidence although one looks at it after every round. The source spends the whole share each round.

    Source: Grinko, Gacon, Zoufal & Woerner 2021, "Iterative quantum amplitude estimation", algorithms 1
    and 2.

    >>> from qwarden.quantum import Circuit
    >>> coin = Circuit(1).ry(0, 2 * math.asin(math.sqrt(0.3)))
    >>> result = estimate_amplitude(coin, [1], precision=0.005, seed=1)
    >>> result.lower <= 0.3 <= result.upper, result.upper - result.lower <= 0.01
    (True, True)
    """
    if not 0.0 < precision < 0.5 or not 0.0 < confidence < 1.0 or shots < 1:
        raise UsageError(
            f"precision {precision} must be in (0, 0.5), confidence {confidence} in (0, 1), "
            f"shots {shots} 1 or more"
        )
    machine = _Machine(preparation, good, angles, backend or LocalBackend(), seed)
    contrast = contrast or Contrast()
    stages = math.floor(math.log2(math.pi / (4.0 * precision))) + 1
    share = (1.0 - confidence) / max(1, stages)
    theta, lower, upper = (0.0, math.pi / 2), 0.0, 1.0
    power, upper_half, hits, asked, rounds = 0, True, 0, 0, 0
    while upper - lower > 2.0 * precision:
        if max_oracle_calls is not None and machine.calls + shots * power > max_oracle_calls:
            break
        hits, asked, rounds = hits + machine.hits(power, shots), asked + shots, rounds + 1
        found = clopper_pearson(hits, asked, share / (rounds * (rounds + 1)))
        part = _amplitude(found, contrast.after(power), machine.good_share)
        theta = _narrowed(theta, part, 4 * power + 2, upper_half)
        lower, upper = math.sin(theta[0]) ** 2, math.sin(theta[1]) ** 2
        following, upper_half = _next_power(power, upper_half, theta, contrast.best_power)
        if following != power:
            power, hits, asked, rounds = following, 0, 0, 0
    return AmplitudeEstimate(
        (lower + upper) / 2,
        lower,
        upper,
        upper - lower <= 2.0 * precision,
        machine.calls,
        machine.shots,
        tuple(machine.circuits),
        machine.circuits[max(machine.circuits)],
    )


def fit_contrast(
    preparation: Circuit,
    good: Collection[int],
    *,
    powers: Collection[int],
    shots: int,
    seed: int,
    angles: npt.ArrayLike | None = None,
    backend: Backend | None = None,
) -> Contrast:
    """Fit a machine's contrast: the most likely `Contrast` and angle for counts at several powers.

    The error is two standard errors, from the Fisher information of the counts with the angle and the
    preparation's contrast unknown beside it.

    Parameters
    ----------
    powers : at least three different powers of the Grover iteration.
    shots : at each power.
    preparation, good, seed, angles, backend : as `estimate_amplitude`.

    Raises
    ------
    UsageError : fewer than three powers, or what `estimate_amplitude` raises.

    Source: Tanaka et al 2021, "Amplitude estimation via maximum likelihood on noisy quantum computer",
    section 3, with the preparation's contrast fitted as well.
    """
    from scipy.optimize import minimize

    ks = np.array(sorted(set(powers)), dtype=np.float64)
    if len(ks) < 3 or ks[0] < 0:
        raise UsageError(f"fitting a contrast takes at least three powers of 0 or more, not {list(powers)}")
    machine = _Machine(preparation, good, angles, backend or LocalBackend(), seed)
    hits = np.array([machine.hits(int(k), shots) for k in ks], dtype=np.float64)

    def chances(at: FloatArray) -> FloatArray:
        """Return p_k of each power for angle, per_iteration and preparation."""
        left = at[2] * at[1] ** ks
        chance: FloatArray = left * np.sin((2.0 * ks + 1.0) * at[0]) ** 2 + (1.0 - left) * machine.good_share
        return np.clip(chance, 1e-9, 1.0 - 1e-9)

    def surprise(at: FloatArray) -> float:
        p = chances(at)
        return -float(hits @ np.log(p) + (shots - hits) @ np.log1p(-p))

    starts = [
        np.array([theta, left, 1.0])
        for theta in np.linspace(0.0, math.pi / 2, _GRID)
        for left in (0.999, 0.99, 0.95, 0.9, 0.8, 0.6)
    ]
    ends = [(0.0, math.pi / 2), (1e-3, 1.0), (1e-3, 1.0)]
    best = min(
        (minimize(surprise, start, bounds=ends) for start in sorted(starts, key=surprise)[:5]),
        key=lambda fit: float(fit.fun),
    )
    steps = 1e-6 * np.eye(3)
    slopes = np.stack([(chances(best.x + step) - chances(best.x - step)) / 2e-6 for step in steps])
    p = chances(best.x)
    information = (slopes * (shots / (p * (1.0 - p)))) @ slopes.T
    error = 2.0 * math.sqrt(float(np.linalg.pinv(information)[1, 1]))
    per_iteration, prepared = float(best.x[1]), float(best.x[2])
    return Contrast(per_iteration, prepared, min(error, 0.999 * per_iteration))


def clopper_pearson(hits: int, shots: int, failure: float) -> Interval:
    """Return the interval that misses a binomial chance with probability `failure` at most.

    Source: Clopper & Pearson 1934, "The use of confidence or fiducial limits".

    >>> [round(bound, 4) for bound in clopper_pearson(0, 10, 0.05)]
    [0.0, 0.3085]
    """
    from scipy.special import betaincinv

    lower = 0.0 if hits == 0 else float(betaincinv(hits, shots - hits + 1, failure / 2))
    upper = 1.0 if hits == shots else float(betaincinv(hits + 1, shots - hits, 1.0 - failure / 2))
    return lower, upper


class _Machine:
    """Runs powers of one problem's Grover iteration and counts what that takes."""

    def __init__(
        self,
        preparation: Circuit,
        good: Collection[int],
        angles: npt.ArrayLike | None,
        backend: Backend,
        seed: int,
    ) -> None:
        self.preparation, self.backend = preparation, backend
        self.angles = np.zeros((1, 0)) if angles is None else np.atleast_2d(np.asarray(angles, np.float64))
        if self.angles.shape != (1, preparation.columns):
            raise UsageError(f"angles must be one row of {preparation.columns}, not {self.angles.shape}")
        self.step = grover_operator(phase_oracle(preparation.qubits, good), preparation)
        self.good = np.array(sorted(set(good)), dtype=np.intp)
        self.good_share = len(self.good) / preparation.dimension
        self.generator = np.random.default_rng(seed)
        self.calls = self.shots = 0
        self.circuits: dict[int, Circuit] = {}

    def hits(self, power: int, shots: int) -> int:
        """Return how often `power` iterations ended in a good state."""
        if power not in self.circuits:
            self.circuits[power] = repeated(self.preparation, self.step, power)
        seed = int(self.generator.integers(1 << 62))
        counts = self.backend.sample(self.circuits[power], self.angles, shots=shots, seed=seed)
        self.calls, self.shots = self.calls + power * shots, self.shots + shots
        return int(counts[0, self.good].sum())


def _amplitude(found: Interval, contrast: Interval, good_share: float) -> Interval:
    """Return the interval of ``sin((2 k + 1) theta)**2`` that `found`, one of p_k, leaves possible."""
    low = min((found[0] - good_share) / left + good_share for left in contrast)
    high = max((found[1] - good_share) / left + good_share for left in contrast)
    return min(max(low, 0.0), 1.0), max(min(high, 1.0), 0.0)


def _narrowed(theta: Interval, part: Interval, factor: int, upper_half: bool) -> Interval:
    """Return theta's interval after ``sin((2 k + 1) theta)**2`` was found to be in `part`.

    `factor` is K = 4 k + 2; the sine's square is ``(1 - cos(K theta)) / 2``, and `upper_half` says in which
    half turn ``K theta`` lies.
    """
    turned = [math.acos(1.0 - 2.0 * bound) for bound in part]
    low, high = turned if upper_half else (_TURN - turned[1], _TURN - turned[0])
    # By its middle: the interval's ends may be those of the half turn.
    turns = _TURN * math.floor(factor * (theta[0] + theta[1]) / 2 / _TURN)
    new = ((turns + low) / factor, (turns + high) / factor)
    both = max(theta[0], new[0]), min(theta[1], new[1])
    return both if both[0] < both[1] else new


def _next_power(power: int, upper_half: bool, theta: Interval, best_power: float) -> tuple[int, bool]:
    """Return the greatest power, at least about twice the last, that leaves theta within one half turn.

    And whether that is the upper half, where ``K theta mod 2 pi`` is below pi; the last power where there is
    no such power, or none that noise leaves worth running.
    """
    factor = 4 * power + 2
    greatest = min(math.pi / (theta[1] - theta[0]), 4.0 * best_power + 2.0)
    candidate = math.floor(greatest)
    candidate -= (candidate - 2) % 4
    while candidate >= 2 * factor:
        low, high = candidate * theta[0] % _TURN, candidate * theta[1] % _TURN
        if low <= high <= math.pi:
            return (candidate - 2) // 4, True
        if math.pi <= low <= high:
            return (candidate - 2) // 4, False
        candidate -= 4
    return power, upper_half
