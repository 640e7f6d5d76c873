"""A flow record's values to what `qwarden.formats.readers.pairing` joins to flows.

A record tells one way, or both (RFC 5103's reverse elements; the responder elements of firewalls), of a
flow or of a piece of it. Counts of a sampled exporter stay as they were exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qwarden.formats.flows import UNKNOWN
from qwarden.formats.listeners.netflow.sessions import Moment, State
from qwarden.formats.readers.fields import LATEST_NS, MOST, Malformed, wrong
from qwarden.formats.readers.rows import OneWay
from qwarden.formats.readers.tcpflags import ALL

Values = Mapping[str, Any]
"""A record by name of element: numbers, and addresses as bytes."""

_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_WITH_PORTS: Final = (6, 17, 132)
_MAPPED: Final = 0xFFFF << 32
_LOW_64: Final = (1 << 64) - 1

_MS, _US, _S = 1_000_000, 1_000, 1_000_000_000
_NTP_EPOCH_S: Final = 2_208_988_800
_AHEAD_NS: Final = 3600 * _S
"""A flow that ends later than that after its export is no flow."""

_SCALED: Final = (("Milliseconds", _MS), ("Seconds", _S))
_FRACTIONS: Final = ("Microseconds", "Nanoseconds")
_REVERSE_INITIATOR: Final = 2
"""`biflowDirection` of a record whose source is the responder (RFC 5103, 6.3)."""
_CREATED, _DENIED = 1, 3
"""Values of `firewallEvent`."""


def is_flow(values: Values) -> bool:
    """Whether a record is a whole flow; a firewall's note that one was created is not yet."""
    return values.get("firewallEvent") != _CREATED


def flow_record(values: Values, moment: Moment, state: State) -> OneWay:
    """Return what a record tells of a flow.

    Parameters
    ----------
    values : by name of element.
    moment : when its message was sent.
    state : of its exporter.

    Raises
    ------
    Malformed : a value is out of its range.
    """
    start, end = _times(values, moment, state)
    version, source, destination = _ends(values)
    number = values.get("protocolIdentifier", UNKNOWN)
    if number > 0xFF:
        raise wrong("protocolIdentifier", number, "at most 255")
    ports = values.get("sourceTransportPort", UNKNOWN), values.get("destinationTransportPort", UNKNOWN)
    if max(ports) > 0xFFFF:
        raise wrong("a port", max(ports), "at most 65535")
    kind = code = UNKNOWN
    if number in (_ICMP, _ICMPV6):
        kind, code = _icmp(values, number, ports[1])
    if number not in _WITH_PORTS:
        ports = UNKNOWN, UNKNOWN
    src, dst = (*source, ports[0]), (*destination, ports[1])
    out = (
        max(_count(values, "packetDeltaCount", "packetTotalCount", "initiatorPackets"), 0),
        max(_count(values, "octetDeltaCount", "octetTotalCount", "initiatorOctets"), 0),
        _flags(values, "tcpControlBits", number),
    )
    back = (
        _count(values, "-packetDeltaCount", "-packetTotalCount", "responderPackets"),
        _count(values, "-octetDeltaCount", "-octetTotalCount", "responderOctets"),
        _flags(values, "-tcpControlBits", number),
    )
    if values.get("biflowDirection") == _REVERSE_INITIATOR and back[0] > 0:
        src, dst, out, back = dst, src, back, out
    return OneWay(
        start, end, src, dst, version, number, *out, *back, kind, code,
        _positive(values, "sourceMacAddress"), _vlan(values), values.get("firewallEvent") == _DENIED,
    )  # fmt: skip


def _positive(values: Values, name: str) -> int:
    """Return a number that is unknown where it is 0."""
    return values.get(name, UNKNOWN) or UNKNOWN


def _count(values: Values, *names: str) -> int:
    for name in names:
        found: int = values.get(name, UNKNOWN)
        if found >= 0:
            if found > MOST:
                raise wrong(name.lstrip("-"), found, f"a whole number up to {MOST}")
            return found
    return UNKNOWN


def _vlan(values: Values) -> int:
    tag: int = max(values.get("dot1qVlanId", UNKNOWN), values.get("vlanId", UNKNOWN))
    return tag & 0xFFF or UNKNOWN if tag >= 0 else UNKNOWN


# Ends


