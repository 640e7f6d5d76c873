"""The flow meter: packets in, finished flows out.

Compiled, streaming, of bounded memory. Time is traffic time: the clock is the latest packet's time
stamp. A packet that comes out of order by up to the idle time-out counts at the clock. One that goes
back further starts a new *epoch*: captures are sometimes pasted together from sessions years apart;
every flow of the old epoch ends, and time starts anew.

Emission order
--------------
`meter_packets` keeps a watermark: within an epoch it never goes back, and every flow that is still
to come ends no earlier than watermark - idle time-out. It is the clock, less the most that a packet
came late; so the contract holds for out-of-order packets as well:

- an open flow is emitted as soon as the clock stands more than the idle time-out past its last
  packet, which itself came at most `late_ns` behind the clock;
- flows closed, cut by the active time-out or evicted are emitted earlier than that;
- a flow that begins late begins no earlier than the clock - `late_ns`.

Reports on flows that have not ended (`reports`) come among the others, in order of the clock.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import numpy as np

from qwarden.core.compiled import compiled
from qwarden.formats.flows import (
    END_ACTIVE,
    END_EVICTED,
    END_IDLE,
    END_OF_INPUT,
    END_TCP_CLOSED,
    FLOW,
    Flows,
)
from qwarden.formats.meter.flow import add_packet, export, set_ends, start_counting
from qwarden.formats.meter.fragments import fresh_fragments, recall_first, remember_first
from qwarden.formats.meter.hashing import hash_ends
from qwarden.formats.meter.reports import expect_none, expect_report, report, report_due
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.meter.state import CLOSED, METER, NONE, OPEN, STATE, Rows, Slots
from qwarden.formats.meter.table import append, delete, find, insert, unlink
from qwarden.formats.meter.tcp import ACK, SYN, is_closed
from qwarden.formats.readers.packets import FIRST, LATER, PARSED, Packets

BATCH: Final = 8192
"""Flows a batch at most."""

DONE, ROOM, EPOCH = range(3)
"""Why `meter_packets` returned: all packets taken, the batch is full, or an epoch has ended."""

_TCP = 6


@compiled
def _release(meter: Any, flows: Rows, slots: Slots, row: int, out: Any, reason: int) -> None:
    """Emit the flow in `row` and give the row back."""
    flow = flows[row]
    export(flow, out, reason)
    delete(slots, flow.tag, row)
    unlink(meter, flows, row)
    expect_none(meter, flows, row)
    flow.after = meter.free
    meter.free = row
    meter.live -= 1


@compiled
def _create(meter: Any, flows: Rows, slots: Slots, packet: Any, tag: int) -> tuple[int, int]:
    """Start a flow with its first packet; return its row and the packet's direction."""
    if meter.free != NONE:
        row = meter.free
        meter.free = flows[row].after
    else:
        row = meter.fresh
        meter.fresh += 1
    meter.live += 1
    flow = flows[row]
    flow.tag = tag
    way = set_ends(flow, packet)
    start_counting(meter, flow, packet)
    insert(slots, tag, row)
    append(meter, flows, row, OPEN)
    expect_report(meter, flows, row, 0)
    return row, way


@compiled
def _expire(meter: Any, flows: Rows, slots: Slots, out: Flows, filled: int) -> tuple[int, bool]:
    """Emit what the clock has left behind; return rows filled and whether there was room for all."""
    for which in range(2):
        patience = meter.idle_ns
        if which == CLOSED:
            patience = min(patience, meter.linger_ns)
        while True:
            row = meter.head[which]
            if row == NONE or meter.clock_ns - flows[row].touched_ns <= patience:
                break
            if filled == out.size:
                return filled, False
            _release(meter, flows, slots, row, out[filled], END_TCP_CLOSED if which == CLOSED else END_IDLE)
            filled += 1
    return filled, True


@compiled
def _flush(meter: Any, flows: Rows, slots: Slots, out: Flows, filled: int, reason: int) -> tuple[int, bool]:
    """Emit every flow, oldest first; closed connections keep their own reason."""
    for which in range(2):
        while meter.head[which] != NONE:
            if filled == out.size:
                return filled, False
            row = meter.head[which]
            _release(meter, flows, slots, row, out[filled], END_TCP_CLOSED if which == CLOSED else reason)
            filled += 1
    return filled, True


@compiled
def _oldest(meter: Any, flows: Rows) -> int:
    """Return the live flow that has been idle longest."""
    opened, closed = meter.head[OPEN], meter.head[CLOSED]
    if opened == NONE or (closed != NONE and flows[closed].touched_ns <= flows[opened].touched_ns):
        return int(closed)
    return int(opened)


