"""Name services and the small UDP talk of every network."""

from __future__ import annotations

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.payload import HTTPS, PTR, SRV, TXT, A
from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.ranges import DNS
from qwarden.detect.scenario.wire import UDP, End, Talk, Turn
from qwarden.detect.scenario.world import World

_PREFIXES = ("www", "cdn", "api", "static", "img", "login", "telemetry.eu-west", "d1a2b3c4.edge-assets", "")


def resolve(w: World, client: Host, name: str, start: float) -> float:
    """Look `name` up unless the client still knows it; return when the answer is there."""
    key = (client.mac, name)
    if w.known_names.get(key, -1.0) > start:
        return start
    w.known_names[key] = start + w.dice.pick((60.0, 300.0, 300.0, 900.0))
    prefix = w.dice.pick(_PREFIXES)
    full = f"{prefix}.{name}" if prefix else name
    done = start
    for i, kind in enumerate(w.name_kinds(client)):
        done = max(done, query(w, client, full, start + 0.0003 * i, kind))
    return done + w.dice.between(0.0002, 0.004)


def query(
    w: World, client: Host, name: str, start: float, kind: int = A, *, code: int = 0, size: int | None = None,
    lost: bool | None = None, resolver: Host | None = None, source: int | None = None,
) -> float:  # fmt: skip
    """Play one DNS query; `code` 3 is "no such name"."""
    d = w.dice
    resolver = resolver or d.skewed(w.plan.resolvers)
    question = payload.dns_query(d, name, kind, edns=d.chance(0.3))
    answer = payload.dns_answer(d, question, kind, size or int(d.of(DNS.back)), code)
    wait = d.of(DNS.duration)
    lost = d.chance(0.01) if lost is None else lost
    turns: list[Turn] = [(0.0, 0, len(question), question)]
    if lost:
        turns += [(gap, 0, len(question), question) for gap in d.pick(((5.0,), (1.0, 1.0, 2.0)))]
    if not lost or d.chance(0.5):
        turns.append((wait, 1, len(answer), answer))
    return w.wire.datagrams(start, w.talk(UDP, client, resolver, 53, source=source), turns)


def failed_lookups(w: World, client: Host, start: float, count: int) -> None:
    """Play a burst of names that do not exist: a search list, a captive-portal probe, a typo."""
    d = w.dice
    base = "".join(d.pick("abcdefghijklmnopqrstuvwxyz") for _ in range(d.integer(6, 12)))
    for i in range(count):
        name = f"{base}{i % 3}.{w.plan.domain if i % 2 else d.pick(('local', 'lan', 'example.com'))}"
        query(w, client, name, start + i * d.between(0.002, 0.4), code=3, size=110)


def long_lookups(w: World, client: Host, start: float, count: int) -> None:
    """Play lookups with long names that are benign: reputation services, service records, DKIM keys."""
    d = w.dice
    for i in range(count):
        kind, name = d.pick(
            (
                (A, f"{payload.encoded_labels(d, d.integer(26, 52))}.hash.reputation.example.net"),
                (SRV, f"_ldap._tcp.default-first-site-name._sites.dc._msdcs.{w.plan.domain}"),
                (TXT, f"selector1._domainkey.{d.skewed(w.plan.sites).name}"),
                (HTTPS, f"_dns.resolver-{d.integer(1, 9)}.{d.skewed(w.plan.sites).name}"),
                (PTR, f"{d.integer(1, 254)}.{d.integer(0, 255)}.{d.integer(0, 255)}.10.in-addr.arpa"),
            )
        )
        query(
            w,
            client,
            name,
            start + i * d.between(0.05, 3),
            kind,
            code=d.pick((0, 0, 3)),
            size=d.integer(90, 420),
        )


def small(w: World, client: Host, server: Host, port: int, start: float, ask: bytes, answer: bytes, *,
          lost: bool = False, source: int | None = None) -> float:  # fmt: skip
    """Play one datagram and its answer."""
    turns: list[Turn] = [(0.0, 0, len(ask), ask)]
    if not lost and answer:
        turns.append((w.dice.between(0.00005, 0.002), 1, len(answer), answer))
    return w.wire.datagrams(start, w.talk(UDP, client, server, port, source=source), turns)


def ntp(w: World, client: Host, server: Host, start: float) -> float:
    """Play an NTP exchange."""
    source = 123 if w.dice.chance(0.6) else None
    return small(
        w, client, server, 123, start, payload.ntp(w.dice, False), payload.ntp(w.dice, True),
        source=source, lost=w.dice.chance(0.02),
    )  # fmt: skip


