"""Leaks: DNS tunnels, and data that leaves by the web, FTP, DNS, ICMP or a socket of its own."""

from __future__ import annotations

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.attacks.scans import scanner, stranger
from qwarden.detect.scenario.payload import CNAME, NULL, TXT, A
from qwarden.detect.scenario.plan import Host, domain_name
from qwarden.detect.scenario.sessions import link, logins, web
from qwarden.detect.scenario.wire import ICMP, ICMPV6, TCP, UDP, End, Talk, Turn
from qwarden.detect.scenario.world import World


def _tunnel_turns(
    w: World, count: int, rate: float, zone: str, length: tuple[int, int], kind: int, answer: tuple[int, int]
) -> list[tuple[float, bytes, bytes]]:
    """Return (seconds after the one before, query, response) of a tunnel's messages."""
    d = w.dice
    messages = []
    for _ in range(count):
        data = payload.encoded_labels(d, d.integer(*length))
        query = payload.dns_query(d, f"{data}.{zone}", kind, edns=True)
        messages.append(
            (d.waiting(1 / rate), query, payload.dns_answer(d, query, kind, len(query) + d.integer(*answer)))
        )
    return messages


def _tunnel(w: World) -> tuple[Host, Host, str, int, tuple[int, int], tuple[int, int], float]:
    d = w.dice
    zone = "t." + domain_name(d)
    length = d.pick(((90, 180), (60, 120), (120, 210)))
    answer = d.pick(((60, 400), (120, 600), (30, 150)))
    resolver = d.pick(w.plan.resolvers) if d.chance(0.75) else stranger(w)
    return scanner(w), resolver, zone, d.pick((TXT, TXT, NULL, CNAME)), length, answer, d.log_between(1.5, 30)


def tunnel_many_flows(w: World, start: float) -> None:
    """Tunnel through DNS with a new port for every query (dnscat2, Cobalt Strike)."""
    d = w.dice
    source, resolver, zone, kind, length, answer, rate = _tunnel(w)
    count = int(d.log_between(120, 450))
    start = max(0.0, min(start, w.duration - 1.3 * count / rate))
    at, wait = start, d.between(0.01, 0.15)
    for gap, query, response in _tunnel_turns(w, count, rate, zone, length, kind, answer):
        at += gap
        talk = w.talk(UDP, source, resolver, 53)
        w.wire.datagrams(
            at, talk, [(0.0, 0, len(query), query), (wait * d.between(0.7, 1.8), 1, len(response), response)]
        )


def tunnel_one_flow(w: World, start: float) -> None:
    """Tunnel through DNS on one socket (iodine): a flow of hundreds of queries."""
    d = w.dice
    source, resolver, zone, kind, length, answer, rate = _tunnel(w)
    count = int(d.log_between(200, 900))
    start = max(0.0, min(start, w.duration - 1.3 * count / rate))
    turns: list[Turn] = []
    for gap, query, response in _tunnel_turns(w, count, rate, zone, length, kind, answer):
        turns += [(gap, 0, len(query), query), (0.01, 1, len(response), response)]
    w.wire.datagrams(start, w.talk(UDP, source, resolver, 53), turns)


def over_https(w: World, start: float) -> None:
    """Upload megabytes to a site nobody else visits, at once or in sessions of equal size."""
    d = w.dice
    source, sink = scanner(w), stranger(w)
    sink.name = "files-" + d.few_bytes(3).hex() + ".io"
    total = int(d.log_between(1.2e6, 5e6))
    pieces = d.pick((1, 1, 2, 6, 15))
    pause = min(d.log_between(1, 60), 0.8 * (w.duration - start) / pieces)
    port = d.pick((443, 443, 443, 8443))
    for i in range(pieces):
        web.upload(w, source, sink, start + i * pause, total // pieces, port)


def over_ftp(w: World, start: float) -> None:
    """Store files on a foreign FTP server."""
    d = w.dice
    transfers = [(0, int(d.log_between(300e3, 2e6))) for _ in range(d.integer(1, 3))]
    logins.ftp(w, scanner(w), stranger(w), start, transfers=transfers, pace=0.1)


def over_dns(w: World, start: float) -> None:
    """Send data out as names: long queries, short answers."""
    d = w.dice
    source, resolver, zone, _, length, _, rate = _tunnel(w)
    count = int(d.log_between(150, 400))
    start = max(0.0, min(start, w.duration - 1.3 * count / rate))
    at = start
    for gap, query, response in _tunnel_turns(w, count, rate, zone, length, A, (0, 20)):
        at += gap
        w.wire.datagrams(
            at,
            w.talk(UDP, source, resolver, 53),
            [(0.0, 0, len(query), query), (d.between(0.01, 0.1), 1, len(response), response)],
        )


def over_echo(w: World, start: float) -> None:
    """Send data out in echo requests; IPv6 can hide it in destination options."""
    d = w.dice
    source, sink = scanner(w), stranger(w)
    hidden = d.chance(0.35)
    count, size, rate = (
        int(d.log_between(40 if hidden else 150, 900)),
        d.integer(400, 1_400),
        d.log_between(5, 200),
    )
    start = max(0.0, min(start, w.duration - 1.3 * count / rate))
    if hidden:
        prefix = (0x2001_0718 << 32 | d.integer(1, 0xFFFF) << 16) << 64
        one = End(prefix | d.integer(2, 0xFFFF), 0, source.mac, 64, False, 0, 0.0)
        two = End(
            sink.ip6 or prefix + (1 << 64) + 1,
            0,
            w.plan.subnets[source.subnet].gateway.mac,
            64,
            False,
            0,
            0.0004,
        )
        talk = Talk(
            ICMPV6,
            6,
            one,
            two,
            0,
            0,
            w.plan.subnets[source.subnet].vlan,
            w.tag,
            _hiding_options(d.integer(40, 173)),
            60,
        )
        size, answered = 8, True
    else:
        talk = w.talk(ICMP, source, sink, ipv6=False)
        answered = d.chance(0.6)
    ask, reply = (link.ECHO6, link.ECHO6_REPLY) if hidden else (link.ECHO, link.ECHO_REPLY)
    number = d.integer(1, 65_535) << 16
    turns: list[tuple[float, int, int, int, int, bytes | tuple[tuple[int, bytes], ...]]] = []
    for i in range(count):
        turns.append((d.waiting(1 / rate), 0, ask, number | i & 0xFFFF, size, b""))
        if answered:
            turns.append((0.00002, 1, reply, number | i & 0xFFFF, size, b""))
    w.wire.icmp(start, talk, turns)


def _hiding_options(words: int) -> bytes:
    """Return destination options of 8 * `words` bytes that carry unknown options (RFC 8200 4.6)."""
    left = 8 * words - 2
    options = b""
    kind = 16
    while left:
        body = min(left - 2, 255)
        if left - 2 - body == 1:  # an option needs two bytes at least
            body -= 1
        options += bytes([kind, body]) + bytes(i * 31 & 0xFF for i in range(body))
        left -= 2 + body
        kind += 1
    return bytes([ICMPV6, words - 1]) + options


def over_raw(w: World, start: float) -> None:
    """Send megabytes to an unusual port."""
    d = w.dice
    source, sink = scanner(w), stranger(w)
    total, pieces = int(d.log_between(1e6, 5e6)), d.integer(1, 30)
    turns: list[Turn] = [(d.between(0.0, 0.4), 0, total // pieces, b"") for _ in range(pieces)]
    talk = w.talk(TCP, source, sink, d.pick((4444, 8888, 9001, 22_022, 60_001)))
    w.wire.tcp(start, talk, turns, w.path(talk))
