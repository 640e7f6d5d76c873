"""Compiled loops of the host windows; `windows` says what they compute.

A key is a hash of hosts, protocol and port. An open-addressing table (linear probing, deletion by backward
shift, so that it never fills with tombstones) gives every key a slot; a slot holds a few counters a window.
A distinct count is kept by noticing when a finer counter turns 0 <-> 1. Slots stay where they are, so a flow
that leaves a window needs no look-up.

Distinct counts over a day are sketched (linear counting; Whang, Vander-Zanden and Taylor 1990): a key has
64 cells, an item marks the cell of its hash with the minute, and the share of cells that were marked within
a day tells how many items there were.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]

KEYS = 6
"""Keys a flow is counted under: source, destination, pair, fan, contact, service (`hash_hosts`)."""

# Counters of each key; the first is 0 once nobody holds the key any more.
SRC_FLOWS, SRC_FAILED, SRC_PEERS, SRC_SERVICES, SRC_OUT, SRC_IN = range(6)
DST_FLOWS, DST_FAILED, DST_SOURCES = range(3)
PAIR_FLOWS, PAIR_PORTS, PAIR_OUT, PAIR_IN = range(4)
FAN_PEERS, FAN_FAILED_PEERS = range(2)  # of (source, protocol, port)
CONTACTS, CONTACTS_FAILED = range(2)  # of (source, destination, protocol, port)
SERVICE_SOURCES, SERVICE_PACKETS = range(2)  # of (destination, protocol, port)
COUNTERS = 6

WINDOW_COLUMNS = 17
"""Context columns a window; `windows.WINDOW_NAMES` names them in order."""

RECALL = 24
"""Flows remembered under one key of a history."""

HISTORY_COLUMNS = 9
AGE, ALIKE, RHYTHM = 0, 1, 2
"""What a history tells: of its flows' age; also how alike they are; also how regular."""

CELLS = 64
"""Cells of a sketch."""

DAY_MINUTES = 1440

