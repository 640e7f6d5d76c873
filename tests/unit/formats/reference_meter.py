"""The flow meter again, slow and plain: dictionaries, lists of packets, Python numbers.

It shares no code with the product. Packets are parsed with `struct` and slices; a flow keeps all its
packets, and its columns are worked out from them at the end.
"""

from __future__ import annotations

import statistics
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Record = tuple[int, int, bytes, int]
"""Nanoseconds, link type, captured bytes, length on the wire."""


def pcap_records(data: bytes) -> Iterator[Record]:
    """The records of a classic pcap file."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    tick = 1 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1000
    link = struct.unpack_from(order + "I", data, 20)[0]
    at = 24
    while at + 16 <= len(data):
        seconds, part, caplen, wirelen = struct.unpack_from(order + "IIII", data, at)
        if at + 16 + caplen > len(data):
            return
        yield seconds * 10**9 + part * tick, link, data[at + 16 : at + 16 + caplen], wirelen
        at += 16 + caplen


@dataclass
class Packet:
    ns: int
    src: bytes
    dst: bytes
    version: int
    proto: int
    bytes: int
    payload: int
    extension: int
    ttl: int = -1
    sport: int = -1
    dport: int = -1
    kind: int = -1
    code: int = -1
    ident: int = -1
    flags: int | None = None
    fragment: str = "whole"
    datagram: tuple[Any, ...] = ()
    vlan: int = -1
    src_mac: int = -1
    dst_mac: int = -1


class Malformed(Exception):
    """The headers cannot be parsed."""


def _need(data: bytes, count: int) -> None:
    if len(data) < count:
        raise Malformed


def parse(ns: int, link: int, data: bytes, wirelen: int) -> Packet | None:
    """The packet, or None if it is no IP and no ARP."""
    src_mac = dst_mac = vlan = -1
    start = len(data)
    if link == 1:
        _need(data, 14)
        dst_mac, src_mac = int.from_bytes(data[:6], "big"), int.from_bytes(data[6:12], "big")
        ethertype = int.from_bytes(data[12:14], "big")
        data = data[14:]
        if ethertype < 1536:
            if data[:6] != b"\xaa\xaa\x03\0\0\0" or len(data) < 8:
                return None
            ethertype, data = int.from_bytes(data[6:8], "big"), data[8:]
    elif link == 113:
        _need(data, 16)
        if data[4:6] == b"\0\x06":
            src_mac = int.from_bytes(data[6:12], "big")
        ethertype, data = int.from_bytes(data[14:16], "big"), data[16:]
    elif link == 276:
        _need(data, 20)
        if data[11] == 6:
            src_mac = int.from_bytes(data[12:18], "big")
        ethertype, data = int.from_bytes(data[:2], "big"), data[20:]
    elif link in (101, 228, 229):
        _need(data, 1)
        ethertype = {101: {4: 0x800, 6: 0x86DD}.get(data[0] >> 4), 228: 0x800, 229: 0x86DD}[link]
        if ethertype is None:
            raise Malformed
    else:
        return None
    while ethertype in (0x8100, 0x88A8, 0x9100):
        _need(data, 4)
        vlan = int.from_bytes(data[:2], "big") % 4096
        ethertype, data = int.from_bytes(data[2:4], "big"), data[4:]
    wire = max(wirelen, start) if wirelen <= 262144 else start
    wire -= start - len(data)
    if ethertype == 0x800:
        packet = parse_ipv4(ns, data, wire)
    elif ethertype == 0x86DD:
        packet = parse_ipv6(ns, data, wire)
    elif ethertype == 0x806:
        found = parse_arp(ns, data)
        if found is None:
            return None
        packet = found
    else:
        return None
    packet.vlan, packet.src_mac, packet.dst_mac = vlan, src_mac, dst_mac
    return packet


def parse_arp(ns: int, data: bytes) -> Packet | None:
    _need(data, 8)
    _, ptype, hlen, plen, opcode = struct.unpack_from(">HHBBH", data)
    if ptype != 0x800 or plen != 4:
        return None
    _need(data, 16 + 2 * hlen)
    sender, target = data[8 + hlen : 12 + hlen], data[12 + 2 * hlen : 16 + 2 * hlen]
    return Packet(ns, sender, target, 0, 0x806, 16 + 2 * hlen, 0, 0, kind=opcode)


def parse_ipv4(ns: int, data: bytes, wire: int) -> Packet:
    _need(data, 20)
    if data[0] >> 4 != 4:
        raise Malformed
    header = data[0] % 16 * 4
    total = int.from_bytes(data[2:4], "big") or wire
    if header < 20 or total < header:
        raise Malformed
    _need(data, header)
    word = int.from_bytes(data[6:8], "big")
    proto, offset, more = data[9], word % 8192 * 8, bool(word & 0x2000)
    packet = Packet(ns, data[12:16], data[16:20], 4, proto, total, total - header, header - 20, data[8])
    packet.datagram = (packet.src, packet.dst, data[4:6], proto)
    if offset:
        packet.fragment = "later"
        return packet
    packet.fragment = "first" if more else "whole"
    return upper(packet, data[header:total], proto)


def parse_ipv6(ns: int, data: bytes, wire: int) -> Packet:
    _need(data, 40)
    if data[0] >> 4 != 6:
        raise Malformed
    total = int.from_bytes(data[4:6], "big") + 40
    if total == 40 and data[6] != 59:
        total = wire
    packet = Packet(ns, data[8:24], data[24:40], 6, data[6], total, total - 40, 0, data[7])
    return upper(packet, data[40:total], data[6])


def upper(packet: Packet, data: bytes, proto: int) -> Packet:
    """Extension headers, then transport."""
    while proto == 51 or (packet.version == 6 and proto in (0, 43, 44, 60, 135)):
        _need(data, 12 if proto == 51 else 8)
        size = {51: data[1] * 4 + 8, 44: 8}.get(proto, data[1] * 8 + 8)
        _need(data, size)
        packet.extension += size
        packet.payload -= size
        if proto == 44:
            word = int.from_bytes(data[2:4], "big")
            if word & 0xFFF9:
                packet.datagram = (packet.src, packet.dst, data[4:8], data[0])
            if word >> 3:
                packet.fragment, packet.proto = "later", data[0]
                return packet
            if word & 1:
                packet.fragment = "first"
        proto, data = data[0], data[size:]
    packet.proto = proto
    room = packet.payload
    if proto == 6:
        _need(data, 20)
        header = data[12] // 16 * 4
        if header < 20 or header > room:
            raise Malformed
        packet.payload -= header
        packet.flags = data[13] % 64
    elif proto == 17:
        _need(data, 8)
        if 0 < int.from_bytes(data[4:6], "big") < 8:
            raise Malformed
        packet.payload -= 8
    elif proto in (1, 58):
        _need(data, 4)
        packet.kind, packet.code = data[0], data[1]
        packet.payload = max(room - 8, 0)
        if request(packet) is not None:
            _need(data, 8)
            packet.ident = int.from_bytes(data[4:6], "big")
    if proto in (6, 17):
        packet.sport, packet.dport = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    return packet


def request(packet: Packet) -> int | None:
    """The request's type, for the ICMP types that come as request and reply."""
    pairs = {58: {128: 128, 129: 128}, 1: {8: 8, 0: 8, 13: 13, 14: 13, 15: 15, 16: 15, 17: 17, 18: 17}}
    return pairs[packet.proto].get(packet.kind)


