"""Analytic rates of an honest link: what the engines sample, and what finite-key analysis expects.

BB84: `decoy_rates`, the channel of Lim, Curty, Walenta, Xu and Zbinden, PRA 89, 022307 (2014), section IV, to
first order in dark counts and afterpulses, as printed there (but with the detector's efficiency in e_k, which
alone gives the paper's figures); and `exact_decoy_rates`, what the engines sample. They part where
afterpulses fall: the paper counts them with the intensity that caused them, a detector fires in whatever gate
is next, so that most clicks of vacuum pulses are afterpulses of signals. E91: `pair_rates`, exact in the
number of pairs of a Poisson source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from qwarden.core.errors import UsageError
from qwarden.keys._random import FloatArray
from qwarden.keys.link import Link, Settings

MARGIN: Final = 5.0
"""Standard deviations by which a block shall not fall short of its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoyRates:
    """Chances a pulse of each intensity, float64 (3,).

    Parameters
    ----------
    click : D_k: light or a dark count, without afterpulses.
    gain : R_k: any detection.
    error : e_k: a detection with the wrong bit, where the bases agree; so the error rate is error / gain.
    """

    click: FloatArray
    gain: FloatArray
    error: FloatArray

    def qber(self, settings: Settings) -> float:
        """Return the error rate over all intensities."""
        p = np.asarray(settings.probabilities)
        return float(p @ self.error / (p @ self.gain))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRates:
    """Chances a gate of E91.

    Parameters
    ----------
    single : that one end detects something.
    coincidence : that both do.
    error : that both do and the bits differ, where the bases agree.
    chsh : expected S of the CHSH test, double clicks and dark counts included.
    """

    single: float
    coincidence: float
    error: float
    chsh: float

    @property
    def qber(self) -> float:
        """Error rate where the bases agree."""
        return self.error / self.coincidence


def decoy_rates(link: Link, settings: Settings) -> DecoyRates:
    """Return the rates of decoy-state BB84, without dead time.

    D_k = 1 - (1 - 2 p_dc) exp(-eta mu_k), R_k = D_k (1 + p_ap),
    e_k = p_dc + e_mis (1 - exp(-eta mu_k)) + p_ap D_k / 2.

    Source: Lim et al., PRA 89, 022307 (2014), section IV.

    Examples
    --------
    >>> rates = decoy_rates(Link(distance_km=100), Settings(intensities=(0.42, 0.21, 2e-4)))
    >>> rates.gain.round(7).tolist()
    [0.000438, 0.0002196, 1.5e-06]
    """
    mu = np.asarray(settings.intensities)
    dim = np.exp(-link.efficiency * mu)
    click = 1.0 - (1.0 - 2.0 * link.dark_count) * dim
    error = link.dark_count + link.misalignment * (1.0 - dim) + link.afterpulse * click / 2
    return DecoyRates(click=click, gain=click * (1.0 + link.afterpulse), error=error)


def exact_decoy_rates(link: Link, settings: Settings) -> DecoyRates:
    """Return the rates a live gate of decoy-state BB84 as the engines sample it.

    D_k as in `decoy_rates`, but for dark counts of both detectors at once. The share of live gates with an
    afterpulse is a = p_ap R, and R = D + (1 - D) a over all intensities, so R = D / (1 - p_ap (1 - D)) and
    R_k = D_k + (1 - D_k) a. A double click counts as half an error.
    """
    mu, p = np.asarray(settings.intensities), np.asarray(settings.probabilities)
    dark, eta, wrong = 1.0 - link.dark_count, link.efficiency, link.misalignment
    click = 1.0 - dark**2 * np.exp(-eta * mu)
    mean = float(p @ click)
    follow = link.afterpulse * mean / (1.0 - link.afterpulse * (1.0 - mean))

    def errors(right: FloatArray | float, other: FloatArray | float) -> FloatArray:
        return np.asarray(other - right * other / 2)

    right = 1.0 - dark * np.exp(-eta * mu * (1.0 - wrong))
    other = 1.0 - dark * np.exp(-eta * mu * wrong)
    after = (errors(1.0, other) + errors(right, 1.0)) / 2  # an afterpulse in either detector
    return DecoyRates(
        click=click,
        gain=click + (1.0 - click) * follow,
        error=(1.0 - follow) * errors(right, other) + follow * after,
    )


