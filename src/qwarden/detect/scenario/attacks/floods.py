"""Floods of the network: SYN, UDP, ICMP. Rates are those of real floods, totals a few seconds' worth."""

from __future__ import annotations

import struct

from qwarden.detect.scenario.attacks.scans import scanner, stranger
from qwarden.detect.scenario.plan import Host, public_ip4, remote_host
from qwarden.detect.scenario.ranges import FLOOD_RATE
from qwarden.detect.scenario.sessions import link
from qwarden.detect.scenario.wire import (
    ACK,
    ICMP,
    ICMPV6,
    OPTIONS_MSS,
    OPTIONS_NONE,
    OPTIONS_STAMPS,
    RST,
    SYN,
    TCP,
    UDP,
    End,
    Talk,
)
from qwarden.detect.scenario.world import World


def _volume(w: World, start: float) -> tuple[float, int, float]:
    """Return start, packets and mean microseconds between them."""
    d = w.dice
    # Some captures of floods were replayed at full speed, or their clock is that of a slow machine.
    rate = d.of(FLOOD_RATE) if d.chance(0.88) else d.log_between(16e3, 200e3)
    count = int(d.log_between(900, 4_500))
    length = count / rate
    return min(start, max(0.0, w.duration - 1.1 * length)), count, 1e6 / rate


def _sides(w: World) -> tuple[Host, Host]:
    """Return attacker and victim."""
    d = w.dice
    place = d.unit()
    if place < 0.45:
        return stranger(w), d.pick([*w.plan.servers.values(), *w.plan.people])
    source = scanner(w)
    if place < 0.8:
        return source, d.pick([h for h in w.plan.local if h.ip4 != source.ip4])
    return source, stranger(w)


def _syn_flood(w: World, start: float, talks: list[Talk]) -> None:
    d = w.dice
    start, count, step = _volume(w, start)
    conversations = [(w.wire.open(t), int(t.server.leg * 1e6) + 1) for t in talks]
    share, answer = d.pick(((0.0, SYN | ACK), (0.3, SYN | ACK), (1.0, RST | ACK), (0.1, RST | ACK)))
    t, put = start * 1e6, w.wire.packets.append
    for i in range(count):
        conversation, leg = conversations[i % len(conversations)]
        put((int(t), conversation, 0, SYN, i, 0, 0, 0))
        if share and d.unit() < share:
            put((int(t) + leg, conversation, 1, answer, 0, i + 1, 0, 0))
        t += step * (0.3 + 1.4 * d.unit())


def syn_spoofed(w: World, start: float) -> None:
    """SYNs from invented addresses (a bounded number of them) to one port."""
    d = w.dice
    source, victim = _sides(w)
    port, options = d.pick((80, 443, 22, 25, 53, 8080)), d.pick((OPTIONS_NONE, OPTIONS_MSS, OPTIONS_STAMPS))
    talks = []
    for _ in range(d.integer(60, 500)):
        talk = w.talk(TCP, source, victim, port, source=d.integer(1_024, 65_535), ipv6=False, options=options)
        talks.append(
            talk._replace(
                client=talk.client._replace(ip=public_ip4(d), window=d.pick((64, 512, 5_840, 64_240)))
            )
        )
    _syn_flood(w, start, talks)


def syn_one_source(w: World, start: float) -> None:
    """SYNs from one address, a bounded number of source ports in turn."""
    d = w.dice
    source, victim = _sides(w)
    port, options, first = (
        d.pick((80, 443, 22, 25, 3389, 8080)),
        d.pick((OPTIONS_NONE, OPTIONS_MSS)),
        d.integer(1_025, 60_000),
    )
    talks = [
        w.talk(TCP, source, victim, port, source=first + i, ipv6=False, options=options)
        for i in range(d.pick((1, 40, 200, 500)))
    ]
    _syn_flood(w, start, talks)


def _udp_flood(w: World, start: float, talks: list[Talk]) -> None:
    d = w.dice
    start, count, step = _volume(w, start)
    conversations = [w.wire.open(t) for t in talks]
    size, varied = d.pick((0, 1, 18, 64, 512, 1_024, 1_400)), d.chance(0.2)
    t, put, patch = start * 1e6, w.wire.packets.append, w.wire.patch(d.pick((b"\xff", b"\0", b"X")) * 16)
    for i in range(count):
        n = d.integer(16, max(size, 16)) if varied else size
        put((int(t), conversations[i % len(conversations)], 0, 0, i, 0, n, patch if n >= 16 else 0))
        t += step * (0.3 + 1.4 * d.unit())


_QUIET_PORTS = (7_777, 9_987, 30_120, 40_001, 53_211, 61_000)  # games and voice: what is flooded


def udp_one_flow(w: World, start: float) -> None:
    """Datagrams from one port to one port."""
    d = w.dice
    source, victim = _sides(w)
    _udp_flood(w, start, [w.talk(UDP, source, victim, d.pick(_QUIET_PORTS))])


def udp_many_ports(w: World, start: float) -> None:
    """Datagrams to many ports of one victim, or from many."""
    d = w.dice
    source, victim = _sides(w)
    ipv6, port = w.speaks_ipv6(source, victim), d.pick(_QUIET_PORTS)
    turn = d.chance(0.5)
    talks = []
    for _ in range(d.integer(30, 350)):
        other = d.integer(49_152, 65_000)
        talks.append(
            w.talk(UDP, source, victim, other if turn else port, source=None if turn else other, ipv6=ipv6)
        )
    _udp_flood(w, start, talks)


