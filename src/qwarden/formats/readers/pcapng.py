"""Framing of pcapng (draft-ietf-opsawg-pcapng): sections, interfaces, packets.

A file is a row of blocks ``type, length, body, length``. A section header gives the byte order and
forgets the interfaces of the section before; an interface block gives link type and clock
resolution; packets come as enhanced, simple or (obsolete) packet blocks. Everything else is skipped.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.formats.readers.bytes import Bytes, any16, any32
from qwarden.formats.readers.packets import (
    BAD_BLOCK,
    FRAMED,
    MAX_PACKET,
    NO_BYTES,
    NO_INTERFACE,
    Packets,
)
from qwarden.formats.readers.pcap import (
    ABSURD,
    BAD_MAJOR,
    BAD_ORDER,
    BAD_TRAILER,
    FULL,
    MORE,
    NOT_A_BLOCK,
)

MAGIC: Final = b"\x0a\x0d\x0d\x0a"

SECTION_HEADER: Final = 0x0A0D0D0A
INTERFACE: Final = 1
OLD_PACKET: Final = 2
SIMPLE_PACKET: Final = 3
ENHANCED_PACKET: Final = 6

MAX_BLOCK: Final = 1 << 20
"""Longest block read as a whole (packets, interfaces, sections); others are skipped at any length."""
MAX_INTERFACES: Final = 4096
"""Interfaces kept a section; a packet of a further one is malformed."""
MAX_TIME_NS: Final = (1 << 62) - 1
"""Times past it (the year 2116) are held there, so that sums of times cannot overflow."""

_SECOND: Final = 1_000_000_000

SECTION: Final = np.dtype(
    [
        ("big", np.int64),
        ("interfaces", np.int64),
        ("skip", np.int64),  # bytes left of a block that is skipped
        ("last_ns", np.int64),  # time of the last packet: a simple packet block has none
    ]
)
INTERFACE_ROW: Final = np.dtype(
    [
        ("link", np.int64),
        ("snaplen", np.int64),
        ("binary", np.int64),  # resolution is 2**-exponent rather than 10**-exponent seconds
        ("exponent", np.int64),
        ("offset_ns", np.int64),
    ]
)
Records = npt.NDArray[np.void]


def fresh_section() -> tuple[Records, Records]:
    """Return the state `frame_pcapng` keeps between calls: section and interface table."""
    return np.zeros(1, SECTION), np.zeros(MAX_INTERFACES, INTERFACE_ROW)


@compiled
def _nanoseconds(high: int, low: int, binary: int, exponent: int, offset_ns: int) -> int:
    """Return a 64-bit time stamp in nanoseconds, held within 0 .. `MAX_TIME_NS`."""
    stamp = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    second = np.uint64(_SECOND)
    if binary:
        if exponent >= 64:
            whole, part = np.uint64(0), np.uint64(0)
        else:
            shift = np.uint64(exponent)
            whole = stamp >> shift
            part = stamp - (whole << shift)
            if exponent > 34:  # keep part * 1e9 within 64 bits
                part >>= np.uint64(exponent - 34)
                shift = np.uint64(34)
            part = (part * second) >> shift
    elif exponent > 9:
        divisor = np.uint64(1)
        for _ in range(min(exponent, 28) - 9):
            divisor *= np.uint64(10)
        ns = stamp // divisor
        whole = ns // second
        part = ns - whole * second
    else:
        units = np.uint64(1)
        for _ in range(exponent):
            units *= np.uint64(10)
        whole = stamp // units
        part = (stamp - whole * units) * (second // units)
    limit = np.uint64(MAX_TIME_NS) // second
    if whole >= limit:
        whole, part = limit, np.uint64(0)
    time = int(np.int64(whole)) * _SECOND + int(np.int64(part)) + offset_ns
    return int(min(max(time, 0), MAX_TIME_NS))


@compiled
def _add_interface(data: Bytes, at: int, length: int, big: int, row: Records) -> None:
    """Read an interface block into `row` (one row); options that overrun the block end the list."""
    interface = row[0]
    interface.link = any16(data, at + 8, big)
    interface.snaplen = any32(data, at + 12, big)
    interface.binary = 0
    interface.exponent = 6
    interface.offset_ns = 0
    option = at + 16
    end = at + length - 4
    while end - option >= 4:
        code = any16(data, option, big)
        size = any16(data, option + 2, big)
        option += 4
        if code == 0 or size > end - option:
            break
        if code == 9 and size >= 1:  # if_tsresol
            interface.binary = data[option] >> 7
            interface.exponent = data[option] & 0x7F
        elif code == 14 and size >= 8:  # if_tsoffset, signed seconds
            first, second = any32(data, option, big), any32(data, option + 4, big)
            high, low = (first, second) if big else (second, first)
            seconds = (high << 32) | low
            limit = MAX_TIME_NS // _SECOND
            interface.offset_ns = min(max(seconds, -limit), limit) * _SECOND
        option += (size + 3) & ~3


@compiled
def frame_pcapng(
    data: Bytes, begin: int, end: int, base: int, section: Records, interfaces: Records, packets: Packets
) -> tuple[int, int, int]:
    """Find the packet blocks in ``data[begin:end]``, which starts at a block or within a skipped one.

    Parameters and result are those of `frame_pcap`, with the state of `fresh_section` in place of
    the header. It also stops at what is `NOT_A_BLOCK` (an impossible length), at lengths that differ
    (`BAD_TRAILER`), at a section of unknown byte order (`BAD_ORDER`) or version (`BAD_MAJOR`).
    """
    state = section[0]
    at = begin
    count = 0
    while True:
        if state.skip > 0:
            step = min(state.skip, end - at)
            at += step
            state.skip -= step
        if count == packets.size:
            return at, count, FULL
        if end - at < 12:
            return at, count, MORE
        kind = any32(data, at, state.big)
        if kind == SECTION_HEADER:
            if any32(data, at + 8, 0) == 0x1A2B3C4D:
                state.big = 0
            elif any32(data, at + 8, 1) == 0x1A2B3C4D:
                state.big = 1
            else:
                return at, count, BAD_ORDER
        big = state.big
        length = any32(data, at + 4, big)
        if length < 12 or length % 4 != 0:
            return at, count, NOT_A_BLOCK
        is_packet = kind in (ENHANCED_PACKET, SIMPLE_PACKET, OLD_PACKET)
        if not is_packet and kind not in (SECTION_HEADER, INTERFACE):
            state.skip = length
            continue
        if length > MAX_BLOCK:
            return at, count, ABSURD
        if end - at < length:
            return at, count, MORE
        if any32(data, at + length - 4, big) != length:
            return at, count, BAD_TRAILER

        if kind == SECTION_HEADER:
            if length < 28:
                return at, count, NOT_A_BLOCK
            if any16(data, at + 12, big) != 1:
                return at, count, BAD_MAJOR
            state.interfaces = 0
            state.last_ns = 0
        elif kind == INTERFACE:
            if length < 20:
                return at, count, NOT_A_BLOCK
            if state.interfaces < interfaces.size:
                which = state.interfaces
                _add_interface(data, at, length, big, interfaces[which : which + 1])
            state.interfaces += 1
        else:
            packet = packets[count]
            packet.at = base + at
            packet.offset = at
            packet.caplen = 0
            packet.wirelen = 0
            packet.ts_ns = state.last_ns
            packet.link = -1
            packet.verdict = _frame_packet(data, at, length, kind, state, interfaces, packet)
            state.last_ns = packet.ts_ns
            count += 1
        at += length


@compiled
def _frame_packet(
    data: Bytes, at: int, length: int, kind: int, state: Any, interfaces: Records, packet: Any
) -> int:
    """Fill `packet` from the packet block at `at`; return its verdict."""
    big = state.big
    header = 12 if kind == SIMPLE_PACKET else 28
    if length < header + 4:
        return BAD_BLOCK
    room = length - header - 4
    which = 0
    if kind == ENHANCED_PACKET:
        which = any32(data, at + 8, big)
    elif kind == OLD_PACKET:
        which = any16(data, at + 8, big)
    if which >= min(state.interfaces, interfaces.size):
        return NO_INTERFACE
    interface = interfaces[which]
    packet.link = interface.link
    packet.offset = at + header
    if kind == SIMPLE_PACKET:
        packet.wirelen = any32(data, at + 8, big)
        caplen = min(packet.wirelen, room)
        if interface.snaplen > 0:
            caplen = min(caplen, interface.snaplen)
    else:
        packet.ts_ns = _nanoseconds(
            any32(data, at + 12, big),
            any32(data, at + 16, big),
            interface.binary,
            interface.exponent,
            interface.offset_ns,
        )
        caplen = any32(data, at + 20, big)
        packet.wirelen = any32(data, at + 24, big)
    if caplen > room or caplen > MAX_PACKET:
        return BAD_BLOCK
    packet.caplen = caplen
    return FRAMED if caplen else NO_BYTES
