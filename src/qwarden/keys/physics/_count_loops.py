"""Compiled loops of the count-exact engine: from click to click over gates that saw nothing."""

from __future__ import annotations

import math

import numpy as np

from qwarden.core.compiled import compiled, inlined
from qwarden.keys._random import FRACTION, STEP, WHOLE, Int, IntArray, Words, pick, word
from qwarden.keys.physics._receiver import FOUND, GATE, LIVE, PENDING, QUIET, Records, detect

FAR = np.int64(1) << np.int64(62)


@compiled
def count_clicks(
    end: int,
    no_click: float,
    events: Words,
    events_other: IntArray,
    quiet: Words,
    quiet_other: IntArray,
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
    """Sample detections of BB84 before gate `end` until the buffer is full.

    Parameters
    ----------
    end : the gate that the stretch ends before.
    no_click : logarithm of the chance that a live gate sees nothing.
    events, quiet : alias tables of `tables.EVENT_SHAPE` given a click, and of its first five axes given none.
    slots : alias tables of the arrival slots, one a row.
    afterpulse, dead, index, records : see `_receiver.detect`.
    state : see `_receiver`; read and written.
    random : state of the stream; read and written.
    sent : Alice's pulses (2, 3) of the gates that were drawn here; added to.
    """
    gate = state[GATE]
    stream = random[0]
    while state[FOUND] < index.size and gate < end:
        stream += STEP
        gap = _gap(word(stream), no_click)
        stream += STEP
        if state[PENDING] >= 0 and gap > 0:
            entry = np.int64(pick(word(stream), quiet, quiet_other)) * 9
        elif gap >= end - gate:
            state[QUIET] += end - gate
            gate = end
            break
        else:
            state[QUIET] += gap
            gate += gap
            entry = np.int64(pick(word(stream), events, events_other))
        alice = entry // 72
        sent[alice >> 1 & 1, alice >> 2] += 1
        stream = detect(
            0, gate, entry // 36 & 1, entry // 3 % 3, entry % 3, entry // 9 % 4, slots, slots_other,
            afterpulse, dead, state, stream, alice, index, records,
        )  # fmt: skip
        gate = max(gate + 1, state[LIVE])
    state[GATE] = gate
    random[0] = stream


@compiled
def count_pairs(
    end: int,
    no_click: float,
    events: Words,
    events_other: IntArray,
    quiet: Words,
    quiet_other: IntArray,
    slots: Words,
    slots_other: IntArray,
    afterpulse: np.uint64,
    dead: int,
    state: IntArray,
    random: Words,
    index: tuple[IntArray, IntArray],
    records: tuple[Records, Records],
) -> None:
    """Sample detections of E91 before gate `end` until a buffer is full.

    As `count_clicks`, with the tables of `pair_tables.PAIR_SHAPE`; receiver 0 is Alice's and 1 is Bob's.
    """
    stream = random[0]
    event = np.int64(-1)
    while max(state[FOUND], state[FOUND + 1]) < index[0].size:
        gate = state[GATE]
        if event < gate:
            stream += STEP
            event = gate + _gap(word(stream), no_click)
        now = event
        for party in range(2):
            if state[PENDING + party] >= 0:
                now = min(now, state[LIVE + party])
        if now >= end:
            state[GATE] = max(gate, end)
            break
        stream += STEP
        if now == event:
            entry = np.int64(pick(word(stream), events, events_other))
        else:
            entry = np.int64(pick(word(stream), quiet, quiet_other)) * 81
        if now >= state[LIVE]:
            stream = detect(
                0, now, entry // 1296, entry // 27 % 3, entry // 9 % 3, np.int64(0), slots, slots_other,
                afterpulse, dead, state, stream, 0, index[0], records[0],
            )  # fmt: skip
        if now >= state[LIVE + 1]:
            stream = detect(
                1, now, entry // 324 % 4, entry // 3 % 3, entry % 3, entry // 81 % 4, slots, slots_other,
                afterpulse, dead, state, stream, 0, index[1], records[1],
            )  # fmt: skip
        # Where neither sees, nothing happens; the wait for the next event has no memory.
        state[GATE] = max(now + 1, min(state[LIVE], state[LIVE + 1]))
    random[0] = stream


@inlined
def _gap(random: np.uint64, no_click: float) -> Int:
    """Return how many live gates see nothing before the next one that does."""
    if no_click == 0.0:
        return FAR
    return np.int64(math.log((np.float64(random >> FRACTION) + 1.0) / WHOLE) / no_click)
