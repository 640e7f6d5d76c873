"""Two ends agree on a key and know that they did: the handshake over a connection, and what follows it.

Four messages. Offer and answer are the signed ones of `handshake`; then each end proves that it holds the
key, and only an end that has seen the other's proof uses it. Who replays an old offer gets no further than
its answer. The answering end puts the key to use before it sends its proof, so when a message is lost the
ends differ until the next attempt at most.

A frame is four bytes of length and as many of content.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from qwarden.core.crypto.derivation import derive_key
from qwarden.core.errors import ServiceError
from qwarden.keys.hybrid.handshake import OFFER_MOST, HandshakeRefused, Initiator, Mode, Responder, Session

FIRST_S: Final = 5.0
"""How long a caller that nobody knows yet may take for its first message."""

ANSWER_S: Final = 30.0
"""How long the other end may take for a later one: it may have to wait for its key server."""

_LENGTH: Final = struct.Struct(">I")


class PeerLost(ServiceError):  # noqa: N818 - it is what was found
    """The other end cannot be reached, has gone, or takes too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """A key that both ends hold.

    Parameters
    ----------
    psk : 32 bytes.
    name : the same at both ends, for this key alone; not secret.
    mode, origin, quantum_key_id : of the session, see `handshake.Session`.
    """

    psk: bytes = field(repr=False)
    name: str
    mode: Mode
    origin: str
    quantum_key_id: str


Use: TypeAlias = Callable[[Agreed], None]
"""Puts a key to use, or raises."""


class Stream:
    """Frames over a connection, each in its time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, frame: bytes) -> None:
        """Send a frame; raises `PeerLost`."""
        try:
            self._writer.write(_LENGTH.pack(len(frame)) + frame)
            async with asyncio.timeout(FIRST_S):
                await self._writer.drain()
        except OSError as error:  # TimeoutError among them
            raise PeerLost(f"the connection broke: {error.strerror or 'it takes too long'}") from error

    async def receive(self, within_s: float = ANSWER_S) -> bytes:
        """Return the next frame; raises `PeerLost`, or `HandshakeRefused` if it is too long."""
        try:
            async with asyncio.timeout(within_s):
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                if length > OFFER_MOST:
                    raise HandshakeRefused(f"a message of {length:,} bytes; {OFFER_MOST:,} at most")
                return await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise PeerLost("the other end has closed the connection; its log says why") from error
        except OSError as error:
            raise PeerLost(f"the connection broke: {error.strerror or 'it takes too long'}") from error

    async def close(self) -> None:
        """Let go, when all is sent."""
        self._writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(FIRST_S):
                await self._writer.wait_closed()


async def lead(stream: Stream, initiator: Initiator, purpose: str, use: Use) -> None:
    """Agree on a key as the end that begins, and use it.

    Parameters
    ----------
    purpose : what for; the ends agree only if it is the same.

    Raises
    ------
    HandshakeRefused, PeerLost
        There is no agreement; the key is not used here.
    """
    # Drawing a quantum key may ask a server, and so waits in a thread.
    await stream.send(await asyncio.to_thread(initiator.offer))
    session = initiator.finish(await stream.receive())
    derive = _deriver(session, purpose)
    await stream.send(derive("hybrid/proof-initiator"))
    _check(await stream.receive(), derive("hybrid/proof-responder"))
    use(_agreed(session, derive))


async def follow(stream: Stream, responder: Responder, purpose: str, use: Use) -> None:
    """Agree on a key as the end that answers, and use it; parameters and errors as `lead`."""
    answer, session = await asyncio.to_thread(responder.answer, await stream.receive(FIRST_S))
    derive = _deriver(session, purpose)
    await stream.send(answer)
    _check(await stream.receive(), derive("hybrid/proof-initiator"))
    use(_agreed(session, derive))
    await stream.send(derive("hybrid/proof-responder"))


def _deriver(session: Session, purpose: str) -> Callable[[str], bytes]:
    # The session's key depends on every byte of offer and answer already.
    return functools.partial(derive_key, session.key, context=purpose.encode())


def _check(proof: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(proof, expected):
        raise HandshakeRefused("the other end has come to another key")


def _agreed(session: Session, derive: Callable[[str], bytes]) -> Agreed:
    return Agreed(
        psk=derive("hybrid/psk"),
        name=derive("hybrid/name")[:8].hex(),
        mode=session.mode,
        origin=session.origin,
        quantum_key_id=session.quantum_key_id,
    )
