"""What the flow meter remembers: one `STATE` row a live flow, and one `METER` row for itself.

Columns that come in pairs are indexed by direction: `OUT` (from the initiator) and `IN`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

OUT, IN = range(2)

OPEN, CLOSED = range(2)
"""The lists a live flow may stand in, each ordered by the time of the last packet."""

NONE: Final = -1

MOST_REPORTS: Final = 4
"""Ages at which a flow that has not ended can be reported."""

STATE: Final = np.dtype(
    [
        ("src_hi", np.uint64), ("src_lo", np.uint64),
        ("dst_hi", np.uint64), ("dst_lo", np.uint64),
        ("src_key", np.int64), ("dst_key", np.int64),
        ("proto", np.int32),
        ("tag", np.int32),  # hash, upper bit clear
        ("before", np.int32), ("after", np.int32),  # neighbours in the list
        ("list", np.int32),
        ("ip_version", np.int32),
        ("touched_ns", np.int64),  # the meter's clock at the last packet
        ("born_ns", np.int64),  # and at the first
        ("seq", np.int64),
        ("start_ns", np.int64), ("end_ns", np.int64),
        ("src_mac", np.int64),
        ("src_port", np.int32), ("dst_port", np.int32),
        ("icmp_type", np.int32), ("icmp_code", np.int32),
        ("vlan", np.int32),
        ("saw_tcp", np.int32),  # whether a TCP header was seen (a later fragment has none)
        ("end_state", np.int32, (2,)), ("end_state_before", np.int32, (2,)),  # TCP, see tcp.py
        ("packets", np.int64, (2,)),
        ("bytes", np.int64, (2,)),
        ("payload", np.int64, (2,)),
        ("extension", np.int64),
        ("fragments", np.int64),
        ("ttl", np.int32, (2,)),
        ("flags", np.int64, (2, 6)),
        ("last_ns", np.int64, (2,)),
        # Running mean, sum of squared deviations and maximum (Welford 1962).
        ("gap_mean", np.float64, (2,)), ("gap_square", np.float64, (2,)), ("gap_max", np.float64, (2,)),
        ("size_mean", np.float64, (2,)), ("size_square", np.float64, (2,)), ("size_max", np.float64, (2,)),
        ("pauses", np.int64), ("pause_mean", np.float64), ("pause_square", np.float64),
        ("told", np.int64),  # packets at the last report on its way, 0 before the first
        ("due", np.int32),  # the list of reports it waits in, or NONE
        ("due_before", np.int32), ("due_after", np.int32),  # neighbours there
    ],
    align=True,
)  # fmt: skip

METER: Final = np.dtype(
    [
        ("idle_ns", np.int64),
        ("active_ns", np.int64),
        ("linger_ns", np.int64),
        ("seed", np.uint64),
        ("started", np.int64),
        ("clock_ns", np.int64),  # latest packet of the epoch
        ("late_ns", np.int64),  # how far behind the clock a packet of the epoch came, at most
        ("watermark_ns", np.int64),
        ("epoch", np.int64),
        ("next_seq", np.int64),
        ("live", np.int64),
        ("evicted", np.int64),
        ("fresh", np.int64),  # rows never used start here
        ("free", np.int64),  # head of the list of rows given back, chained by `after`
        ("head", np.int64, (2,)),
        ("tail", np.int64, (2,)),
        ("reports", np.int64),  # how many ages flows are reported at before they end; 0: none is
        ("report_ns", np.int64, (MOST_REPORTS,)),
        ("due_head", np.int64, (MOST_REPORTS,)),  # flows that wait for that age, in order of birth
        ("due_tail", np.int64, (MOST_REPORTS,)),
    ]
)

FRAGMENT: Final = np.dtype(
    [
        ("src_hi", np.uint64), ("src_lo", np.uint64),
        ("dst_hi", np.uint64), ("dst_lo", np.uint64),
        ("id", np.int64),
        ("stamp_ns", np.int64),
        ("src_key", np.int64), ("dst_key", np.int64),
        ("fragment_proto", np.int32),
        ("used", np.int32),
        ("proto", np.int32),
        ("src_port", np.int32), ("dst_port", np.int32),
        ("icmp_type", np.int32), ("icmp_code", np.int32),
    ],
    align=True,
)  # fmt: skip

Rows = npt.NDArray[np.void]
Slots = npt.NDArray[np.int64]
