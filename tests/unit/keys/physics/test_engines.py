"""The per-pulse and the count-exact engine agree, whatever the link suffers from and whatever is done to it.

One follows photons, the other draws from sums over all that can happen; they share the receiver's dead time,
afterpulses and double clicks, which are held against closed forms at the end.
"""

from __future__ import annotations

import math

import agreement
import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics import ATTACKS, Attack, Transmission, transmit

LINKS = {
    "short": Link(distance_km=1, receiver_efficiency=0.3, misalignment=0.02, pair_rate=0.2, visibility=0.95),
    "worn": Link(
        distance_km=5, receiver_efficiency=0.3, misalignment=0.03, dark_count=2e-4, afterpulse=0.15,
        dead_time_s=2e-8, pair_rate=0.2, visibility=0.9,
    ),
    "long": Link(distance_km=40, receiver_efficiency=0.3, dark_count=1e-5, dead_time_s=3e-7, pair_rate=0.2),
}  # fmt: skip
SETTINGS = {
    "bb84": Settings(intensities=(0.6, 0.25, 0.01), probabilities=(0.4, 0.4, 0.2), key_basis=0.7),
    "e91": Settings(protocol="e91", key_basis=0.7, test_share=0.3),
}
LEAST = 0.01
LEAST_OF_MANY = 1e-4
"""Forty cases of five values each: by chance alone one in fifty runs of them would be below."""
ACTIVE = [name for name in ATTACKS if name not in ("mitm", "trojan")]


def pair(
    link: Link, settings: Settings, attack: Attack | None, pulses: int, seed: int = 1
) -> list[Transmission]:
    return [
        transmit(link, settings, attack=attack, pulses=pulses, seed=seed + place, engine=engine)
        for place, engine in enumerate(("counts", "pulses"))
    ]


@pytest.mark.parametrize("protocol", ["bb84", "e91"])
@pytest.mark.parametrize("name", LINKS)
def test_engines_agree_on_honest_links(protocol: str, name: str) -> None:
    found = agreement.p_values(*pair(LINKS[name], SETTINGS[protocol], None, 3_000_000))

    assert min(found.values()) > LEAST, found


@pytest.mark.parametrize("strength", [0.4, 1.0])
@pytest.mark.parametrize("attack", ACTIVE)
@pytest.mark.parametrize("protocol", ["bb84", "e91"])
def test_engines_agree_under_attack(protocol: str, attack: str, strength: float) -> None:
    if (protocol, attack) == ("e91", "pns"):
        with pytest.raises(UsageError, match="cannot be done under e91"):
            transmit(LINKS["worn"], SETTINGS["e91"], attack=Attack("pns"), pulses=1, seed=0)
        return
    one, other = pair(LINKS["worn"], SETTINGS[protocol], Attack(attack, strength), 1_000_000)
    found = agreement.p_values(one, other)

    assert min(found.values()) > LEAST_OF_MANY, found


@pytest.mark.parametrize("protocol", ["bb84", "e91"])
def test_engines_agree_while_misalignment_wanders(protocol: str) -> None:
    link = Link(distance_km=1, receiver_efficiency=0.3, misalignment=0.1, drift_per_block=0.1, pair_rate=0.2)
    # How far it wanders is the seed's: one for both.
    one, other = (
        transmit(link, SETTINGS[protocol], pulses=1_000_000, seed=12, engine=engine)
        for engine in ("counts", "pulses")
    )
    found = agreement.p_values(one, other)

    assert abs(one.misalignment - 0.1) > 0.05
    assert one.misalignment == other.misalignment
    assert min(found.values()) > LEAST, found


@pytest.mark.parametrize("attack", ["mitm", "trojan"])
def test_what_touches_no_photon_changes_none(attack: str) -> None:
    quiet = transmit(LINKS["worn"], SETTINGS["bb84"], pulses=100_000, seed=3)
    attacked = transmit(LINKS["worn"], SETTINGS["bb84"], attack=Attack(attack), pulses=100_000, seed=3)

    assert np.array_equal(quiet.bob.index, attacked.bob.index)
    assert np.array_equal(quiet.bob.bit, attacked.bob.bit)


def test_a_comparison_of_different_links_fails() -> None:
    one = transmit(LINKS["short"], SETTINGS["bb84"], pulses=1_000_000, seed=1)
    slightly = Link(distance_km=1, receiver_efficiency=0.3, misalignment=0.04)
    other = transmit(slightly, SETTINGS["bb84"], pulses=1_000_000, seed=2, engine="pulses")

    assert agreement.p_values(one, other)["counts and errors"] < 1e-6


