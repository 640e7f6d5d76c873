"""A live interface: packet socket -> sniffing process -> spool -> the reading process.

The socket is opened here, which takes CAP_NET_RAW, and handed to a process that has no rights left; what
it hears goes through the spool into one endless capture, so host windows hold as long as it runs.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qwarden.core.errors import UsageError
from qwarden.formats.listeners.copier import Copier
from qwarden.formats.listeners.listener import Heard
from qwarden.formats.listeners.spool import Spool

# linux/if_packet.h, linux/if_ether.h, linux/if_arp.h: Python has no names for most of them.
_ALL_PROTOCOLS: Final = 0x0003
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS, _IGNORE_OUTGOING = 263, 1, 6, 23
_PROMISCUOUS: Final = 1
_SO_RCVBUFFORCE: Final = 33
_LOOPBACK: Final = 772
_LINKTYPES: Final = {1: 1, _LOOPBACK: 1, 65534: 101, 512: 101}
"""Kind of interface (ARPHRD_) to link type (LINKTYPE_): Ethernet, loopback, tunnels of bare IP."""

SOCKET_BUFFER: Final = 32 << 20


NAME: Final = "interface "
"""What the name of such a source begins with; the interface's own follows."""


def spool_folder(home: Path, interface: str) -> Path:
    """Return where the packets of an interface are kept."""
    return home / "spool" / interface


class InterfaceListener:
    """Hears an interface; see `qwarden.formats.listeners.listener.Listener`.

    Parameters
    ----------
    interface : its name, as ``eth0``.
    spool : the folder its packets go through.
    keep_bytes : what the spool may take.
    """

    def __init__(self, interface: str, spool: Path, keep_bytes: int) -> None:
        self.name, self.heard = f"{NAME}{interface}", Heard()
        self._interface, self._folder, self._keep = interface, spool, keep_bytes
        self._dropped = 0
        self._given = 0

    @property
    def failed(self) -> str:
        """Why it ended although nobody stopped it."""
        return self._copier.failed

    @property
    def more(self) -> bool:
        """It is one capture without end."""
        return False

    def open(self) -> None:
        """Open the socket and start the process that reads it.

        Raises
        ------
        UsageError
            There is no such interface, it carries no packets that are read, or the right to capture
            is missing.
        """
        self._socket, linktype = open_interface(self._interface)
        self._spool = Spool(self._folder, linktype, self._keep)
        module = "qwarden.formats.listeners.sniffer"
        self._copier = Copier(
            module, self._socket, self._spool, self.heard, self._kernel_lost, self._is_there
        )

    def blocks(self) -> Iterator[bytes]:
        """Yield the capture as it grows."""
        self._given = 0
        for block in self._copier.blocks(lambda: b""):
            self.heard.packets = self._spool.packets - self._spool.lost
            yield block

    def settled(self, lines: int) -> None:
        """Packets are not taken again."""

    def died(self, done: int) -> None:
        """Count what the reader had been given and not read."""
        self._copier.died(done, self.heard.packets - self._given)
        self._given = self.heard.packets

    def stop(self) -> None:
        """End the sniffing process."""
        self._copier.stop()

    def close(self) -> None:
        """Close the socket."""
        self._copier.close()

    def _kernel_lost(self) -> int:
        """Return how many packets the kernel has dropped (packet(7); reading the counts resets them)."""
        with contextlib.suppress(OSError):
            counts = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
            self._dropped += struct.unpack("II", counts)[1]
        return self._dropped

    def _is_there(self) -> bool:
        return self._interface in [name for _, name in socket.if_nameindex()]


def open_interface(interface: str) -> tuple[socket.socket, int]:
    """Return a packet socket on an interface, and the link type of its packets.

    Raises
    ------
    UsageError
        As `InterfaceListener.open` says.
    """
    names = [name for _, name in socket.if_nameindex()]
    if interface not in names:
        raise UsageError(f"--interface {interface}: there is none; there are {', '.join(names)}")
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0 hears nothing
    except PermissionError:
        raise UsageError(
            f"--interface {interface}: capturing takes the capability CAP_NET_RAW. Run as root, or give "
            "the service that right alone (systemd: AmbientCapabilities=CAP_NET_RAW)"
        ) from None
    try:
        opened.setblocking(False)
        enlarge(opened)
        opened.bind((interface, 0))
        kind = opened.getsockname()[3]
        if kind not in _LINKTYPES:
            raise UsageError(f"--interface {interface}: interfaces of kind {kind} are not read")
        index = socket.if_nametoindex(interface)
        if kind == _LOOPBACK:  # it shows each packet twice, going out and coming in
            opened.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        with contextlib.suppress(OSError):  # what is not for us is not seen then
            membership = struct.pack("iHH8s", index, _PROMISCUOUS, 0, b"")
            opened.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        opened.bind((interface, _ALL_PROTOCOLS))  # from here on it hears
    except OSError as error:
        opened.close()
        raise UsageError(f"--interface {interface}: {error.strerror}") from error
    except UsageError:
        opened.close()
        raise
    return opened, _LINKTYPES[kind]


def enlarge(opened: socket.socket) -> None:
    """Give a socket as large a buffer as may be had."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    with contextlib.suppress(OSError):  # past the system's limit, where that is allowed
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, SOCKET_BUFFER)
