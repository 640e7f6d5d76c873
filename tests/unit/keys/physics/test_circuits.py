"""States measured as circuits give what the other two engines draw; a noisy machine shows as errors."""

from __future__ import annotations

import agreement
import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.observables import Observables, observe_both
from qwarden.keys.physics import Attack, Transmission, transmit
from qwarden.quantum import LocalBackend, NoiseModel, NoisyBackend

LINK = Link(
    distance_km=1, receiver_efficiency=0.6, dark_count=1e-3, afterpulse=0.1, dead_time_s=2e-9,
    misalignment=0.05, visibility=0.9, pair_rate=0.3,
)  # fmt: skip
SETTINGS = {
    "bb84": Settings(intensities=(0.6, 0.25, 0.01), probabilities=(0.4, 0.4, 0.2), key_basis=0.6),
    "e91": Settings(protocol="e91", key_basis=0.6, test_share=0.4),
}
PULSES = 60_000
LEAST = 1e-3
"""Eight cases of two comparisons of five values each."""


def seen(block: Transmission, protocol: str) -> Observables:
    return observe_both(protocol, block.alice, block.bob, block.telemetry)


@pytest.mark.parametrize(
    "attack", [None, Attack("intercept-resend", 0.7), Attack("drift"), Attack("jam", 0.5)]
)
@pytest.mark.parametrize("protocol", ["bb84", "e91"])
def test_circuits_agree_with_both_engines(protocol: str, attack: Attack | None) -> None:
    found = transmit(LINK, SETTINGS[protocol], attack=attack, pulses=PULSES, seed=31, engine="circuits")
    for engine, pulses in (("counts", 3_000_000), ("pulses", 1_000_000)):
        other = transmit(LINK, SETTINGS[protocol], attack=attack, pulses=pulses, seed=32, engine=engine)
        values = agreement.p_values(found, other)

        assert min(values.values()) > LEAST, (engine, values)


@pytest.mark.parametrize("protocol", ["bb84", "e91"])
def test_a_noisy_machine_raises_the_error_rate(protocol: str) -> None:
    noise = NoiseModel(depolarising_1q=0.05, depolarising_2q=0.1)
    clean, noisy = (
        seen(
            transmit(LINK, SETTINGS[protocol], pulses=20_000, seed=5, engine="circuits", backend=backend),
            protocol,
        )
        for backend in (LocalBackend(), NoisyBackend(noise))
    )

    # Two gates on a photon, or four on one qubit of a pair and one on both: Q = (1 - (1 - 2 Q0) keep) / 2.
    keep = 0.95**2 if protocol == "bb84" else 0.95**4 * 0.9 * 0.95
    expected = (1 - (1 - 2 * clean.qber(0)) * keep) / 2
    assert noisy.qber(0) == pytest.approx(expected, abs=0.03)
    assert noisy.qber(0) > clean.qber(0) + 0.015


def test_the_noisiest_machine_leaves_coins() -> None:
    backend = NoisyBackend(NoiseModel(depolarising_1q=1.0))
    block = transmit(LINK, SETTINGS["bb84"], pulses=40_000, seed=6, engine="circuits", backend=backend)

    assert seen(block, "bb84").qber(0) == pytest.approx(0.5, abs=0.03)


def test_other_attacks_and_long_blocks_are_refused() -> None:
    with pytest.raises(UsageError, match="circuits cannot do this attack"):
        transmit(LINK, SETTINGS["bb84"], attack=Attack("pns"), pulses=10, seed=0, engine="circuits")
    with pytest.raises(UsageError, match="at most"):
        transmit(LINK, SETTINGS["e91"], pulses=10**9, seed=0, engine="circuits")
