"""A console of its own: `qwarden` as a user starts it, in a process and with a home of its own."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from qwarden.console.gate import COOKIE

PATIENCE_S = 60.0


@dataclass
class Console:
    """A console that runs."""

    url: str
    password: str
    home: Path
    process: subprocess.Popen[bytes]
    said: Path

    def client(self) -> httpx.Client:
        """Return a browser without a browser, which trusts this console's certificate alone."""
        trust = ssl.create_default_context(cafile=str(self.home / "tls" / "certificate.pem"))
        return httpx.Client(base_url=self.url, verify=trust, headers={"Origin": self.url.rstrip("/")})

    def sign_in(self, client: httpx.Client) -> str:
        """Sign in and return the session's token."""
        answer = client.post("/login", data={"password": self.password})
        assert answer.status_code == 303
        return answer.cookies[COOKIE]

    def stop(self) -> int:
        """Interrupt it as Ctrl-C does; return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextmanager
def started(home: Path, *arguments: str) -> Iterator[Console]:
    """Start ``qwarden ARGUMENTS`` and wait until it says where it is."""
    said = home.parent / f"{home.name}.stderr"
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "qwarden", "--home", str(home), *arguments, "--port", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE_S
        while not (where := re.search(r"https://\S+", said.read_text())):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.05)
        password = re.search(r"admin password: ([a-z0-9-]{23}) ", said.read_text())
        yield Console(where[0], password[1] if password else "", home, process, said)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The demonstration, fast."""
    home = tmp_path_factory.mktemp("console") / "home"
    with started(home, "demo", "--seed", "12", "--speed", "150") as running:
        yield running
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE_S) == 0
