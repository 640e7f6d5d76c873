"""The process that hears an interface: a packet socket in, blocks of pcap records out.

It is given the socket already open on descriptor 0 and a pipe on descriptor 1, gives up every right
before it reads the first packet (`qwarden.formats.sandbox.lockdown`), and does not look into packets.
It ends when its parent does.

A block is its length and its number of packets, 4 bytes each, and whole records.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import time
from typing import Final

from qwarden.formats.sandbox.lockdown import lock_down

BLOCK: Final = struct.Struct("<II")
RECORD: Final = struct.Struct("<IIII")
LARGEST: Final = 262_144
"""Bytes of a packet that are kept; no packet is longer."""

_SOCKET, _PIPE = 0, 1
_FULL: Final = 1 << 18
_FLUSH_MS: Final = 250
_MEMORY: Final = 32 << 20


def main() -> None:
    """Lock down, then copy until the pipe or the interface is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    lock_down(_MEMORY)
    poll = select.poll()
    poll.register(_SOCKET, select.POLLIN)
    while True:
        poll.poll(_FLUSH_MS)
        block, packets = _collect()
        if packets:
            write(BLOCK.pack(len(block), packets) + block)


def _collect() -> tuple[bytes, int]:
    """Return the packets that are there, as records, and how many."""
    block, packets = bytearray(), 0
    while len(block) < _FULL:
        try:
            frame = os.read(_SOCKET, LARGEST)
        except BlockingIOError:
            break
        seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
        block += RECORD.pack(seconds, nanos // 1000, len(frame), len(frame)) + frame
        packets += 1
    return bytes(block), packets


def write(data: bytes) -> None:
    """Write a block to the pipe, waiting until it has room."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(_PIPE, rest) :]


if __name__ == "__main__":
    try:
        main()
    except OSError:  # the parent reads no more, or the interface has gone: the pipe's end says so
        sys.exit(1)
