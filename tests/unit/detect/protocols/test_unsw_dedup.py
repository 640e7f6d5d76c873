from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.unsw_nb15 import UNSW_COLUMNS, UNSW_TEXT, UnswNb15, read_unsw_nb15
from qwarden.detect.measures import other_networks as measures
from qwarden.detect.protocols import unsw, unsw_dedup


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that cost no time."""
    network = {"qubits": 3, "layers": 2, "steps": 100, "learning_rate": 0.02}
    monkeypatch.setattr(unsw_dedup, "NETWORK", network)
    monkeypatch.setattr(unsw_dedup, "NETWORKS", 1)
    monkeypatch.setattr(unsw_dedup, "BOOSTED", {"iterations": 10})
    monkeypatch.setattr(unsw_dedup, "EXTRA", {"trees": 10})
    monkeypatch.setattr(unsw_dedup, "MACHINE", {"landmarks": 60})
    monkeypatch.setattr(unsw, "TRAIN_ROWS", 600)
    monkeypatch.setattr(unsw, "CALIBRATION_ROWS", 200)


def some(rows: int = 1000) -> UnswNb15:
    """Return rows whose attacks send more."""
    rng = np.random.default_rng(0)
    table = pl.DataFrame({name: rng.integers(0, 9, rows).astype(float) for name in UNSW_COLUMNS})
    table = table.with_columns(pl.col(UNSW_TEXT).cast(pl.Int64).cast(pl.String))
    families = np.where(rng.random(rows) < 0.6, "Normal", "Worms").astype(np.str_)
    worms = pl.Series(families == "Worms").cast(pl.Float64)
    table = table.with_columns((pl.col(UNSW_COLUMNS[4:20]) + 4.0 * worms).name.keep())
    return UnswNb15(table, families, "0" * 64)


def test_figures_know_attacks_that_are_plain_to_see(light: None) -> None:
    data = some()
    found = unsw_dedup.accuracies(data, unsw.inputs(data), 0)
    measure = next(m for m in REGISTRY if m.function is measures.unsw_dedup)
    assert set(measure.units) == {name for name in found if not name.startswith("twin ")}
    assert {name.removeprefix("twin ") for name in found if name.startswith("twin ")} < set(measure.units)
    for name in ("quantum", "fused", "hybrid", "unentangled", "twin quantum", "twin fused"):
        assert found[name] > 0.9
    for name in ("quantum_f5", "fused_f5"):
        assert 0.85 < found[name] < 1.0


def test_the_measure_says_what_it_stands_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = next(m for m in REGISTRY if m.function is measures.unsw_dedup)
    named = {**dict.fromkeys(measure.units, 0.5), "twin quantum": 0.25}
    monkeypatch.setattr(unsw_dedup, "accuracies", lambda *a: {**named, "quantum": 0.5 + a[2] / 10})
    monkeypatch.setattr(unsw_dedup, "SEEDS", (0, 1))
    monkeypatch.setattr(unsw_dedup, "TRAIN_ROWS", 600)
    monkeypatch.setattr(unsw_dedup, "read_unsw_nb15", lambda _: some())
    found = unsw_dedup.measure_unsw_dedup(tmp_path, Checkpoint(tmp_path / "kept.json", "commit"))
    assert (measure.name, measure.long, measure.article) == ("detect.unsw_dedup", True, {"quantum": 0.96})
    assert set(found.values) == set(measure.units)
    assert (found.values["quantum"], found.twin) == (pytest.approx(0.55), {"quantum": 0.25})
    assert found.n == 2 * (len(some().distinct().families) - 600)


@pytest.mark.data
def test_a_small_training_already_separates_the_real_rows(
    light: None, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsw, "TRAIN_ROWS", 4_000)
    data = read_unsw_nb15(data_dir / "unsw-nb15" / "UNSW_NB15_82332.csv.gz").distinct()
    found = unsw_dedup.accuracies(data, unsw.inputs(data), 0)
    assert found["quantum"] > 0.92
    assert found["twin quantum"] > 0.93
