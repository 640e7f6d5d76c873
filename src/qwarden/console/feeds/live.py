"""A live interface: packet socket -> sniffing process -> spool -> detector.

The socket is opened here, which takes CAP_NET_RAW, and handed to a process that has no rights left; what
it hears goes through the spool into one endless capture, so host windows hold as long as it runs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Final

from qwarden.console.feeds.pipe import piped
from qwarden.console.feeds.reading import SourceReader
from qwarden.console.feeds.sniffer import BLOCK, LARGEST
from qwarden.console.feeds.spool import Spool
from qwarden.core.errors import ServiceError, UsageError

# linux/if_packet.h, linux/if_ether.h, linux/if_arp.h: Python has no names for most of them.
_ALL_PROTOCOLS: Final = 0x0003
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS, _IGNORE_OUTGOING = 263, 1, 6, 23
_PROMISCUOUS: Final = 1
_SO_RCVBUFFORCE: Final = 33
_LOOPBACK: Final = 772
_LINKTYPES: Final = {1: 1, _LOOPBACK: 1, 65534: 101, 512: 101}
"""Kind of interface (ARPHRD_) to link type (LINKTYPE_): Ethernet, loopback, tunnels of bare IP."""

_SOCKET_BUFFER: Final = 32 << 20
_KEPT: Final = ("LD_LIBRARY_PATH",)
_LARGEST_BLOCK: Final = 4 * LARGEST


class LiveFeed:
    """Reads an interface until asked to stop.

    Parameters
    ----------
    interface : its name, as ``eth0``.
    home : its spool stands in ``HOME/spool/INTERFACE``.
    keep_bytes : what the spool may take.
    reader : reads it.
    """

    def __init__(self, interface: str, home: Path, keep_bytes: int, reader: SourceReader) -> None:
        self._interface, self._home, self._keep, self._reader = interface, home, keep_bytes, reader
        self._kernel_lost = 0

    def open(self) -> None:
        """Open the socket and start the process that reads it.

        Raises
        ------
        UsageError
            There is no such interface, it carries no packets that are read, or the right to capture
            is missing.
        """
        self._socket, linktype = open_interface(self._interface)
        self._spool = Spool(self._home / "spool" / self._interface, linktype, self._keep)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "qwarden.console.feeds.sniffer"],
            stdin=self._socket.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            cwd="/",
        )

    def run(self, stop: threading.Event) -> None:
        """Read until asked to stop.

        Raises
        ------
        ServiceError
            The interface has gone, or the process that reads it has ended.
        """
        recording = threading.Thread(target=self._record, name=f"record {self._interface}", daemon=True)
        ending = threading.Thread(target=self._end, args=[stop], name="end sniffing", daemon=True)
        recording.start()
        ending.start()
        self._reader.watch.doing = f"listening on {self._interface}"
        with piped(self._home / "streams" / self._interface, self._spool.follow()) as source:
            try:
                self._reader.read(
                    source,
                    packets=lambda: self._spool.packets - self._spool.lost,
                    lost=lambda: self._spool.lost + self._kernel_lost,
                )
            finally:
                self._process.kill()
                recording.join()
                self._socket.close()
        if not stop.is_set():
            raise ServiceError(f"{self._interface}: the interface has gone, or can no longer be read")

    def _record(self) -> None:
        """Move blocks from the process to the spool until it ends."""
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while header := _exactly(pipe, BLOCK.size):
                length, packets = BLOCK.unpack(header)
                if length > _LARGEST_BLOCK or not (block := _exactly(pipe, length)):
                    break
                self._spool.append(block, packets)
                self._kernel_lost += self._dropped()
        finally:
            self._process.kill()
            self._process.wait()
            self._spool.finish()

    def _dropped(self) -> int:
        """Return how many packets the kernel has dropped since the last call (packet(7))."""
        counts = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        return int(struct.unpack("II", counts)[1])

    def _end(self, stop: threading.Event) -> None:
        stop.wait()
        self._process.kill()


def open_interface(interface: str) -> tuple[socket.socket, int]:
    """Return a packet socket on an interface, and the link type of its packets.

    Raises
    ------
    UsageError
        As `LiveFeed.open` says.
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
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        with contextlib.suppress(OSError):  # past the system's limit, where that is allowed
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _SOCKET_BUFFER)
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


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    """Return `count` bytes, none if the pipe ends before."""
    data = pipe.read(count)
    return data if len(data) == count else b""
