"""Compile, or load from the cache, everything a reader runs."""

from __future__ import annotations

import struct

from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers.opening import open_stream

# One UDP datagram, its checksums left out: it sends every compiled function on its way once.
_DATAGRAM = bytes.fromhex(
    "02000000000102000000000208004500001c000100004011000a0a0000010a000002040000350008 0000"
)


class _Memory:
    """A source that is a byte string."""

    def __init__(self, data: bytes) -> None:
        self.fault = ""
        self._data = data

    def readinto(self, view: memoryview) -> int:
        """Fill `view`."""
        count = min(len(view), len(self._data))
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        return count


def _pcap() -> bytes:
    size = len(_DATAGRAM)
    return struct.pack("<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1, 0, 0, size, size) + _DATAGRAM


def _pcapng() -> bytes:
    section = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack("<IIHHII", 1, 20, 1, 0, 65535, 20)
    packet = _DATAGRAM + bytes(-len(_DATAGRAM) % 4)
    length = 32 + len(packet)
    head = struct.pack("<IIIIIII", 6, length, 0, 0, 0, len(_DATAGRAM), len(_DATAGRAM))
    return section + interface + head + packet + struct.pack("<I", length)


def warm_up() -> None:
    """Run every compiled function of the readers once; the first time this compiles them."""
    for capture in (_pcap(), _pcapng()):
        stream = open_stream(_Memory(capture), MeterSettings(max_flows=1))
        flows = sum(batch.flows.size for batch in stream)
        if flows != 1:
            raise RuntimeError(f"the capture readers are damaged: {stream.report}")