@pytest.mark.parametrize("engine", ["counts", "pulses"])
def test_one_seed_makes_one_block(engine: str) -> None:
    blocks = [
        transmit(LINKS["worn"], SETTINGS["bb84"], pulses=50_000, seed=seed, engine=engine)
        for seed in (8, 8, 9)
    ]

    assert np.array_equal(blocks[0].bob.index, blocks[1].bob.index)
    assert np.array_equal(blocks[0].alice.bit, blocks[1].alice.bit)
    assert blocks[0].telemetry == blocks[1].telemetry
    assert not np.array_equal(blocks[0].bob.index, blocks[2].bob.index)


@pytest.mark.parametrize("protocol", ["bb84", "e91"])
@pytest.mark.parametrize("engine", ["counts", "pulses"])
def test_blocks_longer_than_the_buffers_are_whole(
    protocol: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link(distance_km=0, receiver_efficiency=0.8, dead_time_s=2e-9, drift_per_block=0.02, pair_rate=0.3)
    whole = transmit(link, SETTINGS[protocol], pulses=30_000, seed=2, engine=engine)
    monkeypatch.setattr("qwarden.keys.physics.buffers.Buffers.__init__.__defaults__", (64,))
    pieces = transmit(link, SETTINGS[protocol], pulses=30_000, seed=2, engine=engine)

    assert whole.bob.index.size > 1_000
    for party in ("alice", "bob"):
        assert np.array_equal(getattr(whole, party).index, getattr(pieces, party).index)
        assert np.array_equal(getattr(whole, party).bit, getattr(pieces, party).bit)


# The receiver, against closed forms.


def test_dead_time_parts_detections() -> None:
    link = Link(distance_km=0, receiver_efficiency=1.0, dead_time_s=7e-9, afterpulse=1.0)
    for protocol, engine in (("bb84", "counts"), ("bb84", "pulses"), ("e91", "counts"), ("e91", "pulses")):
        block = transmit(link, SETTINGS[protocol], pulses=100_000, seed=5, engine=engine)
        gaps = np.diff(block.bob.index)

        # With a certain afterpulse every detection is followed by one in the first gate it can be in.
        assert set(gaps.tolist()) == {8}, (protocol, engine)


@pytest.mark.parametrize("engine", ["counts", "pulses"])
def test_afterpulses_follow_with_their_chance_in_the_same_detector_and_at_any_time(engine: str) -> None:
    link = Link(distance_km=60, afterpulse=0.3, dark_count=0.0, dead_time_s=5e-9)
    block = transmit(link, SETTINGS["bb84"], pulses=8_000_000, seed=6, engine=engine)
    follows = np.flatnonzero(np.diff(block.bob.index) == 6)
    clicks = block.bob.index.size

    assert abs(follows.size / clicks - 0.3) < 5 * math.sqrt(0.3 * 0.7 / clicks)
    assert np.mean(block.bob.bit[follows] == block.bob.bit[follows + 1]) > 0.99
    edge = np.mean(block.bob.slot[follows + 1] < 4)
    assert abs(edge - 0.25) < 5 * math.sqrt(0.25 * 0.75 / follows.size)


def test_double_clicks_have_their_chance_and_a_random_bit() -> None:
    link = Link(distance_km=0, receiver_efficiency=0.9, dark_count=0.0, afterpulse=0.0, misalignment=0.0)
    settings = Settings(intensities=(1.0, 0.2, 0.0), probabilities=(0.98, 0.01, 0.01), key_basis=0.5)
    block = transmit(link, settings, pulses=1_000_000, seed=7, engine="pulses")
    signal = block.alice.intensity == 0
    crossed = signal & (block.alice.basis != block.bob.basis)
    each = -math.expm1(-0.45)  # half of 0.9 photons on either detector
    expected = each**2 / (1 - (1 - each) ** 2)
    doubles = block.bob.double[crossed]

    assert abs(doubles.mean() - expected) < 5 * math.sqrt(expected / doubles.size)
    assert not block.bob.double[signal & ~crossed].any()
    chosen = block.bob.bit[block.bob.double]
    assert abs(chosen.mean() - 0.5) < 2.5 / math.sqrt(chosen.size)


def test_drift_wanders_from_the_links_misalignment_and_is_told() -> None:
    link = Link(misalignment=0.1, drift_per_block=0.01)
    ends = [transmit(link, SETTINGS["bb84"], pulses=1, seed=seed).misalignment for seed in range(300)]

    assert np.mean(ends) == pytest.approx(0.1, abs=0.003)
    assert np.std(ends) == pytest.approx(0.01, rel=0.15)
    assert transmit(Link(), SETTINGS["bb84"], pulses=1, seed=0).misalignment == Link().misalignment


def test_no_pulses_and_unknown_engines_are_refused() -> None:
    with pytest.raises(UsageError, match="pulses"):
        transmit(Link(), SETTINGS["bb84"], pulses=0, seed=0)
    with pytest.raises(UsageError, match="engine"):
        transmit(Link(), SETTINGS["bb84"], pulses=1, seed=0, engine="dice")
