from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from qwarden.core.crypto.postquantum import MLDSAKey
from qwarden.core.events import Event
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.hybrid.handshake import HandshakeRefused, HybridDowngraded, Initiator, Responder


@dataclass
class Ends:
    alice: MLDSAKey
    bob: MLDSAKey
    pools: tuple[PreSharedPool, PreSharedPool]
    told: list[Event]

    def initiator(self, *, quantum: bool = True, allow: bool = False) -> Initiator:
        supply = self.pools[0] if quantum else None
        return Initiator(
            "alice",
            "bob",
            self.alice,
            self.bob.public,
            supply,
            allow_downgrade=allow,
            publish=self.told.append,
        )

    def responder(self, *, quantum: bool = True, allow: bool = False) -> Responder:
        supply = self.pools[1] if quantum else None
        return Responder(
            "bob",
            "alice",
            self.bob,
            self.alice.public,
            supply,
            allow_downgrade=allow,
            publish=self.told.append,
        )


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    shared = os.urandom(512)
    pools = PreSharedPool(tmp_path / "a", "alice"), PreSharedPool(tmp_path / "b", "bob")
    pools[0].add("bob", shared)
    pools[1].add("alice", shared)
    return Ends(MLDSAKey.generate(), MLDSAKey.generate(), pools, [])


def test_both_ends_come_to_one_key_of_all_three_parts(ends: Ends) -> None:
    initiator = ends.initiator()
    answer, at_bob = ends.responder().answer(initiator.offer())
    at_alice = initiator.finish(answer)
    assert at_alice == at_bob
    assert at_alice.mode == "qkd+pqc"
    assert at_alice.origin == "pre-shared"
    assert not ends.told
    assert at_alice.key.hex() not in repr(at_alice)


@pytest.mark.parametrize(("at_alice", "at_bob"), [(False, True), (True, False), (False, False)])
def test_without_a_quantum_key_it_goes_on_and_says_so(ends: Ends, at_alice: bool, at_bob: bool) -> None:
    initiator = ends.initiator(quantum=at_alice, allow=True)
    answer, bobs = ends.responder(quantum=at_bob, allow=True).answer(initiator.offer())
    alices = initiator.finish(answer)
    assert alices == bobs
    assert alices.mode == "pqc"
    assert {type(event) for event in ends.told} == {HybridDowngraded}
    assert {event.own for event in ends.told if isinstance(event, HybridDowngraded)} == {"alice", "bob"}


def test_a_downgrade_that_one_end_does_not_allow_is_refused(ends: Ends) -> None:
    with pytest.raises(HandshakeRefused, match="no quantum link"):
        ends.initiator(quantum=False).offer()
    offer = ends.initiator(quantum=False, allow=True).offer()
    with pytest.raises(HandshakeRefused, match="peer has no quantum key"):
        ends.responder().answer(offer)
    initiator = ends.initiator()
    answer, _ = ends.responder(quantum=False, allow=True).answer(initiator.offer())
    with pytest.raises(HandshakeRefused, match="could not fetch"):
        initiator.finish(answer)


def test_a_message_that_was_changed_is_refused(ends: Ends) -> None:
    initiator = ends.initiator(allow=True)
    outer = json.loads(initiator.offer())
    body = json.loads(outer["body"])
    for name, value in (("mode", "pqc"), ("quantum_key_id", ""), ("nonce", "00"), ("x25519", "00" * 32)):
        outer["body"] = json.dumps({**body, name: value})
        with pytest.raises(HandshakeRefused, match="not signed by alice"):
            ends.responder(allow=True).answer(json.dumps(outer).encode())
    for junk in (b"", b"{}", b"[1]", b"\xff", b'{"body": 1, "signature": "00"}', b"x" * 20_000):
        with pytest.raises(HandshakeRefused):
            ends.responder().answer(junk)


def test_the_mode_goes_into_the_key(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both ends hold the same secrets and only one is told that a quantum key was used, keys differ."""
    from qwarden.keys.hybrid import handshake

    infos: list[bytes] = []
    derive = handshake.cat_kdf
    monkeypatch.setattr(handshake, "cat_kdf", lambda *a, **k: infos.append(k["info"]) or derive(*a, **k))
    for quantum in (True, False):
        initiator = ends.initiator(quantum=quantum, allow=True)
        initiator.finish(ends.responder(quantum=quantum, allow=True).answer(initiator.offer())[0])
    assert len(infos) == 4
    assert len(set(infos)) == 2


def test_answers_cannot_be_replayed_or_swapped(ends: Ends) -> None:
    first, second = ends.initiator(), ends.initiator()
    answer, _ = ends.responder().answer(first.offer())
    second.offer()
    with pytest.raises(HandshakeRefused, match="another offer"):
        second.finish(answer)
    first.finish(answer)
    with pytest.raises(HandshakeRefused, match="without an offer"):
        first.finish(answer)


def test_an_offer_cannot_be_used_twice(ends: Ends) -> None:
    offer = ends.initiator().offer()
    ends.responder().answer(offer)
    with pytest.raises(HandshakeRefused, match="fetched before"):
        ends.responder().answer(offer)


def test_an_old_answer_without_a_quantum_key_is_refused(ends: Ends) -> None:
    old = ends.initiator(quantum=False, allow=True)
    answer, _ = ends.responder(quantum=False, allow=True).answer(old.offer())
    ends.told.clear()
    fresh = ends.initiator(allow=True)
    fresh.offer()
    with pytest.raises(HandshakeRefused, match="another offer"):
        fresh.finish(answer)
    assert not ends.told
    with pytest.raises(HandshakeRefused, match="where an offer was due"):
        Responder("alice", "bob", ends.alice, ends.bob.public, None, allow_downgrade=True).answer(answer)


def test_a_stranger_is_refused(ends: Ends) -> None:
    stranger = Initiator("alice", "bob", MLDSAKey.generate(), ends.bob.public, None, allow_downgrade=True)
    with pytest.raises(HandshakeRefused, match="not signed"):
        ends.responder(allow=True).answer(stranger.offer())
    other = Initiator("alice", "carol", ends.alice, ends.bob.public, None, allow_downgrade=True)
    with pytest.raises(HandshakeRefused, match="to 'carol'"):
        ends.responder(allow=True).answer(other.offer())