@dataclass
class Flow:
    seq: int
    initiator: tuple[Any, ...]
    packets: list[tuple[str, Packet]] = field(default_factory=list)
    born: int = 0
    touched: int = 0
    ends: dict[str, str] = field(default_factory=lambda: {"out": "inactive", "in": "inactive"})
    before: dict[str, str] = field(default_factory=lambda: {"out": "", "in": ""})
    reason: int = -1
    first: Packet | None = None
    swapped: bool = False

    def closed(self) -> bool:
        return "reset" in self.ends.values() or set(self.ends.values()) == {"finished"}


class ReferenceMeter:
    """Feed `take` with packets, then call `finish`."""

    def __init__(self, idle: float = 60, active: float = 300, linger: float = 5) -> None:
        self.idle, self.active, self.linger = (round(s * 10**9) for s in (idle, active, linger))
        self.live: dict[Any, Flow] = {}
        self.done: list[Flow] = []
        self.clock: int | None = None
        self.fragments: dict[Any, tuple[int, Packet]] = {}
        self.counts: Counter[str] = Counter()
        self.begun = 0

    def take(self, ns: int, link: int, data: bytes, wirelen: int) -> None:
        self.counts["read"] += 1
        try:
            if not data:
                raise Malformed
            packet = parse(ns, link, data, wirelen)
        except Malformed:
            self.counts["malformed"] += 1
            return
        if packet is None:
            self.counts["other"] += 1
            return
        self.counts["metered"] += 1
        self.meter(packet)

    def meter(self, packet: Packet) -> None:
        if self.clock is None or packet.ns < self.clock - self.idle:
            for key in list(self.live):
                self.end(key, 0)
            self.clock = packet.ns
        self.clock = max(self.clock, packet.ns)
        self.trace_fragment(packet)
        key = self.key(packet)
        flow = self.live.get(key)
        if flow is not None and self.over(flow):
            self.end(key, 0)
            flow = None
        if flow is not None and flow.closed() and packet.flags is not None and packet.flags & 18 == 2:
            self.end(key, 2)
            flow = None
        elif flow is not None and self.clock - flow.born > self.active:
            self.end(key, 1)
            successor = self.begin(key, flow.initiator)
            successor.ends, successor.before = dict(flow.ends), dict(flow.before)
            successor.first, successor.swapped = flow.first, flow.swapped
            flow = successor
        if flow is None:
            flow = self.begin(key, self.initiator(packet))
            flow.first, flow.swapped = packet, flow.initiator != self.sender(packet)
        flow.touched = self.clock
        way = "out" if self.sender(packet) == flow.initiator else "in"
        flow.packets.append((way, packet))
        if packet.flags is not None:
            tcp_step(flow, way, packet.flags, packet.payload)

    def over(self, flow: Flow) -> bool:
        assert self.clock is not None
        patience = min(self.linger, self.idle) if flow.closed() else self.idle
        return self.clock - flow.touched > patience

    def begin(self, key: Any, initiator: tuple[Any, ...]) -> Flow:
        assert self.clock is not None
        flow = self.live[key] = Flow(self.begun, initiator, born=self.clock)
        self.begun += 1
        return flow

    def end(self, key: Any, reason: int) -> None:
        flow = self.live.pop(key)
        # A closed connection that waited its time is closed, whatever the occasion.
        flow.reason = 2 if flow.closed() and reason in (0, 4) else reason
        self.done.append(flow)

    def finish(self) -> list[dict[str, Any]]:
        for key in list(self.live):
            self.end(key, 0 if self.over(self.live[key]) else 4)
        return [columns(flow) for flow in sorted(self.done, key=lambda flow: flow.seq)]

    def trace_fragment(self, packet: Packet) -> None:
        assert self.clock is not None
        if packet.fragment == "first":
            self.fragments[packet.datagram] = (self.clock, packet)
        elif packet.fragment == "later":
            when, first = self.fragments.get(packet.datagram, (0, None))
            if first is not None and 0 <= self.clock - when <= 30 * 10**9:
                packet.proto = first.proto
                packet.sport, packet.dport = first.sport, first.dport
                packet.kind, packet.code, packet.ident = first.kind, first.code, first.ident

    @staticmethod
    def sender(packet: Packet) -> tuple[Any, ...]:
        return packet.src, packet.sport

    def initiator(self, packet: Packet) -> tuple[Any, ...]:
        receiver = packet.dst, packet.dport
        if packet.proto == 6 and packet.flags is not None and packet.flags & 2:
            return receiver if packet.flags & 16 else self.sender(packet)
        if packet.proto in (6, 17) and 0 <= packet.sport < 1024 <= packet.dport:
            return receiver
        return self.sender(packet)

    @staticmethod
    def key(packet: Packet) -> Any:
        ends = frozenset(
            [(packet.version, packet.src, packet.sport), (packet.version, packet.dst, packet.dport)]
        )
        exchange: Any = None
        if packet.proto in (1, 58) and packet.kind >= 0:
            pair = request(packet)
            exchange = (packet.kind if pair is None else pair, packet.code, packet.ident)
        if packet.proto == 0x806:
            exchange = {2: 1, 4: 3, 9: 8}.get(packet.kind, packet.kind)
        return ends, packet.proto, exchange


