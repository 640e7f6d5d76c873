"""What a link usually shows: its own past blocks, followed slowly, so that drift is no alarm.

Two filters, both Kalman's. Each feature's usual value is followed within the bounds that `Feature` sets: an
apparatus wanders, but not far. Misalignment is followed without bounds, for it may go anywhere, but only
continuously: a block has to begin with the errors with which the last one ended. Whoever interferes from one
block to the next makes a jump, however small; and small jumps that all go the same way are added up
(`error_jumps`).

An attacker who raises his share as smoothly within each block as misalignment would is not told apart from
drift: the key's length accounts for his errors, not the monitor.

Source: Kalman, J. Basic Eng. 82, 35 (1960).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from qwarden.keys.link import Link
from qwarden.keys.monitor.features import F64, FEATURES, NAMES, Reading

FLOORS: Final = np.array([feature.floor for feature in FEATURES.values()])
WANDERS: Final = np.array([feature.wander for feature in FEATURES.values()])
MOSTS: Final = np.array([feature.most for feature in FEATURES.values()])
JUMP, JUMPS = NAMES.index("error_jump"), NAMES.index("error_jumps")

MISALIGNMENT_FLOOR: Final = 1.5e-4
"""How well misalignment is known at best."""
UNSEEN: Final = 3e-4
"""By how much misalignment may have left its course over a block that is not believed."""
MEMORY: Final = 0.9
"""What is kept of the sum of jumps from block to block."""


@dataclass(slots=True)
class Reference:
    """The usual values of one link, and how sure they are.

    Parameters
    ----------
    misalignment : when the last block ended, with its variance.
    course : by how much it changed over the last block that was believed, with its variance.
    usual, variance : of each feature (d,).
    jumps, jumps_variance : the fading sum of jumps in misalignment.
    blocks : how many were learnt from.
    """

    misalignment: float
    misalignment_variance: float = MISALIGNMENT_FLOOR**2
    course: float = 0.0
    course_variance: float = 0.0
    usual: F64 = field(default_factory=lambda: np.zeros(len(NAMES)))
    variance: F64 = field(default_factory=lambda: np.zeros(len(NAMES)))
    jumps: float = 0.0
    jumps_variance: float = 0.0
    blocks: int = 0

    @classmethod
    def of(cls, link: Link) -> Reference:
        """Begin with what the link is said to be."""
        return cls(link.misalignment)

    def deviations(self, reading: Reading) -> F64:
        """Return the features in standard deviations from the usual (d,); nan where unknown."""
        found: F64 = (reading.values - self.usual) / np.sqrt(reading.sds**2 + FLOORS**2 + self.variance)
        if reading.errors is not None:
            jump, variance = self._jump(reading)
            found[JUMP] = jump / variance**0.5
            total, spread = self._jumps(jump, variance)
            found[JUMPS] = total / spread**0.5
        return found

    def _jump(self, reading: Reading) -> tuple[float, float]:
        assert reading.errors is not None
        variance = self.misalignment_variance + float(reading.errors.covariance[0, 0]) + MISALIGNMENT_FLOOR**2
        return float(reading.errors.ends[0]) - self.misalignment, variance

    def _jumps(self, jump: float, variance: float) -> tuple[float, float]:
        return MEMORY * self.jumps + jump, MEMORY**2 * self.jumps_variance + variance

    def learn(self, reading: Reading) -> None:
        """Take a block for usual."""
        self.blocks += 1
        prior = self.variance + WANDERS**2
        noise = reading.sds**2 + FLOORS**2
        known = ~np.isnan(reading.values) & (prior > 0)
        gain = np.where(known, prior / (prior + np.where(known, noise, 1.0)), 0.0)
        moved = np.where(known, reading.values - self.usual, 0.0)
        self.usual = np.clip(self.usual + gain * moved, -MOSTS, MOSTS)
        self.variance = np.minimum((1.0 - gain) * prior, MOSTS**2)
        if reading.errors is None:
            self.pass_over()
            return
        jump, variance = self._jump(reading)
        self.jumps, self.jumps_variance = self._jumps(jump, variance)
        weight = reading.errors.covariance[:, 0] / variance
        start, end = reading.errors.ends - weight * jump
        left = reading.errors.covariance - np.outer(weight, reading.errors.covariance[0])
        self.misalignment, self.misalignment_variance = float(end), float(left[1, 1])
        self.course = float(end - start)
        self.course_variance = float(left[0, 0] + left[1, 1] - 2 * left[0, 1])

    def pass_over(self) -> None:
        """Take note that a block went by of which nothing is believed: drift will have gone on."""
        self.misalignment += self.course
        self.misalignment_variance += self.course_variance + UNSEEN**2
