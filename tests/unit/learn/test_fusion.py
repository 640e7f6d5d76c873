from __future__ import annotations

import numpy as np
import pytest

from qwarden.learn import ConformalFusion


def normals(n: int = 1000, members: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, members))


def test_p_values_are_the_counts_at_calibration_points():
    """One member, so the fused sum keeps its order: the second half's ranks are the p-values."""
    table = normals(200, 1)
    fusion = ConformalFusion(seed=3).fit(table)
    second = table[np.random.default_rng(3).permutation(200)[100:], 0]
    sums = fusion.evidence(second[:, None])[:, 0]
    inside = sums < sums.max()
    expected = (1 + (sums[None, :] >= sums[:, None]).sum(axis=1)) / 101
    np.testing.assert_allclose(fusion.p_value(second[:, None])[inside], expected[inside], atol=1e-12)


def test_members_evidence_is_minus_log_p():
    table = normals(400, 2)
    fusion = ConformalFusion().fit(table)
    first = table[np.random.default_rng(0).permutation(400)[:200]]
    for member in range(2):
        score = np.sort(first[:, member])[150]
        row = np.full((1, 2), np.nan)
        row[0, member] = score
        count = (first[:, member] >= score).sum()
        np.testing.assert_allclose(fusion.evidence(row)[0, member], -np.log((1 + count) / 201))
        assert fusion.evidence(row)[0, 1 - member] == 0.0


def test_beyond_all_normals_stronger_still_ranks_higher_but_p_rests():
    fusion = ConformalFusion().fit(normals())
    strong = np.array([[6.0, 6.0, 6.0], [7.0, 6.0, 6.0], [7.0, 9.0, 50.0], [1e6, 1e6, 1e6]])
    assert (np.diff(fusion.log_p(strong)) < 0).all()
    assert (fusion.p_value(strong) == fusion.resolution_).all()
    assert (fusion.threat_score(strong) > 1 - fusion.resolution_).all()


def test_threat_score_is_the_share_of_normals_that_look_less_suspicious():
    fusion = ConformalFusion().fit(normals(4000))
    fresh = normals(4000, seed=1)
    scores = fusion.threat_score(fresh)
    for level in (0.5, 0.9, 0.98):
        assert abs((scores < level).mean() - level) < 0.03


def test_flag_and_threshold_agree():
    fusion = ConformalFusion(fpr=0.05).fit(normals())
    fresh = normals(500, seed=2)
    assert (fusion.flag(fresh) == (fusion.threat_score(fresh) >= fusion.threshold())).all()
    assert fusion.flag(fresh, fpr=0.5).sum() > fusion.flag(fresh).sum()


def test_labels_choose_the_normals():
    table = normals(300)
    both = np.vstack([table, table + 20.0])
    labels = np.repeat(["benign", "malign"], 300)
    fresh = normals(50, seed=4)
    chosen = ConformalFusion().fit(both, np.unique(labels, return_inverse=True)[1])
    assert (chosen.log_p(fresh) == ConformalFusion().fit(table).log_p(fresh)).all()


def test_a_silent_member_never_raises_a_flag_alone():
    fusion = ConformalFusion().fit(normals())
    assert not fusion.flag([[np.nan, np.nan, np.nan]])[0]
    assert fusion.threat_score([[np.nan, np.nan, np.nan]])[0] == 0.0


def test_members_that_agree_are_not_counted_twice():
    """Fisher's chi-squared would call the sum of two equal members far too strange."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4000, 1))
    fusion = ConformalFusion(fpr=0.05).fit(np.hstack([one, one]))
    fresh = rng.normal(size=(4000, 1))
    assert abs(fusion.flag(np.hstack([fresh, fresh])).mean() - 0.05) < 0.02


@pytest.mark.parametrize(
    ("table", "complaint"),
    [(np.zeros((5, 2)), "at least 20"), (np.zeros(30), "members"), (np.full((30, 1), np.inf), "infinite")],
)
def test_bad_calibration_is_refused(table, complaint):
    with pytest.raises(ValueError, match=complaint):
        ConformalFusion().fit(table)


def test_scores_of_another_width_are_refused():
    with pytest.raises(ValueError, match="members"):
        ConformalFusion().fit(normals()).p_value([[1.0]])


def test_tippett_takes_the_strongest_evidence():
    fusion = ConformalFusion(combine="tippett").fit(normals(400, 2))
    rows = np.array([[3.0, -1.0], [-1.0, 3.0], [3.0, np.nan]])
    strongest = fusion.evidence(rows).max(axis=1)
    more = np.array([[3.0, 0.5]])
    assert fusion.evidence(more)[0, 1] > 0
    assert fusion.log_p(more)[0] == fusion.log_p(rows)[0] == fusion.log_p(rows)[2]
    order = np.argsort(strongest)
    assert (np.diff(fusion.log_p(rows)[order]) <= 0).all()
    fisher = ConformalFusion().fit(normals(400, 2))
    assert fisher.log_p(more)[0] < fisher.log_p(rows)[0]


def test_unknown_combination_is_refused():
    with pytest.raises(ValueError, match="combine must be"):
        ConformalFusion(combine="stouffer").fit(normals())


def test_constant_members_are_no_evidence():
    fusion = ConformalFusion().fit(np.zeros((100, 2)))
    assert fusion.threat_score([[0.0, 0.0]])[0] < 0.5
    assert fusion.threat_score([[1.0, 1.0]])[0] > 0.9
