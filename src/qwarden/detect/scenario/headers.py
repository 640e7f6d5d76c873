"""Headers of many packets at once: one matrix of bytes for all packets of one layout.

Ethernet (with a VLAN tag or not), ARP (RFC 826), IPv4 (RFC 791), IPv6 with extension headers (RFC 8200),
TCP (RFC 9293) with options, UDP (RFC 768), ICMP (RFC 792, 4443). Transport checksums stay zero here:
they need the payload, see `assembly`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.scenario.wire import (
    ACK,
    ARP,
    ICMPV6,
    OPTIONS_MSS,
    OPTIONS_NONE,
    OPTIONS_PLAIN,
    OPTIONS_STAMPS,
    SYN,
    TCP,
    UDP,
    Talk,
)
from qwarden.formats.writers.pcap import RECORD_HEADER, record_headers

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

SYN_OPTIONS: Final = {OPTIONS_NONE: 0, OPTIONS_MSS: 4, OPTIONS_PLAIN: 12, OPTIONS_STAMPS: 20}
"""Bytes of TCP options in a SYN, by style."""


@dataclass(frozen=True)
class Talks:
    """The conversations as columns."""

    proto: I64
    version: I64
    vlan: I64
    options: I64
    mss: I64
    extension: list[bytes]
    extension_size: I64
    extension_proto: I64
    ip: npt.NDArray[np.uint64]  # (n, 2 ends, 2 halves)
    port: I64  # (n, 2 ends), as mac, ttl, window, isn, clock
    mac: I64
    ttl: I64
    window: I64
    isn: I64
    clock: I64

    @classmethod
    def of(cls, talks: list[Talk], noise: npt.NDArray[np.uint64]) -> Talks:
        """Return `talks` as columns; `noise` (n, 4) gives initial sequence numbers and clocks."""

        def column(values: list[int]) -> I64:
            return np.array(values, np.int64)

        def ends(field: str) -> I64:
            values = [(getattr(t.client, field), getattr(t.server, field)) for t in talks]
            return np.array(values, np.int64).reshape(-1, 2)

        half = (1 << 64) - 1
        halves = [
            (t.client.ip >> 64, t.client.ip & half, t.server.ip >> 64, t.server.ip & half) for t in talks
        ]
        return cls(
            proto=column([t.proto for t in talks]),
            version=column([t.version for t in talks]),
            vlan=column([t.vlan for t in talks]),
            options=column([t.options for t in talks]),
            mss=column([t.mss for t in talks]),
            extension=[t.extension for t in talks],
            extension_size=column([len(t.extension) for t in talks]),
            extension_proto=column([t.extension_proto for t in talks]),
            ip=np.array(halves, np.uint64).reshape(-1, 2, 2),
            port=ends("port"),
            mac=ends("mac"),
            ttl=ends("ttl"),
            window=ends("window"),
            isn=(noise[:, :2] & np.uint64(0x7FFF_FFFF)).astype(np.int64),
            clock=(noise[:, 2:] & np.uint64(0x3FFF_FFFF)).astype(np.int64),
        )


@dataclass(frozen=True)
class Fields:
    """The columns of one block that headers are made of."""

    p: dict[str, I64]
    t: Talks
    way: I64
    size: I64
    length: I64
    echo: I64
    start_us: int


def _put(headers: Bytes, at: int, values: I64 | int, width: int) -> None:
    """Write big-endian integers of `width` bytes into the columns from `at`."""
    for i in range(width):
        headers[:, at + i] = (values >> (8 * (width - 1 - i))) & 0xFF


def _put_half(headers: Bytes, at: int, values: npt.NDArray[np.uint64]) -> None:
    headers[:, at : at + 8] = values.astype(">u8").view(np.uint8).reshape(-1, 8)


def headers(f: Fields, rows: I64, link: int, options: int) -> Bytes:
    """Return record header, link, network and transport headers of `rows`; transport checksum 0."""
    c, way = f.p["conversation"][rows], f.way[rows]
    t, first, other = f.t, int(c[0]), 1 - f.way[rows]
    proto, version, extension = int(t.proto[first]), int(t.version[first]), int(t.extension_size[first])
    transport = 20 + options if proto == TCP else 0 if proto == ARP else 8
    network = {4: 20, 6: 40 + extension}.get(version, 28)
    h = np.zeros((len(rows), RECORD_HEADER + link + network + transport), np.uint8)
    h[:, :RECORD_HEADER] = record_headers(f.start_us + f.p["time"][rows], f.length[rows])
    at = RECORD_HEADER
    destination = t.mac[c, other]
    if proto == ARP:  # a request goes to everybody, a reply to who asked
        destination = np.where(f.p["flags"][rows] == 1, (1 << 48) - 1, destination)
    _put(h, at, destination, 6)
    _put(h, at + 6, t.mac[c, way], 6)
    if link == 18:
        _put(h, at + 12, 0x8100, 2)
        _put(h, at + 14, t.vlan[c], 2)
    at += link
    _put(h, at - 2, {4: 0x0800, 6: 0x86DD}.get(version, ARP), 2)
    if proto == ARP:
        _put_arp(h, at, f, rows, c)
        return h
    body = transport + f.size[rows]
    source, target = t.ip[c, way], t.ip[c, other]
    if version == 4:
        _put_ipv4(h, at, f, rows, proto, body)
        _put(h, at + 12, source[:, 1].astype(np.int64), 4)
        _put(h, at + 16, target[:, 1].astype(np.int64), 4)
        total = h[:, at : at + 20].astype(np.int64).reshape(-1, 10, 2) @ np.array([256, 1])
        _put(h, at + 10, folded(total.sum(axis=1)), 2)
    else:
        _put(h, at, 0x60000000 | (t.isn[c, way] & 0xFFFFF) * (proto != ICMPV6), 4)
        _put(h, at + 4, body + extension, 2)
        h[:, at + 6] = t.extension_proto[c] if extension else proto
        h[:, at + 7] = t.ttl[c, way]
        for half in (0, 1):
            _put_half(h, at + 8 + 8 * half, source[:, half])
            _put_half(h, at + 24 + 8 * half, target[:, half])
        if extension:
            known = b"".join(t.extension[i] for i in c.tolist())
            h[:, at + 40 : at + 40 + extension] = np.frombuffer(known, np.uint8).reshape(-1, extension)
    at += network
    if proto == TCP:
        _put_tcp(h, at, f, rows, c, options)
    elif proto == UDP:
        _put(h, at, t.port[c, way], 2)
        _put(h, at + 2, t.port[c, other], 2)
        _put(h, at + 4, body, 2)
    else:
        _put(h, at, f.p["flags"][rows], 2)
        _put(h, at + 4, f.p["seq"][rows], 4)
    return h


def _put_ipv4(h: Bytes, at: int, f: Fields, rows: I64, proto: int, body: I64) -> None:
    c, way = f.p["conversation"][rows], f.way[rows]
    h[:, at] = 0x45
    _put(h, at + 2, 20 + body, 2)
    _put(h, at + 4, (f.t.isn[c, way] + f.p["time"][rows] // 997) & 0xFFFF, 2)
    h[:, at + 6] = 0x40 if proto == TCP else 0
    h[:, at + 8] = f.t.ttl[c, way]
    h[:, at + 9] = proto


def _put_tcp(h: Bytes, at: int, f: Fields, rows: I64, c: I64, options: int) -> None:
    t, way, flags = f.t, f.way[rows], f.p["flags"][rows]
    _put(h, at, t.port[c, way], 2)
    _put(h, at + 2, t.port[c, 1 - way], 2)
    _put(h, at + 4, (t.isn[c, way] + f.p["seq"][rows]) & 0xFFFF_FFFF, 4)
    acknowledged = (t.isn[c, 1 - way] + f.p["ack"][rows]) & 0xFFFF_FFFF
    _put(h, at + 8, np.where(flags & ACK > 0, acknowledged, 0), 4)
    h[:, at + 12] = (5 + options // 4) << 4
    h[:, at + 13] = flags
    # A reader's buffer fills and empties a little; nothing depends on the exact value.
    window = t.window[c, way]
    moving = window - (f.p["ack"][rows] * 37 & 0x3F)
    _put(h, at + 14, np.where((flags & SYN > 0) | (window < 128), window, moving), 2)
    if not options:
        return
    clock = (f.p["time"][rows] // 1000 + t.clock[c, way]) & 0xFFFF_FFFF
    at += 20
    if options == 12 and int(t.options[c[0]]) == OPTIONS_STAMPS:
        _put(h, at, 0x0101_080A, 4)
        _put(h, at + 4, clock, 4)
        _put(h, at + 8, f.echo[rows], 4)
        return
    _put(h, at, 0x0204, 2)
    _put(h, at + 2, t.mss[c], 2)
    if options == 12:
        _put(h, at + 4, 0x0103_0308, 4)
        _put(h, at + 8, 0x0101_0402, 4)
    elif options == 20:
        _put(h, at + 4, 0x0402_080A, 4)
        _put(h, at + 8, clock, 4)
        _put(h, at + 12, f.echo[rows], 4)
        _put(h, at + 16, 0x0103_0307, 4)


def _put_arp(h: Bytes, at: int, f: Fields, rows: I64, c: I64) -> None:
    t, way, opcode = f.t, f.way[rows], f.p["flags"][rows]
    _put(h, at, 0x0001_0800, 4)
    _put(h, at + 4, 0x0604, 2)
    _put(h, at + 6, opcode, 2)
    _put(h, at + 8, t.mac[c, way], 6)
    _put(h, at + 14, t.ip[c, way, 1].astype(np.int64), 4)
    _put(h, at + 18, np.where(opcode == 1, 0, t.mac[c, 1 - way]), 6)
    _put(h, at + 24, t.ip[c, 1 - way, 1].astype(np.int64), 4)


def folded(total: I64) -> I64:
    """Return the Internet checksum of sums of 16-bit words (RFC 1071 2)."""
    for _ in range(3):
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
