"""Community ID: one name for a flow in the logs of Zeek, Suricata, Elastic and ours.

Source: Community ID flow hashing, version 1 (https://github.com/corelight/community-id-spec); ICMP as
Zeek pairs it.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from ipaddress import ip_address
from typing import Final

_PORTS: Final = (6, 17, 132)
_PAIRS_4: Final = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 10: 9, 9: 10, 17: 18, 18: 17}
_PAIRS_6: Final = {
    128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130,
    144: 145, 145: 144, 139: 140, 140: 139,
}  # fmt: skip
"""ICMP types of request and answer, which make one flow."""


def community_id(
    proto: int, src: str, dst: str, src_port: int | None = None, dst_port: int | None = None, seed: int = 0
) -> str:
    """Return the Community ID of a flow; both directions have the same.

    Parameters
    ----------
    proto : IANA protocol number.
    src, dst : addresses of one version.
    src_port, dst_port : ports of TCP, UDP and SCTP; type and code of ICMP and ICMPv6; unused otherwise.
    seed : sets networks apart whose addresses coincide, 16 bits.

    Raises
    ------
    ValueError
        The protocol has ports and they are not given, or an address is none.

    Examples
    --------
    The specification's own (baseline of TCP):

    >>> community_id(6, "128.232.110.120", "66.35.250.204", 34855, 80)
    '1:LQU9qZlK+B5F3KDmev6m5PMibrg='
    """
    ends = ip_address(src).packed, ip_address(dst).packed
    tail = b""
    swap = ends[0] > ends[1]
    if proto in (1, 58, *_PORTS):
        if src_port is None or dst_port is None:
            raise ValueError(f"protocol {proto}: a flow of it has two ports, or type and code")
        ports = [src_port, dst_port]
        one_way = False
        if proto not in _PORTS:
            answer = (_PAIRS_4 if proto == 1 else _PAIRS_6).get(src_port)
            one_way = answer is None
            ports[1] = dst_port if answer is None else answer
        swap = not one_way and (ends[0], ports[0]) > (ends[1], ports[1])
        tail = struct.pack(">HH", *(reversed(ports) if swap else ports))
    if swap:
        ends = ends[1], ends[0]
    content = struct.pack(">H", seed) + ends[0] + ends[1] + struct.pack(">BB", proto, 0) + tail
    digest = hashlib.sha1(content, usedforsecurity=False).digest()
    return f"1:{base64.b64encode(digest).decode()}"
