"""Findings as EVE JSON: one alert a line, as Suricata writes them and EveBox reads them.

Field names are Suricata's (https://docs.suricata.io, EVE JSON format, event type alert); what EVE has
no name for stands under ``qwarden``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

SEVERITY: Final = {"critical": 1, "high": 1, "medium": 2, "low": 3, "info": 4}
"""EVE counts down: 1 is the gravest."""

_FIRST_SIGNATURE: Final = 9_100_000  # inside the range kept for local use
_PROTO: Final = {"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "IPv6-ICMP", "arp": "ARP"}


def eve_alert(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the EVE document of a finding (as `Finding.document` gives it)."""
    proto = str(finding["proto"])
    document: dict[str, Any] = {
        "timestamp": _timestamp(float(finding["time"])),
        "flow_id": int(str(finding["id"]).replace("-", "")[-12:], 16),
        "event_type": "alert",
        "src_ip": finding["src_ip"],
        "dest_ip": finding["dst_ip"],
        "proto": _PROTO.get(proto, proto.upper()),
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": _FIRST_SIGNATURE + zlib.crc32(str(finding["kind"]).encode()) % 10_000,
            "rev": 1,
            "signature": f"QWARDEN {finding['explanation']['title']}",
            "category": str(finding["kind"]).replace("_", " "),
            "severity": SEVERITY[finding["severity"]],
            "metadata": {"mitre_technique_id": [finding["technique"]]} if finding["technique"] else {},
        },
        "qwarden": dict(finding),
    }
    if finding["dst_port"] is not None:
        document["dest_port"] = finding["dst_port"]
    return document


def write_eve(stream: TextIO, finding: Mapping[str, Any]) -> None:
    """Write a finding as one line and flush it, so that a follower sees it at once."""
    stream.write(json.dumps(eve_alert(finding), ensure_ascii=False, allow_nan=False) + "\n")
    stream.flush()


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
