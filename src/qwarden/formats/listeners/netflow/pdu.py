"""Received datagrams as records of a capture: link type 252, LINKTYPE_WIRESHARK_UPPER_PDU.

A record is a list of tags (16-bit number, 16-bit length, value, big-endian) that ends with a zero tag,
then the datagram. The tags name the dissector (``cflow``), the exporter's address and its port, so
Wireshark shows such a file as the NetFlow it is (Wireshark's ``exported_pdu_tags.h``). Nothing of the
datagram itself is looked at to write one.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from qwarden.formats.readers.fields import Malformed

LINKTYPE_UPPER_PDU: Final = 252

LARGEST: Final = 1 << 17
"""Bytes of a record at most: a datagram of 64 KiB and its tags."""

_END, _DISSECTOR, _IPV4_SRC, _IPV6_SRC, _PORT_TYPE, _SRC_PORT = 0, 12, 20, 22, 24, 25
_UDP: Final = 3
_TAG: Final = struct.Struct(">HH")
_RECORD: Final = struct.Struct("<IIII")
_HOST_SIZE: Final = {_IPV4_SRC: 4, _IPV6_SRC: 16}

Exporter = tuple[bytes, int]
"""Who sent a datagram: its address, 4 or 16 bytes, and its port."""


def exporter_name(exporter: Exporter) -> str:
    """Return what reports call an exporter.

    >>> exporter_name((bytes([192, 0, 2, 1]), 2055)), exporter_name((b"", 0))
    ('192.0.2.1 port 2055', 'an exporter that is not told')
    """
    host, port = exporter
    if not host:
        return "an exporter that is not told"
    family = socket.AF_INET if len(host) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, host)} port {port}"


def tags(exporter: Exporter) -> bytes:
    """Return what stands before each datagram of an exporter."""
    host, port = exporter
    kind = _IPV4_SRC if len(host) == 4 else _IPV6_SRC
    return b"".join(
        _TAG.pack(number, len(value)) + value
        for number, value in (
            (_DISSECTOR, b"cflow\0\0\0"),
            (kind, host),
            (_PORT_TYPE, struct.pack(">I", _UDP)),
            (_SRC_PORT, struct.pack(">I", port)),
            (_END, b""),
        )
    )


def record(time_ns: int, before: bytes, datagram: bytes) -> bytes:
    """Return a capture's record (little-endian, microseconds) of a datagram.

    Parameters
    ----------
    time_ns : when it was received, nanoseconds since the epoch.
    before : its exporter's `tags`.
    """
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    size = len(before) + len(datagram)
    return _RECORD.pack(seconds, nanos // 1000, size, size) + before + datagram


def heartbeat(time_ns: int) -> bytes:
    """Return an empty record: nothing was received until `time_ns`."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return _RECORD.pack(seconds, nanos // 1000, 0, 0)


def split(data: bytes) -> tuple[Exporter, bytes]:
    """Return the exporter and the datagram of a record.

    Raises
    ------
    Malformed : the tags do not end, or the dissector they name is another.
    """
    at, host, port = 0, b"", 0
    while True:
        if at + _TAG.size > len(data):
            raise Malformed("the tags before the datagram do not end")
        number, size = _TAG.unpack_from(data, at)
        at += _TAG.size
        value = data[at : at + size]
        if len(value) != size:
            raise Malformed("a tag before the datagram is longer than the record")
        at += size
        if number == _END:
            return (host, port), data[at:]
        if number == _DISSECTOR and value.rstrip(b"\0") not in (b"cflow", b"netflow", b"ipfix"):
            name = "".join(char if char.isprintable() else "?" for char in value[:20].decode("latin-1"))
            raise Malformed(f"the record holds {name.rstrip('?')!r}; expected NetFlow ('cflow')")
        if size == _HOST_SIZE.get(number):
            host = value
        elif number == _SRC_PORT and size == 4:
            port = int.from_bytes(value, "big") & 0xFFFF
