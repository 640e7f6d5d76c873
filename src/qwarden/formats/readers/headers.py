"""The header walker: from a captured packet to addresses, ports, lengths and flags.

Compiled, one pass, no copies. It trusts no length: every read is preceded by a comparison with the
end of the captured bytes, and a header that does not fit makes the packet malformed. Lengths that
are counted come from the headers, so a capture cut by its snap length counts like a whole one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qwarden.core.compiled import compiled
from qwarden.formats.flows import PROTO_ARP, UNKNOWN
from qwarden.formats.readers.bytes import Bytes, any32, be16, be32, be48, be64, u8
from qwarden.formats.readers.links import (
    COOKED_V1,
    COOKED_V2,
    ETHERNET,
    LOOP,
    NULL,
    RAW_IP,
    RAW_IPV4,
    RAW_IPV6,
)
from qwarden.formats.readers.packets import (
    BAD_LENGTH,
    BAD_TRANSPORT,
    BAD_VERSION,
    CUT_ARP,
    CUT_EXTENSION,
    CUT_IP,
    CUT_LINK,
    CUT_TRANSPORT,
    FIRST,
    FRAMED,
    LATER,
    MAX_PACKET,
    NOT_IP,
    PARSED,
    UNREAD_LINK,
    WHOLE,
    Packets,
)

# Address families of the BSD loopback header: IPv4 is one everywhere; IPv6 is that of Linux, of NetBSD and
# OpenBSD, of FreeBSD, of macOS.
_FAMILY_4, _FAMILIES_6 = 2, (10, 24, 28, 30)
_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_VLAN, _QINQ, _OLD_QINQ = 0x8100, 0x88A8, 0x9100
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _NO_NEXT, _DESTINATION, _MOBILITY = (
    0,
    43,
    44,
    51,
    59,
    60,
    135,
)
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_MAPPED = np.uint64(0xFFFF << 32)


@compiled
def walk(data: Bytes, packets: Packets, count: int) -> None:
    """Parse the first `count` of `packets`, whose bytes stand in `data`, and set their verdicts."""
    for i in range(count):
        packet = packets[i]
        if packet.verdict == FRAMED:
            packet.src_mac = UNKNOWN
            packet.dst_mac = UNKNOWN
            packet.vlan = UNKNOWN
            packet.verdict = _link(data, packet)


@compiled
def _link(data: Bytes, packet: Any) -> int:
    """Step over the link layer and its VLAN tags; return the packet's verdict."""
    at = packet.offset
    end = at + packet.caplen
    link = packet.link
    if link == ETHERNET:
        if end - at < 14:
            return CUT_LINK
        packet.dst_mac = be48(data, at)
        packet.src_mac = be48(data, at + 6)
        ethertype = be16(data, at + 12)
        at += 14
        # IEEE 802.3: below 1,536 the field is a length; IP may follow in a SNAP header (RFC 1042).
        if ethertype < 1536:
            if end - at < 8 or be32(data, at) != 0xAAAA0300 or be16(data, at + 4) != 0:
                return NOT_IP
            ethertype = be16(data, at + 6)
            at += 8
    elif link == COOKED_V1:
        if end - at < 16:
            return CUT_LINK
        if be16(data, at + 4) == 6:
            packet.src_mac = be48(data, at + 6)
        ethertype = be16(data, at + 14)
        at += 16
    elif link == COOKED_V2:
        if end - at < 20:
            return CUT_LINK
        if data[at + 11] == 6:
            packet.src_mac = be48(data, at + 12)
        ethertype = be16(data, at)
        at += 20
    elif link == RAW_IP:
        version = u8(data, at) >> 4
        if version != 4 and version != 6:
            return BAD_VERSION
        ethertype = _IPV4 if version == 4 else _IPV6
    elif link == RAW_IPV4:
        ethertype = _IPV4
    elif link == RAW_IPV6:
        ethertype = _IPV6
    elif link in (NULL, LOOP):
        if end - at < 4:
            return CUT_LINK
        family = be32(data, at)
        if link == NULL and family > 0xFFFF:
            # In the byte order of the machine that captured, which is told by families being small.
            family = any32(data, at, 0)
        if family == _FAMILY_4:
            ethertype = _IPV4
        elif family in _FAMILIES_6:
            ethertype = _IPV6
        else:
            return NOT_IP
        at += 4
    else:
        return UNREAD_LINK

    while ethertype in (_VLAN, _QINQ, _OLD_QINQ):
        if end - at < 4:
            return CUT_LINK
        packet.vlan = be16(data, at) & 0x0FFF
        ethertype = be16(data, at + 2)
        at += 4

    if ethertype == _IPV4:
        return _ipv4(data, at, end, packet)
    if ethertype == _IPV6:
        return _ipv6(data, at, end, packet)
    if ethertype == _ARP:
        return _arp(data, at, end, packet)
    return NOT_IP


