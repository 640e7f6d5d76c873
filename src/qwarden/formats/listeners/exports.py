"""Flow exporters: UDP socket -> receiving process -> spool -> the reading process.

The socket is bound here, to the loopback unless told otherwise, since whoever reaches it can tell us of
flows that never were. The datagrams stand in the spool as a capture that Wireshark opens
(`netflow.pdu`); it can be read again like any other.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qwarden.core.errors import UsageError
from qwarden.formats.listeners.copier import Copier
from qwarden.formats.listeners.interface import enlarge
from qwarden.formats.listeners.listener import Heard
from qwarden.formats.listeners.netflow.pdu import LINKTYPE_UPPER_PDU, heartbeat
from qwarden.formats.listeners.spool import Spool

LOOPBACK: Final = "127.0.0.1"
_SO_MEMINFO, _DROPS = 55, 8
"""asm-generic/socket.h, linux/sock_diag.h: the ninth of its numbers counts dropped datagrams."""


def parse_listen(text: str, option: str = "--netflow") -> tuple[str, int]:
    """Return host and port of ``[HOST:]PORT``; the host is the loopback if there is none.

    Raises
    ------
    UsageError
        It is no such thing.

    >>> parse_listen("2055"), parse_listen("[::1]:9995"), parse_listen("0.0.0.0:4739")
    (('127.0.0.1', 2055), ('::1', 9995), ('0.0.0.0', 4739))
    """
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]:|([^\[\]:]+):)?(\d{1,5})", text, re.ASCII)
    if not found or int(found[3]) > 0xFFFF:
        raise UsageError(f"{option} {text}: expected a port, or HOST:PORT, as 2055 or [::1]:2055")
    return found[1] or found[2] or LOOPBACK, int(found[3])


class ExportListener:
    """Receives NetFlow and IPFIX; see `qwarden.formats.listeners.listener.Listener`.

    Parameters
    ----------
    host, port : where; port 0 takes any that is free.
    spool : the folder the datagrams go through.
    keep_bytes : what the spool may take.
    """

    def __init__(self, host: str, port: int, spool: Path, keep_bytes: int) -> None:
        self.name, self.heard = f"netflow {_shown(host, port)}", Heard()
        self._host, self._port, self._folder, self._keep = host, port, spool, keep_bytes
        self._given = 0

    @property
    def failed(self) -> str:
        """Why it ended although nobody stopped it."""
        return self._copier.failed

    @property
    def more(self) -> bool:
        """It is one stream without end."""
        return False

    def open(self) -> None:
        """Bind the socket and start the process that reads it.

        Raises
        ------
        UsageError
            The port is taken, or there is no such address here.
        """
        self._socket = self._bind()
        self._port = self._socket.getsockname()[1]
        self.name = f"netflow {_shown(self._host, self._port)}"
        self._spool = Spool(self._folder, LINKTYPE_UPPER_PDU, self._keep)
        module = "qwarden.formats.listeners.receiver"
        self._copier = Copier(module, self._socket, self._spool, self.heard, self._kernel_lost)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._host, self._port

    def blocks(self) -> Iterator[bytes]:
        """Yield the stream as it grows; while nothing comes, an empty record a second tells the time."""
        for block in self._copier.blocks(lambda: heartbeat(time.time_ns())):
            self.heard.datagrams = self._spool.packets - self._spool.lost
            yield block

    def settled(self, lines: int) -> None:
        """Datagrams are not taken again."""

    def died(self, done: int) -> None:
        """Count what the reader had been given and not read."""
        self._copier.died(done, self.heard.datagrams - self._given)
        self._given = self.heard.datagrams

    def stop(self) -> None:
        """End the receiving process."""
        self._copier.stop()

    def close(self) -> None:
        """Close the socket."""
        self._copier.close()

    def _bind(self) -> socket.socket:
        where = f"--netflow {_shown(self._host, self._port)}"
        try:
            family, *_, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        except OSError:
            raise UsageError(f"{where}: there is no such address") from None
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            enlarge(opened)
            opened.bind(address)
        except OSError as error:
            opened.close()
            raise UsageError(f"{where}: {(error.strerror or str(error)).lower()}") from error
        return opened

    def _kernel_lost(self) -> int:
        try:
            told = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_DROPS + 1))
        except OSError:  # Linux before 4.12
            return 0
        return int(struct.unpack(f"{len(told) // 4}I", told)[_DROPS]) if len(told) > 4 * _DROPS else 0


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
