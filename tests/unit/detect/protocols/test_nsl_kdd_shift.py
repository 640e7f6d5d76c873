from __future__ import annotations

import numpy as np
import pytest

from qwarden.detect.datasets.nsl_kdd import NSL_KDD_COLUMNS
from qwarden.detect.protocols import nsl_kdd_shift as shift
from qwarden.detect.protocols.members import Member
from qwarden.learn import LogisticTwin


def random_rows(n: int, seed: int = 0) -> shift.Floats:
    rows = np.random.default_rng(seed).integers(0, 3, size=(n, len(NSL_KDD_COLUMNS))).astype(float)
    rows[:, 4] = np.arange(n)
    return rows


def test_large_families_are_thinned_and_small_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "FAMILY_ROWS", 5)
    monkeypatch.setattr(shift, "NORMAL_ROWS", 7)
    labels = np.array(["normal"] * 20 + ["flood"] * 9 + ["rare"] * 2)
    kept = labels[shift.thinned(labels, 0)]
    assert {name: int((kept == name).sum()) for name in set(kept)} == {"normal": 7, "flood": 5, "rare": 2}
    assert (np.diff(shift.thinned(labels, 0)) > 0).all()


def test_a_family_weighs_the_root_of_its_rows() -> None:
    labels = np.array(["normal"] * 3 + ["a"] * 100 + ["b"] * 4)
    weights = shift.family_weights(labels)
    total = {name: weights[labels == name].sum() for name in ("a", "b")}
    assert total["a"] / total["b"] == pytest.approx(10 / 2)
    assert weights[labels != "normal"].mean() == pytest.approx(1.0)


def test_mixed_rows_hold_values_of_normals_in_their_own_columns() -> None:
    normals = random_rows(50) + 1000.0 * np.arange(len(NSL_KDD_COLUMNS))
    mixed = shift.mixed_rows(normals, 200, 0)
    assert mixed.shape == (200, 41)
    assert all(np.isin(mixed[:, at], normals[:, at]).all() for at in range(41))
    whole = {row.tobytes() for row in normals}
    assert sum(row.tobytes() in whole for row in mixed) < 10


def test_views_leave_log_odds_and_other_columns_out() -> None:
    labels = np.array(["normal", "flood"] * 100)
    train = shift.training_rows(random_rows(200), labels, 0)
    names = np.array(train.preprocessor.feature_names_out_)
    seen = names[shift.view_columns(train.preprocessor, "host")]
    assert not any("log-odds" in name for name in seen)
    assert any(name.startswith("dst_host_count") for name in seen)
    assert any(name.startswith("service") for name in seen)
    assert not any(name.startswith(("src_bytes", "hot")) for name in seen)
    assert len(train.mixed) == train.attack.sum()


def test_only_members_that_say_so_learn_from_mixed_rows() -> None:
    train = shift.training_rows(random_rows(200), np.array(["normal", "flood"] * 100), 0)
    seen: list[int] = []

    class Counting(LogisticTwin):
        def fit(self, X, y, sample_weight=None, **more):  # type: ignore[no-untyped-def]
            seen.append(len(X))
            return super().fit(X, y, sample_weight, **more)

    plain = Member("trees", lambda _: Counting(), quantum=False)
    mixed = Member("trees" + shift.WITH_MIXED, lambda _: Counting(), quantum=False)
    fitted = shift.fit_on(train, [plain, mixed], 0)
    assert [each.member.name for each in fitted] == [plain.name, mixed.name]
    assert seen == [200, 300]


def test_networks_speak_with_one_voice_beside_views_and_trees() -> None:
    train = shift.training_rows(random_rows(200), np.array(["normal", "flood"] * 100), 0)
    members = [*shift.quantum(train.preprocessor), *shift.classical()]
    weights = dict(zip((m.name for m in members), shift.fusion_weights(members), strict=True))
    assert len(weights) == len(members), "names are unique"
    assert sum(w for name, w in weights.items() if name.startswith("qnn")) == pytest.approx(1.0)
    assert weights["eigenspace, host"] == 1.0
    assert sum(w for name, w in weights.items() if "trees" in name) == pytest.approx(2.0)
    assert {m.quantum for m in shift.quantum(train.preprocessor)} == {True}
    plain = shift.quantum(train.preprocessor, entangled=False)
    assert not any(m.make(0).entangled for m in plain)  # type: ignore[union-attr]
