from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.nsl_kdd import read_nsl_kdd
from qwarden.detect.measures import basics as measures
from qwarden.detect.protocols import nsl_kdd_random as nsl_kdd

ROW = "0,tcp,http,SF,{},12" + ",0" * 35 + ",{},20\n"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 40 rows, and settings that call for no more."""
    monkeypatch.setattr(nsl_kdd, "ROWS", 40)
    path = tmp_path / "KDD.txt"
    path.write_text("".join(ROW.format(at, "smurf" if at % 4 == 0 else "normal") for at in range(40)))
    return path


def test_a_quarter_of_each_class_is_held_out_by_seed() -> None:
    attack = (np.arange(1000) % 5 == 0).astype(np.int64)
    marked = nsl_kdd.held_out_rows(attack, 1)
    assert (marked[attack == 1].sum(), marked[attack == 0].sum()) == (50, 200)
    assert (marked == nsl_kdd.held_out_rows(attack, 1)).all()
    assert (marked != nsl_kdd.held_out_rows(attack, 2)).any()


def test_a_stopped_measure_goes_on_with_the_next_seed(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {seed: (0.9 + seed / 100, 0.8 + seed / 50, 0.95) for seed in nsl_kdd.SEEDS}
    asked: list[int] = []

    def accuracies(data: Any, seed: int) -> tuple[float, float, float]:
        asked.append(seed)
        if asked == [0, 1, 2]:
            raise KeyboardInterrupt
        return figures[seed]

    monkeypatch.setattr(nsl_kdd, "accuracies", accuracies)
    checkpoint = Checkpoint(tmp_path / "kept" / "checkpoint.json", "commit")
    with pytest.raises(KeyboardInterrupt):
        nsl_kdd.measure_random_split(small, checkpoint)
    found = nsl_kdd.measure_random_split(small, checkpoint)
    assert asked == [0, 1, 2, 2, 3, 4]
    assert found.values == pytest.approx({"accuracy": 0.92, "unentangled": 0.84})
    assert found.twin == pytest.approx({"accuracy": 0.95})
    assert found.n == 5 * 10
    quantum = [figures[seed][0] for seed in nsl_kdd.SEEDS]
    expected = stats.t.interval(0.95, 4, np.mean(quantum), stats.sem(quantum))
    assert found.ci95 is not None
    assert found.ci95["accuracy"] == pytest.approx(expected)


def test_the_measure_is_long_and_names_the_articles_figure() -> None:
    measure = next(m for m in REGISTRY if m.function is measures.nsl_kdd_random)
    assert (measure.name, measure.long, measure.article) == (
        "detect.nsl_kdd_random",
        True,
        {"accuracy": 0.96},
    )


@pytest.mark.data
def test_a_small_training_already_separates_the_real_rows(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nsl_kdd, "MEMBERS", 1)
    monkeypatch.setattr(nsl_kdd, "STEPS", 150)
    monkeypatch.setattr(nsl_kdd, "LAYERS", 2)
    data = read_nsl_kdd(data_dir / "nsl-kdd" / "KDDTrain+.txt.gz", 4000)
    quantum, unentangled, twin = nsl_kdd.accuracies(data, 0)
    assert quantum > 0.97
    assert unentangled > 0.95
    assert twin > 0.98
