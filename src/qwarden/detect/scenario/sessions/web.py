"""Web sessions: HTTP, HTTPS and QUIC."""

from __future__ import annotations

from qwarden.detect.scenario import payload
from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.ranges import HTTP, HTTPS, QUIC, SERVER_THINK
from qwarden.detect.scenario.wire import KEEP_ALIVE, UDP, Turn
from qwarden.detect.scenario.world import AGENTS, World

_CLOSES = (
    (0.42, "fin"),
    (0.2, "fin_server"),
    (0.1, "fin_rst"),
    (0.12, "rst"),
    (0.04, "rst_server"),
    (0.12, "open"),
)


def handshake(w: World, name: str, *, resumed: bool, modern: bool) -> list[Turn]:
    """Return the turns of a TLS 1.3 handshake."""
    d = w.dice
    hello = payload.client_hello(
        d, name, d.integer(1_680, 1_850) if modern else d.pick((220, 320, 517, 517, 650))
    )
    flight = payload.SERVER_HELLO_SIZE + (d.integer(60, 160) if resumed else d.integer(900, 4_600))
    turns: list[Turn] = [
        (0.0005, 0, len(hello), hello),
        (d.of(SERVER_THINK) * 0.3, 1, flight, payload.server_hello(d, flight)),
    ]
    finished = d.pick((64, 74, 80, 126))
    turns.append((d.between(0.0003, 0.004), 0, finished, payload.tls_finished(finished)))
    return turns


def tls(way: int, gap: float, size: int) -> Turn:
    """Return a turn of TLS application data of about `size` bytes."""
    size = max(size, 6)
    return (gap, way, size, payload.tls_data(size))


