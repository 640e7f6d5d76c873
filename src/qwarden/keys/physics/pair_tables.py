"""All that can happen in one gate of E91, with its probability: a Werner source, loss, several pairs.

As `tables` for BB84. Eve's hand is on Bob's arm.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from qwarden.keys._random import FloatArray
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics.attacks import SHIFTED, TRIGGER
from qwarden.keys.physics.medium import Hand, Medium, Mode

PAIR_SHAPE: Final = (2, 4, 4, 3, 3, 3, 3)
"""Alice's basis, Bob's, `Mode`, and why Alice's detectors 0 and 1 and Bob's clicked, as in
`tables.EVENT_SHAPE`."""
ANGLES: Final = (0.0, math.pi / 2, math.pi / 4, -math.pi / 4)
"""Direction of each `Basis` on the Bloch sphere, from Z towards X."""
MOST_PAIRS: Final = 24
BASES: Final = 4
"""Among which Eve chooses, when she triggers Bob: a test for Bell's inequality shall pass as well."""


def overlap(a: int, b: int) -> float:
    """Return the correlation of a perfect pair measured in two bases."""
    return math.cos(ANGLES[a] - ANGLES[b])


def pair_chances(link: Link, settings: Settings, medium: Medium) -> FloatArray:
    """Return the chance of everything that can happen in a gate, shape `PAIR_SHAPE`; they add up to 1."""
    table = np.zeros(PAIR_SHAPE)
    for a in range(2):
        for b in range(4):
            prior = (settings.key_basis if a == 0 else 1.0 - settings.key_basis) * settings.bob_bases[b]
            for mode, light in pair_lights(link, medium, a, b).items():
                alice = _why(medium.dark)
                bob = _why(0.0 if mode is Mode.BLIND else medium.background)
                table[a, b, mode] = prior * np.einsum("ijkl,ip,jq,kr,ls->pqrs", light, alice, alice, bob, bob)
    return table


def pair_lights(link: Link, medium: Medium, a: int, b: int) -> dict[Mode, FloatArray]:
    """Return for each mode the chances (2, 2, 2, 2) that light fires A0, A1, B0, B1, mode included."""
    share, mean = medium.share, link.pair_rate
    seen = (1.0 - 2.0 * medium.misalignment) ** 2 * link.visibility
    usual = (medium.eta, medium.eta)
    found = {Mode.USUAL: (1.0 - share) * poisson_pairs(medium, mean, seen * overlap(a, b), usual)}
    if medium.hand is Hand.RESEND:
        for eve in range(2):
            through = seen * overlap(a, eve) * overlap(eve, b)
            found[Mode.USUAL] += share / 2 * poisson_pairs(medium, mean, through, usual)
    elif medium.hand is Hand.BLIND:
        found[Mode.BLIND] = share * _triggered(link, medium, a, b)
    elif medium.hand is Hand.SHIFT:
        for mode, parts in zip((Mode.EARLY, Mode.LATE), SHIFTED, strict=True):
            bob = (medium.eta_shifted * parts[0], medium.eta_shifted * parts[1])
            found[mode] = share / 2 * poisson_pairs(medium, mean, seen * overlap(a, b), bob)
    return found


def poisson_pairs(medium: Medium, mean: float, correlation: float, bob: tuple[float, float]) -> FloatArray:
    """Return the pattern (A0, A1, B0, B1) of Poisson many pairs.

    Parameters
    ----------
    mean : of pairs.
    correlation : of the two outcomes of a pair.
    bob : chances that a photon that takes Bob's detector 0 and 1 is detected.
    """
    one = np.zeros((3, 3))  # of a pair: Alice's detector 0, 1 or none; Bob's alike
    for i in range(2):
        for j in range(2):
            chance = (1.0 + correlation * (1 if i == j else -1)) / 4
            for x, p in ((i, medium.eta_alice), (2, 1.0 - medium.eta_alice)):
                for y, q in ((j, bob[j]), (2, 1.0 - bob[j])):
                    one[x, y] += chance * p * q
    dark = np.empty((2, 2, 2, 2))
    for t in np.ndindex(2, 2, 2, 2):
        hit = np.zeros((3, 3), np.bool_)
        hit[[d for d in range(2) if t[d]], :] = True
        hit[:, [d for d in range(2) if t[2 + d]]] = True
        dark[t] = math.exp(-mean * float(one[hit].sum()))
    return _fired(dark)


def _fired(dark: FloatArray) -> FloatArray:
    """Return the chances of the fired sets, from those that all detectors of a set stay dark."""
    pattern = dark[::-1, ::-1, ::-1, ::-1].copy()  # [f]: all detectors outside f stay dark
    for axis in range(4):
        rest = np.take(pattern, 0, axis)
        some = np.take(pattern, 1, axis) - rest
        pattern = np.stack([rest, some], axis)
    return np.maximum(pattern, 0.0)


def _triggered(link: Link, medium: Medium, a: int, b: int) -> FloatArray:
    """Return the pattern of gates in which Eve measures Bob's photons and triggers his blind detectors."""
    mean, eta = link.pair_rate, medium.eta_alice
    flips = 1.0 - 2.0 * medium.misalignment
    whole = poisson_pairs(medium, mean, 0.0, (0.0, 0.0))[:, :, 0, 0]
    pattern = np.zeros((2, 2, 2, 2))
    for y in range(2):
        same = (1.0 + flips * link.visibility * overlap(a, b)) / 2
        first = (same, 1.0 - same) if y == 0 else (1.0 - same, same)
        joint = np.zeros((2, 2))
        weight = math.exp(-mean)
        for pairs in range(1, MOST_PAIRS):
            weight *= mean / pairs
            none = (1.0 - eta) ** pairs
            only_1, only_0 = ((1.0 - eta * way) * (1.0 - eta / 2) ** (pairs - 1) for way in first)
            joint += weight * np.array([[none, only_1 - none], [only_0 - none, 1.0 - only_0 - only_1 + none]])
        joint *= 0.5 * medium.trigger * TRIGGER[y] / BASES
        pattern[(slice(None), slice(None), *((1, 0) if y == 0 else (0, 1)))] = joint
    pattern[:, :, 0, 0] = whole - pattern.sum(axis=(2, 3))
    return np.maximum(pattern, 0.0)


def _why(background: float) -> FloatArray:
    return np.array([[1.0 - background, 0.0, background], [0.0, 1.0, 0.0]])
