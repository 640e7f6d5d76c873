"""Post-quantum pre-shared keys that strongSwan takes: two daemons in two namespaces, one connection.

Whether the key was used, strongSwan says itself: its name for the algorithms of such a connection ends in
``/PPK``. Only the IKE connection is made, without a child, so that the kernel encrypts nothing.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.keys.hybrid.spaces import ADDRESSES, Spaces, spaces, wait_for, wait_for_listener
from tests.e2e.keys.ports import free_port

from qwarden.cli.main import main
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.hybrid.ikev2 import SwanctlPpk

PLUGINS = "aes sha1 sha2 hmac kdf gmp random nonce kernel-netlink socket-default vici"
FIRST, SECOND, THIRD = "00000000000000aa", "00000000000000bb", "00000000000000cc"
NAMES = ("alice", "bob")

STRONGSWAN = """
charon-systemd {{
  load = {plugins}
  plugins {{ vici {{ socket = unix://{folder}/vici }} }}
}}
swanctl {{
  load = random
  socket = unix://{folder}/vici
}}
"""

BASE = """
connections {{
  vpn {{
    version = 2
    proposals = aes256-sha256-modp2048
    local_addrs = {own}
    remote_addrs = {peer}
    childless = force
    ppk_required = yes
    local {{
      auth = psk
      id = {name}
    }}
    remote {{
      auth = psk
      id = {other}
    }}
  }}
}}
secrets {{
  ike-vpn {{
    secret = classical
  }}
}}
include conf.d/*.conf
"""


@dataclass
class End:
    """One end's daemon, and the folder that it and its `swanctl` are configured in."""

    folder: Path

    def ppk(self, *, begins: bool) -> SwanctlPpk:
        return SwanctlPpk(self.file, "vpn", begins=begins, program=str(self.folder / "bin" / "swanctl"))

    @property
    def file(self) -> Path:
        return self.folder / "conf.d" / "qwarden.conf"

    def swanctl(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(self.folder / "bin" / "swanctl"), *words], check=False, capture_output=True, timeout=60
        )
        return done.returncode, done.stdout.decode()

    def begins(self) -> str:
        """Make the connection anew; return the algorithms in use, or nothing."""
        self.swanctl("--terminate", "--ike", "vpn", "--timeout", "5")
        code, _ = self.swanctl("--initiate", "--ike", "vpn", "--timeout", "10")
        found = re.search(r"ESTABLISHED[^/]*?\n(?:.*\n)*?  (\S+)\n", self.swanctl("--list-sas")[1])
        assert (code == 0) == bool(found)
        return found[1] if found else ""


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[End, End]]:
    packages = "strongswan-swanctl charon-systemd"
    with spaces("swanctl", "charon-systemd", packages=packages) as made:
        yield _end(made, 0, tmp_path_factory.mktemp("a")), _end(made, 1, tmp_path_factory.mktemp("b"))


def _end(made: Spaces, n: int, folder: Path) -> End:
    for name in ("bin", "conf.d"):
        (folder / name).mkdir()
    (folder / "strongswan.conf").write_text(STRONGSWAN.format(plugins=PLUGINS, folder=folder))
    (folder / "swanctl.conf").write_text(
        BASE.format(own=ADDRESSES[n], peer=ADDRESSES[1 - n], name=NAMES[n], other=NAMES[1 - n])
    )
    wrapper = folder / "bin" / "swanctl"
    wrapper.write_text(
        f"#!/bin/sh\nexport STRONGSWAN_CONF={folder}/strongswan.conf SWANCTL_DIR={folder}\n"
        f'exec {shutil.which("swanctl")} "$@"\n'
    )
    wrapper.chmod(0o700)
    made.start(n, "charon-systemd", env={**os.environ, "STRONGSWAN_CONF": f"{folder}/strongswan.conf"})
    end = End(folder)
    wait_for(lambda: end.swanctl("--load-all", "--noprompt")[0] == 0)
    return end


def test_a_connection_is_made_with_the_key_and_with_no_other(ends: tuple[End, End]) -> None:
    alice, bob = ends[0].ppk(begins=True), ends[1].ppk(begins=False)
    assert ends[0].begins() == ""  # one is required, and there is none yet
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    alice.put(first, FIRST)
    bob.put(first, FIRST)
    assert ends[0].begins().endswith("/PPK")
    # Between the two ends' renewals the old key still serves.
    bob.put(second, SECOND)
    assert ends[0].begins().endswith("/PPK")
    alice.put(second, SECOND)
    assert ends[0].begins().endswith("/PPK")
    alice.put(secrets.token_bytes(32), SECOND)  # the same name, another key
    assert ends[0].begins() == ""
    alice.put(first, THIRD)  # a key of a name that the other end has not
    assert ends[0].begins() == ""


def test_stopping_ends_the_connection_until_there_is_a_new_key(ends: tuple[End, End]) -> None:
    alice, bob = ends[0].ppk(begins=True), ends[1].ppk(begins=False)
    key = secrets.token_bytes(32)
    alice.put(key, FIRST)
    bob.put(key, FIRST)
    assert ends[0].begins().endswith("/PPK")
    bob.stop()
    assert "ESTABLISHED" not in ends[1].swanctl("--list-sas")[1]
    assert ends[0].begins() == ""
    bob.put(key, FIRST)
    assert ends[0].begins().endswith("/PPK")


def test_two_agents_give_both_ends_one_key(
    ends: tuple[End, End], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, address = secrets.token_bytes(1024), f"127.0.0.1:{free_port()}"
    for n, name in enumerate(NAMES):
        home = tmp_path / name
        PreSharedPool(home / "keys" / "pre-shared", name).add(NAMES[1 - n], shared)
        assert main(["--home", str(home), "keys", "identity", "--out", str(tmp_path / f"{name}.pub")]) == 0
    capsys.readouterr()
    with ThreadPoolExecutor() as pool:
        running = []
        for n, role in ((1, "--listen"), (0, "--call")):
            words = [
                "--home", str(tmp_path / NAMES[n]), "keys", "ikev2", "vpn", "--file", str(ends[n].file),
                "--own", NAMES[n], "--peer", NAMES[1 - n],
                "--peer-identity", str(tmp_path / f"{NAMES[1 - n]}.pub"),
                "--pool", role, address, "--once", "--json", "--no-load",
            ]  # fmt: skip
            running.append(pool.submit(main, words))
            if role == "--listen":
                wait_for_listener(address)
    out, log = capsys.readouterr()
    assert [one.result() for one in running] == [0, 0], log
    documents = [json.loads(line) for line in out.splitlines()]
    assert [(one["state"], one["origin"]) for one in documents] == [("hybrid", "pre-shared")] * 2
    for end in ends:
        assert end.swanctl("--load-all", "--noprompt")[0] == 0
    assert ends[0].begins().endswith("/PPK")
