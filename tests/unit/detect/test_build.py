"""What the shipped model is trained on, without training it."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.detect import build
from qwarden.detect.features import FEATURE_NAMES


def test_attacks_weigh_the_same_as_benign_rows_and_rare_kinds_more() -> None:
    labels = np.array(["benign"] * 900 + ["scan_vertical"] * 400 + ["beacon"] * 4)
    weights = build.kind_weights(labels)
    assert (weights[labels == "benign"] == 1).all()
    assert weights[labels != "benign"].mean() == pytest.approx(1.0)
    beacon, scan = weights[labels == "beacon"][0], weights[labels == "scan_vertical"][0]
    assert beacon / scan == pytest.approx(np.sqrt(400 / 4))


def test_captures_are_told_in_every_way_and_seeds_serve_once() -> None:
    trained = build.recipes(build.TRAINING_SEEDS, build.LONG_TRAINING_SEEDS, attacks=True)
    calibrated = build.recipes(build.CALIBRATION_SEEDS, build.LONG_CALIBRATION_SEEDS, attacks=False)
    for plan in (trained, calibrated):
        assert {telling for recipe in plan for telling in recipe.tellings} == {
            "packets",
            "connections",
            "counts",
        }
        assert all(recipe.tellings[0] == "packets" for recipe in plan)
        assert {recipe.missed > 0 for recipe in plan} == {True, False}
        assert max(recipe.duration_s or 0 for recipe in plan) == 86_400
    assert all(recipe.kinds == () and recipe.early for recipe in calibrated)
    used = [r.seed for r in (*trained, *calibrated)] + [*build.ATTACK_SEEDS, *build.SELECTION_SEEDS]
    used += [*build.DEVELOPMENT_SEEDS, *build.JUDGEMENT_SEEDS]
    assert len(set(used)) == len(used)


def test_a_capture_becomes_rows_for_each_way_it_is_told() -> None:
    recipe = build.Recipe(
        seed=900_200, kinds=("scan_vertical",), duration_s=120.0, hosts=6, early=True,
        tellings=("packets", "counts"),
    )  # fmt: skip
    packets, counts = build.range_rows([recipe])
    assert packets.rows.shape == (len(packets.flows), len(FEATURE_NAMES))
    assert packets.early is not None
    assert len(packets.early) > 0
    assert len(counts.early if counts.early is not None else []) == 0
    pauses = FEATURE_NAMES.index("pauses")
    assert np.isfinite(packets.rows[:, pauses]).any()
    assert np.isnan(counts.rows[:, pauses]).all()
    for part in (packets, counts):
        assert set(part.labels[part.attacks > 0]) == {"scan_vertical"}
