"""Packets cut from a capture: framing and header walker as in `capture`, then a filter instead of a meter.

This runs inside the reading process (`qwarden.formats.sandbox.worker`). A packet is cut if a span of the
filter (`qwarden.formats.wanted`) has its two ends and its time. A datagram's later fragments have the ports
of its first one, as the meter finds them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.formats.flows import FLOW
from qwarden.formats.meter.fragments import fresh_fragments, recall_first, remember_first
from qwarden.formats.meter.hashing import hash_ends
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.meter.state import Rows, Slots
from qwarden.formats.readers.batches import RawBatch
from qwarden.formats.readers.bytes import Bytes
from qwarden.formats.readers.capture import BUFFER, CaptureStream
from qwarden.formats.readers.headers import walk
from qwarden.formats.readers.packets import CHUNK, FIRST, LATER, PACKET, PARSED, Packets
from qwarden.formats.readers.recognise import Recognised
from qwarden.formats.wanted import CUT, WANTED, Wanted

_ICMP, _ICMPV6 = 1, 58
_EMPTY: Final = -1
_NO_FLOWS: Final = np.empty(0, FLOW)


@compiled
def _same_ends(row: Any, other: Any) -> bool:
    return bool(
        row.proto == other.proto
        and row.a_lo == other.a_lo
        and row.b_lo == other.b_lo
        and row.a_key == other.a_key
        and row.b_key == other.b_key
        and row.a_hi == other.a_hi
        and row.b_hi == other.b_hi
    )


@compiled
def _tag(row: Any, seed: np.uint64) -> int:
    return int(hash_ends(row.a_hi, row.a_lo, row.a_key, row.b_hi, row.b_lo, row.b_key, row.proto, seed))


@compiled
def index_spans(rows: Rows, firsts: Slots, slots: Slots, seed: np.uint64) -> int:
    """Fill `firsts` with the first row of every pair of ends, and `slots` with their numbers by hash.

    Returns
    -------
    The number of pairs; ``firsts`` has one entry more, the number of rows.
    """
    count = 0
    mask = slots.size - 1
    for at in range(rows.size):
        if at > 0 and _same_ends(rows[at], rows[at - 1]):
            continue
        slot = _tag(rows[at], seed) & mask
        while slots[slot] != _EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = count
        firsts[count] = at
        count += 1
    firsts[count] = rows.size
    return count


@compiled
def _set_ends(end: Any, packet: Any) -> None:
    """Write a packet's two ends in ascending order."""
    src_key, dst_key = packet.src_key, packet.dst_key
    if src_key >= 0 and (packet.proto == _ICMP or packet.proto == _ICMPV6):
        src_key &= 0xFFFF  # flows do not keep the identifier
        dst_key &= 0xFFFF
    swapped = packet.src_hi > packet.dst_hi
    if packet.src_hi == packet.dst_hi:
        swapped = packet.src_lo > packet.dst_lo
        if packet.src_lo == packet.dst_lo:
            swapped = src_key > dst_key
    if swapped:
        end.a_hi, end.a_lo, end.a_key = packet.dst_hi, packet.dst_lo, dst_key
        end.b_hi, end.b_lo, end.b_key = packet.src_hi, packet.src_lo, src_key
    else:
        end.a_hi, end.a_lo, end.a_key = packet.src_hi, packet.src_lo, src_key
        end.b_hi, end.b_lo, end.b_key = packet.dst_hi, packet.dst_lo, dst_key
    end.proto = packet.proto


@compiled
def _is_wanted(end: Any, now: int, rows: Rows, firsts: Slots, slots: Slots, seed: np.uint64) -> bool:
    """Return whether a span of these ends holds the time `now`."""
    mask = slots.size - 1
    slot = _tag(end, seed) & mask
    while slots[slot] != _EMPTY:
        group = slots[slot]
        low, high = firsts[group], firsts[group + 1]
        if _same_ends(rows[low], end):
            while high - low > 1:  # the last span that begins by then
                middle = (low + high) // 2
                if rows[middle].start_ns <= now:
                    low = middle
                else:
                    high = middle
            return bool(rows[low].start_ns <= now <= rows[low].end_ns)
        slot = (slot + 1) & mask
    return False


@compiled
def select_packets(
    packets: Packets,
    count: int,
    rows: Rows,
    firsts: Slots,
    slots: Slots,
    fragments: Rows,
    ends: Rows,
    clock: Slots,
    idle_ns: int,
    seed: np.uint64,
    chosen: Slots,
) -> int:
    """Fill `chosen` with the numbers of the first `count` packets that are wanted; return how many are.

    Parameters
    ----------
    ends : one row of `WANTED`, to work in.
    clock : (2,) whether a packet came, and the latest one's time; kept between calls.
    """
    found = 0
    for i in range(count):
        packet = packets[i]
        if packet.verdict != PARSED:
            continue
        now = packet.ts_ns
        if clock[0] == 0 or now > clock[1] or now < clock[1] - idle_ns:
            clock[0], clock[1] = 1, now
        if packet.fragment == FIRST:
            remember_first(fragments, packet, clock[1], seed)
        elif packet.fragment == LATER:
            recall_first(fragments, packet, clock[1], seed)
        _set_ends(ends[0], packet)
        if _is_wanted(ends[0], now, rows, firsts, slots, seed):
            chosen[found] = i
            found += 1
    return found


