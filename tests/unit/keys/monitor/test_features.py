from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.keys.monitor.blocks import DECOY, NEAR, PAIRS, block

from qwarden.keys.link import Settings
from qwarden.keys.monitor.features import NAMES
from qwarden.keys.monitor.reading import read
from qwarden.keys.monitor.reference import Reference
from qwarden.keys.observables import observe_both
from qwarden.keys.physics import Attack, pulses_for, transmit


def deviations(
    settings: Settings, seed: int, attack: Attack | None = None, **other: object
) -> dict[str, float]:
    link = replace(NEAR, **other)  # type: ignore[arg-type]
    reading = read(block(settings, seed, attack, link), NEAR, settings)
    return dict(zip(NAMES, Reference.of(NEAR).deviations(reading).tolist(), strict=True))


@pytest.mark.parametrize("settings", [DECOY, PAIRS], ids=["bb84", "e91"])
def test_honest_blocks_deviate_as_chance_does(settings: Settings) -> None:
    table = np.array([list(deviations(settings, seed).values()) for seed in range(40)])
    for name, column in zip(NAMES, table.T, strict=True):
        known = column[~np.isnan(column)]
        if known.size > 20 and name not in ("loss", "outage", "arrival_shape"):
            assert abs(known.mean()) < 5 / np.sqrt(known.size), name
            assert 0.5 < known.std() < 1.5, name
    assert np.nanmax(np.abs(table)) < 5


def test_loss_is_no_evidence() -> None:
    """Half of the light is lost and nothing is out of the ordinary but that."""
    found = deviations(DECOY, 3, receiver_efficiency=NEAR.receiver_efficiency / 2)
    assert found["loss"] == pytest.approx(np.log(0.5) / 0.35, abs=0.1)
    rest = [abs(size) for name, size in found.items() if name != "loss" and not np.isnan(size)]
    assert max(rest) < 4


def test_what_a_protocol_does_not_show_is_unknown() -> None:
    pairs, decoys = deviations(PAIRS, 1), deviations(DECOY, 1)
    for name in ("decoy_gain", "vacuum_gain", "y1", "e1", "decoy_errors", "sifted_share"):
        assert np.isnan(pairs[name])
        assert not np.isnan(decoys[name])
    assert np.isnan(decoys["chsh"])
    assert not np.isnan(pairs["chsh"])


def test_a_dark_fibre_leaves_little_to_know() -> None:
    empty = replace(block(DECOY, 1), clicks=np.zeros(4, np.int64), histogram=np.zeros(16, np.int64))
    reading = read(empty, NEAR, DECOY)
    assert reading.errors is None
    known = [name for name, value in zip(NAMES, reading.values, strict=True) if not np.isnan(value)]
    assert known == ["loss"]


@pytest.mark.parametrize(
    ("attack", "settings", "feature", "sign"),
    [
        ("intercept-resend", DECOY, "error_jump", 1),
        ("intercept-resend", PAIRS, "error_jump", 1),
        ("blinding", DECOY, "photocurrent", 1),
        ("blinding", DECOY, "vacuum_gain", -1),
        ("time-shift", DECOY, "shifted", 1),
        ("trojan", PAIRS, "watchdog", 1),
        ("jam", DECOY, "background", 1),
        ("jam", DECOY, "vacuum_gain", 1),
        ("cut", DECOY, "outage", 1),
    ],
)
def test_an_attack_shows_where_it_must(attack: str, settings: Settings, feature: str, sign: int) -> None:
    found = deviations(settings, 9, Attack(attack, 0.5))
    assert sign * found[feature] > 8


def test_photon_number_splitting_shows_in_single_photons_where_the_fibre_is_long() -> None:
    far = replace(NEAR, distance_km=60, receiver_efficiency=0.1)
    sent = transmit(far, DECOY, attack=Attack("pns", 0.5), pulses=pulses_for(far, DECOY), seed=9)
    reading = read(observe_both("bb84", sent.alice, sent.bob, sent.telemetry), far, DECOY)
    found = dict(zip(NAMES, Reference.of(far).deviations(reading).tolist(), strict=True))
    assert found["y1"] < -8
    assert abs(found["error_jump"]) < 4


def test_the_line_of_errors_tells_when_they_came() -> None:
    rising = read(block(DECOY, 4, Attack("drift", 1.0)), NEAR, DECOY).errors
    assert rising is not None
    spread = np.sqrt(np.diag(rising.covariance))
    assert abs(rising.ends[0] - NEAR.misalignment) < 4 * spread[0]
    assert abs(rising.ends[1] - NEAR.misalignment - 0.01) < 4 * spread[1]
    unknown = read(replace(block(DECOY, 4), error_profile=None), NEAR, DECOY).errors
    assert unknown is not None
    assert unknown.covariance[0, 0] > rising.covariance[0, 0]
