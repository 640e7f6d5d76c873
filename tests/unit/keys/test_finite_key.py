from __future__ import annotations

import math

import numpy as np
import pytest

from qwarden.keys.asymptotic import TSIRELSON, bb84_rate, device_independent_rate, holevo_of_chsh
from qwarden.keys.finite_key import (
    TERMS,
    Acceptance,
    Counts,
    bbm92,
    binary_entropy,
    decoy_bounds,
    lim2014,
    serfling,
)  # fmt: skip
from qwarden.keys.link import Link, Settings
from qwarden.keys.measures.theory import VECTORS, Vector, expected_length
from qwarden.keys.optimise import expected_counts
from qwarden.keys.physics import decoy_rates


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("clip", [False, True])
def test_lengths_are_those_of_the_reference(vector: Vector, clip: bool) -> None:
    given = vector.clipped if clip else vector.unclipped
    assert abs(expected_length(vector, clip=clip).exact - given) <= 0.0051


def test_bounds_are_those_of_the_reference() -> None:
    settings = Settings(intensities=(0.42, 0.21, 2e-4), probabilities=(0.40, 0.45, 0.15), key_basis=0.85)
    counts, qber = expected_counts(1e7, settings, decoy_rates(Link(distance_km=100), settings))
    found = decoy_bounds(counts, settings, 1e-15 * 2385906.70, clip=False)
    assert qber == pytest.approx(0.02620452, abs=1e-8)
    assert found.s0 == 0
    assert found.s1 == pytest.approx(6494978.64, abs=0.01)
    assert found.check_s1 == pytest.approx(173515.61, abs=0.01)
    assert found.check_v1 == pytest.approx(9261.77, abs=0.01)
    assert found.phi == pytest.approx(0.0581590, abs=1e-7)


@pytest.fixture
def expected() -> tuple[Counts, Settings, float]:
    settings = Settings(intensities=(0.5, 0.2, 2e-4), block_bits=10_000_000)
    counts, qber = expected_counts(1e7, settings, decoy_rates(Link(), settings))
    return counts, settings, 1.16 * binary_entropy(qber) * 1e7


def test_more_leak_or_more_errors_never_give_more_key(expected: tuple[Counts, Settings, float]) -> None:
    counts, settings, leak = expected
    lengths = [lim2014(counts, settings, leak + 1000 * more).bits for more in range(5)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] - lengths[4] == pytest.approx(4000, abs=2)
    worse = [
        lim2014(Counts.of(counts.key, counts.check, counts.check_errors * k), settings, leak).bits
        for k in (1, 1.5, 2, 3)
    ]
    assert worse == sorted(worse, reverse=True)
    assert worse[0] > worse[-1]


def test_bounds_hold_for_counts_whose_photon_numbers_are_known() -> None:
    rng = np.random.default_rng(5)
    settings = Settings(intensities=(0.5, 0.2, 2e-4), key_basis=0.8)
    mu, p = np.array(settings.intensities), np.array(settings.probabilities)
    yields = 1 - (1 - 1e-5) * (1 - 0.02) ** np.arange(12)
    for _ in range(20):
        key, check, errors = np.zeros(3), np.zeros(3), np.zeros(3)
        singles = {"key": 0, "check": 0}
        for name, share, into in (("key", 0.64, key), ("check", 0.04, check)):
            sent = rng.multinomial(int(4e7 * share), p)
            for k in range(3):
                weights = np.exp(-mu[k]) * mu[k] ** np.arange(12) / [math.factorial(n) for n in range(12)]
                photons = rng.multinomial(sent[k], weights / weights.sum())
                seen = rng.binomial(photons, yields)
                into[k] = seen.sum()
                singles[name] += seen[1]
                if name == "check":
                    errors[k] = rng.binomial(int(seen.sum()), 0.01)
        found = decoy_bounds(Counts.of(key, check, errors), settings, 1e-6)
        assert 0.5 * singles["key"] < found.s1 <= singles["key"]
        assert found.check_s1 <= singles["check"]
        assert found.phi > 0.01