def https(
    w: World,
    client: Host,
    site: Host,
    start: float,
    *,
    out: int | None = None,
    back: int | None = None,
    exchanges: int | None = None,
    hold: float | None = None,
    port: int = 443,
    close: str | None = None,
) -> float:
    """Play an HTTPS session: `out` and `back` bytes of application data, open for `hold` seconds."""
    d = w.dice
    out = max(d.whole(HTTPS.out) - 500, 60) if out is None else out
    back = max(d.whole(HTTPS.back) - 400, 30) if back is None else back
    hold = d.of(HTTPS.duration) if hold is None else hold
    if exchanges is None:
        exchanges = min(1 + int(d.waiting(3.2)) + back // 40_000, 24)
    resumed = back < 2_000 or d.chance(0.5)
    turns = handshake(w, site.name, resumed=resumed, modern=d.chance(0.2))
    if d.chance(0.5):
        turns.append(tls(1, 0.0004, d.pick((79, 255, 510))))
    spread = d.chance(0.3)
    for i in range(exchanges):
        gap = d.between(0.5, 1.5) * hold / exchanges * 0.7 if spread and i else d.between(0.0003, 0.08)
        turns.append(tls(0, gap, _share(w, out, exchanges)))
        turns.append(tls(1, d.of(SERVER_THINK), _share(w, back, exchanges)))
    linger = 0.0 if spread else hold
    if linger > 20 and d.chance(0.5):
        linger = _beats(w, turns, linger)
    return w.tcp(start, client, site, port, turns, close=close or d.weighted(_CLOSES), linger=linger)


def _share(w: World, total: int, parts: int) -> int:
    return max(32, int(total / parts * w.dice.between(0.5, 1.5)))


def _beats(w: World, turns: list[Turn], idle: float) -> float:
    """Keep an idle connection alive (TCP probes or HTTP/2 pings); return the idle time that is left."""
    d = w.dice
    every = d.pick((10.0, 30.0, 45.0, 45.0, 60.0))
    ping = d.chance(0.4)
    for _ in range(min(int(idle / every), 40)):
        if ping:
            turns += [tls(0, every, 39), tls(1, 0.0004, 39)]
        else:
            turns.append((every, 0, KEEP_ALIVE, b""))
    return idle % every


def keep_open(
    w: World, client: Host, site: Host, start: float, length: float, every: float, port: int = 443, *,
    jitter: float = 0.02, size: int = 60, opened: bool = True,
) -> float:  # fmt: skip
    """Play a long TLS connection with a heartbeat (push service, chat); now and then it has news."""
    d = w.dice
    turns = handshake(w, site.name, resumed=d.chance(0.5), modern=False) if opened else []
    answer = d.chance(0.8)
    from_server = d.chance(0.4)
    passed = 0.0
    while passed < length and start + passed < w.duration:
        gap = every * d.between(1 - jitter, 1 + jitter)
        if d.chance(0.12):  # news, in between
            turns.append(tls(1, gap * d.between(0.1, 0.9), d.integer(80, 2_500)))
            turns.append(tls(0, d.between(0.01, 0.2), d.integer(35, 400)))
        turns.append(tls(int(from_server), gap, size))
        if answer:
            turns.append(tls(int(not from_server), 0.001, size - d.integer(0, 8)))
        passed += gap
    return w.tcp(start, client, site, port, turns, close=d.pick(("open", "fin", "rst")), opened=opened)


def http(
    w: World, client: Host, site: Host, start: float, *,
    out: int | None = None, back: int | None = None, exchanges: int | None = None, hold: float | None = None,
    port: int = 80, method: str = "GET", body: int = 0, status: str = "200 OK", close: str | None = None,
) -> float:  # fmt: skip
    """Play an HTTP session."""
    d = w.dice
    out = d.whole(HTTP.out) if out is None else out
    back = d.whole(HTTP.back) if back is None else back
    hold = d.of(HTTP.duration) if hold is None else hold
    exchanges = d.pick((1, 2, 2, 3, 5)) if exchanges is None else exchanges
    agent = d.pick(AGENTS)
    turns: list[Turn] = []
    for i in range(exchanges):
        head = payload.http_request(
            site.name, f"/{'abcdef'[i % 6]}/{d.integer(1, 999)}", agent, out // exchanges, method, body
        )
        size, answer = payload.http_response(back // exchanges, status)
        gap = (
            0.0005 if i == 0 else d.between(0.001, 0.1) if hold < 1 else d.between(0, 1.2) * hold / exchanges
        )
        turns.append((gap, 0, len(head) + body, head))
        turns.append((d.of(SERVER_THINK) * 0.5, 1, size, answer))
    return w.tcp(
        start, client, site, port, turns, close=close or d.weighted(_CLOSES[:5]), linger=hold * d.unit()
    )


def download(w: World, client: Host, site: Host, start: float, size: int, port: int = 80) -> float:
    """Play one large download, encrypted on 443."""
    if port == 443:
        return https(w, client, site, start, out=w.dice.integer(200, 600), back=size, exchanges=1, hold=0.5)
    return http(
        w, client, site, start, out=w.dice.integer(120, 400), back=size, exchanges=1, hold=0.5, port=port
    )


def upload(w: World, client: Host, site: Host, start: float, size: int, port: int = 443) -> float:
    """Play a large upload over HTTPS, in a few posts."""
    d = w.dice
    posts = d.integer(1, 4)
    turns = handshake(w, site.name, resumed=d.chance(0.5), modern=d.chance(0.2))
    for _ in range(posts):
        turns.append(tls(0, d.between(0.01, 0.6), size // posts))
        turns.append(tls(1, d.of(SERVER_THINK), d.integer(150, 900)))
    return w.tcp(start, client, site, port, turns, close=d.weighted(_CLOSES[:4]), linger=d.between(0, 10))


def quic(
    w: World, client: Host, site: Host, start: float, *, out: int | None = None, back: int | None = None
) -> float:
    """Play a QUIC session: two long-header flights, then short-header packets both ways."""
    d = w.dice
    out = d.whole(QUIC.out) if out is None else out
    back = d.whole(QUIC.back) if back is None else back
    ids = (d.few_bytes(8), d.few_bytes(8))
    full = d.pick((1_200, 1_230, 1_250, 1_280, 1_350))
    turns: list[Turn] = [(0.0, 0, full, payload.quic_long(d, ids[0], ids[1], full))]
    gaps = (d.of(SERVER_THINK) * 0.2, 0.0001, 0.0001)[: d.integer(1, 3)]
    turns += [(gap, 1, full, payload.quic_long(d, ids[1], ids[0], full)) for gap in gaps]
    size = d.integer(80, full)
    turns.append((0.001, 0, size, payload.quic_long(d, ids[0], ids[1], size)))
    short = [bytes([0x40 | d.integer(0, 31)]) + ids[0], bytes([0x40 | d.integer(0, 31)])]
    out, back = max(out - full, 60), max(back - 2 * full, 60)
    exchanges = min(1 + int(d.waiting(1.5)) + back // 60_000, 12)
    long_pause = d.of(QUIC.duration) / exchanges
    for i in range(exchanges):
        gap = d.between(0.0005, 0.02) if i == 0 else d.between(0.2, 1.8) * long_pause
        left = max(out // exchanges, 40)
        while left > 0:
            size = min(left if left > 30 else 30, full)
            turns.append((gap, 0, size, short[0]))
            gap, left = 0.00004, left - size
        gap, left, count = d.of(SERVER_THINK), max(back // exchanges, 40), 0
        while left > 0:
            size = min(left if left > 30 else 30, full)
            turns.append((gap, 1, size, short[1]))
            gap, left, count = d.between(0.00002, 0.0003), left - size, count + 1
            if count % 4 == 0:
                turns.append((0.0, 0, d.integer(31, 42), short[0]))
    return w.wire.datagrams(start, w.talk(UDP, client, site, 443), turns)
