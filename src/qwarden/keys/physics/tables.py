"""All that can happen in one gate of decoy-state BB84, with its probability.

The count-exact engine draws from these sums; the per-pulse engine never looks at them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from qwarden.keys._random import FloatArray
from qwarden.keys.link import Settings
from qwarden.keys.physics.attacks import SHIFTED, TRIGGER
from qwarden.keys.physics.medium import Hand, Medium, Mode

EVENT_SHAPE: Final = (3, 2, 2, 2, 4, 3, 3)
"""Intensity, Alice's basis, her bit, Bob's basis, `Mode`, and why detector 0 and detector 1 clicked: 0 it
did not, 1 light of the source, 2 anything else."""
MOST_PHOTONS: Final = 40


def event_chances(settings: Settings, medium: Medium) -> FloatArray:
    """Return the chance of everything that can happen in a gate, shape `EVENT_SHAPE`; they add up to 1."""
    table = np.zeros(EVENT_SHAPE)
    for k, mean in enumerate(settings.intensities):
        for a in range(2):
            for x in range(2):
                for b in range(2):
                    prior = (
                        settings.probabilities[k]
                        * (settings.key_basis if a == 0 else 1.0 - settings.key_basis)
                        * 0.5
                        * settings.bob_bases[b]
                    )
                    for mode, light in lights(medium, mean, a, x, b).items():
                        background = 0.0 if mode is Mode.BLIND else medium.background
                        table[k, a, x, b, mode] = prior * with_background(light, background)
    return table


def with_background(light: FloatArray, background: float) -> FloatArray:
    """Return the chances of why each detector clicked, shape (3, 3), from those of light alone, (2, 2)."""
    why = np.array([[1.0 - background, 0.0, background], [0.0, 1.0, 0.0]])
    return np.asarray(why.T @ light @ why)


def lights(medium: Medium, mean: float, a: int, x: int, b: int) -> dict[Mode, FloatArray]:
    """Return for each mode the chances (2, 2) that light fires detector 0 and detector 1, mode included.

    Parameters
    ----------
    mean : photons of the pulse.
    a, x, b : Alice's basis and bit, Bob's basis.
    """
    share = medium.share
    found = {Mode.USUAL: (1.0 - share) * _poisson(medium, mean, a, x, b)}
    if medium.hand is Hand.RESEND:
        for eve in range(2):
            for y in range(2):
                chance = 0.5 * (float(x == y) if eve == a else 0.5)
                found[Mode.USUAL] += share * chance * _poisson(medium, mean, eve, y, b)
    elif medium.hand is Hand.SPLIT:
        found[Mode.USUAL] += share * _split(medium, mean, a, x, b)
    elif medium.hand is Hand.BLIND:
        found[Mode.BLIND] = share * _blind(medium, mean, a, x, b)
    elif medium.hand is Hand.SHIFT:
        for mode, parts in zip((Mode.EARLY, Mode.LATE), SHIFTED, strict=True):
            means = medium.eta_shifted * mean * np.array(_ways(medium, a, x, b)) * parts
            found[mode] = share / 2 * _independent(means)
    return found


def _ways(medium: Medium, a: int, x: int, b: int) -> tuple[float, float]:
    """Return the chances that a photon takes detector 0 and detector 1."""
    if a != b:
        return 0.5, 0.5
    wrong = medium.misalignment
    return (1.0 - wrong, wrong) if x == 0 else (wrong, 1.0 - wrong)


def _poisson(medium: Medium, mean: float, a: int, x: int, b: int) -> FloatArray:
    return _independent(medium.eta * mean * np.array(_ways(medium, a, x, b)))


def _independent(means: FloatArray) -> FloatArray:
    """Return the pattern of two detectors that see Poisson light of the given means."""
    fired = -np.expm1(-means)
    return np.outer([1.0 - fired[0], fired[0]], [1.0 - fired[1], fired[1]])


def _split(medium: Medium, mean: float, a: int, x: int, b: int) -> FloatArray:
    ways = _ways(medium, a, x, b)
    pattern = np.zeros((2, 2))
    weight = math.exp(-mean)
    for photons in range(MOST_PHOTONS):
        if photons == 0:
            detected, count, passed = 0.0, 0, 0.0
        elif photons == 1:
            detected, count, passed = medium.single, 1, 1.0
        else:
            detected, count, passed = medium.receiver, photons - 1, medium.several
        forwarded = _numbered(detected, count, ways)
        pattern += weight * passed * forwarded
        pattern[0, 0] += weight * (1.0 - passed)
        weight *= mean / (photons + 1)
    return pattern


def _numbered(detected: float, photons: int, ways: tuple[float, float]) -> FloatArray:
    """Return the pattern of a given number of photons, each detected with the same chance."""
    none = (1.0 - detected) ** photons
    not_0, not_1 = ((1.0 - detected * way) ** photons for way in ways)
    return np.array([[none, not_0 - none], [not_1 - none, max(0.0, 1.0 - not_0 - not_1 + none)]])


def _blind(medium: Medium, mean: float, a: int, x: int, b: int) -> FloatArray:
    found = -math.expm1(-mean) * medium.trigger
    pattern = np.zeros((2, 2))
    for y in range(2):
        # Eve's basis is Bob's half of the time, and only then does he click.
        chance = found * 0.5 * (float(x == y) if a == b else 0.5) * TRIGGER[y]
        pattern[(1, 0) if y == 0 else (0, 1)] += chance
    pattern[0, 0] = 1.0 - pattern.sum()
    return pattern
