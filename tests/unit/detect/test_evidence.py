"""What a finding keeps derives its score again, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.detect.behaviours import KINDS, name_behaviours
from qwarden.detect.evidence import Evidence
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.detect.model import ThreatModel
from qwarden.detect.shipped import load_default_model

from .flow_maker import failed_syn, in_order


@pytest.fixture(scope="module")
def model() -> ThreatModel:
    return load_default_model()


@pytest.fixture
def evidence(model: ThreatModel) -> Evidence:
    flows = in_order(*[failed_syn(dst=f"10.0.1.{h}", port=445, at_s=h) for h in range(1, 41)])
    rows = FeatureExtractor().rows(flows)
    named = name_behaviours(rows)
    assert KINDS[named[-1]] == "scan_horizontal"
    return Evidence.of(model, flows[-1:], rows[-1], int(named[-1]))


def changed(evidence: Evidence, **parts: Any) -> Evidence:
    return Evidence.read({**evidence.document(), **parts}, "a finding")


def test_a_score_derives_again_from_what_is_stored(model: ThreatModel, evidence: Evidence) -> None:
    stored = Evidence.read(evidence.document(), "a finding")
    assert stored.row.tobytes() == evidence.row.tobytes()
    found = stored.verify(model)
    assert found["verified"]
    assert found["derived"]["threat_score"] == evidence.threat


@pytest.mark.parametrize(
    ("part", "value", "check"),
    [("margin", 1.0, "score"), ("twin_score", 0.25, "score"), ("behaviour", "beacon", "behaviour"),
     ("model", "other 1", "model")],
)  # fmt: skip
def test_what_was_changed_does_not_derive(
    model: ThreatModel, evidence: Evidence, part: str, value: Any, check: str
) -> None:
    found = changed(evidence, **{part: value}).verify(model)
    assert not found["verified"]
    assert not found["checks"][check]


def test_a_changed_flow_no_longer_fits_its_row(model: ThreatModel, evidence: Evidence) -> None:
    flow = evidence.flow.copy()
    flow["packets_out"] += 1
    other = Evidence(flow, evidence.row, evidence.behaviour, evidence.model, evidence.p_value,
                     evidence.threat, evidence.margin, evidence.twin)  # fmt: skip
    assert not other.verify(model)["checks"]["features"]


def test_the_last_bit_counts(model: ThreatModel, evidence: Evidence) -> None:
    row = evidence.row.copy()
    at = FEATURE_NAMES.index("duration_s")
    row[at] = np.nextafter(row[at], np.inf)
    other = Evidence(evidence.flow, row, evidence.behaviour, evidence.model, evidence.p_value,
                     evidence.threat, evidence.margin, evidence.twin)  # fmt: skip
    assert not other.verify(model)["verified"]


@pytest.mark.parametrize("part", ["flow", "row", "behaviour", "model", "margin"])
def test_damaged_evidence_is_named(evidence: Evidence, part: str) -> None:
    document = evidence.document()
    document[part] = {"flow": "AAAA", "row": "!!", "behaviour": "no such", "margin": "x"}.get(part)
    if part == "model":
        del document[part]
    with pytest.raises(InputError, match="a finding"):
        Evidence.read(document, "a finding")
