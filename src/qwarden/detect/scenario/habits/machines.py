"""What machines do without anybody: housekeeping, heartbeats, monitoring, servers among themselves."""

from __future__ import annotations

from qwarden.detect.scenario.habits.people import poller, times
from qwarden.detect.scenario.plan import Host, remote_host
from qwarden.detect.scenario.sessions import link, logins, names, web
from qwarden.detect.scenario.wire import TCP, UDP, Turn
from qwarden.detect.scenario.world import World


def housekeeping(w: World, host: Host) -> None:
    """Play what every machine does: time, neighbours, leases, announcements, a lookup now and then."""
    d, plan = w.dice, w.plan
    gateway = plan.subnets[host.subnet].gateway
    every = d.pick((64.0, 128.0, 256.0, 512.0, 1_024.0, 1_024.0))
    server = plan.servers.get("directory") or d.pick((gateway, plan.sites[0]))
    at = d.between(-every, every)
    while at < w.duration:
        names.ntp(w, host, server, at)
        at += every * d.between(0.99, 1.01)
    for at in times(w, d.between(150, 900)):
        if d.chance(0.5):
            link.arp(w, host, gateway, at)
        else:
            link.arp(w, gateway, host, at)
        if host.link6 and plan.ipv6_share:
            link.neighbours6(w, host, at + d.between(0, 30))
    for at in times(w, d.between(240, 1_500)):
        names.announce(w, host, at)
    for at in times(w, 3_000, -2_000):
        link.lease(w, host, at, whole=d.chance(0.3))


def device(w: World, host: Host) -> None:
    """Play a device: a heartbeat inside one connection, or regular reports."""
    d, plan = w.dice, w.plan
    site = d.pick(plan.sites)
    if host.role == "phone_voip":
        _datagram_beat(w, host, site, 5060, d.between(20, 60), b"\r\n\r\n")
    elif host.role == "plc":
        _stream_beat(
            w,
            host,
            d.pick([*plan.servers.values()]),
            2404,
            d.between(10, 30),
            bytes.fromhex("680443000000"),
            bytes.fromhex("680483000000"),
        )
    elif host.role == "sensor":
        _stream_beat(w, host, site, 1883, d.between(15, 120), bytes.fromhex("c000"), bytes.fromhex("d000"))
    elif host.role == "printer":
        for at in times(w, 1_200, 0):
            web.http(w, d.pick(plan.people), host, at, exchanges=1, hold=0.2)
    else:
        web.keep_open(
            w,
            host,
            site,
            d.between(0, 30),
            1e5,
            d.between(10, 240),
            size=d.integer(40, 120),
            opened=d.chance(0.3),
        )
    if d.chance(0.5):
        poller(w, host, site)


def _datagram_beat(w: World, host: Host, site: Host, port: int, every: float, beat: bytes) -> None:
    turns: list[Turn] = [(w.dice.between(0, every), 0, len(beat), beat)]
    for _ in range(int(w.duration / every)):
        turns.append((every * w.dice.between(0.99, 1.01), 0, len(beat), beat))
        if w.dice.chance(0.5):
            turns.append((0.001, 1, len(beat) - 2, beat[2:]))
    w.wire.datagrams(0.0, w.talk(UDP, host, site, port, source=port), turns)


def _stream_beat(
    w: World, host: Host, server: Host, port: int, every: float, ask: bytes, answer: bytes
) -> None:
    d = w.dice
    turns: list[Turn] = []
    for _ in range(int(w.duration / every) + 1):
        turns += [(every * d.between(0.995, 1.005), 0, len(ask), ask), (0.001, 1, len(answer), answer)]
    w.tcp(0.0, host, server, port, turns, close="open", opened=False)