def echo(w: World, start: float) -> None:
    """Echo requests as fast as they go; the victim answers all, some or none."""
    d = w.dice
    source, victim = _sides(w)
    ipv6 = w.speaks_ipv6(source, victim)
    talk = w.talk(ICMPV6 if ipv6 else ICMP, source, victim, ipv6=ipv6)
    start, count, step = _volume(w, start)
    conversation, leg = w.wire.open(talk), int(talk.server.leg * 1e6) + 1
    kinds = (link.ECHO6, link.ECHO6_REPLY) if ipv6 else (link.ECHO, link.ECHO_REPLY)
    size, share, number = (
        d.pick((0, 56, 120, 1_000, 1_400)),
        d.pick((0.0, 0.4, 1.0)),
        d.integer(1, 65_535) << 16,
    )
    t, put = start * 1e6, w.wire.packets.append
    for i in range(count):
        put((int(t), conversation, 0, kinds[0], number | i & 0xFFFF, 0, size, 0))
        if share and d.unit() < share:
            put((int(t) + leg, conversation, 1, kinds[1], number | i & 0xFFFF, 0, size, 0))
        t += step * (0.3 + 1.4 * d.unit())


def echo_amplified(w: World, start: float) -> None:
    """Smurf: echoes to a group in a victim's name, or replies of everybody to it (rsmurf6, RFC 4443 5.2)."""
    d = w.dice
    source = scanner(w)
    subnet = w.plan.subnets[source.subnet]
    start, count, step = _volume(w, start)
    if d.chance(0.5):  # rsmurf6: a group as the sender
        group = End(0xFF02 << 112 | 1, 0, 0x3333_0000_0001, 255, False, 0, 0.0)
        one = group._replace(mac=source.mac)
        if d.chance(0.4):  # smurf6: the victim as the sender
            one = End(0xFE80 << 112 | d.integer(1, 1 << 48), 0, source.mac, 255, False, 0, 0.0)
        talks = [Talk(ICMPV6, 6, one, group, 0, 0, subnet.vlan, w.tag, b"", 0)]
        kind = link.ECHO6
    else:  # the replies come in
        victim = d.pick(w.plan.people)
        talks = [
            w.talk(ICMP, remote_host(d, "amplifier", subnet.gateway.mac), victim, ipv6=False)
            for _ in range(d.integer(10, 60))
        ]
        kind = link.ECHO_REPLY
    conversations = [w.wire.open(t) for t in talks]
    t, size, number = start * 1e6, d.pick((16, 56, 512, 1_000)), d.integer(1, 65_535) << 16
    for i in range(count):
        w.wire.packets.append(
            (int(t), conversations[i % len(conversations)], 0, kind, number | i & 0xFFFF, 0, size, 0)
        )
        t += step * (0.3 + 1.4 * d.unit())


def extension_headers(w: World, start: float) -> None:
    """Echoes through IPv6 extension headers that are dear to parse; each draws a parameter problem."""
    d = w.dice
    source, victim = scanner(w), d.pick(w.plan.people)
    low, high = (0x2001_0718 << 32 | d.integer(1, 0xFFFF) << 16) << 64, d.integer(2, 0xFFFF)
    one = End(low | high, 0, source.mac, 255, False, 0, 0.0)
    two = End(low | high + 1, 0, victim.mac, 255, False, 0, 0.0002)
    vlan = w.plan.subnets[source.subnet].vlan
    start, count, step = _volume(w, start)
    following, body = d.pick(
        (
            (51, _authentication()),
            (60, _padding_options(8 * d.integer(1, 30))),
            (0, _padding_options(8 * d.integer(1, 30))),
        )
    )
    ask = w.wire.open(Talk(ICMPV6, 6, one, two, 0, 0, vlan, w.tag, body, following))
    complain = w.wire.open(Talk(ICMPV6, 6, two, one, 0, 0, vlan, w.tag, b"", 0))
    share, number = d.pick((0.0, 0.3, 0.6)), 0xFACE_0000 | d.integer(0, 65_535)
    quoted = one.ip.to_bytes(16, "big") + two.ip.to_bytes(16, "big")
    quoted = struct.pack(">IHBB", 0x60000000, 16 + len(body), following, 255) + quoted + body[:32]
    patch = w.wire.patch(quoted)
    t, put = start * 1e6, w.wire.packets.append
    for _ in range(count):
        put((int(t), ask, 0, link.ECHO6, number, 0, 8, 0))
        if share and d.unit() < share:
            put((int(t) + 5, complain, 0, 4 << 8 | 1, 6, 0, len(quoted), patch))
        t += step * (0.3 + 1.4 * d.unit())


def _authentication() -> bytes:
    return bytes([ICMPV6, 2]) + bytes(14)


def _padding_options(size: int) -> bytes:
    """Return an options header of `size` bytes (8 to 248, by 8) of padding only (RFC 8200 4.2)."""
    return bytes([ICMPV6, size // 8 - 1, 1, size - 4]) + bytes(size - 4)
