from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.keys.party import nodes
from tests.unit.keys.party.proxies import Proxy

from qwarden.core.backtrack import BacktrackStep
from qwarden.core.errors import BacktrackExhausted, InputError, KeyExhausted, KeySupplyError, UsageError
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.events import KeyBlock, LinkAlarm
from qwarden.keys.kme.records import Provenance
from qwarden.keys.link import Link, Settings
from qwarden.keys.party import fibre
from qwarden.keys.party import node as node_module
from qwarden.keys.party.addresses import Address, connect, listen, listening_at, parse_address
from qwarden.keys.party.block import Terms
from qwarden.keys.party.messages import Kind, Message, decode
from qwarden.keys.party.node import _at_distance
from qwarden.keys.party.session import BETWEEN, Proposal, WrongPeer, digest
from qwarden.keys.party.transport import LinkLost, Transport
from qwarden.keys.physics import Attack, transmit
from qwarden.keys.records import Telemetry

LINK = Link(distance_km=5)


def test_two_nodes_come_to_the_same_stores_and_tell_the_same(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    ours, theirs = nodes.accounts(nodes.converse(alice, bob, terms, LINK, blocks=2))
    assert ours == theirs
    assert (ours.accepted, ours.aborted, ours.alarms) == (2, 0, 0)
    nodes.same_pools(alice, bob)
    assert len(alice.quanta()) * 256 <= ours.secret_bits
    told = [[event for event in end.events if isinstance(event, KeyBlock)] for end in (alice, bob)]
    assert [event.block for event in told[0]] == [event.block for event in told[1]]
    for one, other in zip(*told, strict=True):
        assert one.accepted
        assert (one.qber_z, one.qber_x, one.secret_bits) == (other.qber_z, other.qber_x, other.secret_bits)
        assert one.link == "alice-bob"
        assert one.origin == "simulated"
    assert all(2.2 < event.chsh < 2.83 for event in told[1] if event.chsh is not None)
    assert {step.step for step in alice.events if isinstance(step, BacktrackStep)} == {
        "attempted", "accepted",
    }  # fmt: skip


def test_after_an_attack_has_ended_the_block_is_tried_again_with_other_settings(
    tmp_path: Path, terms: Terms
) -> None:
    alice, bob = nodes.ends(tmp_path)
    running = nodes.converse(
        alice, bob, terms, LINK, blocks=1, attack=lambda n: Attack("intercept-resend") if n < 1 else None
    )
    ours, theirs = nodes.accounts(running)
    assert (ours.accepted, ours.aborted) == (theirs.accepted, theirs.aborted) == (1, 1)
    nodes.same_pools(alice, bob)
    blocks = [event for event in bob.events if isinstance(event, KeyBlock)]
    assert [event.attempt for event in blocks] == [1, 2]
    assert blocks[0].qber is not None
    assert blocks[0].qber > 0.2
    assert blocks[1].sifted_bits > 1.5 * terms.settings.block_bits


def test_an_attack_that_goes_on_makes_both_ends_give_up(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    running = nodes.converse(
        alice, bob, terms, LINK, blocks=1, attack=lambda _: Attack("intercept-resend"), at_most=2
    )
    for one in running:
        with pytest.raises(BacktrackExhausted, match="gave up"):
            one.wait()
    assert not alice.quanta()
    assert not bob.quanta()
    assert "exhausted" in [step.step for step in alice.events if isinstance(step, BacktrackStep)]


def test_an_alarm_of_the_monitor_is_stored_at_both_ends(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    first = itertools.chain(["too bright"], itertools.repeat(""))
    running = nodes.converse(alice, bob, terms, LINK, blocks=1, inspect=lambda _: next(first))
    ours, theirs = nodes.accounts(running)
    assert (ours.alarms, theirs.alarms, ours.accepted) == (1, 1, 1)
    for end in (alice, bob):
        (alarm,) = [event for event in end.events if isinstance(event, LinkAlarm)]
        assert "too bright" in alarm.cause
        assert not alarm.tampered
    nodes.same_pools(alice, bob)


def test_ends_with_other_terms_or_names_do_not_speak(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    other = nodes.other_terms(terms)
    assert digest(other) != digest(terms)
    running = nodes.converse(alice, bob, terms, LINK, blocks=1, bob_terms=other)
    with pytest.raises(WrongPeer, match="holds other terms"):
        running[1].wait()
    assert running[0].wait().accepted == 0
    stranger = nodes.End(tmp_path / "c", "carol", "alice", secrets.token_bytes(4096))
    with listen(nodes.LOOPBACK) as listener, nodes.fibre(LINK) as at:
        node = nodes.alice_node(alice, terms, listener, at)
        waiting = nodes.Running(lambda: node.run(1))
        with pytest.raises(WrongPeer, match="'carol' wants to speak"):
            nodes.bob_node(stranger, terms, listening_at(listener)).run()
        node.stop.set()
        assert waiting.wait().accepted == 0
    assert not alice.quanta()


def test_a_stranger_without_the_secret_gets_no_session_and_is_an_alarm(tmp_path: Path, terms: Terms) -> None:
    alice, _ = nodes.ends(tmp_path)
    eve = nodes.End(tmp_path / "eve", "bob", "alice", secrets.token_bytes(4096))
    with listen(nodes.LOOPBACK) as listener, nodes.fibre(LINK) as at:
        node = nodes.alice_node(alice, terms, listener, at)
        waiting = nodes.Running(lambda: node.run(1))
        posing = nodes.bob_node(eve, terms, listening_at(listener))
        calling = nodes.Running(posing.run)
        until = time.monotonic() + 20
        while not alice.events and time.monotonic() < until:
            time.sleep(0.01)
        posing.stop.set()
        node.stop.set()
        calling.wait()
        waiting.wait()
    alarm = alice.events[0]
    assert isinstance(alarm, LinkAlarm)
    assert alarm.tampered
    assert not [event for event in alice.events if isinstance(event, KeyBlock)]


def _truncated(frame: bytes) -> list[bytes]:
    return [frame[: len(frame) * 3 // 4]]


def _flipped(frame: bytes) -> list[bytes]:
    return [frame[:-9] + bytes([frame[-9] ^ 4]) + frame[-8:]]


def _repeated(frame: bytes) -> list[bytes]:
    return [frame, frame]


def _dropped(frame: bytes) -> list[bytes]:
    return []


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Kind.HELLO, _flipped), (Kind.RESUME, _repeated), (Kind.SIFTED, _truncated), (Kind.ANSWER, _repeated),
        (Kind.VERIFY, _dropped), (Kind.SEAL, _flipped), (Kind.COMMIT, _dropped), (Kind.COMMIT, _flipped),
    ],
)  # fmt: skip
def test_a_meddler_on_the_wire_never_parts_the_pools(
    kind: Kind,
    change: Callable[[bytes], list[bytes]],
    tmp_path: Path,
    terms: Terms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One frame is changed; the block it belonged to is lost at both ends, and the next one is not."""
    alice, bob = nodes.ends(tmp_path)
    done: list[bytes] = []

    def meddle(by_bob: bool, frame: bytes) -> list[bytes]:
        if not done and not by_bob and decode(frame).kind is kind:
            done.append(frame)
            return change(frame)
        return [frame]

    monkeypatch.setattr(nodes, "PATIENCE_S", 0.5)  # silence costs an end its whole patience
    running = nodes.converse(alice, bob, terms, LINK, blocks=1, through=lambda there: Proxy(there, meddle))
    ours, _ = nodes.accounts(running)
    assert done
    assert ours.accepted == 1
    nodes.same_pools(alice, bob)
    blocks = {event.block for event in alice.events if isinstance(event, KeyBlock) and event.accepted}
    assert {block for block, _ in bob.quanta()} == {block for block, _ in alice.quanta()} <= blocks


def test_swapped_messages_are_an_alarm(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    held: list[bytes] = []

    def swap(by_bob: bool, frame: bytes) -> list[bytes]:
        if not by_bob and len(held) < 2 and decode(frame).kind in (Kind.VERIFY, Kind.ANSWER):
            held.append(frame)
            message = decode(frame)
            return [Message(kind=message.kind, block=message.block, number=9, body=b"").encode(), frame]
        return [frame]

    running = nodes.converse(alice, bob, terms, LINK, blocks=1, through=lambda there: Proxy(there, swap))
    nodes.accounts(running)
    assert held
    assert any(isinstance(event, LinkAlarm) and event.tampered for event in bob.events)
    nodes.same_pools(alice, bob)


def test_an_end_that_vanishes_is_waited_for(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    with listen(nodes.LOOPBACK) as listener, nodes.fibre(LINK) as at:
        node = nodes.alice_node(alice, terms, listener, at)
        waiting = nodes.Running(lambda: node.run(3))
        for _ in range(3):
            once = nodes.bob_node(bob, terms, listening_at(listener))
            once.run(1)  # goes away without a word
        assert waiting.wait().accepted == 3
    nodes.same_pools(alice, bob)


def test_without_anybody_there_bob_comes_back_with_growing_pauses(tmp_path: Path, terms: Terms) -> None:
    _, bob = nodes.ends(tmp_path)
    with listen(nodes.LOOPBACK) as free:
        nowhere = listening_at(free)
    node = nodes.bob_node(bob, terms, nowhere)
    running = nodes.Running(node.run)
    time.sleep(0.6)
    node.stop.set()
    assert running.wait().accepted == 0
    assert node._pause_s >= 0.2


class Jumping:
    """A clock that somebody turns."""

    def __init__(self) -> None:
        self._times = itertools.cycle((1.8e9, 0.0, 4e9, 1.7e9))

    def now(self) -> float:
        return next(self._times)


def test_a_clock_that_jumps_changes_no_key(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    for end in (alice, bob):
        end.journal.close()
        end.journal = nodes.BlockJournal(end.folder, end.vault, Jumping())
        end.pool = PreSharedPool(end.folder / "pre-shared", end.name, Jumping())
    ours, _ = nodes.accounts(nodes.converse(alice, bob, terms, LINK, blocks=2, clock=Jumping()))
    assert ours.accepted == 2
    nodes.same_pools(alice, bob)


def test_fresh_key_replenishes_the_tags_at_both_ends_alike(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path, pool_bytes=2048)
    nodes.accounts(nodes.converse(alice, bob, terms, LINK, blocks=2))
    parts = [
        [(e["part"], e["bytes"]) for e in end.pool.record(end.peer) if e["did"] == "add"]
        for end in (alice, bob)
    ]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 3
    nodes.same_pools(alice, bob)
    # A bit of key is used once: what became tags is not in the store.
    ids = {block for block, _ in alice.quanta()}
    secret = sum(e.secret_bits for e in alice.events if isinstance(e, KeyBlock) and e.block in ids)
    tags = 8 * sum(size for _, size in parts[0][1:])
    assert 256 * len(alice.quanta()) <= secret - tags


def test_without_keys_for_tags_a_node_says_so_and_ends(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path, pool_bytes=64)
    with nodes.fibre(LINK) as at, listen(nodes.LOOPBACK) as listener:
        node = nodes.alice_node(alice, terms, listener, at)
        running = nodes.Running(lambda: node.run(1))
        other = nodes.bob_node(bob, terms, listening_at(listener))
        following = nodes.Running(other.run)
        with pytest.raises(KeyExhausted):
            running.wait()
        other.stop.set()
        following.join(20)


def test_a_link_rests_while_nobody_takes_its_keys_in(
    tmp_path: Path, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "WAITING_MOST", 1)
    alice, bob = nodes.ends(tmp_path)
    full: list[str] = []

    def deliver(provenance: Provenance, material: bytes) -> None:
        if not full:
            full.append(provenance.block)
            raise KeySupplyError("in use by another process")
        alice.store.add(provenance, material)

    with nodes.fibre(LINK) as at, listen(nodes.LOOPBACK) as listener:
        node = nodes.alice_node(alice, terms, listener, at)
        node.deliver = deliver
        running = nodes.Running(lambda: node.run(2))
        following = nodes.Running(nodes.bob_node(bob, terms, listening_at(listener)).run)
        assert running.wait().accepted == 2
        following.wait()
    assert full
    nodes.same_pools(alice, bob)


def test_the_variant_follows_the_round_trip(tmp_path: Path, terms: Terms) -> None:
    auto = replace(terms, variant="auto")
    large = replace(auto, settings=replace(terms.settings, block_bits=1_000_000))
    near, far = _at_distance(large, 0.0), _at_distance(large, 0.2)
    assert near.variant == "lean"
    assert far.variant != "lean"
    assert _at_distance(terms, 0.2) is terms
    alice, bob = nodes.ends(tmp_path)
    begin = time.monotonic()
    running = nodes.converse(
        alice, bob, auto, LINK, blocks=1, through=lambda there: Proxy(there, delay_s=0.005)
    )
    ours, _ = nodes.accounts(running)
    assert ours.accepted == 1
    assert time.monotonic() - begin > 0.1
    nodes.same_pools(alice, bob)


def test_a_record_survives_the_wire_and_nothing_else_does() -> None:
    link, settings = Link(distance_km=5), Settings(block_bits=256)
    sent = transmit(link, settings, pulses=20_000, seed=1)
    for record in (sent.alice, sent.bob):
        frame = fibre.pack("00" * 16, record, Telemetry(watchdog=1.5))
        found, told = fibre.unpack(frame)
        assert type(found) is type(record)
        assert found.pulses == record.pulses
        assert told == Telemetry(watchdog=1.5)
        for name in fibre._ARRAYS[type(record)]:
            assert np.array_equal(getattr(found, name), getattr(record, name))
        for broken in (frame[:-200], frame[:40], frame.replace(b'"pulses":20000', b'"pulses":2'), b"{}", b""):
            with pytest.raises(InputError):
                fibre.unpack(broken)


def test_nobody_where_the_apparatus_should_be() -> None:
    with listen(nodes.LOOPBACK) as free:
        nowhere = listening_at(free)
    with pytest.raises(LinkLost):
        fibre.FibreEnd(nowhere, "alice")
    with pytest.raises(LinkLost):
        connect(nowhere, 0.5)
    for text in ("", ":", "host:", "host:x", "1:70000", ":7001"):
        with pytest.raises(UsageError):
            parse_address(text)
    assert parse_address("[::1]:7001") == Address("[::1]", 7001)


def test_a_proposal_beyond_the_terms_is_refused(tmp_path: Path, terms: Terms) -> None:
    from qwarden.keys.party.session import _check_parameters

    fine = {"block_bits": terms.settings.block_bits * 2, "key_basis": 0.55}
    _check_parameters(fine, terms.settings)
    for change in ({"block_bits": 256}, {"key_basis": 0.99}, {"key_basis": 0.1}, {"eps_sec": 0.1}):
        with pytest.raises(ValueError, match="other"):
            _check_parameters({**fine, **change}, terms.settings)
    assert Proposal(parameters=fine).block == ""
    assert len(BETWEEN) == 16


def _hear_out(transport: Transport) -> None:
    while True:
        transport.receive(5.0)


def test_a_stranger_who_sends_much_is_let_go_before_it_is_taken_in(tmp_path: Path, terms: Terms) -> None:
    alice, bob = nodes.ends(tmp_path)
    with listen(nodes.LOOPBACK) as listener, nodes.fibre(LINK) as at:
        node = nodes.alice_node(alice, terms, listener, at)
        running = nodes.Running(lambda: node.run(1))
        flood = connect(listening_at(listener), 5.0)
        flood.send(bytes(1 << 17))
        with pytest.raises(LinkLost):
            _hear_out(flood)
        # He who is expected gets through all the same.
        following = nodes.Running(nodes.bob_node(bob, terms, listening_at(listener)).run)
        assert running.wait().accepted == 1
        following.wait()
    nodes.same_pools(alice, bob)