def snmp(w: World, client: Host, server: Host, start: float, *, lost: bool = False) -> float:
    """Play an SNMP poll."""
    objects = w.dice.integer(1, 12)
    ask, answer = (payload.snmp_get(w.dice, objects, reply) for reply in (False, True))
    return small(w, client, server, 161, start, ask, answer, lost=lost)


_GROUPS = {
    5353: (0xE00000FB, 0xFF02 << 112 | 0xFB), 5355: (0xE00000FC, 0xFF02 << 112 | 0x10003),
    1900: (0xEFFFFFFA, 0xFF02 << 112 | 0xC), 3702: (0xEFFFFFFA, 0xFF02 << 112 | 0xC),
}  # fmt: skip


def group_talk(w: World, host: Host, port: int, ipv6: bool, source: int) -> Talk:
    """Return a talk to a multicast group, or to the subnet's broadcast address where `port` has no group."""
    subnet = w.plan.subnets[host.subnet]
    four, six = _GROUPS.get(port, (subnet.network + 255, 0))
    ipv6 = ipv6 and bool(six and host.link6)
    address = six if ipv6 else four
    mac = 0x3333 << 32 | six & 0xFFFF_FFFF if ipv6 else 0x01005E << 24 | four & 0x7FFFFF
    if port not in _GROUPS:
        mac = (1 << 48) - 1
    ttl = 255 if port == 5353 else 4 if port == 1900 else 1 if port in _GROUPS else host.ttl
    sender = End(host.link6 if ipv6 else host.ip4, source, host.mac, ttl, False, 0, host.leg)
    group = End(address, port, mac, ttl, False, 0, 0.0)
    return Talk(UDP, 6 if ipv6 else 4, sender, group, 0, 0, subnet.vlan, w.tag, b"", 0)


def announce(w: World, host: Host, start: float) -> None:
    """Play one round of a host's multicast and broadcast chatter."""
    d = w.dice
    kind = d.weighted(((0.4, "mdns"), (0.25, "ssdp"), (0.15, "llmnr"), (0.15, "nbns"), (0.05, "wsd")))
    repeats = d.integer(1, 4)
    if kind == "mdns":
        query_ = payload.dns_query(
            d, d.pick(("_ipp._tcp.local", "_googlecast._tcp.local", "_airplay._tcp.local")), PTR, flags=0
        )
        turns: list[Turn] = [
            (0.0 if i == 0 else float(1 << i), 0, len(query_), query_) for i in range(repeats)
        ]
        for ipv6 in (False, True) if w.plan.ipv6_share else (False,):
            w.wire.datagrams(start, group_talk(w, host, 5353, ipv6, 5353), turns)
    elif kind == "ssdp":
        text = (
            b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n'
            b"ST: urn:dial-multiscreen-org:service:dial:1\r\n\r\n"
        )
        turns = [(0.0 if i == 0 else 1.0, 0, len(text), text) for i in range(4)]
        w.wire.datagrams(start, group_talk(w, host, 1900, False, host.port(d)), turns)
    elif kind == "llmnr":
        ask = payload.dns_query(d, d.pick(("wpad", "printer", "isatap", "fileserver")), A, flags=0)
        turns = [(0.0, 0, len(ask), ask), (0.41, 0, len(ask), ask)]
        source = host.port(d)
        for ipv6 in (False, True) if w.plan.ipv6_share else (False,):
            w.wire.datagrams(start, group_talk(w, host, 5355, ipv6, source), turns)
    elif kind == "nbns":
        name = b"\x20" + b"".join(bytes([65 + (c >> 4), 65 + (c & 15)]) for c in b"WORKGROUP      \x00")
        ask = d.few_bytes(2) + b"\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00" + name + b"\x00\x00\x20\x00\x01"
        turns = [(0.0 if i == 0 else 0.75, 0, len(ask), ask) for i in range(3)]
        w.wire.datagrams(start, group_talk(w, host, 137, False, 137), turns)
    else:
        head = b'<?xml version="1.0" encoding="utf-8"?><soap:Envelope></soap:Envelope>'
        w.wire.datagrams(
            start,
            group_talk(w, host, 3702, False, host.port(d)),
            [(0.0, 0, len(head), head), (0.15, 0, len(head), head)],
        )
