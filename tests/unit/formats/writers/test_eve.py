from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from qwarden.detect import KINDS
from qwarden.formats.writers.community import community_id
from qwarden.formats.writers.eve import SEVERITY, eve_alert, signature_id, write_eve

from .samples import FINDINGS, STATES, finding

# Suricata's etc/schema.json (2026-08-21): the types of what we write, and how its times look. No other
# field may stand at the top, in `alert` or in `flow`, but `qwarden`.
TOP = {
    "timestamp": str, "flow_id": int, "event_type": str, "src_ip": str, "src_port": int, "dest_ip": str,
    "dest_port": int, "proto": str, "ip_v": int, "community_id": str, "host": str, "direction": str,
    "alert": dict, "flow": dict, "app_proto": str, "dns": dict, "http": dict, "tls": dict,
}  # fmt: skip
ALERT = {
    "action": str, "gid": int, "signature_id": int, "rev": int, "signature": str, "category": str,
    "severity": int, "metadata": dict,
}  # fmt: skip
DNS = {"version": int, "type": str, "queries": list, "rcode": str}
HTTP = {"hostname": str, "url": str, "http_user_agent": str, "http_method": str, "status": int}
TLS = {"sni": str, "version": str, "ja3": dict}
FLOW = {"start": str, "src_ip": str, "dest_ip": str, "src_port": int, "dest_port": int}
TIMESTAMP = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+[+\-]\d+$")


def check(document: dict[str, Any], types: dict[str, type]) -> None:
    for name, value in document.items():
        assert type(value) is types[name], name


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_every_field_is_suricatas_but_one(sample: dict[str, Any], state: str) -> None:
    alert = eve_alert(sample, state, "sensor-1")
    assert alert.pop("qwarden") == {**sample, "state": state}
    check(alert, TOP)
    check(alert["alert"], ALERT)
    check(alert["flow"], FLOW)
    for name, types in (("dns", DNS), ("http", HTTP), ("tls", TLS)):
        assert alert.get(name, {"some": 1})
        check(alert.get(name, {}), types)
    for values in alert["alert"]["metadata"].values():
        assert values
        assert all(type(value) is str for value in values)
    assert TIMESTAMP.match(alert["timestamp"])
    assert TIMESTAMP.match(alert["flow"]["start"])
    assert json.loads(json.dumps(alert, allow_nan=False)) == alert


def test_what_was_said_is_told_as_suricata_tells_it() -> None:
    alert = eve_alert(FINDINGS["spoken"])
    assert alert["dns"] == {
        "version": 3, "type": "request", "queries": [{"rrname": "_x.evil.example", "rrtype": "TXT"}],
        "rcode": "NXDOMAIN",
    }  # fmt: skip
    assert alert["http"] == {
        "hostname": "evil.example:80", "url": "/a?b", "http_user_agent": "agent", "http_method": "GET",
        "status": 404,
    }  # fmt: skip
    assert alert["tls"] == {"sni": "evil.example", "version": "TLSv12", "ja3": {"hash": 32 * "a"}}
    assert "app_proto" not in alert
    said = [told for told in FINDINGS["spoken"]["context"]["transactions"] if told["protocol"] == "tls"]
    assert eve_alert(finding(context={"transactions": said}))["app_proto"] == "tls"


def test_fields_are_suricatas() -> None:
    alert = eve_alert(finding())
    assert alert["timestamp"] == "2026-01-05T08:00:00.250000+0000"
    assert alert["event_type"] == "alert"
    ends = alert["src_ip"], alert["dest_ip"], alert["dest_port"], alert["proto"]
    assert ends == ("10.0.0.5", "10.0.0.9", 22, "TCP")
    assert alert["alert"]["severity"] == 1
    assert alert["alert"]["action"] == "allowed"
    assert alert["alert"]["metadata"] == {
        "signature_severity": ["Major"], "mitre_technique_id": ["T1110.001"],
        "mitre_technique_name": ["Password Guessing"], "mitre_tactic_id": ["TA0006"],
        "mitre_tactic_name": ["Credential Access"],
    }  # fmt: skip
    assert alert["qwarden"]["threat_score"] == 0.9999977


@pytest.mark.parametrize(("severity", "number"), SEVERITY.items())
def test_severity_counts_down(severity: str, number: int) -> None:
    assert eve_alert(finding(severity=severity))["alert"]["severity"] == number


def test_a_kind_keeps_its_signature_and_kinds_differ() -> None:
    assert len({signature_id(kind) for kind in KINDS}) == len(KINDS)
    other = eve_alert(finding(id="019b0000-0000-7000-8000-ffffffffffff"))
    assert other["alert"]["signature_id"] == eve_alert(finding())["alert"]["signature_id"]
    assert other["flow_id"] != eve_alert(finding())["flow_id"]


@pytest.mark.parametrize(
    ("proto", "name"),
    [("udp", "UDP"), ("icmp", "ICMP"), ("icmpv6", "IPv6-ICMP"), ("132", "SCTP"), ("253", "253")],
)
def test_protocols_are_named_as_suricata_names_them(proto: str, name: str) -> None:
    assert eve_alert(finding(proto=proto))["proto"] == name


def test_no_port_where_there_is_none() -> None:
    alert = eve_alert(finding(dst_port=None, proto="icmpv6"))
    assert "dest_port" not in alert
    assert "dest_port" not in alert["flow"]


def test_community_id_of_one_flow_alone() -> None:
    one = eve_alert(finding(src_port=51000))
    assert one["community_id"] == community_id(6, "10.0.0.5", "10.0.0.9", 51000, 22)
    assert "community_id" not in eve_alert(finding())
    for several in ("sources", "destinations", "ports"):
        assert "community_id" not in eve_alert(finding(src_port=51000, **{several: 2}))
    ping = finding(proto="icmp", dst_port=None, icmp_type=8, icmp_code=0)
    assert eve_alert(ping)["community_id"] == community_id(1, "10.0.0.5", "10.0.0.9", 8, 0)


def test_one_line_a_finding() -> None:
    stream = io.StringIO()
    write_eve(stream, finding())
    write_eve(stream, finding())
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == eve_alert(finding())
