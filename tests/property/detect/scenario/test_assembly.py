"""Bytes of arbitrary packets, taken apart by dpkt; checksums recomputed word by word."""

from __future__ import annotations

import struct

import dpkt
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwarden.detect.scenario.assembly import POOL, Assembler, packet_columns
from qwarden.detect.scenario.dice import Dice
from qwarden.detect.scenario.wire import (
    ACK,
    ARP,
    BENIGN,
    FIN,
    ICMP,
    ICMPV6,
    OPTIONS_PLAIN,
    OPTIONS_STAMPS,
    PSH,
    RST,
    SYN,
    TCP,
    UDP,
    End,
    Talk,
    Wire,
)

POOL_BYTES = Dice(1).many_bytes(POOL)
START_US = 1_767_600_000_000_000


def rfc1071(data: bytes) -> int:
    """The checksum as RFC 1071 section 4.1 writes it."""
    total = 0
    for i in range(0, len(data) - 1, 2):
        total += data[i] << 8 | data[i + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


macs = st.integers(0, (1 << 48) - 1)
ports = st.integers(0, 65_535)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    layers = [(4, TCP), (4, UDP), (4, ICMP), (6, TCP), (6, UDP), (6, ICMPV6), (0, ARP)]
    version, proto = draw(st.sampled_from(layers))
    address = st.integers(0, (1 << (128 if version == 6 else 32)) - 1)

    def end() -> End:
        return End(draw(address), draw(ports), draw(macs), draw(st.integers(1, 255)), True, draw(ports), 0.0)

    extension = b""
    if version == 6 and draw(st.booleans()):
        words = draw(st.integers(1, 30))
        extension = bytes([proto, words - 1, 1, 8 * words - 4]) + bytes(8 * words - 4)
    vlan = draw(st.sampled_from([0, 1, 4_094]))
    options = draw(st.integers(0, OPTIONS_STAMPS))
    mss = draw(st.integers(1, 65_535))
    return Talk(proto, version, end(), end(), options, mss, vlan, BENIGN, extension, 60 if extension else 0)


@st.composite
def wires(draw: st.DrawFn) -> Wire:
    wire = Wire(1_000_000_000, Dice(0))
    wire.talks = draw(st.lists(talks(), min_size=1, max_size=4))
    for _ in range(draw(st.integers(1, 12))):
        conversation = draw(st.integers(0, len(wire.talks) - 1))
        proto = wire.talks[conversation].proto
        choices = {TCP: [SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST], ARP: [1, 2]}
        flags = draw(st.sampled_from(choices.get(proto, [0x0800])))
        size = 0 if proto == ARP else draw(st.integers(0, 3_000))
        known = draw(st.binary(max_size=min(size, 40)))
        wire.packets.append(
            (
                draw(st.integers(0, 999_999_999)), conversation, draw(st.integers(0, 1)), flags,
                draw(st.integers(0, (1 << 32) - 1)), draw(st.integers(0, (1 << 32) - 1)), size,
                wire.patch(known),
            )
        )  # fmt: skip
    return wire


def frames(wire: Wire, padded: bool) -> list[tuple[int, bytes]]:
    packets = packet_columns(wire)
    noise = np.frombuffer(Dice(2).many_bytes(32 * len(wire.talks)), np.uint64).reshape(-1, 4)
    made = Assembler(wire, packets, START_US, POOL_BYTES, noise, padded)
    data = b"".join(bytes(block) for _, block in made.blocks())
    found, at = [], 0
    while at < len(data):
        seconds, fraction, size, whole = struct.unpack_from("<IIII", data, at)
        assert size == whole
        found.append((seconds * 1_000_000 + fraction, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found


@given(wires(), st.booleans())
def test_every_packet_is_what_was_asked_for(wire: Wire, padded: bool) -> None:
    asked = sorted(wire.packets, key=lambda packet: packet[0])
    made = frames(wire, padded)
    assert len(made) == len(asked)
    for (time_us, frame), packet in zip(made, asked, strict=True):
        time, conversation, way, flags, seq, _, size, patch = packet
        talk = wire.talks[conversation]
        one, two = (talk.client, talk.server) if way == 0 else (talk.server, talk.client)
        assert time_us == START_US + time
        assert not padded or len(frame) >= 60
        link = 18 if talk.vlan else 14
        assert frame[6:12] == one.mac.to_bytes(6, "big")
        if talk.vlan:
            assert struct.unpack_from(">HH", frame, 12) == (0x8100, talk.vlan)
        body = frame[link:]
        if talk.proto == ARP:
            arp = dpkt.arp.ARP(body[:28])
            assert (arp.op, arp.spa, arp.tpa) == (flags, one.ip.to_bytes(4, "big"), two.ip.to_bytes(4, "big"))
            assert arp.sha == one.mac.to_bytes(6, "big")
            continue
        if talk.version == 4:
            assert rfc1071(body[:20]) == 0
            length = struct.unpack_from(">H", body, 2)[0]
            source, target = (end.ip.to_bytes(4, "big") for end in (one, two))
            assert (body[8], body[9], body[12:16], body[16:20]) == (one.ttl, talk.proto, source, target)
            payload = body[20:length]
        else:
            length = struct.unpack_from(">H", body, 4)[0]
            source, target = (end.ip.to_bytes(16, "big") for end in (one, two))
            assert (body[7], body[8:24], body[24:40]) == (one.ttl, source, target)
            assert body[40 : 40 + len(talk.extension)] == talk.extension
            assert body[6] == (60 if talk.extension else talk.proto)
            payload = body[40 + len(talk.extension) : 40 + length]
        pseudo = source + target + struct.pack(">II", len(payload), talk.proto)
        assert rfc1071(payload if talk.proto == ICMP else pseudo + payload) in (0, 0xFFFF)
        rest = check_transport(talk, one, two, payload, flags, seq)
        assert len(rest) == size
        for offset, known in wire.patches[patch]:
            assert rest[offset : offset + len(known)] == known


def check_transport(talk: Talk, one: End, two: End, payload: bytes, flags: int, seq: int) -> bytes:
    """Check the transport header; return what it carries."""
    if talk.proto == TCP:
        tcp = dpkt.tcp.TCP(payload)
        assert (tcp.sport, tcp.dport, tcp.flags) == (one.port, two.port, flags)
        kinds = [kind for kind, _ in dpkt.tcp.parse_opts(tcp.opts)]
        if talk.options == OPTIONS_STAMPS:
            assert dpkt.tcp.TCP_OPT_TIMESTAMP in kinds
        if talk.options >= OPTIONS_PLAIN and flags & SYN:
            assert dict(dpkt.tcp.parse_opts(tcp.opts))[dpkt.tcp.TCP_OPT_MSS] == struct.pack(">H", talk.mss)
        return bytes(tcp.data)
    if talk.proto == UDP:
        sport, dport, length, checksum = struct.unpack_from(">HHHH", payload)
        assert (sport, dport, length) == (one.port, two.port, len(payload))
        assert checksum != 0
        return payload[8:]
    kind, _, rest = struct.unpack_from(">HHI", payload)
    assert (kind, rest) == (flags, seq)
    return payload[8:]


@given(wires())
def test_layout_does_not_depend_on_the_company(wire: Wire) -> None:
    """Alone or among others, a packet has the same bytes (but for what it echoes of its conversation)."""
    talks = [talk._replace(options=min(talk.options, OPTIONS_PLAIN)) for talk in wire.talks]
    wire.talks = talks
    together = frames(wire, False)
    packets = sorted(wire.packets, key=lambda packet: packet[0])
    for i, packet in enumerate(packets):
        alone = Wire(wire.duration_us, Dice(0))
        alone.talks, alone.patches, alone.packets = talks, wire.patches, [packet]
        assert frames(alone, False)[0] == together[i]
