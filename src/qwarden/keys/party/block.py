"""One block of a key exchange, as each of its two ends goes through it.

Bob tells what he detected, Alice which of it counts. Both count errors in the check basis; if those leave no
key, they show each other all their bits, to learn what was wrong, and give up. Else Bob corrects his key
towards Alice's, compares hashes, has his monitor look at all that the block has shown (`inspect`), and both
shorten the key to what is secret. Three seals end it: Alice's with the matrix, Bob's when he has
stored the key, Alice's when she has. Every bit that was disclosed stands in the ledger; both ends count
on their own, and where the length follows from the counts, a difference ends the block.

Start reading at `alice_block`; `bob_block` is its mirror image.
"""

from __future__ import annotations

import math
import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError
from qwarden.keys import amplification, verification
from qwarden.keys.finite_key import Acceptance, KeyLength, bbm92, binary_entropy, lim2014
from qwarden.keys.leaks import LeakLedger
from qwarden.keys.link import Settings
from qwarden.keys.observables import Observables, error_profile, observe
from qwarden.keys.party import sifting
from qwarden.keys.party.channel import Aborted, Channel
from qwarden.keys.party.messages import Detected, Kind, Sifted, malformed
from qwarden.keys.party.sifting import Sift
from qwarden.keys.party.transport import LinkLost
from qwarden.keys.reconciliation import Alice, Bob, Reconciled, cascade, ldpc
from qwarden.keys.records import Bits, Detections, Preparations, Telemetry

Inspect = Callable[[Observables], str]
"""Looks at a block with Bob's eyes; returns why it must not be used, or an empty text."""

HOPEFUL: Final = 1.05
"""Efficiency of reconciliation that a block is hoped to reach before it is known to fail."""

