"""A laboratory in one process: a simulated link, both ends, an attack if asked for.

The ends are those of `party` and know nothing of each other but what they are told; only photons and fibre
are simulated. Keys that come of it say so.
"""

from __future__ import annotations

import secrets
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from qwarden.core.events import Event
from qwarden.core.files import Json
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.exchange import AT_MOST, Done, Exchange
from qwarden.keys.link import Link, Origin, Settings
from qwarden.keys.monitor.watch import Monitor
from qwarden.keys.party.block import Inspect, Terms
from qwarden.keys.party.messages import Kind, decode
from qwarden.keys.party.transport import Transport
from qwarden.keys.physics import Attack, Engine, Transmission, pulses_for, transmit

POOL_BYTES: Final = 192
"""Pre-shared bytes for the tags of one attempt: three of 32 bytes, either end drawing from its half."""


class SimulatedLink:
    """An apparatus that exists on paper; implements `exchange.Apparatus`.

    Parameters
    ----------
    link : fibre and detectors.
    attack : what is done to the block of a given number, from 0; drift goes on from block to block.
    seed : decides every photon.
    engine : see `physics.transmit`.
    told : hears of the settings of each block before it is sent: a monitor must know them.
    """

    origin: Origin = "simulated"

    def __init__(
        self,
        link: Link,
        attack: Callable[[int], Attack | None],
        seed: int,
        engine: Engine = "counts",
        told: Callable[[Settings], None] = lambda _: None,
    ) -> None:
        self._link, self._attack, self._seed, self._engine = link, attack, seed, engine
        self._told = told
        self._blocks = 0

    def send(self, settings: Settings) -> Transmission:
        """Send as many pulses as give `block_bits` in the key basis, were the link undisturbed."""
        self._told(settings)
        sent = transmit(
            self._link,
            settings,
            attack=self._attack(self._blocks),
            pulses=pulses_for(self._link, settings),
            seed=self._seed * 1_000_003 + self._blocks,
            engine=self._engine,
        )
        self._blocks += 1
        self._link = replace(self._link, misalignment=sent.misalignment)
        return sent


class Meddler:
    """A man in the middle without the ends' keys: he changes the matrix of privacy amplification.

    Nothing in the photons shows it, and no message but the tag contradicts it.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, frame: bytes) -> None:
        """Pass a frame on; turn a bit of the matrix around."""
        if decode(frame).kind is Kind.SEAL:
            at = len(frame) // 2
            frame = frame[:at] + struct.pack("B", frame[at] ^ 1) + frame[at + 1 :]
        self._transport.send(frame)

    def receive(self, timeout_s: float) -> bytes:
        """Pass a frame on as it is."""
        return self._transport.receive(timeout_s)

    def close(self) -> None:
        """Close what is behind."""
        self._transport.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came of a simulation: every attempt, in order."""

    protocol: str
    attempts: tuple[Done, ...]

    @property
    def secret_bits(self) -> int:
        """Of all blocks that were accepted."""
        return sum(int(done.block.key.size) for done in self.attempts if done.block.accepted)

    def to_json(self) -> dict[str, Json]:
        """Return the document of ``qwarden keys simulate --json``."""
        accepted = sum(done.block.accepted for done in self.attempts)
        return {
            "protocol": self.protocol,
            "origin": "simulated",
            "blocks": [done.to_json() for done in self.attempts],
            "secret_bits": self.secret_bits,
            "accepted": accepted,
            "aborted": len(self.attempts) - accepted,
        }


def simulate(
    link: Link,
    terms: Terms,
    *,
    attack: Attack | Callable[[int], Attack | None] | None = None,
    blocks: int = 1,
    seed: int,
    inspect: Inspect | None = None,
    publish: Callable[[Event], None] = lambda _: None,
    at_most: int = AT_MOST,
) -> Simulated:
    """Exchange `blocks` keys over a simulated link, each with up to `at_most` attempts.

    Parameters
    ----------
    attack : on every block, or by the block's number; the man in the middle on every block alone.
    inspect : looks at each block; the shipped monitor by default.
    """
    schedule = attack if callable(attack) else lambda _: attack
    monitor = Monitor(link, terms.settings)
    meddles = isinstance(attack, Attack) and attack.classical
    with tempfile.TemporaryDirectory(prefix="qwarden-keys-") as folder:
        supplies = _supplies(Path(folder), blocks * at_most)
        exchange = Exchange(
            name="simulated",
            apparatus=SimulatedLink(link, schedule, seed, told=monitor.use),
            terms=terms,
            supplies=supplies,
            inspect=inspect or monitor,
            publish=publish,
            meddle=Meddler if meddles else lambda transport: transport,
            at_most=at_most,
        )
        attempts: list[Done] = []
        for _ in range(blocks):
            exchange.attempts.clear()
            exchange.run()
            attempts += exchange.attempts
    return Simulated(protocol=terms.settings.protocol, attempts=tuple(attempts))


def _supplies(folder: Path, attempts: int) -> tuple[PreSharedPool, PreSharedPool]:
    shared = secrets.token_bytes(POOL_BYTES * attempts)
    alice, bob = PreSharedPool(folder / "alice", "alice"), PreSharedPool(folder / "bob", "bob")
    alice.add("bob", shared)
    bob.add("alice", shared)
    return alice, bob
