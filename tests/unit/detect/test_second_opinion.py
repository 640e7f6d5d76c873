"""The second opinion: on rows whose evasion is known by construction, and on our own flow features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import ModelError
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.detect.adversarial_training import School, SecondOpinionSettings, disguised, twin_side
from qwarden.detect.build import labelled_rows
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.mimicry import Mutability, Mutable, mimic
from qwarden.detect.scenario import write_scenario
from qwarden.detect.second_opinion import FLOW_MUTABILITY, MEMBERS, SecondOpinion
from qwarden.learn import GradientBoostingTwin, save

SMALL = SecondOpinionSettings(
    qubits=3, layers=2, steps=120, latent=2, depth=3, compression_steps=60, iterations=20, components=2,
    attacked=150, queries=(20,), crossed_queries=(20,), disguised=100, rounds=1, union_queries=10,
)  # fmt: skip

CAN = Mutability(
    ("mark", "sent", "rate", "size"),
    {
        "sent": Mutable("grows", per_unit=1),
        "rate": Mutable("moves", per_unit=100, high=1),
        "size": Mutable("moves"),
    },
)


def traffic(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Attacks have another mark, mostly, and send more; rate and size tell them perfectly, at first."""
    rng = np.random.default_rng(seed)
    attack = rng.integers(0, 2, count)
    rows = np.column_stack(
        [
            rng.normal(2.5 * attack, 1.0),
            rng.poisson(np.where(attack, 400, 100)),
            np.round(np.clip(rng.normal(0.2 + 0.6 * attack, 0.05), 0, 1), 2),
            rng.lognormal(3 + 2 * attack, 0.3),
        ]
    )
    return rows.astype(float), attack


@pytest.fixture(scope="module")
def opinion() -> SecondOpinion:
    return SecondOpinion.fit(*traffic(1500, 0), mutable=CAN, settings=SMALL)


def test_false_positives_keep_the_budget(opinion: SecondOpinion) -> None:
    rows, attack = traffic(6000, 1)
    for side in (opinion, opinion.twin()):
        flagged = side.flag(rows[attack == 0], 0.05)
        assert 0.01 < flagged.mean() < 0.09
        np.testing.assert_array_equal(flagged, side.log_p(rows[attack == 0]) <= np.log(0.05))
        assert side.p_value(rows).min() >= side.least_fpr


def test_what_evades_trees_does_not_evade_the_second_opinion(opinion: SecondOpinion) -> None:
    rows, attack = traffic(1500, 2)
    trees = GradientBoostingTwin(30).fit(rows[:, 2:], attack)  # they look at what can be moved

    def score(some: np.ndarray) -> np.ndarray:
        return trees.decision_function(np.ascontiguousarray(some[:, 2:]))

    fresh, label = traffic(1000, 3)
    made = mimic(
        fresh[label == 1], rows[attack == 0], CAN, score, queries=100, seed=1,
        evades_below=np.quantile(score(fresh[label == 0]), 0.95),
    )  # fmt: skip
    evading = made.rows[made.queries > 0]
    assert len(evading) > 400
    for side in (opinion, opinion.twin()):
        # What was sent cannot be unsent: 400 against 100, give or take 20.
        assert side.flag(evading, 0.05).mean() > 0.85


def test_the_anchored_member_does_not_see_what_moves(opinion: SecondOpinion) -> None:
    rows, _ = traffic(200, 4)
    moved = rows.copy()
    moved[:, 2:] = moved[::-1, 2:]
    was, now = opinion.evidence(rows), opinion.evidence(moved)
    assert tuple(was) == MEMBERS
    np.testing.assert_array_equal(was["anchored"], now["anchored"])
    assert (was["adversarial"] != now["adversarial"]).any()
    assert (was["autoencoder"] != now["autoencoder"]).any()


def test_it_is_stored_signed_and_scores_alike(opinion: SecondOpinion, tmp_path: Path) -> None:
    key = SigningKey.generate()
    opinion.save(tmp_path / "kept", key, created="2026-01-01T00:00:00Z", fingerprint="f")
    again = SecondOpinion.load(tmp_path / "kept", TrustedKeys.of(key.public))
    rows, _ = traffic(300, 5)
    np.testing.assert_array_equal(again.log_p(rows), opinion.log_p(rows))
    np.testing.assert_array_equal(again.twin().log_p(rows), opinion.twin().log_p(rows))
    assert dict(again.mutability.columns) == dict(CAN.columns)
    assert again.resources().qubits == SMALL.qubits
    save(
        GradientBoostingTwin(2).fit(*traffic(50, 0)), tmp_path / "other", key, name="x", version="1",
        created="2026-01-01T00:00:00Z",
    )  # fmt: skip
    with pytest.raises(ModelError, match="holds no second opinion"):
        SecondOpinion.load(tmp_path / "other", TrustedKeys.of(key.public))


