"""Compiled loop of the per-pulse engine for E91: every gate, every pair, in order."""

from __future__ import annotations

import numpy as np

from qwarden.core.compiled import compiled, inlined
from qwarden.keys._random import FRACTION, STEP, IntArray, Words, pick, word
from qwarden.keys.physics._pulse_loops import (
    ETA,
    ETA_ALICE,
    ETA_SHIFTED,
    FIRES,
    MISALIGNED,
    ONE,
    RESEND,
    SHARE,
    SHIFT,
    TRIGGER,
    TRIGGERED,
    lost_by_shift,
)
from qwarden.keys.physics._receiver import (
    BLIND,
    EARLY,
    FOUND,
    GATE,
    LATE,
    LIGHT,
    LIVE,
    OTHER,
    PENDING,
    Records,
    detect,
)


@compiled
def send_pairs(
    end: int,
    choices: Words,
    choices_other: IntArray,
    pairs: Words,
    source: Words,
    resent: Words,
    hand: int,
    chances: Words,
    dark: Words,
    background: Words,
    slots: Words,
    slots_other: IntArray,
    afterpulse: np.uint64,
    dead: int,
    state: IntArray,
    random: Words,
    index: tuple[IntArray, IntArray],
    records: tuple[Records, Records],
) -> None:
    """Send pairs of E91 before gate `end` until a buffer is full; receiver 0 is Alice's and 1 is Bob's.

    Parameters
    ----------
    choices : alias table of Alice's basis and Bob's, (2, 4) flattened.
    pairs : thresholds of 0, 1, 2 ... pairs or fewer.
    source, resent : thresholds that two measurements of a pair, and of a photon that was measured and sent
        anew, agree: by the first basis and the second, (4, 4).
    dark : as `background`, of Alice's detectors.
    hand, chances, background : see `_pulse_loops.send_pulses`.
    slots, afterpulse, dead, state, random, index, records : see `_count_loops`.
    """
    stream = random[0]
    gate = state[GATE]
    why = np.zeros((2, 2), np.int64)
    while gate < end and max(state[FOUND], state[FOUND + 1]) < index[0].size:
        stream += STEP
        chosen = word(stream)
        choice = pick(chosen, choices, choices_other)
        alice, bob = choice >> 2, choice & 3
        stream += STEP
        fraction = word(stream) >> FRACTION
        many = 0
        while fraction >= pairs[many]:
            many += 1
        why[:] = 0
        mode, eve, taken, eta = 0, np.int64(0), False, chances[ETA]
        if hand:
            stream += STEP
            luck = word(stream)
            taken = (luck >> FRACTION) < chances[SHARE]
            if taken and hand == RESEND:
                eve = np.int64(luck & ONE)
            elif taken and hand == SHIFT:
                mode = EARLY if luck & ONE else LATE
                eta = chances[ETA_SHIFTED]
            elif taken:
                mode, eve = BLIND, np.int64(luck & np.uint64(3))
        for pair in range(many):
            stream += STEP
            luck = word(stream)
            outcome = np.int64(luck & ONE)
            far = outcome
            if taken and hand == RESEND:
                far ^= np.int64((luck >> FRACTION) >= source[alice, eve])
                stream += STEP
                far ^= np.int64((word(stream) >> FRACTION) >= resent[eve, bob])
            elif taken and hand == TRIGGER:
                far ^= np.int64((luck >> FRACTION) >= source[alice, eve])
            else:
                far ^= np.int64((luck >> FRACTION) >= source[alice, bob])

            stream += STEP
            seen = (word(stream) >> FRACTION) < chances[ETA_ALICE]
            stream += STEP
            outcome ^= np.int64((word(stream) >> FRACTION) < chances[MISALIGNED])
            if seen:
                why[0, outcome] = LIGHT

            stream += STEP
            if mode == BLIND:
                # The first pair's photon, say; any of them tells her as much.
                if pair == 0 and eve == bob and (word(stream) >> FRACTION) < chances[TRIGGERED]:
                    stream += STEP
                    if (word(stream) >> FRACTION) < chances[FIRES + far]:
                        why[1, far] = LIGHT
                continue
            seen = (word(stream) >> FRACTION) < eta
            stream += STEP
            far ^= np.int64((word(stream) >> FRACTION) < chances[MISALIGNED])
            stream += STEP
            if seen and not lost_by_shift(word(stream), mode, far, chances):
                why[1, far] = LIGHT
        stream += STEP
        fire_other(word(stream), dark, why[0])
        if mode != BLIND:
            stream += STEP
            fire_other(word(stream), background, why[1])
        if gate >= state[LIVE] and (why[0].any() or state[PENDING] >= 0):
            stream = detect(
                0, gate, alice, why[0, 0], why[0, 1], 0, slots, slots_other, afterpulse, dead, state, stream,
                0, index[0], records[0],
            )  # fmt: skip
        if gate >= state[LIVE + 1] and (why[1].any() or state[PENDING + 1] >= 0):
            stream = detect(
                1, gate, bob, why[1, 0], why[1, 1], mode, slots, slots_other, afterpulse, dead, state, stream,
                0, index[1], records[1],
            )  # fmt: skip
        gate += 1
    state[GATE] = gate
    random[0] = stream


@inlined
def fire_other(random: np.uint64, background: Words, why: IntArray) -> None:
    """Let detectors fire that something else than light of the source fires."""
    fraction = random >> FRACTION
    if fraction < background[2]:
        if why[0] == 0 and fraction < background[1]:
            why[0] = OTHER
        if why[1] == 0 and (fraction < background[0] or fraction >= background[1]):
            why[1] = OTHER
