"""Compiled heart of all engines: what a receiver makes of a gate in which its detectors fired."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined
from qwarden.keys._random import FRACTION, STEP, Int, IntArray, Words, pick, word

Records = npt.NDArray[np.uint16]
"""What is noted of a detection, packed: see `unpack`."""
Bytes = npt.NDArray[np.uint8]

GATE, QUIET = 0, 1
LIVE, PENDING, FOUND = 2, 4, 6
"""Places of the state. `GATE`: the first gate not looked at; `QUIET`: live gates that were skipped because
they saw nothing. Then, one place a receiver: from which gate on it sees, the detector with an afterpulse due
in that gate (or -1), and how many detections stand in the buffer."""
STATE_SIZE = 8

LIGHT, OTHER = 1, 2
"""Why a detector fired: light of the source, or anything else; 0: it did not."""
EARLY, LATE, BLIND = 1, 2, 3
"""As in `medium.Mode`."""
UNIFORM = 3


@inlined
def detect(
    party: Int,
    gate: Int,
    basis: Int,
    why_0: Int,
    why_1: Int,
    mode: Int,
    slots: Words,
    slots_other: IntArray,
    afterpulse: np.uint64,
    dead: int,
    state: IntArray,
    stream: np.uint64,
    alice: Int,
    index: IntArray,
    records: Records,
) -> np.uint64:
    """Add the afterpulse that is due, note the detection if there is one, and return the stream's state.

    Parameters
    ----------
    party : which receiver.
    gate : a gate in which it sees.
    why_0, why_1 : why its detectors fired, see `LIGHT`.
    afterpulse : threshold of an afterpulse.
    dead : gates without sight after a detection.
    alice : BB84: intensity, basis and bit of her pulse, packed.
    index, records : buffers of the receiver: the gate, and the rest packed as `unpack` reads it.
    """
    if mode != BLIND:  # a blinded detector has no avalanches
        if state[PENDING + party] == 0 and why_0 == 0:
            why_0 = OTHER
        if state[PENDING + party] == 1 and why_1 == 0:
            why_1 = OTHER
    state[PENDING + party] = -1
    if why_0 == 0 and why_1 == 0:
        return stream
    stream += STEP
    luck = word(stream)
    double = why_0 > 0 and why_1 > 0
    bit = np.int64(luck & np.uint64(1)) if double else np.int64(why_1 > 0)
    why = why_1 if bit else why_0
    row = UNIFORM if why == OTHER else mode % BLIND
    if mode != BLIND and (luck >> FRACTION) < afterpulse:
        state[PENDING + party] = bit
    stream += STEP
    slot = pick(word(stream), slots[row], slots_other[row])
    found = state[FOUND + party]
    index[found] = gate
    records[found] = alice << 8 | basis << 6 | bit << 5 | np.int64(double) << 4 | slot
    state[FOUND + party] = found + 1
    state[LIVE + party] = gate + 1 + dead
    return stream


@compiled
def watch(
    party: int,
    basis: Bytes,
    why: Bytes,
    alice: Bytes,
    slots: Words,
    slots_other: IntArray,
    afterpulse: np.uint64,
    dead: int,
    state: IntArray,
    random: Words,
    index: IntArray,
    records: Records,
) -> None:
    """Note the detections of a whole block, gate by gate.

    Parameters
    ----------
    basis, alice : by gate, (n,), see `detect`.
    why : why each detector fired, (2, n).
    """
    stream = random[0]
    for gate in range(basis.size):
        fired = why[0, gate] > 0 or why[1, gate] > 0
        if gate >= state[LIVE + party] and (fired or state[PENDING + party] >= 0):
            stream = detect(
                party, gate, np.int64(basis[gate]), np.int64(why[0, gate]), np.int64(why[1, gate]), 0, slots,
                slots_other, afterpulse, dead, state, stream, np.int64(alice[gate]), index, records,
            )  # fmt: skip
    random[0] = stream


@compiled
def unpack(records: Records) -> Bytes:
    """Return the columns of records, (7, n): Alice's intensity, basis, bit; basis, bit, double, slot."""
    columns = np.empty((7, records.size), np.uint8)
    for i in range(records.size):
        packed = records[i]
        columns[0, i] = packed >> 10 & 3
        columns[1, i] = packed >> 9 & 1
        columns[2, i] = packed >> 8 & 1
        columns[3, i] = packed >> 6 & 3
        columns[4, i] = packed >> 5 & 1
        columns[5, i] = packed >> 4 & 1
        columns[6, i] = packed & 15
    return columns
