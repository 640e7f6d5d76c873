"""Limits of infinitely long keys: how noisy and how long a link may be at best.

They are the landmarks that a finite key approaches, and each is a number of the literature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from scipy.optimize import brentq

from qwarden.keys.finite_key import binary_entropy

TSIRELSON: Final = 2 * math.sqrt(2)


def bb84_rate(qber: float, efficiency: float = 1.0) -> float:
    """Return secret bits a sifted bit: 1 - h(Q) - f h(Q).

    Parameters
    ----------
    qber : error rate, alike in both bases.
    efficiency : of reconciliation, 1 at Shannon's limit.

    Source: Shor and Preskill, PRL 85, 441 (2000).
    """
    return 1.0 - (1.0 + efficiency) * binary_entropy(qber)


def device_independent_rate(qber: float) -> float:
    """Return secret bits a sifted bit of E91 whose devices nobody trusts, S being 2 sqrt 2 (1 - 2Q).

    Source: Acín et al., PRL 98, 230501 (2007), equation 11.
    """
    return 1.0 - binary_entropy(qber) - holevo_of_chsh(TSIRELSON * (1 - 2 * qber))


def holevo_of_chsh(s: float) -> float:
    """Return how much Eve may know of a bit, given CHSH's S: h((1 + sqrt((S/2)^2 - 1)) / 2)."""
    return 1.0 if s <= 2 else binary_entropy((1 - math.sqrt(min(1.0, (s / 2) ** 2 - 1))) / 2)


def bb84_threshold(efficiency: float = 1.0) -> float:
    """Return the QBER beyond which BB84 gives no key.

    Examples
    --------
    >>> round(bb84_threshold(), 5), round(bb84_threshold(1.16), 4)
    (0.11003, 0.0981)
    """
    return float(brentq(lambda q: bb84_rate(q, efficiency), 1e-6, 0.5, xtol=1e-12))


def device_independent_threshold() -> float:
    """Return the QBER beyond which untrusted devices give no key.

    Examples
    --------
    >>> q = device_independent_threshold()
    >>> round(q, 5), round(TSIRELSON * (1 - 2 * q), 3)
    (0.07149, 2.424)
    """
    return float(brentq(device_independent_rate, 1e-6, 0.14, xtol=1e-12))


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoyLink:
    """A fibre link as experiments describe theirs; defaults: Gobby, Yuan, Shields (2004).

    Parameters
    ----------
    receiver : efficiency of the receiver, detector included.
    y0 : chance that a gate without light clicks.
    misalignment : chance that a photon takes the wrong detector.
    attenuation : dB/km.
    efficiency : of reconciliation.
    mu : mean photon number of the signal.

    Source: Ma, Qi, Zhao, Lo, PRA 72, 012326 (2005), table I and equations 8 to 11, 34 to 37.
    """

    receiver: float = 0.045
    y0: float = 1.7e-6
    misalignment: float = 0.033
    attenuation: float = 0.21
    efficiency: float = 1.22
    mu: float = 0.48

    def rate(self, km: float, decoy: float | None = None) -> float:
        """Return secret bits a pulse at `km`.

        Parameters
        ----------
        decoy : mean photon number of the weak decoy beside the vacuum; None: infinitely many decoys.
        """
        eta = self.receiver * 10 ** (-self.attenuation * km / 10)
        gain, error = self._gain(self.mu, eta)
        if decoy is None:
            y1 = self.y0 + eta
            e1 = (0.5 * self.y0 + self.misalignment * eta) / y1
        else:
            y1, e1 = self._weak_and_vacuum(decoy, eta)
        q1 = y1 * self.mu * math.exp(-self.mu)
        cost = gain * self.efficiency * binary_entropy(error)
        return 0.5 * (q1 * (1 - binary_entropy(e1)) - cost)

    def reach_km(self, decoy: float | None = None) -> float:
        """Return the distance at which the rate falls to nothing.

        Examples
        --------
        >>> round(DecoyLink().reach_km(), 2), round(DecoyLink().reach_km(0.05), 2)
        (142.01, 140.62)
        """
        return float(brentq(lambda km: self.rate(km, decoy), 1.0, 300.0, xtol=1e-9))

    def _gain(self, mu: float, eta: float) -> tuple[float, float]:
        seen = 1 - math.exp(-eta * mu)
        gain = self.y0 + seen
        return gain, (0.5 * self.y0 + self.misalignment * seen) / gain

    def _weak_and_vacuum(self, nu: float, eta: float) -> tuple[float, float]:
        gain, _ = self._gain(self.mu, eta)
        weak, error = self._gain(nu, eta)
        mu = self.mu
        share = nu**2 / mu**2
        y1 = (
            mu
            / (mu * nu - nu**2)
            * (weak * math.exp(nu) - gain * math.exp(mu) * share - (1 - share) * self.y0)
        )
        return y1, (error * weak * math.exp(nu) - 0.5 * self.y0) / (y1 * nu)
