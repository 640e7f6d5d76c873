from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from qwarden.core.errors import KeyExhausted
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.exchange import Ends, converse
from qwarden.keys.finite_key import bbm92
from qwarden.keys.observables import Observables, observe_both
from qwarden.keys.party import messages
from qwarden.keys.party.block import Terms
from qwarden.keys.party.channel import Channel
from qwarden.keys.party.messages import Detected, Kind, Message, Sifted, decode, disclosed
from qwarden.keys.party.transport import LinkLost, Transport
from qwarden.keys.physics import Transmission

Pools = tuple[PreSharedPool, PreSharedPool]


def fine(seen: Observables) -> str:
    return ""


class Tap:
    """Stands at Alice's end and sees, or changes, every frame that passes."""

    def __init__(self, transport: Transport, change: Callable[[int, bytes], list[bytes]]) -> None:
        self._transport, self._change = transport, change
        self._count, self._held = 0, []

    def _changed(self, frame: bytes) -> list[bytes]:
        self._count += 1
        return self._change(self._count - 1, frame)

    def send(self, frame: bytes) -> None:
        for one in self._changed(frame):
            self._transport.send(one)

    def receive(self, timeout_s: float) -> bytes:
        while not self._held:
            self._held = self._changed(self._transport.receive(timeout_s))
        return self._held.pop(0)

    def close(self) -> None:
        self._transport.close()


def recorded(sent: Transmission, terms: Terms, pools: Pools) -> tuple[Ends, list[bytes]]:
    frames: list[bytes] = []

    def note(_: int, frame: bytes) -> list[bytes]:
        frames.append(frame)
        return [frame]

    ends = converse(sent, terms, supplies=pools, inspect=fine, meddle=lambda t: Tap(t, note))
    return ends, frames


def test_both_ends_come_to_the_same_key_and_the_same_books(
    sent: Transmission, terms: Terms, pools: Pools
) -> None:
    ends, _ = recorded(sent, terms, pools)
    assert ends.alice.accepted
    assert ends.bob.accepted
    assert ends.alice.key.size > 1000
    assert np.array_equal(ends.alice.key, ends.bob.key)
    assert abs(ends.alice.key.mean() - 0.5) < 0.05
    assert ends.alice.leaks == ends.bob.leaks
    assert ends.alice.length == ends.bob.length


def test_observables_are_those_of_who_sees_both_ends(sent: Transmission, terms: Terms, pools: Pools) -> None:
    ends, _ = recorded(sent, terms, pools)
    truth = observe_both("e91", sent.alice, sent.bob, sent.telemetry)
    seen = ends.bob.observables
    assert seen is not None
    assert seen.to_json() == truth.to_json()


