"""Scans: one port on many hosts, or many ports on one host; fast, patient and slow."""

from __future__ import annotations

from typing import Final

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.plan import Host, public_ip4, remote_host
from qwarden.detect.scenario.ranges import SCAN_PORTS, SCAN_TARGETS
from qwarden.detect.scenario.sessions import link
from qwarden.detect.scenario.wire import (
    ACK,
    ARP,
    FIN,
    ICMP,
    OPTIONS_MSS,
    OPTIONS_NONE,
    OPTIONS_PLAIN,
    OPTIONS_STAMPS,
    PSH,
    RST,
    TCP,
    UDP,
    Talk,
    Turn,
)
from qwarden.detect.scenario.world import World

_SWEPT = (
    22,
    23,
    80,
    443,
    445,
    445,
    3389,
    3389,
    21,
    8080,
    5900,
    1433,
    3306,
    6379,
    135,
    139,
    502,
    2404,
    7547,
    5555,
    81,
)
_COMMON = (
    21, 22, 23, 25, 53, 80, 81, 88, 110, 111, 113, 119, 135, 139, 143, 179, 199, 389, 443, 445, 465, 514,
    515, 543, 548, 554, 587, 631, 636, 646, 873, 902, 990, 993, 995, 1025, 1080, 1099, 1433, 1521, 1720,
    1723, 1883, 2049, 2121, 2717, 3000, 3128, 3268, 3306, 3389, 4899, 5000, 5060, 5190, 5357, 5432, 5666,
    5800, 5900, 5985, 6000, 6379, 6646, 7070, 8000, 8008, 8009, 8080, 8081, 8443, 8888, 9000, 9090, 9100,
    9200, 9999, 10000, 27017, 32768, 49152, 49154,
)  # fmt: skip


_LONG_S: Final = 6 * 3_600.0


def _rhythm(w: World, start: float, count: int) -> tuple[float, float]:
    """Return when to start and the seconds between probes: a burst, patient, or over the whole capture."""
    d = w.dice
    room = max(w.duration - start, 1.0)
    pace = d.weighted(
        ((0.5, d.log_between(0.0002, 0.05)), (0.3, d.log_between(0.05, 1)), (0.2, d.log_between(1, 20)))
    )
    if w.duration >= _LONG_S and d.chance(0.5):  # half a day leaves room for patience
        pace = d.log_between(20, 900)
    if pace * count > 0.9 * room:  # a slow one may begin with the capture
        start = 0.02 * w.duration
        pace = min(pace, 0.9 * (w.duration - start) / count)
    return start, pace


def scanner(w: World) -> Host:
    """Return who attacks from inside: one of the people, seldom a device."""
    d = w.dice
    return d.pick(w.plan.people) if d.chance(0.85) or not w.plan.devices else d.pick(w.plan.devices)


def stranger(w: World) -> Host:
    """Return an attacker on the Internet."""
    return remote_host(w.dice, "stranger", w.plan.subnets[0].gateway.mac)


def _probe(w: World, talk: Talk, at: float, state: str, *, full: bool, again: float) -> None:
    """Play one probe of a port that is open, closed or filtered; a full one may ask who is there."""
    if state == "open" and full and w.dice.chance(0.4):
        banner: list[Turn] = [
            (0.001, 0, w.dice.integer(18, 260), b""),
            (0.004, 1, w.dice.integer(20, 1_200), b""),
        ]
        w.wire.tcp(at, talk, banner, w.path(talk), close=w.dice.pick(("fin", "rst")))
    elif state == "open":
        w.wire.tcp_probed(at, talk, full)
    elif state == "closed":
        w.wire.tcp_refused(at, talk)
    else:
        w.wire.tcp_ignored(at, talk, (again,) if again else ())


def _style(w: World) -> tuple[int, bool, float]:
    """Return a tool's TCP options, whether it completes handshakes, and when it tries again (0: never)."""
    d = w.dice
    options = d.pick((OPTIONS_MSS, OPTIONS_MSS, OPTIONS_PLAIN, OPTIONS_STAMPS, OPTIONS_NONE))
    return options, options in (OPTIONS_PLAIN, OPTIONS_STAMPS), d.pick((0.0, 1.0, 1.0, 0.2))


def _source_port(w: World, host: Host, fixed: int) -> int:
    return fixed or host.port(w.dice)