_ESTIMATE = np.array([-CELLS * log(1 - k / CELLS) for k in range(CELLS)] + [CELLS * log(2 * CELLS)])
"""Items by how many of the cells they marked; all of them say "hundreds"."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


@inlined
def mix(a: Any, b: Any) -> Any:
    """Return a 64-bit hash of two words (the finaliser of SplitMix64; Steele et al. 2014)."""
    z = np.uint64(a) * _GOLDEN + np.uint64(b) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


@inlined
def _find(keys: U64, key: Any) -> Any:
    mask = keys.size - 1
    at = np.int64(key & np.uint64(mask))
    while keys[at] != 0 and keys[at] != key:
        at = (at + 1) & mask
    return at


@inlined
def get(keys: U64, values: I64, key: Any) -> Any:
    """Return the value under `key`, 0 when absent."""
    at = _find(keys, key)
    return values[at] if keys[at] == key else 0


@inlined
def put(keys: U64, values: I64, used: I64, key: Any, value: Any) -> None:
    """Store a value under a key that is absent."""
    at = _find(keys, key)
    keys[at] = key
    values[at] = value
    used[0] += 1


@inlined
def drop(keys: U64, values: I64, used: I64, key: Any) -> None:
    """Forget a key that is there."""
    mask = keys.size - 1
    hole = _find(keys, key)
    used[0] -= 1
    probe = hole
    while True:  # close the gap so that every key stays reachable from its home slot
        probe = (probe + 1) & mask
        if keys[probe] == 0:
            break
        home = np.int64(keys[probe] & np.uint64(mask))
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            keys[hole] = keys[probe]
            values[hole] = values[probe]
            hole = probe
    keys[hole] = 0
    values[hole] = 0


@compiled
def rehash(keys: U64, values: I64, into_keys: U64, into_values: I64) -> None:
    """Copy every entry of one table into a larger one."""
    for at in range(keys.size):
        if keys[at] != 0:
            slot = _find(into_keys, keys[at])
            into_keys[slot] = keys[at]
            into_values[slot] = values[at]


@inlined
def _count(counts: I64, w: Any, sign: Any, k: Any, v: Any) -> None:
    """Add (`sign` 1) or remove (-1) one flow with slots `k` and amounts `v` in window `w`."""
    edge = 1 if sign > 0 else 0  # the count a finer counter shows when it appears or disappears
    src, dst, pair = counts[k[0], w], counts[k[1], w], counts[k[2], w]
    fan, contact, service = counts[k[3], w], counts[k[4], w], counts[k[5], w]
    src[SRC_FLOWS] += sign
    dst[DST_FLOWS] += sign
    pair[PAIR_FLOWS] += sign
    contact[CONTACTS] += sign
    if v[0]:
        src[SRC_FAILED] += sign
        dst[DST_FAILED] += sign
        contact[CONTACTS_FAILED] += sign
        if contact[CONTACTS_FAILED] == edge:
            fan[FAN_FAILED_PEERS] += sign
    if pair[PAIR_FLOWS] == edge:
        src[SRC_PEERS] += sign
        dst[DST_SOURCES] += sign
    if contact[CONTACTS] == edge:
        pair[PAIR_PORTS] += sign
        service[SERVICE_SOURCES] += sign
        fan[FAN_PEERS] += sign
        if fan[FAN_PEERS] == edge:
            src[SRC_SERVICES] += sign
    pair[PAIR_OUT] += sign * v[1]
    pair[PAIR_IN] += sign * v[2]
    src[SRC_OUT] += sign * v[1]
    src[SRC_IN] += sign * v[2]
    service[SERVICE_PACKETS] += sign * v[3]


@inlined
def _share(part: Any, whole: Any) -> Any:
    return part / whole if whole > 0 else 0.0


@inlined
def _read(counts: I64, w: Any, k: Any, out: F64) -> None:
    """Write one window's columns for a flow that was just counted."""
    src, dst, pair = counts[k[0], w], counts[k[1], w], counts[k[2], w]
    fan, contact, service = counts[k[3], w], counts[k[4], w], counts[k[5], w]
    out[0] = src[SRC_FLOWS]
    out[1] = _share(src[SRC_FAILED], src[SRC_FLOWS])
    out[2] = src[SRC_PEERS]
    out[3] = src[SRC_SERVICES]
    out[4] = fan[FAN_PEERS]
    out[5] = _share(fan[FAN_FAILED_PEERS], fan[FAN_PEERS])
    out[6] = pair[PAIR_PORTS]
    out[7] = contact[CONTACTS]
    out[8] = _share(contact[CONTACTS_FAILED], contact[CONTACTS])
    out[9] = dst[DST_FLOWS]
    out[10] = _share(dst[DST_FAILED], dst[DST_FLOWS])
    out[11] = dst[DST_SOURCES]
    out[12] = service[SERVICE_SOURCES]
    out[13] = service[SERVICE_PACKETS]
    out[14] = pair[PAIR_OUT]
    out[15] = (pair[PAIR_OUT] - pair[PAIR_IN]) / (pair[PAIR_OUT] + pair[PAIR_IN] + 1.0)
    out[16] = (src[SRC_OUT] - src[SRC_IN]) / (src[SRC_OUT] + src[SRC_IN] + 1.0)


@compiled
def update_windows(
    times: I64,
    hashes: U64,
    amounts: I64,
    spans: I64,
    ring_time: I64,
    ring_slot: I64,
    ring_amount: I64,
    marks: I64,
    keys: U64,
    values: I64,
    used: I64,
    counts: I64,
    slot_key: U64,
    free: I64,
    out: F64,
) -> int:
    """Slide every window over the flows in turn; return how many the ring had to forget early.

    `marks[0]` counts flows ever seen, `marks[1 + w]` is the oldest flow still inside window `w`
    (the last window is the longest and decides what the ring must hold). `counts[slot, w]` are a key's
    counters; `free[-1]` slots are free, listed in `free`, the next one last.
    """
    capacity = ring_time.size
    windows = spans.size
    forgotten = 0
    for i in range(times.size):
        head = marks[0]
        now = times[i]
        if head > 0 and ring_time[(head - 1) % capacity] > now:
            now = ring_time[(head - 1) % capacity]  # traffic time never runs backwards
        for w in range(windows):
            full = head - marks[1 + w] == capacity
            while marks[1 + w] < head:
                at = marks[1 + w] % capacity
                if not full and ring_time[at] >= now - spans[w]:
                    break
                if full and ring_time[at] >= now - spans[w]:
                    forgotten += 1
                full = False
                _count(counts, w, -1, ring_slot[at], ring_amount[at])
                marks[1 + w] += 1
                if w == windows - 1:
                    for j in range(KEYS):
                        slot = ring_slot[at, j]
                        if counts[slot, w, 0] == 0:
                            drop(keys, values, used, slot_key[slot])
                            free[free[-1]] = slot
                            free[-1] += 1
        at = head % capacity
        ring_time[at] = now
        for j in range(KEYS):
            key = mix(hashes[i, j], j + 1)
            slot = get(keys, values, key) - 1
            if slot < 0:
                free[-1] -= 1
                slot = free[free[-1]]
                slot_key[slot] = key
                put(keys, values, used, key, slot + 1)
            ring_slot[at, j] = slot
        for j in range(ring_amount.shape[1]):
            ring_amount[at, j] = amounts[i, j]
        marks[0] = head + 1
        for w in range(windows):
            _count(counts, w, 1, ring_slot[at], ring_amount[at])
            _read(counts, w, ring_slot[at], out[i, w * WINDOW_COLUMNS : (w + 1) * WINDOW_COLUMNS])
    return forgotten


