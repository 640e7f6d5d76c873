"""Delivered keys at work: a file or a socket encrypted under a key that only its two ends can get.

A small library for programs that use quantum keys; it speaks ETSI GS QKD 014 to any key management entity,
ours or a vendor's (`KmeClient`). What is encrypted carries the key's id in clear, and who has it: the other
end gets the same key at its own entity by that id. A key serves one file or one connection.

Content is sealed in pieces by AES-256-GCM (`core.crypto.wrapping`), each bound to its place, so that none can
be changed, left out, repeated or put elsewhere without notice. Of a file, nothing is kept before all of it
was found right.

Examples
--------
Two applications, each with a client at its own entity (here one that gives the same keys to both)::

    ours = KmeClient("https://kme-a:8443", "kme-a", Files(ca=..., certificate=..., key=...))
    seal_file(ours, "sae-2", "plan.pdf", "plan.pdf.sealed")     # sae-1
    open_file(theirs, "plan.pdf.sealed", "plan.pdf")            # sae-2, at kme-b

>>> import os, socket, tempfile
>>> from qwarden.core.keysupply import Key
>>> class Both:
...     own, kept = "sae-1", {}
...     def get_key(self, slave, number=1, size=None):
...         key = Key("01900000-0000-7000-8000-000000000000", os.urandom(32), "simulated")
...         self.kept[key.id] = key
...         return [key]
...     def get_key_with_ids(self, master, ids):
...         return [self.kept.pop(id) for id in ids]
>>> folder, keys = tempfile.mkdtemp(), Both()
>>> _ = open(f"{folder}/plain", "wb").write(b"to whom it may concern")
>>> key_id = seal_file(keys, "sae-2", f"{folder}/plain", f"{folder}/sealed")
>>> open_file(keys, f"{folder}/sealed", f"{folder}/opened")
>>> open(f"{folder}/opened", "rb").read()
b'to whom it may concern'
>>> ours, theirs = socket.socketpair()
>>> one = call(ours, keys, "sae-2")
>>> other = answer(theirs, keys)
>>> one.send(b"hello")
>>> other.receive()
b'hello'
"""

from __future__ import annotations

import json
import os
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from qwarden.core.crypto.wrapping import OVERHEAD, unwrap, wrap
from qwarden.core.errors import InputError
from qwarden.core.files import Json, canonical_json
from qwarden.core.keysupply import Key
from qwarden.keys.kme.client import KmeClient as KmeClient
from qwarden.keys.kme.tls import Files as Files

MAGIC: Final = b"qwarden-sealed-1\n"
PIECE_BYTES: Final = 1 << 20
MESSAGE_MOST: Final = 1 << 24
KEY_BITS: Final = 256
_HEADER_MOST: Final = 1024
_LENGTH: Final = struct.Struct(">I")


class Keys(Protocol):
    """Where keys come from; a `KmeClient` as a rule."""

    own: str

    def get_key(self, slave: str, number: int = 1, size: int | None = None) -> list[Key]:
        """Get new keys to share with `slave`."""
        ...

    def get_key_with_ids(self, master: str, ids: Sequence[str]) -> list[Key]:
        """Get the keys that `master` has got."""
        ...


def seal_file(keys: Keys, slave: str, source: str | Path, target: str | Path) -> str:
    """Encrypt a file for an application; return the id of the key that was used.

    Parameters
    ----------
    keys : of this application.
    slave : the application that shall open it.
    target : written beside and put in place when it is complete.

    Raises
    ------
    ServiceError, KeySupplyError
        The entity gives no key.
    OSError
        A file cannot be read or written.
    """
    (key,) = keys.get_key(slave, 1, KEY_BITS)
    with Path(source).open("rb") as plain, _replacing(Path(target)) as sealed:
        sealed.write(MAGIC)
        _write(sealed, canonical_json({"key_ID": key.id, "master": keys.own}))
        for number, (piece, last) in enumerate(_pieces(plain)):
            _write(sealed, wrap(key.material, piece, ["file", key.id, number, last]))
    return key.id


def open_file(keys: Keys, source: str | Path, target: str | Path) -> None:
    """Decrypt a file that another application has sealed for this one.

    The key is gone at the entity after that, whether or not the file was found right: who may need the file
    again keeps the opened one.

    Raises
    ------
    InputError
        It is no such file, or it was changed or cut off; `target` is as it was.
    ServiceError, KeySupplyError
        The entity gives no key: it was made for another application, or has been fetched.
    """
    with Path(source).open("rb") as sealed, _replacing(Path(target)) as plain:
        if sealed.read(len(MAGIC)) != MAGIC:
            raise InputError(source, "is no file that was sealed by this version")
        id, master = _who(source, _read(source, sealed, _HEADER_MOST))
        (key,) = keys.get_key_with_ids(master, [id])
        number, last = 0, False
        while not last:
            piece = _read(source, sealed, PIECE_BYTES + OVERHEAD)
            last = not sealed.peek(1)
            plain.write(_unsealed(source, key, piece, ["file", key.id, number, last]))
            number += 1


