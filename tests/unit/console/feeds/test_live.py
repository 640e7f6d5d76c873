"""A real interface, the loopback; without the right to capture, the refusal instead."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path

import pytest

from qwarden.console.feeds.live import LiveFeed, open_interface
from qwarden.core.errors import UsageError
from tests.unit.console.feeds.stub import StubReader


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


def test_what_passes_the_loopback_is_heard_once_by_a_process_without_rights(tmp_path: Path) -> None:
    reader = StubReader()
    feed = LiveFeed("lo", tmp_path, 1 << 26, reader)  # type: ignore[arg-type]
    if not may_capture():
        with pytest.raises(UsageError, match="CAP_NET_RAW"):
            feed.open()
        return
    feed.open()
    status = Path(f"/proc/{feed._process.pid}/status")
    stop = threading.Event()
    thread = threading.Thread(target=feed.run, args=[stop])
    thread.start()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        give_up = time.monotonic() + 20
        while feed._spool.packets == 0 and time.monotonic() < give_up:  # until it hears
            sender.sendto(b"first", receiver.getsockname())
            time.sleep(0.05)
        held = dict(re.findall(r"^(CapEff|CapPrm|NoNewPrivs):\s*(\w+)$", status.read_text(), re.MULTILINE))
        for at in range(50):
            sender.sendto(b"qwarden %d;" % at, receiver.getsockname())
        while _heard(tmp_path).count(b"qwarden ") < 50 and time.monotonic() < give_up:
            time.sleep(0.05)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    [data], [(packets, lost)] = reader.contents, reader.counts
    for at in range(50):
        assert data.count(b"qwarden %d;" % at) == 1
    assert packets >= 51
    assert lost == 0
    assert int(held["CapEff"], 16) == int(held["CapPrm"], 16) == 0
    assert held["NoNewPrivs"] == "1"


def _heard(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in (home / "spool" / "lo").glob("*.pcap"))
