"""The commands of a key management entity as a new user types them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.keys.ports import free_port

from qwarden.cli.main import main

PATIENCE_S = 60.0


class Qwarden:
    """The command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, status: int = 0) -> str:
        """Run a command; return what it said."""
        self._capsys.readouterr()
        found = main([*map(str, arguments)])
        said = self._capsys.readouterr()
        assert found == status, said.err
        return said.out or said.err


@pytest.fixture
def qwarden(capsys: pytest.CaptureFixture[str]) -> Qwarden:
    return Qwarden(capsys)


@pytest.mark.slow
def test_keys_come_to_curl_by_the_commands_that_a_laboratory_prints(tmp_path: Path, qwarden: Qwarden) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lab = tmp_path / "lab"
    port = free_port()
    said = qwarden("keys", "laboratory", lab, "--port", str(port))
    commands = [shlex.split(line) for line in said.splitlines() if line.startswith("  ")]
    starts = [command for command in commands if command[0] == "qwarden"]
    curls = [command for command in commands if command[0] == "curl"]
    assert (len(starts), len(curls)) == (2, 3)
    processes = [
        subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.PIPE, text=True)
        for command in starts
    ]
    try:
        for process in processes:
            assert process.stderr is not None
            assert re.search(r"https://127.0.0.1:\d+/ in laboratory mode", process.stderr.readline())

        def curl(command: list[str], id: str = "") -> dict[str, object]:
            command = [part.replace("KEY_ID", id) if "dec_keys" in part else part for part in command]
            command = [part.replace(f"?{id}=", "?key_ID=") for part in command]
            done = subprocess.run(
                [*command, "--silent", "--fail"], capture_output=True, check=True, timeout=60
            )
            found = json.loads(done.stdout)
            assert isinstance(found, dict)
            return found

        status = curl(curls[0])
        assert isinstance(status["stored_key_count"], int)
        assert status["stored_key_count"] > 100
        (key,) = curl(curls[1])["keys"]  # type: ignore[misc]
        assert key["key_extension"]["qwarden_origin"] == "simulated"
        assert curl(curls[2], key["key_ID"])["keys"] == [key]
        home = lab / "kme-a"
        (pool,) = json.loads(qwarden("--home", home, "keys", "pools", "--json"))["pools"]
        assert (pool["peer"], pool["left"]) == ("kme-b", status["stored_key_count"] - 1)
        assert "in use; stop the entity" in qwarden("--home", home, "keys", "rotate", status=1)
        assert "already in use" in qwarden("--home", home, "keys", "serve", status=2)
        gone = json.loads(qwarden("--home", home, "keys", "revoke", "--peer", "kme-b", "--json"))["dropped"]
        assert gone["kme-a"] == gone["kme-b"] == pool["left"] + pool["theirs"]
        assert "revoke a block" in qwarden("--home", home, "keys", "revoke", status=2)
        processes[0].send_signal(signal.SIGINT)
        assert processes[0].wait(PATIENCE_S) == 130
        processes[1].terminate()
        assert processes[1].wait(PATIENCE_S) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait(PATIENCE_S)
    assert "kme-a: " in qwarden("--home", home, "keys", "pools", status=4)
    assert "0 stored keys" in qwarden("--home", home, "keys", "rotate")


def test_certificates_are_made_and_signed_on(tmp_path: Path, qwarden: Qwarden) -> None:
    folder = tmp_path / "pki"
    found = json.loads(qwarden("keys", "pki", folder, "--kme", "kme-a", "--kme", "kme-b", "--json"))
    assert set(found["made"]) == {"kme-a", "kme-b"}
    before = (folder / "ca.pem").read_bytes()
    assert "sae-1" in qwarden("keys", "pki", folder, "--sae", "sae-1")
    assert (folder / "ca.pem").read_bytes() == before
    assert stat.S_IMODE((folder / "sae-1.key").stat().st_mode) == 0o600
    assert "expected letters" in qwarden("keys", "pki", folder, "--sae", "../evil", status=2)
    assert "is not empty" in qwarden("keys", "laboratory", folder, status=2)
    assert "no such file" in qwarden("--home", tmp_path / "home", "keys", "serve", status=2)
