"""The apparatus as a process of its own: it gives each end what that end holds, and nothing of the other's.

A simulated link knows all bits of both ends, as nature does; therefore it runs in neither of them. Each end
connects to it, says which one it is, and is told of each block what it prepared or detected. Alice, who has
the laser, says when a block is sent and with which settings. A real apparatus takes this module's place by
speaking the same few frames.

Frames are JSON; a record is a head of JSON, a zero byte, and its arrays one after the other, little endian,
each of as many elements as the head says. This is the inside of a laboratory, not a public channel: nothing
here is authenticated, and it should listen on the loopback alone.

Start reading at `Fibre.serve` and `FibreEnd.send`.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import numpy as np

from qwarden.core import strict
from qwarden.core.errors import InputError, QwardenError
from qwarden.core.files import Json, canonical_json
from qwarden.keys.exchange import Apparatus
from qwarden.keys.link import Origin, Settings
from qwarden.keys.party.addresses import Address, connect
from qwarden.keys.party.transport import LinkLost, SocketTransport
from qwarden.keys.records import SLOTS, Detections, Preparations, Telemetry

End: TypeAlias = Literal["alice", "bob"]
Record: TypeAlias = Preparations | Detections

NAME: Final = "fibre"
PATIENCE_S: Final = 120.0
"""How long a block may take to be sent."""
FOREVER_S: Final = 366 * 86_400.0

_ARRAYS: Final[Mapping[type[Record], Mapping[str, tuple[type[np.generic], int]]]] = {
    Preparations: {"index": (np.int64, 0), "basis": (np.uint8, 1), "bit": (np.uint8, 1),
                   "intensity": (np.uint8, 2)},
    Detections: {"index": (np.int64, 0), "basis": (np.uint8, 3), "bit": (np.uint8, 1),
                 "double": (np.bool_, 1), "slot": (np.uint8, SLOTS - 1)},
}  # fmt: skip
"""Type of each array, and its largest value."""

log = logging.getLogger(__name__)


class Fibre:
    """Serves one link to its two ends.

    Parameters
    ----------
    apparatus : what is sent over it.
    """

    def __init__(self, apparatus: Apparatus) -> None:
        self._apparatus = apparatus
        self._ends: dict[End, SocketTransport] = {}
        self._sending = threading.Lock()

    def serve(self, listener: socket.socket) -> None:
        """Take in ends until the listener is closed; each is served by a thread."""
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(SocketTransport(stream),), daemon=True).start()

    def _attend(self, transport: SocketTransport) -> None:
        """Serve an end until it goes; one that comes again takes the place of its earlier self."""
        try:
            end: End = "alice" if _asked(transport.receive(10.0), "end") == "alice" else "bob"
            self._ends[end] = transport
            transport.send(canonical_json({"origin": self._apparatus.origin}))
            while True:
                request = transport.receive(FOREVER_S)
                if end == "alice":
                    self._send(_asked(request, "block"), _settings(request))
        except (LinkLost, InputError) as error:
            log.info("an end of the fibre has gone: %s", error)
        finally:
            transport.close()

    def _send(self, block: str, settings: Settings) -> None:
        """Send a block of pulses and tell each end what it has of it."""
        with self._sending:
            try:
                sent = self._apparatus.send(settings)
            except QwardenError as error:
                self._tell("alice", canonical_json({"block": block, "error": str(error)}))
                return
            told = sent.telemetry
            self._tell("bob", pack(block, sent.bob, Telemetry(photocurrent=told.photocurrent)))
            self._tell("alice", pack(block, sent.alice, Telemetry(watchdog=told.watchdog)))

    def _tell(self, end: End, frame: bytes) -> None:
        with suppress(LinkLost, KeyError):  # an end that is away misses its photons
            self._ends[end].send(frame)


class FibreEnd:
    """An end's connection to its apparatus.

    Parameters
    ----------
    address : where the apparatus listens.
    end : which of the two it is.

    Raises
    ------
    LinkLost
        Nobody listens there.
    InputError
        What listens there is no apparatus.
    """

    def __init__(self, address: Address, end: End) -> None:
        self._transport = connect(address, 10.0)
        try:
            self._transport.send(canonical_json({"end": end}))
            origin = _asked(self._transport.receive(10.0), "origin")
            if origin not in ("simulated", "imported", "vendor"):
                raise InputError(NAME, f"origin {origin[:40]!r} is unknown")
        except QwardenError:
            self._transport.close()
            raise
        self.origin: Origin = origin  # type: ignore[assignment]

    def send(self, block: bytes, settings: Settings) -> None:
        """Have a block sent; Alice's to say. Raises `LinkLost`."""
        self._transport.send(canonical_json({"block": block.hex(), "settings": strict.to_json(settings)}))

    def record(self, block: bytes, timeout_s: float = PATIENCE_S) -> tuple[Record, Telemetry]:
        """Return what this end has of a block, and what its apparatus tells; earlier blocks are passed over.

        Raises
        ------
        LinkLost
            The apparatus has gone, or cannot send.
        InputError
            What it tells is malformed.
        """
        while True:
            frame = self._transport.receive(timeout_s)
            head = _document(frame.partition(b"\0")[0])
            if head.get("block") != block.hex():
                continue
            if "error" in head:
                raise LinkLost(f"the apparatus cannot send: {str(head['error'])[:300]}")
            return unpack(frame)

    def close(self) -> None:
        """Let go."""
        self._transport.close()


