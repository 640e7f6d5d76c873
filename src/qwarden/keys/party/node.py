"""An end of a link as a process: block after block, through crashes and attacks, until told to stop.

Alice listens and leads: she proposes each block with the settings of its attempt. Bob connects, follows,
and comes back with growing pauses when the link breaks. An irregular block ends the connection, is an event
at the end that saw it, and is tried again with other settings; after `at_most` attempts Alice gives up and
tells Bob. A connection that broke is no attempt: nobody was heard, and nothing was irregular.

Start reading at `AliceNode.run`; `BobNode.run` follows it.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from qwarden.core.backtrack import Backtrack, Verdict
from qwarden.core.clock import Clock, WallClock
from qwarden.core.errors import BacktrackExhausted, KeySupplyError, QwardenError
from qwarden.core.events import Event
from qwarden.core.files import Json
from qwarden.keys.events import LinkAlarm
from qwarden.keys.exchange import AT_MOST, block_event, look_closer, parameters_of, settings_with
from qwarden.keys.kme.records import Provenance
from qwarden.keys.link import Settings
from qwarden.keys.party.addresses import Address, connect
from qwarden.keys.party.block import Block, Inspect, Terms, alice_block, bob_block
from qwarden.keys.party.channel import Aborted
from qwarden.keys.party.messages import Kind
from qwarden.keys.party.resume import Deliver
from qwarden.keys.party.session import Place, Proposal, Session, WrongPeer, greet_alice, receive_bob
from qwarden.keys.party.transport import FRAME_MOST, LinkLost, SocketTransport
from qwarden.keys.reconciliation import cascade, choose
from qwarden.keys.records import Detections

LOW_BITS: Final = 64 * 256
"""With fewer bits than this for tags left, a block's key replenishes the pool."""
REPLENISH_BYTES: Final = 8192
WAITING_MOST: Final = 64
"""Kept blocks that nobody takes in; then the link rests."""
PAUSE_LEAST_S: Final = 0.05
PAUSE_MOST_S: Final = 15.0
FAREWELL_S: Final = 10.0
STRANGER_MOST: Final = 1 << 16
"""Longest frame that is taken in from an end that has not shown who it is."""
REFUSALS_MOST: Final = 3
"""Greetings refused one after the other before Bob believes that he is not wanted."""
TYPICAL_QBER: Final = 0.02
"""For choosing how to reconcile before a block's own rate is known."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Account:
    """What an end has done since it was started."""

    accepted: int = 0
    aborted: int = 0
    secret_bits: int = 0
    alarms: int = 0

    def to_json(self) -> dict[str, Json]:
        """Return the account as shown to users."""
        return {
            "accepted": self.accepted,
            "aborted": self.aborted,
            "secret_bits": self.secret_bits,
            "alarms": self.alarms,
        }


@dataclass(slots=True, kw_only=True)
class _Node:
    """What both ends do alike.

    Parameters
    ----------
    place : who it is, and what it holds.
    deliver : takes kept keys in; see `resume.BlockJournal.take_in`.
    publish : takes events.
    stop : set from outside to end the node between two blocks.
    """

    place: Place
    deliver: Deliver
    publish: Callable[[Event], None]
    clock: Clock = field(default_factory=WallClock)
    stop: threading.Event = field(default_factory=threading.Event)
    account: Account = field(default_factory=Account)
    _pause_s: float = PAUSE_LEAST_S

    def _take_in(self) -> None:
        """Bring kept keys to where they are drawn from; what cannot be taken now waits."""
        try:
            self.place.journal.take_in(self.place.peer, self.place.pool, self.deliver)
        except KeySupplyError as error:
            log.warning("keys wait in the journal: %s", error)

    def _tell(self, block: Block, attempt: int, settings: Settings, session: Session) -> None:
        """Say how a block went, and what was irregular about it."""
        now = self.clock.now()
        self.publish(
            block_event(
                block,
                link=self.place.link,
                attempt=attempt,
                settings=settings,
                origin=session.fibre.origin,
                time=now,
            )
        )
        if block.accepted:
            self.account.accepted += 1
            self.account.secret_bits += int(block.key.size)
            return
        self.account.aborted += 1
        if cause := block.reason if block.tampered else block.alarm:
            self._warn(cause, block.id, tampered=block.tampered)

    def _warn(self, cause: str, block: str, *, tampered: bool) -> None:
        self.account.alarms += 1
        self.publish(
            LinkAlarm(
                time=self.clock.now(),
                link=self.place.link,
                block=block,
                cause=cause,
                tampered=tampered,
                done="block dropped, connection closed",
            )
        )

    def _greeting_failed(self, error: QwardenError) -> None:
        """Note that a connection came to nothing, and wait a while longer each time."""
        log.warning("%s: no session: %s", self.place.link, error)
        if isinstance(error, Aborted) and error.tampered:
            self._warn(error.reason, "", tampered=True)
        self._rest()

    def _rest(self) -> None:
        # A random part keeps two ends from missing each other for ever.
        self.stop.wait(self._pause_s * (0.5 + secrets.randbelow(1000) / 1000))
        self._pause_s = min(2 * self._pause_s, PAUSE_MOST_S)

    def _provenance(self, block: Block, session: Session) -> Provenance:
        length = block.length
        if length is None:
            raise ValueError("a key without a proof")
        return Provenance(
            block=block.id,
            peer=self.place.peer,
            origin=session.fibre.origin,
            method=length.method,
            epsilon=length.epsilon,
        )


@dataclass(frozen=True, slots=True)
class _Tried:
    """An attempt, over whichever connection it was made."""

    block: Block
    session: Session
    settings: Settings


class _Stopped(QwardenError):  # noqa: N818 - it is what was asked for
    """The node was told to stop."""


@dataclass(slots=True, kw_only=True)
class AliceNode(_Node):
    """Alice's end.

    Parameters
    ----------
    listener : where Bob comes in.
    fibre : returns where the apparatus listens; raises `ServiceError` if there is none any more.
    at_most : attempts a block.
    """

    listener: socket.socket
    fibre: Callable[[], Address]
    at_most: int = AT_MOST
    _open: Session | None = None

    def run(self, blocks: int | None = None) -> Account:
        """Exchange `blocks` keys, or go on until told to stop.

        Raises
        ------
        BacktrackExhausted
            The link gave no key in `at_most` attempts: it is under attack, or no good.
        KeySupplyError
            No key is left for tags, or keys cannot be stored.
        """
        self.listener.settimeout(0.2)
        self._take_in()
        try:
            while blocks is None or self.account.accepted < blocks:
                self._exchange()
                self._take_in()
                while self.place.journal.waiting(self.place.peer) >= WAITING_MOST:
                    if self.stop.wait(1.0):
                        raise _Stopped
                    self._take_in()
            self._bid_farewell("")
        except _Stopped:
            log.info("%s: stopped", self.place.link)
        except BacktrackExhausted as error:
            self._bid_farewell(str(error)[:300])
            raise
        finally:
            self._close()
        return self.account

    def _exchange(self) -> None:
        """Get one block accepted."""
        attempts = iter(range(1, self.at_most + 1))
        action: Backtrack[_Tried] = Backtrack(
            by="keys",
            subject=self.place.link,
            attempt=lambda parameters: self._attempt(next(attempts), parameters),
            check=_verdict,
            undo=lambda tried: _zeroise(tried.block),
            change=look_closer,
            publish=self.publish,
            at_most=self.at_most,
            clock=self.clock,
        )
        action.run(parameters_of(self.place.terms.settings))

    def _attempt(self, attempt: int, parameters: Mapping[str, Json]) -> _Tried:
        """Make one attempt, however many connections it takes."""
        settings = settings_with(self.place.terms.settings, parameters)
        while True:
            session = self._session()
            try:
                block = self._block(session, attempt, settings)
            except (LinkLost, Aborted) as error:
                log.warning("%s: %s", self.place.link, error)
                self._close()
                if isinstance(error, Aborted) and error.tampered:
                    self._warn(error.reason, "", tampered=True)
                self._rest()
                continue
            self._tell(block, attempt, settings, session)
            if block.accepted:
                self._pause_s = PAUSE_LEAST_S
                return _Tried(block, session, settings)
            self._close()
            if block.tampered or not session.line.broke:
                return _Tried(block, session, settings)
            self._rest()

    def _block(self, session: Session, attempt: int, settings: Settings) -> Block:
        low = self.place.pool.available(self.place.peer) < LOW_BITS
        replenish = REPLENISH_BYTES if low else 0
        id = secrets.token_bytes(16)
        session.propose(
            Proposal(block=id.hex(), attempt=attempt, parameters=parameters_of(settings), replenish=replenish)
        )
        session.fibre.send(id, settings)
        record, telemetry = session.fibre.record(id)
        kept: list[Block] = []

        def keep(block: Block) -> None:
            self.place.journal.keep(self._provenance(block, session), _bytes(block), replenish)
            kept.append(block)

        terms = replace(self.place.terms, settings=settings)
        block = alice_block(session.channel, id, record, telemetry, terms, store=keep)
        # Once it is kept it stands, whether or not Bob heard of it: he asks when he is back.
        return kept[0] if kept else block

    def _session(self) -> Session:
        """Return the connection to Bob; wait for him if there is none."""
        while self._open is None or self._open.line.broke:
            self._close()
            if self.stop.is_set():
                raise _Stopped
            try:
                stream, _ = self.listener.accept()
            except TimeoutError:
                continue
            stream.settimeout(self.place.timeout_s)
            address = self.fibre()
            transport = SocketTransport(stream, most=STRANGER_MOST)
            try:
                self._open = receive_bob(transport, self.place, address)
            except (WrongPeer, Aborted, LinkLost) as error:
                self._greeting_failed(error)
                continue
            transport.most = FRAME_MOST
            if self._open.alarm:
                self._warn(f"{self.place.peer}: {self._open.alarm}", "", tampered=False)
        if self.stop.is_set():
            raise _Stopped
        return self._open

    def _bid_farewell(self, reason: str) -> None:
        """Tell Bob that there is no more, and wait until he goes; he may be gone, or in doubt."""
        deadline = threading.Timer(FAREWELL_S, self.stop.set)
        deadline.start()
        nothing = parameters_of(self.place.terms.settings)
        try:
            while True:
                try:
                    session = self._session()
                    session.propose(Proposal(parameters=nothing, reason=reason))
                    session.channel.receive(Kind.HELLO)
                except LinkLost:
                    return
                except Aborted as error:  # the last block is in doubt: he comes back to ask
                    log.info("%s: %s", self.place.link, error)
                    self._close()
        except (QwardenError, OSError) as error:
            log.info("%s: nobody to tell that this is the end: %s", self.place.link, error)
        finally:
            deadline.cancel()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


@dataclass(slots=True, kw_only=True)
class BobNode(_Node):
    """Bob's end.

    Parameters
    ----------
    alice : where she listens.
    inspect : the monitor.
    expect : tells it the settings of the block that comes.
    fibre : where the apparatus listens; None: where Alice says.
    """

    alice: Address
    inspect: Inspect
    expect: Callable[[Settings], None] = lambda _: None
    fibre: Address | None = None
    _untold: str = ""

    def run(self, blocks: int | None = None) -> Account:
        """Follow Alice until she has no more blocks, `blocks` were accepted, or told to stop.

        Raises
        ------
        BacktrackExhausted
            She gave up.
        WrongPeer
            Who listens there refuses him: it is not Alice, or holds other terms.
        KeySupplyError
            No key is left for tags, or keys cannot be stored.
        """
        self._take_in()
        refusals = 0
        while not self.stop.is_set() and (blocks is None or self.account.accepted < blocks):
            try:
                session = self._session()
            except (WrongPeer, Aborted, LinkLost) as error:
                refusals = 0 if isinstance(error, LinkLost) else refusals + 1
                if refusals == REFUSALS_MOST:  # one may be somebody's between; these are Alice's word
                    raise WrongPeer(str(error)) from error
                self._greeting_failed(error)
                continue
            refusals = 0
            try:
                if self._follow(session, blocks):
                    break
            except (LinkLost, Aborted) as error:
                log.warning("%s: %s", self.place.link, error)
                if isinstance(error, Aborted) and error.tampered:
                    session.channel.abort(error.reason)
                    self._warn(error.reason, "", tampered=True)
                self._rest()
            finally:
                session.close()
        return self.account

    def _session(self) -> Session:
        transport = connect(self.alice, self.place.timeout_s)
        transport.most = STRANGER_MOST
        session = greet_alice(transport, self.place, self.fibre, self._untold)
        self._untold, transport.most = "", FRAME_MOST
        self._take_in()
        return session

    def _follow(self, session: Session, blocks: int | None) -> bool:
        """Go through blocks as long as they are accepted; return whether there are no more."""
        while blocks is None or self.account.accepted < blocks:
            proposal = session.proposed(self.place.terms.settings)
            if proposal.reason:
                raise BacktrackExhausted(f"{self.place.peer} gave up: {proposal.reason}")
            if not proposal.block:
                return True
            settings = settings_with(self.place.terms.settings, proposal.parameters)
            block = self._block(session, proposal, settings)
            self._tell(block, proposal.attempt, settings, session)
            if not block.accepted:
                self._untold = block.alarm
                self._rest()
                return False
            self.place.journal.settle(self.place.peer, [block.id])
            self._take_in()
            self._pause_s = PAUSE_LEAST_S
        return True

    def _block(self, session: Session, proposal: Proposal, settings: Settings) -> Block:
        id = bytes.fromhex(proposal.block)
        record, telemetry = session.fibre.record(id)
        if not isinstance(record, Detections):
            raise Aborted("the apparatus took this end for Alice's", by=self.place.name)

        def hold(block: Block) -> None:
            provenance = self._provenance(block, session)
            self.place.journal.hold(provenance, _bytes(block), proposal.replenish)

        self.expect(settings)
        terms = _at_distance(replace(self.place.terms, settings=settings), session.round_trip_s)
        return bob_block(session.channel, id, record, telemetry, terms, inspect=self.inspect, store=hold)


def _at_distance(terms: Terms, round_trip_s: float) -> Terms:
    """Return the terms with the variant of Cascade that suits the round trip; Alice answers any."""
    if terms.variant != "auto":
        return terms
    found = choose.costs(round_trip_s, TYPICAL_QBER, terms.settings.block_bits)
    best = next(cost.method for cost in found if cost.method in cascade.VARIANTS)
    return replace(terms, variant=best)


def _verdict(tried: _Tried) -> Verdict:
    return Verdict.accept() if tried.block.accepted else Verdict.reject(tried.block.reason)


def _zeroise(block: Block) -> None:
    block.key.setflags(write=True)
    block.key[:] = 0


def _bytes(block: Block) -> bytes:
    """Return a key as bytes; bits that do not fill one are dropped."""
    whole = block.key.size // 8 * 8
    return np.packbits(block.key[:whole]).tobytes()
