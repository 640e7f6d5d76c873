"""From packets as numbers to packets as bytes, tens of thousands at a time.

Packets with the same header layout (VLAN or not, IPv4 or IPv6, transport, options) are one matrix:
every field is a column filled at once. The matrices are scattered into one buffer that already is
the capture file's layout, payloads are copied between them, and checksums are taken over the whole
buffer with one pass per byte parity (RFC 1071: the order of 16-bit words does not matter).

Payload bytes come from one pseudo-random pool, at a place given by connection and sequence number,
so that a retransmission repeats its bytes; known beginnings (`Wire.patches`) are laid over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.scenario.headers import I64, SYN_OPTIONS, Bytes, Fields, Talks, folded, headers
from qwarden.detect.scenario.wire import ARP, ICMP, OPTIONS_STAMPS, PACKET, SYN, TCP, UDP, Wire
from qwarden.formats.writers.pcap import RECORD_HEADER

POOL: Final = 1 << 20
_LARGEST_PAYLOAD: Final = 65_536
_CHUNK: Final = 1 << 14  # packets a block: bounds memory to some 30 MB
_SHORTEST_FRAME: Final = 60  # IEEE 802.3 3.2.8, without the frame check sequence


def packet_columns(wire: Wire) -> dict[str, I64]:
    """Return the captured packets of `wire` in order of time, a column a field."""
    table = np.array(wire.packets, np.int64).reshape(-1, len(PACKET))
    inside = (table[:, 0] >= 0) & (table[:, 0] < wire.duration_us)
    table = table[inside]
    table = table[np.argsort(table[:, 0], kind="stable")]
    return {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(PACKET)}


class Assembler:
    """Makes capture records of packets.

    Parameters
    ----------
    wire : the conversations and patches.
    packets : columns in order of time, see `packet_columns`.
    start_us : microseconds since the epoch at the capture's start.
    pool : pseudo-random payload bytes, `POOL` of them.
    noise : array (conversations, 4) of random numbers.
    padded : whether short frames show their Ethernet padding (a tap does, a sender's own card not).
    """

    def __init__(
        self,
        wire: Wire,
        packets: dict[str, I64],
        start_us: int,
        pool: bytes,
        noise: npt.NDArray[np.uint64],
        padded: bool,
    ) -> None:
        self.talks = Talks.of(wire.talks, noise)
        self.patches = wire.patches
        self.start_us = start_us
        self.padded = padded
        self.packets = packets
        self._pool = memoryview(pool + pool[:_LARGEST_PAYLOAD])
        self._echo = self._echoed_clocks()

    def _echoed_clocks(self) -> I64:
        """Return for every packet the peer's timestamp it echoes (RFC 7323 3.2), 0 before any."""
        p, talks = self.packets, self.talks
        order = np.argsort(p["conversation"], kind="stable")
        conversation, way = p["conversation"][order], p["way"][order]
        places = np.arange(len(order))
        clock = (p["time"][order] // 1000 + talks.clock[conversation, way]) & 0xFFFF_FFFF
        latest = [np.maximum.accumulate(np.where(way == w, places, -1)) for w in (0, 1)]
        heard = np.where(way == 0, latest[1], latest[0])
        fits = (heard >= 0) & (conversation[np.maximum(heard, 0)] == conversation)
        echo = np.zeros(len(order), np.int64)
        echo[order] = np.where(fits, clock[np.maximum(heard, 0)], 0)
        return echo

    def blocks(self) -> Iterator[tuple[int, memoryview]]:
        """Yield (packets, records) of one stretch of the capture after the other."""
        count = len(self.packets["time"])
        for start in range(0, count, _CHUNK):
            block = slice(start, min(start + _CHUNK, count))
            yield block.stop - block.start, self._block(block)

    def _block(self, block: slice) -> memoryview:
        p = {name: column[block] for name, column in self.packets.items()}
        t = self.talks
        c, way, size = p["conversation"], p["way"], p["size"]
        proto, version = t.proto[c], t.version[c]
        link = 14 + 4 * (t.vlan[c] > 0)
        network = np.select([version == 4, version == 6], [20, 40 + t.extension_size[c]], 28)
        options = np.where(t.options[c] == OPTIONS_STAMPS, 12, 0)
        for style, length in SYN_OPTIONS.items():
            options = np.where((t.options[c] == style) & (p["flags"] & SYN > 0), length, options)
        options = np.where(proto == TCP, options, 0)
        transport = np.select([proto == TCP, proto == ARP], [20 + options, 0], 8)
        header = link + network + transport
        length = header + size
        if self.padded:
            length = np.maximum(length, _SHORTEST_FRAME)
        ends = np.cumsum(RECORD_HEADER + length)
        starts = ends - length  # of the frames
        buffer = np.zeros(int(ends[-1]), np.uint8)
        fields = Fields(p, t, way, size, length, self._echo[block], self.start_us)

        layout = link * 8 + version
        for part in (proto, options, t.options[c], t.extension_size[c]):
            layout = layout * 4096 + part
        for value in np.unique(layout):
            rows = np.flatnonzero(layout == value)
            made = headers(fields, rows, int(link[rows[0]]), int(options[rows[0]]))
            at = starts[rows, None] + np.arange(-RECORD_HEADER, made.shape[1] - RECORD_HEADER)
            buffer[at] = made

        self._payloads(buffer, starts + header, p)
        _transport_checksums(buffer, starts, link, network, transport, size, fields)
        return buffer.data

    def _payloads(self, buffer: Bytes, at: I64, p: dict[str, I64]) -> None:
        view, pool, patches = buffer.data, self._pool, self.patches
        rows = np.flatnonzero(p["size"] > 0)
        place = (p["conversation"] * 7919 + p["way"] * 524_287 + p["seq"]) & (POOL - 1)
        columns = (at[rows], p["size"][rows], place[rows], p["patch"][rows])
        for start, size, source, patch in zip(*(column.tolist() for column in columns), strict=True):
            view[start : start + size] = pool[source : source + size]
            if patch:
                for offset, known in patches[patch]:
                    view[start + offset : start + offset + len(known)] = known


def _transport_checksums(
    buffer: Bytes, starts: I64, link: I64, network: I64, transport: I64, size: I64, f: Fields
) -> None:
    """Fill in the checksums of TCP, UDP, ICMP and ICMPv6."""
    c, way, t = f.p["conversation"], f.way, f.t
    rows = np.flatnonzero(transport > 0)
    begin, body = (starts + link + network)[rows], (transport + size)[rows]
    total = _sums(buffer, begin, body)
    proto, version, c, way = t.proto[c[rows]], t.version[c[rows]], c[rows], way[rows]
    addresses = np.zeros(len(rows), np.int64)
    for end in (0, 1):
        for half in (0, 1):
            value = t.ip[c, end, half]
            for shift in (0, 16, 32, 48):
                addresses += ((value >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
    total += np.where((version == 4) & (proto == ICMP), 0, addresses + body + proto)
    checksum = folded(total)
    checksum = np.where((proto == UDP) & (checksum == 0), 0xFFFF, checksum)  # RFC 768: 0 is "none"
    at = begin + np.select([proto == TCP, proto == UDP], [16, 6], 2)
    buffer[at] = checksum >> 8
    buffer[at + 1] = checksum & 0xFF


def _sums(buffer: Bytes, begin: I64, size: I64) -> I64:
    """Return the sum of the big-endian 16-bit words of each piece; an odd last byte is padded."""
    total = np.zeros(len(begin), np.int64)
    for parity in (0, 1):
        rows = np.flatnonzero((begin & 1) == parity)
        if not len(rows):
            continue
        words = buffer[parity : parity + (len(buffer) - parity) // 2 * 2].view(">u2")
        first = (begin[rows] - parity) // 2
        bounds = np.column_stack((first, first + size[rows] // 2)).ravel()
        # The last bound may be the end of the buffer, which reduceat does not take: a zero closes it.
        closed = np.append(words.astype(np.uint32), np.uint32(0))
        total[rows] = np.add.reduceat(closed, bounds, dtype=np.int64)[::2]
        odd = rows[(size[rows] & 1) == 1]
        total[odd] += buffer[begin[odd] + size[odd] - 1].astype(np.int64) << 8
    return total
