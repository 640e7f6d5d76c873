"""What the compiled loops of all engines write into, and the records made of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from qwarden.keys._random import IntArray, Words, alias_table, stream
from qwarden.keys.physics._receiver import FOUND, PENDING, STATE_SIZE, Records, unpack
from qwarden.keys.physics.medium import slot_weights
from qwarden.keys.records import Detections, Preparations

ROOM: Final = 1 << 20
"""Detections that there is room for at first."""


class Buffers:
    """State, random stream and detections of a block in the making; two receivers, BB84 uses the first."""

    def __init__(self, seed: int, room: int = ROOM) -> None:
        self.state: IntArray = np.zeros(STATE_SIZE, np.int64)
        self.state[PENDING : PENDING + 2] = -1
        self.random: Words = np.array([stream(seed, 0)], np.uint64)
        self.index: tuple[IntArray, IntArray] = (np.empty(room, np.int64), np.empty(room, np.int64))
        self.records: tuple[Records, Records] = (np.empty(room, np.uint16), np.empty(room, np.uint16))
        tables = [alias_table(row) for row in slot_weights()]
        self.slots: Words = np.array([least for least, _ in tables])
        self.slots_other: IntArray = np.array([other for _, other in tables])

    def make_room(self) -> None:
        """Enlarge the buffers if one is full."""
        room = self.index[0].size
        if max(self.state[FOUND : FOUND + 2]) == room:
            for buffer in (*self.index, *self.records):
                buffer.resize(2 * room, refcheck=False)

    def detections(self, party: int, pulses: int) -> tuple[Preparations, Detections]:
        """Return what a receiver detected, and what Alice prepared for it (BB84)."""
        found = int(self.state[FOUND + party])
        index = self.index[party][:found].copy()
        intensity, basis, bit, *own = unpack(self.records[party][:found])
        alice = Preparations(pulses=pulses, index=index, basis=basis, bit=bit, intensity=intensity)
        bob = Detections(
            pulses=pulses, index=index, basis=own[0], bit=own[1], double=own[2].view(np.bool_), slot=own[3]
        )
        return alice, bob
