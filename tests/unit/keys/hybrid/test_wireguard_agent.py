"""Two agents that keep a tunnel's key fresh: real pools and a real connection, and a `wg` that records."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.unit.keys.hybrid.fake_wg import PEER, FakeWg

from qwarden.core.crypto.postquantum import MLDSAKey
from qwarden.core.errors import QwardenError, UsageError
from qwarden.core.events import Event
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.keysupply import KeySupply
from qwarden.keys.hybrid import agent, agreement
from qwarden.keys.hybrid.agent import call, keep_listening
from qwarden.keys.hybrid.agreement import PeerLost, Stream
from qwarden.keys.hybrid.handshake import HybridDowngraded, Initiator, Responder
from qwarden.keys.hybrid.keeper import Ends, Keeper, Policy, TunnelKey
from qwarden.keys.hybrid.wireguard import WireGuardPeer
from qwarden.keys.party.addresses import Address


@dataclass
class Side:
    """One end: its keeper, its `wg`, and what it has told."""

    wg: FakeWg
    ends: Ends
    policy: Policy
    told: list[Event] = field(default_factory=list)
    time: float = 1000.0
    kind: str = "wireguard"

    def __post_init__(self) -> None:
        tunnel = WireGuardPeer("wg0", PEER, program=str(self.wg.program))
        tunnel.kind = self.kind
        self.keeper = Keeper(
            tunnel, self.ends, self.policy, publish=self.told.append, monotonic=lambda: self.time
        )

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.told if isinstance(event, TunnelKey)]

    @property
    def downgrades(self) -> int:
        return sum(isinstance(event, HybridDowngraded) for event in self.told)


@dataclass
class Pair:
    """Both ends of a tunnel: Alice calls, Bob is called."""

    folder: Path
    keys: tuple[MLDSAKey, MLDSAKey]
    pools: tuple[PreSharedPool, PreSharedPool]

    def alice(self, **options: Any) -> Side:
        return self._side(0, **options)

    def bob(self, **options: Any) -> Side:
        return self._side(1, **options)

    def _side(self, n: int, *, quantum: bool = True, kind: str = "wireguard", **policy: Any) -> Side:
        names = ("alice", "bob")
        folder = self.folder / f"wg-{names[n]}"
        folder.mkdir(exist_ok=True)
        supply: KeySupply | None = self.pools[n] if quantum else None
        ends = Ends(
            own=names[n], peer=names[1 - n], signing=self.keys[n], peer_public=self.keys[1 - n].public,
            supply=supply,
        )  # fmt: skip
        return Side(FakeWg(folder), ends, Policy(**policy), kind=kind)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    shared = os.urandom(1024)
    pools = PreSharedPool(tmp_path / "a", "alice"), PreSharedPool(tmp_path / "b", "bob")
    pools[0].add("bob", shared)
    pools[1].add("alice", shared)
    return Pair(tmp_path, (MLDSAKey.generate(), MLDSAKey.generate()), pools)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


async def listening(side: Side, then: Callable[[Address], Awaitable[None]]) -> None:
    """Have a side listen while something is done at its address."""
    at = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(keep_listening(side.keeper, at))
    try:
        await then(Address(*at.getsockname()))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def renew(alice: Side, bob: Side, times: int = 1) -> None:
    async def calls(address: Address) -> None:
        for _ in range(times):
            await call(alice.keeper, address)

    run(listening(bob, calls))


def test_both_ends_set_one_key_and_another_each_time(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "qwarden")
    alice, bob = pair.alice(), pair.bob()
    renew(alice, bob, times=3)
    keys = alice.wg.given()
    assert keys == bob.wg.given()
    assert len(set(keys)) == 3
    assert {len(key) for key in keys} == {32}
    assert alice.states == bob.states == ["hybrid"] * 3
    last = [side.keeper.last for side in (alice, bob)]
    assert all(one is not None and one.origin == "pre-shared" for one in last)
    assert len({one.quantum_key_id for one in alice.told if isinstance(one, TunnelKey)}) == 3
    assert not alice.downgrades
    told = caplog.text + "".join(event.to_json() for event in (*alice.told, *bob.told))
    for key in keys:
        assert key.hex() not in told
        assert base64.b64encode(key).decode() not in told


def test_the_key_is_neither_the_quantum_key_nor_found_from_it_alone(pair: Pair) -> None:
    drawn: list[bytes] = []
    draw = pair.pools[0].draw

    def spied(bits: int, purpose: str, peer: str) -> Any:
        key = draw(bits, purpose, peer)
        drawn.append(key.material)
        return key

    pair.pools[0].draw = spied  # type: ignore[method-assign]
    alice, bob = pair.alice(), pair.bob()
    renew(alice, bob)
    assert len(drawn) == 1
    assert drawn[0] not in alice.wg.given()


@pytest.mark.parametrize(("at_alice", "at_bob"), [(False, True), (True, False), (False, False)])
def test_where_allowed_traffic_goes_on_without_quantum_keys_and_says_so(
    pair: Pair, at_alice: bool, at_bob: bool, caplog: pytest.LogCaptureFixture
) -> None:
    alice = pair.alice(quantum=at_alice, allow_downgrade=True)
    bob = pair.bob(quantum=at_bob, allow_downgrade=True)
    logger = logging.getLogger("qwarden")
    logger.propagate = True
    renew(alice, bob)
    assert alice.wg.given() == bob.wg.given() != []
    assert alice.states == bob.states == ["downgraded"]
    assert alice.downgrades == bob.downgrades == 1
    assert "downgraded: no quantum key" in caplog.text


def test_the_tunnel_recovers_from_a_downgrade(pair: Pair) -> None:
    alice, bob = pair.alice(quantum=False, allow_downgrade=True), pair.bob(allow_downgrade=True)
    renew(alice, bob)
    again = pair.alice(allow_downgrade=True)
    renew(again, bob)
    assert bob.states == ["downgraded", "hybrid"]
    assert again.states == ["hybrid"]


def test_an_empty_pool_stops_the_tunnel_only_when_the_grace_is_over(pair: Pair) -> None:
    alice, bob = pair.alice(grace_s=300.0), pair.bob()
    renew(alice, bob)
    while pair.pools[0].available("bob") >= 256:
        pair.pools[0].draw(256, "other use", "bob")
    for moment in (1130.0, 1300.0, 1419.0, 1421.0, 1500.0):
        alice.time = moment
        with pytest.raises(QwardenError, match="no quantum key shared with bob"):
            renew(alice, bob)
    assert alice.states == ["hybrid", "overdue", "stopped"]
    assert [event.cause != "" for event in alice.told if isinstance(event, TunnelKey)] == [False, True, True]
    # Stopped once, under a key that the other end does not have.
    assert ["remove" in command for command in alice.wg.calls()] == [False, True]
    assert alice.wg.given()[1] not in bob.wg.given()
    assert bob.states == ["hybrid"]


def test_with_no_grace_the_first_failure_stops_the_tunnel(pair: Pair) -> None:
    alice = pair.alice(grace_s=0.0)
    with pytest.raises(PeerLost, match="refused"):
        run(call(alice.keeper, Address("127.0.0.1", 1)))
    assert alice.states == ["stopped"]
    assert pair.pools[0].available("bob") == 4096  # an absent peer costs no quantum key


def test_with_downgrade_allowed_an_absent_peer_leaves_the_old_key_and_is_told_of_once(pair: Pair) -> None:
    alice = pair.alice(allow_downgrade=True, grace_s=0.0)
    for moment in (1000.0, 2000.0, 9000.0):
        alice.time = moment
        with pytest.raises(PeerLost):
            run(call(alice.keeper, Address("127.0.0.1", 1)))
    assert alice.states == ["overdue"]
    assert alice.wg.calls() == []


def test_the_called_end_stops_when_nobody_calls_and_starts_again_when_one_does(pair: Pair) -> None:
    alice, bob = pair.alice(), pair.bob(grace_s=60.0)
    renew(alice, bob)
    for moment in (1120.0, 1134.0, 1136.0, 1179.0, 1181.0, 1190.0):
        bob.time = moment
        bob.keeper.overdue()
    assert bob.states == ["hybrid", "overdue", "stopped"]
    renew(alice, bob)
    assert bob.states[-1] == "hybrid"
    assert bob.wg.given()[-1] == alice.wg.given()[-1]


def test_a_tunnel_that_cannot_be_stopped_is_said_to_be_open_and_tried_again(pair: Pair) -> None:
    alice = pair.alice(grace_s=0.0)
    (alice.wg.folder / "broken").touch()
    for _ in range(2):
        alice.keeper.missed("no key")
    assert alice.states == ["overdue"]
    assert alice.keeper.last is not None
    assert "cannot be stopped" in alice.keeper.last.cause
    (alice.wg.folder / "broken").unlink()
    alice.keeper.missed("no key")
    assert alice.states == ["overdue", "stopped"]


def test_attempts_come_at_the_interval_and_after_failures_ever_more_rarely(pair: Pair) -> None:
    alice, bob = pair.alice(interval_s=120.0), pair.bob()
    renew(alice, bob)
    alice.time += 20
    assert alice.keeper.wait_s == 100.0
    waits = []
    for _ in range(7):
        alice.keeper.missed("nobody there")
        waits.append(alice.keeper.wait_s)
    assert waits == [5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0]
    renew(alice, bob)
    assert alice.keeper.wait_s == 120.0


def test_an_end_that_cannot_set_the_key_leaves_both_with_the_old_one(pair: Pair) -> None:
    alice, bob = pair.alice(), pair.bob()
    renew(alice, bob)
    (bob.wg.folder / "broken").touch()
    with pytest.raises(PeerLost, match="closed the connection"):
        renew(alice, bob)
    assert len(alice.wg.given()) == len(bob.wg.given()) == 1
    assert alice.states == ["hybrid", "overdue"]
    assert bob.states == ["hybrid"]


def test_agents_of_other_tunnels_do_not_agree(pair: Pair) -> None:
    alice, bob = pair.alice(kind="ikev2"), pair.bob()
    with pytest.raises(PeerLost):
        renew(alice, bob)
    assert alice.wg.calls() == bob.wg.calls() == []


def test_an_old_offer_changes_nothing_and_cries_no_downgrade(pair: Pair) -> None:
    alice, bob = pair.alice(), pair.bob(allow_downgrade=True)
    ends = alice.ends
    offer = Initiator("alice", "bob", ends.signing, ends.peer_public, ends.supply).offer()
    Responder("bob", "alice", bob.ends.signing, bob.ends.peer_public, bob.ends.supply).answer(offer)

    async def replay(address: Address) -> None:
        stream = Stream(*await asyncio.open_connection(*address))
        await stream.send(offer)
        with pytest.raises(PeerLost):  # it was a good offer once
            await stream.receive()

    run(listening(bob, replay))
    assert bob.told == []
    assert bob.wg.calls() == []


def test_who_answers_without_the_key_gets_none_used(pair: Pair) -> None:
    alice, bob = pair.alice(), pair.bob()
    answering = Responder("bob", "alice", bob.ends.signing, bob.ends.peer_public, bob.ends.supply)

    async def liar(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = Stream(reader, writer)
        answer, _ = answering.answer(await stream.receive())
        await stream.send(answer)
        proof = await stream.receive()
        await stream.send(proof)  # reflected
        await stream.close()

    async def scene() -> None:
        server = await asyncio.start_server(liar, "127.0.0.1", 0)
        async with server:
            with pytest.raises(QwardenError, match="has come to another key"):
                await call(alice.keeper, Address(*server.sockets[0].getsockname()))

    run(scene())
    assert alice.wg.calls() == []


@pytest.mark.parametrize(
    "junk",
    [b"", b"GET / HTTP/1.1\r\n\r\n", struct.pack(">I", 1 << 31), struct.pack(">I", 5) + b"{}xyz", b"\0" * 4],
)
def test_strangers_get_nothing_and_stop_nothing(pair: Pair, junk: bytes) -> None:
    alice, bob = pair.alice(), pair.bob(grace_s=0.0)

    async def scene(address: Address) -> None:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(junk)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await call(alice.keeper, address)

    run(listening(bob, scene))
    assert bob.states == ["hybrid"]
    assert alice.wg.given() == bob.wg.given()


def test_more_callers_than_are_served_are_turned_away(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "CALLERS_MOST", 2)
    monkeypatch.setattr(agreement, "FIRST_S", 600.0)  # nobody is turned away for being slow
    bob = pair.bob()

    async def scene(address: Address) -> None:
        idle = [await asyncio.open_connection(*address) for _ in range(2)]
        reader, last = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        for _, writer in (*idle, (reader, last)):
            writer.close()

    run(listening(bob, scene))


def test_once_ends_after_one_key_or_when_nobody_has_called(pair: Pair) -> None:
    alice, bob = pair.alice(), pair.bob(grace_s=30.0)

    async def scene() -> None:
        at = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(keep_listening(bob.keeper, at, once=True))
        await call(alice.keeper, Address(*at.getsockname()))
        await task

    run(scene())
    assert bob.states == ["hybrid"]
    late = pair.bob(grace_s=30.0)
    late.time += 31
    with pytest.raises(PeerLost, match="has not called"):
        run(keep_listening(late.keeper, socket.create_server(("127.0.0.1", 0)), once=True))
    assert late.states == ["stopped"]


@pytest.mark.parametrize(
    "wrong", [{"interval_s": 0.0}, {"interval_s": 1e6}, {"grace_s": -1.0}, {"retry_s": 0.0}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="renewal"):
        Policy(**wrong)
