"""What keeps a network together: ARP, DHCP, ICMP, neighbour discovery."""

from __future__ import annotations

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.plan import BROADCAST_MAC, Host
from qwarden.detect.scenario.wire import ARP, ICMP, ICMPV6, UDP, End, Talk
from qwarden.detect.scenario.world import World

ECHO, ECHO_REPLY, UNREACHABLE = 8 << 8, 0, 3 << 8 | 3
ECHO6, ECHO6_REPLY = 128 << 8, 129 << 8
SOLICIT, ADVERTISE, ROUTER_ADVERTISE = 135 << 8, 136 << 8, 134 << 8


def resolve_neighbour(w: World, host: Host, peer: Host, start: float, *, answered: bool = True) -> float:
    """Play the ARP exchange before first contact with a neighbour (at most once in some minutes)."""
    if host.subnet != peer.subnet or host.subnet < 0:
        return start
    key = (host.mac, peer.mac)
    if w.known_neighbours.get(key, -1.0) > start:
        return start
    w.known_neighbours[key] = start + w.dice.between(60, 1_200)
    return arp(w, host, peer, start, answered=answered)


def arp(w: World, host: Host, peer: Host, start: float, *, answered: bool = True, tries: int = 1) -> float:
    """Play one ARP resolution."""
    gaps = (0.0, *(1.0 for _ in range(tries - 1)))
    return w.wire.arp(
        start, w.talk(ARP, host, peer), gaps, w.dice.between(0.00002, 0.0008) if answered else None
    )


def ping(
    w: World, client: Host, server: Host, start: float, count: int, *, size: int = 56, every: float = 1.0,
    answered: bool = True, ipv6: bool | None = None,
) -> float:  # fmt: skip
    """Play `count` echo requests and their replies."""
    d = w.dice
    ipv6 = w.speaks_ipv6(client, server) if ipv6 is None else ipv6
    talk = w.talk(ICMPV6 if ipv6 else ICMP, client, server, ipv6=ipv6)
    ask, reply = (ECHO6, ECHO6_REPLY) if ipv6 else (ECHO, ECHO_REPLY)
    number = d.integer(1, 65_535) << 16
    turns = []
    for i in range(count):
        turns.append((every if i else 0.0, 0, ask, number | (i + 1) & 0xFFFF, size, b""))
        if answered and not d.chance(0.01):
            turns.append((0.00002, 1, reply, number | (i + 1) & 0xFFFF, size, b""))
    return w.wire.icmp(start, talk, turns)


def port_unreachable(
    w: World, server: Host, client: Host, start: float, ports: tuple[int, int], body: int
) -> None:
    """Play the ICMP message with which `server` says that nobody listens (IPv4)."""
    quoted = payload.unreachable(client.ip4, server.ip4, server.ttl, *ports, body)
    w.wire.icmp(
        start, w.talk(ICMP, server, client, ipv6=False), [(0.0, 0, UNREACHABLE, 0, len(quoted), quoted)]
    )


def neighbours6(w: World, host: Host, start: float) -> None:
    """Play a neighbour solicitation by a host for its gateway, and the advertisement (RFC 4861 4.3, 4.4)."""
    gateway = w.plan.subnets[host.subnet].gateway
    if not (host.link6 and gateway.link6):
        return
    vlan = w.plan.subnets[host.subnet].vlan
    target = gateway.link6.to_bytes(16, "big")
    one = End(host.link6, 0, host.mac, 255, False, 0, host.leg)
    two = End(gateway.link6, 0, gateway.mac, 255, False, 0, gateway.leg)
    talk = Talk(ICMPV6, 6, one, two, 0, 0, vlan, w.tag, b"", 0)
    ask = target + b"\x01\x01" + host.mac.to_bytes(6, "big")
    w.wire.icmp(
        start, talk, [(0.0, 0, SOLICIT, 0, len(ask), ask), (0.0001, 1, ADVERTISE, 0xC000_0000, 16, target)]
    )


def router_advertisement(w: World, gateway: Host, start: float) -> None:
    """Play a router advertisement to all nodes (RFC 4861 4.2)."""
    subnet = w.plan.subnets[gateway.subnet]
    one = End(gateway.link6, 0, gateway.mac, 255, False, 0, 0.0)
    everyone = End(0xFF02 << 112 | 1, 0, 0x3333_0000_0001, 255, False, 0, 0.0)
    talk = Talk(ICMPV6, 6, one, everyone, 0, 0, subnet.vlan, w.tag, b"", 0)
    body = bytes(8) + b"\x01\x01" + gateway.mac.to_bytes(6, "big")
    prefix = (subnet.prefix6 << 64).to_bytes(16, "big")
    body += b"\x03\x04\x40\xc0\x00\x27\x8d\x00\x00\x09\x3a\x80\x00\x00\x00\x00" + prefix
    w.wire.icmp(start, talk, [(0.0, 0, ROUTER_ADVERTISE, 0x40000708, len(body), body)])


def _dhcp_talk(w: World, mac: int, server: Host, subnet: int, *, reply: bool) -> Talk:
    """Return the broadcast half of a DHCP exchange: client to all, or server to all."""
    vlan = w.plan.subnets[subnet].vlan
    if reply:
        one = End(server.ip4, 67, server.mac, server.ttl, False, 0, 0.0)
        two = End(0xFFFF_FFFF, 68, BROADCAST_MAC, 64, False, 0, 0.0)
    else:
        one = End(0, 68, mac, 64, False, 0, 0.0)
        two = End(0xFFFF_FFFF, 67, BROADCAST_MAC, 64, False, 0, 0.0)
    return Talk(UDP, 4, one, two, 0, 0, vlan, w.tag, b"", 0)


def lease(w: World, host: Host, start: float, *, whole: bool) -> None:
    """Play a DHCP lease: the four messages of a host that joins (`whole`), or a renewal."""
    d = w.dice
    server = w.plan.subnets[host.subnet].gateway
    number = d.integer(1, (1 << 32) - 1)

    def message(kind: int) -> tuple[int, bytes]:
        data = payload.dhcp(d, kind, host.mac, number, host.ip4, server.ip4, 300)
        return len(data), data

    if not whole:
        talk = w.talk(UDP, host, server, 67, source=68, ipv6=False)
        ask, answer = message(payload.REQUEST), message(payload.ACKNOWLEDGE)
        w.wire.datagrams(start, talk, [(0.0, 0, *ask), (d.between(0.0005, 0.01), 1, *answer)])
        return
    wait, settle = d.between(0.001, 1.0), d.between(0.001, 0.02)
    client, back = (_dhcp_talk(w, host.mac, server, host.subnet, reply=r) for r in (False, True))
    w.wire.datagrams(
        start, client, [(0.0, 0, *message(payload.DISCOVER)), (wait + settle, 0, *message(payload.REQUEST))]
    )
    w.wire.datagrams(
        start + wait,
        back,
        [(0.0, 0, *message(payload.OFFER)), (2 * settle, 0, *message(payload.ACKNOWLEDGE))],
    )
