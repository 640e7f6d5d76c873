"""The pre-shared key of a WireGuard peer, set through a `wg` that records how it was called."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from tests.unit.keys.hybrid.fake_wg import PEER, FakeWg

from qwarden.core.errors import ServiceError, UsageError
from qwarden.keys.hybrid.wireguard import WireGuardPeer


@pytest.fixture
def wg(tmp_path: Path) -> FakeWg:
    return FakeWg(tmp_path)


@pytest.fixture
def peer(wg: FakeWg) -> WireGuardPeer:
    return WireGuardPeer("wg0", PEER, program=str(wg.program))


def test_the_key_goes_in_over_standard_input_and_nowhere_else(wg: FakeWg, peer: WireGuardPeer) -> None:
    psk = os.urandom(32)
    before = set(wg.folder.iterdir())
    peer.put(psk)
    assert wg.calls() == [["set", "wg0", "peer", PEER, "preshared-key", "/dev/stdin"]]
    assert wg.given() == [psk]
    assert {path.name for path in set(wg.folder.iterdir()) - before} == {"call-0", "given-0"}


def test_a_peer_that_is_not_there_is_not_added(wg: FakeWg) -> None:
    missing = base64.b64encode(b"\x07" * 32).decode()
    with pytest.raises(ServiceError, match="has no peer"):
        WireGuardPeer("wg0", missing, program=str(wg.program)).put(bytes(32))
    assert wg.calls() == []


def test_stopping_takes_the_peer_out_and_puts_it_back_under_a_random_key(
    wg: FakeWg, peer: WireGuardPeer
) -> None:
    wg.shows("persistent-keepalive", "25")
    peer.stop()
    peer.stop()
    put_back = [
        *["set", "wg0", "peer", PEER, "remove", "peer", PEER, "preshared-key", "/dev/stdin"],
        *["allowed-ips", "10.10.0.2/32,fd00::2/128"],
        *["endpoint", "192.0.2.7:51820", "persistent-keepalive", "25"],
    ]
    assert wg.calls() == [put_back, put_back]
    assert all(len(key) == 32 for key in wg.given())
    assert len(set(wg.given())) == 2


def test_stopping_a_peer_without_addresses_or_endpoint(wg: FakeWg, peer: WireGuardPeer) -> None:
    wg.shows("allowed-ips", "(none)")
    wg.shows("endpoints", "(none)")
    peer.stop()
    assert wg.calls()[0][-2:] == ["allowed-ips", ""]


def test_a_failure_says_why_and_shows_no_key(wg: FakeWg, peer: WireGuardPeer) -> None:
    (wg.folder / "broken").touch()
    psk = os.urandom(32)
    with pytest.raises(ServiceError, match=r"wireguard wg0: .*Operation not permitted") as raised:
        peer.put(psk)
    for text in (psk.hex(), base64.b64encode(psk).decode()):
        assert text not in json.dumps([str(raised.value), repr(raised.value.__dict__)])


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ServiceError, match="/nowhere/wg: no such file"):
        WireGuardPeer("wg0", PEER, program="/nowhere/wg").put(bytes(32))


@pytest.mark.parametrize("interface", ["", "-wg", "wg 0", "wg0;reboot", "a" * 16, "wg/0"])
def test_what_cannot_be_an_interface_is_refused(interface: str) -> None:
    with pytest.raises(UsageError, match="no name of an interface"):
        WireGuardPeer(interface, PEER)


@pytest.mark.parametrize("key", ["", "remove", PEER[:-4], PEER + PEER, "x" * 43 + "="])
def test_what_cannot_be_a_public_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="no WireGuard key"):
        WireGuardPeer("wg0", key)