def tcp_step(flow: Flow, way: str, flags: int, payload: int) -> None:
    """One segment; written from the documentation of Zeek's states."""
    other = "in" if way == "out" else "out"
    ends, before = flow.ends, flow.before
    fin, syn, rst, ack = (bool(flags & bit) for bit in (1, 2, 4, 16))

    def enter(who: str, state: str) -> None:
        before[who], ends[who] = ends[who], state

    match ends[way]:
        case "inactive":
            if syn and way == "out":
                enter("out", "syn-ack sent" if ack else "syn sent")
            elif syn:
                if ends["out"] == "syn sent":
                    enter("out", "established")
                enter("in", "established")
            if fin:
                enter(way, "finished")
            if rst:
                enter(way, "reset")
            early_ack = way == "in" and payload == 0 and ends["out"] == "syn sent"
            if not (syn or fin or rst or early_ack):
                enter(way, "established" if ack and ends[other] == "established" else "partial")
        case "syn sent" | "syn-ack sent":
            if fin:
                enter(way, "finished")
            if rst:
                enter(way, "reset")
        case "established" | "partial" as state:
            if syn and not ack and state == "partial" and ends[other] == "inactive":
                enter(way, "syn sent")
            if rst:
                enter(way, "reset")
            elif fin:
                enter(way, "finished")
                if ends[other] == "reset" and before[other] == "finished":
                    enter(other, "finished")
        case "finished":
            if rst and ends[other] != "finished":
                enter(way, "reset")