def network(w: World) -> None:
    """Play what the network itself does: router advertisements, and monitoring that touches every host."""
    d, plan = w.dice, w.plan
    for subnet in plan.subnets:
        if subnet.prefix6:
            at = d.between(0, 200)
            while at < w.duration:
                link.router_advertisement(w, subnet.gateway, at)
                at += d.between(150, 600)
    monitor = plan.servers.get("monitor")
    if not monitor:
        return
    watched = [h for h in plan.local if h is not monitor]
    watched = d.some(watched, d.integer(3, min(16, len(watched))))
    every, gap = d.pick((60.0, 120.0, 300.0, 300.0)) * max(1.0, len(watched) / 6), d.between(0.01, 1.5)
    ways = d.some(("ping", "snmp", "port", "web"), d.integer(1, 2))
    ports = {h.ip4: d.pick((22, 80, 443, 445, 9100)) for h in watched}
    closed = {h.ip4 for h in watched if d.chance(0.04)}
    at = d.between(-every, every)
    while at < w.duration:
        for i, host in enumerate(watched):
            when = at + i * gap
            if "ping" in ways:
                link.ping(
                    w, monitor, host, when, d.pick((1, 1, 3)), ipv6=False, answered=host.ip4 not in closed
                )
            if "snmp" in ways:
                names.snmp(w, monitor, host, when, lost=host.ip4 in closed)
            if "port" in ways:
                talk = w.talk(TCP, monitor, host, ports[host.ip4], ipv6=False)
                if host.ip4 in closed:
                    w.wire.tcp_refused(when, talk)
                else:
                    w.wire.tcp(when, talk, [], w.path(talk), close="fin")
            if "web" in ways:
                web.http(w, monitor, host, when, out=140, back=400, exchanges=1, hold=0.02, port=8080)
        at += every * d.between(0.995, 1.005)


def servers(w: World) -> None:
    """Play what servers do among themselves and with the Internet."""
    d, plan = w.dice, w.plan
    resolver = plan.servers.get("dns")
    if resolver:
        upstream = remote_host(d, "upstream", plan.subnets[0].gateway.mac)
        for at in times(w, d.between(5, 20) / plan.tempo):
            names.query(w, resolver, d.skewed(plan.sites).name, at, resolver=upstream)
    database, intranet = plan.servers.get("database"), plan.servers.get("intranet")
    if database and intranet:
        spread = d.between(0.3, 1.5)
        for at in times(w, d.log_between(15, 90)):
            logins.database(w, intranet, database, at, queries=d.integer(1, 12), spread=spread)
    if intranet:
        for at in times(w, 90 / plan.tempo):
            web.https(w, d.pick(plan.people), intranet, at, hold=d.between(0.2, 60))
    if d.chance(0.5):  # a service that the Internet may use
        public, port = d.pick([*plan.servers.values()]), d.pick((443, 443, 80))
        regulars = [remote_host(d, public.name, plan.subnets[0].gateway.mac) for _ in range(d.integer(2, 12))]
        for at in times(w, d.log_between(15, 120)):
            _visitor(w, d.pick(regulars), public, port, at)
    mail = plan.servers.get("mail")
    if mail:
        for at in times(w, d.between(60, 240)):
            other = remote_host(d, "mx." + d.pick(plan.sites).name, plan.subnets[0].gateway.mac)
            pair = (other, mail) if d.chance(0.6) else (mail, other)
            logins.smtp(w, *pair, at, d.whole_of(1_500, 12_000, 400e3))
    build = plan.servers.get("build")
    if build:
        source, every = d.pick(plan.sites), d.between(60, 400)
        at = d.between(0, every)
        habit = logins.Habit.of(d)
        while at < w.duration:  # a fetch by the clock
            logins.ssh(
                w,
                build,
                source,
                at,
                habit=habit,
                out=d.integer(600, 900),
                back=d.whole_of(600, 2_500, 400_000),
                hold=0.4,
            )
            at += every * d.between(0.98, 1.02)
    if plan.servers and d.chance(0.5):
        poller(w, d.pick([*plan.servers.values()]), d.pick(plan.sites))


def _visitor(w: World, regular: Host, public: Host, port: int, at: float) -> None:
    """Play a visit from outside: somebody who comes again, somebody new, seldom somebody over SSH."""
    d = w.dice
    visitor = regular
    if d.chance(0.6):
        visitor = remote_host(d, public.name, w.plan.subnets[0].gateway.mac)
    if d.chance(0.04):
        logins.ssh(w, visitor, public, at, wrong=d.pick((0, 0, 1)), keys=d.chance(0.6))
        return
    for _ in range(d.pick((1, 1, 2, 4, 6))):
        begin = at + d.between(0, 1.5)
        if port == 80:
            web.http(w, visitor, public, begin)
        else:
            web.https(w, visitor, public, begin, hold=d.log_between(0.1, 120))
