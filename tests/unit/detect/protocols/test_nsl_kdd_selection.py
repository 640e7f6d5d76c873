from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.svm import SVC

from qwarden.core.measure import Checkpoint
from qwarden.detect.datasets.nsl_kdd import NslKdd, read_nsl_kdd
from qwarden.detect.measures import nsl_kdd as measures
from qwarden.detect.protocols import nsl_kdd_selection as selection
from qwarden.learn import FixedEncoding
from qwarden.quantum import fidelity_kernel

ROW = "0,tcp,http,SF,{},{}" + ",0" * 25 + ",{}" + ",0" * 9 + ",{},20\n"
KINDS = {"normal": (10, 10), "smurf": (5000, 10), "satan": (10, 90_000), "spy": (700, 700), "phf": (800, 10)}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NslKdd:
    monkeypatch.setattr(selection, "ROWS", 300)
    monkeypatch.setattr(selection, "KERNEL_ROWS", 60)
    monkeypatch.setattr(selection, "JUDGED_ROWS", 40)
    rng = np.random.default_rng(0)
    text = ""
    for at in range(400):
        kind = "normal" if at % 2 else list(KINDS)[1 + at // 2 % 4]
        text += ROW.format(*(low + int(rng.integers(9)) for low in KINDS[kind]), int(rng.integers(9)), kind)
    (tmp_path / "train").write_text(text)
    return read_nsl_kdd(tmp_path / "train")


def test_a_fold_learns_nothing_of_its_family_and_judges_all_of_it(data: NslKdd) -> None:
    found = list(selection.folds(data, 0))
    assert len(found) == 3, "smurf, satan, and the rare ones together"
    learnt = data.labels[:300]
    for fold, left_out in zip(found, (["smurf"], ["satan"], ["spy", "phf"]), strict=True):
        assert fold.train.attack.sum() <= (~np.isin(learnt, [*left_out, "normal"])).sum()
        assert fold.truth.sum() == min(40, np.isin(data.labels, left_out).sum())
        assert (fold.truth == 0).sum() == round(150 * 0.25)
        assert np.bincount(fold.train.attack[fold.kernel]).tolist() == [30, 30]


def test_normals_that_are_judged_were_not_learnt(data: NslKdd) -> None:
    fold = next(selection.folds(data, 0))
    known = {row.tobytes() for row in fold.train.rows[fold.train.attack == 0]}
    amounts = fold.judged[fold.truth == 0]
    # Amounts repeat, so rows may; were the judged ones learnt, all would be known.
    assert sum(row.tobytes() in known for row in amounts) < len(amounts)


def test_the_sampled_kernel_tends_to_the_exact_one(data: NslKdd, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = next(selection.folds(data, 0))
    encoding = FixedEncoding(qubits=selection.KERNEL_QUBITS, standardise=True, pca=36)
    known = encoding.fit(fold.train.rows[fold.kernel]).states(fold.train.rows[fold.kernel])
    exact = SVC(C=selection.PENALTY, kernel="precomputed", class_weight="balanced")
    exact.fit(fidelity_kernel(known), fold.train.attack[fold.kernel])
    ranks = exact.decision_function(fidelity_kernel(encoding.states(fold.judged), known))
    few = np.corrcoef(ranks, selection.sampled_kernel(fold, 0))[0, 1]
    monkeypatch.setattr(selection, "SHOTS", 10**8)
    many = np.corrcoef(ranks, selection.sampled_kernel(fold, 0))[0, 1]
    assert 0.5 < few < many
    assert many > 0.99


def test_every_candidate_ranks_a_fold(data: NslKdd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "folds", lambda data, seed: iter([next(FOLDS(data, seed))]))
    found = selection.mean_aucs(data, 0)
    assert found.keys() == selection.CANDIDATES.keys()
    assert all(0.0 <= value <= 1.0 for value in found.values())
    assert found["eigenspace"] > 0.9
    assert found["twin top5_fidelity"] > 0.9


FOLDS = selection.folds


def test_the_measure_publishes_the_candidates_and_their_twins(
    data: NslKdd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tuple(selection.UNITS) == measures.CANDIDATES
    monkeypatch.setattr(
        selection, "mean_aucs", lambda data, seed: dict.fromkeys(selection.CANDIDATES, 0.9 + seed / 100)
    )
    found = selection.measure_selection(tmp_path / "train", Checkpoint(tmp_path / "kept" / "c", "commit"))
    assert found.values["qsvc_aligned"] == pytest.approx(0.91)
    assert found.twin is not None
    assert found.twin.keys() == {"qnn", "hybrid", "qsvc", "qknn", "top5_fidelity"}
    assert found.configurations_tried == selection.CONFIGURATIONS_TRIED
