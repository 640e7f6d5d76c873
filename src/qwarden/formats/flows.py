"""The canonical flow: one row a bidirectional flow, whatever it was read from.

Every reader yields arrays of `FLOW`; every model, window and writer takes them. `src` is the
initiator (who sent the first packet, or the SYN), `dst` the responder; `out` counts what the
initiator sent, `in` what it got back.

Unknown stays unknown, never 0: ``nan`` in float columns, ``-1`` in integer columns. A source that
cannot know a column (a Zeek log has no inter-arrival times) leaves it so; models see a missing-value
indicator beside a neutral angle.

Addresses are 128-bit in two unsigned halves; IPv4 is mapped (``::ffff:a.b.c.d``, RFC 4291 2.5.5.2);
`ip_version` says which it was (4, 6, or 0 for ARP, whose addresses are IPv4 protocol addresses).
Times are integer nanoseconds since the epoch in traffic time.
"""

from __future__ import annotations

import ipaddress
from typing import Final

import numpy as np
import numpy.typing as npt

PROTO_ARP: Final = 0x0806
"""`proto` of an ARP exchange: its EtherType, outside the IANA protocol range."""

UNKNOWN: Final = -1

# End reasons (column `end_reason`).
END_IDLE, END_ACTIVE, END_TCP_CLOSED, END_EVICTED, END_OF_INPUT = range(5)
NOT_YET_FIRST, NOT_YET_AGAIN = 5, 6
"""The flow has not ended: a report on its way, the first of it or a later one. Its end comes apart."""

# Zeek's connection states (https://docs.zeek.org, conn.log, conn_state), column `tcp_state`.
TCP_STATES: Final = (
    "S0", "S1", "SF", "REJ", "S2", "S3", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR", "OTH",
)  # fmt: skip

PAUSE_S: Final = 0.5
"""A flow pauses when neither end sends for so long: longer than a round trip, shorter than a heartbeat."""

FLAG_NAMES: Final = ("fin", "syn", "rst", "psh", "ack", "urg")

FLOW: Final = np.dtype(
    [
        ("seq", "<i8"),  # number of the flow within its source, in order of its first packet
        ("start_ns", "<i8"),
        ("end_ns", "<i8"),
        ("src_hi", "<u8"), ("src_lo", "<u8"),
        ("dst_hi", "<u8"), ("dst_lo", "<u8"),
        ("src_mac", "<i8"),  # 48-bit, of the first packet
        ("proto", "<i4"),  # IANA protocol number, or PROTO_ARP
        ("src_port", "<i4"), ("dst_port", "<i4"),
        ("icmp_type", "<i4"), ("icmp_code", "<i4"),  # ICMP and ICMPv6; ARP: opcode in icmp_type
        ("vlan", "<i4"),  # innermost VLAN id
        ("ip_version", "<i4"),
        ("tcp_state", "<i4"),  # index into TCP_STATES
        ("end_reason", "<i4"),
        ("packets_out", "<i8"), ("packets_in", "<i8"),
        ("bytes_out", "<i8"), ("bytes_in", "<i8"),  # network layer, headers included
        ("payload_out", "<i8"), ("payload_in", "<i8"),  # transport payload
        ("ext_header_bytes", "<i8"),  # IPv6 extension headers, IPv4 options
        ("fragments", "<i8"),
        ("ttl_out", "<i4"), ("ttl_in", "<i4"),  # lowest seen
        *[(f"{flag}_{way}", "<i8") for way in ("out", "in") for flag in FLAG_NAMES],
        *[(f"iat_{stat}_{way}", "<f8") for way in ("out", "in") for stat in ("mean", "std", "max")],
        *[(f"size_{stat}_{way}", "<f8") for way in ("out", "in") for stat in ("mean", "std", "max")],
        ("pauses", "<i8"),  # silences of PAUSE_S or more, whoever ended them
        ("pause_mean", "<f8"), ("pause_std", "<f8"),
    ]
)  # fmt: skip
"""Inter-arrival times (`iat_*`) in seconds, `nan` below two packets that way; `size_*` are of the
transport payload a packet in bytes, `nan` without a packet; `pause_*` in seconds, `nan` without a pause;
`std` is the population's."""

Flows = npt.NDArray[np.void]
"""A one-dimensional array of dtype `FLOW`."""

_MAPPED: Final = 0xFFFF << 32


def unknown_flows(count: int) -> Flows:
    """Return `count` flows whose every column is unknown.

    >>> row = unknown_flows(1)[0]
    >>> int(row["bytes_in"]), bool(np.isnan(row["iat_mean_out"])), int(row["src_lo"])
    (-1, True, 0)
    """
    flows = np.zeros(count, FLOW)
    for name in FLOW.names or ():
        kind = FLOW[name].kind
        if kind == "i":
            flows[name] = UNKNOWN
        elif kind == "f":
            flows[name] = np.nan
    return flows


def split_address(text: str) -> tuple[int, int]:
    """Return an address as the two halves the columns hold.

    >>> split_address("10.0.0.1") == (0, 0xFFFF0A000001)
    True
    """
    address = ipaddress.ip_address(text)
    value = int(address) if address.version == 6 else int(address) | _MAPPED
    return value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF


def join_address(hi: int, lo: int) -> str:
    """Return the text form of an address held in two halves.

    >>> join_address(*split_address("2001:db8::1")), join_address(*split_address("10.0.0.1"))
    ('2001:db8::1', '10.0.0.1')
    """
    hi, lo = int(hi), int(lo)
    if hi == 0 and lo >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(lo & 0xFFFF_FFFF))
    return str(ipaddress.IPv6Address(hi << 64 | lo))


def proto_name(proto: int) -> str:
    """Return the field's short name of a protocol number.

    >>> proto_name(6), proto_name(PROTO_ARP), proto_name(132)
    ('tcp', 'arp', '132')
    """
    names = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", PROTO_ARP: "arp"}
    return names.get(int(proto), str(int(proto)))
