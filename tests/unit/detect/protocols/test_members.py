from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from qwarden.detect.protocols import members
from qwarden.detect.protocols.members import Fusion, Member, auc, expected_calibration_error
from qwarden.learn import LogisticTwin, NeighborDistanceTwin


def test_auc_is_scikit_learns_with_ties() -> None:
    rng = np.random.default_rng(0)
    score, truth = rng.integers(0, 9, 500).astype(float), rng.integers(0, 2, 500)
    assert auc(score, truth) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_the_threshold_leaves_the_budget_of_unseen_normals() -> None:
    rng = np.random.default_rng(1)
    fusion = Fusion(weights=[1.0, 0.5]).fit(rng.normal(size=(8000, 2)))
    assert fusion.flag(rng.normal(size=(8000, 2)), 0.05).mean() == pytest.approx(0.05, abs=0.01)
    assert fusion.flag(np.full((1, 2), 9.0), 0.05).all()


def test_fused_evidence_rises_with_the_weight_of_who_says_it() -> None:
    rng = np.random.default_rng(2)
    normals = rng.normal(size=(400, 2))
    odd_to_first = np.array([[6.0, 0.0]])
    light = Fusion([1.0, 1.0]).fit(normals).score(odd_to_first)
    assert Fusion([3.0, 1.0]).fit(normals).score(odd_to_first) > 2 * light - 2


def test_members_see_their_columns_and_one_class_members_normals_alone() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(300, 3))
    attack = (rows[:, 0] > 0.5).astype(np.int64)
    rows[attack == 1, 1] = 50.0
    classifier = Member("c", lambda _: LogisticTwin(), quantum=False, columns=np.array([0]))
    strange = Member("s", lambda seed: NeighborDistanceTwin(seed=seed), quantum=False)
    fitted = members.fit_members([classifier, strange], rows, attack, seed=0)
    assert [each.is_classifier for each in fitted] == [True, False]
    table = members.suspicions(fitted, np.array([[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [0.0, 50.0, 0.0]]))
    assert table[0, 0] > 0 > table[1, 0]
    assert table[2, 1] > 40, "rows like the attacks stay strange"


def test_a_normal_row_of_no_weight_is_hidden_from_one_class_members() -> None:
    rows = np.vstack([np.zeros((30, 2)), np.full((30, 2), 9.0), np.full((2, 2), 5.0)])
    attack = np.repeat([0, 0, 1], [30, 30, 2])
    weights = np.repeat([1.0, 0.0, 1.0], [30, 30, 2])
    strange = Member("s", lambda seed: NeighborDistanceTwin(seed=seed), quantum=False)
    fitted = members.fit_members([strange], rows, attack, seed=0, sample_weight=weights)
    assert members.suspicions(fitted, np.full((1, 2), 9.0))[0, 0] > 10


def test_calibration_error_of_honest_and_of_boastful_probabilities() -> None:
    rng = np.random.default_rng(4)
    probability = rng.random(60_000)
    truth = (rng.random(60_000) < probability).astype(np.int64)
    assert expected_calibration_error(probability, truth) < 0.01
    # Shares of p among rows that are said to be p^2: the mean gap is the integral of p - p^2, 1/6.
    assert expected_calibration_error(probability**2, truth) == pytest.approx(1 / 6, abs=0.01)
