"""The circuit-level engine: measures the state of every photon that is detected, on a quantum back end.

Numbers of photons, losses, dark counts and the detectors' dead time and afterpulses are drawn as by the
per-pulse engine; what a photon does in a basis is not drawn but measured: its state is prepared by a
circuit, turned by the fibre's misalignment (by plus or minus an angle whose sine squared is the chance of the
wrong detector) and measured by `Backend.sample`. E91 prepares a Bell pair, with a random Pauli where the
Werner source emits noise. So a noisy machine shows as a higher error rate. For some thousand pulses.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.keys._random import FloatArray, IntArray, threshold
from qwarden.keys.link import Link, Settings
from qwarden.keys.physics._receiver import LIGHT, OTHER, Bytes, watch
from qwarden.keys.physics.buffers import Buffers
from qwarden.keys.physics.medium import Hand, Medium, Stretch
from qwarden.keys.physics.pair_tables import ANGLES
from qwarden.keys.records import Detections, Preparations
from qwarden.quantum import Angle, Backend, Circuit, LocalBackend

MOST_PULSES: Final = 5_000_000
HANDS: Final = (Hand.NONE, Hand.RESEND)
ONE_PHOTON: Final = Circuit(1).ry(0, Angle(0)).ry(0, Angle(1))
"""Columns: the state's angle; misalignment less the basis's angle."""
PAIR: Final = Circuit(2).h(0).cx(0, 1).rx(1, Angle(0)).rz(1, Angle(1)).ry(0, Angle(2)).ry(1, Angle(3))
"""Columns: X and Z of the source's noise; misalignment less the basis's angle, of Alice and of Bob."""

Generator = np.random.Generator
Mask = npt.NDArray[np.bool_]


def run_bb84(
    link: Link, settings: Settings, stretches: list[Stretch], pulses: int, seed: int, backend: Backend | None
) -> tuple[Preparations, Detections, IntArray]:
    """Send a block; return Alice's preparations, Bob's detections and what she sent, (2, 3).

    Raises
    ------
    UsageError
        More than `MOST_PULSES`, or the attack is none of those that circuits can do.
    """
    _refuse(stretches, pulses)
    backend = backend or LocalBackend()
    made, generator = Buffers(seed, room=pulses), np.random.default_rng([seed, 3])
    key = settings.key_basis
    intensity = generator.choice(3, pulses, p=settings.probabilities)
    alice, bob = (generator.choice(2, pulses, p=(key, 1.0 - key)) for _ in range(2))
    bit = generator.integers(2, size=pulses)
    why = np.zeros((2, pulses), np.uint8)
    photons = generator.poisson(np.asarray(settings.intensities)[intensity])
    for part in stretches:
        gates = np.arange(part.begin, part.end)
        basis, value = alice[gates], bit[gates]
        if part.medium.hand is Hand.RESEND:
            basis, value = _resent(part.medium, basis, value, generator, backend)
        seen = generator.binomial(photons[gates], part.medium.eta)
        gate = np.repeat(np.arange(gates.size), seen)
        turned = _misaligned(part.medium, gate.size, generator) - _angles(bob[gates[gate]])
        columns = np.stack([_angles(basis[gate]) + np.pi * value[gate], turned], axis=1)
        outcome = _measured(backend, ONE_PHOTON, columns, generator)
        why[outcome, gates[gate]] = LIGHT
        _background(why[:, part.begin : part.end], part.medium.background, generator)
    packed = (intensity << 2 | alice << 1 | bit).astype(np.uint8)
    _watch(made, link, 0, bob, why, packed)
    sent = np.bincount(alice * 3 + intensity, minlength=6).reshape(2, 3)
    return *made.detections(0, pulses), sent


def run_e91(
    link: Link, settings: Settings, stretches: list[Stretch], pulses: int, seed: int, backend: Backend | None
) -> tuple[Detections, Detections]:
    """Send a block; return Alice's and Bob's detections.

    Raises
    ------
    UsageError
        As `run_bb84`.
    """
    _refuse(stretches, pulses)
    backend = backend or LocalBackend()
    made, generator = Buffers(seed, room=pulses), np.random.default_rng([seed, 3])
    key = settings.key_basis
    alice = generator.choice(2, pulses, p=(key, 1.0 - key))
    bob = generator.choice(4, pulses, p=settings.bob_bases)
    ours, theirs = np.zeros((2, pulses), np.uint8), np.zeros((2, pulses), np.uint8)
    pairs = generator.poisson(link.pair_rate, pulses)
    for part in stretches:
        medium, gates = part.medium, np.arange(part.begin, part.end)
        gate = np.repeat(gates, pairs[gates])
        seen = generator.random((2, gate.size)) < [[medium.eta_alice], [medium.eta]]
        gate, seen = gate[seen.any(axis=0)], seen[:, seen.any(axis=0)]
        first, second = _pairs_measured(link, medium, alice, bob, gate, generator, backend)
        ours[first[seen[0]], gate[seen[0]]] = LIGHT
        theirs[second[seen[1]], gate[seen[1]]] = LIGHT
        _background(ours[:, part.begin : part.end], medium.dark, generator)
        _background(theirs[:, part.begin : part.end], medium.background, generator)
    nothing = np.zeros(pulses, np.uint8)
    for party, basis, why in ((0, alice, ours), (1, bob, theirs)):
        _watch(made, link, party, basis, why, nothing)
    return made.detections(0, pulses)[1], made.detections(1, pulses)[1]


def _pairs_measured(
    link: Link,
    medium: Medium,
    alice: IntArray,
    bob: IntArray,
    gate: IntArray,
    generator: Generator,
    backend: Backend,
) -> tuple[IntArray, IntArray]:
    """Return both outcomes of each pair; `gate`: in which gate it was, `alice`, `bob`: bases by gate."""
    taken, eve = np.zeros(bob.size, np.bool_), bob
    if medium.hand is Hand.RESEND:
        taken = generator.random(bob.size) < medium.share
        eve = generator.integers(2, size=bob.size)
    # Who measures Bob's photon first: he, through his fibre, or Eve, at the source.
    turned = _misaligned(medium, gate.size, generator)
    far = np.where(taken[gate], -_angles(eve[gate]), turned - _angles(bob[gate]))
    near = _misaligned(medium, gate.size, generator) - _angles(alice[gate])
    noisy = generator.random(gate.size) >= link.visibility
    pauli = np.pi * (generator.integers(2, size=(2, gate.size)) * noisy)
    outcome = _measured(backend, PAIR, np.stack([*pauli, near, far], axis=1), generator)
    first, second = outcome & 1, outcome >> 1

    again = np.flatnonzero(taken[gate])
    turned = _misaligned(medium, again.size, generator) - _angles(bob[gate[again]])
    sent_on = _angles(eve[gate[again]]) + np.pi * second[again]
    second[again] = _measured(backend, ONE_PHOTON, np.stack([sent_on, turned], axis=1), generator)
    return first, second


def _refuse(stretches: list[Stretch], pulses: int) -> None:
    if pulses > MOST_PULSES:
        raise UsageError(f"pulses: circuits take {MOST_PULSES:,} at most, found {pulses:,}")
    if any(part.medium.hand not in HANDS for part in stretches):
        raise UsageError("circuits cannot do this attack: take another engine")


def _angles(basis: IntArray) -> FloatArray:
    return np.asarray(ANGLES)[basis]


def _misaligned(medium: Medium, photons: int, generator: Generator) -> FloatArray:
    """Return by how much each photon's state is turned on the Bloch sphere."""
    turn = 2.0 * np.arcsin(np.sqrt(medium.misalignment))
    return np.asarray(turn * generator.choice([-1.0, 1.0], photons))


