"""What each attack does to the observables, and that nothing else shows: the table of the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.observables import Observables, observe_both
from qwarden.keys.physics import ATTACKS, KINDS, Attack, eve_knows, parse, transmit
from qwarden.keys.physics.medium import splitting

LINK = Link(distance_km=50)
SETTINGS = Settings(intensities=(0.5, 0.2, 2e-4), probabilities=(0.5, 0.35, 0.15), key_basis=0.7)
E91 = Settings(protocol="e91", key_basis=0.6, test_share=0.5)
PAIRS = Link(distance_km=10, pair_rate=0.02, afterpulse=0.0)
PULSES = 400_000_000


def seen(
    attack: str | None, link: Link = LINK, settings: Settings = SETTINGS, pulses: int = PULSES
) -> Observables:
    block = transmit(link, settings, attack=parse(attack) if attack else None, pulses=pulses, seed=21)
    return observe_both(settings.protocol, block.alice, block.bob, block.telemetry)


@pytest.fixture(scope="module")
def honest() -> Observables:
    return seen(None)


def ratio(found: Observables, honest: Observables, intensity: int) -> float:
    return float(found.detected[:, intensity].sum() / honest.detected[:, intensity].sum())


@pytest.mark.parametrize("text", ATTACKS)
def test_names_are_read_at_full_strength(text: str) -> None:
    assert parse(text) == Attack(text, 1.0)
    assert parse(str(Attack(text, 0.3))) == Attack(text, 0.3)


@pytest.mark.parametrize(
    "text", ["", "pnz", "pns:", "pns:x", "pns:nan", "pns:-0.1", "pns:1.1", "pns:inf", ":1"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="attack"):
        parse(text)


def test_what_no_count_shows_is_listed_as_such() -> None:
    assert {name for name, kind in KINDS.items() if not kind.visible} == {"beam-split", "drift"}
    assert [name for name, kind in KINDS.items() if not kind.hostile] == ["drift"]
    assert KINDS["trojan"].visible == ("watchdog",)
    assert KINDS["mitm"].visible == ("tags",)


@pytest.mark.parametrize("strength", [0.2, 0.44, 1.0])
def test_intercept_resend_adds_a_quarter_in_both_bases(honest: Observables, strength: float) -> None:
    found = seen(f"intercept-resend:{strength}")

    for basis in (0, 1):
        usual = honest.qber(basis)
        # A quarter of the intercepted bits are coins turned over; where there was an error, so is that.
        expected = usual + strength / 4 * (1 - 2 * usual)
        assert found.qber(basis) == pytest.approx(
            expected, abs=5 * math.sqrt(0.2 / found.detected[basis].sum())
        )
    assert ratio(found, honest, 0) == pytest.approx(1, abs=0.01)
    assert ratio(found, honest, 1) == pytest.approx(1, abs=0.02)


def test_intercept_resend_leaves_no_violation_of_bells_inequality() -> None:
    whole, none = (seen(text, PAIRS, E91, 2_000_000_000) for text in ("intercept-resend", None))

    assert none.chsh - 3 * none.chsh_error > 2
    # Measured in Z or X and sent on: half of the correlations survive, S = sqrt 2 V.
    assert whole.chsh == pytest.approx(none.chsh / 2, abs=5 * whole.chsh_error)
    assert whole.qber(0) == pytest.approx(0.25, abs=0.05)


def test_photon_number_splitting_shows_in_the_decoy_alone(honest: Observables) -> None:
    found = seen("pns")

    assert ratio(found, honest, 0) == pytest.approx(1, abs=0.01)
    assert found.qber(0) == pytest.approx(honest.qber(0), abs=0.003)
    # All detected light had several photons: P(n >= 2) falls with mu squared, so the decoy's gain by 2.3.
    assert ratio(found, honest, 1) < 0.55


@pytest.mark.parametrize("mean", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("receiver", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("km", [0, 10, 40, 120])
def test_splitting_keeps_the_signals_gain(mean: float, receiver: float, km: float) -> None:
    usual = -math.expm1(-mean * receiver * 10 ** (-0.02 * km))
    single, several = splitting(mean, receiver, usual)
    photons = np.arange(60)
    poisson = math.exp(-mean) * np.cumprod(np.concatenate([[1.0], mean / photons[1:]]))
    detected = 1 - (1 - receiver) ** np.maximum(photons - 1, 0)
    gain = poisson[1] * single + several * (poisson[2:] @ detected[2:])

    assert 0 <= single <= receiver
    assert 0 <= several <= 1
    # Without any fibre's loss to make up for, the photon that she keeps is missing.
    assert gain == pytest.approx(usual, rel=1e-9) if km >= 10 else gain <= usual * (1 + 1e-9)


def test_beam_splitting_is_loss_and_nothing_else(honest: Observables) -> None:
    found = seen("beam-split")
    darker = seen(None, Link(distance_km=50, receiver_efficiency=0.05))

    for intensity in range(2):
        assert ratio(found, darker, intensity) == pytest.approx(1, abs=0.03)
    assert found.qber(0) == pytest.approx(honest.qber(0), abs=0.003)


def test_blinding_leaves_no_double_clicks_no_dark_counts_and_a_current(honest: Observables) -> None:
    found = seen("blinding")

    assert found.doubles == 0 < honest.doubles
    assert found.detected[:, 2].sum() < honest.detected[:, 2].sum() / 10
    assert found.photocurrent > 10 > honest.photocurrent
    zeros, ones = found.clicks[[0, 2]].sum(), found.clicks[[1, 3]].sum()
    assert (zeros - ones) / math.sqrt(zeros + ones) > 10
    assert ratio(found, honest, 0) == pytest.approx(1, abs=0.1)


def test_blinding_even_violates_bells_inequality() -> None:
    assert seen("blinding", PAIRS, E91, 2_000_000_000).chsh > 2.5


def test_time_shift_moves_arrivals_and_unbalances_detectors(honest: Observables) -> None:
    found = seen("time-shift")
    middle = slice(6, 10)

    assert honest.histogram[middle].sum() / honest.histogram.sum() > 0.7
    assert found.histogram[middle].sum() / found.histogram.sum() < 0.3
    zeros, ones = found.clicks[[0, 2]].sum(), found.clicks[[1, 3]].sum()
    assert abs(zeros - ones) / math.sqrt(zeros + ones) > 5
    assert found.qber(0) == pytest.approx(honest.qber(0), abs=0.005)


def test_trojan_light_shows_on_the_watchdog_alone(honest: Observables) -> None:
    found = seen("trojan")

    assert found.watchdog > 5 > honest.watchdog
    for name in ("detected", "errors", "clicks", "histogram"):
        assert np.array_equal(getattr(found, name), getattr(honest, name))


def test_jamming_lowers_gains_and_lights_up_the_vacuum(honest: Observables) -> None:
    found = seen("jam:0.5")

    assert ratio(found, honest, 2) > 10
    assert found.qber(0) > honest.qber(0) + 0.1
    assert ratio(seen("jam:0.02"), honest, 2) > 1.3


def test_a_cut_ends_the_block_early(honest: Observables) -> None:
    block = transmit(LINK, SETTINGS, attack=parse("cut:0.7"), pulses=PULSES, seed=2)
    light = block.bob.index[block.alice.intensity == 0]

    assert np.mean(light < 0.3 * PULSES) > 0.98
    assert seen("cut").detected[:, 0].sum() < honest.detected[:, 0].sum() / 100


def test_drift_ramps_errors_over_the_block_by_a_hundredth() -> None:
    block = transmit(Link(distance_km=10), SETTINGS, attack=parse("drift"), pulses=200_000_000, seed=3)
    kept = block.alice.basis == block.bob.basis
    wrong = (block.alice.bit != block.bob.bit)[kept]
    late = block.bob.index[kept] > 100_000_000

    # Halfway in each half: e_mis rises by 0.01, of which light's share of clicks shows.
    assert wrong[late].mean() - wrong[~late].mean() == pytest.approx(0.005, abs=0.001)
    assert block.misalignment == pytest.approx(Link().misalignment + 0.01)


@pytest.mark.parametrize("attack", ["intercept-resend:0.6", "blinding:0.5", "trojan:0.2", "mitm"])
def test_what_eve_knows_of_attacks_in_which_she_measures(attack: str) -> None:
    expected = {"intercept-resend:0.6": 0.3, "blinding:0.5": 0.5, "trojan:0.2": 0.2, "mitm": 1.0}

    assert eve_knows(parse(attack), LINK, SETTINGS) == pytest.approx(expected[attack], abs=0.02)


def test_eve_knows_all_after_splitting_and_what_she_split_off() -> None:
    assert 0.95 < eve_knows(parse("pns"), LINK, SETTINGS) <= 1
    # The tapped half of a pulse of 0.5 photons holds one with 1 - exp(-0.25).
    assert eve_knows(parse("beam-split"), LINK, SETTINGS) == pytest.approx(-math.expm1(-0.25), rel=0.25)
    assert eve_knows(parse("beam-split"), PAIRS, E91) == 0


@pytest.mark.parametrize(
    ("name", "protocol"), [(name, protocol) for name, kind in KINDS.items() for protocol in kind.protocols]
)
def test_eve_knows_more_the_stronger_she_is(name: str, protocol: str) -> None:
    settings = SETTINGS if protocol == "bb84" else E91
    known = [eve_knows(Attack(name, strength), LINK, settings) for strength in (0.1, 0.5, 1.0)]

    assert known == sorted(known)
    assert 0 <= known[0] <= known[-1] <= 1
    if name in ("jam", "cut", "drift"):
        assert known[-1] == 0
