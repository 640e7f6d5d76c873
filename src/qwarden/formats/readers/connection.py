"""A connection as Zeek's conn.log tells it, to a row.

Source: Zeek's ``base/protocols/conn/main.zeek``, which defines the fields. What a field does not tell
stays unknown, with three things that the definition makes certain: without a duration, first and last
packet are one moment; without the letter ``d``, a history saw no payload that way; an ICMP "port" is a
type, a code, or the type of the answer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from qwarden.formats.flows import TCP_STATES, UNKNOWN
from qwarden.formats.readers.fields import LATEST_NS, Malformed, protocol, wrong
from qwarden.formats.readers.rows import EVERY, NO_FLAGS, Row

_TCP, _UDP, _ICMP, _ICMPV6, _SCTP = 6, 17, 1, 58, 132
_WITH_PORTS: Final = (_TCP, _UDP, _SCTP)
_STATES: Final = {name: number for number, name in enumerate(TCP_STATES)}
_LONGEST_REMEMBERED: Final = 64  # letters of a history

# Types whose counterpart Zeek writes in the place of the code: requests and their replies (RFC 792, 1256,
# 950, 4443, 4861, 4620, 6275).
_PAIRS_4: Final = ((0, 8), (9, 10), (13, 14), (15, 16), (17, 18))
_PAIRS_6: Final = ((128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145), (146, 147))
COUNTERPART: Final = {
    version: {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    for version, pairs in ((4, _PAIRS_4), (6, _PAIRS_6))
}

End = tuple[tuple[int, int, int], int]
"""One end: both halves of its address and its IP version; its port."""


def connection_row(
    start: int,
    duration: int,
    orig: End,
    resp: End,
    proto: tuple[str, int],
    state: str,
    history: str,
    packets: tuple[int, int],
    sizes: tuple[int, int],
    payloads: tuple[int, int],
    vlans: tuple[int, int],
    mac: int,
) -> Row:
    """Return the row of a connection.

    Parameters
    ----------
    start, duration : nanoseconds; 0 without a duration.
    orig, resp : its ends.
    proto : name and, where logged, number of the protocol (``ip_proto``).
    state, history : as Zeek writes them; empty where unset.
    packets, sizes, payloads : of originator and responder, `UNKNOWN` where unset.
    vlans : outer and inner id.
    mac : hardware address of the originator.

    Raises
    ------
    Malformed : a value is out of its range.
    """
    (src_hi, src_lo, version), src_port = orig
    (dst_hi, dst_lo, other_version), dst_port = resp
    if version != other_version:
        raise Malformed("the addresses are of two IP versions")
    if start + duration > LATEST_NS:
        raise wrong("duration", duration / 1e9, "an end before the year 2116")
    if src_port > 0xFFFF or dst_port > 0xFFFF:
        raise wrong("a port", max(src_port, dst_port), "at most 65535")
    name, number = proto
    if number > 0xFF:
        raise wrong("ip_proto", number, "at most 255")
    if name == "icmp":
        number = _ICMP if version == 4 else _ICMPV6
    elif number < 0:
        number = protocol(name)
    kind = code = UNKNOWN
    if number in (_ICMP, _ICMPV6):
        kind, code = _icmp(version, src_port, dst_port)
    if number not in _WITH_PORTS:
        src_port = dst_port = UNKNOWN
    if max(vlans) > 0xFFF:
        raise wrong("vlan", max(vlans), "a VLAN id")
    outer, inner = vlans
    out, back = payloads
    tcp_state = UNKNOWN
    flags = NO_FLAGS + NO_FLAGS
    if number == _TCP:
        tcp_state = _STATES.get(state, UNKNOWN)
        if state and tcp_state < 0:
            raise wrong("conn_state", state, "one of " + ", ".join(TCP_STATES))
    if history and number in (_TCP, _UDP):
        told, quiet = (_history if len(history) <= _LONGEST_REMEMBERED else _history.__wrapped__)(history)
        if number == _TCP:
            flags = told
        out = 0 if out < 0 and quiet[0] else out
        back = 0 if back < 0 and quiet[1] else back
    return (
        start, start + duration, src_hi, src_lo, dst_hi, dst_lo, version, number,
        src_port, dst_port, kind, code, mac, inner if inner >= 0 else outer, tcp_state,
        *packets, *sizes, out, back, *flags,
    )  # fmt: skip


def _icmp(version: int, kind: int, second: int) -> tuple[int, int]:
    """Return type and code; the code is not told where `second` is the type of the answer."""
    if kind > 0xFF or second > 0xFF:
        raise wrong("an ICMP type or code", max(kind, second), "at most 255")
    answered = second > 0 and COUNTERPART[version].get(kind) == second
    return kind, UNKNOWN if answered else second


@lru_cache(maxsize=1 << 12)
def _history(history: str) -> tuple[tuple[int, ...], tuple[bool, bool]]:
    """Return the flag counts of a TCP history, both ways, and which way was without payload.

    Upper case is the originator's. A letter comes again only when sequence numbers differ, so it counts at
    least so many packets; a single letter is all that way did. Packets with a bad checksum (c) are not
    looked into, and x says that Zeek looked away.
    """
    shown = set(history)
    away = bool(shown & {"x", "X"})
    told: tuple[int, ...] = ()
    quiet = []
    for letters in (set(filter(str.isupper, shown)), set(filter(str.islower, shown))):
        kinds = {letter.lower() for letter in letters}
        vague = away or "c" in kinds
        told += _flags({letter.lower(): history.count(letter) for letter in letters}, vague)
        quiet.append(not vague and not kinds & set("dtgi"))
    return told, (quiet[0], quiet[1])


def _flags(letters: dict[str, int], vague: bool) -> tuple[int, ...]:
    """Return counts of fin, syn, rst, psh, ack and urg, from how often each letter came."""
    counts = []
    for flag, shown_by in (("f", "fi"), ("s", "sh"), ("r", "ri")):
        seen = sum(letters.get(letter, 0) for letter in shown_by)
        if not vague and len(letters) == 1 and seen:
            counts.append(EVERY)
        elif seen == 0 and (vague or ("q" in letters and flag != "s")):
            counts.append(UNKNOWN)
        else:
            counts.append(seen + ("q" in letters and flag == "s"))
    return (*counts, UNKNOWN, UNKNOWN, UNKNOWN)
