"""Damaged datagrams of flow exporters, drawn from a seed: good ones of every kind, hurt in every way."""

from __future__ import annotations

import random
import struct

from tests.unit.formats.listeners import exporter as x

from .mutate import damage

BIFLOW: list[x.Field] = [*x.MODERN, (x.IN_PKTS, 4, x.REVERSE), (x.IN_BYTES, 4, x.REVERSE), (239, 1)]
VARIABLE: list[x.Field] = [
    (x.SRC_6, 16),
    (x.DST_6, 16),
    (371, 0xFFFF),
    (x.IN_PKTS, 3),
    (4, 1),
    (9, 0xFFFF, 9),
]
NUMBERS = (0, 1, 2, 3, 4, 5, 9, 10, 255, 256, 257, 0x7FFF, 0xFFFF)


def datagrams() -> list[bytes]:
    """Good datagrams: templates, options, data of each version."""
    long = x.ip6("fe80::1") + x.ip6("fe80::2") + b"\3abc" + bytes([0, 0, 9, 17]) + b"\xff\0\2xy"
    biflow = x.modern() + struct.pack(">IIB", 3, 300, 1)
    sampled = struct.pack(">IIB", 1, 64, 2)
    return [
        x.v5([x.v5_record(), x.v5_record("10.0.0.2", "10.0.0.1", 80, 40000)]),
        x.v5([x.v5_record(proto=1, sport=0, dport=0x0800)], sequence=2, sampling=10),
        x.v9(x.templates9(x.template(256, x.PLAIN), x.template(257, [(8, 4), (1, 4)]))),
        x.v9(x.flowset(256, x.plain() * 3, pad=2), x.flowset(257, bytes(16)), sequence=1),
        x.v9(x.options9(258, [(1, 4)], [(34, 4), (35, 1)]), x.flowset(258, sampled, pad=3), sequence=2),
        x.ipfix(x.templates10(x.template(300, x.MODERN), x.template(301, BIFLOW), x.template(302, VARIABLE))),
        x.ipfix(x.flowset(300, x.modern() * 2), x.flowset(301, biflow), sequence=0),
        x.ipfix(x.flowset(302, long * 2), sequence=3),
        x.ipfix(
            x.options10(303, [(149, 4)], [(160, 8)]), x.flowset(303, struct.pack(">IQ", 1, 1)), sequence=5
        ),
    ]


def mutants(seed: int, count: int) -> list[bytes]:
    """Return `count` streams of some datagrams each, most of them damaged; the same for the same seed."""
    rng, good, found = random.Random(seed), datagrams(), []
    for _ in range(count):
        told: list[bytes | tuple[str, bytes] | tuple[float, str, bytes]] = []
        if rng.random() < 0.6:  # what follows can be decoded
            told += [("192.0.2.0", good[2]), ("192.0.2.0", good[5])]
        for _ in range(rng.randrange(1, 8)):
            data = bytearray(rng.choice(good))
            for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
                if rng.random() < 0.5 and len(data) > 24:  # where numbers of sets, fields and lengths stand
                    at = rng.randrange(8, len(data) // 2) * 2 % (len(data) - 1)
                    data[at : at + 2] = struct.pack(">H", rng.choice(NUMBERS))
                else:
                    damage(rng, data)
            host = f"192.0.2.{rng.choice((0, 0, 0, 1))}"
            told.append((rng.choice([0, 0, 1, 700, 6000]), host, bytes(data)))
        stream = bytearray(x.stream(*told))
        if rng.random() < 0.1:
            rest = stream[24:]
            damage(rng, rest)
            stream[24:] = rest
        found.append(bytes(stream))
    return found
