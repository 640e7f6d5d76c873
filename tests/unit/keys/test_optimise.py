from __future__ import annotations

from dataclasses import replace

import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.optimise import best_expected_rate, expected_rate, optimise


@pytest.mark.parametrize(
    ("bits", "km", "unclipped", "clipped"), [(1e4, 50, 1.883e-5, 2.374e-5), (1e7, 100, 4.766e-5, 5.157e-5)]
)
def test_the_best_rates_are_those_of_the_reference(
    bits: float, km: float, unclipped: float, clipped: float
) -> None:
    assert best_expected_rate(km, bits, clip=False, looks=3000) == pytest.approx(unclipped, rel=1e-2)
    assert best_expected_rate(km, bits, clip=True, looks=3000) == pytest.approx(clipped, rel=1e-2)


def test_found_settings_beat_the_defaults_and_their_neighbours() -> None:
    link, start = Link(distance_km=80), Settings()
    found = optimise(link, start, looks=1500)
    assert found.rate > expected_rate(link, start)
    for nudge in (-0.03, 0.03):
        other = replace(found.settings, key_basis=found.settings.key_basis + nudge)
        assert expected_rate(link, other) < found.rate
    assert found.bits_per_s == pytest.approx(found.rate * link.clock_hz)


def test_the_quantum_surrogate_comes_near_with_the_same_budget() -> None:
    link, start = Link(), Settings()
    classical = optimise(link, start, method="classical", looks=200)
    quantum = optimise(link, start, method="quantum", looks=200)
    assert quantum.looks <= 204
    assert quantum.rate > 0.6 * classical.rate


def test_pairs_have_a_best_share_of_the_key_basis() -> None:
    link = Link(distance_km=10)
    found = optimise(link, Settings(protocol="e91", block_bits=100_000))
    assert 0.6 < found.settings.key_basis < 0.9
    assert found.rate > expected_rate(link, Settings(protocol="e91", block_bits=100_000, key_basis=0.95))


def test_where_there_is_no_key_it_says_so() -> None:
    with pytest.raises(UsageError, match="250 km: no settings give a key"):
        optimise(Link(distance_km=250), Settings(block_bits=10_000), looks=300)
