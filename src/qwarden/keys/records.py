"""What an end of a link has in its hands after a block of pulses, and what the apparatus tells beside.

Alice knows her preparations, Bob his detections; neither object ever holds anything of the other's. Both are
kept for the pulses that somebody detected alone: of the others nothing is ever asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
"""Array of 0 and 1, one a byte."""

SLOTS = 16
"""Parts of a gate that the arrival time is told in; light arrives around the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparations:
    """What Alice sent (BB84), for the pulses that were detected.

    Parameters
    ----------
    pulses : number of pulses of the block, detected or not.
    index : position of each in the block, rising, int64 (n,).
    basis, bit, intensity : see `link.Basis`; uint8 (n,).
    """

    pulses: int
    index: npt.NDArray[np.int64]
    basis: npt.NDArray[np.uint8]
    bit: Bits = field(repr=False)
    intensity: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What a receiver saw: Bob's, and under E91 also Alice's.

    Parameters
    ----------
    pulses : number of gates of the block.
    index : the gates with a detection, rising, int64 (n,).
    basis : what it measured in, by its own choice, uint8 (n,).
    bit : which detector clicked; a random one where both did; uint8 (n,).
    double : where both did, bool (n,).
    slot : arrival time within the gate, 0 to `SLOTS` - 1, uint8 (n,).
    """

    pulses: int
    index: npt.NDArray[np.int64]
    basis: npt.NDArray[np.uint8]
    bit: Bits = field(repr=False)
    double: npt.NDArray[np.bool_]
    slot: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What the apparatus tells beside the bits.

    Parameters
    ----------
    watchdog : power on the photodiode that looks out of Alice's exit, in parts of its usual value; 1 is
        usual, light sent in from outside raises it.
    photocurrent : of Bob's detectors, in parts of its usual value; bright light raises it.
    """

    watchdog: float = 1.0
    photocurrent: float = 1.0
