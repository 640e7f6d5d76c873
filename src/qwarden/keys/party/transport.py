"""How frames get from one end to the other: a queue within a process, a socket between two.

A transport carries whole frames in order and knows nothing of what they say. It neither hides nor proves
anything: that is what `channel` is for.
"""

from __future__ import annotations

import queue
import socket
import struct
import time
from typing import Final, Protocol

from qwarden.core.errors import InputError, ServiceError

FRAME_MOST: Final = 64 << 20
"""Longest frame that is taken in: a block of ten million detections."""

GREETING_MOST: Final = 64 << 10
"""Longest frame of somebody who has proved nothing yet."""

_LENGTH: Final = struct.Struct(">I")


class LinkLost(ServiceError):  # noqa: N818 - it is the finding, not a failure of the program
    """The other end has gone or does not answer in time."""


class Transport(Protocol):
    """Carries frames both ways; used by one thread at each end."""

    def send(self, frame: bytes) -> None:
        """Send one frame; raises `LinkLost`."""

    def receive(self, timeout_s: float) -> bytes:
        """Return the next frame; raises `LinkLost` if none comes in time."""

    def close(self) -> None:
        """Let go; the other end's `receive` then raises `LinkLost`."""


class QueueTransport:
    """An end of a duplex queue within this process; `pair` makes both.

    Examples
    --------
    >>> alice, bob = QueueTransport.pair()
    >>> alice.send(b"bases"), bob.receive(1.0)
    (None, b'bases')
    """

    def __init__(self, out: queue.SimpleQueue[bytes | None], into: queue.SimpleQueue[bytes | None]) -> None:
        self._out, self._into = out, into

    @classmethod
    def pair(cls) -> tuple[QueueTransport, QueueTransport]:
        """Return the two ends."""
        there: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        back: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        return cls(there, back), cls(back, there)

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        self._out.put(frame)

    def receive(self, timeout_s: float) -> bytes:
        """Return the next frame; raises `LinkLost` if none comes in time or the other end has closed."""
        try:
            frame = self._into.get(timeout=timeout_s)
        except queue.Empty:
            raise LinkLost(f"the other end says nothing for {timeout_s:g} s") from None
        if frame is None:
            raise LinkLost("the other end has closed the link")
        return frame

    def close(self) -> None:
        """Let go."""
        self._out.put(None)


class SocketTransport:
    """Frames over a connected stream socket: four bytes of length, then the frame.

    Parameters
    ----------
    most : longest frame that is taken in; who has not met the other end yet takes less.
    """

    def __init__(self, stream: socket.socket, most: int = FRAME_MOST) -> None:
        self._socket, self.most = stream, most
        if stream.family in (socket.AF_INET, socket.AF_INET6):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame: bytes) -> None:
        """Send one frame; raises `LinkLost`."""
        try:
            self._socket.sendall(_LENGTH.pack(len(frame)) + frame)
        except OSError as error:
            raise LinkLost(f"the other end does not take a message: {_text(error)}") from error

    def receive(self, timeout_s: float) -> bytes:
        """Return the next frame; raises `LinkLost`, or `InputError` for a frame beyond `most`."""
        deadline = time.monotonic() + timeout_s
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline))
        if length > self.most:
            raise InputError("key exchange", f"a message of {length:,} bytes; {self.most:,} at most")
        return self._exactly(length, deadline)

    def close(self) -> None:
        """Let go."""
        self._socket.close()

    def _exactly(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise LinkLost("the other end says nothing")
            try:
                self._socket.settimeout(left)
                part = self._socket.recv(min(size - len(parts), 1 << 20))
            except TimeoutError as error:
                raise LinkLost("the other end says nothing") from error
            except OSError as error:
                raise LinkLost(f"the link broke: {_text(error)}") from error
            if not part:
                raise LinkLost("the other end has closed the link")
            parts += part
        return bytes(parts)


def _text(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
