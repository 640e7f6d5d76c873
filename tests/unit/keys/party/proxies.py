"""Somebody on the wire between two nodes: passes frames on, late, or not as they were."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from qwarden.keys.party.addresses import Address, listen, listening_at

Change = Callable[[bool, bytes], list[bytes]]
"""Takes whether Bob speaks, and a frame; returns the frames that go on in its place."""


class Proxy:
    """Stands where Alice seems to listen."""

    def __init__(
        self, behind: Address, change: Change = lambda _, frame: [frame], delay_s: float = 0.0
    ) -> None:
        self._behind, self._change, self._delay_s = behind, change, delay_s
        self._listener = listen(Address("127.0.0.1", 0))
        self.address = listening_at(self._listener)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                bob, _ = self._listener.accept()
                alice = socket.create_connection(self._behind)
                for stream in (bob, alice):
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for source, sink, by_bob in ((bob, alice, True), (alice, bob, False)):
                    threading.Thread(target=self._pump, args=(source, sink, by_bob), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, by_bob: bool) -> None:
        try:
            while frame := self._frame(source):
                time.sleep(self._delay_s)
                for one in self._change(by_bob, frame):
                    sink.sendall(struct.pack(">I", len(one)) + one)
        except OSError:
            pass
        finally:
            for stream in (source, sink):
                with suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)
                stream.close()

    def _frame(self, source: socket.socket) -> bytes:
        head = self._exactly(source, 4)
        return self._exactly(source, struct.unpack(">I", head)[0]) if head else b""

    @staticmethod
    def _exactly(source: socket.socket, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = source.recv(size - len(parts))
            if not part:
                return b""
            parts += part
        return bytes(parts)
