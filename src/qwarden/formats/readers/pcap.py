"""Framing of classic pcap (draft-ietf-opsawg-pcap): header and records.

A 24-byte header, then records of 16 bytes and the captured packet. The magic number gives byte
order and resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from qwarden.core.compiled import compiled
from qwarden.formats.readers.bytes import Bytes, any32
from qwarden.formats.readers.packets import FRAMED, MAX_PACKET, NO_BYTES, Packets

HEADER: Final = 24
RECORD_HEADER: Final = 16

MAGICS: Final = {
    b"\xa1\xb2\xc3\xd4": (1, 1_000),
    b"\xd4\xc3\xb2\xa1": (0, 1_000),
    b"\xa1\xb2\x3c\x4d": (1, 1),
    b"\x4d\x3c\xb2\xa1": (0, 1),
}
"""First four bytes -> (big endian, nanoseconds a tick)."""

# How a framing loop ended; framing of pcapng shares them.
MORE, FULL, ABSURD, NOT_A_BLOCK, BAD_TRAILER, BAD_ORDER, BAD_MAJOR = range(7)


@dataclass(frozen=True, slots=True)
class PcapHeader:
    """What the header of a pcap file says.

    >>> header = PcapHeader.parse(bytes.fromhex("d4c3b2a1 02000400 00000000 00000000 00000400 01000000"))
    >>> header.big, header.tick_ns, header.link, header.version
    (0, 1000, 1, (2, 4))
    """

    big: int
    tick_ns: int
    version: tuple[int, int]
    link: int

    @classmethod
    def parse(cls, header: bytes) -> PcapHeader:
        """Read the 24 bytes of `header`, whose magic the caller has recognised."""
        big, tick_ns = MAGICS[header[:4]]
        order: Literal["big", "little"] = "big" if big else "little"
        major, minor = (int.from_bytes(header[at : at + 2], order) for at in (4, 6))
        # The upper bits of the link type's word tell of frame check sequences, not of the link.
        link = int.from_bytes(header[20:24], order) & 0x03FF_FFFF
        return cls(big, tick_ns, (major, minor), link)


@compiled
def frame_pcap(
    data: Bytes, begin: int, end: int, base: int, big: int, tick_ns: int, link: int, packets: Packets
) -> tuple[int, int, int]:
    """Find the records in ``data[begin:end]``.

    Parameters
    ----------
    data, begin, end : the buffer and its filled part, which starts at a record.
    base : position in the capture of ``data[0]``.
    big, tick_ns, link : from the header.
    packets : filled from its first row.

    Returns
    -------
    Position in `data` behind the last whole record, packets found, and why it stopped: `MORE` bytes
    are needed, `packets` is `FULL`, or the next record's length is `ABSURD`.
    """
    at = begin
    count = 0
    while True:
        if count == packets.size:
            return at, count, FULL
        if end - at < RECORD_HEADER:
            return at, count, MORE
        caplen = any32(data, at + 8, big)
        if caplen > MAX_PACKET:
            return at, count, ABSURD
        if end - at - RECORD_HEADER < caplen:
            return at, count, MORE
        packet = packets[count]
        packet.at = base + at
        packet.offset = at + RECORD_HEADER
        packet.caplen = caplen
        packet.wirelen = any32(data, at + 12, big)
        packet.ts_ns = any32(data, at, big) * 1_000_000_000 + any32(data, at + 4, big) * tick_ns
        packet.link = link
        packet.verdict = FRAMED if caplen else NO_BYTES
        at += RECORD_HEADER + caplen
        count += 1
