"""The flow meter's settings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from qwarden.core.errors import UsageError
from qwarden.formats.meter.state import MOST_REPORTS

MOST_FLOWS = 1 << 24


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """When a flow ends, in traffic time, and how many are held at once.

    Parameters
    ----------
    idle_timeout_s : a flow without a packet for longer is over.
    active_timeout_s : a flow that lasts longer is cut; what follows is a flow of its own.
    closed_linger_s : a TCP connection that is closed waits this long for late packets.
    max_flows : flows held at once; beyond, the flow idle longest is evicted, and counted.
    report_after_s : ages at which a flow that has not ended is reported, if packets came since the last
        report; a TCP connection is also reported when it closes. Empty: flows are told of when they end.

    Raises
    ------
    UsageError : a value is out of its range.

    >>> MeterSettings().idle_timeout_s
    60.0
    """

    idle_timeout_s: float = 60.0
    active_timeout_s: float = 300.0
    closed_linger_s: float = 5.0
    max_flows: int = 262_144
    report_after_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("idle_timeout_s", "active_timeout_s", "closed_linger_s"):
            value = getattr(self, name)
            if not 0 < value <= 1e8:
                raise UsageError(f"{name} is {value}; expected more than 0 and at most 1e8 seconds")
        ages = tuple(self.report_after_s)
        object.__setattr__(self, "report_after_s", ages)  # JSON knows lists alone
        rising = all(before < after for before, after in pairwise((0.0, *ages, 1e8)))
        if len(ages) > MOST_REPORTS or not rising:
            raise UsageError(f"report_after_s is {ages}; expected up to {MOST_REPORTS} rising seconds")
        if not 1 <= self.max_flows <= MOST_FLOWS:
            raise UsageError(f"max_flows is {self.max_flows}; expected 1 to {MOST_FLOWS}")