@inlined
def _slot(keys: U64, values: I64, used: I64, key: Any, slot_key: U64, clock: I64) -> Any:
    """Return the slot of a key and whether it is new; when all are taken the oldest-made one is reused."""
    slot = get(keys, values, key) - 1
    if slot >= 0:
        return slot, False
    slot = clock[0] % slot_key.size
    clock[0] += 1
    if slot_key[slot] != 0:
        drop(keys, values, used, slot_key[slot])
    slot_key[slot] = key
    put(keys, values, used, key, slot + 1)
    return slot, True


@compiled
def update_sketch(
    minutes: I64,
    hashes: U64,
    items: U64,
    marking: npt.NDArray[np.bool_],
    keys: U64,
    values: I64,
    used: I64,
    slot_key: U64,
    cells: I32,
    clock: I64,
    out: F64,
) -> None:
    """Mark the items of the flows that are `marking`; tell of every flow how many its key had in a day.

    Minutes never run backwards. A cell holds the minute it was last marked, counted from 1; 0 is never.
    """
    for i in range(minutes.size):
        now = minutes[i] + 1
        if marking[i]:
            slot, new = _slot(keys, values, used, hashes[i], slot_key, clock)
            if new:
                for c in range(CELLS):
                    cells[slot, c] = 0
            cells[slot, np.int64(items[i] >> np.uint64(58))] = now
        else:
            slot = get(keys, values, hashes[i]) - 1
            if slot < 0:
                out[i] = 0.0
                continue
        oldest = np.int32(max(now - DAY_MINUTES, 0))
        marked = 0
        for c in range(CELLS):
            marked += cells[slot, c] > oldest
        out[i] = _ESTIMATE[marked]


@inlined
def _median(sorted_values: F64, count: Any) -> Any:
    half = count // 2
    if count % 2:
        return sorted_values[half]
    return 0.5 * (sorted_values[half - 1] + sorted_values[half])


@inlined
def _sort(values: F64, count: Any) -> None:
    for i in range(1, count):
        x = values[i]
        j = i - 1
        while j >= 0 and values[j] > x:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = x


@inlined
def _spread(values: F64, count: Any, scratch: F64) -> Any:
    """Return (median, median absolute deviation / median) of `values`, which it sorts."""
    _sort(values, count)
    middle = _median(values, count)
    for i in range(count):
        scratch[i] = abs(values[i] - middle)
    _sort(scratch, count)
    return middle, _median(scratch, count) / max(middle, 1e-9)


@inlined
def _alike(slot_time: I64, slot_size: F64, held: Any, time: Any, size: Any, span: Any) -> Any:
    """Return how many of the remembered flows are recent, and how many of those are alike in size."""
    alike = 0
    recent = 0
    for h in range(held):
        if abs(slot_time[h] - time) <= span:
            recent += 1
            if (
                abs(slot_size[h, 0] - size[0]) <= 0.1
                and abs(slot_size[h, 1] - size[1]) <= 0.1
                and abs(slot_size[h, 2] - size[2]) <= 0.25
            ):
                alike += 1
    return recent, alike


