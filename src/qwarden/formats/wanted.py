"""Which packets belong to flows: the filter handed to the process that cuts them, and what it hands back.

A flow's row knows its ends, its ports (or its ICMP type and code, or its ARP opcode) and its time, to the
nanosecond: its first and last packets are those at its start and its end. So nothing is added before or
after: what lies there is of another flow between the same ends. What the row does not know is an ICMP
exchange's identifier; two that run side by side between the same hosts are cut together.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.formats.flows import PROTO_ARP, UNKNOWN, Flows

WANTED: Final = np.dtype(
    [
        # The flow's ends in ascending order: both directions are one.
        ("a_hi", "<u8"), ("a_lo", "<u8"),
        ("b_hi", "<u8"), ("b_lo", "<u8"),
        ("a_key", "<i8"), ("b_key", "<i8"),  # as the meter's, without an ICMP exchange's identifier
        ("proto", "<i8"),
        ("start_ns", "<i8"), ("end_ns", "<i8"),  # both are part of the span
    ]
)  # fmt: skip

MOST_WANTED: Final = 1 << 20
"""Spans a filter has at most: 72 MiB of them."""

CUT: Final = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("link", "<i4"),  # link type
        ("caplen", "<u4"),
        ("wirelen", "<u4"),  # bytes the packet had on the wire, as the capture says
        ("reserved", "<u4"),
    ]
)
"""What is told of a packet that was cut."""

Wanted = npt.NDArray[np.void]
"""A one-dimensional array of dtype `WANTED`: sorted; spans of the same ends do not overlap."""

_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_ENDS: Final = ("proto", "a_hi", "a_lo", "a_key", "b_hi", "b_lo", "b_key")


def wanted_packets(flows: Flows) -> Wanted:
    """Return the filter for the packets of `flows`, (m,) with m <= n.

    >>> flows = np.zeros(2, __import__("qwarden.formats.flows").formats.flows.FLOW)
    >>> flows["proto"], flows["src_port"], flows["dst_port"] = 17, (53, 9), (9, 53)
    >>> flows["start_ns"], flows["end_ns"] = (10, 15), (20, 30)
    >>> [row.tolist()[4:] for row in wanted_packets(flows)]
    [(9, 53, 17, 10, 30)]
    """
    rows = np.zeros(flows.size, WANTED)
    src = (flows["src_hi"], flows["src_lo"], _keys(flows, "src"))
    dst = (flows["dst_hi"], flows["dst_lo"], _keys(flows, "dst"))
    swapped = np.zeros(flows.size, np.bool_)
    same = ~swapped
    for one, other in zip(src, dst, strict=True):
        swapped |= same & (one > other)
        same &= one == other
    for at, part in enumerate(("hi", "lo", "key")):
        rows[f"a_{part}"] = np.where(swapped, dst[at], src[at])
        rows[f"b_{part}"] = np.where(swapped, src[at], dst[at])
    for name in ("proto", "start_ns", "end_ns"):
        rows[name] = flows[name]
    return _without_overlaps(rows)


def _keys(flows: Flows, side: str) -> npt.NDArray[np.int64]:
    """Return what tells a flow from others between the same addresses, as `readers.headers` does."""
    proto, kind = flows["proto"], flows["icmp_type"].astype(np.int64)
    ports = np.isin(proto, (_TCP, _UDP))
    keys = np.where(ports, flows[f"{side}_port"], UNKNOWN).astype(np.int64)
    icmp = np.isin(proto, (_ICMP, _ICMPV6)) & (kind >= 0)
    keys = np.where(icmp, (_requests(proto, kind) << 8) | flows["icmp_code"], keys)
    opcode = np.where(np.isin(kind, (2, 4, 9)), kind - 1, kind)
    return np.where(proto == PROTO_ARP, opcode, keys)


def _requests(proto: npt.NDArray[np.int32], kind: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the type of the request where `kind` is its reply (RFC 792, RFC 950, RFC 4443)."""
    found = np.where((proto == _ICMPV6) & (kind == 129), 128, kind)
    older = proto == _ICMP
    found = np.where(older & (kind == 0), 8, found)
    return np.where(older & np.isin(kind, (14, 16, 18)), kind - 1, found)


def _without_overlaps(rows: Wanted) -> Wanted:
    """Sort spans by their ends and time, and join those that overlap."""
    rows = rows[np.lexsort((rows["start_ns"], *(rows[name] for name in reversed(_ENDS))))]
    if rows.size == 0:
        return rows
    fresh = np.ones(rows.size, np.bool_)
    fresh[1:] = np.logical_or.reduce([rows[name][1:] != rows[name][:-1] for name in _ENDS])
    # The latest end so far among the same ends: ranks grow with the group first, so a running maximum
    # starts afresh in each.
    by_end = np.lexsort((rows["end_ns"], np.cumsum(fresh)))
    rank = np.empty(rows.size, np.int64)
    rank[by_end] = np.arange(rows.size)
    latest = rows["end_ns"][by_end[np.maximum.accumulate(rank)]]
    begins = fresh.copy()
    begins[1:] |= rows["start_ns"][1:] > latest[:-1]
    firsts = np.flatnonzero(begins)
    joined: Wanted = rows[firsts].copy()
    joined["end_ns"] = latest[np.append(firsts[1:], rows.size) - 1]
    return joined
