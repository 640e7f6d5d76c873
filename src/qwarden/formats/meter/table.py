"""The flow table: an open-addressing hash table of row numbers, and two lists ordered by time.

A slot holds ``tag << 32 | row + 1``, or 0 when empty: most probes are settled without touching the
row. Deletion shifts later entries back, so there are no tombstones and no rehashing. The lists are
threaded through the rows (`before`, `after`), which makes expiry O(1) a flow: the next to expire is
always at the head of one of them.
"""

from __future__ import annotations

from typing import Any

from qwarden.core.compiled import compiled
from qwarden.formats.meter.state import IN, NONE, OUT, Rows, Slots


@compiled
def _direction(flow: Any, packet: Any) -> int:
    """Return `OUT` or `IN` for a packet of `flow`, `NONE` for any other packet."""
    if flow.proto != packet.proto:
        return NONE
    if (
        flow.src_lo == packet.src_lo
        and flow.dst_lo == packet.dst_lo
        and flow.src_key == packet.src_key
        and flow.dst_key == packet.dst_key
        and flow.src_hi == packet.src_hi
        and flow.dst_hi == packet.dst_hi
    ):
        return OUT
    if (
        flow.src_lo == packet.dst_lo
        and flow.dst_lo == packet.src_lo
        and flow.src_key == packet.dst_key
        and flow.dst_key == packet.src_key
        and flow.src_hi == packet.dst_hi
        and flow.dst_hi == packet.src_hi
    ):
        return IN
    return NONE


@compiled
def find(slots: Slots, flows: Rows, packet: Any, tag: int) -> tuple[int, int]:
    """Return the row of the packet's flow (or `NONE`) and the packet's direction in it."""
    mask = slots.size - 1
    slot = tag & mask
    while slots[slot] != 0:
        if slots[slot] >> 32 == tag:
            row = (slots[slot] & 0xFFFF_FFFF) - 1
            way = _direction(flows[row], packet)
            if way != NONE:
                return row, way
        slot = (slot + 1) & mask
    return NONE, OUT


@compiled
def insert(slots: Slots, tag: int, row: int) -> None:
    """Enter `row` under `tag`."""
    mask = slots.size - 1
    slot = tag & mask
    while slots[slot] != 0:
        slot = (slot + 1) & mask
    slots[slot] = (tag << 32) | (row + 1)


@compiled
def delete(slots: Slots, tag: int, row: int) -> None:
    """Remove `row`, which stands under `tag`, and close the gap it leaves."""
    mask = slots.size - 1
    entry = (tag << 32) | (row + 1)
    gap = tag & mask
    while slots[gap] != entry:
        gap = (gap + 1) & mask
    probe = gap
    while True:
        probe = (probe + 1) & mask
        if slots[probe] == 0:
            break
        home = (slots[probe] >> 32) & mask
        # Movable if its home is not between the gap and itself (cyclically).
        if (probe - home) & mask >= (probe - gap) & mask:
            slots[gap] = slots[probe]
            gap = probe
    slots[gap] = 0


@compiled
def unlink(meter: Any, flows: Rows, row: int) -> None:
    """Take `row` out of its list."""
    flow = flows[row]
    which = flow.list
    if flow.before == NONE:
        meter.head[which] = flow.after
    else:
        flows[flow.before].after = flow.after
    if flow.after == NONE:
        meter.tail[which] = flow.before
    else:
        flows[flow.after].before = flow.before


@compiled
def append(meter: Any, flows: Rows, row: int, which: int) -> None:
    """Put `row` at the end of list `which`: it was touched last."""
    flow = flows[row]
    last = meter.tail[which]
    flow.list = which
    flow.before = last
    flow.after = NONE
    meter.tail[which] = row
    if last == NONE:
        meter.head[which] = row
    else:
        flows[last].after = row