class Channel:
    """An encrypted connection; each message arrives once, in order and unchanged, or is an error.

    Made by `call` and `answer`. After an error the connection is of no more use; close it.
    """

    def __init__(self, connection: socket.socket, key: Key, ours: str, theirs: str) -> None:
        self._connection, self._key = connection, key
        self._ours, self._theirs = ours, theirs
        self._sent = self._received = 0

    def send(self, message: bytes) -> None:
        """Send a message of at most `MESSAGE_MOST` bytes."""
        if len(message) > MESSAGE_MOST:
            raise ValueError(f"a message of {len(message):,} bytes; at most {MESSAGE_MOST:,} are sent")
        sealed = wrap(self._key.material, message, ["channel", self._key.id, self._ours, self._sent])
        self._sent += 1
        self._connection.sendall(_LENGTH.pack(len(sealed)) + sealed)

    def receive(self) -> bytes:
        """Return the next message.

        Raises
        ------
        InputError
            It was changed, repeated or left out, or the other end has gone.
        """
        sealed = _framed("channel", lambda n: _exactly(self._connection, n), MESSAGE_MOST + OVERHEAD)
        message = _unsealed(
            "channel", self._key, sealed, ["channel", self._key.id, self._theirs, self._received]
        )
        self._received += 1
        return message


def call(connection: socket.socket, keys: Keys, slave: str) -> Channel:
    """Open an encrypted channel to an application at the other end of a connection; it does `answer`."""
    (key,) = keys.get_key(slave, 1, KEY_BITS)
    hello = canonical_json({"key_ID": key.id, "master": keys.own})
    connection.sendall(_LENGTH.pack(len(hello)) + hello)
    return Channel(connection, key, "master", "slave")


def answer(connection: socket.socket, keys: Keys, master: str | None = None) -> Channel:
    """Take part in a channel that an application has opened by `call`.

    Parameters
    ----------
    master : who it must be; None: whoever shares a key with this application.

    Raises
    ------
    InputError
        The other end says something else, is another, or has gone.
    ServiceError, KeySupplyError
        The entity does not give the key that was named.
    """
    hello = _framed("channel", lambda n: _exactly(connection, n), _HEADER_MOST)
    id, caller = _who("channel", hello)
    if master is not None and caller != master:
        raise InputError("channel", f"{caller[:64]!r} calls, expected {master!r}")
    (key,) = keys.get_key_with_ids(caller, [id])
    return Channel(connection, key, "slave", "master")


def _pieces(plain: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yield pieces of a file, each with whether it is the last; one at least."""
    piece = plain.read(PIECE_BYTES)
    while True:
        following = plain.read(PIECE_BYTES)
        yield piece, not following
        if not following:
            return
        piece = following


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Give a file that takes its place when the block ends well, and leaves nothing when it does not."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise


def _who(source: str | Path, header: bytes) -> tuple[str, str]:
    try:
        document = json.loads(header)
        id, master = document["key_ID"], document["master"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(source, "does not say which key it is sealed under") from error
    if not isinstance(id, str) or not isinstance(master, str):
        raise InputError(source, "does not say which key it is sealed under")
    return id, master


def _write(stream: BinaryIO, piece: bytes) -> None:
    stream.write(_LENGTH.pack(len(piece)) + piece)


def _read(source: str | Path, stream: BinaryIO, most: int) -> bytes:
    return _framed(source, stream.read, most)


def _framed(source: str | Path, read: Callable[[int], bytes], most: int) -> bytes:
    head = read(_LENGTH.size)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else -1
    if not 0 <= length <= most:
        raise InputError(source, "is cut off or damaged")
    piece = read(length)
    if len(piece) != length:
        raise InputError(source, "is cut off")
    return piece


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count and (part := connection.recv(min(count - len(received), 1 << 16))):
        received += part
    return bytes(received)


def _unsealed(source: str | Path, key: Key, piece: bytes, context: Json) -> bytes:
    try:
        return unwrap(key.material, piece, context)
    except InputError:
        raise InputError(source, "was changed, or is sealed under another key") from None
