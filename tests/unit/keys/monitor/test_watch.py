from __future__ import annotations

import pytest
from tests.unit.keys.monitor.blocks import DECOY, NEAR, PAIRS, block

from qwarden.keys.link import Settings
from qwarden.keys.monitor.watch import Monitor
from qwarden.keys.physics import Attack


@pytest.mark.parametrize("settings", [DECOY, PAIRS], ids=["bb84", "e91"])
def test_a_quiet_link_is_left_alone(settings: Settings) -> None:
    monitor = Monitor(NEAR, settings)
    assert [monitor(block(settings, seed)) for seed in range(12)] == [""] * 12


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("intercept-resend:0.4", "more errors"),
        ("trojan:0.1", "watchdog"),
        ("jam:0.2", "any time of the gate"),
        ("cut:0.3", "within the block"),
        ("time-shift:0.3", "early and late"),
        ("blinding:0.1", "photocurrent"),
    ],
)
def test_an_attack_is_told_in_words(attack: str, words: str) -> None:
    name, strength = attack.split(":")
    monitor = Monitor(NEAR, DECOY)
    monitor.inspect(block(DECOY, 1))
    alarm = monitor.inspect(block(DECOY, 2, Attack(name, float(strength))))
    assert alarm is not None
    assert any(words in said for said in alarm.seen)
    assert alarm.likely == name
    assert f"like {name}" in str(alarm)
    assert not monitor(block(DECOY, 3))


def test_attacked_blocks_are_never_taken_for_usual() -> None:
    monitor = Monitor(NEAR, DECOY)
    monitor.inspect(block(DECOY, 1))
    for seed in range(2, 8):
        assert monitor(block(DECOY, seed, Attack("intercept-resend", 0.4)))
    assert not monitor(block(DECOY, 9))


def test_new_settings_are_expected_from_then_on() -> None:
    other = Settings(block_bits=30_000, key_basis=0.5, probabilities=DECOY.probabilities)
    monitor = Monitor(NEAR, DECOY)
    assert monitor(block(other, 1))
    monitor = Monitor(NEAR, DECOY)
    monitor.use(other)
    assert not monitor(block(other, 1))
