"""Packets and captures made by hand, byte by byte, for the tests."""

from __future__ import annotations

import ipaddress
import os
import resource
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qwarden.formats.accounting import SourceReport
from qwarden.formats.flows import FLOW, Flows
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers.batches import RawBatch
from qwarden.formats.readers.opening import open_stream
from qwarden.formats.readers.sources import DescriptorSource

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
CLIENT6, SERVER6 = "2001:db8::1", "2001:db8::2"


# Headers


def ethernet(payload: bytes, ethertype: int, vlans: Sequence[tuple[int, int]] = ()) -> bytes:
    """A frame; `vlans` are (tag protocol, id), outermost first."""
    tags = b""
    for tag, vlan in vlans:
        tags += struct.pack(">HH", tag, vlan)
    macs = bytes.fromhex("020000000002020000000001")
    # A tag stands before the type it announces: its protocol takes the type's place.
    return macs + tags + struct.pack(">H", ethertype) + payload


def ipv4(
    payload: bytes,
    proto: int,
    src: str = CLIENT,
    dst: str = SERVER,
    *,
    options: bytes = b"",
    ident: int = 1,
    offset: int = 0,
    more: bool = False,
    ttl: int = 64,
    total: int | None = None,
) -> bytes:
    assert len(options) % 4 == 0
    assert offset % 8 == 0
    header = 20 + len(options)
    return (
        struct.pack(
            ">BBHHHBBH4s4s",
            0x40 | header // 4,
            0,
            header + len(payload) if total is None else total,
            ident,
            (0x2000 if more else 0) | offset // 8,
            ttl,
            proto,
            0,
            ipaddress.IPv4Address(src).packed,
            ipaddress.IPv4Address(dst).packed,
        )
        + options
        + payload
    )


def ipv6(
    payload: bytes,
    proto: int,
    src: str = CLIENT6,
    dst: str = SERVER6,
    *,
    hops: int = 64,
    length: int | None = None,
) -> bytes:
    return (
        struct.pack(
            ">IHBB16s16s",
            0x60000000,
            len(payload) if length is None else length,
            proto,
            hops,
            ipaddress.IPv6Address(src).packed,
            ipaddress.IPv6Address(dst).packed,
        )
        + payload
    )


def tcp(
    sport: int, dport: int, flags: int = ACK, data: bytes = b"", seq: int = 0, options: bytes = b""
) -> bytes:
    words = 5 + len(options) // 4
    return struct.pack(">HHIIBBHHH", sport, dport, seq, 0, words << 4, flags, 1000, 0, 0) + options + data


def udp(sport: int, dport: int, data: bytes = b"") -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data


def icmp(kind: int, code: int = 0, ident: int = 7, data: bytes = b"") -> bytes:
    return struct.pack(">BBHHH", kind, code, 0, ident, 1) + data


def arp(opcode: int, sender: str = CLIENT, target: str = SERVER) -> bytes:
    return (
        struct.pack(">HHBBH", 1, 0x0800, 6, 4, opcode)
        + bytes.fromhex("020000000001")
        + ipaddress.IPv4Address(sender).packed
        + bytes(6)
        + ipaddress.IPv4Address(target).packed
    )


def frame4(segment: bytes, proto: int, **of_ip: object) -> bytes:
    return ethernet(ipv4(segment, proto, **of_ip), 0x0800)  # type: ignore[arg-type]


def frame6(segment: bytes, proto: int, **of_ip: object) -> bytes:
    return ethernet(ipv6(segment, proto, **of_ip), 0x86DD)  # type: ignore[arg-type]


# Captures

Record = tuple[float, bytes]
"""Seconds and captured bytes."""


def pcap(
    records: Iterable[Record],
    *,
    big: bool = False,
    nano: bool = False,
    link: int = 1,
    snaplen: int = 262144,
    wirelens: dict[int, int] | None = None,
) -> bytes:
    """A pcap file; `wirelens` gives packets (by number from 0) another length on the wire."""
    order = ">" if big else "<"
    ticks = 1_000_000_000 if nano else 1_000_000
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)]
    for number, (seconds, packet) in enumerate(records):
        stamp = round(seconds * ticks)
        wire = (wirelens or {}).get(number, len(packet))
        parts += [struct.pack(order + "IIII", stamp // ticks, stamp % ticks, len(packet), wire), packet]
    return b"".join(parts)


def block(kind: int, body: bytes, *, big: bool = False) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(">I" if big else "<I", len(body) + 12)
    return struct.pack(">I" if big else "<I", kind) + length + body + length


def option(code: int, value: bytes, *, big: bool = False) -> bytes:
    return struct.pack(">HH" if big else "<HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(*, big: bool = False, length: int = -1) -> bytes:
    return block(0x0A0D0D0A, struct.pack((">" if big else "<") + "IHHq", 0x1A2B3C4D, 1, 0, length), big=big)


def interface(link: int = 1, snaplen: int = 0, options: bytes = b"", *, big: bool = False) -> bytes:
    return block(1, struct.pack((">" if big else "<") + "HHI", link, 0, snaplen) + options, big=big)


def enhanced(
    packet: bytes, stamp: int = 0, which: int = 0, *, options: bytes = b"", big: bool = False
) -> bytes:
    head = struct.pack(
        (">" if big else "<") + "IIIII", which, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet)
    )
    return block(6, head + packet + bytes(-len(packet) % 4) + options, big=big)


def old_packet(packet: bytes, stamp: int = 0, which: int = 0, *, big: bool = False) -> bytes:
    head = struct.pack(
        (">" if big else "<") + "HHIIII", which, 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet)
    )
    return block(2, head + packet, big=big)


def simple(packet: bytes, *, wirelen: int | None = None, big: bool = False) -> bytes:
    return block(
        3, struct.pack(">I" if big else "<I", len(packet) if wirelen is None else wirelen) + packet, big=big
    )


# Reading in this process


class Bytes:
    """A source that is a byte string, handed out in pieces of at most `piece`."""

    def __init__(self, data: bytes, piece: int = 1 << 30) -> None:
        self.fault = ""
        self._data = memoryview(data)
        self._piece = piece

    def readinto(self, view: memoryview) -> int:
        count = min(len(view), len(self._data), self._piece)
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        return count


def read_batches(
    data: bytes, settings: MeterSettings | None = None, piece: int = 1 << 30, **options: Any
) -> tuple[list[RawBatch], SourceReport]:
    """Read a capture in this process; return copies of its batches, and the report."""
    source = Bytes(data, piece)
    stream = open_stream(source, settings or MeterSettings(max_flows=1024), "capture", **options)
    batches = [replace(batch, flows=batch.flows.copy()) for batch in stream]
    return batches, stream.report


def read(
    data: bytes, settings: MeterSettings | None = None, piece: int = 1 << 30, **options: Any
) -> tuple[Flows, SourceReport]:
    """Read a capture in this process; return its flows in order of their first packet."""
    batches, report = read_batches(data, settings, piece, **options)
    parts = [batch.flows for batch in batches if batch.flows.size] or [np.empty(0, FLOW)]
    flows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return flows[np.argsort(flows["seq"])], report


def read_file(path: str | os.PathLike[str]) -> tuple[Flows, SourceReport]:
    """Read a capture file in this process."""
    fd = os.open(path, os.O_RDONLY)
    try:
        stream = open_stream(DescriptorSource(fd), MeterSettings(), str(path))
        flows = np.concatenate([batch.flows.copy() for batch in stream])
    finally:
        os.close(fd)
    return flows[np.argsort(flows["seq"])], stream.report


def resident_bytes() -> int:
    """The memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