def test_a_fixed_length_is_below_what_counts_allow_and_its_test_refuses_worse_blocks(
    expected: tuple[Counts, Settings, float],
) -> None:
    counts, settings, leak = expected
    acceptance = Acceptance.around(counts, settings, leak)
    fixed = acceptance.length(settings)
    assert 0 < fixed.bits < lim2014(counts, settings, leak).bits
    assert acceptance.refuses(counts, settings, leak) == ""
    noisy = Counts.of(counts.key, counts.check, counts.check_errors * 1.3)
    assert "phase error" in acceptance.refuses(noisy, settings, leak)
    dim = Counts.of(counts.key * 0.9, counts.check, counts.check_errors)
    assert "s1" in acceptance.refuses(dim, settings, leak)
    assert "disclosed" in acceptance.refuses(counts, settings, leak * 1.03)


def test_pairs_approach_the_asymptotic_rate() -> None:
    settings = Settings(protocol="e91", eps_sec=1e-10)
    rates = []
    for n in (10**4, 10**6, 10**9):
        leak = n * binary_entropy(0.02)
        rates.append(bbm92(n, n // 4, n // 200, settings, leak).exact / n)
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(bb84_rate(0.02), abs=0.002)
    assert bbm92(0, 10, 0, settings, 0).bits == 0


def test_pairs_are_those_of_the_formula_by_hand() -> None:
    settings = Settings(protocol="e91", eps_sec=1e-10, eps_cor=1e-15)
    n, k, errors, leak = 50_000, 20_000, 400, 9_000
    mu = math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(4 / 1e-10))
    phi = errors / k + mu
    entropy = -phi * math.log2(phi) - (1 - phi) * math.log2(1 - phi)
    by_hand = n * (1 - entropy) - leak - math.log2(2 / 1e-15) - 2 * math.log2(1e10)
    assert bbm92(n, k, errors, settings, leak).exact == pytest.approx(by_hand, abs=1e-6)


def test_few_errors_seen_prove_no_more_than_counting_does() -> None:
    """None of 200 checked bits wrong: the true rate may still be ln(1/p) / 200 with a chance of p."""
    for eps in (1e-6, 1e-10):
        room = serfling(eps, 0.0, 200, 10**6)
        assert (1 - room) ** 200 <= eps / TERMS


def test_vacuum_pulses_count_in_the_paper_alone() -> None:
    settings = Settings(intensities=(0.5, 0.17, 2e-4), probabilities=(0.7, 0.2, 0.1), key_basis=0.93)
    counts, _ = expected_counts(1e9, settings, decoy_rates(Link(distance_km=100), settings))
    leak = 2e8
    found = decoy_bounds(counts, settings, settings.eps_sec)
    more = lim2014(counts, settings, leak, vacuum=True).exact - lim2014(counts, settings, leak).exact
    assert more == pytest.approx(found.s0)
    assert found.s0 > 1e6


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="three counts"):
        Counts.of([1, 2, 3], [1, 1, 1], [2, 0, 0])


def test_holevo_of_chsh_spans_from_nothing_to_all() -> None:
    assert holevo_of_chsh(TSIRELSON) == pytest.approx(0, abs=1e-7)
    assert holevo_of_chsh(2.0) == 1.0
    assert device_independent_rate(0.0) == pytest.approx(1.0, abs=1e-7)


def test_a_link_says_what_is_out_of_range() -> None:
    from qwarden.core.errors import UsageError

    with pytest.raises(UsageError, match="dark_count: expected 0 to 1"):
        Link(dark_count=2.0)
    with pytest.raises(UsageError, match="no light"):
        Link(distance_km=10_000)
    with pytest.raises(UsageError, match="intensities"):
        Settings(intensities=(0.2, 0.5, 0.0))
    with pytest.raises(UsageError, match="probabilities"):
        Settings(probabilities=(0.5, 0.5, 0.5))
