"""Findings as STIX 2.1: what was seen, which technique it shows, and what was said about it.

A finding becomes: an identity (Qwarden), the addresses and their traffic, observed data, a sighting of
an ATT&CK technique, and a note with the explanation. Ids are made from what they name, so exporting a
finding twice gives the same objects and not copies of them; a later state of it has a later
``modified``.

Source: STIX 2.1 (OASIS Standard, 10 June 2021), sections 2.9 (identifiers), 4.1, 4.5, 4.12, 4.14, 5.2,
6.8, 6.9 and 6.12. Observables take the namespace of section 2.9, objects one of our own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from qwarden.core.files import canonical_text
from qwarden.formats.writers import attack
from qwarden.formats.writers.fields import PRODUCT, made_at, percent, protocol_number, text, title, zulu

OBSERVABLES: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""Namespace of observables' ids (section 2.9)."""

OURS: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "qwarden.invalid")
"""Namespace of our own objects' ids; section 2.9 forbids the one above."""

_SINCE: Final = "2026-01-01T00:00:00.000Z"
"""`created` of objects that never change: Qwarden itself, techniques."""

_MOST: Final = 999_999_999  # the largest count that observed data and sightings may have
_SERVICES: Final = {"icmpv6": "icmp", "132": "sctp", "47": "gre", "50": "esp", "51": "ah", "2": "igmp"}


def stix_objects(finding: Mapping[str, Any], state: str = "whole") -> list[dict[str, Any]]:
    """Return the STIX objects of a finding, each with its id; parameters as of `eve_alert`."""
    me = _identity()
    source, target = _address(str(finding["src_ip"])), _address(str(finding["dst_ip"]))
    traffic = _traffic(finding, source["id"], target["id"])
    observables = {item["id"]: item for item in (source, target, traffic)}
    start, end = zulu(float(finding["start"]), 3), zulu(float(finding["end"]), 3)
    seen = min(int(finding["flows"]), _MOST)
    common = {
        "spec_version": "2.1",
        "created_by_ref": me["id"],
        **_versions(finding, state),
    }
    data = {
        "type": "observed-data",
        "id": _own_id("observed-data", finding["id"]),
        **common,
        "first_observed": start,
        "last_observed": end,
        "number_observed": max(seen, 1),
        "object_refs": list(observables),
    }
    objects = [me, *observables.values(), data]
    about = [data["id"]]
    if known := attack.technique(finding["technique"]):
        pattern = _attack_pattern(known, me["id"])
        sighting = {
            "type": "sighting",
            "id": _own_id("sighting", finding["id"]),
            **common,
            "description": text(finding),
            "confidence": int(percent(float(finding["threat_score"]))),
            "first_seen": start,
            "last_seen": end,
            "count": seen,
            "sighting_of_ref": pattern["id"],
            "observed_data_refs": [data["id"]],
            "where_sighted_refs": [me["id"]],
        }
        objects += [pattern, sighting]
        about.append(sighting["id"])
    note = {
        "type": "note",
        "id": _own_id("note", finding["id"]),
        **common,
        "abstract": title(finding),
        "content": _content(finding),
        "authors": [PRODUCT],
        "labels": [str(finding["kind"]).replace("_", "-"), f"severity-{finding['severity']}"],
        "object_refs": about,
    }
    return [*objects, note]


