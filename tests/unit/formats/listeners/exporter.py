"""Messages of flow exporters, byte by byte from the standards: NetFlow v5, RFC 3954, RFC 7011, RFC 5103."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

WHEN = 1_700_000_000
"""When messages are sent, seconds since the epoch."""

IN_BYTES, IN_PKTS, PROTOCOL, TCP_FLAGS, SRC_PORT, SRC_4, DST_PORT, DST_4 = 1, 2, 4, 6, 7, 8, 11, 12
LAST, FIRST, SRC_6, DST_6, ICMP_TYPE = 21, 22, 27, 28, 32
START_MS, END_MS, START_NS, END_NS, START_US, END_US, INIT_MS = 152, 153, 156, 157, 154, 155, 160
REVERSE = 29305

Field = tuple[int, int] | tuple[int, int, int]

PLAIN: list[Field] = [
    (SRC_4, 4), (DST_4, 4), (SRC_PORT, 2), (DST_PORT, 2), (PROTOCOL, 1), (TCP_FLAGS, 1), (IN_PKTS, 4),
    (IN_BYTES, 4), (FIRST, 4), (LAST, 4),
]  # fmt: skip
"""What most exporters of version 9 tell."""

MODERN: list[Field] = [
    (SRC_4, 4), (DST_4, 4), (SRC_PORT, 2), (DST_PORT, 2), (PROTOCOL, 1), (TCP_FLAGS, 1), (IN_PKTS, 4),
    (IN_BYTES, 4), (START_MS, 8), (END_MS, 8),
]  # fmt: skip
"""The same with times that need no clock of the exporter."""


def ip4(text: str) -> bytes:
    return socket.inet_aton(text)


def ip6(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text)


# Version 5


def v5_record(
    src: str = "10.0.0.1",
    dst: str = "10.0.0.2",
    sport: int = 40000,
    dport: int = 80,
    proto: int = 6,
    packets: int = 5,
    octets: int = 500,
    first: int = 1000,
    last: int = 2000,
    flags: int = 0x1B,
) -> bytes:
    """A record of version 5: 48 bytes; times in milliseconds of uptime."""
    return (
        ip4(src) + ip4(dst) + ip4("0.0.0.0")
        + struct.pack(">HHIIIIHH", 1, 2, packets, octets, first, last, sport, dport)
        + struct.pack(">BBBBHHBBH", 0, flags, proto, 0, 0, 0, 24, 24, 0)
    )  # fmt: skip


def v5(
    records: Sequence[bytes],
    sequence: int = 0,
    uptime: int = 10_000,
    when: int = WHEN,
    nanos: int = 0,
    sampling: int = 0,
    count: int | None = None,
    engine: int = 0,
) -> bytes:
    told = len(records) if count is None else count
    head = struct.pack(">HHIIIIBBH", 5, told, uptime, when, nanos, sequence, 0, engine, sampling)
    return head + b"".join(records)


# Version 9 and IPFIX


def field(specifier: Field) -> bytes:
    if len(specifier) == 3:
        return struct.pack(">HHI", specifier[0] | 0x8000, specifier[1], specifier[2])
    return struct.pack(">HH", *specifier)


def flowset(number: int, content: bytes, pad: int = 0) -> bytes:
    return struct.pack(">HH", number, 4 + len(content) + pad) + content + bytes(pad)


def template(number: int, fields: Sequence[Field]) -> bytes:
    """A template record."""
    return struct.pack(">HH", number, len(fields)) + b"".join(map(field, fields))


def templates9(*records: bytes) -> bytes:
    return flowset(0, b"".join(records))


def templates10(*records: bytes) -> bytes:
    return flowset(2, b"".join(records))


def options9(number: int, scope: Sequence[Field], fields: Sequence[Field]) -> bytes:
    head = struct.pack(">HHH", number, 4 * len(scope), 4 * len(fields))
    return flowset(1, head + b"".join(map(field, [*scope, *fields])))


def options10(number: int, scope: Sequence[Field], fields: Sequence[Field]) -> bytes:
    head = struct.pack(">HHH", number, len(scope) + len(fields), len(scope))
    return flowset(3, head + b"".join(map(field, [*scope, *fields])))


def v9(
    *sets: bytes, sequence: int = 0, uptime: int = 10_000, when: int = WHEN, source: int = 7, count: int = 1
) -> bytes:
    return struct.pack(">HHIIII", 9, count, uptime, when, sequence, source) + b"".join(sets)


def ipfix(
    *sets: bytes, sequence: int = 0, when: int = WHEN, domain: int = 7, length: int | None = None
) -> bytes:
    body = b"".join(sets)
    told = 16 + len(body) if length is None else length
    return struct.pack(">HHIII", 10, told, when, sequence, domain) + body


def plain(
    src: str = "10.0.0.1",
    dst: str = "10.0.0.2",
    sport: int = 40000,
    dport: int = 80,
    proto: int = 6,
    flags: int = 0x1B,
    packets: int = 5,
    octets: int = 500,
    first: int = 1000,
    last: int = 2000,
) -> bytes:
    """A data record of `PLAIN`."""
    ends = ip4(src) + ip4(dst) + struct.pack(">HH", sport, dport)
    return ends + struct.pack(">BBIIII", proto, flags, packets, octets, first, last)


def modern(
    src: str = "10.0.0.1",
    dst: str = "10.0.0.2",
    sport: int = 40000,
    dport: int = 80,
    proto: int = 6,
    flags: int = 0x1B,
    packets: int = 5,
    octets: int = 500,
    start: int = WHEN * 1000 - 9000,
    end: int = WHEN * 1000 - 8000,
) -> bytes:
    """A data record of `MODERN`; times in milliseconds since the epoch."""
    ends = ip4(src) + ip4(dst) + struct.pack(">HH", sport, dport)
    return ends + struct.pack(">BBIIQQ", proto, flags, packets, octets, start, end)


# What a receiver makes of them


def stream(*datagrams: bytes | tuple[str, bytes] | tuple[float, str, bytes]) -> bytes:
    """The capture that holds received datagrams, each with its exporter and its time if they matter."""
    whole = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 252)
    for each in datagrams:
        when, host, datagram = 0.0, "192.0.2.1", b""
        if isinstance(each, bytes):
            datagram = each
        elif len(each) == 2:
            host, datagram = each
        else:
            when, host, datagram = each
        whole += pdu(datagram, host, WHEN + when)
    return whole


def pdu(datagram: bytes, host: str = "192.0.2.1", when: float = WHEN, port: int = 9000) -> bytes:
    """A record: Wireshark's tags of an exported PDU, then the datagram."""
    address = ip6(host) if ":" in host else ip4(host)
    tags = struct.pack(">HH", 12, 8) + b"cflow\0\0\0"
    tags += struct.pack(">HH", 22 if ":" in host else 20, len(address)) + address
    tags += struct.pack(">HHI", 24, 4, 3) + struct.pack(">HHI", 25, 4, port) + struct.pack(">HH", 0, 0)
    size = len(tags) + len(datagram)
    return struct.pack("<IIII", int(when), int(when % 1 * 1e6), size, size) + tags + datagram


def beat(when: float) -> bytes:
    """An empty record."""
    return struct.pack("<IIII", int(WHEN + when), 0, 0, 0)
