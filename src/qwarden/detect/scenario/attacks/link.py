"""Attacks on the local link: ARP sweeps, poisoning and storms, DHCP starvation."""

from __future__ import annotations

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.attacks.scans import scanner
from qwarden.detect.scenario.plan import BROADCAST_MAC, Host, remote_host
from qwarden.detect.scenario.ranges import ARP_RATE, DHCP_RATE
from qwarden.detect.scenario.wire import ARP, UDP, End, Talk
from qwarden.detect.scenario.world import World


def _neighbour(w: World, source: Host, address: int) -> Host:
    gone = remote_host(w.dice, "none", source.mac)
    gone.ip4, gone.subnet = address, source.subnet
    return gone


def arp_sweep(w: World, start: float) -> None:
    """Ask for every address of the subnet, once or in rounds: 255 targets a minute, or faster."""
    d = w.dice
    source = scanner(w)
    network = w.plan.subnets[source.subnet].network
    alive = {h.ip4: h for h in w.plan.local if h.subnet == source.subnet and h is not source}
    rate = d.of(ARP_RATE)
    rounds = d.pick((1, 1, 1, 2))
    start = max(0.0, min(start, w.duration - 260 * rounds / rate))
    at = start
    for _ in range(rounds):
        for number in range(1, 255):
            address = network + number
            if address == source.ip4:
                continue
            target = alive.get(address) or _neighbour(w, source, address)
            w.wire.arp(
                at,
                w.talk(ARP, source, target),
                (0.0,),
                d.between(0.0001, 0.002) if address in alive else None,
            )
            at += d.between(0.6, 1.4) / rate


def arp_replies(w: World, start: float) -> None:
    """Claim other hosts' addresses in replies nobody asked for, every second or so (cache poisoning)."""
    d = w.dice
    source = scanner(w)
    subnet = w.plan.subnets[source.subnet]
    victims = [h for h in w.plan.local if h.subnet == source.subnet and h.ip4 != source.ip4]
    victims = d.some(victims, d.integer(3, 24)) or [subnet.gateway]
    every, length = d.log_between(0.2, 2.0), min(d.between(40, 180), 0.5 * w.duration)
    start = min(start, w.duration - length)
    conversations = []
    for victim in victims:
        talk = w.talk(ARP, subnet.gateway, victim)
        conversations.append(w.wire.open(talk._replace(client=talk.client._replace(mac=source.mac))))
    at = start
    while at < start + length:
        for i, conversation in enumerate(conversations):
            w.wire.packets.append((int(at * 1e6) + 40 * i, conversation, 0, 2, 0, 0, 0, 0))
        at += every * d.between(0.9, 1.1)


def arp_storm(w: World, start: float) -> None:
    """Requests from invented stations, hundreds a second (table overflow)."""
    d = w.dice
    source = scanner(w)
    subnet = w.plan.subnets[source.subnet]
    count, rate = d.integer(300, 900), d.log_between(100, 2_000)
    start = min(start, w.duration - count / rate)
    for i in range(count):
        talk = w.talk(ARP, _neighbour(w, source, subnet.network + d.integer(1, 254)), subnet.gateway)
        fake = talk.client._replace(mac=0x02 << 40 | d.integer(1, (1 << 40) - 1))
        w.wire.arp(start + i / rate * d.between(0.9, 1.1), talk._replace(client=fake), (0.0,), None)


def _dhcp_messages(w: World, start: float, kinds: tuple[int, ...], answer: float) -> None:
    """Broadcast DHCP messages of invented clients; the server answers the share `answer` of them."""
    d = w.dice
    source = scanner(w)
    subnet = w.plan.subnets[source.subnet]
    server = subnet.gateway
    rate, count = d.of(DHCP_RATE), int(d.log_between(200, 1_500))
    rate = rate if d.chance(0.88) else d.log_between(3e3, 200e3)  # replayed at full speed
    start = max(0.0, min(start, w.duration - 1.2 * count / rate))
    size, own = d.pick((244, 300, 300, 548)), d.chance(0.5)
    everyone = End(0xFFFF_FFFF, 67, BROADCAST_MAC, 64, False, 0, 0.0)
    back = End(0xFFFF_FFFF, 68, BROADCAST_MAC, 64, False, 0, 0.0)
    replies = w.wire.open(
        Talk(
            UDP,
            4,
            End(server.ip4, 67, server.mac, server.ttl, False, 0, 0.0),
            back,
            0,
            0,
            subnet.vlan,
            w.tag,
            b"",
            0,
        )
    )
    t = start * 1e6
    for i in range(count):
        fake = 0x02 << 40 | d.integer(1, (1 << 40) - 1)
        sender = End(0, 68, source.mac if own else fake, 64, False, 0, 0.0)
        conversation = w.wire.open(Talk(UDP, 4, sender, everyone, 0, 0, subnet.vlan, w.tag, b"", 0))
        address, number = subnet.network + 1 + i % 250, d.integer(1, (1 << 32) - 1)
        message = payload.dhcp(d, kinds[i % len(kinds)], fake, number, address, server.ip4, size)
        w.wire.packets.append((int(t), conversation, 0, 0, 0, 0, len(message), w.wire.patch(message)))
        if answer and d.unit() < answer:
            reply = payload.dhcp(d, payload.OFFER, fake, number, address, server.ip4, 300)
            w.wire.packets.append(
                (int(t) + d.integer(300, 9_000), replies, 0, 0, i, 0, len(reply), w.wire.patch(reply))
            )
        t += 1e6 / rate * (0.4 + 1.2 * d.unit())


def dhcp_starvation(w: World, start: float) -> None:
    """DISCOVERs of invented clients use up the pool; the server offers until it is empty."""
    _dhcp_messages(w, start, (payload.DISCOVER,), w.dice.pick((0.0, 0.2, 0.9)))


def dhcp_requests(w: World, start: float) -> None:
    """REQUESTs for one address after the other."""
    _dhcp_messages(w, start, (payload.REQUEST,), 0.0)


def dhcp_inform(w: World, start: float) -> None:
    """INFORMs from a run of addresses straight to servers, each answered."""
    d = w.dice
    source = scanner(w)
    subnet = w.plan.subnets[source.subnet]
    count, rate = d.integer(80, 250), d.between(30, 100)
    start = min(start, w.duration - count / rate)
    for i in range(count):
        fake = _neighbour(w, source, subnet.network + 1 + i % 254)
        fake.mac = source.mac if d.chance(0.5) else 0x02 << 40 | d.integer(1, (1 << 40) - 1)
        if fake.ip4 == subnet.gateway.ip4:
            continue
        talk = w.talk(UDP, fake, subnet.gateway, 67, source=68, ipv6=False)
        number = d.integer(1, (1 << 32) - 1)
        ask = payload.dhcp(d, payload.INFORM, fake.mac, number, fake.ip4, subnet.gateway.ip4, 247)
        answer = payload.dhcp(d, payload.ACKNOWLEDGE, fake.mac, number, fake.ip4, subnet.gateway.ip4, 300)
        w.wire.datagrams(
            start + i / rate,
            talk,
            [(0.0, 0, len(ask), ask), (d.between(0.001, 0.01), 1, len(answer), answer)],
        )
