"""The referee is OASIS's stix2-validator, as strict as it gets; ids are made anew as section 2.9 says."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from stix2validator import ValidationOptions, validate_instance

from qwarden.formats.writers.stix import stix_bundle, stix_objects

from .samples import FINDINGS, STATES, finding

# Not asked: random ids (ours are made from what they name), a source port (a finding of many flows has
# none), a hash of the page that a technique's link leads to.
OPTIONS = ValidationOptions(
    version="2.1", strict=True, strict_properties=True, enforce_refs=True,
    disabled="uuid-check,network-traffic-ports,extref-hashes",
)  # fmt: skip
CONTRIBUTING = {
    "ipv4-addr": {"value"},
    "ipv6-addr": {"value"},
    "network-traffic": {"start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols"},
}


def problems(bundle: dict[str, Any]) -> list[str]:
    result = validate_instance(bundle, OPTIONS)
    return [str(e) for e in [*result.errors, *result.warnings]]


@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_valid(sample: dict[str, Any]) -> None:
    assert problems(stix_bundle(stix_objects(sample))) == []


@pytest.mark.parametrize("state", STATES)
def test_valid_in_every_state_and_all_in_one_bundle(state: str) -> None:
    together = stix_bundle(
        o for n, f in enumerate(FINDINGS.values())
        for o in stix_objects({**f, "id": f"019b0000-0000-7000-8000-{n:012x}"}, state)
    )  # fmt: skip
    assert problems(together) == []
    assert len({o["id"] for o in together["objects"]}) == len(together["objects"])
    assert problems(stix_bundle([])) == []


def test_the_validator_can_say_no() -> None:
    bundle = stix_bundle(stix_objects(finding()))
    next(o for o in bundle["objects"] if o["type"] == "sighting")["count"] = -1
    assert problems(bundle)


@pytest.mark.parametrize("sample", FINDINGS.values(), ids=FINDINGS)
def test_ids_of_observables_are_those_of_the_standard(sample: dict[str, Any]) -> None:
    namespace = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
    made = 0
    for item in stix_objects(sample):
        parsed = uuid.UUID(item["id"].partition("--")[2])
        if names := CONTRIBUTING.get(item["type"]):
            chosen = {name: item[name] for name in sorted(names) if name in item}
            text = json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert parsed == uuid.uuid5(namespace, text)
            made += 1
        assert parsed.version == 5
    assert made == 3


def test_the_same_finding_gives_the_same_objects() -> None:
    assert stix_objects(finding()) == stix_objects(finding())
    assert stix_bundle(stix_objects(finding())) == stix_bundle(stix_objects(finding()))


def test_a_later_state_is_a_later_version_of_the_same_objects() -> None:
    opened = {o["id"]: o for o in stix_objects(finding(flows=3), "opened")}
    closed = {o["id"]: o for o in stix_objects(finding(flows=40), "closed")}
    changed = [id for id in opened.keys() & closed.keys() if opened[id] != closed[id]]
    assert {id.partition("--")[0] for id in changed} == {"observed-data", "sighting", "note"}
    for id in changed:
        assert opened[id]["created"] == closed[id]["created"]
        assert opened[id]["modified"] < closed[id]["modified"]
    bundle = stix_bundle([*closed.values(), *opened.values()])
    assert next(o for o in bundle["objects"] if o["type"] == "sighting")["count"] == 40


def test_what_stands_where() -> None:
    objects = {o["type"]: o for o in stix_objects(FINDINGS["one flow"])}
    reference = objects["attack-pattern"]["external_references"][0]
    assert (reference["source_name"], reference["external_id"]) == ("mitre-attack", "T1071.001")
    assert reference["url"] == "https://attack.mitre.org/techniques/T1071/001/"
    traffic = objects["network-traffic"]
    assert (traffic["src_port"], traffic["dst_port"], traffic["protocols"]) == (51000, 443, ["ipv4", "tcp"])
    assert objects["sighting"]["sighting_of_ref"] == objects["attack-pattern"]["id"]
    assert objects["sighting"]["observed_data_refs"] == [objects["observed-data"]["id"]]
    assert "99.999 %" in objects["note"]["content"]


def test_without_a_technique_nothing_is_sighted() -> None:
    types = [o["type"] for o in stix_objects(finding(technique=None))]
    assert types.count("note") == 1
    assert "sighting" not in types
    assert "attack-pattern" not in types