def stix_bundle(objects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a bundle of objects; of several with one id the one modified last stands (section 3.6)."""
    latest: dict[str, Mapping[str, Any]] = {}
    for item in objects:
        known = latest.get(item["id"])
        if known is None or str(item.get("modified", "")) >= str(known.get("modified", "")):
            latest[item["id"]] = item
    name = uuid.uuid5(OURS, canonical_text([[id, str(o.get("modified", ""))] for id, o in latest.items()]))
    bundle: dict[str, Any] = {"type": "bundle", "id": f"bundle--{name}"}
    return {**bundle, "objects": list(latest.values())} if latest else bundle


def observable_id(kind: str, contributing: Mapping[str, Any]) -> str:
    """Return the id of an observable, made from its contributing properties.

    Source: STIX 2.1 section 2.9: UUIDv5 over their canonical JSON (RFC 8785).

    >>> observable_id("ipv4-addr", {"value": "198.51.100.3"})
    'ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4'
    """
    return f"{kind}--{uuid.uuid5(OBSERVABLES, canonical_text(contributing))}"


def _own_id(kind: str, name: object) -> str:
    return f"{kind}--{uuid.uuid5(OURS, f'{kind}/{name}')}"


def _versions(finding: Mapping[str, Any], state: str) -> dict[str, str]:
    """Return when the objects were created and modified.

    Creation never changes (section 3.6), so it is the time in the finding's id. A finding's end is no
    wall time; its last version is as much later as its traffic lasted, and is so each time it is told.
    """
    created = made_at(str(finding["id"]), float(finding["time"]))
    lasted = max(0.001, float(finding["time"]) - float(finding["start"])) if state == "closed" else 0.0
    return {"created": zulu(created, 3), "modified": zulu(created + lasted, 3)}


def _identity() -> dict[str, Any]:
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": _own_id("identity", PRODUCT),
        "created": _SINCE,
        "modified": _SINCE,
        "name": PRODUCT,
        "identity_class": "system",
        "description": "Threat detection on quantum models, each beside its classical twin.",
    }


def _address(address: str) -> dict[str, Any]:
    kind = "ipv6-addr" if ":" in address else "ipv4-addr"
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": observable_id(kind, {"value": address}),
        "value": address,
    }


def _traffic(finding: Mapping[str, Any], source: str, target: str) -> dict[str, Any]:
    contributing: dict[str, Any] = {
        "start": zulu(float(finding["start"]), 3),
        "end": zulu(float(finding["end"]), 3),
        "src_ref": source,
        "dst_ref": target,
        "protocols": _protocols(finding),
    }
    for name in ("src_port", "dst_port"):
        if finding.get(name) is not None:
            contributing[name] = finding[name]
    return {
        "type": "network-traffic",
        "spec_version": "2.1",
        "id": observable_id("network-traffic", contributing),
        "is_active": False,
        **contributing,
    }


def _protocols(finding: Mapping[str, Any]) -> list[str]:
    """Return the stack, outermost first (section 6.12.1)."""
    proto = str(finding["proto"])
    if proto == "arp":
        return ["arp"]
    network = "ipv6" if ":" in str(finding["src_ip"]) else "ipv4"
    name = _SERVICES.get(proto, proto)
    return [network] if name.isdecimal() or protocol_number(proto) is None else [network, name]


def _attack_pattern(known: attack.Technique, me: str) -> dict[str, Any]:
    pattern: dict[str, Any] = {
        "type": "attack-pattern",
        "spec_version": "2.1",
        "id": _own_id("attack-pattern", known.id),
        "created_by_ref": me,
        "created": _SINCE,
        "modified": _SINCE,
        "name": f"{known.parent[1]}: {known.name}" if known.parent else known.name,
        "external_references": [{"source_name": "mitre-attack", "external_id": known.id, "url": known.url}],
    }
    if known.tactic:
        phase = known.tactic.name.lower().replace(" ", "-")
        pattern["kill_chain_phases"] = [{"kill_chain_name": "mitre-attack", "phase_name": phase}]
    return pattern


def _content(finding: Mapping[str, Any]) -> str:
    return (
        f"{text(finding)}. Threat score {percent(float(finding['threat_score']))} % (quantum), "
        f"{percent(float(finding['twin_score']))} % (classical twin). "
        f"{finding['flows']} flows, {finding['packets']} packets, {finding['bytes']} bytes. "
        f"Qwarden finding {finding['id']}."
    )