def _ends(values: Values) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Return the IP version and both addresses in halves.

    Some exporters have one template for both versions and leave the other's addresses 0.
    """
    four: tuple[Any, Any] = values.get("sourceIPv4Address"), values.get("destinationIPv4Address")
    six: tuple[Any, Any] = values.get("sourceIPv6Address"), values.get("destinationIPv6Address")
    told = values.get("ipVersion", UNKNOWN)
    whole_four, whole_six = None not in four, None not in six
    if whole_four and whole_six and told not in (4, 6):
        told = 6 if not any(b"".join(four)) and any(b"".join(six)) else 4
    if whole_six and (told == 6 or not whole_four):
        return 6, _halves(six[0]), _halves(six[1])
    if whole_four:
        return 4, _halves(four[0]), _halves(four[1])
    raise Malformed("the record lacks an address")


def _halves(address: bytes) -> tuple[int, int]:
    number = int.from_bytes(address, "big")
    return (0, number | _MAPPED) if len(address) == 4 else (number >> 64, number & _LOW_64)


def _icmp(values: Values, number: int, port: int) -> tuple[int, int]:
    """Return type and code; version 5, and many after it, have them in the destination port."""
    version = "IPv4" if number == _ICMP else "IPv6"
    both = values.get(f"icmpTypeCode{version}", UNKNOWN)
    kind, code = values.get(f"icmpType{version}", UNKNOWN), values.get(f"icmpCode{version}", UNKNOWN)
    if kind < 0:
        both = both if both >= 0 else port
        kind, code = (both >> 8, both & 0xFF) if both >= 0 else (UNKNOWN, UNKNOWN)
    if kind > 0xFF or code > 0xFF:
        raise wrong("an ICMP type or code", max(kind, code), "at most 255")
    return kind, code


def _flags(values: Values, name: str, number: int) -> int:
    """Return the TCP flags a way showed, without those of congestion notification."""
    bits = values.get(name, UNKNOWN)
    return bits & ALL if bits >= 0 and number == _TCP else UNKNOWN


# Times


def _times(values: Values, moment: Moment, state: State) -> tuple[int, int]:
    """Return start and end, nanoseconds since the epoch.

    Without either, both are the moment of the export.
    """
    start, end = _time(values, "Start", moment, state), _time(values, "End", moment, state)
    lasted = _duration(values)
    if end < 0:
        observed = values.get("observationTimeMilliseconds", UNKNOWN)
        end = observed * _MS if observed >= 0 else -1
    if end < 0:
        end = start + lasted if start >= 0 and lasted >= 0 else max(start, 0) or moment.export_ns
    if start < 0:
        start = end - max(lasted, 0)
    if end < start:
        raise Malformed("the flow ends before it starts")
    if start < 0 or end > min(LATEST_NS, moment.export_ns + _AHEAD_NS):
        raise Malformed("the flow ends more than an hour after it was exported, or starts before 1970")
    return start, end


def _time(values: Values, which: str, moment: Moment, state: State) -> int:
    told: int
    for unit, scale in _SCALED:
        told = values.get(f"flow{which}{unit}", UNKNOWN)
        if told > 0:
            return told * scale
    for unit in _FRACTIONS:  # RFC 7011, 6.1.9 and 6.1.10: NTP's seconds and 2^-32 of them
        told = values.get(f"flow{which}{unit}", UNKNOWN)
        if told > 0:
            return ((told >> 32) - _NTP_EPOCH_S) * _S + (((told & 0xFFFFFFFF) * _S + (1 << 31)) >> 32)
    told = values.get(f"flow{which}DeltaMicroseconds", UNKNOWN)
    if told >= 0:
        return moment.export_ns - told * _US
    told = values.get(f"flow{which}SysUpTime", UNKNOWN)
    if told < 0:
        return -1
    if moment.uptime_ms >= 0:
        return moment.export_ns - since(moment.uptime_ms, told) * _MS
    init_ms = values.get("systemInitTimeMilliseconds", UNKNOWN)
    init_ms = init_ms if init_ms >= 0 else state.init_ms
    if init_ms < 0:
        return -1
    uptime_ms = moment.export_ns // _MS - init_ms
    return (init_ms + uptime_ms - since(uptime_ms, told)) * _MS


def since(uptime_ms: int, then_ms: int) -> int:
    """Return the milliseconds from one reading of an exporter's uptime to another.

    Both wrap after 49.7 days; of the two readings the nearer one is meant, so `then_ms` may also be a
    little ahead.

    >>> since(1000, 400), since(100, 0xFFFFFFFF), since(100, 103)
    (600, 101, -3)
    """
    passed = (uptime_ms - then_ms) & 0xFFFFFFFF
    return passed - (1 << 32) if passed > 0x7FFFFFFF else passed


def _duration(values: Values) -> int:
    told: int = values.get("flowDurationMilliseconds", UNKNOWN)
    if told >= 0:
        return told * _MS
    told = values.get("flowDurationMicroseconds", UNKNOWN)
    return told * _US if told >= 0 else -1
