"""Which settings give the most secret bits over a link: intensities, their shares, basis bias.

The figure of merit is the finite-key rate that an honest link is expected to give, in secret bits a pulse.
Two optimisers look for its maximum with the same number of looks:

- the classical one: differential evolution, then Nelder and Mead's simplex;
- the quantum one: a surrogate, kernel ridge regression on the fidelity of states that encode the settings,
  whose maximum says where to look next.

Source: rates as in `finite_key` and `physics.channel`; Storn and Price, J. Global Optim. 11, 341 (1997);
Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 2.2 (the surrogate).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import differential_evolution, minimize

from qwarden.core.errors import UsageError
from qwarden.keys.finite_key import Counts, bbm92, binary_entropy, lim2014
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics.channel import DecoyRates, decoy_rates, exact_decoy_rates, pair_rates, sifted_rate

Vector = npt.NDArray[np.float64]

RECONCILIATION: Final = 1.16
"""Efficiency of reconciliation that expected keys are reckoned with."""

VACUUM: Final = 2e-4
EPS_PER_BIT: Final = 1e-15
SURROGATE_MOST: Final = 1000
RENEWAL_S: Final = 1800.0
"""The article's renewal: every 30 minutes."""

# Unit cube to settings: key basis, share of signals, of decoys in the rest, signal, decoy in parts of it.
_LOW: Final = np.array([0.30, 0.02, 0.30, 0.10, 0.08])
_HIGH: Final = np.array([0.98, 0.95, 0.97, 0.90, 0.80])


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Settings and what they promise.

    Parameters
    ----------
    settings : the best that was found.
    rate : secret bits a pulse.
    bits_per_s : secret bits a second.
    block_s : how long a block takes.
    keys_per_renewal : keys of 256 bits between two renewals.
    looks : how often the rate was computed.
    method : who found them.
    """

    settings: Settings
    rate: float
    bits_per_s: float
    block_s: float
    keys_per_renewal: int
    looks: int
    method: Literal["classical", "quantum"]


def expected_counts(key_bits: float, settings: Settings, rates: DecoyRates) -> tuple[Counts, float]:
    """Return what an honest link of these rates counts while it collects `key_bits` in Z, and its QBER."""
    p = np.asarray(settings.probabilities)
    pulses = key_bits / (settings.key_basis**2 * float(p @ rates.gain))
    check = pulses * (1 - settings.key_basis) ** 2 * p
    counts = Counts(
        key=pulses * settings.key_basis**2 * p * rates.gain,
        check=check * rates.gain,
        check_errors=check * rates.error,
    )
    return counts, rates.qber(settings)


def expected_rate(link: Link, settings: Settings) -> float:
    """Return the secret bits a pulse that an honest link is expected to give; negative if it gives none."""
    if settings.protocol == "e91":
        rates, n = pair_rates(link), settings.block_bits
        ratio = (
            (1 - settings.key_basis) * settings.bob_bases[1] / (settings.key_basis * settings.bob_bases[0])
        )
        check = max(1, round(n * ratio))
        leak = RECONCILIATION * binary_entropy(rates.qber) * n
        exact = bbm92(n, check, round(rates.qber * check), settings, leak).exact
    else:
        counts, qber = expected_counts(settings.block_bits, settings, exact_decoy_rates(link, settings))
        leak = RECONCILIATION * binary_entropy(qber) * settings.block_bits
        exact = lim2014(counts, settings, leak).exact
    return exact / settings.block_bits * sifted_rate(link, settings)


def optimise(
    link: Link,
    settings: Settings,
    *,
    method: Literal["classical", "quantum"] = "classical",
    looks: int = 4000,
    seed: int = 5,
) -> Found:
    """Find settings for a link; protocol, block size and epsilons stay.

    Parameters
    ----------
    looks : how often the rate may be computed, by either method; `quantum` takes `SURROGATE_MOST` at most,
        for each look refits a machine of as many rows.

    Raises
    ------
    UsageError
        No settings that were looked at give a key.
    """
    if method == "quantum" and looks > SURROGATE_MOST:
        raise UsageError(f"{looks} looks are too many for the quantum surrogate: {SURROGATE_MOST} at most")
    if settings.protocol == "e91":
        best, used = _best_share(link, settings)
    else:
        search = _evolve if method == "classical" else _ask_surrogate
        best, used = search(lambda point: expected_rate(link, _at(point, settings)), looks, seed)
    chosen = replace(settings, key_basis=float(best)) if settings.protocol == "e91" else _at(best, settings)
    rate = expected_rate(link, chosen)
    if rate <= 0:
        raise UsageError(
            f"{link.distance_km:g} km: no settings give a key with blocks of {settings.block_bits:,} bits"
        )
    per_s = rate * link.clock_hz
    return Found(
        settings=chosen,
        rate=rate,
        bits_per_s=per_s,
        block_s=settings.block_bits / (sifted_rate(link, chosen) * link.clock_hz),
        keys_per_renewal=int(per_s * RENEWAL_S // 256),
        looks=used,
        method=method,
    )


def best_expected_rate(km: float, key_bits: float, *, clip: bool, looks: int = 12_000) -> float:
    """Return the highest rate over all settings, reckoned as in the figure of Lim et al.

    There eps_sec is `EPS_PER_BIT` a secret bit, found as a fixed point.
    """
    base, link = Settings(eps_cor=1e-15), Link(distance_km=km)

    def rate(point: Vector) -> float:
        settings = _at(point, base)
        counts, qber = expected_counts(key_bits, settings, decoy_rates(link, settings))
        leak = RECONCILIATION * binary_entropy(qber) * key_bits
        bits = key_bits
        for _ in range(50):
            found = lim2014(counts, settings, leak, eps_sec=EPS_PER_BIT * bits, clip=clip, vacuum=True).exact
            if found <= 0:
                return found / key_bits * 1e-6
            if math.isclose(found, bits, rel_tol=1e-12):
                break
            bits = found
        return bits / key_bits * sifted_rate(link, settings)

    best, _ = _evolve(rate, looks, 5)
    return rate(best)


def _at(point: Vector, settings: Settings) -> Settings:
    """Return the settings of a point of the unit cube."""
    basis, signal, decoy, mu1, share = _LOW + np.clip(point, 0, 1) * (_HIGH - _LOW)
    p1, p2 = float(signal), float((1 - signal) * decoy)
    mu2 = max(float(mu1 * share), 2 * VACUUM)
    return replace(
        settings,
        key_basis=float(basis),
        probabilities=(p1, p2, 1 - p1 - p2),
        intensities=(float(mu1), mu2, VACUUM),
    )


def _evolve(rate: Callable[[Vector], float], looks: int, seed: int) -> tuple[Vector, int]:
    """Look by differential evolution for three quarters of the time, then by a simplex from the best."""
    size = 8 * _LOW.size
    rough = differential_evolution(
        lambda point: -_scaled(rate(point)), [(0, 1)] * _LOW.size,
        maxiter=max(1, int(0.75 * looks / size) - 1), popsize=8, seed=seed, polish=False, tol=0,
    )  # fmt: skip
    fine = minimize(
        lambda point: -_scaled(rate(point)), rough.x, method="Nelder-Mead", bounds=[(0, 1)] * _LOW.size,
        options={"maxfev": max(1, looks - rough.nfev), "xatol": 1e-9, "fatol": 1e-13},
    )  # fmt: skip
    best = fine.x if fine.fun < rough.fun else rough.x
    return np.asarray(best), int(rough.nfev + fine.nfev)


def _scaled(rate: float) -> float:
    """Rates span decades, and where there is no key the deficit shows the way: compare their logarithms."""
    return math.asinh(rate * 1e12)


def _best_share(link: Link, settings: Settings) -> tuple[Vector, int]:
    """Return the best share of the key basis for entangled pairs, of which nothing else is to be chosen."""
    shares = np.linspace(0.5, 0.98, 97)
    rates = [expected_rate(link, replace(settings, key_basis=float(share))) for share in shares]
    return shares[int(np.argmax(rates))], len(shares)


def _ask_surrogate(rate: Callable[[Vector], float], looks: int, seed: int) -> tuple[Vector, int]:
    """Look where a quantum kernel regression of all looks so far expects the most."""
    from qwarden.keys._surrogate import QuantumSurrogate

    rng = np.random.default_rng(seed)
    points = rng.random((min(60, looks // 2), _LOW.size))
    values = np.array([_scaled(rate(point)) for point in points])
    while len(points) < looks:
        surrogate = QuantumSurrogate().fit(points, values)
        best = points[np.argmax(values)]
        near = np.clip(best + rng.normal(0, rng.choice([0.02, 0.08, 0.25]), (256, _LOW.size)), 0, 1)
        candidates = np.vstack([rng.random((256, _LOW.size)), near])
        batch = candidates[np.argsort(surrogate.upper(candidates))[-4:]]
        points = np.vstack([points, batch])
        values = np.append(values, [_scaled(rate(point)) for point in batch])
    return points[np.argmax(values)], len(points)
