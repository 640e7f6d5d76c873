"""Files and sockets under delivered keys: they arrive whole, and nothing that was changed passes."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qwarden.core.clock import uuid7
from qwarden.core.errors import InputError, KeySupplyError
from qwarden.core.keysupply import Key
from qwarden.keys import client
from qwarden.keys.client import MAGIC, Channel, answer, call, open_file, seal_file


class Network:
    """Gives keys to the application it stands for, each to a slave once."""

    shared: dict[tuple[str, str, str], Key]

    def __init__(self, own: str, shared: dict[tuple[str, str, str], Key]) -> None:
        self.own, self.shared = own, shared

    def get_key(self, slave: str, number: int = 1, size: int | None = None) -> list[Key]:
        assert (number, size) == (1, 256)
        key = Key(uuid7(), secrets.token_bytes(32), "simulated")
        self.shared[self.own, slave, key.id] = key
        return [key]

    def get_key_with_ids(self, master: str, ids: Sequence[str]) -> list[Key]:
        try:
            return [self.shared.pop((master, self.own, id)) for id in ids]
        except KeyError:
            raise KeySupplyError("not found") from None


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> tuple[Network, Network]:
    monkeypatch.setattr(client, "PIECE_BYTES", 100)
    shared: dict[tuple[str, str, str], Key] = {}
    return Network("sae-1", shared), Network("sae-2", shared)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 1001])
def test_a_file_arrives_whole_and_its_key_serves_once(
    tmp_path: Path, ends: tuple[Network, Network], size: int
) -> None:
    plain = secrets.token_bytes(size)
    (tmp_path / "plain").write_bytes(plain)
    seal_file(ends[0], "sae-2", tmp_path / "plain", tmp_path / "sealed")
    assert size < 16 or plain not in (tmp_path / "sealed").read_bytes()
    open_file(ends[1], tmp_path / "sealed", tmp_path / "opened")
    assert (tmp_path / "opened").read_bytes() == plain
    with pytest.raises(KeySupplyError):
        open_file(ends[1], tmp_path / "sealed", tmp_path / "opened")


def frames(sealed: bytes) -> list[bytes]:
    found, at = [], len(MAGIC)
    while at < len(sealed):
        (length,) = struct.unpack_from(">I", sealed, at)
        found.append(sealed[at : at + 4 + length])
        at += 4 + length
    return found


def test_nothing_that_was_changed_cut_or_put_elsewhere_is_opened(
    tmp_path: Path, ends: tuple[Network, Network]
) -> None:
    ours, theirs = ends
    (tmp_path / "plain").write_bytes(secrets.token_bytes(250))
    (tmp_path / "opened").write_bytes(b"as it was")
    seal_file(ours, "sae-2", tmp_path / "plain", tmp_path / "sealed")
    kept, whole = dict(ours.shared), (tmp_path / "sealed").read_bytes()
    header, *pieces = frames(whole)
    assert len(pieces) == 3
    wrong = [whole[:at] for at in range(0, len(whole), 7)]
    wrong += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 11)]
    for order in ([0, 1], [0, 2], [1, 0, 2], [0, 0, 1, 2], [0, 1, 2, 2], [], [0, 1, 2, 1]):
        wrong.append(MAGIC + header + b"".join(pieces[n] for n in order))
    wrong += [whole + b"x", MAGIC + struct.pack(">I", 1 << 31) + whole]
    for content in wrong:
        ours.shared.clear()
        ours.shared.update(kept)
        (tmp_path / "sealed").write_bytes(content)
        with pytest.raises((InputError, KeySupplyError)):
            open_file(theirs, tmp_path / "sealed", tmp_path / "opened")
    assert (tmp_path / "opened").read_bytes() == b"as it was"
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "sealed", "opened"}


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def test_messages_go_both_ways_in_order(
    sockets: tuple[socket.socket, socket.socket], ends: tuple[Network, Network]
) -> None:
    one = call(sockets[0], ends[0], "sae-2")
    other = answer(sockets[1], ends[1], "sae-1")
    for number in range(3):
        one.send(b"there %d" % number)
        other.send(b"back %d" % number)
    one.send(b"")
    assert [other.receive() for _ in range(4)] == [b"there 0", b"there 1", b"there 2", b""]
    assert [one.receive() for _ in range(3)] == [b"back 0", b"back 1", b"back 2"]
    with pytest.raises(ValueError, match="at most"):
        one.send(bytes(client.MESSAGE_MOST + 1))
    sockets[0].close()
    with pytest.raises(InputError, match="cut off"):
        other.receive()


@pytest.mark.parametrize("tampering", ["change", "repeat", "swap", "leave out", "reflect", "oversize", "cut"])
def test_what_was_done_to_messages_shows(
    sockets: tuple[socket.socket, socket.socket], ends: tuple[Network, Network], tampering: str
) -> None:
    (key,) = ends[0].get_key("sae-2", 1, 256)
    ours, theirs = socket.socketpair()
    sender = Channel(ours, key, "master", "slave")
    sender.send(b"one")
    sender.send(b"two")
    length = 4 + client.OVERHEAD + 3
    first, second = theirs.recv(length), theirs.recv(length)
    passed = {
        "change": [first[:-1] + bytes([first[-1] ^ 1])],
        "repeat": [first, first],
        "swap": [second, first],
        "leave out": [second],
        "reflect": [first],
        "oversize": [b"\xff\xff\xff\xff" + first],
        "cut": [first[:-1]],
    }[tampering]
    ours.close()
    theirs.close()
    names = ("master", "slave") if tampering == "reflect" else ("slave", "master")
    receiver = Channel(sockets[1], key, *names)
    for message in passed:
        sockets[0].sendall(message)
    sockets[0].close()
    with pytest.raises(InputError):  # noqa: PT012 - the last of them is the one
        for _ in passed:
            assert receiver.receive() in (b"one",)


@pytest.mark.parametrize(
    "hello", [b"", b"{}", b"[]", b"x", b'{"key_ID":3,"master":"sae-1"}', b"[" * 900, bytes(2000),
              b'{"key_ID":"k","master":"sae-9"}'],
    ids=range(8),
)  # fmt: skip
def test_an_answer_is_given_to_nobody_else(
    sockets: tuple[socket.socket, socket.socket], ends: tuple[Network, Network], hello: bytes
) -> None:
    sockets[0].sendall(struct.pack(">I", len(hello)) + hello)
    with pytest.raises(InputError):
        answer(sockets[1], ends[1], "sae-1")