@compiled
def _wire_length(at: int, packet: Any) -> int:
    """Return the bytes on the wire from `at` on; absurd wire lengths give way to the captured one."""
    length = packet.caplen
    if length < packet.wirelen <= MAX_PACKET:
        length = packet.wirelen
    return int(length - (at - packet.offset))


@compiled
def _ipv4(data: Bytes, at: int, end: int, packet: Any) -> int:
    """Read an IPv4 header (RFC 791) and what follows."""
    if end - at < 20:
        return CUT_IP
    if u8(data, at) >> 4 != 4:
        return BAD_VERSION
    header = (u8(data, at) & 0x0F) * 4
    if header < 20:
        return BAD_LENGTH
    if end - at < header:
        return CUT_IP
    total = be16(data, at + 2)
    if total == 0:  # left to the network card (segmentation offload)
        total = _wire_length(at, packet)
    if total < header:
        return BAD_LENGTH
    packet.ip_version = 4
    packet.src_hi = np.uint64(0)
    packet.dst_hi = np.uint64(0)
    packet.src_lo = _MAPPED | np.uint64(be32(data, at + 12))
    packet.dst_lo = _MAPPED | np.uint64(be32(data, at + 16))
    packet.ttl = data[at + 8]
    packet.bytes = total
    packet.extension = header - 20
    packet.fragment_id = be16(data, at + 4)
    fragmentation = be16(data, at + 6)
    proto = u8(data, at + 9)
    packet.fragment_proto = proto
    end = min(end, at + total)
    if fragmentation & 0x1FFF:
        return _later_fragment(total - header, proto, packet)
    packet.fragment = FIRST if fragmentation & 0x2000 else WHOLE
    return _upper_layer(data, at + header, end, total - header, proto, packet)


@compiled
def _ipv6(data: Bytes, at: int, end: int, packet: Any) -> int:
    """Read an IPv6 header (RFC 8200); the extension headers come with the upper layer."""
    if end - at < 40:
        return CUT_IP
    if u8(data, at) >> 4 != 6:
        return BAD_VERSION
    proto = u8(data, at + 6)
    total = be16(data, at + 4) + 40
    if total == 40 and proto != _NO_NEXT:  # jumbogram or segmentation offload
        total = _wire_length(at, packet)
    packet.ip_version = 6
    packet.src_hi = be64(data, at + 8)
    packet.src_lo = be64(data, at + 16)
    packet.dst_hi = be64(data, at + 24)
    packet.dst_lo = be64(data, at + 32)
    packet.ttl = data[at + 7]
    packet.bytes = total
    packet.extension = 0
    packet.fragment = WHOLE
    return _upper_layer(data, at + 40, min(end, at + total), total - 40, proto, packet)


@compiled
def _upper_layer(data: Bytes, at: int, end: int, length: int, proto: int, packet: Any) -> int:
    """Step over extension headers, then read the transport header.

    `length` is what the IP header leaves for them all; ``data[at:end]`` is what was captured of it.
    """
    version_6 = packet.ip_version == 6
    while True:
        if proto == _AUTHENTICATION:  # RFC 4302; also in IPv4
            if end - at < 12:
                return CUT_EXTENSION
            size = (u8(data, at + 1) + 2) * 4
        elif not version_6:
            break
        elif proto == _FRAGMENT:
            if end - at < 8:
                return CUT_EXTENSION
            size = 8
            offset_and_more = be16(data, at + 2)
            if offset_and_more & 0xFFF9:  # an atomic fragment (RFC 6946) is whole
                packet.fragment_id = be32(data, at + 4)
                packet.fragment_proto = data[at]
                if offset_and_more & 0xFFF8:
                    packet.extension += size
                    return _later_fragment(length - size, u8(data, at), packet)
                packet.fragment = FIRST
        elif proto in (_HOP_BY_HOP, _ROUTING, _DESTINATION, _MOBILITY):
            if end - at < 8:
                return CUT_EXTENSION
            size = (u8(data, at + 1) + 1) * 8
        else:
            break
        if size > end - at:
            return CUT_EXTENSION
        proto = u8(data, at)
        packet.extension += size
        at += size
        length -= size
    return _transport(data, at, end, length, proto, packet)


