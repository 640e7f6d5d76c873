"""An exchange of keys over a link: block after block, and what is done when one goes wrong.

The article's rule for an irregular exchange is: terminate, alert, backtrack, repeat. A block that is not
accepted gives no key at either end, and what was made of it is overwritten; the alarm is stored; the next
attempt is made with other settings (more pulses and more checks); after `at_most` attempts the
link gives up loudly. All of it goes through `core.backtrack`, so that every step is on record.

Both ends run the code of `party`, here in two threads of one process; `party.node` runs it in two processes.
Start reading at `Exchange.run`.

Source: the article, component A and its Figure 5; Hossain et al. 2024.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from qwarden.core.backtrack import Attempt, Backtrack, Verdict
from qwarden.core.clock import Clock, WallClock
from qwarden.core.errors import BacktrackExhausted
from qwarden.core.events import Event
from qwarden.core.files import Json
from qwarden.core.keysupply import KeySupply
from qwarden.keys.events import KeyBlock, LinkAlarm
from qwarden.keys.link import Basis, Origin, Settings
from qwarden.keys.party.block import Block, Inspect, Terms, alice_block, bob_block
from qwarden.keys.party.channel import TIMEOUT_S, Channel
from qwarden.keys.party.transport import QueueTransport, Transport
from qwarden.keys.physics import Transmission

AT_MOST: Final = 3
BLOCK_GROWTH: Final = 2
CHECK_MORE: Final = 0.15
"""By how much a retry lowers the share of the key basis: more of the light is spent on looking."""
KEY_BASIS_LEAST: Final = 0.5
BLOCK_MOST: Final = 1 << 26


class Apparatus(Protocol):
    """Source, fibre and detectors: real, recorded or simulated."""

    origin: Origin

    def send(self, settings: Settings) -> Transmission:
        """Send one block and return what each end has of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What both ends came away with."""

    alice: Block
    bob: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One attempt at a block.

    Parameters
    ----------
    attempt : from 1.
    block : as Alice has it; Bob's differs in nothing that is shown.
    alarm : what the monitor or the channel saw; empty if the block merely held too little, or was accepted.
    """

    attempt: int
    block: Block
    alarm: str

    def to_json(self) -> dict[str, Json]:
        """Return the attempt as shown to users."""
        block = self.block
        known = block.detected is not None and block.errors is not None and int(block.detected.sum()) > 0
        return {
            "status": "accepted" if block.accepted else "aborted",
            "qber": block.qber if known else None,
            "leak_bits": sum(block.leaks.values()),
            "secret_bits": int(block.key.size),
            "epsilon": block.length.epsilon if block.length else None,
            "alarm": self.alarm or None,
            "attempt": self.attempt,
            "reason": block.reason or None,
            "stage": block.stage,
        }


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Blocks over one link, both ends in this process.

    Parameters
    ----------
    name : of the link, in events.
    apparatus : gives the raw records.
    terms : what both ends have agreed on.
    supplies : keys for tags, Alice's and Bob's.
    inspect : the monitor; returns why a block must not be used.
    publish : takes the events; the bus's as a rule.
    keep : called with each accepted block, both ends' views; keeps the keys.
    meddle : stands between the ends on the classical channel; for attacks on it.
    at_most : attempts a block.
    """

    name: str
    apparatus: Apparatus
    terms: Terms
    supplies: tuple[KeySupply, KeySupply]
    inspect: Inspect
    publish: Callable[[Event], None]
    keep: Callable[[Ends], None] = lambda _: None
    meddle: Callable[[Transport], Transport] = lambda transport: transport
    at_most: int = AT_MOST
    clock: Clock = field(default_factory=WallClock)
    attempts: list[Done] = field(default_factory=list)

    def run(self) -> Block | None:
        """Exchange one block; None if every attempt failed. `attempts` holds the way there.

        Raises
        ------
        KeySupplyError
            No key is left for tags.
        """
        alarms: list[str] = []
        action: Backtrack[Ends] = Backtrack(
            by="keys",
            subject=self.name,
            attempt=lambda parameters: self._attempt(parameters),
            check=lambda ends: self._check(ends, alarms),
            undo=lambda ends: _zeroise(ends),
            change=look_closer,
            publish=self.publish,
            at_most=self.at_most,
            clock=self.clock,
        )
        try:
            ends = action.run(parameters_of(self.terms.settings)).result
        except BacktrackExhausted:
            return None
        self.keep(ends)
        return ends.alice

    def _attempt(self, parameters: Mapping[str, Json]) -> Ends:
        settings = settings_with(self.terms.settings, parameters)
        ends = converse(
            self.apparatus.send(settings),
            replace(self.terms, settings=settings),
            supplies=self.supplies,
            inspect=self.inspect,
            meddle=self.meddle,
        )
        if alarm := _alarm(ends):  # before anything else: others act on it
            self.publish(
                LinkAlarm(
                    time=self.clock.now(),
                    link=self.name,
                    block=ends.alice.id,
                    cause=alarm,
                    tampered=ends.alice.tampered or ends.bob.tampered,
                    done="block dropped, link stopped, settings changed",
                )
            )
        return ends

    def _check(self, ends: Ends, alarms: list[str]) -> Verdict:
        """Tell the platform; accept a block that both ends accept."""
        block = ends.alice
        alarm = _alarm(ends)
        alarms.append(alarm)
        self.attempts.append(Done(attempt=len(alarms), block=block, alarm=alarm))
        self.publish(
            block_event(
                block,
                link=self.name,
                attempt=len(alarms),
                settings=self.terms.settings,
                origin=self.apparatus.origin,
                time=self.clock.now(),
            )
        )
        if ends.alice.accepted and ends.bob.accepted:
            return Verdict.accept()
        return Verdict.reject(block.reason or ends.bob.reason)


def converse(
    sent: Transmission,
    terms: Terms,
    *,
    supplies: tuple[KeySupply, KeySupply],
    inspect: Inspect,
    meddle: Callable[[Transport], Transport] = lambda transport: transport,
    timeout_s: float = TIMEOUT_S,
) -> Ends:
    """Have both ends talk about one block, each in a thread of its own, and return what each came to.

    Parameters
    ----------
    meddle : wraps Alice's transport, to change what passes.
    timeout_s : how long an end may be silent.

    Raises
    ------
    KeySupplyError
        No key is left for tags.
    """
    ours, theirs = QueueTransport.pair()
    alice = Channel(meddle(ours), own="alice", peer="bob", supply=supplies[0], timeout_s=timeout_s)
    bob = Channel(theirs, own="bob", peer="alice", supply=supplies[1], timeout_s=timeout_s)
    id = secrets.token_bytes(16)
    outcome: list[Block | BaseException] = []

    def as_alice() -> None:
        try:
            outcome.append(alice_block(alice, id, sent.alice, sent.telemetry, terms))
        except BaseException as error:
            outcome.append(error)
            alice.close()

    thread = threading.Thread(target=as_alice, name="alice", daemon=True)
    thread.start()
    try:
        at_bob = bob_block(bob, id, sent.bob, sent.telemetry, terms, inspect=inspect)
    finally:
        bob.close()
        thread.join()
    found = outcome[0]
    if isinstance(found, BaseException):
        raise found
    return Ends(alice=found, bob=at_bob)


def block_event(
    block: Block, *, link: str, attempt: int, settings: Settings, origin: Origin, time: float
) -> KeyBlock:
    """Return the event that tells how a block went, as one end saw it."""
    seen = block.observables
    return KeyBlock(
        time=time,
        link=link,
        block=block.id,
        accepted=block.accepted,
        reason=block.reason,
        attempt=attempt,
        protocol=settings.protocol,
        qber=_known(block.qber),
        sifted_bits=0 if block.detected is None else int(block.detected[0].sum()),
        leak_bits=sum(block.leaks.values()),
        secret_bits=int(block.key.size),
        epsilon=block.length.epsilon if block.length else None,
        origin=origin,
        qber_z=_known(_rate(block, Basis.Z)),
        qber_x=_known(_rate(block, Basis.X)),
        chsh=None if seen is None else seen.chsh,
    )


def _rate(block: Block, basis: Basis) -> float:
    if block.detected is None or block.errors is None or not block.detected[basis].sum():
        return math.nan
    return float(block.errors[basis].sum() / block.detected[basis].sum())


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _alarm(ends: Ends) -> str:
    """What was seen that no honest link shows: by the monitor, or in the conversation."""
    tampered = next((block.reason for block in (ends.bob, ends.alice) if block.tampered), "")
    return tampered or ends.bob.alarm


def _zeroise(ends: Ends) -> None:
    for block in (ends.alice, ends.bob):
        block.key.setflags(write=True)
        block.key[:] = 0


def parameters_of(settings: Settings) -> dict[str, Json]:
    """Return what a retry may change of the settings."""
    return {"block_bits": settings.block_bits, "key_basis": settings.key_basis}


def settings_with(settings: Settings, parameters: Mapping[str, Json]) -> Settings:
    """Return the settings with what `parameters_of` gives."""
    return replace(
        settings,
        block_bits=int(str(parameters["block_bits"])),
        key_basis=float(str(parameters["key_basis"])),
    )


def look_closer(last: Attempt[Any]) -> dict[str, Json]:
    """Look closer and collect more: the next attempt has a longer block with more of it checked."""
    bits, basis = int(str(last.parameters["block_bits"])), float(str(last.parameters["key_basis"]))
    return {
        "block_bits": min(BLOCK_MOST, bits * BLOCK_GROWTH),
        "key_basis": round(max(KEY_BASIS_LEAST, basis - CHECK_MORE), 6),
    }
