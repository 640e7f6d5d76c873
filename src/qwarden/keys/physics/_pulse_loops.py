"""Compiled loop of the per-pulse engine for BB84: every pulse, every photon, in order."""

from __future__ import annotations

import numpy as np

from qwarden.core.compiled import compiled, inlined
from qwarden.keys._random import FRACTION, STEP, Int, IntArray, Words, pick, word
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

RESEND, SPLIT, TRIGGER, SHIFT = 1, 2, 3, 4
"""As in `medium.Hand`."""
ETA, ETA_ALICE, MISALIGNED, SHARE, SINGLE, SEVERAL, RECEIVER, TRIGGERED, ETA_SHIFTED = range(9)
FIRES, PARTS, CHANCES = 9, 11, 15
"""Places of a medium's thresholds; `FIRES`: one a detector, `PARTS`: early 0 and 1, late 0 and 1; `CHANCES`:
how many there are."""
ONE = np.uint64(1)


@compiled
def send_pulses(
    end: int,
    choices: Words,
    choices_other: IntArray,
    photons: Words,
    hand: int,
    chances: Words,
    background: Words,
    slots: Words,
    slots_other: IntArray,
    afterpulse: np.uint64,
    dead: int,
    state: IntArray,
    random: Words,
    index: IntArray,
    records: Records,
    sent: IntArray,
) -> None:
    """Send pulses of BB84 before gate `end` until the buffer is full.

    Parameters
    ----------
    choices : alias table of intensity, Alice's basis and Bob's, (3, 2, 2) flattened.
    photons : thresholds of 0, 1, 2 ... photons or fewer, a row an intensity.
    hand : what Eve does, see `medium.Hand`.
    chances : thresholds of a medium, see `ETA`.
    background : thresholds that something else fires both, detector 0 at most, and any; rising.
    slots, afterpulse, dead, state, random, index, records, sent : see `_count_loops`.
    """
    stream = random[0]
    gate = state[GATE]
    while gate < end and state[FOUND] < index.size:
        stream += STEP
        chosen = word(stream)
        choice = pick(chosen, choices, choices_other)
        intensity, alice, bob = choice >> 2, choice >> 1 & 1, choice & 1
        sent[alice, intensity] += 1
        if gate < state[LIVE]:
            gate += 1
            continue

        bit = np.int64(chosen >> np.uint64(8) & ONE)
        stream += STEP
        fraction = word(stream) >> FRACTION
        many = 0
        while fraction >= photons[intensity, many]:
            many += 1
        mode, eta = 0, chances[ETA]
        basis: Int = alice
        value: Int = bit
        why_0: Int = 0
        why_1: Int = 0
        if hand:
            stream += STEP
            luck = word(stream)
            if (luck >> FRACTION) < chances[SHARE]:
                if hand == RESEND:
                    basis = np.int64(luck & ONE)
                    if basis != alice:
                        value = np.int64(luck >> ONE & ONE)
                elif hand == SPLIT:
                    eta = chances[SINGLE]
                    if many > 1:
                        stream += STEP
                        many = many - 1 if (word(stream) >> FRACTION) < chances[SEVERAL] else 0
                        eta = chances[RECEIVER]
                elif hand == SHIFT:
                    mode = EARLY if luck & ONE else LATE
                    eta = chances[ETA_SHIFTED]
                else:
                    mode = BLIND
                    stream += STEP
                    if (
                        many
                        and np.int64(luck & ONE) == bob
                        and (word(stream) >> FRACTION) < chances[TRIGGERED]
                    ):
                        if bob != alice:
                            value = np.int64(luck >> ONE & ONE)
                        stream += STEP
                        fires = (word(stream) >> FRACTION) < chances[FIRES + value]
                        why_0, why_1 = np.int64(fires and value == 0), np.int64(fires and value == 1)
                    many = 0
        for _ in range(many):
            stream += STEP
            if (word(stream) >> FRACTION) >= eta:
                continue
            stream += STEP
            luck = word(stream)
            detector: Int = value
            if basis != bob:
                detector = np.int64(luck & ONE)
            elif (luck >> FRACTION) < chances[MISALIGNED]:
                detector = 1 - value
            stream += STEP
            if lost_by_shift(word(stream), mode, detector, chances):
                continue
            if detector:
                why_1 = LIGHT
            else:
                why_0 = LIGHT
        if mode != BLIND:
            stream += STEP
            fraction = word(stream) >> FRACTION
            if fraction < background[2]:
                if why_0 == 0 and fraction < background[1]:
                    why_0 = OTHER
                if why_1 == 0 and (fraction < background[0] or fraction >= background[1]):
                    why_1 = OTHER

        if why_0 or why_1 or state[PENDING] >= 0:
            stream = detect(
                0, gate, bob, why_0, why_1, mode, slots, slots_other, afterpulse, dead, state, stream,
                intensity << 2 | alice << 1 | bit, index, records,
            )  # fmt: skip
        gate += 1
    state[GATE] = gate
    random[0] = stream


@inlined
def lost_by_shift(random: np.uint64, mode: int, detector: Int, chances: Words) -> bool:
    """Return whether a detector misses a photon because it came early or late."""
    if mode == EARLY:
        return bool((random >> FRACTION) >= chances[PARTS + detector])
    if mode == LATE:
        return bool((random >> FRACTION) >= chances[PARTS + 2 + detector])
    return False
