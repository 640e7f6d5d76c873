"""The second opinion while detecting: who is asked, what is raised and marked, and that it derives again."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.config import DetectSettings
from qwarden.core.errors import ModelError
from qwarden.core.events import Event
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.detect import Detection, Detector, ThreatModel, load_default_model
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.build import labelled_rows
from qwarden.detect.evaluation import attacks_of
from qwarden.detect.evasion import SHARE, EvasionOpinion
from qwarden.detect.evidence import Evidence
from qwarden.detect.findings import Finding
from qwarden.detect.model import Scores
from qwarden.detect.open_finding import OpenFinding
from qwarden.detect.rescoring import Rescorer
from qwarden.detect.scenario import labels_path, read_labels, write_scenario
from qwarden.detect.shipped import FOLDER, SECOND

FPR = 0.001


class Evaded(ThreatModel):
    """The shipped model, evaded: whatever it sees, it lets pass."""

    def score(self, rows: np.ndarray, named: np.ndarray, *, early: bool = False) -> Scores:
        found = super().score(rows, named, early=early)
        p_value = np.maximum(found.p_value, 0.2)
        return Scores(p_value, 1.0 - p_value, found.margin, found.twin)


class Kept:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("range") / "range.pcap"
    write_scenario(path, 61_003, duration_s=1200.0, hosts=8, kinds=("beacon", "guessing", "scan_vertical"))
    return path


@pytest.fixture(scope="module")
def model() -> ThreatModel:
    shipped = load_default_model()
    model = Evaded(shipped._bundle, shipped.name, shipped.version)
    model.second = shipped.second
    return model


def run(model: ThreatModel, capture: Path, **settings: bool) -> tuple[Detection, list[Finding]]:
    kept = Kept()
    result = Detector(model, DetectSettings(**settings), kept, fpr=FPR).run([capture])  # type: ignore[arg-type]
    stored = [Event.from_json(e.to_json()) for e in kept.events if isinstance(e, Finding)]
    return result, [finding for finding in stored if isinstance(finding, Finding)]


def test_only_what_shows_a_behaviour_and_was_let_pass_is_asked_about(capture: Path) -> None:
    model, rows = load_default_model(), labelled_rows(capture).rows
    named = name_behaviours(rows)
    passed = model.score(rows, named).p_value > FPR
    note = named == KINDS.index("long_connection")
    result, _ = run(model, capture)
    assert result.asked == int((passed & (named != NO_BEHAVIOUR) & ~note).sum()) > 0
    assert result.document()["second_opinion"] == {
        "model": "qwarden-evasion 1", "asked": result.asked, "evading": result.evading,
    }  # fmt: skip


def test_what_evades_the_model_is_raised_by_the_second_opinion(model: ThreatModel, capture: Path) -> None:
    alone, none = run(model, capture, second_opinion=False)
    assert (alone.second, alone.asked, alone.evading, alone.alarming, none) == (None, 0, 0, 0, [])
    assert alone.document()["second_opinion"] is None
    both, findings = run(model, capture)
    assert both.flows == alone.flows
    assert 0 < both.evading == both.alarming < both.asked
    assert sum(finding.evasion["flows"] for finding in findings) <= both.evading
    attackers = {a.kind: a.sources for a in attacks_of(read_labels(labels_path(capture)))}
    told = {
        finding.behaviour for finding in findings if finding.src_ip in attackers.get(finding.behaviour, ())
    }
    assert len(told) >= 2


def test_what_the_model_raises_stays_raised(capture: Path) -> None:
    both, _ = run(load_default_model(), capture)
    alone, _ = run(load_default_model(), capture, second_opinion=False)
    causes = [{(f.behaviour, f.src_ip, f.dst_ip) for f in found.findings} for found in (alone, both)]
    assert causes[0]
    assert causes[0] <= causes[1]


def test_a_hidden_finding_says_what_both_models_said_and_derives_again(
    model: ThreatModel, capture: Path
) -> None:
    _, findings = run(model, capture)
    assert findings
    for finding in findings:
        said = finding.document()["evasion"]
        assert said["p_value"] <= SHARE * FPR
        assert said["passed_with_p_value"] == pytest.approx(1 - finding.threat_score)
        assert said["passed_with_p_value"] > FPR
        assert "second opinion" in finding.explanation["evasion"]
        evidence = Evidence.read(finding.evidence, "a finding")
        found = evidence.verify(model)
        assert found["verified"]
        assert found["checks"]["second_opinion"]
        assert found["second_opinion"]["derived"]["p_value"] == said["p_value"]
        changed = {**finding.evidence["second_opinion"], "margin": 1.0}
        other = Evidence.read({**finding.evidence, "second_opinion": changed}, "a finding").verify(model)
        assert not other["verified"]
        without = copy(model)
        without.second = None
        assert not evidence.verify(without)["verified"]


def test_a_row_gives_the_same_bits_alone_and_among_others(model: ThreatModel, capture: Path) -> None:
    assert model.second is not None
    rows = labelled_rows(capture).rows[:400]
    together = model.second.margin(rows)
    assert [float(model.second.margin(row[None])[0]) for row in rows[:60]] == together[:60].tolist()
    assert model.second.margin(rows[::-1])[::-1].tolist() == together.tolist()


def test_a_hidden_finding_is_not_settled_by_the_model_it_evaded(model: ThreatModel, capture: Path) -> None:
    rows = labelled_rows(capture).rows
    named = name_behaviours(rows)
    at = int(np.flatnonzero(named != NO_BEHAVIOUR)[0])
    finding = OpenFinding("f-1", int(named[at]), "x.pcap", 0, 0)
    finding.row, finding.raised_ns = rows[at].copy(), 0
    looks = []
    for finding.hiding in (False, True):
        work = Rescorer(model, lambda _: None, level=1e-9, within_s=1, second=model.second)
        looks.append(work._look_again(finding))
    assert model.second is not None
    evidence = float(model.second.margin(rows[at][None])[0])
    assert looks[1].benign == pytest.approx(np.exp(-evidence))
    assert looks[0] != looks[1]


def test_the_shipped_one_stands_beside_the_shipped_model_and_is_small() -> None:
    model = load_default_model()
    assert model.second is not None
    assert model.second.beside == f"{model.name} {model.version}"
    assert SHARE * model.budget >= model.second.least_fpr
    assert model.twin().second is None
    assert sum(path.stat().st_size for path in (FOLDER / SECOND).iterdir()) < 300_000


def test_one_that_was_changed_or_is_of_another_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwarden.detect import shipped

    model, key = load_default_model(), SigningKey.generate()
    assert model.second is not None
    trusted = TrustedKeys.of(key.public)
    model.second.save(tmp_path / SECOND, key, created="2026-01-01", fingerprint="")
    again = shipped.second_opinion(model, tmp_path, trusted)
    assert again is not None
    assert again.least_fpr == model.second.least_fpr
    assert shipped.second_opinion(model, tmp_path / "none", trusted) is None
    other = copy(model)
    other.version = "another"
    with pytest.raises(ModelError, match="stands beside"):
        shipped.second_opinion(other, tmp_path, trusted)
    model.save(tmp_path / "model", key, created="2026-01-01", fingerprint="")
    with pytest.raises(ModelError, match="no second opinion"):
        EvasionOpinion.load(tmp_path / "model", trusted)
    path = tmp_path / SECOND / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError):
        shipped.second_opinion(model, tmp_path, trusted)
