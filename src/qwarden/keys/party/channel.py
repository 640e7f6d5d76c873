"""The classical channel: messages in order, and everything that was said authenticated before it counts.

Messages are public. What is sealed carries a one-time tag over all that was said since the last seal, in both
directions; its key comes from the supply that the two ends share (a pre-shared pool, replenished from fresh
keys). Between two seals nothing is believed for good: a key is kept only after the last of them. So one
pair of tags a block is enough, and a message that was changed, dropped, repeated, put in another order or
made up leads to a tag that does not verify.

Source: Wegman and Carter (1981), as in `core.crypto.tags`; Portmann, IEEE Trans. Inf. Theory 60, 4383 (2014)
(composable authentication of a whole transcript).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from qwarden.core.crypto.tags import KEY_BITS, TAG_BITS, TagKey
from qwarden.core.errors import KeySupplyError, QwardenError
from qwarden.core.keysupply import KeySupply
from qwarden.keys.party.messages import Kind, Message, decode, malformed
from qwarden.keys.party.transport import LinkLost, Transport

TIMEOUT_S: Final = 30.0
PURPOSE: Final = "key exchange"
_TAG_BYTES: Final = TAG_BITS // 8
_BLOCK_BYTES: Final = 16


class Aborted(QwardenError):  # noqa: N818 - it is what happened
    """A block was given up; its bits are worth nothing.

    Parameters
    ----------
    reason : one line.
    by : the end that gave up.
    tampered : whether the messages themselves were wrong: somebody else had a hand in them.
    """

    def __init__(self, reason: str, *, by: str, tampered: bool = False) -> None:
        self.reason, self.by, self.tampered = reason, by, tampered
        super().__init__(f"key exchange stopped by {by}: {reason}")


class Channel:
    """One end of the conversation about one block at a time.

    Parameters
    ----------
    transport : carries the frames.
    own, peer : names of the ends.
    supply : keys shared with the peer, for tags.
    timeout_s : how long the other end may be silent.
    heard : called with each message that was sent or received; for logs and tests.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        own: str,
        peer: str,
        supply: KeySupply,
        timeout_s: float = TIMEOUT_S,
        heard: Callable[[str, Message], None] | None = None,
    ) -> None:
        self.own, self.peer = own, peer
        self._transport, self._supply, self._timeout_s = transport, supply, timeout_s
        self._heard = heard
        self._block = bytes(_BLOCK_BYTES)
        self._sent = self._received = 0
        self._said, self._listened = bytearray(), bytearray()
        self.tag_bits = 0

    def begin(self, block: bytes) -> None:
        """Start on a block (its 16-byte id); what was said of the one before is forgotten."""
        self._block = block
        self._sent = self._received = 0
        self._said, self._listened = bytearray(), bytearray()

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Send a message; raises `LinkLost`."""
        message = Message(kind=kind, block=self._block, number=self._sent, body=body)
        frame = message.encode()
        self._sent += 1
        self._said += _framed(frame)
        self._transport.send(frame)
        if self._heard:
            self._heard(self.own, message)

    def receive(self, *kinds: Kind) -> Message:
        """Return the next message, which must be of one of `kinds`.

        Raises
        ------
        Aborted
            The other end gave up, or what came is no message that may come here.
        LinkLost
            Nothing came in time.
        """
        try:
            frame = self._transport.receive(self._timeout_s)
            message = decode(frame)
            if message.block != self._block:
                raise malformed("a message of another block")
            if message.number != self._received:
                raise malformed(f"message {message.number} where {self._received} was due")
            if message.kind is not Kind.ABORT and message.kind not in kinds:
                raise malformed(f"{message.kind.name} where {kinds[0].name} was due")
        except LinkLost:
            raise
        except QwardenError as error:
            raise Aborted(str(error), by=self.own, tampered=True) from error
        self._received += 1
        self._listened += _framed(frame)
        if self._heard:
            self._heard(self.peer, message)
        if message.kind is Kind.ABORT:
            raise Aborted(_reason(message.body), by=self.peer)
        return message

    def seal(self, kind: Kind, body: bytes = b"") -> None:
        """Send a message and, with it, the tag of all that was said so far.

        Raises
        ------
        KeySupplyError
            There is no key left for a tag.
        """
        key = self._supply.draw(KEY_BITS, PURPOSE, self.peer)
        self.tag_bits += KEY_BITS
        id = key.id.encode()
        body = struct.pack(">IB", len(body), len(id)) + body + id
        text = self._transcript(self.own, self._said, self._listened, kind, body)
        self.send(kind, body + TagKey(key.material).tag(text))
        self._forget()

    def open(self, *kinds: Kind) -> tuple[Kind, bytes]:
        """Receive a sealed message; return its kind and body.

        Raises
        ------
        Aborted
            The tag does not verify, or its key was used before: the conversation was tampered with.
        """
        said, listened = bytes(self._said), bytes(self._listened)
        message = self.receive(*kinds)
        sealed, tag = message.body[:-_TAG_BYTES], message.body[-_TAG_BYTES:]
        try:
            size, id_size = struct.unpack_from(">IB", sealed)
            if len(sealed) != 5 + size + id_size:
                raise malformed("a sealed message of the wrong size")
            id = sealed[5 + size :].decode("ascii")
        except (struct.error, UnicodeDecodeError, QwardenError) as error:
            raise Aborted(f"a sealed message is malformed: {error}", by=self.own, tampered=True) from error
        try:
            key = self._supply.fetch(id, PURPOSE, self.peer, bits=KEY_BITS)
        except KeySupplyError as error:
            raise Aborted(f"a tag's key: {error}", by=self.own, tampered=True) from error
        self.tag_bits += KEY_BITS
        text = self._transcript(self.peer, listened, said, message.kind, sealed)
        if not TagKey(key.material).verify(text, tag):
            raise Aborted("the tag of the conversation does not verify", by=self.own, tampered=True)
        self._forget()
        return message.kind, sealed[5 : 5 + size]

    def abort(self, reason: str) -> None:
        """Tell the other end that this one gives up; silent if it cannot be told."""
        try:
            self.send(Kind.ABORT, reason.encode()[:400])
        except QwardenError:
            return

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def _transcript(
        self,
        speaker: str,
        by_speaker: bytes | bytearray,
        to_speaker: bytes | bytearray,
        kind: Kind,
        body: bytes,
    ) -> bytes:
        parts = (speaker.encode(), self._block, bytes([kind]), bytes(by_speaker), bytes(to_speaker), body)
        return b"".join(_framed(part) for part in parts)

    def _forget(self) -> None:
        self._said.clear()
        self._listened.clear()


def _framed(part: bytes) -> bytes:
    return struct.pack(">Q", len(part)) + part


def _reason(body: bytes) -> str:
    text = body[:400].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text) or "no reason given"
