from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.nsl_kdd import NslKdd, read_nsl_kdd
from qwarden.detect.measures import nsl_kdd as measures
from qwarden.detect.protocols import nsl_kdd_fusions as fusions
from qwarden.detect.protocols.members import Member
from qwarden.detect.protocols.nsl_kdd_shift import classical, fusion_weights, quantum, training_rows
from qwarden.learn import LogisticTwin, NeighborDistanceTwin

SERVICES = ("http",) * 6 + ("smtp", "smtp", "ftp", "finger")
BYTES = {"normal": 100, "smurf": 5000, "satan": 900}
ROW = "0,tcp,{},SF,{},{}" + ",0" * 35 + ",{},20\n"
SERVICE = fusions.NSL_KDD_COLUMNS.index("service")


@pytest.fixture
def data(tmp_path: Path) -> NslKdd:
    """600 normal rows of four services, 300 of a flood and of a probe, that bytes tell apart."""
    rng = np.random.default_rng(0)
    text = ""
    for at in range(1200):
        kind = "normal" if at % 2 else ("smurf", "satan")[at // 2 % 2]
        sent, received = BYTES[kind] + int(rng.integers(100)), int(rng.integers(90))
        text += ROW.format(SERVICES[at // 2 % 10], sent, received, kind)
    (tmp_path / "train").write_text(text)
    return read_nsl_kdd(tmp_path / "train")


def test_what_a_fold_leaves_out_is_not_learnt(data: NslKdd, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[tuple[Any, Any]] = []

    def recording(rows: Any, labels: Any, seed: int) -> Any:
        learnt.append((rows, labels))
        return training_rows(rows, labels, seed)

    monkeypatch.setattr(fusions, "training_rows", recording)
    normal_rows = data.rows()[data.attacks == 0]
    found = list(fusions.folds(data, 0))
    for (rows, labels), fold, left_out in zip(
        learnt, found, ("smurf", "satan", "smurf", "satan"), strict=True
    ):
        assert set(labels) == {"normal", "smurf", "satan"} - {left_out}
        services = set(rows[labels == "normal"][:, SERVICE])
        gone = ~np.isin(normal_rows[:, SERVICE], list(services))
        assert gone.sum() == len(fold.unfamiliar) > 0
        assert len(fold.novel) == 300
        assert len(fold.known) == pytest.approx(300 / 4, abs=25)
        assert len(fold.calibration) == pytest.approx((600 - gone.sum()) / 4, abs=40)


def test_a_tenth_of_the_normals_or_a_little_more_loses_its_service() -> None:
    services = np.repeat([0.0, 1.0, 2.0, 3.0, 4.0], [600, 150, 90, 80, 80])
    for seed in range(20):
        chosen = fusions.services_left_out(services, np.random.default_rng(seed))
        assert 0.08 <= np.isin(services, chosen).mean() <= fusions.LARGEST_SERVICE
        assert 0.0 not in chosen


def test_of_too_many_rows_every_family_keeps_as_many() -> None:
    labels = np.array(["a"] * 50 + ["b"] * 30 + ["c"] * 3)
    wanted = labels != "c"
    rng = np.random.default_rng(0)
    assert fusions.evenly(wanted, labels, 80, rng).tolist() == list(range(80))
    kept = fusions.evenly(wanted, labels, 20, rng)
    assert np.unique(labels[kept], return_counts=True)[1].tolist() == [10, 10]
    assert len(set(kept)) == 20


def test_new_normals_are_a_tenth_and_new_attacks_half() -> None:
    figures = fusions.figures_of(
        np.array([0.0, 1.0]), np.array([5.0]), np.array([9.0]), np.array([4.0, 9.0]), threshold=4.5
    )
    auc = (1.0 + (0.9 * 1.0 + 0.1 * 0.5)) / 2
    recall, false = (1.0 + 0.5) / 2, 0.1
    assert figures == pytest.approx((auc, (recall + 1 - false) / 2))


def test_the_rules_chosen_are_those_of_the_official_split(data: NslKdd) -> None:
    train = training_rows(data.rows(), data.labels, 0)
    own, twins = quantum(train.preprocessor), classical()
    members = [*own, *twins, *fusions.distances(train.preprocessor)]

    def weights(rule: str) -> dict[str, float]:
        factors = [fusions.RULES[rule].weight(member) for member in members]
        found = np.multiply(fusion_weights(members), factors)
        return {member.name: value for member, value in zip(members, found, strict=True) if value}

    for rule, chosen in {"quantum": own, "classical": twins, "fused": [*own, *twins]}.items():
        names = [member.name for member in chosen]
        assert weights(rule) == pytest.approx(dict(zip(names, fusion_weights(chosen), strict=True)))
    assert weights("fused_distances")["nearest normals, host"] == pytest.approx(1.0)


def test_every_rule_is_judged_on_one_training(data: NslKdd, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def line(seed: int) -> LogisticTwin:
        made.append(seed)
        return LogisticTwin()

    def far(seed: int) -> NeighborDistanceTwin:
        return NeighborDistanceTwin(seed=seed)

    monkeypatch.setattr(
        fusions,
        "quantum",
        lambda _: [Member("qnn 0", line, quantum=True), Member("space", far, quantum=True)],
    )
    monkeypatch.setattr(fusions, "classical", lambda: [Member("trees", line, quantum=False)])
    monkeypatch.setattr(fusions, "distances", lambda _: [Member("nearest normals, all", far, quantum=False)])
    found = fusions.judged(next(fusions.folds(data, 0)), 3)
    assert made == [3, 3]
    assert found.keys() == fusions.UNITS.keys()
    assert found["spaces_auc"] > 0.9
    assert found["networks_f5"] == found["classical_f5"]


def test_the_measure_publishes_every_rule(
    data: NslKdd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tuple(fusions.RULES) == measures.FUSIONS
    monkeypatch.setattr(fusions, "judged", lambda fold, seed: dict.fromkeys(fusions.UNITS, 0.9 + seed / 10))
    found = fusions.measure_fusions(tmp_path / "train", Checkpoint(tmp_path / "kept" / "c", "commit"))
    assert found.values["fused_auc"] == pytest.approx(1.0)
    assert found.configurations_tried == fusions.CONFIGURATIONS_TRIED
    measure = next(m for m in REGISTRY if m.function is measures.nsl_kdd_fusions)
    assert measure.units.keys() == found.values.keys()