@compiled
def _later_fragment(length: int, proto: int, packet: Any) -> int:
    """Fill in a fragment that is not the first: it has no transport header."""
    packet.fragment = LATER
    _no_ports(proto, packet)
    packet.payload = length
    return PARSED


@compiled
def _no_ports(proto: int, packet: Any) -> None:
    packet.proto = proto
    packet.src_port = UNKNOWN
    packet.dst_port = UNKNOWN
    packet.src_key = UNKNOWN
    packet.dst_key = UNKNOWN
    packet.icmp_type = UNKNOWN
    packet.icmp_code = UNKNOWN
    packet.tcp_flags = UNKNOWN


@compiled
def _transport(data: Bytes, at: int, end: int, length: int, proto: int, packet: Any) -> int:
    """Read a transport header of which ``data[at:end]`` was captured; IP gives it `length` bytes.

    Tunnels (GRE, IP in IP) are not opened: their flow is that of the outer addresses.
    """
    _no_ports(proto, packet)
    packet.payload = length
    if proto == _TCP:
        if end - at < 20:
            return CUT_TRANSPORT
        header = (u8(data, at + 12) >> 4) * 4
        if header < 20 or header > length:
            return BAD_TRANSPORT
        packet.tcp_flags = data[at + 13] & 0x3F
        packet.payload = length - header
    elif proto == _UDP:
        if end - at < 8:
            return CUT_TRANSPORT
        if 0 < be16(data, at + 4) < 8:
            return BAD_TRANSPORT
        packet.payload = length - 8
    elif proto in (_ICMP, _ICMPV6):
        if end - at < 4:
            return CUT_TRANSPORT
        return _icmp(data, at, end, length, packet)
    else:
        return PARSED
    packet.src_port = be16(data, at)
    packet.dst_port = be16(data, at + 2)
    packet.src_key = packet.src_port
    packet.dst_key = packet.dst_port
    return PARSED


@compiled
def _request_type(proto: int, kind: int) -> int:
    """Return the request's type if ICMP type `kind` is one side of a request and reply, else -1."""
    if proto == _ICMPV6:
        return 128 if kind in (128, 129) else -1
    if kind in (0, 8):
        return 8
    if kind in (13, 14, 15, 16, 17, 18):  # time stamp, information, address mask (RFC 792, 950)
        return int(kind - (kind + 1) % 2)
    return -1


@compiled
def _icmp(data: Bytes, at: int, end: int, length: int, packet: Any) -> int:
    """Read ICMP (RFC 792) or ICMPv6 (RFC 4443); pairs of request and reply share a key."""
    kind, code = u8(data, at), u8(data, at + 1)
    packet.icmp_type = kind
    packet.icmp_code = code
    packet.payload = max(length - 8, 0)
    request = _request_type(packet.proto, kind)
    if request < 0:
        packet.src_key = (kind << 8) | code
    else:
        if end - at < 8:
            return CUT_TRANSPORT
        packet.src_key = (be16(data, at + 4) << 16) | (request << 8) | code
    packet.dst_key = packet.src_key
    return PARSED


@compiled
def _arp(data: Bytes, at: int, end: int, packet: Any) -> int:
    """Read ARP for IPv4 (RFC 826); other address families are no IP traffic."""
    if end - at < 8:
        return CUT_ARP
    hardware = u8(data, at + 4)
    if be16(data, at + 2) != _IPV4 or data[at + 5] != 4:
        return NOT_IP
    size = 8 + 2 * hardware + 8
    if end - at < size:
        return CUT_ARP
    opcode = be16(data, at + 6)
    _no_ports(PROTO_ARP, packet)
    packet.ip_version = 0
    packet.fragment = WHOLE
    packet.fragment_proto = PROTO_ARP
    packet.src_hi = np.uint64(0)
    packet.dst_hi = np.uint64(0)
    packet.src_lo = _MAPPED | np.uint64(be32(data, at + 8 + hardware))
    packet.dst_lo = _MAPPED | np.uint64(be32(data, at + 12 + 2 * hardware))
    packet.ttl = UNKNOWN
    packet.bytes = size
    packet.payload = 0
    packet.extension = 0
    packet.icmp_type = opcode
    # Requests are odd, their replies the next even number, in ARP, RARP and InARP (8 and 9: the
    # other way round).
    request = opcode - 1 if opcode in (2, 4, 9) else opcode
    packet.src_key = request
    packet.dst_key = request
    return PARSED
