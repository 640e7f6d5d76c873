"""What stands beside the quantum models: the tests that a link operator would run without them.

- `bound_shortfall`: the decoy-bound test. Does the block prove as many single photons, and as few phase
  errors, as an honest block with as many detections?
- `Cusum`: Page's cumulative sums, one on each feature, upwards and downwards.
- `largest`: the largest deviation of all.
- boosting: `learn.GradientBoostingTwin` on the same rows as the QSVM (`model`).

Each gives a score, higher for stranger blocks; thresholds are set on the same honest blocks, for the same
budget of false alarms.

Source: Lim et al., PRA 89, 022307 (2014); Page, Biometrika 41, 100 (1954).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from qwarden.keys.finite_key import Counts, bbm92, decoy_bounds
from qwarden.keys.link import Link, Settings
from qwarden.keys.monitor.features import F64, NAMES
from qwarden.keys.observables import Observables
from qwarden.keys.physics.channel import exact_decoy_rates, pair_rates

SLACK: Final = 1.0
"""Standard deviations that a sum forgives each block."""


def bound_shortfall(seen: Observables, link: Link, settings: Settings) -> float:
    """Return by how much the block's bounds are worse than an honest one's, relative, the worse of both.

    Examples
    --------
    >>> import numpy as np
    >>> from qwarden.keys.records import SLOTS
    >>> errors = np.array([[4_500, 0, 0], [700, 0, 0]])
    >>> block = Observables(
    ...     protocol="e91", pulses=10**9, detected=np.array([[100_000, 0, 0], [6_000, 0, 0]]), errors=errors,
    ...     clicks=np.full(4, 9), doubles=0, histogram=np.full(SLOTS, 9),
    ... )
    >>> bound_shortfall(block, Link(distance_km=10), Settings(protocol="e91")) > 0.5
    True
    """
    if settings.protocol == "e91":
        key, check = (int(count) for count in seen.detected.sum(axis=1))
        if not key or not check:
            return 1.0
        expected_errors = round(pair_rates(link).qber * check)
        proved, usual = (
            bbm92(key, check, errors, settings, 0.0).phi
            for errors in (int(seen.errors[1].sum()), expected_errors)
        )
        return proved / usual - 1.0
    rates = exact_decoy_rates(link, settings)
    share = np.asarray(settings.probabilities) * rates.gain
    share = share / share.sum()
    sifted = seen.detected.sum(axis=1)
    expected = Counts(
        key=sifted[0] * share,
        check=sifted[1] * share,
        check_errors=sifted[1] * share * rates.error / rates.gain,
    )
    found = Counts(
        key=seen.detected[0].astype(np.float64),
        check=seen.detected[1].astype(np.float64),
        check_errors=seen.errors[1].astype(np.float64),
    )
    shown, due = (decoy_bounds(counts, settings, settings.eps_sec) for counts in (found, expected))
    fewer = 1.0 - shown.s1 / due.s1 if due.s1 > 0 else 0.0
    return max(fewer, shown.phi / due.phi - 1.0)


def largest(deviations: F64) -> F64:
    """Return the largest deviation of each block, either way (n,), of those that are known (n, d).

    >>> largest(np.array([[1.0, -3.0, np.nan]])).tolist()
    [3.0]
    """
    found: F64 = np.abs(np.nan_to_num(deviations, nan=0.0)).max(axis=1)
    return found


@dataclass(slots=True)
class Cusum:
    """Cumulative sums of one link's deviations.

    Parameters
    ----------
    sums : by direction (up, down) and feature (2, d).

    Examples
    --------
    >>> chart = Cusum()
    >>> for _ in range(5):
    ...     chart.learn(np.full(len(NAMES), 1.5))
    >>> chart.score(np.full(len(NAMES), 1.5))
    3.0
    """

    sums: F64 = field(default_factory=lambda: np.zeros((2, len(NAMES))))

    def score(self, deviations: F64) -> float:
        """Return the highest sum if a block of these deviations (d,) were added; unknown ones add nothing."""
        return float(self._added(deviations).max())

    def learn(self, deviations: F64) -> None:
        """Add a block."""
        self.sums = self._added(deviations)

    def _added(self, deviations: F64) -> F64:
        steps = np.nan_to_num(np.stack([deviations, -deviations]), nan=0.0, posinf=1e3, neginf=-1e3)
        added: F64 = np.maximum(0.0, self.sums + steps - SLACK)
        return added
