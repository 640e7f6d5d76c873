"""The fragment table: which ports the later fragments of a datagram belong to.

Only the first fragment has the transport header. Its ports are kept under (source, destination,
identification, protocol), as RFC 791 and RFC 8200 identify a datagram, in a table of fixed size:
sets of `WAYS` rows, the oldest of a set giving way.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from qwarden.core.compiled import compiled
from qwarden.formats.meter.hashing import hash_ends
from qwarden.formats.meter.state import FRAGMENT, Rows

SETS: Final = 4096
WAYS: Final = 4
LIFETIME_NS: Final = 30_000_000_000
"""How long a datagram's fragments may trail its first one, in traffic time."""


def fresh_fragments() -> Rows:
    """Return an empty fragment table."""
    return np.zeros(SETS * WAYS, FRAGMENT)


@compiled
def _set_of(packet: Any, seed: np.uint64) -> int:
    """Return the first row of the packet's set."""
    bits = hash_ends(
        packet.src_hi,
        packet.src_lo,
        packet.fragment_id,
        packet.dst_hi,
        packet.dst_lo,
        packet.fragment_id,
        packet.fragment_proto,
        seed,
    )
    return (bits % SETS) * WAYS


@compiled
def _is_of(row: Any, packet: Any, clock: int) -> bool:
    return bool(
        row.used
        and 0 <= clock - row.stamp_ns <= LIFETIME_NS
        and row.id == packet.fragment_id
        and row.fragment_proto == packet.fragment_proto
        and row.src_lo == packet.src_lo
        and row.dst_lo == packet.dst_lo
        and row.src_hi == packet.src_hi
        and row.dst_hi == packet.dst_hi
    )


@compiled
def remember_first(table: Rows, packet: Any, clock: int, seed: np.uint64) -> None:
    """Keep what a first fragment knows."""
    first = _set_of(packet, seed)
    chosen = first
    for i in range(first, first + WAYS):
        row = table[i]
        if not row.used or _is_of(row, packet, clock):
            chosen = i
            break
        if row.stamp_ns < table[chosen].stamp_ns:
            chosen = i
    row = table[chosen]
    row.src_hi, row.src_lo = packet.src_hi, packet.src_lo
    row.dst_hi, row.dst_lo = packet.dst_hi, packet.dst_lo
    row.id = packet.fragment_id
    row.fragment_proto = packet.fragment_proto
    row.stamp_ns = clock
    row.used = 1
    row.proto = packet.proto
    row.src_port, row.dst_port = packet.src_port, packet.dst_port
    row.src_key, row.dst_key = packet.src_key, packet.dst_key
    row.icmp_type, row.icmp_code = packet.icmp_type, packet.icmp_code


@compiled
def recall_first(table: Rows, packet: Any, clock: int, seed: np.uint64) -> None:
    """Give a later fragment what its first one knew; unknown stays unknown."""
    first = _set_of(packet, seed)
    for i in range(first, first + WAYS):
        row = table[i]
        if _is_of(row, packet, clock):
            packet.proto = row.proto
            packet.src_port, packet.dst_port = row.src_port, row.dst_port
            packet.src_key, packet.dst_key = row.src_key, row.dst_key
            packet.icmp_type, packet.icmp_code = row.icmp_type, row.icmp_code
            return
