"""A WireGuard tunnel between two namespaces, under keys that two agents renew; the keys come from two KMEs.

The agents run outside of the namespaces: `wg` reaches wireguard-go by a socket in the file system.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.keys import entities as kmes
from tests.e2e.keys.hybrid.spaces import ADDRESSES, Spaces, command, spaces, wait_for, wait_for_listener
from tests.e2e.keys.ports import free_port

from qwarden.cli.main import main

INSIDE = ("10.231.79.1", "10.231.79.2")
PORT = 51820
CONTROL = Path("/var/run/wireguard")


class Tunnel:
    """Both ends of the tunnel, with another pre-shared key at each."""

    def __init__(self, made: Spaces) -> None:
        self.spaces = made
        self.interfaces = tuple(f"qwg{made.tag}{end}" for end in "ab")
        private = [command("wg", "genkey") for _ in range(2)]
        self.public = [command("wg", "pubkey", given=key).strip() for key in private]
        for end, name in enumerate(self.interfaces):
            made.start(end, "wireguard-go", "-f", name, env={**os.environ, "LOG_LEVEL": "silent"})
            wait_for((CONTROL / f"{name}.sock").exists)
            command(
                "wg", "set", name, "private-key", "/dev/stdin", "listen-port", str(PORT), given=private[end]
            )
            other = 1 - end
            command(
                *["wg", "set", name, "peer", self.public[other], "preshared-key", "/dev/stdin"],
                *["allowed-ips", f"{INSIDE[other]}/32", "endpoint", f"{ADDRESSES[other]}:{PORT}"],
                given=command("wg", "genpsk"),
            )
            made.ip(end, "addr", "add", f"{INSIDE[end]}/24", "dev", name)
            made.ip(end, "link", "set", name, "up")

    def passes(self, seconds: int = 15) -> bool:
        """Say whether a ping gets through and back; an attempt that failed is repeated after some 5 s."""
        return self.spaces.pings(0, INSIDE[1], seconds)

    def psk(self, end: int) -> str:
        """Return the pre-shared key that is set at an end."""
        return command("wg", "show", self.interfaces[end], "preshared-keys").split("\t")[1].strip()


class Agents:
    """An agent at each end; end 0 calls, end 1 listens."""

    def __init__(
        self, tunnel: Tunnel, entities: kmes.Entities, folder: Path, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.tunnel, self.entities, self.folder, self._capture = tunnel, entities, folder, capture
        self.address = f"127.0.0.1:{free_port()}"
        for end in range(2):
            assert main([*self._home(end), "keys", "identity", "--out", str(folder / f"{end}.pub")]) == 0

    def words(self, end: int, *options: str) -> list[str]:
        """Return an agent's command line."""
        names, kme = ("sae-1", "sae-2"), kmes.KMES[end]
        return [
            *self._home(end), "keys", "wireguard",
            self.tunnel.interfaces[end], self.tunnel.public[1 - end],
            "--own", names[end], "--peer", names[1 - end],
            "--peer-identity", str(self.folder / f"{1 - end}.pub"),
            "--kme", self.entities.urls[kme], "--kme-id", kme,
            "--certificates", str(self.entities.folder / "pki"),
            "--listen" if end else "--call", self.address, "--json", *options,
        ]  # fmt: skip

    def once(self, *options: str, ends: tuple[int, ...] = (1, 0)) -> tuple[list[int], list[Any], str]:
        """Renew once in this process; return the ends' exit statuses, their documents, and what was said."""
        self._capture.readouterr()
        with ThreadPoolExecutor() as pool:
            running = []
            for end in ends:
                running.append(pool.submit(main, self.words(end, "--once", *options)))
                if end == 1:
                    wait_for_listener(self.address)
        out, log = self._capture.readouterr()
        return [one.result() for one in running], [json.loads(line) for line in out.splitlines()], out + log

    def start(self, end: int, *options: str) -> subprocess.Popen[str]:
        """Start an agent of its own process, which renews until it is stopped."""
        program = [sys.executable, "-m", "qwarden", *self.words(end, *options)]
        return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _home(self, end: int) -> list[str]:
        return ["--home", str(self.folder / f"home-{end}")]


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    if not Path("/dev/net/tun").exists():
        pytest.skip("a tunnel takes /dev/net/tun, which is missing here")
    with spaces("wg", "wireguard-go", "ping", packages="wireguard-tools wireguard-go iputils-ping") as made:
        yield Tunnel(made)


@pytest.fixture
def entities(tmp_path: Path) -> kmes.Entities:
    made = kmes.prepare(tmp_path / "kmes")
    kmes.fill(made, keys=256)
    return made


@pytest.fixture
def agents(
    tunnel: Tunnel, entities: kmes.Entities, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Agents:
    return Agents(tunnel, entities, tmp_path, capsys)


def test_traffic_passes_under_the_agreed_key_and_never_under_different_ones(
    tunnel: Tunnel, agents: Agents
) -> None:
    assert not tunnel.passes(seconds=2)
    with kmes.serving(agents.entities):
        codes, documents, said = agents.once()
    assert codes == [0, 0], said
    assert [(one["state"], one["origin"]) for one in documents] == [("hybrid", "simulated")] * 2
    assert documents[0]["quantum_key_id"] == documents[1]["quantum_key_id"] != ""
    psk = tunnel.psk(0)
    assert psk == tunnel.psk(1)
    assert psk not in said
    assert tunnel.passes()

    # The entities are gone, and with them quantum keys: with no grace nothing passes.
    codes, [document], said = agents.once("--grace", "0", ends=(0,))
    assert (codes, document["state"]) == ([4], "stopped"), said
    assert not tunnel.passes(seconds=2)

    # Allowed at both ends: traffic passes, and the status says that it is less than it should be.
    codes, documents, said = agents.once("--allow-downgrade")
    assert (codes, [one["state"] for one in documents]) == ([1, 1], ["downgraded"] * 2), said
    assert tunnel.psk(0) == tunnel.psk(1) != psk
    assert tunnel.passes()


def test_renewals_lose_no_packet(tunnel: Tunnel, agents: Agents) -> None:
    with kmes.serving(agents.entities):
        listening = agents.start(1)
        wait_for_listener(agents.address)
        calling = agents.start(0, "--interval", "1")
        assert tunnel.passes(seconds=60)
        counted = tunnel.spaces.ping_count(0, INSIDE[1], 40)
        for program in (calling, listening):
            program.send_signal(signal.SIGINT)
        documents = [json.loads(line) for line in calling.communicate(timeout=30)[0].splitlines()]
        listening.communicate(timeout=30)
    assert calling.returncode == listening.returncode == 130
    assert re.search("40 packets transmitted, 40 received", counted), counted
    assert {one["state"] for one in documents} == {"hybrid"}
    assert len({one["quantum_key_id"] for one in documents}) == len(documents) >= 3
