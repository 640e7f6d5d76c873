"""A session key of three parts: quantum, post-quantum and classical, agreed upon in two signed messages.

X25519 and ML-KEM-768 secrets are concatenated behind the quantum key as ETSI TS 103 744 has it; both messages
are signed with ML-DSA-65, and everything said goes into the derivation. The quantum key travels by its id.

Where there is no quantum key (the link was stopped, the pool is empty), the session may go on with the other
two. That is a downgrade: both ends must allow it, both say it in their signed messages, the derivation
differs, the session carries it and an event tells it. Nobody in between can bring it about unseen: the
ids and the mode are signed.

Source: ETSI TS 103 744 V1.2.1; FIPS 203, FIPS 204, RFC 7748; the article's "quantum key resilience".
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from qwarden.core import strict
from qwarden.core.crypto.postquantum import MLDSAKey, MLKEMKey, mldsa_verify, mlkem_encapsulate
from qwarden.core.errors import InputError, KeyReused, KeySupplyError, QwardenError
from qwarden.core.events import Event
from qwarden.core.files import canonical_json
from qwarden.core.keysupply import Key, KeySupply
from qwarden.keys.hybrid.combine import Messages, cat_kdf

Mode: TypeAlias = Literal["qkd+pqc", "pqc"]

CONTEXT: Final = b"qwarden hybrid v1"
QUANTUM_BITS: Final = 256
SESSION_BYTES: Final = 32
NONCE_BYTES: Final = 32
OFFER_MOST: Final = 16 * 1024
PURPOSE: Final = "hybrid session"


class HandshakeRefused(QwardenError):  # noqa: N818 - it is what happened
    """A handshake was refused: wrong signature, wrong peer, or a downgrade that is not allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridDowngraded(Event):
    """A session goes on without a quantum key.

    Parameters
    ----------
    own, peer : the ends.
    cause : why there is none.
    """

    room: ClassVar[str] = "keys"
    kind: ClassVar[str] = "hybrid_downgraded"

    own: str
    peer: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session key and what it rests on.

    Parameters
    ----------
    key : 32 bytes.
    mode : with or without a quantum key.
    origin : of the quantum key; empty without one.
    quantum_key_id : under which it was fetched; empty without one.
    """

    key: bytes = field(repr=False)
    mode: Mode
    origin: str
    quantum_key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What either end says; the responder's ``kem`` is a ciphertext, the initiator's a public key.

    ``answers`` is the hash of the offer that is answered, empty in an offer.
    """

    sender: str
    receiver: str
    mode: str
    quantum_key_id: str
    nonce: str
    answers: str
    x25519: str
    kem: str