def sweep_inside(w: World, start: float) -> None:
    """Sweep the own subnet: ARP for every address, then one port of who answers."""
    d = w.dice
    source = scanner(w)
    subnet = w.plan.subnets[source.subnet]
    alive = {h.ip4: h for h in w.plan.local if h.subnet == source.subnet and h is not source}
    count = max(d.whole(SCAN_TARGETS), 20)
    addresses = d.some([subnet.network + n for n in range(1, 255) if subnet.network + n != source.ip4], count)
    addresses = list(dict.fromkeys((*addresses, *d.some(sorted(alive), max(4, len(alive) // 2)))))
    if d.chance(0.6):
        addresses.sort()
    port, (options, full, again) = d.pick(_SWEPT), _style(w)
    start, pace = _rhythm(w, start, len(addresses))
    silent_arp = d.chance(0.6)  # a tap at the switch sees the ARP requests; one behind the router does not
    for i, address in enumerate(addresses):
        at = start + i * pace * d.between(0.8, 1.2)
        target = alive.get(address)
        if target is None:
            gone = remote_host(d, "none", source.mac)
            gone.ip4, gone.subnet = address, source.subnet
            if silent_arp:
                w.wire.arp(at, w.talk(ARP, source, gone), d.pick(((0.0,), (0.0, 1.0), (0.0, 1.0, 1.0))), None)
            else:
                _probe(
                    w,
                    w.talk(TCP, source, gone, port, ipv6=False, options=options),
                    at,
                    "filtered",
                    full=full,
                    again=again,
                )
            continue
        if silent_arp:
            at = link.arp(w, source, target, at) + 0.0001
        state = d.weighted(((0.2, "open"), (0.6, "closed"), (0.2, "filtered")))
        _probe(
            w,
            w.talk(TCP, source, target, port, ipv6=False, options=options),
            at,
            state,
            full=full,
            again=again,
        )


def sweep_outside(w: World, start: float) -> None:
    """A worm looks for one port on random addresses of the Internet."""
    d = w.dice
    source, gateway = scanner(w), w.plan.subnets[0].gateway
    count, port, (options, full, again) = d.whole(SCAN_TARGETS), d.pick(_SWEPT), _style(w)
    start, pace = _rhythm(w, start, count)
    block = public_ip4(d) & 0xFFFF_0000
    near = d.chance(0.5)
    for i in range(count):
        target = remote_host(d, "random", gateway.mac)
        if near:
            target.ip4 = block | i // 200 << 8 | 1 + i % 200
        state = d.weighted(((0.06, "open"), (0.14, "closed"), (0.8, "filtered")))
        talk = w.talk(TCP, source, target, port, ipv6=False, options=options)
        _probe(w, talk, start + i * pace * d.between(0.7, 1.3), state, full=full, again=again)


def sweep_from_outside(w: World, start: float) -> None:
    """A stranger looks for one port on the addresses here."""
    d = w.dice
    source, subnet = stranger(w), d.pick(w.plan.subnets)
    alive = {h.ip4: h for h in w.plan.local}
    count, port, (options, full, again) = d.whole(SCAN_TARGETS), d.pick(_SWEPT), _style(w)
    start, pace = _rhythm(w, start, count)
    fixed = d.integer(1_024, 60_000) if d.chance(0.4) else 0
    for i, address in enumerate(d.some([subnet.network + n for n in range(1, 255)], count)):
        target = alive.get(address)
        state = d.weighted(((0.15, "open"), (0.5, "closed"), (0.35, "filtered"))) if target else "filtered"
        if target is None:
            target = remote_host(d, "none", subnet.gateway.mac)
            target.ip4, target.subnet = address, w.plan.subnets.index(subnet)
        talk = w.talk(
            TCP, source, target, port, source=_source_port(w, source, fixed), ipv6=False, options=options
        )
        _probe(w, talk, start + i * pace * d.between(0.8, 1.2), state, full=full, again=again)


def sweep_udp(w: World, start: float) -> None:
    """Ask one UDP service of every address."""
    d = w.dice
    source, subnet = scanner(w), d.pick(w.plan.subnets)
    alive = {h.ip4: h for h in w.plan.local if h is not source}
    port = d.pick((161, 123, 53, 5060, 1900))
    ask = {
        161: payload.snmp_get(d, 1, False),
        123: payload.ntp(d, False),
        53: payload.dns_query(d, "version.bind", 16),
    }.get(port, b"")
    count = d.whole(SCAN_TARGETS)
    start, pace = _rhythm(w, start, count)
    source_port = source.port(d)
    addresses = [subnet.network + n for n in range(1, 255) if subnet.network + n != source.ip4]
    for i, address in enumerate(d.some(addresses, count)):
        at = start + i * pace * d.between(0.8, 1.2)
        target = alive.get(address)
        known = target is not None
        if target is None:
            target = remote_host(d, "none", subnet.gateway.mac)
            target.ip4, target.subnet = address, w.plan.subnets.index(subnet)
        talk = w.talk(UDP, source, target, port, source=source_port, ipv6=False)
        w.wire.datagrams(at, talk, [(0.0, 0, len(ask), ask)])
        if known and d.chance(0.5):
            link.port_unreachable(w, target, source, at + 0.0005, (source_port, port), len(ask))


def sweep_echo(w: World, start: float) -> None:
    """Ping every address."""
    d = w.dice
    source, subnet = scanner(w), d.pick(w.plan.subnets)
    alive = {h.ip4: h for h in w.plan.local if h is not source}
    count, size = d.whole(SCAN_TARGETS), d.pick((0, 8, 32, 56))
    start, pace = _rhythm(w, start, count)
    addresses = [subnet.network + n for n in range(1, 255) if subnet.network + n != source.ip4]
    for i, address in enumerate(d.some(addresses, count)):
        target = alive.get(address)
        answered = target is not None and d.chance(0.8)
        if target is None:
            target = remote_host(d, "none", subnet.gateway.mac)
            target.ip4, target.subnet = address, w.plan.subnets.index(subnet)
        talk = w.talk(ICMP, source, target, ipv6=False)
        number = d.integer(1, 65_535) << 16 | i
        turns = [(0.0, 0, link.ECHO, number, size, b"")]
        if answered:
            turns.append((0.00002, 1, link.ECHO_REPLY, number, size, b""))
        w.wire.icmp(start + i * pace * d.between(0.8, 1.2), talk, turns)


def _ports(w: World) -> list[int]:
    d = w.dice
    count = d.whole(SCAN_PORTS)
    style = d.unit()
    if style < 0.5:  # the usual ones, then others
        ports = d.some(_COMMON, min(count, len(_COMMON)))
        ports += d.some(sorted(set(range(1, 10_000)) - set(_COMMON)), max(0, count - len(_COMMON)))
    elif style < 0.8:
        first = d.integer(1, 1_024)
        ports = list(range(first, first + count))
    else:
        ports = d.some(range(1, 65_536), count)
    if d.chance(0.7):
        d.shuffle(ports)
    return ports


def _scan_ports(w: World, start: float, source: Host, target: Host) -> None:
    d = w.dice
    ports, (options, full, again) = _ports(w), _style(w)
    start, pace = _rhythm(w, start, len(ports))
    closed = d.pick(("closed", "closed", "filtered"))
    opened = set(d.some(ports, d.integer(1, 6)))
    fixed = source.port(d) if not full and d.chance(0.6) else 0
    stealth = FIN if not full and d.chance(0.12) else FIN | PSH | 32 if not full and d.chance(0.08) else 0
    ipv6 = w.speaks_ipv6(source, target)
    for i, port in enumerate(ports):
        talk = w.talk(
            TCP, source, target, port, source=_source_port(w, source, fixed), ipv6=ipv6, options=options
        )
        at = start + i * pace * d.between(0.6, 1.4)
        if stealth:  # FIN and Xmas scans: a closed port resets, an open one is silent (RFC 9293 3.10.7)
            conversation, t = w.wire.open(talk), int(at * 1e6)
            w.wire.packets.append((t, conversation, 0, stealth, 1, 0, 0, 0))
            if port not in opened:
                w.wire.packets.append(
                    (t + int(talk.server.leg * 1e6), conversation, 1, RST | ACK, 0, 1, 0, 0)
                )
            continue
        _probe(
            w,
            talk,
            at,
            "open" if port in opened else closed,
            full=full,
            again=again if closed == "filtered" else 0,
        )


def ports_inside(w: World, start: float) -> None:
    """Scan the ports of a neighbour or a server."""
    source = scanner(w)
    _scan_ports(w, start, source, w.dice.pick([h for h in w.plan.local if h.ip4 != source.ip4]))


def ports_from_outside(w: World, start: float) -> None:
    """A stranger scans the ports of a machine here."""
    _scan_ports(w, start, stranger(w), w.dice.pick([*w.plan.servers.values(), *w.plan.people]))


def ports_outside(w: World, start: float) -> None:
    """Somebody here scans the ports of a machine on the Internet."""
    _scan_ports(w, start, scanner(w), stranger(w))


def ports_udp(w: World, start: float) -> None:
    """Scan UDP ports: closed ones answer with ICMP, slowly (RFC 1812 4.3.2.8)."""
    d = w.dice
    source = scanner(w)
    target = d.pick([h for h in w.plan.local if h.ip4 != source.ip4])
    ports = _ports(w)[:300]
    start, pace = _rhythm(w, start, len(ports))
    source_port = source.port(d)
    said = -1.0
    for i, port in enumerate(ports):
        at = start + i * pace * d.between(0.8, 1.2)
        talk = w.talk(UDP, source, target, port, source=source_port, ipv6=False)
        w.wire.datagrams(at, talk, [(0.0, 0, 0, b"")])
        if at - said > 1.0:
            said = at
            link.port_unreachable(w, target, source, at + 0.0006, (source_port, port), 0)
