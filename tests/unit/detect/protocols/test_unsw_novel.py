from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.unsw_nb15 import UNSW_COLUMNS, UNSW_TEXT, UnswNb15
from qwarden.detect.measures import other_networks as measures
from qwarden.detect.protocols import families, unsw, unsw_novel


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that cost no time."""
    network = {"qubits": 3, "layers": 2, "steps": 100, "learning_rate": 0.02}
    monkeypatch.setattr(unsw_novel, "NETWORK", network)
    monkeypatch.setattr(unsw_novel, "NETWORKS", 1)
    monkeypatch.setattr(unsw_novel, "BOOSTED", {"iterations": 10})
    monkeypatch.setattr(unsw_novel, "EXTRA", {"trees": 10})
    monkeypatch.setattr(unsw_novel, "MACHINE", {"landmarks": 60})
    monkeypatch.setattr(unsw, "TRAIN_ROWS", 600)
    monkeypatch.setattr(unsw, "CALIBRATION_ROWS", 200)


def some(rows: int = 1000) -> UnswNb15:
    """Return rows whose attacks of all families send more."""
    rng = np.random.default_rng(0)
    table = pl.DataFrame({name: rng.integers(0, 9, rows).astype(float) for name in UNSW_COLUMNS})
    table = table.with_columns(pl.col(UNSW_TEXT).cast(pl.Int64).cast(pl.String))
    families = rng.choice(["Normal"] * 5 + ["Worms", "Exploits", *unsw_novel.NOVEL], rows).astype(np.str_)
    attack = pl.Series(families != "Normal").cast(pl.Float64)
    table = table.with_columns((pl.col(UNSW_COLUMNS[4:20]) + 4.0 * attack).name.keep())
    return UnswNb15(table, families, "0" * 64)


def test_novel_families_are_tested_and_never_trained_on(light: None) -> None:
    data = some()
    split, whole = unsw_novel.without_novel(data, 3), unsw.random_split(1000, 3)
    assert set(data.families[split.train].tolist()) == {"Normal", "Worms", "Exploits"}
    assert set(data.families[split.test].tolist()) == {"Normal", *unsw_novel.NOVEL}
    assert set(data.families[split.calibration].tolist()) == {"Normal"}
    for part, of in zip(split, whole, strict=True):
        assert set(part.tolist()) < set(of.tolist())
    assert (data.attacks[split.test] == 0).sum() == (data.attacks[whole.test] == 0).sum()


def test_figures_rank_attacks_that_are_plain_to_see(light: None) -> None:
    data = some()
    found = unsw_novel.rankings(data, families.family_inputs(data), 0)
    measure = next(m for m in REGISTRY if m.function is measures.unsw_novel)
    assert set(measure.units) == {name for name in found if not name.startswith("twin ")}
    assert {name.removeprefix("twin ") for name in found if name.startswith("twin ")} < set(measure.units)
    for name in ("auc_quantum", "auc_fused", "auc_hybrid", "auc_unentangled", "twin auc_fused"):
        assert found[name] > 0.95
    assert found["recall_f5_fused"] > 0.8
    assert found["fpr_f5_fused"] < 0.2


def test_the_measure_says_what_it_stands_on(
    light: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = next(m for m in REGISTRY if m.function is measures.unsw_novel)
    named = {**dict.fromkeys(measure.units, 0.5), "twin auc_fused": 0.25}
    monkeypatch.setattr(unsw_novel, "rankings", lambda *a: {**named, "auc_fused": 0.5 + a[2] / 10})
    monkeypatch.setattr(unsw_novel, "SEEDS", (0, 1))
    monkeypatch.setattr(unsw_novel, "read_unsw_nb15", lambda _: some())
    found = unsw_novel.measure_unsw_novel(tmp_path, Checkpoint(tmp_path / "kept.json", "commit"))
    assert (measure.name, measure.long) == ("detect.unsw_novel", True)
    assert set(found.values) == set(measure.units)
    assert (found.values["auc_fused"], found.twin) == (pytest.approx(0.55), {"auc_fused": 0.25})
    data = some().distinct()
    assert found.n == sum(len(unsw_novel.without_novel(data, seed).test) for seed in (0, 1))