def _parities(answer: bytes) -> int:
    """Return how many parities an answer of Cascade's holds: ``P``, a varint, that many bits."""
    assert answer[:1] == b"P"
    count, shift, at = 0, 0, 1
    while True:
        count |= (answer[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if answer[at - 1] < 0x80:
            break
    assert len(answer) - at == -(-count // 8)
    return count


def test_an_independent_recount_of_the_bytes_gives_the_ledger(
    sent: Transmission, terms: Terms, pools: Pools
) -> None:
    ends, frames = recorded(sent, terms, pools)
    spoken = [decode(frame) for frame in frames]
    heard = Detected.decode(next(m.body for m in spoken if m.kind is Kind.DETECTED))
    answer = Sifted.decode(next(m.body for m in spoken if m.kind is Kind.SIFTED), heard)
    sifted = int(((answer.basis == 0) & (heard.basis[answer.present] == 0)).sum())
    # No bit of the key is among those told in sifting: all of them are of other bases.
    assert heard.bits.size == int((heard.basis != 0).sum())
    assert answer.bits.size == int(disclosed(answer.basis, heard.basis[answer.present]).sum())
    told = sum(_parities(m.body) for m in spoken if m.kind is Kind.ANSWER)
    hashed = 8 * (len(next(m.body for m in spoken if m.kind is Kind.VERIFY)) - 16)
    counted = dict(ends.alice.leaks)
    assert counted["reconciliation"] == told
    assert counted["verification"] == hashed
    assert counted["error counts"] == 3 * math.ceil(math.log2(sifted + 1))
    # The key is no longer than the bound from what can be recounted.
    check = (answer.basis == 1) & (heard.basis[answer.present] == 1)
    bob_told = np.zeros(heard.basis.size, dtype=np.uint8)
    bob_told[heard.basis != 0] = heard.bits
    alice_told = np.zeros(answer.basis.size, dtype=np.uint8)
    alice_told[disclosed(answer.basis, heard.basis[answer.present])] = answer.bits
    errors = int((bob_told[answer.present][check] != alice_told[check]).sum())
    bound = bbm92(sifted, int(check.sum()), errors, terms.settings, sum(counted.values()))
    assert ends.alice.key.size <= bound.bits


Change = Callable[[int, bytes], list[bytes]]


def _flipped(frame: bytes) -> list[bytes]:
    where = min(24 + (len(frame) - 24) * 2 // 3, len(frame) - 1)
    return [frame[:where] + bytes([frame[where] ^ 4]) + frame[where + 1 :]]


def _cut(frame: bytes) -> list[bytes]:
    return [frame[: len(frame) * 3 // 4]]


def _longer(frame: bytes) -> list[bytes]:
    return [frame + b"\0"]


def _repeated(frame: bytes) -> list[bytes]:
    return [frame, frame]


def _dropped(frame: bytes) -> list[bytes]:
    return []


def _zeroed(frame: bytes) -> list[bytes]:
    return [frame[:24] + bytes(len(frame) - 24)]


def _numbered(frame: bytes) -> list[bytes]:
    (number,) = struct.unpack_from(">I", frame, 20)
    return [frame[:20] + struct.pack(">I", number + 1) + frame[24:]]


def _at(kind: Kind, change: Callable[[bytes], list[bytes]]) -> Change:
    """Change the second message of a kind, or the first where there is one alone."""
    seen: list[bytes] = []

    def act(_: int, frame: bytes) -> list[bytes]:
        if decode(frame).kind is kind:
            seen.append(frame)
            if len(seen) == (2 if kind in (Kind.ASK, Kind.ANSWER) else 1):
                return change(frame)
        return [frame]

    return act


SPOKEN = [kind for kind in Kind if kind not in (Kind.HELLO, Kind.ABORT, Kind.RESUME, Kind.REVEAL)]


CHANGES = [_flipped, _cut, _longer, _repeated, _dropped, _zeroed, _numbered]
# What ends a block comes too late when it comes twice: the next block refuses what does not belong to it.
LATE = [(Kind.CONFIRM, _repeated), (Kind.COMMIT, _repeated)]


@pytest.mark.parametrize(
    ("kind", "change"),
    [(kind, change) for kind in SPOKEN for change in CHANGES if (kind, change) not in LATE],
)
def test_a_conversation_that_was_tampered_with_never_gives_a_key(
    kind: Kind, change: Callable[[bytes], list[bytes]], sent: Transmission, terms: Terms, pools: Pools
) -> None:
    if kind is Kind.CHECKED and change is _zeroed:
        change = _flipped
    ends = converse(
        sent, terms, supplies=pools, inspect=fine, meddle=lambda t: Tap(t, _at(kind, change)), timeout_s=0.3
    )
    # Who spoke last cannot know whether it was heard: at most the last message leaves one end with a key, of
    # which the other says when they meet again that it never came.
    assert not (ends.alice.accepted and ends.bob.accepted)
    if kind not in (Kind.SEAL, Kind.CONFIRM, Kind.COMMIT):
        assert not ends.alice.accepted
        assert not ends.bob.accepted
        assert ends.alice.key.size == ends.bob.key.size == 0


def test_a_monitor_that_objects_leaves_no_key(sent: Transmission, terms: Terms, pools: Pools) -> None:
    ends = converse(sent, terms, supplies=pools, inspect=lambda seen: "too bright")
    assert not ends.alice.accepted
    assert not ends.bob.accepted
    assert ends.bob.alarm == "too bright"
    assert "too bright" in ends.alice.reason
    assert ends.alice.key.size == 0


def test_without_keys_for_tags_there_is_no_exchange(sent: Transmission, terms: Terms, pools: Pools) -> None:
    alice, bob = pools
    while alice.available("bob") >= 256:
        alice.draw(256, "spent", "bob")
    with pytest.raises(KeyExhausted):
        converse(sent, terms, supplies=(alice, bob), inspect=fine)


def test_ends_with_different_secrets_find_out(
    sent: Transmission, terms: Terms, pools: Pools, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = PreSharedPool(tmp_path_factory.mktemp("stranger"), "bob")
    stranger.add("alice", bytes(range(1, 255)) * 4)
    ends = converse(sent, terms, supplies=(pools[0], stranger), inspect=fine)
    assert not ends.alice.accepted
    assert ends.bob.tampered


def test_no_key_where_errors_are_too_many_and_both_ends_learn_why(
    sent: Transmission, terms: Terms, pools: Pools
) -> None:
    rng = np.random.default_rng(1)
    noise = (rng.random(sent.bob.bit.size) < 0.2).astype(np.uint8)
    noisy = replace(sent, bob=replace(sent.bob, bit=sent.bob.bit ^ noise))
    ends = converse(noisy, terms, supplies=pools, inspect=fine)
    assert ends.alice.stage == ends.bob.stage == "estimation"
    assert ends.alice.leaks == ends.bob.leaks == {"post-mortem": int(ends.alice.detected[0].sum())}
    assert 0.18 < ends.alice.qber < 0.24
    assert ends.alice.qber == ends.bob.qber
    assert ends.bob.observables is not None


def test_a_message_too_many_or_of_another_block_is_refused(pools: Pools) -> None:
    from qwarden.keys.party.channel import Aborted
    from qwarden.keys.party.transport import QueueTransport

    ours, theirs = QueueTransport.pair()
    channel = Channel(ours, own="alice", peer="bob", supply=pools[0], timeout_s=0.2)
    channel.begin(b"\1" * 16)
    for message, why in (
        (Message(kind=Kind.ASK, block=b"\2" * 16, number=0, body=b""), "another block"),
        (Message(kind=Kind.ASK, block=b"\1" * 16, number=7, body=b""), "message 7"),
        (Message(kind=Kind.SEAL, block=b"\1" * 16, number=0, body=b""), "SEAL"),
    ):
        theirs.send(message.encode())
        with pytest.raises(Aborted, match=why):
            channel.receive(Kind.ASK)
    with pytest.raises(LinkLost, match="says nothing"):
        channel.receive(Kind.ASK)
    assert messages.VERSION == 1


def test_a_tag_holds_for_its_kind_of_message_alone(pools: Pools) -> None:
    from qwarden.keys.party.channel import Aborted
    from qwarden.keys.party.transport import QueueTransport

    class Renamed:
        """Passes a sealed CONFIRM on as a COMMIT."""

        def __init__(self, transport: Transport) -> None:
            self._transport = transport

        def send(self, frame: bytes) -> None:
            message = decode(frame)
            self._transport.send(replace(message, kind=Kind.COMMIT).encode())

        def receive(self, timeout_s: float) -> bytes:
            return self._transport.receive(timeout_s)

        def close(self) -> None:
            self._transport.close()

    ours, theirs = QueueTransport.pair()
    alice = Channel(Renamed(ours), own="alice", peer="bob", supply=pools[0], timeout_s=0.5)
    bob = Channel(theirs, own="bob", peer="alice", supply=pools[1], timeout_s=0.5)
    for end in (alice, bob):
        end.begin(b"\1" * 16)
    alice.seal(Kind.CONFIRM, b"text")
    with pytest.raises(Aborted, match="does not verify"):
        bob.open(Kind.COMMIT)


def test_a_forged_id_uses_up_no_more_than_nothing(pools: Pools) -> None:
    from qwarden.core.errors import KeySupplyError

    alice, bob = pools
    before = bob.available("alice")
    key = alice.draw(256, "tag", "bob")
    part, first, _ = key.id.split(".")
    with pytest.raises(KeySupplyError, match="8192 bits, not 256"):
        bob.fetch(f"{part}.{first}.1024", "tag", "alice", bits=256)
    assert bob.fetch(key.id, "tag", "alice", bits=256) == key
    assert bob.available("alice") == before


def test_a_fixed_length_is_kept_or_nothing(sent: Transmission, pools: Pools) -> None:
    """A block that misses the test agreed upon gives nothing, and one that passes just so much."""
    from qwarden.keys.finite_key import Acceptance
    from qwarden.keys.link import Link, Settings
    from qwarden.keys.physics import pulses_for, transmit

    settings = Settings(block_bits=400_000, key_basis=0.7, eps_sec=1e-6)
    near = Link(distance_km=10)
    block = transmit(near, settings, pulses=pulses_for(near, settings), seed=5)
    for least, accepted in ((200_000, True), (390_000, False)):
        test = Acceptance(s1=least, phi=0.08, leak_bits=90_000)
        fixed = Terms(settings=settings, acceptance=lambda _, test=test: test)
        ends = converse(block, fixed, supplies=pools, inspect=fine)
        assert ends.alice.accepted is accepted
        if accepted:
            assert ends.alice.key.size == test.length(settings).bits
            assert ends.alice.length is not None
            assert ends.alice.length.method == "fixed2024"
