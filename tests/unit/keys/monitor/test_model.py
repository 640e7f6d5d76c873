from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import ModelError
from qwarden.keys.monitor.features import GROUPS, NAMES
from qwarden.keys.monitor.model import FOLDER, MonitorModel, load_shipped, one_sided, press, trusted_key
from qwarden.keys.monitor.training import PHYSICAL

CALM = np.zeros((1, len(NAMES)))


def one(**sizes: float) -> np.ndarray:
    row = CALM.copy()
    for name, size in sizes.items():
        row[0, NAMES.index(name)] = size
    return row


def test_the_shipped_model_is_small_and_says_how_it_was_made() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 200_000
    figures = load_shipped().figures
    assert figures["development"]["detection"] > 0.98
    assert {"trained_on", "calibrated_on", "budget", "configurations", "unentangled"} <= set(figures)


def test_a_changed_model_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "model")
    arrays = tmp_path / "model" / "arrays.npz"
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(ModelError):
        MonitorModel.load(tmp_path / "model", trusted_key())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "loss"])
def test_one_great_deviation_is_enough(name: str) -> None:
    assert load_shipped().judge(one(**{name: 9.0})).flagged[0]


def test_calm_unknown_and_loss_raise_no_alarm() -> None:
    model = load_shipped()
    assert not model.judge(CALM).flagged[0]
    assert not model.judge(np.full((1, len(NAMES)), np.nan)).flagged[0]
    assert not model.judge(one(loss=-2.5)).flagged[0]
    assert not model.judge(one(arrival_shape=-9.0, outage=-9.0)).flagged[0]


def test_stranger_is_more_surprising() -> None:
    model = load_shipped()
    found = [model.judge(one(y1=-size)).surprise[0] for size in (0.0, 3.0, 5.0, 9.0)]
    assert found == sorted(found)
    assert found[-1] > found[0]


@pytest.mark.parametrize(
    ("sizes", "attack"),
    [
        ({"error_jump": 20.0, "error_jumps": 14.0}, "intercept-resend"),
        ({"watchdog": 20.0}, "trojan"),
        ({"y1": -20.0, "decoy_gain": -18.0}, "pns"),
        ({"outage": 20.0}, "cut"),
    ],
)
def test_the_likely_attack_is_named(sizes: dict[str, float], attack: str) -> None:
    assert attack in PHYSICAL
    assert load_shipped().likely(one(**sizes)[0]) == attack


def test_pressing_keeps_order_and_bounds() -> None:
    pressed = np.array([press(one(y1=size))[0] for size in np.linspace(0, 50, 201)])
    assert (np.diff(pressed, axis=0) >= 0).all()
    assert pressed.max() <= 1.0
    assert press(one(y1=-2.0)).max() < 0.1
    assert press(one(y1=-np.inf)).max() == 1.0
    assert not press(np.full((1, len(NAMES)), np.nan)).any()


def test_every_feature_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(NAMES)


def test_low_sides_that_mean_nothing_are_left_out() -> None:
    found = one_sided(one(outage=-5.0, error_jump=-5.0))
    assert found[0, NAMES.index("outage")] == 0.0
    assert found[0, NAMES.index("error_jump")] == -5.0
