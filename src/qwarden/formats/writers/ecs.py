"""Findings as documents of the Elastic Common Schema: an alert that Elastic and OpenSearch index as it is.

What the schema has no field for stands under ``qwarden``, as it asks of custom fields.

Source: Elastic Common Schema 9.4 (https://www.elastic.co/docs/reference/ecs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from qwarden.formats.writers import attack
from qwarden.formats.writers.fields import (
    PRODUCT,
    SEVERITY_RANK,
    VERSION,
    flow_community_id,
    ip_version,
    percent,
    protocol_number,
    renamed,
    spoken,
    text,
    title,
    zulu,
)

ECS_VERSION: Final = "9.4.0"

_TRANSPORT: Final = {"tcp": "tcp", "udp": "udp", "icmp": "icmp", "icmpv6": "ipv6-icmp", "132": "sctp"}
_TLS: Final = re.compile(r"(TLS|SSL) ?v?(\d)\.?(\d)?")
"""Versions as Zeek and Suricata write them: TLSv12, TLS 1.2, SSLv3."""
_ACTION: Final = {"opened": "finding-opened", "closed": "finding-closed", "whole": "finding"}


def ecs_alert(finding: Mapping[str, Any], state: str = "whole", sensor: str | None = None) -> dict[str, Any]:
    """Return the ECS document of a finding; parameters as of `eve_alert`."""
    document: dict[str, Any] = {
        "@timestamp": zulu(float(finding["time"]), 3),
        "ecs": {"version": ECS_VERSION},
        "message": f"{title(finding)}: {finding['src_ip']} to {finding['dst_ip']}",
        "event": {
            "kind": "alert",
            "category": ["network", "intrusion_detection"],
            "type": ["info"],
            "action": _ACTION[state],
            "id": finding["id"],
            "code": finding["kind"],
            "module": "qwarden",
            "dataset": "qwarden.finding",
            "provider": "detect",
            "severity": SEVERITY_RANK[finding["severity"]],
            "risk_score": percent(float(finding["threat_score"])),
            "start": zulu(float(finding["start"]), 3),
            "end": zulu(float(finding["end"]), 3),
            "duration": round((float(finding["end"]) - float(finding["start"])) * 1e9),
            "reason": text(finding),
        },
        "rule": {
            "id": finding["kind"],
            "name": title(finding),
            "category": str(finding["kind"]).replace("_", " "),
            "ruleset": "qwarden",
            "version": str(finding["explanation"].get("model", VERSION)),
        },
        "source": _end(finding["src_ip"], finding.get("src_port")),
        "destination": _end(finding["dst_ip"], finding["dst_port"]),
        "network": _network(finding),
        "related": {"ip": sorted({str(finding["src_ip"]), str(finding["dst_ip"])})},
        "observer": {"vendor": PRODUCT, "product": PRODUCT, "type": "ids", "version": VERSION},
        "qwarden": {**finding, "state": state},
    }
    if sensor:
        document["observer"]["hostname"] = sensor
    if known := attack.technique(finding["technique"]):
        document["threat"] = _threat(known)
    return document | _protocols(finding)


def _protocols(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return what protocols said within its flows."""
    said, found = spoken(finding), {}
    if dns := said.get("dns"):
        found["dns"] = renamed(dns, {"rcode": "response_code"})
        if question := renamed(dns, {"query": "name", "type": "type"}):
            found["dns"]["question"] = question
    if http := said.get("http"):
        found["url"] = renamed(http, {"host": "domain", "uri": "original"})
        found["user_agent"] = renamed(http, {"user_agent": "original"})
        method, status = http.get("method"), http.get("status")
        found["http"] = ({"request": {"method": method}} if method else {}) | (
            {"response": {"status_code": int(status)}} if status else {}
        )
    if tls := said.get("tls"):
        client = renamed(tls, {"sni": "server_name", "ja3": "ja3"})
        found["tls"] = {"client": client} if client else {}
        if version := _TLS.fullmatch(tls.get("version", "")):
            found["tls"] |= {
                "version_protocol": version[1].lower(),
                "version": f"{version[2]}.{version[3] or 0}",
            }
    return {name: values for name, values in found.items() if values}


def _end(address: str, port: int | None) -> dict[str, Any]:
    end: dict[str, Any] = {"address": address, "ip": address}
    return end if port is None else {**end, "port": port}


def _network(finding: Mapping[str, Any]) -> dict[str, Any]:
    proto = str(finding["proto"])
    network: dict[str, Any] = {
        "type": "arp" if proto == "arp" else f"ipv{ip_version(finding)}",
        "bytes": finding["bytes"],
        "packets": finding["packets"],
    }
    if proto in _TRANSPORT:
        network["transport"] = _TRANSPORT[proto]
    if (number := protocol_number(proto)) is not None:
        network["iana_number"] = str(number)
    if community := flow_community_id(finding):
        network["community_id"] = community
    return network


def _threat(known: attack.Technique) -> dict[str, Any]:
    id, name = known.parent or (known.id, known.name)
    technique: dict[str, Any] = {"id": [id], "name": [name], "reference": [attack.technique_url(id)]}
    if known.parent:
        technique["subtechnique"] = {"id": [known.id], "name": [known.name], "reference": [known.url]}
    threat: dict[str, Any] = {"framework": attack.FRAMEWORK, "technique": technique}
    if known.tactic:
        tactic = known.tactic
        threat["tactic"] = {"id": [tactic.id], "name": [tactic.name], "reference": [tactic.url]}
    return threat
