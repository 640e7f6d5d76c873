from __future__ import annotations

import io
import json
from typing import Any

import pytest

from qwarden.formats.writers.eve import SEVERITY, eve_alert, write_eve


def finding(**changes: Any) -> dict[str, Any]:
    return {
        "id": "019b0000-0000-7000-8000-0123456789ab", "time": 1_767_600_000.25, "kind": "guessing",
        "severity": "high", "threat_score": 0.999, "twin_score": 0.9, "src_ip": "10.0.0.5",
        "dst_ip": "10.0.0.9", "dst_port": 22, "proto": "tcp", "technique": "T1110.001",
        "explanation": {"title": "password guessing"}, **changes,
    }  # fmt: skip


def test_fields_are_suricatas() -> None:
    alert = eve_alert(finding())
    assert alert["timestamp"] == "2026-01-05T08:00:00.250000+0000"
    assert alert["event_type"] == "alert"
    assert (alert["src_ip"], alert["dest_ip"], alert["dest_port"], alert["proto"]) == (
        "10.0.0.5",
        "10.0.0.9",
        22,
        "TCP",
    )
    assert alert["alert"]["severity"] == 1
    assert alert["alert"]["metadata"] == {"mitre_technique_id": ["T1110.001"]}
    assert alert["qwarden"]["threat_score"] == 0.999


@pytest.mark.parametrize(("severity", "number"), SEVERITY.items())
def test_severity_counts_down(severity: str, number: int) -> None:
    assert eve_alert(finding(severity=severity))["alert"]["severity"] == number


def test_a_kind_keeps_its_signature_and_kinds_differ() -> None:
    ids = {kind: eve_alert(finding(kind=kind))["alert"]["signature_id"] for kind in ("guessing", "beacon")}
    assert ids["guessing"] != ids["beacon"]
    assert (
        ids["guessing"]
        == eve_alert(finding(id="019b0000-0000-7000-8000-ffffffffffff"))["alert"]["signature_id"]
    )


def test_no_port_where_there_is_none() -> None:
    assert "dest_port" not in eve_alert(finding(dst_port=None, proto="icmpv6"))


def test_one_line_a_finding() -> None:
    stream = io.StringIO()
    write_eve(stream, finding())
    write_eve(stream, finding())
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == eve_alert(finding())