def tcp_name(flow: Flow) -> str:
    out, back = flow.ends["out"], flow.ends["in"]
    unseen = ("inactive", "partial")
    if back == "reset":
        silent = sum(packet.payload for _, packet in flow.packets) == 0
        if out in ("syn sent", "syn-ack sent") or (out == "reset" and silent):
            return "REJ"
        return "RSTRH" if out in unseen else "RSTR"
    if out == "reset":
        return "RSTOS0" if back in unseen else "RSTO"
    if (out, back) == ("finished", "finished"):
        return "SF"
    if out == "finished":
        return "SH" if back in unseen else "S2"
    if back == "finished":
        return "SHR" if out in unseen else "S3"
    return {("syn sent", "inactive"): "S0", ("established", "established"): "S1"}.get((out, back), "OTH")


STATES = ("S0", "S1", "SF", "REJ", "S2", "S3", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR", "OTH")
NAN = float("nan")


def _halves(address: bytes) -> tuple[int, int]:
    if len(address) == 4:
        return 0, 0xFFFF << 32 | int.from_bytes(address, "big")
    return int.from_bytes(address[:8], "big"), int.from_bytes(address[8:], "big")


def columns(flow: Flow) -> dict[str, Any]:
    """The flow's row, by column."""
    packets = [packet for _, packet in flow.packets]
    first = flow.first
    assert first is not None
    src, dst = (first.dst, first.src) if flow.swapped else (first.src, first.dst)
    sport, dport = (first.dport, first.sport) if flow.swapped else (first.sport, first.dport)
    headers = [packet for packet in packets if packet.flags is not None]
    row: dict[str, Any] = {
        "seq": flow.seq,
        "start_ns": min(packet.ns for packet in packets),
        "end_ns": max(packet.ns for packet in packets),
        "src_hi": _halves(src)[0],
        "src_lo": _halves(src)[1],
        "dst_hi": _halves(dst)[0],
        "dst_lo": _halves(dst)[1],
        "src_mac": first.dst_mac if flow.swapped else first.src_mac,
        "proto": first.proto,
        "src_port": sport,
        "dst_port": dport,
        "icmp_type": first.kind,
        "icmp_code": first.code,
        "vlan": first.vlan,
        "ip_version": first.version,
        "tcp_state": STATES.index(tcp_name(flow)) if headers else -1,
        "end_reason": flow.reason,
        "ext_header_bytes": sum(packet.extension for packet in packets),
        "fragments": sum(packet.fragment != "whole" for packet in packets),
    }
    for way in ("out", "in"):
        mine = [packet for direction, packet in flow.packets if direction == way]
        row[f"packets_{way}"] = len(mine)
        row[f"bytes_{way}"] = sum(packet.bytes for packet in mine)
        row[f"payload_{way}"] = sum(packet.payload for packet in mine)
        row[f"ttl_{way}"] = min((packet.ttl for packet in mine), default=-1)
        for bit, flag in enumerate(("fin", "syn", "rst", "psh", "ack", "urg")):
            seen = sum(packet.flags >> bit & 1 for packet in mine if packet.flags is not None)
            row[f"{flag}_{way}"] = seen if headers else -1
        gaps, latest = [], None
        for packet in mine:
            if latest is not None:
                gaps.append(max(packet.ns - latest, 0) / 1e9)
            latest = packet.ns if latest is None else max(latest, packet.ns)
        for name, values in (("iat", gaps), ("size", [packet.payload for packet in mine])):
            row[f"{name}_mean_{way}"] = statistics.fmean(values) if values else NAN
            row[f"{name}_std_{way}"] = statistics.pstdev(values) if values else NAN
            row[f"{name}_max_{way}"] = max(values) if values else NAN
    silences, latest = [], packets[0].ns
    for packet in packets:
        silences.append((packet.ns - latest) / 1e9)
        latest = max(latest, packet.ns)
    pauses = [silence for silence in silences if silence >= 0.5]
    row["pauses"] = len(pauses)
    row["pause_mean"] = statistics.fmean(pauses) if pauses else NAN
    row["pause_std"] = statistics.pstdev(pauses) if pauses else NAN
    return row
