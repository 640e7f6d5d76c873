"""Two network namespaces with a cable between them, and programs that run in them."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

ADDRESSES = ("10.231.78.1", "10.231.78.2")


class Spaces:
    """Both namespaces, ends 0 and 1, and the programs started in them."""

    def __init__(self) -> None:
        self.tag = secrets.token_hex(3)
        self.names = tuple(f"qwarden-{self.tag}-{end}" for end in "ab")
        self._running: list[subprocess.Popen[bytes]] = []

    def make(self) -> None:
        first, second = (f"qw{self.tag}{end}" for end in "ab")
        for name in self.names:
            command("ip", "netns", "add", name)
        command(
            *["ip", "link", "add", first, "netns", self.names[0]],
            *["type", "veth", "peer", "name", second, "netns", self.names[1]],
        )
        for end, device in enumerate((first, second)):
            self.ip(end, "addr", "add", f"{ADDRESSES[end]}/24", "dev", device)
            self.ip(end, "link", "set", device, "up")
            self.ip(end, "link", "set", "lo", "up")

    def ip(self, end: int, *arguments: str) -> None:
        command("ip", "-n", self.names[end], *arguments)

    def start(self, end: int, *program: str, env: Mapping[str, str]) -> None:
        """Start a program that runs until the end of the test."""
        self._running.append(
            subprocess.Popen(
                ["ip", "netns", "exec", self.names[end], *program],
                env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip

    def pings(self, end: int, address: str, seconds: int) -> bool:
        """Say whether an answer comes in so many seconds."""
        ping = ["ping", "-q", "-c", "1", "-i", "0.5", "-w", str(seconds), address]
        return subprocess.run(self._inside(end, ping), check=False, capture_output=True).returncode == 0

    def ping_count(self, end: int, address: str, count: int) -> str:
        """Ping ten times a second and return what ping has counted."""
        ping = ["ping", "-q", "-c", str(count), "-i", "0.1", address]
        done = subprocess.run(self._inside(end, ping), check=False, capture_output=True, timeout=120)
        return done.stdout.decode()

    def remove(self) -> None:
        for program in self._running:
            program.terminate()
        for program in self._running:
            program.wait(20)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _inside(self, end: int, program: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.names[end], *program]


def command(*words: str, given: str = "") -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(words, check=True, capture_output=True, timeout=60, input=given.encode())
    return done.stdout.decode()


@contextmanager
def spaces(*programs: str, packages: str) -> Iterator[Spaces]:
    """Make both namespaces for the time of a ``with``; skip the test where that cannot be."""
    if missing := [name for name in ("ip", *programs) if shutil.which(name) is None]:
        pytest.skip(f"no {' or '.join(missing)} here (Debian: apt-get install iproute2 {packages})")
    made = Spaces()
    try:
        made.make()
    except subprocess.CalledProcessError as error:
        made.remove()
        pytest.skip(f"network namespaces take privileges that are missing here: {error.stderr.decode()[:80]}")
    try:
        yield made
    finally:
        made.remove()


def wait_for(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, true
        time.sleep(0.05)


def wait_for_listener(address: str) -> None:
    """Wait until somebody listens; by the kernel's table, since a connection would count as a call."""
    listens = f":{int(address.rpartition(':')[2]):04X} 00000000:0000 0A "
    wait_for(lambda: listens in Path("/proc/net/tcp").read_text())
