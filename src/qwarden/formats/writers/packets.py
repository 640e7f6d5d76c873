"""Captured packets as they were: their bytes, their link type, their time to the nanosecond.

Two formats, told by the file's name: classic pcap with nanoseconds (draft-ietf-opsawg-pcap), which every
tool reads and which has one link type; and, for names that end in ``.pcapng``, pcapng
(draft-ietf-opsawg-pcapng), which has an interface for each capture and link type that packets come from.
The file appears under its name only when it is complete.
"""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from qwarden.core.errors import InputError

_NS_MAGIC: Final = 0xA1B2_3C4D
_SNAP_LENGTH: Final = 262_144
_SECOND_NS: Final = 1_000_000_000
_LAST_PCAP_SECOND: Final = (1 << 32) - 1
_SECTION, _INTERFACE, _PACKET = 0x0A0D_0D0A, 1, 6
_NAME, _RESOLUTION = 2, 9
_AT_ONCE: Final = 1 << 20


class PacketWriter:
    """Writes captured packets; use it in a ``with``.

    Parameters
    ----------
    path : the capture to write, pcapng if its name ends in ``.pcapng``, else pcap; an existing one is
        replaced when the new one is complete. Only its owner may read it: it holds traffic.

    Attributes
    ----------
    packets : how many were written.

    Raises
    ------
    InputError
        The file cannot be written, or a pcap cannot hold the packets.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.packets = 0
        self._pcapng = self.path.suffix.lower() == ".pcapng"
        self._links: dict[tuple[str, int], int] = {}
        self._stream: BinaryIO | None = None
        self._part = Path()

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise InputError(self.path, "cannot be written: it is a directory, a file was expected")
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        except OSError as error:
            raise InputError(self.path, f"cannot be written: {error.strerror}") from error
        self._part, self._stream = Path(name), os.fdopen(handle, "wb", _AT_ONCE)
        if self._pcapng:
            self._put(_block(_SECTION, struct.pack("<IHHq", 0x1A2B_3C4D, 1, 0, -1)))
        return self

    def write(self, source: str, link: int, time_ns: int, wire_length: int, data: bytes | memoryview) -> None:
        """Write a packet of `source`, the name of the capture it is from."""
        if self._pcapng:
            self._put(self._pcapng_packet(source, link, time_ns, wire_length, data))
        else:
            self._put(self._pcap_header(link, time_ns, len(data), wire_length))
            self._put(data)
        self.packets += 1

    def _pcap_header(self, link: int, time_ns: int, length: int, wire_length: int) -> bytes:
        header = b""
        if not self._links:
            self._links["", link] = 0
            header = struct.pack("<IHHiIII", _NS_MAGIC, 2, 4, 0, 0, _SNAP_LENGTH, link)
        if ("", link) not in self._links:
            (_, first), *_ = self._links
            problem = f"a pcap has one link type, and the packets are of {first} and {link}"
            raise InputError(self.path, f"{problem}; give a name that ends in .pcapng")
        seconds, rest = divmod(time_ns, _SECOND_NS)
        if seconds > _LAST_PCAP_SECOND:
            problem = "a pcap has no times after 2106, and a packet is later"
            raise InputError(self.path, f"{problem}; give a name that ends in .pcapng")
        return header + struct.pack("<IIII", seconds, rest, length, wire_length)

    def _pcapng_packet(
        self, source: str, link: int, time_ns: int, wire_length: int, data: bytes | memoryview
    ) -> bytes:
        interface, before = self._links.get((source, link)), b""
        if interface is None:
            interface = self._links[source, link] = len(self._links)
            options = _option(_NAME, source.encode(errors="replace")[:255]) + _option(_RESOLUTION, b"\x09")
            head = struct.pack("<HHI", link, 0, _SNAP_LENGTH)
            before = _block(_INTERFACE, head + options + bytes(4))
        head = struct.pack("<IIIII", interface, time_ns >> 32, time_ns & 0xFFFF_FFFF, len(data), wire_length)
        return before + _block(_PACKET, head + bytes(data))

    def _put(self, data: bytes | memoryview) -> None:
        if self._stream is None:
            raise InputError(self.path, "is not open for writing")
        try:
            self._stream.write(data)
        except OSError as error:
            raise InputError(self.path, f"cannot be written: {error.strerror}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stream, self._stream = self._stream, None
        try:
            if stream is not None:
                stream.close()
            if kind is None:
                self._part.replace(self.path)
        except OSError as failed:
            if kind is None:
                raise InputError(self.path, f"cannot be written: {failed.strerror}") from failed
        finally:
            self._part.unlink(missing_ok=True)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
