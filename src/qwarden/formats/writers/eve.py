"""Findings as EVE JSON: one alert a line, as Suricata writes them and EveBox reads them.

Field names and types are Suricata's (etc/schema.json of its sources; docs.suricata.io, EVE JSON format,
event type alert); what EVE has no name for stands under ``qwarden``, the one field of ours.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final, TextIO

from qwarden.formats.writers.attack import technique
from qwarden.formats.writers.fields import flow_community_id, ip_version, moment, renamed, spoken, title

SEVERITY: Final = {"critical": 1, "high": 1, "medium": 2, "low": 3, "info": 4}
"""EVE counts down: 1 is the gravest."""

_FIRST_SIGNATURE: Final = 9_100_000  # inside the range kept for local use
_PROTO: Final = {
    "tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "IPv6-ICMP", "arp": "ARP", "2": "IGMP",
    "4": "IP-in-IP", "41": "IPv6", "47": "GRE", "50": "ESP", "51": "AH", "132": "SCTP",
}  # fmt: skip
_HTTP: Final = {"host": "hostname", "uri": "url", "user_agent": "http_user_agent", "method": "http_method"}
_SEVERITY_NAMES: Final = {
    "critical": "Critical", "high": "Major", "medium": "Minor", "low": "Minor", "info": "Informational",
}  # fmt: skip


def eve_alert(finding: Mapping[str, Any], state: str = "whole", sensor: str | None = None) -> dict[str, Any]:
    """Return the EVE document of a finding.

    Parameters
    ----------
    finding : its document.
    state : ``opened`` while it grows, ``closed`` when it has ended, ``whole`` if it is told only once.
    sensor : name of the sensor, EVE's ``host``.
    """
    proto = str(finding["proto"])
    document: dict[str, Any] = {
        "timestamp": _timestamp(float(finding["time"])),
        "flow_id": int(str(finding["id"]).replace("-", "")[-12:], 16),
        "event_type": "alert",
        "src_ip": finding["src_ip"],
        "dest_ip": finding["dst_ip"],
        "proto": _PROTO.get(proto, proto.upper()),
        "ip_v": ip_version(finding),
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": signature_id(str(finding["kind"])),
            "rev": 1,
            "signature": f"QWARDEN {title(finding)}",
            "category": str(finding["kind"]).replace("_", " "),
            "severity": SEVERITY[finding["severity"]],
            "metadata": _metadata(finding),
        },
        "direction": "to_server",
        "flow": {
            "start": _timestamp(float(finding.get("start", finding["time"]))),
            "src_ip": finding["src_ip"],
            "dest_ip": finding["dst_ip"],
        },
        "qwarden": {**finding, "state": state},
    }
    ports = {"src_port": finding.get("src_port"), "dest_port": finding["dst_port"]}
    known = {name: port for name, port in ports.items() if port is not None}
    document |= known
    document["flow"] |= known
    if sensor:
        document["host"] = sensor
    if community := flow_community_id(finding):
        document["community_id"] = community
    return document | _protocols(finding)


def signature_id(kind: str) -> int:
    """Return the signature id of a kind of finding: always the same, and of no rule set in circulation."""
    return _FIRST_SIGNATURE + zlib.crc32(kind.encode()) % 10_000


def write_eve(stream: TextIO, finding: Mapping[str, Any]) -> None:
    """Write a finding as one line and flush it, so that a follower sees it at once."""
    stream.write(json.dumps(eve_alert(finding), ensure_ascii=False, allow_nan=False) + "\n")
    stream.flush()


def _metadata(finding: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the keys that rule sets use; each value is a list of texts."""
    metadata = {"signature_severity": [_SEVERITY_NAMES[finding["severity"]]]}
    if known := technique(finding["technique"]):
        metadata["mitre_technique_id"] = [known.id]
        metadata["mitre_technique_name"] = [known.name]
        if known.tactic:
            metadata["mitre_tactic_id"] = [known.tactic.id]
            metadata["mitre_tactic_name"] = [known.tactic.name]
    return metadata


def _protocols(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return what protocols said, as Suricata's alerts tell it (DNS by version 3 of its form)."""
    said, found = spoken(finding), {}
    if dns := said.get("dns"):
        asked = renamed(dns, {"query": "rrname", "type": "rrtype"})
        found["dns"] = {
            "version": 3,
            "type": "request",
            "queries": [asked],
            **renamed(dns, {"rcode": "rcode"}),
        }
    if http := said.get("http"):
        found["http"] = renamed(http, _HTTP)
        if "status" in http:
            found["http"]["status"] = int(http["status"])
    if tls := said.get("tls"):
        found["tls"] = renamed(tls, {"sni": "sni", "version": "version"})
        if "ja3" in tls:
            found["tls"]["ja3"] = {"hash": tls["ja3"]}
    found = {protocol: values for protocol, values in found.items() if values}
    return found | ({"app_proto": next(iter(found))} if len(found) == 1 else {})


def _timestamp(seconds: float) -> str:
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
