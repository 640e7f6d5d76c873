"""Two nodes as a user starts them: processes of their own, with a simulated fibre as a third."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwarden.core.store import open_store
from qwarden.keys.events import KeyBlock
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.kme.vault import from_file, open_vault
from qwarden.keys.party.addresses import Address, listen, listening_at

PATIENCE_S = 90.0
DECOYS = ["--distance", "20", "--block-bits", "100000"]
PAIRS = ["--protocol", "e91", "--distance", "5", "--block-bits", "12000"]


def qwarden(home: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qwarden", "--home", str(home), "keys", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, **options,
    )  # fmt: skip


def said(home: Path, *arguments: str) -> Any:
    out, errors = qwarden(home, *arguments, "--json").communicate(timeout=PATIENCE_S)
    assert not errors, errors
    return json.loads(out)


class Pair:
    """Two homes that share keys for tags."""

    def __init__(self, folder: Path) -> None:
        self.homes = {name: folder / name for name in ("alice", "bob")}
        shared = folder / "shared"
        shared.write_bytes(secrets.token_bytes(1 << 15))
        for name, peer in (("alice", "bob"), ("bob", "alice")):
            told = said(self.homes[name], "pool", "add", peer, str(shared), "--name", name)
            assert told["available_bits"] == 8 * (1 << 14)
        with listen(Address("127.0.0.1", 0)) as free:
            self.address = str(listening_at(free))
        self.running: list[subprocess.Popen[str]] = []

    def start(self, name: str, *options: str) -> subprocess.Popen[str]:
        role = ["--listen", self.address] if name == "alice" else ["--connect", self.address]
        peer = "bob" if name == "alice" else "alice"
        node = qwarden(
            self.homes[name], "node", "--role", name, "--name", name, "--peer", peer, *role, *options
        )
        self.running.append(node)
        return node

    def quanta(self, name: str) -> dict[tuple[str, int], bytes]:
        folder = self.homes[name] / "keys" / "kme"
        vault = open_vault(folder, from_file(self.homes[name] / "master.key"))
        with KeyStore(folder, name, vault) as store, store._ledger.reading() as db:
            rows = db.execute("select block, n, sealed from quanta").fetchall()
        return {(block, n): vault.open(sealed, [block, n]) for block, n, sealed in rows}

    def blocks(self, name: str) -> list[KeyBlock]:
        store = open_store(self.homes[name])
        try:
            return [event for event in store.events(room="keys", kind="block") if isinstance(event, KeyBlock)]
        finally:
            store.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_two_nodes_share_keys_after_an_attack_that_the_monitor_saw(pair: Pair) -> None:
    bob = pair.start("bob", *DECOYS, "--json")
    attack = ["--attack", "trojan", "--attack-blocks", "1", "--seed", "3"]
    alice = pair.start("alice", *DECOYS, "--json", "--blocks", "2", *attack)
    told = []
    for node in (alice, bob):
        out, errors = node.communicate(timeout=PATIENCE_S)
        assert node.returncode == 0, errors
        assert "Traceback" not in errors
        told.append(json.loads(out))
    assert told[0] == told[1]
    assert (told[0]["accepted"], told[0]["aborted"], told[0]["alarms"]) == (2, 1, 1)
    ours, theirs = pair.quanta("alice"), pair.quanta("bob")
    assert ours == theirs
    assert len({block for block, _ in ours}) == 2
    blocks = pair.blocks("bob")
    assert [(block.accepted, block.attempt) for block in blocks] == [(True, 1), (True, 2), (False, 1)]
    assert {block.origin for block in blocks} == {"simulated"}
    for name in ("alice", "bob"):  # the alarm is stored at both ends
        (link,) = said(pair.homes[name], "watch", "--once")["links"]
        assert (link["link"], link["accepted"], link["aborted"]) == ("alice-bob", 2, 1)
        assert "watchdog" in link["cause"]
    assert link["keys"] in (len(ours) // 2, len(ours) // 2 + 1, len(ours) // 2 - 1)
    assert 0 < link["tags"] < 512
    assert link["qber_z"] < 0.08
    used = said(pair.homes["bob"], "pool", "show", "alice", "--name", "bob")["used_bits"]
    assert used["draw: key exchange"] % 256 == 0
    # Nobody's standard output or error held a key.
    for key in ours.values():
        assert key.hex() not in json.dumps(told)


def test_a_node_that_is_killed_takes_its_fibre_along_and_the_other_waits(pair: Pair) -> None:
    bob = pair.start("bob", *PAIRS, "--no-monitor")
    alice = pair.start("alice", *PAIRS)
    until = time.monotonic() + PATIENCE_S
    while not (pair.homes["bob"] / "qwarden.db").exists() or not pair.blocks("bob"):
        assert time.monotonic() < until
        time.sleep(0.2)
    children = Path(f"/proc/{alice.pid}/task/{alice.pid}/children").read_text().split()
    assert children
    alice.kill()
    alice.wait()
    while any(Path("/proc", child).exists() for child in children):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert bob.poll() is None
    bob.send_signal(signal.SIGINT)
    out, errors = bob.communicate(timeout=PATIENCE_S)
    assert bob.returncode == 130
    assert "accepted" in out
    assert "Traceback" not in errors
    # Alice is back, and what was in doubt is settled.
    bob = pair.start("bob", *PAIRS, "--no-monitor", "--blocks", "1")
    alice = pair.start("alice", *PAIRS, "--blocks", "1")
    for node in (alice, bob):
        _, errors = node.communicate(timeout=PATIENCE_S)
        assert node.returncode == 0, errors
    assert pair.quanta("alice") == pair.quanta("bob")


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["--role", "eve", "--peer", "b", "--name", "a"], 2, "alice or bob"),
        (["--role", "alice", "--peer", "b", "--name", "a", "--connect", "1"], 2, "takes --listen"),
        (["--role", "bob", "--peer", "b", "--name", "a", "--connect", "1", "--seed", "1"], 2, "fibre"),
        (["--role", "bob", "--peer", "b", "--connect", "1"], 2, "--name"),
        (["--role", "bob", "--peer", "b", "--name", "a", "--connect", "1", *PAIRS], 1, "keys pool add"),
    ],
)
def test_a_node_that_cannot_run_says_why(
    arguments: list[str], status: int, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from qwarden.cli.main import main

    assert main(["--home", str(tmp_path / "home"), "keys", "node", *arguments]) == status
    assert problem in capsys.readouterr().err


NETWORK = """\
nodes = ["a", "b", "c", "d"]
links = [{ends = ["a", "b"]}, {ends = ["b", "d"]}, {ends = ["a", "c"]}, {ends = ["c", "d"]}]
"""


def test_a_network_goes_around_a_cut_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from qwarden.cli.main import main

    (tmp_path / "net.toml").write_text(NETWORK)
    home = ["--home", str(tmp_path / "home"), "keys"]
    ask = ["network", str(tmp_path / "net.toml"), "--from", "a", "--to", "d", "--keys", "2", "--json"]
    assert main([*home, *ask, "--cut", "a-b", "--cut", "b-d"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert all(bits > 0 for bits in document["links"].values())
    first, second = document["keys"]
    assert first["equal"]
    assert second["equal"]
    assert second["way"] == ["a", "c", "d"]
    assert main([*home, *ask, "--cut", "a-b", "--cut", "c-d"]) == 1
    assert "no way" in capsys.readouterr().err
    assert main([*home, *ask, "--cut", "ab"]) == 2
    # Its links are watched like others.
    assert main([*home, "watch", "--once", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["links"]
    assert [link["link"] for link in shown] == ["a-b", "a-c", "b-d", "c-d"]
