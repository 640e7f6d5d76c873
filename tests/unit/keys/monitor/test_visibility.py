from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.keys.monitor.blocks import DECOY, NEAR, PAIRS

from qwarden.keys.link import Settings
from qwarden.keys.monitor.visibility import separation, visible
from qwarden.keys.physics import Attack, exact_decoy_rates, pulses_for


def test_interception_is_as_visible_as_its_errors_say() -> None:
    """A quarter of the share, against 7 Q / n of chance: four of this line, three of the last."""
    pulses = pulses_for(NEAR, DECOY)
    qber = exact_decoy_rates(NEAR, DECOY).qber(DECOY)
    rise = 0.02 * (0.5 - qber) / 2
    expected = rise / math.sqrt(7 * qber * (1 - qber) / DECOY.block_bits)
    assert separation(Attack("intercept-resend", 0.02), NEAR, DECOY, pulses) == pytest.approx(
        expected, rel=0.3
    )


@pytest.mark.parametrize("settings", [DECOY, PAIRS], ids=["bb84", "e91"])
@pytest.mark.parametrize("name", ["intercept-resend", "time-shift"])
def test_it_grows_with_strength_and_the_root_of_pulses(name: str, settings: Settings) -> None:
    pulses = pulses_for(NEAR, settings)
    weak = separation(Attack(name, 0.01), NEAR, settings, pulses)
    assert separation(Attack(name, 0.02), NEAR, settings, pulses) == pytest.approx(2 * weak, rel=0.1)
    assert separation(Attack(name, 0.01), NEAR, settings, 4 * pulses) == pytest.approx(2 * weak, rel=0.1)


@pytest.mark.parametrize("settings", [DECOY, PAIRS], ids=["bb84", "e91"])
def test_what_nothing_shows_is_not_visible(settings: Settings) -> None:
    pulses = pulses_for(NEAR, settings)
    for attack in (Attack("mitm"), Attack("beam-split", 0.3), Attack("trojan", 0.0)):
        assert not visible(attack, NEAR, settings, pulses)
    assert visible(Attack("trojan", 0.02), NEAR, settings, pulses)


def test_the_telemetry_is_read_in_its_own_noise() -> None:
    assert separation(Attack("trojan", 0.01), NEAR, DECOY, 10**6) == pytest.approx(0.1 / 0.02)
    assert np.isfinite(separation(Attack("cut", 1.0), NEAR, DECOY, 10**6))
