from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from qwarden.formats.writers.ecs import ECS_VERSION, ecs_alert

from .samples import FINDINGS, STATES, finding

# Fields and types as ECS 9.4.0 states them (generated/csv/fields.csv of elastic/ecs); [] is normalised to
# an array there.
FIELDS = {
    "@timestamp": "date", "destination.address": "keyword", "destination.ip": "ip",
    "destination.port": "long", "dns.question.name": "keyword", "dns.question.type": "keyword",
    "dns.response_code": "keyword", "http.request.method": "keyword", "http.response.status_code": "long",
    "tls.client.ja3": "keyword", "tls.client.server_name": "keyword", "tls.version": "keyword",
    "tls.version_protocol": "keyword", "url.domain": "keyword", "url.original": "keyword",
    "user_agent.original": "keyword", "ecs.version": "keyword", "event.action": "keyword",
    "event.category": "keyword[]", "event.code": "keyword", "event.dataset": "keyword",
    "event.duration": "long", "event.end": "date", "event.id": "keyword", "event.kind": "keyword",
    "event.module": "keyword", "event.provider": "keyword", "event.reason": "keyword",
    "event.risk_score": "float", "event.severity": "long", "event.start": "date", "event.type": "keyword[]",
    "message": "match_only_text", "network.bytes": "long", "network.community_id": "keyword",
    "network.iana_number": "keyword", "network.packets": "long", "network.transport": "keyword",
    "network.type": "keyword", "observer.hostname": "keyword", "observer.product": "keyword",
    "observer.type": "keyword", "observer.vendor": "keyword", "observer.version": "keyword",
    "related.ip": "ip[]", "rule.category": "keyword", "rule.id": "keyword", "rule.name": "keyword",
    "rule.ruleset": "keyword", "rule.version": "keyword", "source.address": "keyword", "source.ip": "ip",
    "source.port": "long", "threat.framework": "keyword", "threat.tactic.id": "keyword[]",
    "threat.tactic.name": "keyword[]", "threat.tactic.reference": "keyword[]",
    "threat.technique.id": "keyword[]", "threat.technique.name": "keyword[]",
    "threat.technique.reference": "keyword[]", "threat.technique.subtechnique.id": "keyword[]",
    "threat.technique.subtechnique.name": "keyword[]", "threat.technique.subtechnique.reference": "keyword[]",
}  # fmt: skip
# Allowed values of the same source.
KINDS = {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"}
TYPES_OF = {
    "intrusion_detection": {"allowed", "denied", "info"},
    "network": {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"},
}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def is_ip(value: Any) -> bool:
    return str(ip_address(value)) == value


IS = {
    "keyword": lambda v: type(v) is str and 0 < len(v) <= 1024,
    "match_only_text": lambda v: type(v) is str,
    "long": lambda v: type(v) is int and -(2**63) <= v < 2**63,
    "float": lambda v: type(v) is float,
    "date": lambda v: DATE.fullmatch(v) is not None,
    "ip": is_ip,
}


def flat(document: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        else:
            yield above + name, value


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_every_field_is_of_the_schema_and_of_its_type(sample: dict[str, Any], state: str) -> None:
    document = ecs_alert(sample, state, "sensor-1")
    assert document.pop("qwarden") == {**sample, "state": state}
    for name, value in flat(document):
        kind = FIELDS[name]
        values = value if kind.endswith("[]") else [value]
        assert isinstance(values, list), name
        assert values, name
        assert all(IS[kind.removesuffix("[]")](v) for v in values), name
    assert document["ecs"]["version"] == ECS_VERSION
    assert document["event"]["kind"] in KINDS
    for category in document["event"]["category"]:
        assert set(document["event"]["type"]) <= TYPES_OF[category]


def test_what_stands_where() -> None:
    document = ecs_alert(FINDINGS["one flow"])
    assert document["@timestamp"] == "2026-01-05T08:00:00.250Z"
    assert document["source"] == {"address": "10.0.0.5", "ip": "10.0.0.5", "port": 51000}
    assert document["destination"]["port"] == 443
    assert document["network"]["transport"] == "tcp"
    assert document["network"]["iana_number"] == "6"
    assert document["network"]["community_id"].startswith("1:")
    assert document["threat"]["technique"]["id"] == ["T1071"]
    assert document["threat"]["technique"]["subtechnique"]["id"] == ["T1071.001"]
    assert document["threat"]["tactic"]["name"] == ["Command and Control"]
    assert document["event"]["duration"] == 100_250_000_000
    assert document["event"]["risk_score"] == 99.999


def test_what_was_said_stands_where_the_schema_has_it() -> None:
    document = ecs_alert(FINDINGS["spoken"])
    assert document["dns"]["question"] == {"name": "_x.evil.example", "type": "TXT"}
    assert document["http"] == {"request": {"method": "GET"}, "response": {"status_code": 404}}
    assert document["url"] == {"domain": "evil.example:80", "original": "/a?b"}
    assert document["tls"] == {
        "client": {"server_name": "evil.example", "ja3": 32 * "a"},
        "version_protocol": "tls", "version": "1.2",
    }  # fmt: skip


def test_what_is_unknown_is_left_out() -> None:
    assert "port" not in ecs_alert(finding(dst_port=None))["destination"]
    assert "threat" not in ecs_alert(finding(technique=None))
    arp = ecs_alert(FINDINGS["arp"])["network"]
    assert (arp["type"], arp.get("transport"), arp.get("iana_number")) == ("arp", None, None)
    assert ecs_alert(FINDINGS["ipv6"])["network"]["type"] == "ipv6"
