"""A link under a given attack, as numbers that both engines go by.

`media` cuts a block into stretches of gates within which nothing changes; a `Medium` says what happens to
light in one of them. The per-pulse engine follows each photon through it, the count-exact one sums over all
that can happen (`tables`), so that each is a check on the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics.attacks import (
    DRIFT_RISE,
    JAM_LIGHT,
    JAM_LOSS,
    KINDS,
    MEAN_SHIFTED,
    PHOTOCURRENT_RISE,
    TAPPED,
    TRIGGER,
    WATCHDOG_RISE,
    Attack,
)
from qwarden.keys.records import SLOTS, Telemetry

STEPS: Final = 32
"""Stretches of a block over which misalignment changes."""
MOST_MISALIGNED: Final = 0.5
JITTER: Final = 1.5
"""Standard deviation of light's arrival, in slots."""
SHIFT: Final = 4.0
"""By how many slots a shifted pulse is early or late."""
TELEMETRY_NOISE: Final = 0.02


class Hand(IntEnum):
    """What Eve does to the pulses she takes in hand."""

    NONE = 0
    RESEND = 1
    SPLIT = 2
    BLIND = 3
    SHIFT = 4


class Mode(IntEnum):
    """What a gate is like; rows 0 to 2 of `slot_weights` are arrival times of light in them."""

    USUAL = 0
    EARLY = 1
    LATE = 2
    BLIND = 3


UNIFORM: Final = 3
"""Row of `slot_weights`: dark counts, afterpulses and steady light come at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """What happens to light.

    Parameters
    ----------
    eta : chance that a photon sent to Bob is detected.
    eta_alice : chance that Alice's photon of a pair is detected, E91 only.
    background : chance that a detector clicks without a photon of the source, a gate; Bob's.
    dark : the same for Alice, E91 only.
    misalignment : chance that a photon takes the wrong detector of its basis.
    hand, share : what Eve does, and with which share of the pulses.
    single : under `Hand.SPLIT`: chance that a pulse of one photon is detected.
    several : under `Hand.SPLIT`: chance that a pulse of more is forwarded, less one photon.
    receiver : under `Hand.SPLIT`: chance that a photon so forwarded is detected.
    trigger : under `Hand.BLIND`: chance that Eve triggers Bob when she has found something.
    eta_shifted : under `Hand.SHIFT`: `eta` of a shifted pulse, before its detector's share.
    """

    eta: float
    eta_alice: float = 0.0
    background: float
    dark: float
    misalignment: float
    hand: Hand = Hand.NONE
    share: float = 0.0
    single: float = 0.0
    several: float = 0.0
    receiver: float = 0.0
    trigger: float = 0.0
    eta_shifted: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Gates `begin` to `end` - 1 of a block."""

    begin: int
    end: int
    medium: Medium


