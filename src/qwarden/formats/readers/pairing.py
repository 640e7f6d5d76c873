"""Records of one direction to flows of both: NetFlow, IPFIX, the cloud's flow logs.

An exporter tells each direction by itself, and a long flow in pieces. A flow here is what `meter.meter`
would make of the same packets, as far as records can say:

- Records of the same addresses, ports and protocol, whichever way, are one flow as long as no gap between
  them exceeds the idle time-out. ICMP pairs requests with their replies by type.
- Pieces of one direction are joined up to the active time-out; what follows is a flow of its own. A record
  of the opposite direction that overlaps joins however long it is.
- After a RST, or FIN both ways, another record with a SYN begins a new flow.
- The initiator is who sent a SYN without ACK, or whose SYN came first. Where no SYN tells, the end with the
  port below 1024 responds; else who sent first began, and of both in the same moment the smaller port
  responds.
- What nothing answered has 0 packets back: an exporter is taken to see both directions, unless it is said
  not to.

Flows come out in the order in which they ended, roughly: a consumer that needs order sorts. Nothing is
lost: packets and bytes of the records are those of the flows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from qwarden.formats.flows import UNKNOWN
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers.connection import COUNTERPART
from qwarden.formats.readers.payload import payload_of
from qwarden.formats.readers.rows import NO_FLAGS, OneWay, Row
from qwarden.formats.readers.tcpflags import (
    ACK,
    FIN,
    RST,
    STATES,
    SYN,
    carries_nothing,
    flag_counts,
    flag_state,
)

_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_PRIVILEGED: Final = 1024
_OUT, _BACK = 0, 1
_WAITING, _PAIRED, _CLOSED = range(3)
MOST_HELD: Final = 1 << 17
"""Flows held at once, at about a kilobyte each."""

_BARE_SYN: Final = {4: 60, 6: 80}
"""Bytes of an IP packet that is a SYN with 20 bytes of options."""
_BARE_RST: Final = {4: 40, 6: 60}
"""Bytes of an IP packet that is a RST, or any segment without options and payload; a SYN+ACK has options."""

Key = tuple[object, ...]


class _Way:
    """What one direction of a held flow has shown."""

    __slots__ = ("bytes", "flags", "mac", "packets", "records", "start", "vlan")

    def __init__(self) -> None:
        self.records = self.start = 0
        self.packets = self.bytes = self.flags = self.mac = self.vlan = UNKNOWN


class _Held:
    """A flow that may still grow; `src` is the end of the record that came first."""

    __slots__ = (
        "begun",
        "code",
        "dst",
        "end",
        "kind",
        "proto",
        "rejected",
        "src",
        "start",
        "version",
        "ways",
    )

    def __init__(self, record: OneWay) -> None:
        self.start, self.end = record.start, record.end
        self.src, self.dst = record.src, record.dst
        self.version, self.proto = record.version, record.proto
        self.kind, self.code = record.kind, record.code
        self.rejected, self.begun = record.rejected, record.begun
        self.ways = (_Way(), _Way())

    @property
    def closed(self) -> bool:
        out, back = (max(way.flags, 0) for way in self.ways)
        return bool((out | back) & RST or out & back & FIN)

    @property
    def stage(self) -> int:
        """Which list it stands in: the more is known, the less it need wait."""
        if not (self.ways[_OUT].records and self.ways[_BACK].records):
            return _WAITING
        return _CLOSED if self.closed else _PAIRED

    def take(self, record: OneWay) -> None:
        at = _OUT if record.src == self.src else _BACK
        self._count(at, record.start, record.packets, record.bytes, record.flags)
        way = self.ways[at]
        way.mac, way.vlan = max(way.mac, record.mac), max(way.vlan, record.vlan)
        if record.packets_back > 0:
            self._count(1 - at, record.start, record.packets_back, record.bytes_back, record.flags_back)
        self.start, self.end = min(self.start, record.start), max(self.end, record.end)

    def _count(self, at: int, start: int, packets: int, seen: int, flags: int) -> None:
        way = self.ways[at]
        way.start = min(way.start, start) if way.records else start
        way.records += 1
        if packets >= 0:
            way.packets = max(way.packets, 0) + packets
        if seen >= 0:
            way.bytes = max(way.bytes, 0) + seen
        if flags >= 0:
            way.flags = max(way.flags, 0) | flags


class Pairing:
    """Joins records to flows.

    Parameters
    ----------
    settings : the flow meter's time-outs, and how many flows are held (`MOST_HELD` at most).
    patience_s : how long a record waits for its opposite, in traffic time; at least the idle time-out. A
        file, whose records come in the order of their export, wants the active time-out (the default), a
        listener that alerts while it listens the idle time-out. A flow of both ways waits for the idle
        time-out, one that is closed for its linger.
    both_ways : whether the exporter sees both directions; if not, what is missing is unknown.

    Attributes
    ----------
    evicted : flows that had to end early to make room.

    >>> pairing = Pairing(MeterSettings())
    >>> ends = ((0, 0xFFFF0A000001, 40000), (0, 0xFFFF0A000002, 80))
    >>> pairing.add(OneWay(0, 10, *ends, 4, 6, 1, 60, SYN))
    []
    >>> pairing.add(OneWay(5, 9, *ends[::-1], 4, 6, 1, 40, RST | ACK))
    []
    >>> [row] = pairing.rest()
    >>> row[8:10], row[14] == STATES["REJ"], row[15:17]
    ((40000, 80), True, (1, 1))
    """

    def __init__(
        self, settings: MeterSettings, patience_s: float | None = None, *, both_ways: bool = True
    ) -> None:
        self._idle = round(settings.idle_timeout_s * 1e9)
        self._active = round(settings.active_timeout_s * 1e9)
        patience = settings.active_timeout_s if patience_s is None else patience_s
        linger = min(round(settings.closed_linger_s * 1e9), self._idle)
        self._waits = (max(round(patience * 1e9), self._idle), self._idle, linger)
        self._most = min(settings.max_flows, MOST_HELD)
        self._both_ways = both_ways
        # A list a stage, in order of the last record.
        self._lists: tuple[OrderedDict[Key, _Held], ...] = (OrderedDict(), OrderedDict(), OrderedDict())
        self.evicted = 0

    @property
    def held(self) -> int:
        """How many flows wait for more."""
        return sum(map(len, self._lists))

    def add(self, record: OneWay) -> list[Row]:
        """Take a record; return the rows (`rows.COLUMNS`) of the flows that have ended by it."""
        ended = self.until(record.end)
        key = _key(record)
        held = self._take_out(key)
        if held is not None and not self._continues(held, record):
            ended.append(self._row(held))
            held = None
        if held is None:
            if self.held >= self._most:
                ended.append(self._row(self._oldest()))
                self.evicted += 1
            held = _Held(record)
        held.take(record)
        self._lists[held.stage][key] = held
        return ended

    def until(self, clock_ns: int) -> list[Row]:
        """Return the rows of the flows that have waited long enough when it is `clock_ns`.

        The clock is that of the record at hand, not the latest that came: one with a time in the far
        future then cuts short what is held, but not what follows.
        """
        ended = []
        for held, wait in zip(self._lists, self._waits, strict=True):
            while held:
                key, oldest = next(iter(held.items()))
                if oldest.end + wait >= clock_ns:
                    break
                del held[key]
                ended.append(self._row(oldest))
        return ended

    def rest(self) -> Iterator[Row]:
        """Yield the rows of all that is held, and forget it: nothing more will come."""
        while self.held:
            yield self._row(self._oldest())

    def _take_out(self, key: Key) -> _Held | None:
        for held in self._lists:
            if key in held:
                return held.pop(key)
        return None

    def _oldest(self) -> _Held:
        """Take out what is likeliest to be complete."""
        for held in reversed(self._lists):
            if held:
                return held.popitem(last=False)[1]
        raise KeyError("nothing is held")

    def _continues(self, held: _Held, record: OneWay) -> bool:
        if record.start > held.end + self._idle or record.end < held.start - self._idle:
            return False
        way = held.ways[_OUT if record.src == held.src else _BACK]
        if held.closed and way.records and record.flags >= 0 and record.flags & SYN:
            return False
        overlaps = record.start <= held.end and record.end >= held.start
        if not way.records and overlaps:
            return True
        return max(held.end, record.end) - min(held.start, record.start) <= self._active

    def _row(self, held: _Held) -> Row:
        swapped = _begun_by_other(held)
        src, dst = (held.dst, held.src) if swapped else (held.src, held.dst)
        out, back = held.ways[::-1] if swapped else held.ways
        kind, code = held.kind, held.code
        if swapped and kind >= 0:
            kind = COUNTERPART.get(held.version, {}).get(kind, kind)
        blind = not (self._both_ways or (out.records and back.records))
        uncounted = out.records and out.packets < 0 and not held.rejected
        silent = (UNKNOWN if blind or uncounted else 0,) * 4
        counts = [
            (way.packets, way.bytes, _payload(held, way), way.flags) if way.records else silent
            for way in (out, back)
        ]
        (packets_out, bytes_out, payload_out, flags_out), (packets_in, bytes_in, payload_in, flags_in) = (
            counts
        )
        tcp = held.proto == _TCP
        flags = flag_counts(flags_out) + flag_counts(flags_in) if tcp else NO_FLAGS + NO_FLAGS
        return (
            held.start, held.end, src[0], src[1], dst[0], dst[1], held.version, held.proto,
            src[2], dst[2], kind, code, out.mac, max(out.vlan, back.vlan),
            UNKNOWN if blind or not tcp else _state(held, out, back, flags_out, flags_in),
            packets_out, packets_in, bytes_out, bytes_in, payload_out, payload_in, *flags,
        )  # fmt: skip


def _key(record: OneWay) -> Key:
    """Return what records of one flow have in common; the order of the ends is not among it."""
    ends = (record.src, record.dst) if record.src <= record.dst else (record.dst, record.src)
    kind = min(record.kind, COUNTERPART.get(record.version, {}).get(record.kind, record.kind))
    return (*ends, record.proto, kind, record.rejected, record.observer)


def _begun_by_other(held: _Held) -> bool:
    """Whether the initiator is the destination of the record that came first."""
    out, back = held.ways
    if held.begun or held.rejected:  # what was refused is an attempt
        return False
    later = back.records > 0 and back.start < out.start
    if held.proto in (_ICMP, _ICMPV6):
        return later
    if held.proto == _TCP:
        opens = [way.flags >= 0 and way.flags & (SYN | ACK) == SYN for way in held.ways]
        if opens[_OUT] != opens[_BACK]:
            return opens[_BACK]
        first = held.ways[later]
        if back.records and out.start != back.start and first.flags >= 0 and first.flags & SYN:
            return later
    src_port, dst_port = held.src[2], held.dst[2]
    if min(src_port, dst_port) < 0:
        return later
    if (src_port < _PRIVILEGED) != (dst_port < _PRIVILEGED):
        return src_port < dst_port
    if back.records and out.start == back.start:
        return src_port < dst_port
    return later


def _state(held: _Held, out: _Way, back: _Way, flags_out: int, flags_in: int) -> int:
    if held.rejected:
        return STATES["S0"]  # a filter drops without an answer
    if flags_out >= 0 and flags_in >= 0:
        return STATES[flag_state(flags_out, flags_in, max(back.packets, 0))]
    if out.flags >= 0 or back.flags >= 0 or held.version not in _BARE_SYN:
        return UNKNOWN
    # Without flags, sizes tell what was but a try: packets that are no larger than a SYN, and nothing
    # back, or answers that are too small for a SYN+ACK.
    if out.packets <= 0 or out.bytes > out.packets * _BARE_SYN[held.version]:
        return UNKNOWN
    if not back.records:
        return STATES["S0"]
    refused = back.packets > 0 and back.bytes == back.packets * _BARE_RST[held.version]
    return STATES["REJ"] if refused and back.packets <= out.packets else UNKNOWN


def _payload(held: _Held, way: _Way) -> int:
    if held.proto == _TCP and carries_nothing(way.flags, way.packets):
        return 0
    return payload_of(way.bytes, way.packets, held.version, held.proto)
