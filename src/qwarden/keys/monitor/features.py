"""What the monitor looks at: the features of a block, what each says, and how well it can be known.

Each is a deviation from what the honest link is expected to show, mostly relative, together with the standard
deviation that chance gives it (`reading`). Divided by it, after `reference` has taken off what this link
always does, features mean the same at any distance, setting and block size, and one model serves all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

LOSS_SCALE: Final = 0.35
"""Change of the logarithm of the transmission that counts as one standard deviation: 1.5 dB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What is looked at.

    Parameters
    ----------
    says : in an alarm, where it is too high and where it is too low.
    floor : standard deviation added to chance: no apparatus is known better.
    wander : by how much its usual value may change from one block to the next, standard deviation.
    most : how far its usual value may ever be from the expected one.
    """

    says: tuple[str, str]
    floor: float
    wander: float = 0.0
    most: float = 0.0


FEATURES: Final[dict[str, Feature]] = {
    "error_jump": Feature(
        says=("more errors than when the last block ended", "fewer errors than when the last block ended"),
        floor=0.0,
    ),
    "error_jumps": Feature(
        says=("errors rise in steps, block after block", "errors fall in steps, block after block"), floor=0.0
    ),
    "basis_gap": Feature(says=("more errors in X than in Z", "fewer errors in X than in Z"), floor=5e-4),
    "decoy_errors": Feature(
        says=("more errors in decoys than in signals explain", "fewer errors in decoys than expected"),
        floor=0.01, wander=0.002, most=0.05,
    ),
    "vacuum_errors": Feature(
        says=("vacuum errors above a half", "vacuum errors below a half"), floor=0.005,
    ),
    "e1": Feature(
        says=("single photons err more than others", "single photons err less than others"), floor=0.02,
    ),
    "decoy_gain": Feature(
        says=("decoys gain too much beside signals", "decoys gain too little beside signals"),
        floor=0.002, wander=5e-4, most=0.01,
    ),
    "vacuum_gain": Feature(
        says=("clicks without light (Y0 up)", "too few clicks without light (Y0 down)"),
        floor=0.005, wander=0.002, most=0.05,
    ),
    "y1": Feature(
        says=("single photons gain too much (Y1 up)", "single photons gain too little (Y1 down)"),
        floor=0.003, wander=5e-4, most=0.02,
    ),
    "check_share": Feature(
        says=("too many detections in X", "too few detections in X"), floor=0.002, wander=2e-4, most=0.01,
    ),
    "sifted_share": Feature(
        says=("bases agree too often", "bases agree too seldom"), floor=0.001, wander=2e-4, most=0.005,
    ),
    "doubles": Feature(
        says=("too many double clicks", "too few double clicks"), floor=0.01, wander=0.003, most=0.05,
    ),
    "imbalance_z": Feature(
        says=("detector 0 of Z clicks too often", "detector 1 of Z clicks too often"),
        floor=5e-4, wander=2e-4, most=0.005,
    ),
    "imbalance_x": Feature(
        says=("detector 0 of X clicks too often", "detector 1 of X clicks too often"),
        floor=5e-4, wander=2e-4, most=0.005,
    ),
    "shifted": Feature(
        says=("light comes early and late", "light comes too punctually"),
        floor=2e-4, wander=5e-5, most=1e-3,
    ),
    "delayed": Feature(
        says=("light comes late", "light comes early"), floor=2e-4, wander=1e-4, most=2e-3,
    ),
    "background": Feature(
        says=("detections come at any time of the gate", "too few detections come between pulses"),
        floor=2e-4, wander=1e-4, most=2e-3,
    ),
    "arrival_shape": Feature(
        says=("arrival times have another shape", "arrival times fit too well"), floor=0.0,
    ),
    "outage": Feature(
        says=("the click rate changed within the block", "the click rate is too even"), floor=0.0,
    ),
    "loss": Feature(
        says=("far more light than this fibre lets through", "hardly any light comes through"), floor=0.0,
    ),
    "watchdog": Feature(
        says=("light enters Alice's apparatus (watchdog)", "the watchdog sees too little"), floor=0.0,
    ),
    "photocurrent": Feature(
        says=("bright light on Bob's detectors (photocurrent)", "photocurrent too low"), floor=0.0,
    ),
    "chsh": Feature(
        says=("S above what the errors allow", "S below what the errors explain"), floor=0.005,
    ),
}  # fmt: skip
NAMES: Final = tuple(FEATURES)
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "errors": ("error_jump", "error_jumps", "basis_gap", "decoy_errors", "vacuum_errors", "e1", "chsh"),
    "gains": ("decoy_gain", "vacuum_gain", "y1", "check_share", "sifted_share"),
    "detectors": ("doubles", "imbalance_z", "imbalance_x"),
    "timing": ("shifted", "delayed", "background", "arrival_shape"),
    "steadiness": ("outage", "loss"),
    "telemetry": ("watchdog", "photocurrent"),
}
"""Features by what of the apparatus they look at: a qubit each in the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """Errors in Z as a line over the block, in units of misalignment.

    Parameters
    ----------
    ends : misalignment when it began and when it ended (2,).
    covariance : of both, by chance (2, 2).
    """

    ends: F64
    covariance: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The features of one block, before the link's own past is taken off.

    Parameters
    ----------
    values, sds : by feature (d,); nan where unknown. Those of `error_jump` and `error_jumps` are left to
        `reference`.
    errors : how misalignment went; None if too little was detected.
    """

    values: F64
    sds: F64
    errors: ErrorLine | None
