from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.nsl_kdd import read_nsl_kdd
from qwarden.detect.measures import nsl_kdd as measures
from qwarden.detect.protocols import nsl_kdd_official as official
from qwarden.detect.protocols.members import Member
from qwarden.learn import LogisticTwin, NeighborDistanceTwin

ROW = "0,tcp,http,SF,{},{}" + ",0" * 35 + ",{},20\n"


def write_rows(path: Path, count: int, attack: str, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    lines = []
    for at in range(count):
        normal = at % 2 == 0
        sent, received = rng.integers(100, 200, 2) if normal else rng.integers(5000, 6000, 2)
        lines.append(ROW.format(sent, received, "normal" if normal else attack))
    path.write_text("".join(lines))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A training file with one attack, a test file with another that is alike."""
    return write_rows(tmp_path / "a", 400, "smurf", 0), write_rows(tmp_path / "b", 200, "mailbomb", 1)


def test_figures_are_told_at_the_budget_and_at_even_odds() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    found = official.figures_of(
        score=np.array([1.0, 2.0, 3.0, 9.0, 8.0, 10.0]),
        flagged=np.array([False, False, False, True, True, True]),
        probability=np.array([0.1, 0.2, 0.3, 0.4, 0.4, 0.9]),
        truth=truth,
    )
    assert found == pytest.approx((5 / 6, 7 / 8, 1.0, 0.25, 5 / 6))


def test_each_member_is_trained_once_however_often_it_judges(files: tuple[Path, Path]) -> None:
    made: list[int] = []

    def make(seed: int) -> LogisticTwin:
        made.append(seed)
        return LogisticTwin()

    tables = official.Tables(read_nsl_kdd(files[0]), read_nsl_kdd(files[1]), 3)
    known = Member("line", make, quantum=False)
    novel = Member("distance", lambda seed: NeighborDistanceTwin(seed=seed), quantum=False)
    alone, both = tables.judge([known]), tables.judge([known, novel])
    assert made == [3]
    assert alone.auc == both.auc == 1.0
    assert both.recall_f5 == 1.0
    assert both.fpr_f5 < 0.2
    assert both.accuracy_f5 == pytest.approx((both.recall_f5 + 1 - both.fpr_f5) / 2)


def test_no_test_label_reaches_the_verdicts(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "renamed"
    swapped = files[1].read_text().replace("normal", "x").replace("mailbomb", "normal").replace("x", "odd")
    other.write_text(swapped)
    member = [Member("line", lambda _: LogisticTwin(), quantum=False)]
    learnt = read_nsl_kdd(files[0])
    true = official.Tables(learnt, read_nsl_kdd(files[1]), 0).judge(member)
    false = official.Tables(learnt, read_nsl_kdd(other), 0).judge(member)
    assert false.accuracy_f5 == pytest.approx(1 - true.accuracy_f5)
    assert (false.recall_f5, false.fpr_f5) == (true.fpr_f5, true.recall_f5)


def test_both_measures_take_their_variants_from_one_training(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figures(train: Path, test: Path, seed: int) -> dict[str, Any]:
        return {
            name: official.Figures(value + seed / 1000, value, value, 0.0, value)
            for name, value in {"quantum": 0.9, "unentangled": 0.8, "classical": 0.7, "fused": 0.95}.items()
        }

    monkeypatch.setattr(official, "figures_by_variant", figures)
    strict = official.measure_strict(*files, Checkpoint(tmp_path / "kept" / "s.json", "commit"))
    fused = official.measure_fused(*files, Checkpoint(tmp_path / "kept" / "f.json", "commit"))
    assert strict.values["accuracy_f5"] == pytest.approx(0.902)
    assert strict.values["unentangled_f5"] == pytest.approx(0.802)
    assert fused.values["accuracy_f5"] == pytest.approx(0.952)
    for found, function in ((strict, measures.nsl_kdd_strict), (fused, measures.nsl_kdd_fused)):
        assert found.twin is not None
        assert found.twin["accuracy_f5"] == pytest.approx(0.702)
        assert found.n == 200
        measure = next(m for m in REGISTRY if m.function is function)
        assert measure.units.keys() == found.values.keys()
        assert (measure.long, measure.article) == (True, {"accuracy_f5": 0.96})
