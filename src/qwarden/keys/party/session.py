"""A connection between the two ends: who is there, on what terms, and what became of the last blocks.

Both say hello: version, names, a digest of the terms. Bob then names the blocks that he holds in doubt, and
what alarmed him in the last one; Alice answers which blocks she has kept. Both are sealed, so what was said
before is authenticated too, and who cannot seal is nobody. Between blocks Alice proposes the next one, sealed
as well: its id, its attempt, and which settings a retry changed. A block that was not accepted ends the
connection: the next one begins with nothing in flight.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from qwarden.core import strict
from qwarden.core.errors import InputError, QwardenError, UsageError
from qwarden.core.files import Json, canonical_json, sha256
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.exchange import BLOCK_MOST, KEY_BASIS_LEAST
from qwarden.keys.link import Settings
from qwarden.keys.party.addresses import Address, parse_address
from qwarden.keys.party.block import Terms
from qwarden.keys.party.channel import TIMEOUT_S, Aborted, Channel
from qwarden.keys.party.fibre import FibreEnd
from qwarden.keys.party.messages import Kind
from qwarden.keys.party.resume import BlockJournal
from qwarden.keys.party.transport import LinkLost, Transport

ALARM_MOST: Final = 300
"""Characters of an alarm that Bob tells."""
GREETING_S: Final = 10.0
"""How long a stranger may be silent."""
BETWEEN: Final = bytes(16)
"""Stands for the block's id in what is said between blocks."""


class WrongPeer(QwardenError):  # noqa: N818 - it is what was found
    """The other end is not the one that was meant, or holds other terms."""

    exit_code = 2


class Line:
    """A transport that remembers whether it broke, and has little patience with strangers.

    Parameters
    ----------
    patience_s : longest silence that is borne; raised once it is known who speaks.
    """

    def __init__(self, transport: Transport, patience_s: float) -> None:
        self._transport, self.patience_s = transport, patience_s
        self.broke = False

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        try:
            self._transport.send(frame)
        except LinkLost:
            self.broke = True
            raise

    def receive(self, timeout_s: float) -> bytes:
        """Return the next frame."""
        try:
            return self._transport.receive(min(timeout_s, self.patience_s))
        except LinkLost:
            self.broke = True
            raise

    def close(self) -> None:
        """Let go."""
        self._transport.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an end is, and what it holds of its link.

    Parameters
    ----------
    name, peer : of the two ends.
    terms : what both must hold alike.
    pool : keys for tags.
    journal : what became of each block.
    timeout_s : how long the other end may be silent.
    """

    name: str
    peer: str
    terms: Terms
    pool: PreSharedPool
    journal: BlockJournal
    timeout_s: float = TIMEOUT_S

    @property
    def link(self) -> str:
        """Name of the link, the same at both ends."""
        return "-".join(sorted((self.name, self.peer)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What Alice proposes for a block.

    Parameters
    ----------
    block : id, in hexadecimal; empty: there are no more blocks, and `reason` says why if that is bad news.
    attempt : from 1.
    parameters : the settings that a retry may change, see `exchange.parameters_of`.
    replenish : leading bytes of the key that shall serve for tags.
    """

    block: str = ""
    attempt: int = 1
    parameters: dict[str, Json]
    replenish: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An authenticated connection, and the apparatus at this end of it.

    Parameters
    ----------
    round_trip_s : of the public channel as Bob measured it; 0 at Alice's end.
    alarm : what Bob saw in the last block, as he tells Alice; empty if nothing, and at his end.
    """

    channel: Channel
    line: Line
    fibre: FibreEnd
    round_trip_s: float = 0.0
    alarm: str = ""

    def propose(self, proposal: Proposal) -> None:
        """Say what comes next."""
        self.channel.begin(BETWEEN)
        self.channel.seal(Kind.HELLO, canonical_json(strict.to_json(proposal)))

    def proposed(self, settings: Settings) -> Proposal:
        """Hear what comes next.

        Raises
        ------
        Aborted
            It is not what the terms allow.
        """
        self.channel.begin(BETWEEN)
        _, body = self.channel.open(Kind.HELLO)
        try:
            proposal = strict.from_json(Proposal, _object(body))
            if proposal.block and len(bytes.fromhex(proposal.block)) != len(BETWEEN):
                raise ValueError("a block's id of another size")
            _check_parameters(proposal.parameters, settings)
        except ValueError as error:
            raise Aborted(f"a proposal that cannot be taken: {error}", by=self.channel.own) from error
        return proposal

    def close(self) -> None:
        """Let go of both."""
        self.channel.close()
        self.fibre.close()


def digest(terms: Terms) -> str:
    """Return a digest of what both ends must hold alike; how Cascade asks is Bob's own matter."""
    return sha256(canonical_json(strict.to_json(replace(terms, variant=""))))[:32]