@compiled
def meter_packets(
    meters: Rows,
    flows: Rows,
    slots: Slots,
    fragments: Rows,
    packets: Packets,
    start: int,
    stop: int,
    out: Flows,
    filled: int,
) -> tuple[int, int, int]:
    """Take ``packets[start:stop]`` into account; `out` has `filled` rows already.

    Returns
    -------
    The next packet to take, rows of `out` filled, and why it returned: `DONE`, `ROOM` (empty `out`
    and call again), or `EPOCH` (time went back; `out` holds the last flows of the old epoch; empty
    it and call again).
    """
    meter = meters[0]
    for i in range(start, stop):
        packet = packets[i]
        if packet.verdict != PARSED:
            continue
        if filled > out.size - 3:  # a packet emits at most three rows beside what its time lets go
            return i, filled, ROOM
        now = packet.ts_ns
        if not meter.started:
            meter.started = 1
            meter.clock_ns = now
            meter.watermark_ns = now
            meter.late_ns = 0
        elif now > meter.clock_ns:
            meter.clock_ns = now
        elif now < meter.clock_ns - meter.idle_ns:
            filled, complete = _flush(meter, flows, slots, out, filled, END_IDLE)
            if not complete:
                return i, filled, ROOM
            meter.started = 0
            meter.epoch += 1
            return i, filled, EPOCH
        else:
            meter.late_ns = max(meter.late_ns, meter.clock_ns - now)
        filled, complete = _expire(meter, flows, slots, out, filled)
        if complete and meter.reports:
            filled, complete = report_due(meter, flows, out, filled)
        if not complete or filled > out.size - 3:
            return i, filled, ROOM
        meter.watermark_ns = max(meter.watermark_ns, meter.clock_ns - meter.late_ns)

        if packet.fragment == FIRST:
            remember_first(fragments, packet, meter.clock_ns, meter.seed)
        elif packet.fragment == LATER:
            recall_first(fragments, packet, meter.clock_ns, meter.seed)

        tag = hash_ends(
            packet.src_hi,
            packet.src_lo,
            packet.src_key,
            packet.dst_hi,
            packet.dst_lo,
            packet.dst_key,
            packet.proto,
            meter.seed,
        )
        row, way = find(slots, flows, packet, tag)
        if row != NONE:
            flow = flows[row]
            fresh_syn = packet.tcp_flags >= 0 and packet.tcp_flags & (SYN | ACK) == SYN
            if flow.list == CLOSED and fresh_syn:
                _release(meter, flows, slots, row, out[filled], END_TCP_CLOSED)
                filled += 1
                row = NONE
            elif meter.clock_ns - flow.born_ns > meter.active_ns:
                # What follows keeps its initiator and what is known of the connection.
                export(flow, out[filled], END_ACTIVE)
                filled += 1
                start_counting(meter, flow, packet)
                expect_none(meter, flows, row)
                expect_report(meter, flows, row, 0)
        if row == NONE:
            if meter.live == flows.size:
                _release(meter, flows, slots, _oldest(meter, flows), out[filled], END_EVICTED)
                filled += 1
                meter.evicted += 1
            row, way = _create(meter, flows, slots, packet, tag)
        flow = flows[row]
        add_packet(flow, packet, way)
        flow.touched_ns = meter.clock_ns
        over = flow.proto == _TCP and is_closed(flow.end_state)
        if over and flow.list == OPEN and meter.reports:
            expect_none(meter, flows, row)
            report(flow, out[filled])
            filled += 1
        unlink(meter, flows, row)
        append(meter, flows, row, CLOSED if over else OPEN)
    return stop, filled, DONE


@compiled
def flush_meter(meters: Rows, flows: Rows, slots: Slots, out: Flows, filled: int) -> tuple[int, bool]:
    """Emit what is left at the end of the input; return rows filled and whether that was all."""
    return _flush(meters[0], flows, slots, out, filled, END_OF_INPUT)


class FlowMeter:
    """The meter's arrays, and the batch it fills.

    Memory: about 500 bytes a flow held, of which the system hands out only what is touched.
    """

    def __init__(self, settings: MeterSettings) -> None:
        self.flows = np.zeros(settings.max_flows, STATE)
        self.slots = np.zeros(1 << (2 * settings.max_flows - 1).bit_length(), np.int64)
        self.fragments = fresh_fragments()
        self.out = np.zeros(BATCH, FLOW)
        self._filled = 0
        self._rows = np.zeros(1, METER)
        row = self._rows[0]
        row["idle_ns"] = round(settings.idle_timeout_s * 1e9)
        row["active_ns"] = round(settings.active_timeout_s * 1e9)
        row["linger_ns"] = round(settings.closed_linger_s * 1e9)
        row["reports"] = len(settings.report_after_s)
        for at, age_s in enumerate(settings.report_after_s):
            row["report_ns"][at] = round(age_s * 1e9)
        row["due_head"] = NONE
        row["due_tail"] = NONE
        row["seed"] = secrets.randbits(64)
        row["free"] = NONE
        row["head"] = NONE
        row["tail"] = NONE

    def take(self, packets: Packets, start: int, stop: int) -> tuple[int, int]:
        """Meter ``packets[start:stop]``; return the next packet to take and why it stopped there.

        After `ROOM` and `EPOCH`, `collect` what ended and call again.
        """
        where, self._filled, why = meter_packets(
            self._rows, self.flows, self.slots, self.fragments, packets, start, stop, self.out, self._filled
        )
        return where, why

    def flush(self) -> bool:
        """At the end of the input, end what is left; return whether it all fitted the batch."""
        self._filled, complete = flush_meter(self._rows, self.flows, self.slots, self.out, self._filled)
        return complete

    def collect(self) -> Flows:
        """Return the flows that ended since the last call: a view, valid until the next packet."""
        filled, self._filled = self._filled, 0
        return self.out[:filled]

    def _get(self, name: str) -> int:
        return int(self._rows[name][0])

    @property
    def watermark_ns(self) -> int:
        """No flow to come of this epoch ends before it, less the idle time-out."""
        return self._get("watermark_ns")

    @property
    def epoch(self) -> int:
        """How often time has gone back by more than the idle time-out."""
        return self._get("epoch")

    @property
    def flows_begun(self) -> int:
        """Flows begun so far."""
        return self._get("next_seq")

    @property
    def evicted(self) -> int:
        """Flows evicted because `max_flows` were held."""
        return self._get("evicted")
