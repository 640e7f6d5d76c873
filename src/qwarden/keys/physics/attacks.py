"""What may be done to a link: attacks, and the drift that is none.

An `Attack` is a name and a strength; `medium` says what each does to the light. How they show, and whether
they show at all, stands in `KINDS`: no figure of detection may be claimed for one that is only bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from qwarden.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to disturb a link.

    Parameters
    ----------
    does : what happens, and what a strength of 0 to 1 means.
    visible : the fields of `Observables` it shows in (or ``tags``, of the classical channel); empty if it
        shows in none beyond what honest links do: key length bounds it, no monitor detects it.
    protocols : where it can be done.
    hostile : whether somebody does it on purpose.
    """

    does: str
    visible: tuple[str, ...]
    protocols: tuple[str, ...] = ("bb84", "e91")
    hostile: bool = True


KINDS: Final[dict[str, Kind]] = {
    "intercept-resend": Kind(
        does="Eve measures a share `strength` of the pulses in Z or X at random and sends what she found, "
        "with as many photons: the error rate rises by a quarter of that share in both bases, S falls.",
        visible=("errors", "chsh"),
    ),
    "pns": Kind(
        does="Photon-number splitting of a share `strength` of the pulses: she keeps a photon of each that "
        "has several and forwards the rest without loss, and blocks as many single photons as leave the "
        "signal's gain what it was. Errors stay as they are; the decoy's gain falls. At short distances "
        "the pulses with several photons do not suffice, and single photons must pass.",
        visible=("detected",),
        protocols=("bb84",),
    ),
    "beam-split": Kind(
        does="A share `strength` / 2 of the light is split off: nothing but loss, which decoys bound.",
        visible=(),
    ),
    "blinding": Kind(
        does="A share `strength` of the gates is under bright light, in which detectors see no single "
        "photons; Eve measures the pulses and triggers what she found, so that Bob clicks only in her "
        "basis, at the usual rate. No dark counts, no double clicks, hardly an error; the detectors' "
        "thresholds differ, and the bright light is a current.",
        visible=("photocurrent", "doubles", "clicks", "detected", "errors"),
    ),
    "time-shift": Kind(
        does="A share `strength` of the pulses arrives early or late, where one of the two detectors hardly "
        "sees it; loss is made up for by a better fibre.",
        visible=("histogram", "clicks"),
    ),
    "trojan": Kind(
        does="Light sent into Alice's apparatus reads a share `strength` of her settings: nothing of it "
        "reaches Bob, the watchdog photodiode sees it.",
        visible=("watchdog",),
    ),
    "mitm": Kind(
        does="Somebody between the ends speaks to each as if he were the other. It acts on the classical "
        "channel, whose tags fail; photons pass untouched.",
        visible=("tags",),
    ),
    "jam": Kind(
        does="Steady light into the fibre, and up to nine tenths of the signal lost: gains fall, vacuum "
        "pulses click, at any time of the gate.",
        visible=("detected", "errors", "histogram"),
    ),
    "cut": Kind(
        does="The fibre is cut for the last share `strength` of the block.",
        visible=("detected",),
    ),
    "drift": Kind(
        does="No attack: over the block misalignment rises evenly by `strength` / 100.",
        visible=(),
        hostile=False,
    ),
}
ATTACKS: Final = tuple(KINDS)
"""All names that `parse` takes."""

TAPPED: Final = 0.5
JAM_LIGHT: Final = 2e-3
"""Mean number of photons of steady light that a detector sees a gate at full strength."""
JAM_LOSS: Final = 0.9
DRIFT_RISE: Final = 0.01
TRIGGER: Final = (1.0, 0.92)
"""Chance that a bright pulse fires detector 0 and 1."""
SHIFTED: Final = ((0.85, 0.25), (0.20, 0.75))
"""Efficiency of detectors 0 and 1, in parts of the usual one, for light that is early and late."""
MEAN_SHIFTED: Final = sum(map(sum, SHIFTED)) / 4
WATCHDOG_RISE: Final = 10.0
PHOTOCURRENT_RISE: Final = 30.0
"""What full strength adds to the telemetry, in parts of the usual value."""


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack (or drift) of a strength from 0 to 1; see `KINDS` for what it does and where it shows.

    Raises
    ------
    UsageError
        Unknown name, or the strength is out of its range.

    Examples
    --------
    >>> Attack("trojan", 0.5).visible
    ('watchdog',)
    """

    name: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise UsageError(f"unknown attack {self.name!r}: expected one of {', '.join(ATTACKS)}")
        if not 0.0 <= self.strength <= 1.0:
            raise UsageError(f"attack {self.name}: expected a strength of 0 to 1, found {self.strength:g}")

    def __str__(self) -> str:
        return f"{self.name}:{self.strength:g}"

    @property
    def visible(self) -> tuple[str, ...]:
        """The observables it shows in."""
        return KINDS[self.name].visible

    @property
    def hostile(self) -> bool:
        """Whether it is an attack at all."""
        return KINDS[self.name].hostile

    @property
    def classical(self) -> bool:
        """Whether it acts on the classical channel and leaves the photons alone."""
        return self.name == "mitm"


def parse(text: str) -> Attack:
    """Return the attack written as ``name`` (full strength) or ``name:strength``.

    Raises
    ------
    UsageError
        It is none.

    Examples
    --------
    >>> parse("intercept-resend:0.3")
    Attack(name='intercept-resend', strength=0.3)
    """
    name, colon, strength = text.partition(":")
    try:
        value = float(strength) if colon else 1.0
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"attack {text!r}: expected NAME or NAME:STRENGTH, a number from 0 to 1")
    return Attack(name.strip(), value)