def pack(block: str, record: Record, telemetry: Telemetry) -> bytes:
    """Write what an end has of a block."""
    head: Json = {
        "block": block,
        "record": type(record).__name__,
        "pulses": record.pulses,
        "size": int(record.index.size),
        "telemetry": strict.to_json(telemetry),
    }
    arrays = [
        np.ascontiguousarray(getattr(record, name), dtype=np.dtype(dtype).newbyteorder("<")).tobytes()
        for name, (dtype, _) in _ARRAYS[type(record)].items()
    ]
    return b"".join((canonical_json(head), b"\0", *arrays))


def unpack(frame: bytes) -> tuple[Record, Telemetry]:
    """Read what `pack` wrote.

    Raises
    ------
    InputError
        It is malformed.
    """
    text, _, body = frame.partition(b"\0")
    head = _document(text)
    kind = next((kind for kind in _ARRAYS if kind.__name__ == head.get("record")), None)
    pulses, size = head.get("pulses"), head.get("size")
    if kind is None or type(pulses) is not int or type(size) is not int or min(pulses, size) < 0:
        raise InputError(NAME, "no record of a block")
    try:
        telemetry = strict.from_json(Telemetry, head.get("telemetry"))
    except strict.Mismatch as error:
        raise InputError(NAME, f"telemetry: {error}") from error
    if len(body) != size * sum(np.dtype(dtype).itemsize for dtype, _ in _ARRAYS[kind].values()):
        raise InputError(NAME, f"{len(body)} bytes are not {size} detections")
    arrays, at = {}, 0
    for name, (dtype, most) in _ARRAYS[kind].items():
        little = np.dtype(dtype).newbyteorder("<")
        arrays[name] = np.frombuffer(body, dtype=little, count=size, offset=at).astype(dtype)
        at += size * little.itemsize
        if name != "index" and size and int(arrays[name].max()) > most:
            raise InputError(NAME, f"{name}: a value above {most}")
    index = arrays["index"]
    if size and (index[0] < 0 or index[-1] >= pulses or (np.diff(index) < 1).any()):
        raise InputError(NAME, "index: not in order within the block")
    return kind(pulses=pulses, **arrays), telemetry


def _document(text: bytes) -> dict[str, Json]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(NAME, f"is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InputError(NAME, "expected an object")
    return document


def _asked(frame: bytes, field: str) -> str:
    value = _document(frame).get(field)
    if not isinstance(value, str):
        raise InputError(NAME, f"{field}: expected a text")
    return value


def _settings(frame: bytes) -> Settings:
    try:
        return strict.from_json(Settings, _document(frame).get("settings"))
    except (strict.Mismatch, QwardenError) as error:
        raise InputError(NAME, f"settings: {error}") from error
