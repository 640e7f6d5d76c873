"""The packet record: what framing and the header walker hand to the flow meter.

One row a packet, refilled chunk after chunk. Framing writes the first block of columns, the header
walker the second, the meter reads both. `verdict` says how far a packet came.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

CHUNK: Final = 2048
"""Packets a chunk: the records then stay in a core's second-level cache."""

MAX_PACKET: Final = 262_144
"""Longest captured packet, as libpcap's MAXIMUM_SNAPLEN; a longer one means the framing is lost."""

PACKET: Final = np.dtype(
    [
        # Framing.
        ("at", np.int64),  # byte position of the record in the (uncompressed) capture
        ("offset", np.int64),  # first captured byte in the buffer
        ("caplen", np.int64),
        ("wirelen", np.int64),  # bytes the packet had on the wire
        ("ts_ns", np.int64),
        ("link", np.int64),  # link type
        ("verdict", np.int64),
        # Header walker.
        ("src_hi", np.uint64), ("src_lo", np.uint64),
        ("dst_hi", np.uint64), ("dst_lo", np.uint64),
        ("src_mac", np.int64), ("dst_mac", np.int64),
        # What tells flows between two addresses apart: ports, or the ICMP exchange, or the ARP one.
        ("src_key", np.int64), ("dst_key", np.int64),
        ("bytes", np.int64),  # network layer, headers included
        ("payload", np.int64),  # transport payload
        ("extension", np.int64),  # IPv6 extension headers, IPv4 options
        ("fragment_id", np.int64),
        ("fragment", np.int32),  # WHOLE, FIRST or LATER
        ("fragment_proto", np.int32),  # protocol the IP (fragment) header names
        ("proto", np.int32),
        ("src_port", np.int32), ("dst_port", np.int32),
        ("icmp_type", np.int32), ("icmp_code", np.int32),
        ("vlan", np.int32),
        ("ip_version", np.int32),
        ("ttl", np.int32),
        ("tcp_flags", np.int32),  # -1 without a TCP header
    ],
    align=True,
)  # fmt: skip

Packets = npt.NDArray[np.void]
"""A one-dimensional array of dtype `PACKET`."""

WHOLE, FIRST, LATER = range(3)
"""Values of `fragment`."""

# Verdicts. FRAMED is framing's; the walker turns it into one of the others.
FRAMED, PARSED, NOT_IP, UNREAD_LINK = range(4)
NO_BYTES, BAD_BLOCK, NO_INTERFACE, CUT_LINK, CUT_IP, BAD_VERSION, BAD_LENGTH, CUT_EXTENSION, CUT_TRANSPORT, \
    BAD_TRANSPORT, CUT_ARP = range(4, 15)  # fmt: skip
VERDICTS: Final = 15

FIRST_MALFORMED: Final = NO_BYTES

MALFORMED_TEXT: Final = {
    NO_BYTES: "the packet has no bytes",
    BAD_BLOCK: "the packet does not fit its block",
    NO_INTERFACE: "the packet names an interface that no block describes",
    CUT_LINK: "the link-layer header is cut",
    CUT_IP: "the IP header is cut",
    BAD_VERSION: "the IP version is neither the 4 nor the 6 announced",
    BAD_LENGTH: "the IP header's lengths contradict each other",
    CUT_EXTENSION: "an IPv6 extension header runs past the packet",
    CUT_TRANSPORT: "the transport header is cut",
    BAD_TRANSPORT: "the transport header's length is impossible",
    CUT_ARP: "the ARP message is cut",
}
"""What is wrong with a malformed packet, in words."""
