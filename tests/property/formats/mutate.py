"""Damaged captures and logs, drawn from a seed: good ones of every kind, hurt in every way."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable
from typing import Any

from tests.unit.formats import craft, logs, tables
from tests.unit.formats.logs import conn

WORDS = (0, 1, 2, 7, 8, 11, 12, 13, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _packets() -> list[bytes]:
    tcp, udp, echo = craft.tcp(4000, 80, craft.SYN), craft.udp(53, 5353, b"abc"), craft.icmp(8)
    chain = bytes([43, 0]) + bytes(6) + bytes([60, 1]) + bytes(14) + bytes([6, 0]) + bytes(6) + tcp
    return [
        craft.frame4(tcp, 6),
        craft.frame4(
            craft.tcp(80, 4000, craft.ACK, b"hello" * 50, options=b"\x01" * 12),
            6,
            src=craft.SERVER,
            dst=craft.CLIENT,
        ),
        craft.frame4(udp, 17, options=b"\x01" * 16),
        craft.frame4(udp, 17, more=True, ident=5),
        craft.frame4(bytes(40), 17, offset=800, ident=5),
        craft.frame4(echo, 1),
        craft.frame4(bytes([6, 4]) + bytes(22) + tcp, 51),
        craft.ethernet(craft.ipv4(udp, 17), 0x0800, [(0x88A8, 2), (0x9100, 4), (0x8100, 3)]),
        craft.frame6(chain, 0),
        craft.frame6(bytes([17, 0, 0, 1, 0, 0, 0, 9]) + udp, 44),
        craft.frame6(craft.icmp(135), 58),
        craft.ethernet(craft.arp(1), 0x0806),
        craft.ethernet(b"\xaa\xaa\x03\0\0\0\x08\0" + craft.ipv4(tcp, 6), 60),
        craft.ethernet(bytes(46), 0x88CC),
        craft.frame4(b"\0\0\x08\0" + craft.ipv4(tcp, 6), 47),
        craft.frame6(craft.ipv4(udp, 17), 4),
    ]


def seeds() -> list[bytes]:
    """Captures to damage: every framing, every link type."""
    frames = _packets()
    records = [(i * 0.7, packet) for i, packet in enumerate(frames)]
    bare = [(i, packet[14:]) for i, packet in enumerate(frames[:6])]
    cooked1 = struct.pack(">HHH8s", 0, 1, 6, bytes(8))
    cooked2 = struct.pack(">HIHBB8s", 0, 3, 1, 0, 6, bytes(8))
    found = [
        craft.pcap(records),
        craft.pcap(records, big=True, nano=True),
        craft.pcap([(t, cooked1 + b"\x08\0" + packet) for t, packet in bare], link=113),
        craft.pcap([(t, b"\x08\0" + cooked2 + packet) for t, packet in bare], link=276),
        craft.pcap(bare, link=101),
        craft.pcap(bare, link=228, big=True),
        craft.pcap(
            [(t, b"\2\0\0\0" + packet) for t, packet in bare] + [(9, b"\0\0\0\x1e" + frames[8][14:])], link=0
        ),
        craft.pcap([(t, b"\0\0\0\2" + packet) for t, packet in bare], link=108),
    ]
    for big in (False, True):
        blocks = craft.section(big=big) + craft.interface(options=craft.option(9, b"\x09", big=big), big=big)
        blocks += craft.interface(101, 64, craft.option(14, bytes(7) + b"\x05", big=big), big=big)
        for i, packet in enumerate(frames):
            blocks += craft.enhanced(packet, i * 10**9, big=big)
        blocks += craft.block(5, bytes(40), big=big) + craft.old_packet(frames[0], 10**9, big=big)
        blocks += craft.simple(frames[1], big=big) + craft.enhanced(bare[0][1], 5, 1, big=big)
        found.append(blocks)
    return [*found, found[-2] + found[-1]]


def damage(rng: random.Random, data: bytearray) -> None:
    """Hurt `data` once, in place."""
    match rng.randrange(9):
        case 0 | 1:
            data[rng.randrange(len(data))] = rng.randrange(256)
        case 2:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 3 | 4:  # an interesting number where a length may stand
            form = rng.choice(["<I", ">I", "<H", ">H"])
            at = rng.randrange(len(data))
            word = struct.pack(form, rng.choice(WORDS) & (0xFFFF if "H" in form else 0xFFFFFFFF))
            data[at : at + len(word)] = word
        case 5:
            del data[rng.randrange(len(data)) :]
        case 6:
            at = rng.randrange(len(data))
            del data[at : at + rng.randrange(1, 40)]
        case 7:
            at, size = rng.randrange(len(data)), rng.randrange(1, 200)
            data[at:at] = data[at : at + size] * rng.randrange(1, 4)
        case 8:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randrange(1, 60))
    if not data:
        data += b"\0"


def mutants(seed: int, count: int) -> list[bytes]:
    """Return `count` damaged captures; the same for the same seed."""
    return _hurt(seeds(), seed, count, damage)


# Logs

TOKENS = (
    *(b"-", b"(empty)", b"", b"0", b"-1", b"1e309", b"NaN", b"null", b"true", b'"', b"\\", b"\\x09", b"\x00"),
    *(b"18446744073709551616", b"9223372036854775807", b"4611686018.427387904", b"0.0000000001", b"65536"),
    *(b"1970-01-01T00:00:00Z", b"9999-12-31T23:59:59.999999999+0000", b"::", b"::ffff:1.2.3.4", b"fe80::1%1"),
    *(b"#fields\tts", b"#separator \\x20", b"{", b"}", b"[[[[", b"\r", b"\n", b"\t", b",", b":", b"\xff\xfe"),
    *(b'{"event_type":"flow"}', b'"_path":"dns",', b"SF", b"^ShADadFfRrTtCcQqIi", b"icmp", b"A" * 5000),
    *(b"unknown_transport", b"\xe2\x80\xa8", b"255.255.255.256", b"1.5", b"4095"),
)
"""What may stand where something else should."""


def zeek_seeds() -> list[bytes]:
    """Logs of Zeek to damage: either form, other separators and fields."""
    records = [
        conn(),
        conn(conn_state="S0", history="S", duration=None, orig_bytes=None, resp_bytes=None, resp_pkts=0),
        conn(proto="udp", orig_h="fe80::1", resp_h="ff02::fb", history="D", conn_state="S0"),
        conn(proto="icmp", orig_p=8, resp_p=0, history=None, conn_state="OTH"),
        conn(proto="unknown_transport", orig_p=0, resp_p=0, conn_state="OTH", history=None, ip_proto=47),
        conn(ts=5e-06, orig_bytes=10**14, vlan=5, orig_l2_addr="00:0c:29:66:c7:82"),
    ]
    few = ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "conn_state")
    return [
        logs.tsv(records),
        logs.tsv(records, (*logs.FIELDS, "vlan", "orig_l2_addr", "ip_proto", "inner_vlan")),
        logs.tsv(records, few, separator="|", unset="NONE") + logs.tsv(records[:2]),
        logs.objects(records),
        logs.objects(
            [conn(ts="2022-09-29T14:40:56.755299Z", _path="conn"), {"_path": "dns", "ts": 1.0}, *records]
            + [logs.said(log, _path=log) for log in logs.SAID]
        ),
    ]


def eve_seeds() -> list[bytes]:
    """Logs of Suricata to damage."""
    flow, alert = logs.FLOW, logs.ALERT
    events = [
        flow,
        alert,
        logs.changed(flow, tcp__tcp_flags_ts="1b", tcp__tcp_flags_tc="1b", vlan=[5, 9]),
        logs.changed(
            flow, proto="UDP", tcp=None, src_ip="fe80::1", dest_ip="ff02::fb", ether={"src_macs": ["-"]}
        ),
        logs.changed(flow, proto="ICMP", src_port=None, dest_port=None, icmp_type=8, icmp_code=0, tcp=None),
        {"event_type": "dns", "dns": {"rrname": "a.b"}},
        *logs.EVE_SAID,
        logs.changed(alert, src_ip=None, src_port=None, dest_port=None),
    ]
    return [logs.objects(events), logs.objects(events[::-1]), logs.objects([flow] * 3) + b"\n"]


TABLE_TOKENS = (
    *(b"0x", b"0x10000", b"0xff", b"S_RA", b"_", b"FSRPAUEC_FSRPAUEC", b"<-", b"<?>", b"?>", b"who", b"arp"),
    *(
        b"2018/12/18 14:00:00.075359",
        b"1E18",
        b"1e-400",
        b"-0",
        b"NODATA",
        b"REJECT",
        b"8.0",
        b"255.255",
        b"X",
    ),
    *(
        b"9" * 30,
        b"31/12/9999 11:59:59 PM",
        b"B",
        b"D",
        b"ipv6-icmp",
        b"man",
        b'"a,b"',
        b"\\",
        b"\xef\xbb\xbf",
    ),
)


def table_seeds(kind: str) -> list[bytes]:
    """Tables and documents of flows to damage."""
    notice = tables.NOTICE
    alerts = [notice, {**notice, "id.orig_h": "10.0.0.1", "id.orig_p": 5, "src": None, "dst": "fe80::1"}]
    return {
        "argus": [tables.ARGUS, tables.ARGUS.replace(b",", b";")],
        "nfdump-csv": [tables.NFDUMP_OLD, tables.NFDUMP_NEW],
        "nfdump": [tables.NFDUMP_PRINTED],
        "vpc": [tables.VPC, tables.VPC.split(b"\n", 1)[1], tables.VPC_OWN],
        "azure": [tables.AZURE, tables.NSG, tables.AZURE + b"\n" + tables.NSG],
        "netflow-csv": [tables.NETFLOW],
        "cic": [tables.CIC],
        "mapped": [tables.OWN],
        **{
            f"zeek-{log}": [
                logs.tsv([record] * 2, logs.SAID_FIELDS[log], path=log),
                logs.objects([record] * 2),
            ]
            for log in logs.SAID
            for record in [logs.said(log)]
        },
        "zeek-notice": [logs.tsv(alerts, tables.NOTICE_FIELDS, path="notice"), logs.objects([notice] * 3)],
    }[kind]


TABLES = (
    *("argus", "nfdump-csv", "nfdump", "vpc", "azure", "netflow-csv", "cic", "mapped", "zeek-notice"),
    *("zeek-dns", "zeek-http", "zeek-ssl"),
)


def options(kind: str) -> dict[str, Any]:
    """What beside its bytes it takes to read one."""
    if kind == "mapped":
        return {"mapping": tables.OWN_MAPPING}
    return {"complaints": bytes} if kind == "nfdump" else {}


def damage_table(rng: random.Random, data: bytearray) -> None:
    """Hurt a table once, in place."""
    _damage_text(rng, data, b'\t\n,:;{}"| ', TOKENS + TABLE_TOKENS)


def damage_text(rng: random.Random, data: bytearray) -> None:
    """Hurt a log once, in place."""
    _damage_text(rng, data, b'\t\n,:{}"|', TOKENS)


def _damage_text(rng: random.Random, data: bytearray, separators: bytes, tokens: tuple[bytes, ...]) -> None:
    """Hurt a text once, in place: as bytes, or where its values and lines begin and end."""
    if rng.random() < 0.3:
        damage(rng, data)
        return
    edges = [at for at, byte in enumerate(data) if byte in separators] or [0]
    at = rng.choice(edges)
    match rng.randrange(5):
        case 0 | 1:  # another value
            end = min((edge for edge in edges if edge > at), default=len(data))
            data[at + 1 : end] = rng.choice(tokens)
        case 2:
            data[at:at] = rng.choice(tokens)
        case 3:
            del data[at : rng.choice(edges)]
        case 4:
            end = rng.choice(edges)
            data[at:at] = data[min(at, end) : max(at, end)]
    if not data:
        data += b"\n"


def log_mutants(kind: str, seed: int, count: int) -> list[bytes]:
    """Return `count` damaged logs of `kind`; the same for the same seed."""
    if kind in TABLES:
        return _hurt(table_seeds(kind), seed, count, damage_table)
    return _hurt(zeek_seeds() if kind == "zeek" else eve_seeds(), seed, count, damage_text)


def _hurt(
    good: list[bytes], seed: int, count: int, hurt: Callable[[random.Random, bytearray], None]
) -> list[bytes]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        data = bytearray(rng.choice(good))
        packed = rng.random() < 0.1
        if packed and rng.random() < 0.5:
            data = bytearray(gzip.compress(bytes(data), 1, mtime=0))
            packed = False
        for _ in range(rng.choice([1, 1, 2, 3, 8])):
            hurt(rng, data)
        found.append(gzip.compress(bytes(data), 1, mtime=0) if packed else bytes(data))
    return found
