"""The threat model: alarm tables against a plain count, and a small model trained here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import ModelError
from qwarden.detect import shipped
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.detect.model import AlarmTable, ModelSettings, ThreatModel
from qwarden.detect.shipped import load_default_model, ship

from .flow_maker import failed_syn, in_order, make_flow


def counted(margins: np.ndarray, named: np.ndarray, margin: float, behaviour: int) -> float:
    return (1 + ((named == behaviour) & (margins >= margin)).sum()) / (len(margins) + 1)


@pytest.mark.parametrize("behaviour", [0, 3, len(KINDS) - 1, NO_BEHAVIOUR])
def test_alarm_p_values_are_a_plain_count(behaviour: int) -> None:
    rng = np.random.default_rng(1)
    margins, named = rng.normal(size=900), rng.integers(-1, len(KINDS), 900)
    asked = np.array([-9.0, -0.5, 0.0, margins[7], 1.5, 9.0])
    found = AlarmTable.of(margins, named).p_value(asked, np.full(len(asked), behaviour))
    expected = [counted(margins, named, margin, behaviour) for margin in asked]
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_a_thinned_table_never_understates_p(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    margins, named = rng.normal(size=2000), np.zeros(2000, np.int64)
    monkeypatch.setattr(AlarmTable, "KEPT", 50)
    table = AlarmTable.of(margins, named)
    asked = np.linspace(-4, 4, 81)
    thin = table.p_value(asked, np.zeros(81, np.int64))
    full = np.array([counted(margins, named, margin, 0) for margin in asked])
    assert (thin >= full).all()
    high = asked > np.sort(margins)[-50]
    np.testing.assert_allclose(thin[high], full[high])


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    """Feature rows of browsing (benign) and of scans of many sizes."""
    rng = np.random.default_rng(3)
    rows, labels = [], []
    for n in range(40):
        browse = in_order(
            *[
                make_flow(
                    dst=f"198.51.100.{h}",
                    at_s=float(rng.uniform(0, 200)),
                    payload_in=int(rng.integers(200, 90_000)),
                )
                for h in range(1, 21)
            ]
        )
        scan = in_order(*[failed_syn(dst=f"10.0.{n}.{h}", port=445, at_s=h * 0.3) for h in range(1, 31)])
        for flows, label in ((browse, "benign"), (scan, "scan_horizontal")):
            part = FeatureExtractor().rows(flows)
            part = part if label == "benign" else part[name_behaviours(part) != NO_BEHAVIOUR]
            rows.append(part)
            labels += [label] * len(part)
    return np.concatenate(rows), np.array(labels)


SMALL = ModelSettings(qubits=3, layers=2, steps=60, landmarks=60, references=100, known=40)


@pytest.fixture(scope="module")
def model(table: tuple[np.ndarray, np.ndarray]) -> ThreatModel:
    return trained(table)


def trained(table: tuple[np.ndarray, np.ndarray]) -> ThreatModel:
    rows, labels = table
    benign = rows[labels == "benign"]
    half = len(benign) // 2
    keep = np.concatenate([benign[:half], rows[labels != "benign"]])
    names = np.concatenate([np.full(half, "benign"), labels[labels != "benign"]])
    return ThreatModel.train(keep, names, benign[half:], names=FEATURE_NAMES, version="test", settings=SMALL)


def test_attacks_score_above_benign_flows(model: ThreatModel, table: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = table
    for who in (model, model.twin()):
        scores = who.score(rows, name_behaviours(rows))
        assert np.median(scores.margin[labels != "benign"]) > np.quantile(
            scores.margin[labels == "benign"], 0.95
        )
        assert ((scores.threat >= 0) & (scores.threat <= 1)).all()
        np.testing.assert_array_equal(scores.threat, 1 - scores.p_value)


def test_the_twin_exchanges_the_two_scores(model: ThreatModel, table: tuple[np.ndarray, np.ndarray]) -> None:
    rows, _ = table
    named = name_behaviours(rows)
    np.testing.assert_array_equal(model.score(rows, named).twin, model.twin().score(rows, named).threat)


def test_one_row_scores_as_in_a_batch(model: ThreatModel, table: tuple[np.ndarray, np.ndarray]) -> None:
    rows, _ = table
    named = name_behaviours(rows)
    batch = model.score(rows, named)
    for at in (0, 25, len(rows) - 1):
        one = model.score(rows[at : at + 1], named[at : at + 1])
        np.testing.assert_allclose(one.margin[0], batch.margin[at], rtol=1e-7)


def test_training_again_gives_the_same_bits(model: ThreatModel, table: tuple[np.ndarray, np.ndarray]) -> None:
    rows, _ = table
    named = name_behaviours(rows)
    np.testing.assert_array_equal(trained(table).score(rows, named).margin, model.score(rows, named).margin)


def test_a_shipped_model_scores_as_before_and_a_changed_one_is_refused(
    model: ThreatModel, table: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    rows, _ = table
    named = name_behaviours(rows)
    ship(model, "fingerprint", tmp_path)
    again = ThreatModel.load(tmp_path, shipped._trusted(tmp_path / shipped.KEY_FILE))
    np.testing.assert_array_equal(again.score(rows, named).margin, model.score(rows, named).margin)
    document = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(document.replace('"version": "test"', '"version": "tesu"'))
    with pytest.raises(ModelError, match="changed"):
        ThreatModel.load(tmp_path, shipped._trusted(tmp_path / shipped.KEY_FILE))


def test_another_builds_key_does_not_vouch(model: ThreatModel, tmp_path: Path) -> None:
    ship(model, "", tmp_path / "a")
    ship(model, "", tmp_path / "b")
    with pytest.raises(ModelError, match="not trusted"):
        ThreatModel.load(tmp_path / "a", shipped._trusted(tmp_path / "b" / shipped.KEY_FILE))


def test_a_model_calibrated_for_other_behaviours_is_refused(model: ThreatModel) -> None:
    model._bundle.notes["behaviours"].append("another")
    try:
        with pytest.raises(ModelError, match="other behaviours"):
            ThreatModel(model._bundle, "x", "1")
    finally:
        model._bundle.notes["behaviours"].pop()


def test_the_shipped_model_says_what_it_was_trained_on() -> None:
    model = load_default_model()
    assert "seeds" in model.figures["trained_on"]
    assert model.resources().qubits == 6