def pair_rates(link: Link) -> PairRates:
    """Return the rates of E91 with a Werner source in the middle of the fibre, without dead time.

    An end sees nothing with chance y = (1 - p_dc)^2 exp(-mu eta), mu pairs a gate and eta of each arm. Both
    click with chance Q = 1 - 2 y + y^2 exp(mu eta^2). Taking a double click, whose bit is random, as 0, the
    outcomes +1 and -1 have the correlation

        2 (1 - p_dc)^2 exp(-mu eta) (exp(mu eta^2 (1 + C) / 4) - exp(mu eta^2 (1 - C) / 4)) / Q,

    where C is that of one pair: V (1 - 2 e_mis)^2 in equal bases, 1 / sqrt 2 of it in those of the test.
    Afterpulses add coincidences of random bits, p_ap s^2 from either end and p_ap^2 Q from both.

    Examples
    --------
    >>> rates = pair_rates(Link(pair_rate=1e-6, visibility=1, misalignment=0, dark_count=0, afterpulse=0))
    >>> round(rates.qber, 5), round(rates.chsh, 5)
    (0.0, 2.82842)
    """
    eta = link.receiver_efficiency * link.transmittance(link.distance_km / 2)
    mean, p, light = link.pair_rate, link.afterpulse, 1.0 - link.dark_count
    seen = link.visibility * (1.0 - 2.0 * link.misalignment) ** 2
    y = light**2 * math.exp(-mean * eta)
    single = 1.0 - y
    both = 1.0 - 2.0 * y + y**2 * math.exp(mean * eta**2)
    coincidence = both * (1.0 + p**2) + 2.0 * p * single**2

    def correlation(one: float) -> float:
        same, different = (math.exp(mean * eta**2 * (1.0 + sign * one) / 4) for sign in (1, -1))
        return 2.0 * y * (same - different)

    return PairRates(
        single=single * (1.0 + p),
        coincidence=coincidence,
        error=(coincidence - correlation(seen)) / 2,
        chsh=4.0 * correlation(seen / math.sqrt(2)) / coincidence if coincidence else math.nan,
    )


def sifted_rate(link: Link, settings: Settings) -> float:
    """Return the chance that a gate, outside dead time, gives a sifted bit in the key basis."""
    if settings.protocol == "e91":
        return settings.key_basis * settings.bob_bases[0] * pair_rates(link).coincidence
    gain = float(np.asarray(settings.probabilities) @ decoy_rates(link, settings).gain)
    return settings.key_basis**2 * gain


def live_share(link: Link, settings: Settings) -> float:
    """Return the share of gates that no receiver sleeps through.

    Under E91 as if the two ends slept independently, a little too little where they wake each other.
    """
    if settings.protocol == "e91":
        return (1.0 + pair_rates(link).single * link.dead_gates) ** -2
    gain = float(np.asarray(settings.probabilities) @ decoy_rates(link, settings).gain)
    return 1.0 / (1.0 + gain * link.dead_gates)


def pulses_for(link: Link, settings: Settings) -> int:
    """Return how many pulses an honest link needs for a block of `Settings.block_bits`, with a margin.

    Raises
    ------
    UsageError
        No pair ever comes.

    Examples
    --------
    >>> third = 1 / 3
    >>> settings = Settings(
    ...     intensities=(0.5, 0.2, 0), probabilities=(third, third, third), key_basis=0.5, block_bits=10_000
    ... )
    >>> pulses_for(Link(distance_km=50), settings)
    17334651
    """
    rate = sifted_rate(link, settings) * live_share(link, settings)
    if rate <= 0.0:
        raise UsageError("pair_rate: nothing is ever detected over this link")
    return math.ceil((settings.block_bits + MARGIN * math.sqrt(settings.block_bits)) / rate)
