"""The process that receives datagrams: a UDP socket in, blocks of records (`netflow.pdu`) out.

It is given the socket already bound on descriptor 0 and a pipe on descriptor 1, gives up every right
before it takes the first datagram (`qwarden.formats.sandbox.lockdown`), and does not look into them.
It ends when its parent does. Blocks are those of `sniffer`.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
import time
from typing import Final

from qwarden.formats.listeners.netflow.pdu import record, tags
from qwarden.formats.listeners.sniffer import BLOCK, write
from qwarden.formats.sandbox.lockdown import lock_down

_SOCKET: Final = 0
_LARGEST: Final = 65_535
_FULL: Final = 1 << 18
_FLUSH_MS: Final = 250
_MEMORY: Final = 32 << 20
_MOST_EXPORTERS: Final = 4096
_MAPPED: Final = "::ffff:"


def main() -> None:
    """Lock down, then copy until the pipe is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    opened = socket.socket(fileno=_SOCKET)
    lock_down(_MEMORY, also=("recvfrom",))
    poll = select.poll()
    poll.register(opened, select.POLLIN)
    before: dict[tuple[str, int], bytes] = {}
    while True:
        poll.poll(_FLUSH_MS)
        block, datagrams = _collect(opened, before)
        if datagrams:
            write(BLOCK.pack(len(block), datagrams) + block)


def _collect(opened: socket.socket, before: dict[tuple[str, int], bytes]) -> tuple[bytes, int]:
    """Return the datagrams that are there, as records, and how many."""
    block, datagrams = bytearray(), 0
    while len(block) < _FULL:
        try:
            datagram, sender = opened.recvfrom(_LARGEST)
        except BlockingIOError:
            break
        except OSError:  # what a peer's ICMP says of something we never sent
            continue
        sender = sender[:2]
        if sender not in before:
            if len(before) >= _MOST_EXPORTERS:
                before.clear()
            before[sender] = _tags(*sender)
        block += record(time.time_ns(), before[sender], datagram)
        datagrams += 1
    return bytes(block), datagrams


def _tags(host: str, port: int) -> bytes:
    host = host.partition("%")[0]
    if host.startswith(_MAPPED) and "." in host:  # an IPv4 exporter at a socket for both
        host = host.removeprefix(_MAPPED)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return tags((socket.inet_pton(family, host), port))


if __name__ == "__main__":
    try:
        main()
    except OSError:  # the parent reads no more
        sys.exit(1)