def receive_bob(transport: Transport, place: Place, fibre: Address) -> Session:
    """Open a session as Alice, on a connection that somebody made.

    Parameters
    ----------
    fibre : where the apparatus listens; Bob is told.

    Raises
    ------
    WrongPeer, Aborted, LinkLost
        It is not Bob; he is let go.
    """
    line, channel = _channel(transport, place)
    try:
        _check(place, _object(channel.receive(Kind.HELLO).body))
        channel.send(Kind.HELLO, _hello(place, str(fibre)))
        _, body = channel.open(Kind.RESUME)
        told = _object(body)
        kept = place.journal.kept(place.peer, _ids(told.get("pending")))
        channel.seal(Kind.RESUME, canonical_json({"kept": kept}))
        line.patience_s = math.inf
        alarm = "".join(c for c in str(told.get("alarm", ""))[:ALARM_MOST] if c.isprintable())
        return Session(channel=channel, line=line, fibre=FibreEnd(fibre, "alice"), alarm=alarm)
    except (QwardenError, ValueError, RecursionError) as error:
        raise _refused(channel, error) from error


def greet_alice(transport: Transport, place: Place, fibre: Address | None, alarm: str = "") -> Session:
    """Open a session as Bob, on a connection to Alice.

    Parameters
    ----------
    fibre : where the apparatus listens; None: where Alice says.
    alarm : what he saw in the last block and has not told yet.

    Raises
    ------
    WrongPeer, Aborted, LinkLost
        It is not Alice.
    """
    line, channel = _channel(transport, place)
    try:
        start = time.perf_counter()
        channel.send(Kind.HELLO, _hello(place, ""))
        hello = _object(channel.receive(Kind.HELLO).body)
        round_trip_s = time.perf_counter() - start
        _check(place, hello)
        end = FibreEnd(fibre or parse_address(str(hello.get("fibre"))), "bob")
        told: Json = {"pending": place.journal.pending(place.peer), "alarm": alarm[:ALARM_MOST]}
        channel.seal(Kind.RESUME, canonical_json(told))
        _, body = channel.open(Kind.RESUME)
        place.journal.settle(place.peer, _ids(_object(body).get("kept")))
        line.patience_s = math.inf
        return Session(channel=channel, line=line, fibre=end, round_trip_s=round_trip_s)
    except (QwardenError, ValueError, RecursionError) as error:
        raise _refused(channel, error) from error


def _channel(transport: Transport, place: Place) -> tuple[Line, Channel]:
    line = Line(transport, GREETING_S)
    channel = Channel(line, own=place.name, peer=place.peer, supply=place.pool, timeout_s=place.timeout_s)
    channel.begin(BETWEEN)
    return line, channel


def _refused(channel: Channel, error: Exception) -> QwardenError:
    """Let the other end go, and return the error that says why."""
    if not isinstance(error, Aborted | LinkLost):
        channel.abort(str(error))
    channel.close()
    if isinstance(error, InputError | UsageError | ValueError | RecursionError):
        malformed = isinstance(error, ValueError | RecursionError)
        return Aborted(f"a greeting is no good: {error}", by=channel.own, tampered=malformed)
    assert isinstance(error, QwardenError)
    return error


def _hello(place: Place, fibre: str) -> bytes:
    return canonical_json(
        {"name": place.name, "peer": place.peer, "terms": digest(place.terms), "fibre": fibre}
    )


def _check(place: Place, hello: dict[str, Any]) -> None:
    name, peer, terms = (str(hello.get(field))[:64] for field in ("name", "peer", "terms"))
    if (name, peer) != (place.peer, place.name):
        raise WrongPeer(f"{name!r} wants to speak to {peer!r}; here {place.name} waits for {place.peer}")
    if terms != digest(place.terms):
        raise WrongPeer(
            f"{place.peer} holds other terms ({terms[:8]}, here {digest(place.terms)[:8]}): protocol, "
            "distance, size of a block and certainty must be the same at both ends"
        )


def _check_parameters(parameters: dict[str, Json], settings: Settings) -> None:
    """Refuse what no retry would come to."""
    bits, basis = parameters.get("block_bits"), parameters.get("key_basis")
    if parameters.keys() != {"block_bits", "key_basis"}:
        raise ValueError("other settings than a retry changes")
    if type(bits) is not int or not settings.block_bits <= bits <= max(settings.block_bits, BLOCK_MOST):
        raise ValueError("a block of another size")
    least = min(settings.key_basis, KEY_BASIS_LEAST)
    if not isinstance(basis, float) or not least <= basis <= settings.key_basis:
        raise ValueError("another share of the key basis")


def _ids(ids: object) -> list[str]:
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise ValueError("expected ids of blocks")
    return ids


def _object(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("expected an object")
    return document
