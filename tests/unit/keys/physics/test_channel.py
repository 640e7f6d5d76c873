"""The rates in closed form, against the reference vectors of Lim et al. and against the engines."""

from __future__ import annotations

import math

import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.observables import observe_both
from qwarden.keys.physics import (
    decoy_rates,
    exact_decoy_rates,
    live_share,
    pair_rates,
    pulses_for,
    sifted_rate,
    transmit,
)


@pytest.mark.parametrize(
    ("km", "bits", "basis", "probabilities", "intensities", "pulses"),
    [
        (100, 1e7, 0.85, (0.40, 0.45, 0.15), (0.42, 0.21, 2e-4), 5.0471269e10),
        (50, 1e4, 0.5, (0.03, 0.55, 0.42), (0.5, 0.087, 2e-4), 61054249),
    ],
)
def test_pulses_for_a_block_are_those_of_the_reference(
    km: float,
    bits: float,
    basis: float,
    probabilities: tuple[float, float, float],
    intensities: tuple[float, float, float],
    pulses: float,
) -> None:
    settings = Settings(intensities=intensities, probabilities=probabilities, key_basis=basis)

    assert bits / sifted_rate(Link(distance_km=km), settings) == pytest.approx(pulses, rel=1e-8)


def test_error_rate_is_that_of_the_reference() -> None:
    settings = Settings(intensities=(0.42, 0.21, 2e-4), probabilities=(0.40, 0.45, 0.15), key_basis=0.85)

    assert decoy_rates(Link(distance_km=100), settings).qber(settings) == pytest.approx(0.02620452, abs=5e-9)


def test_a_perfect_source_reaches_tsirelson_and_a_werner_source_its_share() -> None:
    perfect = {"pair_rate": 1e-7, "misalignment": 0.0, "dark_count": 0.0, "afterpulse": 0.0}

    for visibility in (1.0, 0.9, 1 / math.sqrt(2)):
        rates = pair_rates(Link(visibility=visibility, **perfect))

        # S = 2 sqrt 2 (1 - 2 Q)
        assert rates.chsh == pytest.approx(2 * math.sqrt(2) * visibility, rel=1e-5)
        assert rates.qber == pytest.approx((1 - visibility) / 2, abs=1e-6)


@pytest.mark.parametrize("engine", ["counts", "pulses"])
@pytest.mark.parametrize(
    "link",
    [
        Link(distance_km=20, afterpulse=0.1),
        Link(distance_km=0, receiver_efficiency=0.9, afterpulse=0.4, misalignment=0.1, dark_count=0.05),
    ],
)
def test_exact_rates_are_what_the_engines_sample(link: Link, engine: str) -> None:
    settings = Settings(intensities=(0.8, 0.3, 0.01), probabilities=(0.4, 0.3, 0.3), key_basis=0.5)
    block = transmit(link, settings, pulses=4_000_000, seed=13, engine=engine)
    seen = observe_both("bb84", block.alice, block.bob, block.telemetry)
    rates = exact_decoy_rates(link, settings)

    for k in range(3):
        sent = block.sent[:, k].sum() / 2  # Bob's basis is Alice's half of the time
        detected, errors = seen.detected[:, k].sum(), seen.errors[:, k].sum()
        # Alice's basis is kept in `sent`, Bob's agreement with it is drawn beside.
        assert abs(detected - sent * rates.gain[k]) < 5 * math.sqrt(detected)
        assert abs(errors - sent * rates.error[k]) < 5 * math.sqrt(errors)


def test_exact_rates_are_the_papers_where_afterpulses_are_rare() -> None:
    link, settings = Link(distance_km=80, afterpulse=0.0), Settings()
    paper, exact = decoy_rates(link, settings), exact_decoy_rates(link, settings)

    # Left over: double clicks and products of dark counts.
    assert exact.gain == pytest.approx(paper.gain, rel=1e-6)
    assert exact.error == pytest.approx(paper.error, rel=1e-3)


@pytest.mark.parametrize(
    ("link", "pulses"),
    [
        (Link(distance_km=10, afterpulse=0.02), 40_000_000),
        (
            Link(
                distance_km=0, receiver_efficiency=0.6, pair_rate=0.3, afterpulse=0.0, visibility=0.9,
                misalignment=0.02, dark_count=1e-3,
            ),
            2_000_000,
        ),
    ],
)  # fmt: skip
def test_pair_rates_are_what_the_engine_samples(link: Link, pulses: int) -> None:
    settings = Settings(protocol="e91", test_share=0.5)
    rates = pair_rates(link)
    block = transmit(link, settings, pulses=pulses, seed=11)
    seen = observe_both("e91", block.alice, block.bob, block.telemetry)
    sifted = seen.detected.sum()

    assert abs(block.bob.index.size / pulses / rates.single - 1) < 5 / math.sqrt(block.bob.index.size)
    both = sifted_rate(link, settings) / settings.key_basis / settings.bob_bases[0]
    assert both == pytest.approx(rates.coincidence)
    share = settings.key_basis * settings.bob_bases[0] + (1 - settings.key_basis) * settings.bob_bases[1]
    assert abs(sifted / (pulses * share * both) - 1) < 5 / math.sqrt(sifted)
    assert abs(seen.errors.sum() / sifted - rates.qber) < 5 * math.sqrt(rates.qber / sifted)
    assert abs(seen.chsh - rates.chsh) < 5 * seen.chsh_error


@pytest.mark.parametrize("protocol", ["bb84", "e91"])
@pytest.mark.parametrize("dead_time_s", [0.0, 1e-7])
def test_an_honest_block_is_as_long_as_asked(protocol: str, dead_time_s: float) -> None:
    link = Link(distance_km=10, dead_time_s=dead_time_s, pair_rate=0.1)
    settings = Settings(protocol=protocol, block_bits=5_000)
    block = transmit(link, settings, pulses=pulses_for(link, settings), seed=4)
    bits = observe_both(protocol, block.alice, block.bob, block.telemetry).detected[0].sum()

    assert 5_000 <= bits <= 5_000 * 1.2


def test_dead_time_sleeps_through_its_share() -> None:
    link, settings = Link(distance_km=0, dead_time_s=1e-6), Settings()
    awake = transmit(Link(distance_km=0), settings, pulses=2_000_000, seed=1).bob.index.size
    asleep = transmit(link, settings, pulses=2_000_000, seed=1).bob.index.size

    assert asleep / awake == pytest.approx(live_share(link, settings), rel=0.05)


def test_a_source_without_pairs_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is ever detected"):
        pulses_for(Link(pair_rate=0.0, dark_count=0.0), Settings(protocol="e91"))