@inlined
def _rhythm(slot_time: I64, slot_size: F64, n: Any, gaps: F64, scratch: F64, out: F64) -> None:
    """Write the spread of sizes, the period, its spread and the mean gap of the last of `n` flows."""
    held = min(n, RECALL)
    for h in range(held):
        gaps[h] = slot_size[h, 3]
    middle, spread = _spread(gaps, held, scratch)
    out[2] = spread if middle > 0 else 0.0
    early = slot_time[0]
    late = early
    for h in range(held):
        early = min(early, slot_time[h])
        late = max(late, slot_time[h])
    out[6] = (late - early) * 1e-9 / (held - 1)
    for h in range(held - 1):
        a = slot_time[(n - held + h) % RECALL]
        b = slot_time[(n - held + h + 1) % RECALL]
        gaps[h] = abs(b - a) * 1e-9
    middle, spread = _spread(gaps, held - 1, scratch)
    out[3] = middle
    out[4] = min(spread, 10.0)


@compiled
def update_history(
    times: I64,
    hashes: U64,
    sizes: F64,
    span: int,
    horizon: int,
    telling: int,
    keys: U64,
    values: I64,
    used: I64,
    slot_key: U64,
    slot_count: I64,
    slot_first: I64,
    slot_time: I64,
    slot_size: F64,
    slot_hours: I64,
    clock: I64,
    out: F64,
) -> None:
    """Remember the last flows under every hash, and compare each flow with those before it.

    A slot is a ring of `RECALL` flows. `sizes[i]` holds log1p of payload out, payload in and packets, and
    payload out; `span` bounds what is recent and `horizon` the age that is told, both in nanoseconds.
    `telling` is `AGE`, `ALIKE` or `RHYTHM`. `slot_hours` holds the latest hour and, a bit an hour, in which
    of the 24 up to then there were flows.
    """
    gaps = np.empty(RECALL)
    scratch = np.empty(RECALL)
    for i in range(times.size):
        slot, new = _slot(keys, values, used, hashes[i], slot_key, clock)
        if new:
            slot_count[slot] = 0
            slot_first[slot] = times[i]
            slot_hours[slot, 0] = 0
            slot_hours[slot, 1] = 0
        n = slot_count[slot] + 1
        slot_count[slot] = n
        row = out[i]
        row[5] = n
        row[7] = min(max(times[i] - slot_first[slot], 0), horizon) * 1e-9
        if telling == AGE:
            continue
        at = (n - 1) % RECALL
        slot_time[slot, at] = times[i]
        for j in range(4):
            slot_size[slot, at, j] = sizes[i, j]
        recent, alike = _alike(slot_time[slot], slot_size[slot], min(n, RECALL), times[i], sizes[i], span)
        row[0] = alike
        row[1] = alike / recent
        if telling == ALIKE:
            continue
        row[2] = np.nan
        row[3] = np.nan
        row[4] = np.nan
        row[6] = np.nan
        if n >= 4:
            _rhythm(slot_time[slot], slot_size[slot], n, gaps, scratch, row)
        row[8] = _hours(slot_hours[slot], times[i] // 3_600_000_000_000)


@inlined
def _hours(known: I64, hour: Any) -> Any:
    """Note a flow in `hour` and return in how many of the 24 hours up to the latest there were flows."""
    behind = known[0] - hour
    if behind < 0:
        known[1] = (known[1] << min(-behind, 24)) & 0xFFFFFF
        known[0] = hour
        behind = 0
    if behind < 24:
        known[1] |= 1 << behind
    bits = known[1]
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


@compiled
def hash_hosts(
    src_hi: U64, src_lo: U64, dst_hi: U64, dst_lo: U64, src_mac: I64, proto: I64, dst_port: I64
) -> U64:
    """Return the six hashes a flow is counted under; see `windows.host_hashes`."""
    out = np.empty((src_hi.size, 6), np.uint64)
    for i in range(src_hi.size):
        src = mix(src_hi[i], src_lo[i])
        if proto[i] == 0x0806 and src_mac[i] >= 0:
            src = mix(np.uint64(0x0806), np.uint64(src_mac[i]))
        dst = mix(dst_hi[i], dst_lo[i])
        port = np.uint64((proto[i] << 20) ^ (dst_port[i] & 0xFFFFF))
        out[i, 0] = src
        out[i, 1] = dst
        out[i, 2] = mix(src, dst)
        out[i, 3] = mix(src, port)
        out[i, 4] = mix(mix(src, dst), port)
        out[i, 5] = mix(dst, port)
        if proto[i] == 17 and (dst_port[i] == 67 or dst_port[i] == 547):
            out[i, 5] = mix(np.uint64(67), port)
    return out
