"""The per-pulse engine: follows every photon of every pulse, from the source to the detector that it fires.

It draws what physics draws, step by step, and knows nothing of the sums that the count-exact engine
(`counts`) goes by: each is the other's check.
"""

from __future__ import annotations

import numpy as np

from qwarden.keys._random import IntArray, Words, alias_table, threshold
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics._pair_loops import send_pairs
from qwarden.keys.physics._pulse_loops import CHANCES, FIRES, PARTS, send_pulses
from qwarden.keys.physics._receiver import GATE
from qwarden.keys.physics.attacks import SHIFTED, TRIGGER
from qwarden.keys.physics.buffers import Buffers
from qwarden.keys.physics.medium import Medium, Stretch
from qwarden.keys.physics.pair_tables import overlap
from qwarden.keys.records import Detections, Preparations

MOST_PHOTONS = 64


def send_bb84(
    link: Link, settings: Settings, stretches: list[Stretch], pulses: int, seed: int
) -> tuple[Preparations, Detections, IntArray]:
    """Send a block; return Alice's preparations, Bob's detections and what she sent, (2, 3)."""
    made = Buffers(seed)
    sent = np.zeros((2, 3), np.int64)
    key, check = settings.key_basis, 1.0 - settings.key_basis
    choices = alias_table(np.einsum("k,a,b->kab", settings.probabilities, (key, check), (key, check)).ravel())
    photons = np.array([photon_thresholds(mean) for mean in settings.intensities])
    for part in stretches:
        medium = part.medium
        while made.state[GATE] < part.end:
            send_pulses(
                part.end, *choices, photons, int(medium.hand), chances(medium),
                background_thresholds(medium.background), made.slots, made.slots_other,
                threshold(link.afterpulse), link.dead_gates, made.state, made.random, made.index[0],
                made.records[0], sent,
            )  # fmt: skip
            made.make_room()
    return *made.detections(0, pulses), sent


def send_e91(
    link: Link, settings: Settings, stretches: list[Stretch], pulses: int, seed: int
) -> tuple[Detections, Detections]:
    """Send a block; return Alice's and Bob's detections."""
    made = Buffers(seed)
    alice = (settings.key_basis, 1.0 - settings.key_basis)
    choices = alias_table(np.outer(alice, settings.bob_bases).ravel())
    source, resent = agreement(link.visibility), agreement(1.0)
    for part in stretches:
        medium = part.medium
        while made.state[GATE] < part.end:
            send_pairs(
                part.end, *choices, photon_thresholds(link.pair_rate), source, resent, int(medium.hand),
                chances(medium), background_thresholds(medium.dark),
                background_thresholds(medium.background), made.slots, made.slots_other,
                threshold(link.afterpulse), link.dead_gates, made.state, made.random, made.index,
                made.records,
            )  # fmt: skip
            made.make_room()
    return made.detections(0, pulses)[1], made.detections(1, pulses)[1]


def photon_thresholds(mean: float) -> Words:
    """Return the thresholds of 0, 1, 2 ... photons or fewer of a Poisson source; the last is certain."""
    numbers = np.arange(1, MOST_PHOTONS)
    below = np.exp(-mean) * np.cumsum(np.concatenate([[1.0], np.cumprod(mean / numbers)]))
    thresholds = np.array([threshold(chance) for chance in below])
    thresholds[-1] = threshold(1.0)
    return thresholds


def background_thresholds(chance: float) -> Words:
    """Return the thresholds that both detectors fire, detector 0 at most with 1, and any."""
    return np.array([threshold(chance**2), threshold(chance), threshold(1.0 - (1.0 - chance) ** 2)])


def chances(medium: Medium) -> Words:
    """Return a medium's thresholds in the places that the loops read."""
    found = np.empty(CHANCES, np.uint64)
    found[:FIRES] = [
        threshold(chance)
        for chance in (
            medium.eta, medium.eta_alice, medium.misalignment, medium.share, medium.single, medium.several,
            medium.receiver, medium.trigger, medium.eta_shifted,
        )
    ]  # fmt: skip
    found[FIRES:PARTS] = [threshold(chance) for chance in TRIGGER]
    found[PARTS:] = [threshold(part) for parts in SHIFTED for part in parts]
    return found


def agreement(visibility: float) -> Words:
    """Return the thresholds that measurements of a Werner pair agree, by both bases, (4, 4)."""
    bases = range(4)
    return np.array([[threshold((1.0 + visibility * overlap(a, b)) / 2) for b in bases] for a in bases])
