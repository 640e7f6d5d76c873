"""What several writers need: times as text, names and numbers of protocols, who writes.

A *finding* is its document, as `qwarden detect --json` prints it and as the store keeps it.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

from qwarden import __version__
from qwarden.formats.transactions import first_of_each
from qwarden.formats.writers.community import community_id

PRODUCT: Final = "Qwarden"
VERSION: Final = __version__

PROTOCOL_NUMBERS: Final = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "icmpv6": 58}
"""IANA protocol numbers of the names that findings use; others are numbers already, and ARP has none."""

SEVERITY_RANK: Final = {"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
"""Severities in order, 5 the gravest."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(seconds: float) -> datetime:
    """Return seconds since the epoch as a time in UTC.

    >>> moment(1.25).isoformat()
    '1970-01-01T00:00:01.250000+00:00'
    """
    return _EPOCH + timedelta(microseconds=round(seconds * 1e6))


def zulu(seconds: float, digits: int = 6) -> str:
    """Return seconds since the epoch in RFC 3339 form, with 3 or 6 decimals, cut.

    >>> zulu(1_767_600_000.25, 3)
    '2026-01-05T08:00:00.250Z'
    """
    return moment(seconds).isoformat(timespec="milliseconds" if digits == 3 else "microseconds")[:-6] + "Z"


def milliseconds(seconds: float) -> int:
    """Return seconds since the epoch as whole milliseconds."""
    return (moment(seconds) - _EPOCH) // timedelta(milliseconds=1)


def made_at(id: str, otherwise: float) -> float:
    """Return when an id of version 7 was made, seconds since the epoch; `otherwise` for other ids.

    Source: RFC 9562 section 5.7 (48 bits of milliseconds).

    >>> made_at("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", 0.0)
    1645557742.0
    """
    try:
        parsed = uuid.UUID(id)
    except ValueError:
        return otherwise
    return (parsed.int >> 80) / 1000 if parsed.version == 7 else otherwise


def protocol_number(proto: str) -> int | None:
    """Return the IANA number of a finding's protocol, None for what does not run over IP.

    >>> protocol_number("tcp"), protocol_number("132"), protocol_number("arp")
    (6, 132, None)
    """
    number = int(proto) if proto.isdecimal() else PROTOCOL_NUMBERS.get(proto)
    return number if number is not None and number < 256 else None


def ip_version(finding: Mapping[str, Any]) -> int:
    """Return 4 or 6."""
    return ip_address(str(finding["src_ip"])).version


def title(finding: Mapping[str, Any]) -> str:
    """Return how the finding is called in words."""
    return str(finding["explanation"].get("title", finding["kind"]))


def text(finding: Mapping[str, Any]) -> str:
    """Return why it was raised, in a sentence."""
    return str(finding["explanation"].get("text", title(finding)))


def percent(score: float) -> float:
    """Return a score in [0, 1] as a percentage to three places, cut: no finding is certain.

    >>> percent(0.9999977)
    99.999
    """
    return math.floor(score * 1e5) / 1e3


def spoken(finding: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what protocols said within the finding's flows: of each protocol the first transaction.

    All of them are in the finding's context; the formats have room for one.
    """
    return first_of_each(finding.get("context", {}).get("transactions", ()))


def renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return those of the values that `names` names, under the names that it gives them.

    >>> renamed({"sni": "a.example", "ja3": "00ff"}, {"sni": "server_name", "version": "version"})
    {'server_name': 'a.example'}
    """
    return {new: values[old] for old, new in names.items() if old in values}


def flow_community_id(finding: Mapping[str, Any]) -> str | None:
    """Return the Community ID of the flow that a finding is made of; None if it is made of several.

    TCP, UDP and SCTP take both ports, ICMP its type and code; a finding has ``src_port`` (``icmp_type``,
    ``icmp_code``) only if all its flows share it.
    """
    number = protocol_number(str(finding["proto"]))
    if number is None:
        return None
    if number in (1, 58):
        ends = finding.get("icmp_type"), finding.get("icmp_code")
    else:
        ends = finding.get("src_port"), finding.get("dst_port")
    if number in (1, 6, 17, 58, 132) and None in ends:
        return None
    if any(finding.get(name, 1) > 1 for name in ("sources", "destinations", "ports")):
        return None
    return community_id(number, str(finding["src_ip"]), str(finding["dst_ip"]), ends[0], ends[1])