def _resent(
    medium: Medium, basis: IntArray, value: IntArray, generator: Generator, backend: Backend
) -> tuple[IntArray, IntArray]:
    """Return basis and bit of the pulses after Eve has measured her share of them and sent them on."""
    taken = np.flatnonzero(generator.random(basis.size) < medium.share)
    eve = generator.integers(2, size=taken.size)
    columns = np.stack([_angles(basis[taken]) + np.pi * value[taken], -_angles(eve)], axis=1)
    basis, value = basis.copy(), value.copy()
    value[taken] = _measured(backend, ONE_PHOTON, columns, generator)
    basis[taken] = eve
    return basis, value


def _measured(backend: Backend, circuit: Circuit, angles: FloatArray, generator: Generator) -> IntArray:
    """Return the basis state found in one shot of each row of angles; equal rows are shots of one run."""
    found = np.zeros(len(angles), np.int64)
    if not len(angles):
        return found
    rows, inverse = np.unique(angles, axis=0, return_inverse=True)
    for number, row in enumerate(rows):
        members = np.flatnonzero(inverse == number)
        seed = int(generator.integers(1 << 31))
        counts = backend.sample(circuit, row[np.newaxis], members.size, seed)[0]
        found[generator.permutation(members)] = np.repeat(np.arange(counts.size), counts)
    return found


def _background(why: Bytes, chance: float, generator: Generator) -> None:
    why[(generator.random(why.shape) < chance) & (why == 0)] = OTHER


def _watch(made: Buffers, link: Link, party: int, basis: IntArray, why: Bytes, packed: Bytes) -> None:
    """Let a receiver note what it sees of the gates whose detectors fired."""
    watch(
        party, basis.astype(np.uint8), why, packed, made.slots, made.slots_other, threshold(link.afterpulse),
        link.dead_gates, made.state, made.random, made.index[party], made.records[party],
    )  # fmt: skip