@compiled
def gather_packets(data: Bytes, packets: Packets, chosen: Slots, count: int, cuts: Rows, out: Bytes) -> int:
    """Copy what is told of the chosen packets into `cuts` and their bytes into `out`; return the bytes."""
    at = 0
    for i in range(count):
        packet = packets[chosen[i]]
        cut = cuts[i]
        cut.ts_ns = packet.ts_ns
        cut.link = packet.link
        cut.caplen = packet.caplen
        cut.wirelen = packet.wirelen
        out[at : at + packet.caplen] = data[packet.offset : packet.offset + packet.caplen]
        at += packet.caplen
    return at


class PacketFilter:
    """A filter, ready for packets.

    Parameters
    ----------
    rows : sorted spans that do not overlap (`wanted_packets`).
    idle_ns : a packet that goes back in time further begins a new epoch, as in the meter.
    """

    def __init__(self, rows: Wanted, idle_ns: int) -> None:
        self._rows = rows.copy()
        # Seeded afresh: nobody can write a capture whose packets all collide.
        self._seed = np.uint64(secrets.randbits(64))
        self._firsts = np.zeros(rows.size + 1, np.int64)
        self._slots = np.full(1 << (2 * rows.size + 1).bit_length(), _EMPTY, np.int64)
        index_spans(self._rows, self._firsts, self._slots, self._seed)
        self._idle_ns = idle_ns
        self._fragments = fresh_fragments()
        self._ends = np.zeros(1, WANTED)
        self._clock = np.zeros(2, np.int64)

    def select(self, packets: Packets, count: int, chosen: Slots) -> int:
        """Fill `chosen` with those of the first `count` packets that are wanted; return how many are."""
        return int(
            select_packets(
                packets, count, self._rows, self._firsts, self._slots, self._fragments, self._ends,
                self._clock, self._idle_ns, self._seed, chosen,
            )
        )  # fmt: skip

    @staticmethod
    def warm_up() -> None:
        """Run every compiled function of this module once; the first time this compiles them."""
        packets, chosen = np.zeros(1, PACKET), np.zeros(1, np.int64)
        packets["verdict"], packets["caplen"] = PARSED, 1
        found = PacketFilter(np.zeros(1, WANTED), 1).select(packets, 1, chosen)
        byte = np.zeros(1, np.uint8)
        if (found, gather_packets(byte, packets, chosen, found, np.zeros(1, CUT), byte)) != (1, 1):
            raise RuntimeError("the packet filter is damaged")


@dataclass(frozen=True, slots=True)
class CutBatch(RawBatch):
    """Packets that were cut: views, valid until the next batch.

    Attributes
    ----------
    cuts : (n,) rows of `CUT`.
    data : their bytes, one packet behind the other.
    """

    cuts: npt.NDArray[np.void] = field(default_factory=lambda: np.empty(0, CUT))
    data: Bytes = field(default_factory=lambda: np.empty(0, np.uint8))


class CutStream(CaptureStream):
    """Cuts packets from one capture; iterate it for batches, an empty one now and then as a sign of life.

    Parameters
    ----------
    found : its bytes, recognised as pcap or pcapng.
    wanted : which packets to cut.
    name : what the report calls it.
    """

    def __init__(self, found: Recognised, wanted: PacketFilter, name: str = "") -> None:
        super().__init__(found, MeterSettings(max_flows=1), name)
        self._wanted = wanted
        self._chosen = np.zeros(CHUNK, np.int64)
        self._cuts = np.zeros(CHUNK, CUT)
        self._out = np.empty(BUFFER, np.uint8)

    def __iter__(self) -> Iterator[CutBatch]:
        """Yield batches to the end of the capture."""
        framing = self._open()
        if framing is not None:
            for batch in self._read(framing):
                yield batch if isinstance(batch, CutBatch) else CutBatch(_NO_FLOWS, 0, 0)
        if self._source.fault:
            self.report.note(self._source.fault)
        self.report.complete = framing is not None and not self._source.fault and not self._lost

    def _digest(self, found: int) -> Iterator[RawBatch]:
        packets = self._packets[:found]
        walk(self._buffer, packets, found)
        self._count_packets(found)
        count = self._wanted.select(packets, found, self._chosen)
        if count:
            size = gather_packets(self._buffer, packets, self._chosen, count, self._cuts, self._out)
            yield CutBatch(_NO_FLOWS, 0, 0, cuts=self._cuts[:count], data=self._out[:size])
