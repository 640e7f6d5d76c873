"""Sending one block over a link, by any of the engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics.attacks import Attack
from qwarden.keys.physics.counts import count_bb84, count_e91
from qwarden.keys.physics.medium import Stretch, end_misalignment, media, telemetry
from qwarden.keys.physics.pulses import send_bb84, send_e91
from qwarden.keys.records import Detections, Preparations, Telemetry

if TYPE_CHECKING:
    from qwarden.quantum import Backend

Engine: TypeAlias = Literal["counts", "pulses", "circuits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """A block as sent and received.

    Parameters
    ----------
    alice : what she prepared, for the pulses that Bob detected (BB84); what she detected (E91).
    bob : what he detected.
    telemetry : what the apparatus tells beside.
    sent : pulses that Alice sent, by basis (Z, X) and intensity, detected or not, int64 (2, 3); under E91
        her own detections, in column 0.
    misalignment : of the link at the block's end: with drift, the next block begins with it.
    """

    alice: Preparations | Detections
    bob: Detections
    telemetry: Telemetry
    sent: npt.NDArray[np.int64]
    misalignment: float


def transmit(
    link: Link,
    settings: Settings,
    *,
    attack: Attack | None = None,
    pulses: int,
    seed: int,
    engine: Engine = "counts",
    backend: Backend | None = None,
) -> Transmission:
    """Send a block and return what both ends hold.

    Parameters
    ----------
    pulses : number of gates.
    seed : of everything random in it; the same seed and engine give the same block.
    engine : ``counts``, at a cost that grows with clicks; ``pulses``, with pulses; ``circuits``, for some
        thousand pulses, without attacks but those that leave single photons alone and intercept-resend.
    backend : what the circuits run on; exact simulation on this machine by default.

    Raises
    ------
    UsageError
        No pulses, an unknown engine, or an attack that the protocol or the engine does not admit.
    """
    if pulses < 1:
        raise UsageError(f"pulses: expected 1 or more, found {pulses}")
    if engine not in get_args(Engine):
        raise UsageError(f"unknown engine {engine!r}: expected {', '.join(get_args(Engine))}")
    generator = np.random.default_rng([seed, 2])
    wander = float(link.drift_per_block * generator.standard_normal())
    stretches = media(link, settings, attack, pulses, wander)
    told = telemetry(attack, generator)
    at_end = end_misalignment(link, attack, wander)
    if settings.protocol == "bb84":
        alice, bob, sent = _bb84(link, settings, stretches, pulses, seed, engine, backend)
        return Transmission(alice=alice, bob=bob, telemetry=told, sent=sent, misalignment=at_end)
    ours, theirs = _e91(link, settings, stretches, pulses, seed, engine, backend)
    sent = np.zeros((2, 3), np.int64)
    sent[:, 0] = np.bincount(ours.basis, minlength=2)
    return Transmission(alice=ours, bob=theirs, telemetry=told, sent=sent, misalignment=at_end)


def _bb84(
    link: Link,
    settings: Settings,
    stretches: list[Stretch],
    pulses: int,
    seed: int,
    engine: Engine,
    backend: Backend | None,
) -> tuple[Preparations, Detections, npt.NDArray[np.int64]]:
    if engine == "circuits":
        from qwarden.keys.physics.circuits import run_bb84

        return run_bb84(link, settings, stretches, pulses, seed, backend)
    send = count_bb84 if engine == "counts" else send_bb84
    return send(link, settings, stretches, pulses, seed)


def _e91(
    link: Link,
    settings: Settings,
    stretches: list[Stretch],
    pulses: int,
    seed: int,
    engine: Engine,
    backend: Backend | None,
) -> tuple[Detections, Detections]:
    if engine == "circuits":
        from qwarden.keys.physics.circuits import run_e91

        return run_e91(link, settings, stretches, pulses, seed, backend)
    send = count_e91 if engine == "counts" else send_e91
    return send(link, settings, stretches, pulses, seed)
