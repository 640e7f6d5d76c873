"""`qwarden keys identity|wireguard|ikev2`: what is refused, and what a single renewal says."""

from __future__ import annotations

import base64
import json
import os
import threading
from pathlib import Path

import pytest
from tests.e2e.keys.hybrid.spaces import wait_for_listener
from tests.e2e.keys.ports import free_port
from tests.unit.keys.hybrid.fake_wg import PEER, FakeWg

from qwarden.cli.main import main
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.store import open_store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def bob(home: Path, tmp_path: Path) -> Path:
    assert (
        main(["--home", str(tmp_path / "bob"), "keys", "identity", "--out", str(tmp_path / "bob.pub")]) == 0
    )
    return tmp_path / "bob.pub"


def wireguard(home: Path, bob: Path, *options: str, interface: str = "wg0") -> int:
    words = ["keys", "wireguard", interface, PEER, "--own", "alice", "--peer", "bob"]
    return main(["--home", str(home), *words, "--peer-identity", str(bob), *options])


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--pool"], 2, "one of --call and --listen"),
        (["--pool", "--call", "h:1", "--listen", "1"], 2, "one of --call and --listen"),
        (["--call", "127.0.0.1:1"], 2, "no quantum keys: give --kme or --pool"),
        (["--call", "127.0.0.1:1", "--kme", "https://localhost:1"], 2, "go together"),
        (["--call", "somewhere", "--pool"], 2, "expected HOST:PORT"),
        (["--call", "127.0.0.1:1", "--pool", "--interval", "0"], 2, "interval of 1 to"),
        (["--call", "127.0.0.1:1", "--pool", "--once"], 4, "connection refused"),
    ],
)
def test_what_makes_no_sense_or_cannot_be_is_said(
    home: Path, bob: Path, options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wireguard(home, bob, *options) == code
    assert said in capsys.readouterr().err


def test_a_missing_identity_and_a_malformed_interface_are_named(
    home: Path, bob: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wireguard(home, tmp_path / "carol.pub", "--call", "127.0.0.1:1", "--pool") == 3
    assert "carol.pub: no such file" in capsys.readouterr().err
    assert wireguard(home, bob, "--call", "127.0.0.1:1", "--pool", interface="wg/0") == 2
    assert "no name of an interface" in capsys.readouterr().err


def test_the_identity_is_the_same_each_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for _ in range(2):
        assert main(["--home", str(home), "keys", "identity", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert len(bytes.fromhex(found[0]["public"])) == 1952


def test_a_downgraded_renewal_is_told_and_stored_and_its_status_is_1(
    home: Path, bob: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wg = FakeWg(_folder(tmp_path / "bin"))
    monkeypatch.setenv("PATH", f"{wg.folder}:{os.environ['PATH']}")
    alice = tmp_path / "alice.pub"
    assert main(["--home", str(home), "keys", "identity", "--out", str(alice)]) == 0
    # Alice has keys that are not Bob's: he cannot fetch what she draws.
    PreSharedPool(home / "keys" / "pre-shared", "alice").add("bob", os.urandom(256))
    address, codes = f"127.0.0.1:{free_port()}", dict[str, int]()

    def listen() -> None:
        words = ["keys", "wireguard", "wg0", PEER, "--own", "bob", "--peer", "alice", "--listen", address]
        home_and_peer = ["--home", str(tmp_path / "bob"), *words, "--peer-identity", str(alice)]
        codes["bob"] = main([*home_and_peer, "--once", "--allow-downgrade"])

    other = threading.Thread(target=listen)
    other.start()
    wait_for_listener(address)
    codes["alice"] = wireguard(
        home, bob, "--call", address, "--pool", "--once", "--allow-downgrade", "--json"
    )
    other.join(60)
    assert codes == {"alice": 1, "bob": 1}
    said = capsys.readouterr()
    document = json.loads(next(line for line in said.out.splitlines() if '"downgraded"' in line))
    assert (document["own"], document["quantum_key_id"]) == ("alice", "")
    assert "wireguard wg0: downgraded: no quantum key" in said.out
    first, second = wg.given()
    assert first == second
    assert base64.b64encode(first).decode() not in said.out + said.err
    store = open_store(home)
    try:
        kinds = [event.kind for event in store.events(room="keys")]
    finally:
        store.close()
    assert {"tunnel_key", "hybrid_downgraded"} <= set(kinds)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
