"""Damaged captures, drawn from a seed: good ones of every kind, hurt in every way."""

from __future__ import annotations

import gzip
import random
import struct

from tests.unit.formats import craft

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
    ]
    for big in (False, True):
        blocks = craft.section(big=big) + craft.interface(options=craft.option(9, b"\x09", big=big), big=big)
        blocks += craft.interface(101, 64, craft.option(14, bytes(7) + b"\x05", big=big), big=big)
        for i, packet in enumerate(frames):
            blocks += craft.enhanced(packet, i * 10**9, big=big)
        blocks += craft.block(5, bytes(40), big=big) + craft.old_packet(frames[0], 10**9, big=big)
        blocks += craft.simple(frames[1], big=big) + craft.enhanced(bare[0][1], 5, 1, big=big)
        found.append(blocks)
    return [*found, found[6] + found[7]]


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
    rng = random.Random(seed)
    good = seeds()
    found = []
    for _ in range(count):
        data = bytearray(rng.choice(good))
        packed = rng.random() < 0.1
        if packed and rng.random() < 0.5:
            data = bytearray(gzip.compress(bytes(data), 1, mtime=0))
            packed = False
        for _ in range(rng.choice([1, 1, 2, 3, 8])):
            damage(rng, data)
        found.append(gzip.compress(bytes(data), 1, mtime=0) if packed else bytes(data))
    return found
