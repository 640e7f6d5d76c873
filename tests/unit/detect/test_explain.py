"""What an explanation says of a feature is a sentence, not the name of a column."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.detect.behaviours import BEHAVIOURS, KINDS
from qwarden.detect.explain import SHOWN, Explainer, describe, evidence_of
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.findings import OpenFinding
from qwarden.detect.shipped import load_default_model


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_every_feature_has_words_of_its_own(name: str) -> None:
    said = describe(name, 3.0, 1.0)
    assert "_" not in said
    assert not said.startswith(name.removesuffix("_300s").removesuffix("_1h").replace("_", " ") + " 3")
    assert "usually" in said
    assert ("3" in said) != ("yes" in said)


def test_no_two_features_read_alike() -> None:
    assert len({describe(name, 1.0, 0.0) for name in FEATURE_NAMES}) == len(FEATURE_NAMES)


def evidence(kind: str, usual: float = 0.0, **values: float) -> list[str]:
    """The names of the columns that a row shows a behaviour by; what is not given is as usual."""
    row = np.full(len(FEATURE_NAMES), usual)
    for name, value in values.items():
        row[FEATURE_NAMES.index(name)] = value
    behaviour = BEHAVIOURS[KINDS.index(kind)]
    return [FEATURE_NAMES[at] for at in evidence_of(behaviour, row, np.full(row.size, usual))]


def test_a_behaviour_is_told_by_what_its_condition_hangs_on() -> None:
    hidden = {"extension_bytes_a_packet": 1384.0, "packets_out": 6.0, "packets_in": 3.0}
    assert evidence("covert_channel", **hidden) == ["extension_bytes_a_packet"]


def test_of_conditions_that_stand_for_one_another_those_that_hold_are_told() -> None:
    slow = {"tcp": 1.0, "failed": 1.0, "pair_ports_300s": 2.0, "pair_ports_1h": 4.0, "pair_tried_1d": 300.0}
    assert evidence("scan_vertical", **slow) == ["pair_tried_1d"]
    quick = slow | {"pair_ports_300s": 50.0, "pair_ports_1h": 60.0}
    assert evidence("scan_vertical", **quick) == ["pair_ports_300s", "pair_ports_1h", "pair_tried_1d"]


def test_what_is_usual_enough_for_a_condition_is_told_where_it_differs() -> None:
    regular = {"tcp": 1.0, "contacts_1h": 6.0, "period_spread": 0.004, "period_s": 326.0, "alike_share": 1.0}
    row = np.zeros(len(FEATURE_NAMES))
    usual = row.copy()
    for name, value in regular.items():
        row[FEATURE_NAMES.index(name)] = value
    for name, value in (("contacts_1h", 17.0), ("period_spread", 0.129), ("period_s", 44.9)):
        usual[FEATURE_NAMES.index(name)] = value
    found = evidence_of(BEHAVIOURS[KINDS.index("beacon")], row, usual)
    assert [FEATURE_NAMES[at] for at in found] == ["period_spread", "period_s", "contacts_1h"]


def test_what_the_condition_does_not_hang_on_is_not_told_as_if_it_did() -> None:
    """A flood by its packets to the service, whatever its rate and whoever else talks to the victim."""
    flood = {"udp": 1.0, "packets_out": 500.0, "service_packets_300s": 500.0, "contact_gap_s": 0.01}
    assert evidence("flood_udp", **flood, victim_flows_300s=3.0) == ["packets_out", "service_packets_300s"]


def test_what_is_unknown_is_no_evidence() -> None:
    unknown = {"tcp": 1.0, "failed": 1.0, "pair_ports_300s": 50.0, "pair_ports_1h": np.nan}
    assert evidence("scan_vertical", **unknown) == ["pair_ports_300s"]


def test_an_explanation_names_the_evidence_before_what_moved_the_score() -> None:
    model = load_default_model()
    row = np.where(np.isfinite(model.usual_row), model.usual_row, 0.0)
    for name, value in (("extension_bytes_a_packet", 1384.0), ("packets_out", 8.0), ("packets_in", 0.0)):
        row[FEATURE_NAMES.index(name)] = value
    finding = OpenFinding("id", KINDS.index("covert_channel"), "a.pcap", 0, 0)
    told = Explainer(model).explain(row, finding)
    assert told["features"][0]["name"] == "extension_bytes_a_packet"
    assert told["text"].startswith(
        "covert channel in extension headers: 1,384 B of extension headers a packet"
    )
    evidence = evidence_of(finding.behaviour, row, model.usual_row)
    tells = [*(FEATURE_NAMES[at] for at in evidence), *finding.behaviour.tells]
    rest = [feature["effect"] for feature in told["features"] if feature["name"] not in tells]
    assert len(told["features"]) <= SHOWN
    assert rest == sorted(rest, reverse=True)
