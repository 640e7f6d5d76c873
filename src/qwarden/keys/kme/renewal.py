"""When a link must make new keys, when stored keys are too old, and when too few are left.

The article has keys renewed every 30 minutes; a pool that is used up faster is renewed by what was used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from qwarden.core.errors import UsageError
from qwarden.keys.kme.records import Pool

ARTICLE_S: Final = 30 * 60.0
"""Seconds between renewals: Hossain et al. 2024, component A."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The policy of an entity.

    Parameters
    ----------
    every_s : new keys are due so long after the last.
    after_bytes : and after so many bytes were drawn since; 0: never for that.
    keep_s : stored keys are dropped after so long.
    low_water : fewer keys of 256 bits than this raise an alarm.

    Raises
    ------
    UsageError
        A value is out of its range.

    Examples
    --------
    >>> pool = Pool(peer="b", left=900, theirs=900, waiting=0, renewed=1000.0, used=64)
    >>> Renewal().due(pool, now=2000.0), Renewal().due(pool, now=2800.0)
    ('', 'the last keys came 30 min ago')
    """

    every_s: float = ARTICLE_S
    after_bytes: int = 1 << 20
    keep_s: float = 86_400.0
    low_water: int = 100

    def __post_init__(self) -> None:
        for name in ("every_s", "keep_s"):
            if not 1.0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name}: expected seconds from 1, found {getattr(self, name):g}")
        for name in ("after_bytes", "low_water"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name}: expected 0 or more, found {getattr(self, name)}")

    def due(self, pool: Pool, now: float) -> str:
        """Say why new keys are due; empty if they are not."""
        if not pool.renewed:
            return "no keys have come yet"
        if now - pool.renewed >= self.every_s:
            return f"the last keys came {(now - pool.renewed) / 60:.0f} min ago"
        if self.after_bytes and pool.used >= self.after_bytes:
            return f"{pool.used:,} bytes were drawn since the last keys came"
        return ""

    def too_old(self, now: float) -> float:
        """Return the time before which stored keys are dropped."""
        return now - self.keep_s

    def low(self, pool: Pool) -> bool:
        """Say whether too few keys are left to draw."""
        return pool.left < self.low_water
