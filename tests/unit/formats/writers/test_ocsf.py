"""Two referees: the schema of OCSF 1.5.0 itself, in which nothing unknown may stand, and py-ocsf-models."""

from __future__ import annotations

from typing import Any

import jsonschema
import py_ocsf_models
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from py_ocsf_models.events.findings.detection_finding import DetectionFinding

from qwarden.formats.writers.ocsf import OCSF_VERSION, ocsf_finding

from .samples import FINDINGS, STATES, finding

# Attributes of OCSF 1.5.0 that py-ocsf-models has no model for; the schema itself has seen them.
UNMODELLED = {
    "is_alert", "connection_info", "src_endpoint", "dst_endpoint", "http_request", "http_response", "tls",
}  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    compiled = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=OCSF_VERSION))
    return jsonschema.Draft202012Validator(
        compiled.get_class_schema(class_name="detection_finding", profiles=[])
    )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_valid_by_the_schema(
    schema: jsonschema.Draft202012Validator, sample: dict[str, Any], state: str
) -> None:
    assert [e.message for e in schema.iter_errors(ocsf_finding(sample, state, "sensor-1"))] == []


def test_the_schema_can_say_no(schema: jsonschema.Draft202012Validator) -> None:
    assert not schema.is_valid({**ocsf_finding(finding()), "severity_id": 12})
    assert not schema.is_valid({**ocsf_finding(finding()), "threat_score": 0.5})


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_valid_by_the_models(sample: dict[str, Any], state: str) -> None:
    document = ocsf_finding(sample, state)
    assert document["metadata"]["version"] == py_ocsf_models.OCSF_VERSION
    read = DetectionFinding.model_validate(document).model_dump(mode="json", exclude_unset=True)
    assert read == without_unmodelled(document)


def without_unmodelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_unmodelled(v) for k, v in value.items() if k not in UNMODELLED}
    return [without_unmodelled(v) for v in value] if isinstance(value, list) else value


def test_what_stands_where() -> None:
    document = ocsf_finding(FINDINGS["one flow"])
    assert (document["class_uid"], document["type_uid"], document["severity_id"]) == (2004, 200401, 4)
    assert document["time"] == 1_767_600_000_250
    assert document["duration"] == 100_250
    assert document["risk_score"] == 99
    attack = document["finding_info"]["attacks"][0]
    assert (attack["tactic"]["uid"], attack["technique"]["uid"]) == ("TA0011", "T1071")
    assert attack["sub_technique"]["uid"] == "T1071.001"
    evidence = document["evidences"][0]
    assert evidence["src_endpoint"] == {"ip": "10.0.0.5", "port": 51000}
    assert evidence["dst_endpoint"] == {"ip": "10.0.0.9", "port": 443}
    assert evidence["connection_info"]["protocol_num"] == 6
    assert evidence["connection_info"]["community_uid"].startswith("1:")


def test_what_was_said_is_evidence() -> None:
    evidence = ocsf_finding(FINDINGS["spoken"])["evidences"][0]
    assert evidence["query"] == {"hostname": "_x.evil.example", "type": "TXT"}
    assert evidence["http_request"] == {
        "http_method": "GET", "user_agent": "agent", "url": {"path": "/a?b", "hostname": "evil.example:80"},
    }  # fmt: skip
    assert evidence["http_response"] == {"code": 404}
    assert (evidence["tls"]["sni"], evidence["tls"]["ja3_hash"]["value"]) == ("evil.example", 32 * "a")


def test_nothing_of_a_finding_is_lost() -> None:
    sample = finding()
    kept = ocsf_finding(sample)["unmapped"]["qwarden"]
    assert kept["twin_score"] == sample["twin_score"]
    assert kept["explanation"] == sample["explanation"]


def test_a_finding_is_created_then_updated() -> None:
    opened, closed = ocsf_finding(finding(), "opened"), ocsf_finding(finding(), "closed")
    assert (opened["activity_name"], opened["is_alert"]) == ("Create", True)
    assert (closed["activity_name"], closed["is_alert"]) == ("Update", False)
    assert opened["finding_info"]["uid"] == closed["finding_info"]["uid"]
    assert opened["metadata"]["uid"] != closed["metadata"]["uid"]
