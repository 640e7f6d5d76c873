"""Suricata's events over a UNIX socket: Suricata connects, we listen.

Its ``eve-log`` has ``filetype: unix_stream`` or ``unix_dgram``. Several may connect; each one's lines stay
whole. While the reader cannot keep up we take nothing, so the sender waits or drops: Suricata says how
much in its log. It connects again by itself when we come back.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qwarden.core.errors import UsageError
from qwarden.formats.listeners.assembly import Assembly
from qwarden.formats.listeners.listener import Heard

_PIECE: Final = 1 << 18
_MOST_CONNECTIONS: Final = 64
_LOOK_EVERY_S: Final = 0.5
_MODE: Final = 0o660


class EveSocketListener:
    """Hears a UNIX socket; see `qwarden.formats.listeners.listener.Listener`.

    Parameters
    ----------
    path : where the socket appears (mode 0660); one that nobody listens on any more is replaced.
    datagrams : it is one of datagrams (``unix_dgram``), each an event.
    """

    def __init__(self, path: Path, *, datagrams: bool = False) -> None:
        self.name, self.heard, self.failed = f"unix:{path}", Heard(), ""
        self._path, self._datagrams = path, datagrams
        self._stopping = threading.Event()
        self._inode = 0
        self._connections: dict[socket.socket, Assembly] = {}
        self._given = 0

    @property
    def more(self) -> bool:
        """It is one log without end."""
        return False

    def open(self) -> None:
        """Make the socket.

        Raises
        ------
        UsageError
            Somebody listens there, the folder is not there, or something else has the name.
        """
        where = f"--eve-socket {self._path}"
        kind = socket.SOCK_DGRAM if self._datagrams else socket.SOCK_STREAM
        self._clear_the_way(where, kind)
        self._socket = socket.socket(socket.AF_UNIX, kind)
        try:
            before = os.umask(0o777 & ~_MODE)
            try:
                self._socket.bind(str(self._path))
            finally:
                os.umask(before)
            if not self._datagrams:
                self._socket.listen(8)
        except OSError as error:
            self._socket.close()
            raise UsageError(f"{where}: {(error.strerror or str(error)).lower()}") from error
        self._socket.setblocking(False)
        self._inode = self._path.stat().st_ino
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def _clear_the_way(self, where: str, kind: socket.SocketKind) -> None:
        try:
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise UsageError(f"{where}: something else has that name; expected a socket or nothing")
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"{where}: {(error.strerror or str(error)).lower()}") from error
        with socket.socket(socket.AF_UNIX, kind) as trial:
            try:
                trial.connect(str(self._path))
            except ConnectionRefusedError:
                self._path.unlink()  # left by one that ended without a word
                return
            except OSError as error:
                problem = (error.strerror or str(error)).lower()
                raise UsageError(f"{where}: another kind of socket has that name ({problem})") from error
        raise UsageError(f"{where}: another process listens there")

    def blocks(self) -> Iterator[bytes]:
        """Yield whole lines as they come; nothing, now and then, while none do."""
        self._given = self.heard.lines
        while not self._stopping.is_set():
            ready = self._selector.select(_LOOK_EVERY_S)
            if not ready:
                yield b""
            for key, _ in ready:
                opened = key.fileobj
                assert isinstance(opened, socket.socket)
                if opened is not self._socket:
                    yield from self._hear(opened)
                elif self._datagrams:
                    yield from self._hear_datagrams()
                else:
                    self._accept()
        for opened in list(self._connections):  # what was sent before we stopped
            yield from self._hear(opened, to_the_end=True)
        if self._datagrams:
            yield from self._hear_datagrams()

    def settled(self, lines: int) -> None:
        """What was sent is not sent again."""

    def died(self, done: int) -> None:
        """Count what the reader had been given and not read."""
        self.heard.lost += max(self.heard.lines - self._given - done, 0)
        self.heard.note("the process reading it has ended; the lines it held are lost")

    def stop(self) -> None:
        """Come to an end after what is there now."""
        self._stopping.set()

    def close(self) -> None:
        """Close all connections and take the socket away."""
        for opened in list(self._connections):
            self._hang_up(opened)
        self._selector.close()
        self._socket.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            opened, _ = self._socket.accept()
            if len(self._connections) >= _MOST_CONNECTIONS:
                self.heard.note(f"more than {_MOST_CONNECTIONS} connections at once; the others are refused")
                opened.close()
                return
            opened.setblocking(False)
            self._connections[opened] = Assembly()
            self._selector.register(opened, selectors.EVENT_READ)

    def _hear(self, opened: socket.socket, to_the_end: bool = False) -> Iterator[bytes]:
        assembly = self._connections[opened]
        while True:
            try:
                piece = opened.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            lines = assembly.take(piece) if piece else assembly.end()
            self.heard.lines += lines.count(b"\n")
            if lines:
                yield lines
            if not piece:
                self._hang_up(opened)
            if not piece or not to_the_end:
                return

    def _hear_datagrams(self) -> Iterator[bytes]:
        while True:
            try:
                event = self._socket.recv(_PIECE)
            except OSError:
                return
            if event:
                event = event if event.endswith(b"\n") else event + b"\n"
                self.heard.lines += event.count(b"\n")
                yield event

    def _hang_up(self, opened: socket.socket) -> None:
        del self._connections[opened]
        self._selector.unregister(opened)
        opened.close()