def media(
    link: Link, settings: Settings, attack: Attack | None, pulses: int, wander: float = 0.0
) -> list[Stretch]:
    """Return the block's stretches in order.

    Parameters
    ----------
    wander : by how much misalignment changes over the block of itself.

    Raises
    ------
    UsageError
        The attack cannot be done under this protocol.
    """
    if attack is not None and settings.protocol not in KINDS[attack.name].protocols:
        raise UsageError(f"attack {attack.name}: it cannot be done under {settings.protocol}")
    medium = _attacked(_honest(link, settings), link, settings, attack)
    if attack is not None and attack.name == "cut":
        whole = pulses - round(attack.strength * pulses)
        dark = replace(medium, eta=0.0)
        return [
            Stretch(begin=begin, end=end, medium=piece)
            for begin, end, piece in ((0, whole, medium), (whole, pulses, dark))
            if begin < end
        ]
    rise = wander + (DRIFT_RISE * attack.strength if attack is not None and attack.name == "drift" else 0.0)
    if not rise:
        return [Stretch(begin=0, end=pulses, medium=medium)]
    steps = min(STEPS, pulses)
    edges = [pulses * step // steps for step in range(steps + 1)]
    return [
        Stretch(
            begin=edges[step],
            end=edges[step + 1],
            medium=replace(medium, misalignment=bounded(medium.misalignment + rise * (step + 0.5) / steps)),
        )
        for step in range(steps)
    ]


def end_misalignment(link: Link, attack: Attack | None, wander: float) -> float:
    """Return the misalignment at the end of the block."""
    rise = DRIFT_RISE * attack.strength if attack is not None and attack.name == "drift" else 0.0
    return bounded(link.misalignment + wander + rise)


def bounded(misalignment: float) -> float:
    """Return a misalignment within its bounds."""
    return min(max(misalignment, 0.0), MOST_MISALIGNED)


def telemetry(attack: Attack | None, generator: np.random.Generator) -> Telemetry:
    """Return what the apparatus tells, with the noise of its instruments."""
    watchdog, photocurrent = 1.0 + TELEMETRY_NOISE * generator.standard_normal(2)
    if attack is not None and attack.name == "trojan":
        watchdog += WATCHDOG_RISE * attack.strength
    if attack is not None and attack.name == "blinding":
        photocurrent += PHOTOCURRENT_RISE * attack.strength
    return Telemetry(watchdog=float(watchdog), photocurrent=float(photocurrent))


def slot_weights() -> npt.NDArray[np.float64]:
    """Return the chances of the arrival slots, shape (4, SLOTS): light on time, early, late; `UNIFORM`."""
    rows = []
    for shift in (0.0, -SHIFT, SHIFT):
        edges = (np.arange(SLOTS + 1) - SLOTS / 2 - shift) / (JITTER * math.sqrt(2))
        below = np.array([math.erf(edge) for edge in edges])
        rows.append(np.diff(below) / (below[-1] - below[0]))
    rows.append(np.full(SLOTS, 1.0 / SLOTS))
    return np.array(rows)


def _honest(link: Link, settings: Settings) -> Medium:
    if settings.protocol == "bb84":
        eta, eta_alice = link.efficiency, 0.0
    else:
        eta = eta_alice = link.receiver_efficiency * link.transmittance(link.distance_km / 2)
    return Medium(
        eta=eta, eta_alice=eta_alice, background=link.dark_count, dark=link.dark_count,
        misalignment=bounded(link.misalignment), receiver=link.receiver_efficiency,
    )  # fmt: skip


def _attacked(medium: Medium, link: Link, settings: Settings, attack: Attack | None) -> Medium:
    if attack is None or attack.strength == 0:
        return medium
    name, strength = attack.name, attack.strength
    mean = settings.intensities[0] if settings.protocol == "bb84" else link.pair_rate
    usual = -math.expm1(-medium.eta * mean)
    if name == "intercept-resend":
        return replace(medium, hand=Hand.RESEND, share=strength)
    if name == "pns":
        single, several = splitting(mean, link.receiver_efficiency, usual)
        return replace(medium, hand=Hand.SPLIT, share=strength, single=single, several=several)
    if name == "beam-split":
        return replace(medium, eta=medium.eta * (1.0 - TAPPED * strength))
    if name == "blinding":
        bases = 2 if settings.protocol == "bb84" else 4
        found = -math.expm1(-mean) * sum(TRIGGER) / 2 / bases
        trigger = min(1.0, usual / found) if found else 0.0
        return replace(medium, hand=Hand.BLIND, share=strength, trigger=trigger)
    if name == "time-shift":
        shifted = min(link.receiver_efficiency, medium.eta / MEAN_SHIFTED)
        return replace(medium, hand=Hand.SHIFT, share=strength, eta_shifted=shifted)
    if name == "jam":
        dim = 1.0 - JAM_LOSS * strength
        light = 1.0 - (1.0 - medium.background) * math.exp(-JAM_LIGHT * strength)
        return replace(medium, eta=medium.eta * dim, background=light)
    return medium


def splitting(mean: float, receiver: float, usual: float) -> tuple[float, float]:
    """Return the chances that keep the signal's gain `usual` under photon-number splitting.

    Parameters
    ----------
    mean : photons of a signal pulse.
    receiver : chance that a photon at Bob's entrance is detected.

    Returns
    -------
    single : that a pulse of one photon is detected: 0 where the others suffice.
    several : that a pulse of several is forwarded: below 1 where they are more than enough.
    """
    lone = mean * math.exp(-mean)
    # Of n photons n - 1 are forwarded: sum over n >= 2 of P(n) (1 - (1 - receiver)**(n - 1)).
    rest = 1.0 - receiver
    beyond = 1.0 - math.exp(-mean) - lone
    missed = (math.exp(-mean * receiver) - math.exp(-mean)) / rest - lone if rest else 0.0
    most = beyond - missed
    if most >= usual:
        return 0.0, usual / most
    return min(receiver, (usual - most) / lone), 1.0
