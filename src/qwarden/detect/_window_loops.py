"""Compiled loops of the host windows; `windows` says what they compute.

All counters of all windows live in one open-addressing table (linear probing, deletion by backward
shift, so that it never fills with tombstones): the key is a hash of the counter's name, the window
and the hosts, the value a count. A distinct count is kept by noticing when a finer counter turns 0 <-> 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

# Counters, mixed into the table's keys.
SRC_FLOWS, SRC_FAILED, SRC_PEERS, SRC_SERVICES = 1, 2, 3, 4
PAIR_FLOWS, PAIR_PORTS, PAIR_OUT, PAIR_IN = 5, 6, 7, 8
FAN_PEERS, FAN_FAILED_PEERS = 9, 10  # of (source, protocol, port)
CONTACTS, CONTACTS_FAILED = 11, 12  # of (source, destination, protocol, port)
DST_FLOWS, DST_FAILED, DST_SOURCES = 13, 14, 15
SERVICE_SOURCES, SERVICE_PACKETS = 16, 17  # of (destination, protocol, port)
SRC_OUT, SRC_IN = 18, 19

WINDOW_COLUMNS = 17
"""Context columns a window; `windows.WINDOW_NAMES` names them in order."""

RECALL = 24
"""Flows remembered under one key of a history."""

HISTORY_COLUMNS = 8

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
def add(keys: U64, values: I64, used: I64, key: Any, delta: Any) -> Any:
    """Add `delta` to the value under `key` and return it; an entry that turns 0 is removed."""
    if delta == 0:
        return get(keys, values, key)
    mask = keys.size - 1
    at = _find(keys, key)
    if keys[at] == 0:
        keys[at] = key
        values[at] = delta
        used[0] += 1
        return delta
    values[at] += delta
    if values[at] != 0:
        return values[at]
    used[0] -= 1
    hole = at
    probe = at
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
    return 0


@compiled
def rehash(keys: U64, values: I64, into_keys: U64, into_values: I64) -> None:
    """Copy every entry of one table into a larger one."""
    for at in range(keys.size):
        if keys[at] != 0:
            slot = _find(into_keys, keys[at])
            into_keys[slot] = keys[at]
            into_values[slot] = values[at]


@inlined
def _count(keys: U64, values: I64, used: I64, w: Any, sign: Any, k: Any, v: Any) -> None:
    """Add (`sign` 1) or remove (-1) one flow of ring rows `k` (hashes) and `v` (amounts)."""
    edge = 1 if sign > 0 else 0  # the count a finer counter shows when it appears or disappears
    src, dst, pair, fan, contact, service = k[0], k[1], k[2], k[3], k[4], k[5]
    failed, out, back, packets = v[0], v[1], v[2], v[3]
    add(keys, values, used, mix(src, w + SRC_FLOWS), sign)
    add(keys, values, used, mix(dst, w + DST_FLOWS), sign)
    if failed:
        add(keys, values, used, mix(src, w + SRC_FAILED), sign)
        add(keys, values, used, mix(dst, w + DST_FAILED), sign)
        if add(keys, values, used, mix(contact, w + CONTACTS_FAILED), sign) == edge:
            add(keys, values, used, mix(fan, w + FAN_FAILED_PEERS), sign)
    if add(keys, values, used, mix(pair, w + PAIR_FLOWS), sign) == edge:
        add(keys, values, used, mix(src, w + SRC_PEERS), sign)
        add(keys, values, used, mix(dst, w + DST_SOURCES), sign)
    if add(keys, values, used, mix(contact, w + CONTACTS), sign) == edge:
        add(keys, values, used, mix(pair, w + PAIR_PORTS), sign)
        add(keys, values, used, mix(service, w + SERVICE_SOURCES), sign)
        if add(keys, values, used, mix(fan, w + FAN_PEERS), sign) == edge:
            add(keys, values, used, mix(src, w + SRC_SERVICES), sign)
    add(keys, values, used, mix(pair, w + PAIR_OUT), sign * out)
    add(keys, values, used, mix(pair, w + PAIR_IN), sign * back)
    add(keys, values, used, mix(src, w + SRC_OUT), sign * out)
    add(keys, values, used, mix(src, w + SRC_IN), sign * back)
    add(keys, values, used, mix(service, w + SERVICE_PACKETS), sign * packets)


@inlined
def _share(part: Any, whole: Any) -> Any:
    return part / whole if whole > 0 else 0.0


@inlined
def _read(keys: U64, values: I64, w: Any, k: Any, out: F64) -> None:
    """Write one window's columns for a flow that was just counted."""
    src, dst, pair, fan, contact, service = k[0], k[1], k[2], k[3], k[4], k[5]
    flows = get(keys, values, mix(src, w + SRC_FLOWS))
    fan_peers = get(keys, values, mix(fan, w + FAN_PEERS))
    contacts = get(keys, values, mix(contact, w + CONTACTS))
    victim = get(keys, values, mix(dst, w + DST_FLOWS))
    pair_out = get(keys, values, mix(pair, w + PAIR_OUT))
    pair_in = get(keys, values, mix(pair, w + PAIR_IN))
    src_out = get(keys, values, mix(src, w + SRC_OUT))
    src_in = get(keys, values, mix(src, w + SRC_IN))
    out[0] = flows
    out[1] = _share(get(keys, values, mix(src, w + SRC_FAILED)), flows)
    out[2] = get(keys, values, mix(src, w + SRC_PEERS))
    out[3] = get(keys, values, mix(src, w + SRC_SERVICES))
    out[4] = fan_peers
    out[5] = _share(get(keys, values, mix(fan, w + FAN_FAILED_PEERS)), fan_peers)
    out[6] = get(keys, values, mix(pair, w + PAIR_PORTS))
    out[7] = contacts
    out[8] = _share(get(keys, values, mix(contact, w + CONTACTS_FAILED)), contacts)
    out[9] = victim
    out[10] = _share(get(keys, values, mix(dst, w + DST_FAILED)), victim)
    out[11] = get(keys, values, mix(dst, w + DST_SOURCES))
    out[12] = get(keys, values, mix(service, w + SERVICE_SOURCES))
    out[13] = get(keys, values, mix(service, w + SERVICE_PACKETS))
    out[14] = pair_out
    out[15] = (pair_out - pair_in) / (pair_out + pair_in + 1.0)
    out[16] = (src_out - src_in) / (src_out + src_in + 1.0)


