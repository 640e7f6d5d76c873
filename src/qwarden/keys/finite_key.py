"""How many secret bits a block holds: composable bounds from what was counted, nothing assumed of Eve.

Three treatments, and the name of the one that was used stands on every key:

- `lim2014`: decoy-state BB84, length by what this block's counts allow (Lim et al.);
- `fixed2024`: decoy-state BB84, length fixed before the block and the block taken or left by an
  acceptance test, which closes the gaps that Wiesemann et al. found in treatments before theirs;
- `bbm92`: entangled pairs of an untrusted source, key in Z, errors counted in X (Tomamichel et al.).

Start reading at `decoy_bounds`; `lim2014` and `Acceptance` are few lines on top of it.

Source: Lim, Curty, Walenta, Xu, Zbinden, PRA 89, 022307 (2014), equations 1 to 5, bases exchanged; Wiesemann,
Krause, Tupkary, Lütkenhaus, Rusca, Walenta, arXiv:2405.16578; Tomamichel, Lim, Gisin, Renner, Nature
Communications 3, 634 (2012), equation 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qwarden.keys.link import Settings

Method: TypeAlias = Literal["lim2014", "fixed2024", "bbm92"]

TERMS: Final = 21
"""Statistical statements that share eps_sec, in Lim et al.; no treatment here makes more of them."""


def binary_entropy(p: float) -> float:
    """Return h(p) in bits; 1 beyond a half, since an error rate above it is no better than a coin.

    Examples
    --------
    >>> binary_entropy(0.0), binary_entropy(0.5), round(binary_entropy(0.11), 4)
    (0.0, 1.0, 0.4999)
    """
    if p <= 0.0:
        return 0.0
    if p >= 0.5:
        return 1.0
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted in a block, by intensity: signal, decoy, vacuum.

    Parameters
    ----------
    key : detections in Z (3,), of which the key is made.
    check : detections in X (3,).
    check_errors : of those, the ones whose bits differ (3,).
    """

    key: npt.NDArray[np.float64]
    check: npt.NDArray[np.float64]
    check_errors: npt.NDArray[np.float64]

    @classmethod
    def of(cls, key: Sequence[float], check: Sequence[float], check_errors: Sequence[float]) -> Counts:
        """Take counts from any sequences of three.

        Raises
        ------
        ValueError
            A count is negative, or errors exceed detections.
        """
        arrays = [np.asarray(values, dtype=np.float64) for values in (key, check, check_errors)]
        if any(a.shape != (3,) or (a < 0).any() for a in arrays) or (arrays[2] > arrays[1]).any():
            found = f"{key}, {check}, {check_errors}"
            raise ValueError(f"expected three counts each, errors within detections; found {found}")
        return cls(key=arrays[0], check=arrays[1], check_errors=arrays[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoyBounds:
    """What the counts prove of the block, but for a chance within eps_sec.

    Parameters
    ----------
    s0, s1 : at least so many bits of the key come from vacuum and from single photons.
    check_s1 : the same for single photons in X.
    check_v1 : at most so many errors of single photons in X.
    phi : at most this share of phase errors among the key's single photons; a half if nothing is proved.
    """

    s0: float
    s1: float
    check_s1: float
    check_v1: float
    phi: float


def decoy_bounds(counts: Counts, settings: Settings, eps_sec: float, *, clip: bool = True) -> DecoyBounds:
    """Bound vacuum, single photons and their phase errors (equations 2 to 5 of Lim et al.).

    Parameters
    ----------
    eps_sec : chance that the bounds' statements, `TERMS` of them, may fail in all.
    clip : take a lower bound below zero for zero, which it is; the paper does not.
    """
    _, mu2, mu3 = settings.intensities
    tau0, tau1 = (_tau(n, settings) for n in (0, 1))
    low, high = _corrected(counts.key, settings, eps_sec, clip=clip)
    s0 = max(0.0, tau0 * (mu2 * low[2] - mu3 * high[1]) / (mu2 - mu3))
    s1 = _single_photons(low, high, s0, settings)
    low, high = _corrected(counts.check, settings, eps_sec, clip=clip)
    check_s0 = max(0.0, tau0 * (mu2 * low[2] - mu3 * high[1]) / (mu2 - mu3))
    check_s1 = _single_photons(low, high, check_s0, settings)
    low, high = _corrected(counts.check_errors, settings, eps_sec, clip=clip)
    v1 = max(0.0, tau1 * (high[1] - low[2]) / (mu2 - mu3))
    phi = 0.5
    if s1 > 0 and check_s1 > v1:
        rate = v1 / check_s1
        phi = min(0.5, rate + serfling(eps_sec, rate, check_s1, s1))
    return DecoyBounds(s0=s0, s1=s1, check_s1=check_s1, check_v1=v1, phi=phi)


def serfling(eps: float, rate: float, seen: float, unseen: float) -> float:
    """Return by how much an error rate may be higher among `unseen` bits than among the `seen` ones.

    gamma(a, b, c, d) below equation 5 of Lim et al., with the 21 statements of eps.
    """
    rate = max(rate, 1.0 / seen)  # at rate 0 gamma would be 0, which no finite sample proves
    spread = (seen + unseen) * (1 - rate) * rate / (seen * unseen * math.log(2))
    inner = (seen + unseen) / (seen * unseen * (1 - rate) * rate) * TERMS**2 / eps**2
    # gamma comes of Stirling's formula, too small where errors are few: that none of k errors is seen has a
    # chance of about (1 - share)^k alone.
    return max(math.sqrt(spread * math.log2(inner)), math.log(TERMS / eps) / seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLength:
    """How long a block's key may be.

    Parameters
    ----------
    bits : whole number, 0 if there is none.
    exact : before it is rounded down; negative where the block proves less than it leaked.
    method : the treatment.
    eps_sec, eps_cor : what it holds for.
    phi : bound on the phase error rate.
    single_photons : bits of the key proved to come from single photons (or pairs, where all count).
    """

    bits: int
    exact: float
    method: Method
    eps_sec: float
    eps_cor: float
    phi: float
    single_photons: float

    @property
    def epsilon(self) -> float:
        """Total distance from an ideal key: secrecy and correctness."""
        return self.eps_sec + self.eps_cor


def lim2014(
    counts: Counts,
    settings: Settings,
    leak_bits: float,
    *,
    eps_sec: float | None = None,
    clip: bool = True,
    vacuum: bool = False,
) -> KeyLength:
    """Return the length that the counts of a block allow (equation 1 of Lim et al.).

    Parameters
    ----------
    leak_bits : all bits disclosed after sifting.
    eps_sec : instead of the settings'.
    clip : see `decoy_bounds`.
    vacuum : count bits of vacuum pulses as secret, as the paper does. Reconciliation in which both ends speak
        tells where the bits differ; of a detection without a photon of Alice's Eve may know Bob's bit, and so
        learns Alice's (Tupkary and Lütkenhaus, arXiv:2307.00576). So not by default. What single photons give
        stays secret given all errors: they commute with the phases.
    """
    eps = settings.eps_sec if eps_sec is None else eps_sec
    found = decoy_bounds(counts, settings, eps, clip=clip)
    exact = (
        (found.s0 if vacuum else 0.0)
        + found.s1 * (1 - binary_entropy(found.phi))
        - leak_bits
        - 6 * math.log2(TERMS / eps)
        - math.log2(2 / settings.eps_cor)
    )
    return _length(exact, "lim2014", settings, eps, found.phi, found.s1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A test agreed upon before a block, and the one length that every block gets that passes it.

    A length chosen by looking at the counts is not covered by a proof for fixed lengths. Here all of it is
    fixed first: least vacuum and single photons, most phase errors, most leaked bits. The length follows
    from these numbers alone.

    Parameters
    ----------
    s1 : least bound on single-photon bits; those of vacuum pulses do not count, see `lim2014`.
    phi : highest bound on the phase error rate.
    leak_bits : most that reconciliation may disclose.

    Source: arXiv:2405.16578, section 6: l = s1 (1 - h(phi)) - leak - log2(2/eps_cor) -
    4 log2(N / (2^(1/4) eps_sec)), there with N = 15 statements for one decoy. For two decoys we share eps_sec
    among N = 21, the most that any step could need: a longer division is never less safe.
    """

    s1: float
    phi: float
    leak_bits: float

    @classmethod
    def around(
        cls, counts: Counts, settings: Settings, leak_bits: float, *, margin: float = 0.02
    ) -> Acceptance:
        """Make the test from counts that are expected, with room of `margin` for chance on each number."""
        found = decoy_bounds(counts, settings, settings.eps_sec)
        return cls(
            s1=found.s1 * (1 - margin),
            phi=min(0.5, found.phi * (1 + 2 * margin)),
            leak_bits=leak_bits * (1 + margin),
        )

    def length(self, settings: Settings) -> KeyLength:
        """Return the length of every block that passes."""
        exact = (
            self.s1 * (1 - binary_entropy(self.phi))
            - self.leak_bits
            - 4 * math.log2(TERMS / (2**0.25 * settings.eps_sec))
            - math.log2(2 / settings.eps_cor)
        )
        return _length(exact, "fixed2024", settings, settings.eps_sec, self.phi, self.s1)

    def refuses(self, counts: Counts, settings: Settings, leak_bits: float) -> str:
        """Say why a block does not pass; empty if it does."""
        found = decoy_bounds(counts, settings, settings.eps_sec)
        if found.s1 < self.s1:
            return f"s1 {found.s1:.0f} below {self.s1:.0f}"
        if found.phi > self.phi:
            return f"phase error {found.phi:.4f} above {self.phi:.4f}"
        if leak_bits > self.leak_bits:
            return f"{leak_bits:.0f} bits disclosed, {self.leak_bits:.0f} allowed"
        return ""


def bbm92(key: int, check: int, check_errors: int, settings: Settings, leak_bits: float) -> KeyLength:
    """Return the length for entangled pairs, whoever owns their source.

    Parameters
    ----------
    key : pairs that both measured in Z, detected at both ends.
    check, check_errors : pairs that both measured in X, and those whose bits differ.

    The rate that was seen stands where the paper has the one agreed upon before: a length by counts.
    Double clicks give random bits at both ends, so that what is measured is as of a qubit.

    Source: Tomamichel et al. (2012), equation 2, with a preparation quality of 1 bit: the two bases of a
    qubit are conjugate, and detectors answer alike in both.
    """
    eps = settings.eps_sec
    if key < 1 or check < 1:
        return _length(-math.inf, "bbm92", settings, eps, 0.5, float(key))
    room = math.sqrt((key + check) * (check + 1) / (key * check**2) * math.log(4 / eps))
    phi = min(0.5, check_errors / check + room)
    exact = key * (1 - binary_entropy(phi)) - leak_bits - math.log2(2 / (eps**2 * settings.eps_cor))
    return _length(exact, "bbm92", settings, eps, phi, float(key))


def _length(
    exact: float, method: Method, settings: Settings, eps_sec: float, phi: float, singles: float
) -> KeyLength:
    return KeyLength(
        bits=max(0, math.floor(exact)) if math.isfinite(exact) else 0,
        exact=exact,
        method=method,
        eps_sec=eps_sec,
        eps_cor=settings.eps_cor,
        phi=phi,
        single_photons=singles,
    )


def _tau(photons: int, settings: Settings) -> float:
    """Chance that a pulse holds so many photons, over all intensities."""
    pairs = zip(settings.probabilities, settings.intensities, strict=True)
    return sum(p * math.exp(-mu) * mu**photons / math.factorial(photons) for p, mu in pairs)


def _corrected(
    counts: npt.NDArray[np.float64], settings: Settings, eps_sec: float, *, clip: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the e^mu / p weighted counts less and plus Hoeffding's room: n(-) and n(+) of the paper."""
    room = math.sqrt(float(counts.sum()) / 2 * math.log(TERMS / eps_sec))
    weight = np.exp(settings.intensities) / np.asarray(settings.probabilities)
    low = counts - room
    return weight * (np.maximum(low, 0.0) if clip else low), weight * (counts + room)


def _single_photons(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], s0: float, settings: Settings
) -> float:
    mu1, mu2, mu3 = settings.intensities
    tau0, tau1 = _tau(0, settings), _tau(1, settings)
    many = (mu2**2 - mu3**2) / mu1**2 * (high[0] - s0 / tau0)
    return max(0.0, float(tau1 * mu1 * (low[1] - high[2] - many) / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)))
