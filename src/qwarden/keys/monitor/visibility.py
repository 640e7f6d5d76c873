"""Which attacks a block can show at all: the figure of an ideal test that knows what it looks for.

`separation` is by how many standard deviations the expected counts under an attack lie from what an honest
link can show. It is the power of the best linear test between two known alternatives, which knows attack,
strength, link and settings, while loss may be any and misalignment may have begun to drift at any rate. At
false alarms of 0.1 % such a test sees 99 % of blocks from `VISIBLE` on. The counts come from the tables of
`physics`, not from the monitor's features: the monitor has no say in what counts as visible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.keys.link import Link, Settings
from qwarden.keys.monitor.features import FEATURES
from qwarden.keys.monitor.reference import MISALIGNMENT_FLOOR
from qwarden.keys.observables import PARTS
from qwarden.keys.physics.attacks import PHOTOCURRENT_RISE, WATCHDOG_RISE, Attack
from qwarden.keys.physics.medium import TELEMETRY_NOISE, Medium, Stretch, media, slot_weights
from qwarden.keys.physics.pair_tables import pair_chances
from qwarden.keys.physics.tables import event_chances
from qwarden.keys.records import SLOTS

F64 = npt.NDArray[np.float64]

VISIBLE: Final = 3.090 + 2.326
"""Standard normal quantiles of 99.9 % and 99 %."""
FREE: Final = 1e4
"""Variance of what may be anything."""
STEP: Final = 1e-3

_DIFFER = np.array([[0.0, 1.0, 1.0], [0.0, 0.5, 0.5], [0.0, 0.5, 0.5]])
"""Chance of bit 1 by why detectors 0 and 1 fired; rows: detector 0."""


def separation(attack: Attack, link: Link, settings: Settings, pulses: int) -> float:
    """Return by how many standard deviations a block under `attack` differs from any honest one.

    Parameters
    ----------
    link : as it is when the attack begins. What loss does is taken to first order.

    Examples
    --------
    >>> separation(Attack("intercept-resend", 1.0), Link(), Settings(), 10**8) > 50
    True
    >>> separation(Attack("beam-split", 0.2), Link(), Settings(), 10**8) < 1
    True
    """
    mean, covariance = _honest(link, settings, pulses)
    shift = _expected(media(link, settings, attack, pulses), link, settings, pulses) - mean
    squared = float(shift @ np.linalg.solve(covariance, shift))
    told = {"trojan": WATCHDOG_RISE, "blinding": PHOTOCURRENT_RISE}.get(attack.name, 0.0)
    return math.sqrt(max(squared, 0.0) + (told * attack.strength / TELEMETRY_NOISE) ** 2)


def visible(attack: Attack, link: Link, settings: Settings, pulses: int) -> bool:
    """Say whether an ideal test sees the attack in at least 99 % of blocks, at false alarms of 0.1 %."""
    return separation(attack, link, settings, pulses) >= VISIBLE


@lru_cache(maxsize=64)
def _honest(link: Link, settings: Settings, pulses: int) -> tuple[F64, F64]:
    """Return what is expected of an honest block, and the covariance of what it may show instead."""
    stretches = media(link, settings, None, pulses)
    mean = _expected(stretches, link, settings, pulses)

    def moved(change: Callable[[Medium], Medium]) -> F64:
        other = [replace(stretch, medium=change(stretch.medium)) for stretch in stretches]
        return (_expected(other, link, settings, pulses) - mean) / STEP

    bob = moved(lambda medium: replace(medium, eta=medium.eta * (1 + STEP)))
    alice = moved(lambda medium: replace(medium, eta_alice=medium.eta_alice * (1 + STEP)))
    wrong = moved(lambda medium: replace(medium, misalignment=medium.misalignment + STEP))
    ramp = wrong / 2
    ramp[:PARTS] = wrong[:PARTS] * (np.arange(PARTS) + 0.5) / PARTS
    spread = (1.0 + link.afterpulse) / (1.0 - link.afterpulse)
    noise = mean * spread + (FEATURES["decoy_gain"].floor * mean) ** 2 + 0.5
    in_key = float(mean[:PARTS].sum()) + 1.0
    known = 3.0 * in_key / max(float(wrong[:PARTS].sum()), 1.0) ** 2 + MISALIGNMENT_FLOOR**2
    covariance = np.diag(noise) + FREE * np.outer(bob, bob) + FREE * np.outer(alice, alice)
    return mean, covariance + FREE * np.outer(ramp, ramp) + known * np.outer(wrong, wrong)


def _expected(stretches: list[Stretch], link: Link, settings: Settings, pulses: int) -> F64:
    """Return expected counts of a block: errors in Z by part, arrivals by part, then the rest."""
    parts = np.zeros((2, PARTS))
    rest: F64 | None = None
    for stretch in stretches:
        count = _decoy_counts if settings.protocol == "bb84" else _pair_counts
        errors, clicks, other = count(link, settings, stretch.medium)
        edges = np.clip(np.arange(PARTS + 1) * pulses / PARTS, stretch.begin, stretch.end)
        live = 1.0 / (1.0 + clicks * link.dead_gates)
        parts += np.outer([errors, clicks], np.diff(edges)) * live
        other = other * ((stretch.end - stretch.begin) * live)
        rest = other if rest is None else rest + other
    assert rest is not None
    return np.concatenate([parts.ravel(), rest])


def _decoy_counts(link: Link, settings: Settings, medium: Medium) -> tuple[float, float, F64]:
    """Return chances a gate: an error in Z, a click, and everything else that is counted."""
    table = event_chances(settings, medium).sum(axis=4)  # intensity, a, x, b, why 0, why 1
    modes = event_chances(settings, medium).sum(axis=(0, 1, 2, 3))
    none = table[..., 0, 0].copy()
    doubles = float(table[..., 1:, 1:].sum())
    table[..., 0, 0] = 0.0
    one = (table * _DIFFER).sum(axis=(-2, -1))
    bits = np.stack([table.sum(axis=(-2, -1)) - one, one], axis=-1)  # k, a, x, b, bit
    follow = link.afterpulse * float(bits.sum()) / (1.0 - link.afterpulse * (1.0 - float(bits.sum())))
    bits += follow * none[..., None] / 2
    right = np.array([[bits[:, b, x, b, x] for x in (0, 1)] for b in (0, 1)]).sum(axis=1)  # b, k
    wrong = np.array([[bits[:, b, x, b, 1 - x] for x in (0, 1)] for b in (0, 1)]).sum(axis=1)
    unsifted = np.array([bits[:, 1 - b, :, b, :].sum(axis=(0, 1)) for b in (0, 1)])
    slots = _slots(modes, follow * float(none.sum()))
    rest = np.concatenate([right.ravel(), wrong[1], unsifted.ravel(), [doubles], slots])
    return float(wrong[0].sum()), float(bits.sum()), rest


def _pair_counts(link: Link, settings: Settings, medium: Medium) -> tuple[float, float, F64]:
    """As `_decoy_counts`, for E91."""
    table = pair_chances(link, settings, medium)  # a, b, mode, why A0, A1, B0, B1
    modes = table.sum(axis=(0, 1, 3, 4))
    table = table.sum(axis=2)
    bob = table.sum(axis=(2, 3))
    doubles = float(bob[..., 1:, 1:].sum())
    bob[..., 0, 0] = 0.0
    clicks = float(bob.sum())
    follow = link.afterpulse * clicks
    prior = np.outer([settings.key_basis, 1.0 - settings.key_basis], settings.bob_bases)
    ones = (bob * _DIFFER).sum(axis=(-2, -1))
    by_bit = np.stack([bob.sum(axis=(-2, -1)) - ones, ones], axis=-1) + follow * prior[..., None] / 2
    both = table.copy()
    both[:, :, 0, 0] = 0.0
    both[..., 0, 0] = 0.0
    turned = _DIFFER[:, :, None, None] * (1 - _DIFFER) + (1 - _DIFFER[:, :, None, None]) * _DIFFER
    different = (both * turned).sum(axis=(2, 3, 4, 5))  # a, b
    chance = link.afterpulse * 2.0 * clicks**2 * prior / 2
    same = both.sum(axis=(2, 3, 4, 5)) - different + chance
    different = different + chance
    rest = np.concatenate(
        [
            [same[0, 0], same[1, 1], different[1, 1]],
            same[:, 2:].ravel(),
            different[:, 2:].ravel(),
            by_bit[:, :2].sum(axis=0).ravel(),
            [doubles],
            _slots(modes, follow),
        ]
    )
    return float(different[0, 0]), float(by_bit.sum()), rest


def _slots(modes: F64, uniform: float) -> F64:
    """Return chances of the arrival slots from those of mode and why Bob's detectors fired (4, 3, 3)."""
    weights = slot_weights()
    found = np.full(SLOTS, uniform / SLOTS)
    for mode in range(4):
        row = weights[0 if mode == 3 else mode]
        lit, dark = (
            float(modes[mode, 1].sum() + modes[mode, [0, 2], 1].sum()),
            float(modes[mode, 2, [0, 2]].sum() + modes[mode, 0, 2]),
        )
        found += lit * row + dark / SLOTS
    return found
