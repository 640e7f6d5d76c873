from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.nf_bot_iot import NF_CODES, NF_COLUMNS, NfBotIot, read_nf_bot_iot
from qwarden.detect.measures import other_networks as measures
from qwarden.detect.protocols import nf_bot


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that cost no time."""
    monkeypatch.setattr(nf_bot, "NETWORK", {"qubits": 3, "layers": 2, "steps": 200, "learning_rate": 0.01})
    monkeypatch.setattr(nf_bot, "NETWORKS", 1)
    monkeypatch.setattr(nf_bot, "BOOSTED", {"iterations": 10})
    monkeypatch.setattr(nf_bot, "EXTRA", {"trees": 10})
    monkeypatch.setattr(nf_bot, "MACHINE", {"landmarks": 60})


def some(rows: int = 1000) -> NfBotIot:
    """Return rows of which a fifth is benign, and whose attacks send more."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["Benign", "DoS", "Theft"], rows, p=[0.2, 0.6, 0.2]).astype(np.str_)
    values = rng.integers(0, 9, (rows, len(NF_COLUMNS))).astype(float)
    values[:, [NF_COLUMNS.index(name) for name in NF_CODES]] %= 2
    values[labels != "Benign", 10:30] += 5.0
    return NfBotIot(pl.DataFrame(values, schema=list(NF_COLUMNS)), labels, "0" * 64)


def test_each_label_is_halved_and_a_fifth_of_its_first_half_put_aside() -> None:
    labels = np.repeat(["Benign", "DoS"], [200, 4000])
    split = nf_bot.random_split(labels, 0)
    assert (np.sort(np.concatenate(split)) == np.arange(4200)).all()
    assert [int((labels[part] == "Benign").sum()) for part in split] == [80, 20, 100]
    assert [len(part) for part in split] == [1680, 420, 2100]
    assert set(split.test.tolist()) != set(nf_bot.random_split(labels, 1).test.tolist())


def test_the_threshold_is_the_greatest_that_keeps_the_recall() -> None:
    scores = np.random.default_rng(0).normal(size=1234)
    limit = nf_bot.threshold_for(scores, 0.99)
    assert (scores >= limit).mean() >= 0.99
    assert (scores > limit).mean() < 0.99


def test_balanced_accuracy_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth, log_odds = (rng.random(500) < 0.95).astype(np.int64), rng.normal(size=500)
    expected = balanced_accuracy_score(truth, log_odds > 0)
    assert nf_bot.balanced_accuracy(log_odds, truth) == pytest.approx(expected)


def test_figures_know_attacks_that_are_plain_to_see(light: None) -> None:
    found = nf_bot.figures(some(), 0)
    assert set(measures.NF_UNITS) == {name for name in found if not name.startswith("twin ")}
    assert {name.removeprefix("twin ") for name in found if name.startswith("twin ")} < set(measures.NF_UNITS)
    for who in ("quantum", "fused", "hybrid", "unentangled", "qknn"):
        assert found[f"auc_{who}"] > 0.9
    assert found["twin benign_fpr_quantum"] < 0.3
    assert found["recall_fused"] > 0.9


def test_the_measure_says_what_it_stands_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(data: NfBotIot, seed: int) -> dict[str, float]:
        return {**dict.fromkeys(measures.NF_UNITS, 0.5), "auc_fused": 0.5 + seed / 10, "twin auc_qknn": 0.25}

    twice = pl.concat([some().table, some().table])
    monkeypatch.setattr(nf_bot, "figures", figures)
    monkeypatch.setattr(nf_bot, "SEEDS", (0, 1))
    monkeypatch.setattr(
        nf_bot, "read_nf_bot_iot", lambda _: NfBotIot(twice, np.tile(some().labels, 2), "0" * 64)
    )
    found = nf_bot.measure_nf_bot(tmp_path, Checkpoint(tmp_path / "kept.json", "commit"))
    measure = next(m for m in REGISTRY if m.function is measures.nf_bot)
    assert (measure.name, measure.long) == ("detect.nf_bot", True)
    assert set(found.values) == set(measure.units)
    assert (found.values["auc_fused"], found.twin) == (pytest.approx(0.55), {"auc_qknn": 0.25})
    assert "a sample of 2,000 rows, 1,000 (" in found.data
    assert found.n == 2 * 500


@pytest.mark.data
def test_a_small_training_already_separates_the_real_flows(light: None, data_dir: Path) -> None:
    data = read_nf_bot_iot(data_dir / "nf-bot-iot-v2-reduced" / "botiot_reduced.csv.gz").distinct()
    assert nf_bot.figures(data, 0)["auc_quantum"] > 0.9
