"""Suricata's side of a UNIX socket, played by plain sockets."""

from __future__ import annotations

import socket
import stat
import threading
from pathlib import Path

import pytest

from qwarden.core.errors import UsageError
from qwarden.formats.listeners.assembly import MOST, Assembly
from qwarden.formats.listeners.eve_socket import EveSocketListener
from tests.unit.formats.listeners.collect import Collector, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "eve.sock"


def listening(path: Path, datagrams: bool = False) -> EveSocketListener:
    listener = EveSocketListener(path, datagrams=datagrams)
    listener.open()
    return listener


def connected(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.connect(str(path))
    return made


def test_lines_of_several_connections_stay_whole(path: Path) -> None:
    taken = Collector(listening(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with connected(path) as one, connected(path) as two:
        for at in range(200):
            one.sendall(b'{"one":%d' % at)
            two.sendall(b'{"two":%d}\n' % at)
            one.sendall(b"}\n")
        wait_until(lambda: taken.listener.heard.lines == 400, "all lines have come")
    data = taken.end().splitlines()
    assert [line for line in data if b"one" in line] == [b'{"one":%d}' % at for at in range(200)]
    assert [line for line in data if b"two" in line] == [b'{"two":%d}' % at for at in range(200)]
    assert not path.exists()


def test_who_hangs_up_may_come_again_and_a_cut_line_is_ended(path: Path) -> None:
    taken = Collector(listening(path))
    with connected(path) as one:
        one.sendall(b'{"a":1}\n{"cut')
    taken.wait_for(b"cut\n")
    with connected(path) as one:
        one.sendall(b'{"b":2}\n')
        taken.wait_for(b'{"b":2}\n')
    assert taken.end() == b'{"a":1}\n{"cut\n{"b":2}\n'
    assert taken.listener.heard.lines == 3


def test_what_was_sent_before_the_end_is_taken(path: Path) -> None:
    listener = listening(path)
    with connected(path) as one:
        blocks = listener.blocks()
        next(blocks)  # it is accepted
        one.sendall(b"".join(b'{"n":%d}\n' % at for at in range(2_000)))
        listener.stop()
        assert b"".join(blocks).count(b"\n") == 2_000
    listener.close()


def test_datagrams_are_a_line_each(path: Path) -> None:
    taken = Collector(listening(path, datagrams=True))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        for at in range(100):
            one.sendto(b'{"n":%d}' % at + b"\n" * (at % 2), str(path))
        wait_until(lambda: taken.listener.heard.lines == 100, "all have come")
    assert taken.end() == b"".join(b'{"n":%d}\n' % at for at in range(100))


def test_the_sender_waits_while_nobody_reads(path: Path) -> None:
    """Back-pressure: what does not fit is neither taken nor lost."""
    listener = listening(path)
    sent = threading.Event()
    data = b"x" * 99 + b"\n"

    def send() -> None:
        with connected(path) as one:
            one.sendall(data * 100_000)
        sent.set()

    threading.Thread(target=send, daemon=True).start()
    blocks = listener.blocks()
    first = next(block for block in blocks if block)
    assert not sent.wait(0.3)
    taken = len(first)
    while taken < len(data) * 100_000:
        taken += len(next(blocks))
    assert sent.wait(20)
    assert listener.heard.lines == 100_000
    listener.close()


def test_the_way_is_cleared_of_a_socket_nobody_listens_on_and_of_nothing_else(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    listener = listening(path)
    with pytest.raises(UsageError, match="another process listens there"):
        EveSocketListener(path).open()
    with pytest.raises(UsageError, match="another kind of socket"):
        EveSocketListener(path, datagrams=True).open()
    listener.close()
    path.write_text("precious")
    with pytest.raises(UsageError, match="something else has that name"):
        EveSocketListener(path).open()
    assert path.read_text() == "precious"
    with pytest.raises(UsageError, match="no such file"):
        EveSocketListener(path.parent / "nowhere" / "s").open()
    with pytest.raises(UsageError, match="too long"):
        EveSocketListener(path.parent / ("s" * 120)).open()


def test_a_line_without_end_is_bounded() -> None:
    pieces = Assembly()
    for _ in range(50):
        assert pieces.take(b"x" * 200_000) == b""
    found = pieces.take(b"x\nnext\n")
    assert found.endswith(b"\nnext\n")
    assert MOST < len(found) <= 2 * MOST + 10  # longer than the reader keeps, so it is counted as malformed
    assert pieces.lines == 2
    assert pieces.end() == b""


def test_the_socket_is_not_taken_from_another_that_came_after(path: Path) -> None:
    listener = listening(path)
    path.unlink()
    other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    other.bind(str(path))
    listener.close()
    assert path.exists()
    other.close()
    path.unlink()