_NOTHING: Final = np.zeros(0, dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What both ends must hold alike.

    Parameters
    ----------
    settings : of the link.
    reconciler : ``cascade`` or ``ldpc``.
    variant : of Cascade.
    acceptance : fixed test and length of each block (`finite_key.Acceptance`); None: the length follows from
        the counts (Lim et al. for BB84, Tomamichel et al. for E91).
    """

    settings: Settings
    reconciler: Literal["cascade", "ldpc"] = "cascade"
    variant: str = "lean"
    acceptance: Callable[[Settings], Acceptance] | None = None

    def length(self, sift: Sift, leak_bits: int) -> KeyLength:
        """Return how long the key of a block may be."""
        if self.settings.protocol == "e91":
            check, errors = int(sift.detected[1].sum()), int(sift.check_errors.sum())
            return bbm92(int(sift.detected[0].sum()), check, errors, self.settings, leak_bits)
        if self.acceptance is None:
            return lim2014(sift.counts, self.settings, leak_bits)
        acceptance = self.acceptance(self.settings)
        found = acceptance.length(self.settings)
        refused = acceptance.refuses(sift.counts, self.settings, leak_bits)
        return replace(found, bits=0) if refused else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What came of a block at one end.

    Parameters
    ----------
    id : 16 bytes, in hexadecimal.
    key : the secret bits; none if the block was not accepted.
    reason : why it was not; empty if it was.
    stage : how far it came: ``sifting``, ``estimation``, ``reconciliation``, ``verification``,
        ``inspection``, ``sealing``, ``accepted``.
    tampered : whether the conversation itself was interfered with.
    detected, errors : pairs in the same basis and those that differ, by basis (Z, X) and intensity (2, 3);
        None if it did not come so far.
    observables : all that the block has shown; Bob's alone, who has the detectors.
    alarm : what the monitor saw in it; Bob's alone. A block may hold no key and give no alarm.
    leaks : disclosed bits by step.
    length : of the key, with what proves it.
    corrected, rounds : of reconciliation.
    """

    id: str
    key: Bits = field(repr=False, default_factory=lambda: _NOTHING)
    reason: str = ""
    stage: str = "sifting"
    tampered: bool = False
    detected: npt.NDArray[np.int64] | None = None
    errors: npt.NDArray[np.int64] | None = None
    observables: Observables | None = None
    alarm: str = ""
    leaks: Mapping[str, int] = field(default_factory=dict)
    length: KeyLength | None = None
    corrected: int = 0
    rounds: int = 0

    @property
    def qber(self) -> float:
        """Error rate in both bases together; NaN if the errors were never counted."""
        if self.detected is None or self.errors is None or not self.detected.sum():
            return math.nan
        return float(self.errors.sum() / self.detected.sum())

    @property
    def accepted(self) -> bool:
        """Whether it gave a key."""
        return self.stage == "accepted"


@dataclass(slots=True)
class _Progress:
    """What is known so far; an end's own view, so that a block that stops half-way still tells its story."""

    stage: str = "sifting"
    detected: npt.NDArray[np.int64] | None = None
    errors: npt.NDArray[np.int64] | None = None
    profile: npt.NDArray[np.int64] | None = None
    observables: Observables | None = None
    alarm: str = ""
    ledger: LeakLedger = field(default_factory=LeakLedger)
    length: KeyLength | None = None
    corrected: int = 0
    rounds: int = 0

    def block(self, id: bytes, key: Bits = _NOTHING, reason: str = "", *, tampered: bool = False) -> Block:
        """Close the books."""
        return Block(
            id=id.hex(), key=key, reason=reason, stage=self.stage, tampered=tampered,
            detected=self.detected, errors=self.errors, observables=self.observables, alarm=self.alarm,
            leaks=self.ledger.frozen(), length=self.length, corrected=self.corrected, rounds=self.rounds,
        )  # fmt: skip


Store = Callable[[Block], None]
"""Keeps a key so that it outlives a crash; called before the other end is told that it is kept."""


def alice_block(
    channel: Channel,
    id: bytes,
    record: Preparations | Detections,
    telemetry: Telemetry,
    terms: Terms,
    *,
    store: Store = lambda _: None,
) -> Block:
    """Go through a block as Alice.

    If Bob goes away the block is lost, and says so. Where that happens while sealing, a key may be stored at
    one end alone; see `node` for how the ends find out.

    Raises
    ------
    KeySupplyError
        No key is left for a tag.
    """
    return _guarded(channel, id, lambda at: _alice(channel, at, id, record, telemetry, terms, store))


def bob_block(
    channel: Channel,
    id: bytes,
    record: Detections,
    telemetry: Telemetry,
    terms: Terms,
    *,
    inspect: Inspect,
    store: Store = lambda _: None,
) -> Block:
    """Go through a block as Bob; see `alice_block`."""
    return _guarded(channel, id, lambda at: _bob(channel, at, id, record, telemetry, terms, inspect, store))


def _guarded(channel: Channel, id: bytes, act: Callable[[_Progress], Block]) -> Block:
    channel.begin(id)
    at = _Progress()
    try:
        return act(at)
    except Aborted as stop:
        if stop.by == channel.own:
            channel.abort(stop.reason)
        return at.block(id, reason=stop.reason, tampered=stop.tampered)
    except LinkLost as error:
        channel.abort(str(error))
        return at.block(id, reason=str(error))
    except InputError as error:  # a message that is well formed and cannot be true
        channel.abort(str(error))
        return at.block(id, reason=str(error), tampered=True)


def _alice(
    channel: Channel,
    at: _Progress,
    id: bytes,
    record: Preparations | Detections,
    telemetry: Telemetry,
    terms: Terms,
    store: Store,
) -> Block:
    heard = Detected.decode(channel.receive(Kind.DETECTED).body)
    answer, bits = sifting.answer_detections(heard, record, telemetry)
    channel.send(Kind.SIFTED, answer.encode())
    sift = sifting.sift(terms.settings.protocol, heard, answer, bits)
    _estimate(channel, at, sift, terms, first=False)

    at.stage = "reconciliation"
    end = _answering(sift, terms, id)
    while True:
        message = channel.receive(Kind.ASK, Kind.RECONCILED)
        if message.kind is Kind.RECONCILED:
            break
        channel.send(Kind.ANSWER, end.answer(message.body))
    _count(at, sift, _errors(message.body, sift), end.leak_bits)

    at.stage = "verification"
    bits_of_hash = verification.hash_bits(sift.key.size, terms.settings.eps_cor)
    point = secrets.token_bytes(verification.POINT_BYTES)
    channel.send(Kind.VERIFY, point + verification.key_hash(sift.key, point, bits_of_hash))
    at.ledger.note("verification", bits_of_hash)
    if channel.receive(Kind.CHECKED).body != b"\1":
        raise Aborted("the keys differ after reconciliation", by=channel.peer)

    length = _length(channel, at, sift, terms)
    seed = np.unpackbits(
        np.frombuffer(secrets.token_bytes(-(-_seed_bits(length, sift) // 8)), dtype=np.uint8)
    )[: _seed_bits(length, sift)]
    channel.seal(Kind.SEAL, struct.pack(">I", length) + np.packbits(seed).tobytes())
    key = amplification.amplify(sift.key, seed, length)
    at.stage = "sealing"
    channel.open(Kind.CONFIRM)
    at.stage = "accepted"
    block = at.block(id, key)
    store(block)
    channel.seal(Kind.COMMIT)
    return block


def _bob(
    channel: Channel,
    at: _Progress,
    id: bytes,
    record: Detections,
    telemetry: Telemetry,
    terms: Terms,
    inspect: Inspect,
    store: Store,
) -> Block:
    heard = sifting.tell_detections(record)
    channel.send(Kind.DETECTED, heard.encode())
    answer = Sifted.decode(channel.receive(Kind.SIFTED).body, heard)
    sift = sifting.sift(terms.settings.protocol, heard, answer, record.bit[answer.present])
    seen = replace(telemetry, watchdog=answer.watchdog)
    try:
        _estimate(channel, at, sift, terms, first=True)
    except Aborted:
        _look(at, record, seen, sift, terms, inspect)
        raise

    at.stage = "reconciliation"
    done = _ask(channel, sift, terms, id)
    differ = done.bits != sift.key
    errors = _by_intensity(differ, sift)
    channel.send(Kind.RECONCILED, struct.pack(">III", *(int(count) for count in errors)))
    _count(at, sift, errors, done.leak_bits)
    at.profile = error_profile(differ)
    at.rounds = done.rounds

    at.stage = "verification"
    bits_of_hash = verification.hash_bits(sift.key.size, terms.settings.eps_cor)
    body = channel.receive(Kind.VERIFY).body
    point, theirs = body[: verification.POINT_BYTES], body[verification.POINT_BYTES :]
    if len(theirs) != bits_of_hash // 8:
        raise malformed(f"a hash of {8 * len(theirs)} bits, {bits_of_hash} were due")
    at.ledger.note("verification", bits_of_hash)
    same = secrets.compare_digest(verification.key_hash(done.bits, point, bits_of_hash), theirs)
    if not same:
        channel.send(Kind.CHECKED, b"\0")
        raise Aborted("the keys differ after reconciliation", by=channel.own)

    # Before Alice hears that the keys are the same: she would shorten hers for nothing.
    at.stage = "inspection"
    if why := _look(at, record, seen, sift, terms, inspect):
        raise Aborted(why, by=channel.own)
    channel.send(Kind.CHECKED, b"\1")
    length = _length(channel, at, sift, terms)
    _, body = channel.open(Kind.SEAL)
    seed_bits = _seed_bits(length, sift)
    if len(body) != 4 + -(-seed_bits // 8) or struct.unpack_from(">I", body)[0] != length:
        raise malformed("the matrix is for a key of another length")
    seed = np.unpackbits(np.frombuffer(body, dtype=np.uint8, offset=4))[:seed_bits]
    key = amplification.amplify(done.bits, seed, length)
    at.stage = "sealing"
    block = replace(at.block(id, key), stage="accepted")
    store(block)
    channel.seal(Kind.CONFIRM)
    channel.open(Kind.COMMIT)
    at.stage = "accepted"
    return block


def _estimate(channel: Channel, at: _Progress, sift: Sift, terms: Terms, *, first: bool) -> None:
    """Give up where the check basis leaves no key, after both ends have shown each other what they had."""
    at.stage, at.detected = "estimation", sift.detected
    hoped = HOPEFUL * binary_entropy(sift.check_qber) * sift.key.size
    if terms.settings.protocol == "bb84":
        why = _no_key(lim2014(sift.counts, terms.settings, hoped), sift)
    else:
        check, errors = int(sift.detected[1].sum()), int(sift.check_errors.sum())
        why = _no_key(bbm92(int(sift.detected[0].sum()), check, errors, terms.settings, hoped), sift)
    if not why:
        return
    theirs = _exchange_bits(channel, sift.key, first=first)
    at.ledger.note("post-mortem", sift.key.size)
    differ = theirs != sift.key
    at.errors = np.stack([_by_intensity(differ, sift), sift.check_errors])
    at.profile = error_profile(differ)
    raise Aborted(why, by="both ends")


def _look(
    at: _Progress, record: Detections, telemetry: Telemetry, sift: Sift, terms: Terms, inspect: Inspect
) -> str:
    """Have the monitor look at all that the block has shown."""
    if at.errors is None:
        return ""
    at.observables = observe(
        terms.settings.protocol, record, telemetry, detected=sift.detected, errors=at.errors,
        tests=sift.tests, profile=at.profile,
    )  # fmt: skip
    at.alarm = inspect(at.observables)
    return at.alarm


def _no_key(length: KeyLength, sift: Sift) -> str:
    if length.bits > 0:
        return ""
    if sift.key.size == 0:
        return "nothing was detected in the key basis"
    return f"no secret bits: QBER {sift.check_qber:.1%} in X, phase errors up to {length.phi:.1%}"


def _exchange_bits(channel: Channel, key: Bits, *, first: bool) -> Bits:
    """Show and be shown all bits of a key that is dead anyway: what was wrong shall be known."""
    if first:
        channel.send(Kind.REVEAL, np.packbits(key).tobytes())
    body = channel.receive(Kind.REVEAL).body
    if not first:
        channel.send(Kind.REVEAL, np.packbits(key).tobytes())
    if len(body) != -(-key.size // 8):
        raise malformed("a revealed key of another length")
    return np.unpackbits(np.frombuffer(body, dtype=np.uint8))[: key.size]


def _ask(channel: Channel, sift: Sift, terms: Terms, id: bytes) -> Reconciled:
    """Correct Bob's key by asking Alice."""
    bob = _asking(sift, terms, id)
    try:
        request = next(bob)
        while True:
            channel.send(Kind.ASK, request)
            request = bob.send(channel.receive(Kind.ANSWER).body)
    except StopIteration as stop:
        done: Reconciled = stop.value
        return done


def _asking(sift: Sift, terms: Terms, id: bytes) -> Bob:
    if terms.reconciler == "ldpc":
        return ldpc.bob(sift.key, sift.check_qber, seed=_seed(id))
    return cascade.bob(sift.key, sift.check_qber, seed=_seed(id), variant=terms.variant)


def _answering(sift: Sift, terms: Terms, id: bytes) -> Alice:
    if terms.reconciler == "ldpc":
        return ldpc.alice(sift.key, seed=_seed(id))
    return cascade.alice(sift.key, seed=_seed(id))


def _count(at: _Progress, sift: Sift, errors: npt.NDArray[np.int64], leak_bits: int) -> None:
    """Note what reconciliation has disclosed, and the errors that it found."""
    at.ledger.note("reconciliation", leak_bits)
    # How many bits were wrong, of each intensity, is said aloud too.
    at.ledger.note("error counts", 3 * math.ceil(math.log2(sift.key.size + 1)))
    at.corrected = int(errors.sum())
    at.errors = np.stack([errors, sift.check_errors])


def _by_intensity(differ: npt.NDArray[np.bool_], sift: Sift) -> npt.NDArray[np.int64]:
    """Return the errors in the key by intensity (3,); counting bits is ten times as fast as picking them."""
    return np.array([np.count_nonzero(differ & (sift.key_intensity == k)) for k in range(3)])


def _errors(body: bytes, sift: Sift) -> npt.NDArray[np.int64]:
    if len(body) != 12:
        raise malformed("error counts of another size")
    errors = np.array(struct.unpack(">III", body), dtype=np.int64)
    if (errors > sift.detected[0]).any():
        raise malformed("more errors than bits")
    return errors


def _length(channel: Channel, at: _Progress, sift: Sift, terms: Terms) -> int:
    """Return the length of the key in bits, or give up."""
    at.length = terms.length(sift, at.ledger.total)
    if at.length.bits == 0:
        raise Aborted(f"no secret bits are left ({at.length.exact:.0f})", by=channel.own)
    return at.length.bits


def _seed_bits(length: int, sift: Sift) -> int:
    return amplification.seed_bits(length, sift.key.size)


def _seed(id: bytes) -> int:
    """The public seed of reconciliation: of the block's id, which is new for each block."""
    return int.from_bytes(id[:8], "big")
