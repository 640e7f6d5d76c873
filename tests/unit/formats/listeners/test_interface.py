"""A real interface, the loopback; without the right to capture, the refusal instead."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from qwarden.core.errors import UsageError
from qwarden.formats.listeners.interface import InterfaceListener, open_interface
from tests.unit.formats.listeners.collect import Collector, wait_until


def may_capture() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return False
    return True


def test_an_interface_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"--interface nothere0: there is none; there are .*\blo\b"):
        open_interface("nothere0")


def test_without_the_right_the_refusal_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(UsageError, match="CAP_NET_RAW"):
        open_interface("lo")


class Chatter:
    """Sends datagrams to itself over the loopback."""

    def __init__(self) -> None:
        self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind(("127.0.0.1", 0))
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def say(self, text: bytes) -> None:
        self._sender.sendto(text, self._receiver.getsockname())

    def until_heard(self, taken: Collector, text: bytes) -> None:
        """Say it again and again until it is heard."""

        def heard() -> bool:
            self.say(text)
            time.sleep(0.02)
            return text in taken.data

        wait_until(heard, f"{text!r} was heard")


def test_what_passes_the_loopback_is_heard_once_by_a_process_without_rights(tmp_path: Path) -> None:
    listener = InterfaceListener("lo", tmp_path / "spool", 1 << 26)
    if not may_capture():
        with pytest.raises(UsageError, match="CAP_NET_RAW"):
            listener.open()
        return
    listener.open()
    pid = listener._copier.pid
    taken, chatter = Collector(listener), Chatter()
    chatter.until_heard(taken, b"first")
    status = Path(f"/proc/{pid}/status").read_text()
    held = dict(re.findall(r"^(CapEff|CapPrm|NoNewPrivs):\s*(\w+)$", status, re.MULTILINE))
    for at in range(50):
        chatter.say(b"qwarden %d;" % at)
    wait_until(lambda: taken.data.count(b"qwarden ") >= 50, "all were heard")
    data = taken.end()
    for at in range(50):
        assert data.count(b"qwarden %d;" % at) == 1
    assert listener.heard.packets >= 51
    assert listener.heard.lost == 0
    assert int(held["CapEff"], 16) == int(held["CapPrm"], 16) == 0
    assert held["NoNewPrivs"] == "1"
    assert listener.failed == ""


def test_the_sniffing_process_is_started_anew_when_it_is_killed(tmp_path: Path) -> None:
    if not may_capture():
        return  # the refusal is tested above
    listener = InterfaceListener("lo", tmp_path / "spool", 1 << 26)
    listener.open()
    taken, chatter = Collector(listener), Chatter()
    chatter.until_heard(taken, b"before")
    first = listener._copier.pid
    os.kill(first, signal.SIGKILL)
    chatter.until_heard(taken, b"after")
    assert listener._copier.pid != first
    taken.end()
    assert listener.heard.problems == ("the process that hears it has ended, and was started anew",)
