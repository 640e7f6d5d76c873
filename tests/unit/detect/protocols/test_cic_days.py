from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.cic_ids2017 import CIC_COLUMNS, CicIds2017, read_cic_ids2017
from qwarden.detect.measures import other_networks as measures
from qwarden.detect.protocols import cic_days

DAYS = ("2017-07-03", "2017-07-04", "2017-07-05")
SMALL = {"qubits": 3, "layers": 2, "steps": 150}


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that cost no time."""
    monkeypatch.setattr(cic_days, "NETWORK", SMALL)
    monkeypatch.setattr(cic_days, "NETWORKS", 1)
    monkeypatch.setattr(cic_days, "SPACE", {"method": "eigenspace", "qubits": 3, "layers": 2})
    monkeypatch.setattr(cic_days, "EXTRA", {"trees": 10})
    monkeypatch.setattr(cic_days, "MACHINE", {"landmarks": 60})


def some(rows: int = 600) -> CicIds2017:
    """Return rows whose columns rise together, but not in attacks; some values are unknown."""
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(rows, 1)) * rng.lognormal(sigma=0.2, size=(rows, len(CIC_COLUMNS)))
    days = np.repeat(DAYS, rows // 3).astype(np.str_)
    labels = np.where(rng.random(rows) < 0.5, "BENIGN", "Bot").astype(np.str_)
    labels[days == DAYS[0]] = "BENIGN"
    benign = labels == "BENIGN"
    values[~benign, 1:40] *= 8.0
    values[rng.random(values.shape) < 0.01] = np.nan
    return CicIds2017(pl.DataFrame(values, schema=list(CIC_COLUMNS)), labels, days, {}, {}, "0" * 64)


def test_benign_rows_of_early_days_train_or_set_thresholds_and_the_last_day_tests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cic_days, "CALIBRATION_ROWS", 50)
    data = some()
    split, other = cic_days.day_split(data, 0), cic_days.day_split(data, 1)
    assert split.test.tolist() == np.flatnonzero(data.days == DAYS[2]).tolist()
    early = np.concatenate([split.train, split.calibration])
    assert sorted(early) == np.flatnonzero((data.days != DAYS[2]) & (data.attacks == 0)).tolist()
    assert len(split.calibration) == 50
    assert set(split.calibration.tolist()) != set(other.calibration.tolist())


def test_mixed_rows_keep_each_columns_values_near_and_break_what_ties_them() -> None:
    rows = np.repeat(np.arange(2000.0)[:, None], 4, axis=1)
    mixed = cic_days.mixed_rows(rows, 0.5, 3)
    changed = mixed != rows
    assert changed.mean() == pytest.approx(0.5, abs=0.02)
    assert np.isin(mixed, rows).all()
    ties = np.corrcoef(mixed.T)[np.triu_indices(4, 1)]
    # Two columns stay together where neither moved, or where both came from the same row: one half.
    assert ties == pytest.approx(0.5, abs=0.06)


def test_figures_know_attacks_that_break_what_ties_columns(
    light: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cic_days, "CALIBRATION_ROWS", 60)
    found = cic_days.figures(some(), 0)
    own = {name for name in found if not name.startswith("twin ")}
    assert own == set(measures.CIC_UNITS)
    assert {name.removeprefix("twin ") for name in set(found) - own} < own
    assert all(0.0 <= value <= 1.0 for value in found.values())
    assert min(found["auc"], found["auc_quantum"], found["twin auc"]) > 0.9


def test_thresholds_come_from_held_out_benign_rows_alone() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([1, 0, 1, 0])
    table = np.concatenate([rng.random(400), [2.0, 0.5, 0.5, 3.0]])[:, None]
    found = cic_days.judged("_x", table, 400, truth, 0)
    assert found == {
        "auc_x": 0.375,
        "recall_at_1pct_fpr_x": 0.5,
        "fpr_wednesday_x": 0.5,
        "recall_f5_x": 0.5,
        "fpr_wednesday_f5_x": 0.5,
    }


def test_the_measure_says_what_it_stands_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {**dict.fromkeys(measures.CIC_UNITS, 0.5), "twin auc": 0.25}
    monkeypatch.setattr(cic_days, "figures", lambda _, seed: {**named, "auc": 0.5 + seed / 10})
    monkeypatch.setattr(cic_days, "SEEDS", (0, 1))
    monkeypatch.setattr(cic_days, "read_cic_ids2017", lambda _: some())
    found = cic_days.measure_cic_days(tmp_path, Checkpoint(tmp_path / "kept.json", "commit"))
    measure = next(m for m in REGISTRY if m.function is measures.cic_days)
    assert (measure.name, measure.long) == ("detect.cic_days", True)
    assert set(found.values) == set(measure.units)
    assert (found.n, list(found.seeds)) == (200, [0, 1])
    assert (found.values["auc"], found.twin) == (pytest.approx(0.55), {"auc": 0.25})
    assert "drawn by class" in found.data


@pytest.mark.data
def test_a_small_training_already_ranks_the_real_wednesday(light: None, data_dir: Path) -> None:
    data = read_cic_ids2017(data_dir / "cic-ids2017-improved" / "cicids2017_mon_wed.parquet")
    assert cic_days.figures(data, 0)["auc_quantum"] > 0.6