@compiled
def update_windows(
    times: I64,
    hashes: U64,
    amounts: I64,
    spans: I64,
    ring_time: I64,
    ring_hash: U64,
    ring_amount: I64,
    marks: I64,
    keys: U64,
    values: I64,
    used: I64,
    out: F64,
) -> int:
    """Slide every window over the flows in turn; return how many the ring had to forget early.

    `marks[0]` counts flows ever seen, `marks[1 + w]` is the oldest flow still inside window `w`
    (the last window is the longest and decides what the ring must hold).
    """  # fmt: skip
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
                _count(keys, values, used, w * 32, -1, ring_hash[at], ring_amount[at])
                marks[1 + w] += 1
        at = head % capacity
        ring_time[at] = now
        for j in range(ring_hash.shape[1]):
            ring_hash[at, j] = hashes[i, j]
        for j in range(ring_amount.shape[1]):
            ring_amount[at, j] = amounts[i, j]
        marks[0] = head + 1
        for w in range(windows):
            _count(keys, values, used, w * 32, 1, ring_hash[at], ring_amount[at])
        for w in range(windows):
            _read(keys, values, w * 32, ring_hash[at], out[i, w * WINDOW_COLUMNS : (w + 1) * WINDOW_COLUMNS])
    return forgotten


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


@compiled
def update_history(
    times: I64,
    hashes: U64,
    sizes: F64,
    span: int,
    horizon: int,
    keys: U64,
    values: I64,
    used: I64,
    slot_key: U64,
    slot_count: I64,
    slot_first: I64,
    slot_time: I64,
    slot_size: F64,
    clock: I64,
    out: F64,
) -> None:
    """Remember the last flows under every hash, and compare each flow with those before it.

    A slot is a ring of `RECALL` flows; when all slots are taken the oldest-made one is reused.
    `sizes[i]` holds log1p of payload out, payload in and packets; `span` bounds what is recent and
    `horizon` the age that is told, both in nanoseconds.
    """  # fmt: skip
    slots = slot_key.size
    gaps = np.empty(RECALL)
    scratch = np.empty(RECALL)
    for i in range(times.size):
        key = hashes[i]
        slot = get(keys, values, key) - 1
        if slot < 0:
            slot = clock[0] % slots
            clock[0] += 1
            if slot_key[slot] != 0:
                add(keys, values, used, slot_key[slot], -(slot + 1))
            slot_key[slot] = key
            slot_count[slot] = 0
            slot_first[slot] = times[i]
            add(keys, values, used, key, slot + 1)
        n = slot_count[slot]
        at = n % RECALL
        slot_time[slot, at] = times[i]
        for j in range(3):
            slot_size[slot, at, j] = sizes[i, j]
        n += 1
        slot_count[slot] = n
        held = min(n, RECALL)
        alike = 0
        recent = 0
        for h in range(held):
            if abs(slot_time[slot, h] - times[i]) <= span:
                recent += 1
                if (
                    abs(slot_size[slot, h, 0] - sizes[i, 0]) <= 0.1
                    and abs(slot_size[slot, h, 1] - sizes[i, 1]) <= 0.1
                    and abs(slot_size[slot, h, 2] - sizes[i, 2]) <= 0.25
                ):
                    alike += 1
        out[i, 0] = alike
        out[i, 1] = alike / recent
        out[i, 2] = np.nan
        out[i, 3] = np.nan
        out[i, 4] = np.nan
        out[i, 5] = n
        out[i, 6] = np.nan
        out[i, 7] = min(max(times[i] - slot_first[slot], 0), horizon) * 1e-9
        if held >= 4:
            for h in range(held):
                gaps[h] = np.expm1(slot_size[slot, h, 0])
            middle, spread = _spread(gaps, held, scratch)
            out[i, 2] = spread if middle > 0 else 0.0
            first = n - held
            early = slot_time[slot, 0]
            late = early
            for h in range(held):
                early = min(early, slot_time[slot, h])
                late = max(late, slot_time[slot, h])
            out[i, 6] = (late - early) * 1e-9 / (held - 1)
            for h in range(held - 1):
                a = slot_time[slot, (first + h) % RECALL]
                b = slot_time[slot, (first + h + 1) % RECALL]
                gaps[h] = abs(b - a) * 1e-9
            middle, spread = _spread(gaps, held - 1, scratch)
            out[i, 3] = middle
            out[i, 4] = min(spread, 10.0)


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
