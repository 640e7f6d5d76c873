"""How much payload there was, where only bytes and packets were counted.

Headers have no fixed length, so what is left of the bytes lies between two bounds. Where these are
close the middle is taken; else it stays unknown.
"""

from __future__ import annotations

from typing import Final

from qwarden.formats.flows import UNKNOWN

_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_IP: Final = {4: 20, 6: 40}
_SHORTEST_TCP, _USUAL_TCP, _SYN_OPTIONS = 20, 32, 40
_CLOSE: Final = 0.75
"""The lower bound must be so much of the upper one: the middle is then off by a seventh at most."""


def payload_of(counted: int, packets: int, version: int, proto: int, link: int = 0) -> int:
    """Return the payload of one way, `UNKNOWN` where its bounds are too far apart.

    Parameters
    ----------
    counted, packets : bytes and packets of that way.
    version, proto : of IP; IANA number.
    link : bytes of a link layer that may, but need not, have been counted with each packet.

    A TCP header is taken to have 20 bytes, or 32 with time stamps, and a SYN at most 40 bytes of options
    (RFC 9293, 3.1; RFC 7323); UDP and ICMP headers have 8. IPv4 options and IPv6 extension headers are
    rare and count as payload.

    >>> payload_of(76, 1, 4, 17), payload_of(1_040_000, 1000, 4, 6), payload_of(300, 5, 4, 6)
    (48, 993980, -1)
    """
    if packets == 0:
        return 0
    if counted < 0 or packets < 0 or version not in _IP:
        return UNKNOWN
    if proto == _TCP:
        short, long, once = _SHORTEST_TCP, _USUAL_TCP, _SYN_OPTIONS
    elif proto in (_UDP, _ICMP, _ICMPV6):
        short, long, once = 8, 8, 0
    else:
        return UNKNOWN
    most = counted - packets * (_IP[version] + short)
    least = max(0, counted - packets * (_IP[version] + long + link) - once)
    if most <= 0:
        return 0
    return (least + most) // 2 if least >= _CLOSE * most else UNKNOWN