class Initiator:
    """The end that begins.

    Parameters
    ----------
    own, peer : names.
    signing : this end's key.
    peer_public : the other's ML-DSA-65 key, known beforehand.
    supply : quantum keys shared with the peer; None: there is no link.
    allow_downgrade : whether a session without a quantum key is better than none.
    publish : told of a downgrade.

    Examples
    --------
    >>> a, b = MLDSAKey.generate(), MLDSAKey.generate()
    >>> alice = Initiator("alice", "bob", a, b.public, None, allow_downgrade=True)
    >>> bob = Responder("bob", "alice", b, a.public, None, allow_downgrade=True)
    >>> answer, at_bob = bob.answer(alice.offer())
    >>> at_alice = alice.finish(answer)
    >>> at_alice.key == at_bob.key, at_alice.mode
    (True, 'pqc')
    """

    def __init__(
        self,
        own: str,
        peer: str,
        signing: MLDSAKey,
        peer_public: bytes,
        supply: KeySupply | None,
        *,
        allow_downgrade: bool = False,
        publish: Callable[[Event], None] = lambda _: None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._end = _End(own, peer, signing, peer_public, supply, allow_downgrade, publish, now)
        self._x25519, self._kem = X25519PrivateKey.generate(), MLKEMKey.generate()
        self._quantum: Key | None = None
        self._offer: bytes | None = None

    def offer(self) -> bytes:
        """Return the first message.

        Raises
        ------
        HandshakeRefused
            There is no quantum key, and a downgrade is not allowed.
        """
        self._quantum = self._end.draw()
        offered = self._end.say(
            self._quantum, self._x25519.public_key().public_bytes_raw(), self._kem.public, answers=""
        )
        self._offer = offered
        return offered

    def finish(self, answer: bytes) -> Session:
        """Take the second message and return the session.

        Raises
        ------
        HandshakeRefused
            It is not the peer's answer to this offer.
        """
        if self._offer is None:
            raise HandshakeRefused("an answer without an offer")
        offer, self._offer = self._offer, None
        theirs = self._end.hear(answer)
        if theirs.answers != _digest(offer):
            raise HandshakeRefused(f"{theirs.sender}: answers another offer")
        quantum = self._quantum
        if theirs.mode == "pqc" and quantum is not None:
            self._end.downgraded("the peer could not fetch the quantum key")
            quantum = None
        elif theirs.quantum_key_id != (quantum.id if quantum else ""):
            raise HandshakeRefused(f"{theirs.sender}: answers with another quantum key")
        try:
            classical = self._x25519.exchange(_x25519(theirs.x25519))
            post_quantum = self._kem.decapsulate(_bytes(theirs.kem))
        except (ValueError, InputError) as error:
            raise HandshakeRefused(f"{theirs.sender}: {error}") from error
        return self._end.session(
            quantum, classical, post_quantum, Messages(initiator=offer, responder=answer)
        )


class Responder:
    """The end that answers; parameters as `Initiator`."""

    def __init__(
        self,
        own: str,
        peer: str,
        signing: MLDSAKey,
        peer_public: bytes,
        supply: KeySupply | None,
        *,
        allow_downgrade: bool = False,
        publish: Callable[[Event], None] = lambda _: None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._end = _End(own, peer, signing, peer_public, supply, allow_downgrade, publish, now)

    def answer(self, offer: bytes) -> tuple[bytes, Session]:
        """Take the first message; return the second, and the session.

        Raises
        ------
        HandshakeRefused
            The offer is not the peer's, or wants a downgrade that is not allowed.
        """
        theirs = self._end.hear(offer)
        if theirs.answers:
            raise HandshakeRefused(f"{theirs.sender}: an answer where an offer was due")
        quantum = self._end.fetch(theirs)
        private = X25519PrivateKey.generate()
        try:
            classical = private.exchange(_x25519(theirs.x25519))
            encapsulated = mlkem_encapsulate(_bytes(theirs.kem))
        except (ValueError, InputError) as error:
            raise HandshakeRefused(f"{theirs.sender}: {error}") from error
        answer = self._end.say(
            quantum,
            private.public_key().public_bytes_raw(),
            encapsulated.ciphertext,
            answers=_digest(offer),
        )
        messages = Messages(initiator=offer, responder=answer)
        return answer, self._end.session(quantum, classical, encapsulated.secret, messages)


@dataclass(frozen=True, slots=True)
class _End:
    """What both roles share."""

    own: str
    peer: str
    signing: MLDSAKey
    peer_public: bytes
    supply: KeySupply | None
    allow_downgrade: bool
    publish: Callable[[Event], None]
    now: Callable[[], float]

    def draw(self) -> Key | None:
        if self.supply is None:
            self.downgraded("there is no quantum link")
            return None
        try:
            return self.supply.draw(QUANTUM_BITS, PURPOSE, self.peer)
        except KeySupplyError as error:
            self.downgraded(str(error))
            return None

    def fetch(self, theirs: _Offer) -> Key | None:
        if theirs.mode == "pqc":
            self.downgraded("the peer has no quantum key")
            return None
        if self.supply is None:
            self.downgraded("there is no quantum link")
            return None
        try:
            return self.supply.fetch(theirs.quantum_key_id, PURPOSE, self.peer, bits=QUANTUM_BITS)
        except KeyReused as error:  # an offer that was repeated, no want of keys
            raise HandshakeRefused(f"{theirs.sender}: {error}") from error
        except KeySupplyError as error:
            self.downgraded(str(error))
            return None

    def downgraded(self, cause: str) -> None:
        """Tell of a downgrade, or refuse it."""
        if not self.allow_downgrade:
            raise HandshakeRefused(f"no quantum key shared with {self.peer}: {cause}")
        self.publish(HybridDowngraded(time=self.now(), own=self.own, peer=self.peer, cause=cause))

    def say(self, quantum: Key | None, x25519: bytes, kem: bytes, *, answers: str) -> bytes:
        """Write and sign a message."""
        offer = _Offer(
            sender=self.own,
            receiver=self.peer,
            mode="qkd+pqc" if quantum else "pqc",
            quantum_key_id=quantum.id if quantum else "",
            nonce=secrets.token_hex(NONCE_BYTES),
            answers=answers,
            x25519=x25519.hex(),
            kem=kem.hex(),
        )
        body = canonical_json(strict.to_json(offer))
        signature = self.signing.sign(body, CONTEXT)
        return canonical_json({"body": body.decode(), "signature": signature.hex()})

    def hear(self, message: bytes) -> _Offer:
        """Read a message and check who signed it."""
        if len(message) > OFFER_MOST:
            raise HandshakeRefused(f"a message of {len(message)} bytes; {OFFER_MOST} at most")
        try:
            outer = json.loads(message)
            body, signature = outer["body"].encode(), bytes.fromhex(outer["signature"])
            if not mldsa_verify(self.peer_public, signature, body, CONTEXT):
                raise HandshakeRefused(f"not signed by {self.peer}")
            offer = strict.from_json(_Offer, json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HandshakeRefused("a malformed message") from error
        if (offer.sender, offer.receiver) != (self.peer, self.own):
            raise HandshakeRefused(f"a message from {offer.sender[:40]!r} to {offer.receiver[:40]!r}")
        if offer.mode not in ("qkd+pqc", "pqc") or bool(offer.quantum_key_id) != (offer.mode == "qkd+pqc"):
            raise HandshakeRefused("a message that contradicts itself")
        return offer

    def session(
        self, quantum: Key | None, classical: bytes, post_quantum: bytes, messages: Messages
    ) -> Session:
        mode: Mode = "qkd+pqc" if quantum else "pqc"
        key = cat_kdf(
            [classical, post_quantum],
            messages,
            length=SESSION_BYTES,
            info=CONTEXT + b" " + mode.encode(),
            psk=quantum.material if quantum else b"",
        )
        return Session(
            key=key,
            mode=mode,
            origin=quantum.origin if quantum else "",
            quantum_key_id=quantum.id if quantum else "",
        )


def _digest(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise HandshakeRefused("a malformed message") from error


def _x25519(text: str) -> X25519PublicKey:
    try:
        return X25519PublicKey.from_public_bytes(_bytes(text))
    except ValueError as error:
        raise HandshakeRefused("a malformed X25519 key") from error