def test_twins_trade_places(opinion: SecondOpinion) -> None:
    rows, _ = traffic(50, 6)
    assert (opinion.log_p(rows) != opinion.twin().log_p(rows)).any()
    np.testing.assert_array_equal(opinion.log_p(rows), opinion.twin().twin().log_p(rows))


def test_lessons_are_made_of_rows_that_their_victim_was_not_trained_on() -> None:
    rows, attack = traffic(800, 7)
    practice = np.arange(800) % 2 == 0
    school = School.open(
        rows, attack, mutable=CAN, calibration=traffic(200, 8)[0], practice=practice, settings=SMALL
    )
    against_victim, crossed, in_disguise = school.lessons
    for lesson, practised in ((against_victim, practice), (crossed, ~practice)):
        assert set(lesson[:, 0].tolist()) <= set(rows[practised & (attack == 1), 0].tolist())
        assert not set(lesson[:, 3].tolist()) & set(rows[~practised & (attack == 0), 3].tolist())
    assert set(in_disguise[:, 3].tolist()) <= set(rows[attack == 0, 3].tolist())
    assert school.teach(twin_side()).scores(school.preprocessor.transform(rows)).shape == (800, 3)


def test_a_disguise_takes_over_all_that_can_be_taken_over() -> None:
    attacks = np.array([[9.0, 400.0, 0.9, 80.0], [1.0, 50.0, 0.8, 70.0]])
    donors = np.array([[0.0, 100.0, 0.2, 20.0]])
    found = disguised(attacks, donors, CAN, np.random.default_rng(0))
    # The mark is fixed, and what was sent cannot be unsent.
    np.testing.assert_array_equal(found, [[9.0, 400.0, 0.2, 20.0], [1.0, 100.0, 0.2, 20.0]])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"labels": np.zeros(100)}, "no attacks"),
        ({"labels": np.ones(5)}, "a label each"),
        ({"calibration": np.ones((3, 4))}, "at least 20 normal rows"),
        ({"mutable": Mutability(CAN.names, dict.fromkeys(CAN.names, Mutable("moves")))}, "every column"),
    ],
)
def test_what_it_cannot_learn_from_is_refused(change: dict, problem: str) -> None:
    rows, attack = traffic(100, 0)
    given = {"labels": attack, "mutable": CAN, "calibration": rows, **change}
    with pytest.raises(ValueError, match=problem):
        SecondOpinion.fit(rows, settings=SMALL, **given)


# -- our own flow features -------------------------------------------------------------------------


def test_flow_columns_an_attacker_cannot_change_are_fixed() -> None:
    fixed = {name for name, is_fixed in zip(FEATURE_NAMES, FLOW_MUTABILITY.fixed, strict=True) if is_fixed}
    assert {"tcp", "udp", "answered", "failed", "state_s0", "service_web", "payload_in"} <= fixed
    assert {"victim_sources_300s", "rst_share_in", "destination_age_s"} <= fixed
    grows = {name for name, can in FLOW_MUTABILITY.columns.items() if can.change == "grows"}
    assert {"duration_s", "packets_out", "payload_out", "fan_peers_300s"} <= grows


def test_a_second_opinion_of_flows_of_the_traffic_range(tmp_path: Path) -> None:
    capture = tmp_path / "range.pcap"
    write_scenario(capture, 61_001, duration_s=900.0, hosts=5, kinds=("beacon", "scan_horizontal"))
    told = labelled_rows(capture)
    rows, attack = told.rows[told.attacks >= 0], (told.attacks[told.attacks >= 0] > 0).astype(np.int64)
    seen = np.arange(len(rows)) % 3 > 0
    opinion = SecondOpinion.fit(rows[seen], attack[seen], mutable=FLOW_MUTABILITY, settings=SMALL)
    normal, attacks = rows[~seen & (attack == 0)], rows[~seen & (attack == 1)]
    evasive = mimic(
        attacks, normal, FLOW_MUTABILITY, lambda some: -opinion.log_p(some), queries=20, seed=0
    ).rows
    for name, at in zip(FEATURE_NAMES, range(len(FEATURE_NAMES)), strict=True):
        can = FLOW_MUTABILITY.columns.get(name)
        if can is None:
            np.testing.assert_array_equal(evasive[:, at], attacks[:, at])
        elif can.change == "grows":
            known = ~np.isnan(attacks[:, at])
            assert (evasive[known, at] >= attacks[known, at]).all()
    assert opinion.flag(attacks, 0.05).mean() > opinion.flag(normal, 0.05).mean() + 0.3
