"""Findings as OCSF events: Detection Finding, class 2004.

A finding that is told when it opens is created, and updated when it has ended; both carry one
``finding_info.uid``. What OCSF has no attribute for stands under ``unmapped``.

Source: Open Cybersecurity Schema Framework 1.5.0 (https://schema.ocsf.io/1.5.0/classes/detection_finding).
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
    milliseconds,
    protocol_number,
    renamed,
    spoken,
    text,
    title,
)

OCSF_VERSION: Final = "1.5.0"
CLASS: Final = 2004

_SEVERITY: Final = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
_ACTIVITY: Final = {"opened": (1, "Create"), "whole": (1, "Create"), "closed": (2, "Update")}
_IP_ADDRESS: Final = 2
_LEARNING: Final = 4
_MD5: Final = 1

_HASH: Final = re.compile(r"[0-9a-f]{32}")

_MAPPED: Final = frozenset(
    {"id", "time", "kind", "severity", "src_ip", "dst_ip", "src_port", "dst_port", "proto", "flows",
     "technique", "start", "end", "source"}
)  # fmt: skip


def ocsf_finding(
    finding: Mapping[str, Any], state: str = "whole", sensor: str | None = None
) -> dict[str, Any]:
    """Return the OCSF event of a finding; parameters as of `eve_alert`."""
    activity, activity_name = _ACTIVITY[state]
    severity = SEVERITY_RANK[finding["severity"]]
    start, end = milliseconds(float(finding["start"])), milliseconds(float(finding["end"]))
    document: dict[str, Any] = {
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity,
        "type_name": f"Detection Finding: {activity_name}",
        "time": milliseconds(float(finding["time"])),
        "start_time": start,
        "end_time": end,
        "duration": end - start,
        "timezone_offset": 0,
        "severity_id": severity,
        "severity": _SEVERITY[severity],
        "status_id": 1,
        "status": "New",
        "is_alert": state != "closed",
        "count": finding["flows"],
        "message": text(finding),
        "risk_score": int(float(finding["threat_score"]) * 100),
        "metadata": {
            "version": OCSF_VERSION,
            "product": {
                "name": PRODUCT,
                "vendor_name": PRODUCT,
                "version": VERSION,
                "feature": {"name": "detect"},
            },
            "uid": f"{finding['id']}/{state}",
            "log_name": "findings",
            **({"log_provider": sensor} if sensor else {}),
        },
        "finding_info": _finding_info(finding, start, end),
        "evidences": [_evidence(finding)],
        "observables": [
            {
                "name": f"evidences[0].{end}_endpoint.ip",
                "type_id": _IP_ADDRESS,
                "type": "IP Address",
                "value": finding[f"{end}_ip"],
            }
            for end in ("src", "dst")
        ],
        "unmapped": {"qwarden": {k: v for k, v in finding.items() if k not in _MAPPED} | {"state": state}},
    }
    return document


def _finding_info(finding: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    info: dict[str, Any] = {
        "uid": finding["id"],
        "title": title(finding),
        "desc": text(finding),
        "types": [finding["kind"]],
        "analytic": {
            "uid": finding["kind"],
            "name": title(finding),
            "type_id": _LEARNING,
            "type": "Learning (ML/DL)",
            "version": str(finding["explanation"].get("model", VERSION)),
        },
        "created_time": milliseconds(float(finding["time"])),
        "first_seen_time": start,
        "last_seen_time": end,
        "data_sources": [finding["source"]],
    }
    if known := attack.technique(finding["technique"]):
        info["attacks"] = [_attack(known)]
    return info


def _attack(known: attack.Technique) -> dict[str, Any]:
    id, name = known.parent or (known.id, known.name)
    entry: dict[str, Any] = {
        "technique": {"uid": id, "name": name, "src_url": attack.technique_url(id)},
        "version": "17",
    }
    if known.parent:
        entry["sub_technique"] = {"uid": known.id, "name": known.name, "src_url": known.url}
    if known.tactic:
        entry["tactic"] = {"uid": known.tactic.id, "name": known.tactic.name, "src_url": known.tactic.url}
    return entry


def _evidence(finding: Mapping[str, Any]) -> dict[str, Any]:
    proto, number = str(finding["proto"]), protocol_number(str(finding["proto"]))
    connection: dict[str, Any] = {
        "direction_id": 0,
        "direction": "Unknown",
        "protocol_name": "ipv6-icmp" if proto == "icmpv6" else proto,
        "protocol_ver_id": ip_version(finding),
    }
    if number is not None:
        connection["protocol_num"] = number
    if community := flow_community_id(finding):
        connection["community_uid"] = community
    return {
        "src_endpoint": _endpoint(finding["src_ip"], finding.get("src_port")),
        "dst_endpoint": _endpoint(finding["dst_ip"], finding["dst_port"]),
        "connection_info": connection,
        **_protocols(finding),
    }


def _protocols(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return what protocols said within its flows; what lacks an attribute that OCSF requires is left out."""
    said, found = spoken(finding), {}
    dns, http, tls = (said.get(protocol, {}) for protocol in ("dns", "http", "tls"))
    if "query" in dns:
        found["query"] = renamed(dns, {"query": "hostname", "type": "type"})
    if http:
        found["http_request"] = renamed(http, {"method": "http_method", "user_agent": "user_agent"})
        if "uri" in http:
            found["http_request"]["url"] = renamed(http, {"uri": "path", "host": "hostname"})
        if "status" in http:
            found["http_response"] = {"code": int(http["status"])}
    if "version" in tls:
        found["tls"] = renamed(tls, {"version": "version", "sni": "sni"})
        if _HASH.fullmatch(tls.get("ja3", "")):
            found["tls"]["ja3_hash"] = {"algorithm_id": _MD5, "algorithm": "MD5", "value": tls["ja3"]}
    return {name: values for name, values in found.items() if values}


def _endpoint(address: str, port: int | None) -> dict[str, Any]:
    return {"ip": address} if port is None else {"ip": address, "port": port}
