"""The count-exact engine: draws the clicks, and never the pulses between them.

From one live gate on, the number of gates until the next click is geometric, and given a click, everything
about it is one draw from a table of all that can happen. Dead time forgets nothing (the geometric has no
memory) and an afterpulse falls into a gate that is known, so the distribution is exactly that of the
per-pulse engine, at a cost that grows with clicks.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from qwarden.keys._random import FloatArray, IntArray, Words, alias_table, threshold
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics._count_loops import count_clicks, count_pairs
from qwarden.keys.physics._receiver import GATE, QUIET
from qwarden.keys.physics.buffers import Buffers
from qwarden.keys.physics.medium import Stretch
from qwarden.keys.physics.pair_tables import pair_chances
from qwarden.keys.physics.tables import event_chances
from qwarden.keys.records import Detections, Preparations

CERTAIN: Final = 1.0 - 1e-15


def count_bb84(
    link: Link, settings: Settings, stretches: list[Stretch], pulses: int, seed: int
) -> tuple[Preparations, Detections, IntArray]:
    """Sample a block; return Alice's preparations, Bob's detections and what she sent, (2, 3)."""
    made, generator = Buffers(seed), np.random.default_rng([seed, 1])
    sent = np.zeros((2, 3), np.int64)
    afterpulse, dead = threshold(link.afterpulse), link.dead_gates
    for part in stretches:
        chances = event_chances(settings, part.medium)
        no_click, tables, nothing = _conditioned(chances, detectors=2)
        made.state[QUIET] = 0
        while made.state[GATE] < part.end:
            count_clicks(
                part.end, no_click, *tables, made.slots, made.slots_other, afterpulse, dead, made.state,
                made.random, made.index[0], made.records[0], sent,
            )  # fmt: skip
            made.make_room()
        sent += _choices(generator, int(made.state[QUIET]), nothing)
    # What is left are gates in dead time, of which the clicks tell nothing.
    sent += _choices(generator, pulses - int(sent.sum()), event_chances(settings, stretches[0].medium))
    return *made.detections(0, pulses), sent


def count_e91(
    link: Link, settings: Settings, stretches: list[Stretch], pulses: int, seed: int
) -> tuple[Detections, Detections]:
    """Sample a block; return Alice's and Bob's detections."""
    made = Buffers(seed)
    afterpulse, dead = threshold(link.afterpulse), link.dead_gates
    for part in stretches:
        no_click, tables, _ = _conditioned(pair_chances(link, settings, part.medium), detectors=4)
        while made.state[GATE] < part.end:
            count_pairs(
                part.end, no_click, *tables, made.slots, made.slots_other, afterpulse, dead, made.state,
                made.random, made.index, made.records,
            )  # fmt: skip
            made.make_room()
    return made.detections(0, pulses)[1], made.detections(1, pulses)[1]


def _conditioned(
    chances: FloatArray, detectors: int
) -> tuple[float, tuple[Words, IntArray, Words, IntArray], FloatArray]:
    """Return the logarithm of the chance of no click, alias tables given a click and given none, and the
    chances of all gates without one.

    `detectors` is the number of the last axes, of which index 0 means that the detector did not fire.
    """
    cells = chances.reshape(-1, 3**detectors)
    nothing = cells[:, 0].reshape(chances.shape[:-detectors])
    clicks = np.column_stack([np.zeros(len(cells)), cells[:, 1:]]).ravel()
    tables = *_alias(clicks), *_alias(nothing.ravel())
    return math.log1p(-min(float(clicks.sum()), CERTAIN)), tables, nothing


def _alias(weights: FloatArray) -> tuple[Words, IntArray]:
    """Return the alias table; any, if all weights are 0 and none will ever be drawn."""
    return alias_table(weights if weights.any() else np.ones_like(weights))


def _choices(generator: np.random.Generator, gates: int, chances: FloatArray) -> IntArray:
    """Return Alice's choices (2, 3) in gates of which nothing more is known than `chances`."""
    by_choice = chances.sum(axis=tuple(range(2, chances.ndim))).T
    if not gates:
        return np.zeros(by_choice.shape, np.int64)
    drawn = generator.multinomial(gates, (by_choice / by_choice.sum()).ravel())
    return np.asarray(drawn.reshape(by_choice.shape), np.int64)
