"""Command and control: beacons that are answered, and channels whose other end is gone."""

from __future__ import annotations

from qwarden.detect.scenario.attacks.scans import scanner, stranger
from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.ranges import BEACON_CONTACTS, BEACON_JITTER, BEACON_PERIOD, DEAD_TRIES
from qwarden.detect.scenario.sessions import web
from qwarden.detect.scenario.wire import TCP, Turn
from qwarden.detect.scenario.world import World

_ODD_PORTS = (4444, 1337, 8888, 9999, 6606, 7443, 2222, 10_134, 1177, 5552, 31_337, 50_050, 12_345, 3939)


def _rhythm(w: World, start: float) -> tuple[float, list[float]]:
    """Return the start and the gaps of a beacon that fits into the capture."""
    d = w.dice
    period, contacts, jitter = d.of(BEACON_PERIOD), d.whole(BEACON_CONTACTS), d.of(BEACON_JITTER)
    if period * contacts > 0.9 * w.duration:  # then it was there all the time
        start = d.between(0.0, 0.05) * w.duration
        contacts = max(10, int((w.duration - start) / period))
        period = min(period, (w.duration - start) / (contacts * 1.05))
    start = max(0.0, min(start, w.duration - period * contacts * 1.05))
    return start, [period * d.between(1 - jitter, 1 + jitter) for _ in range(contacts)]


def beacon_web(w: World, start: float) -> None:
    """Ask for orders over HTTP or HTTPS, one connection a time."""
    d = w.dice
    source, master = scanner(w), stranger(w)
    master.name = "cdn-" + d.few_bytes(3).hex() + ".net"
    at, gaps = _rhythm(w, start)
    out, back = d.integer(90, 700), d.integer(60, 900)
    port = d.pick((443, 443, 80, 80, 8080))
    posts = d.chance(0.4)
    for gap in gaps:
        answer = back if d.chance(0.93) else d.integer(back, 6_000)  # an order, now and then
        if port == 443:
            web.https(
                w,
                source,
                master,
                at,
                out=out + d.integer(0, 16),
                back=answer,
                exchanges=1,
                hold=0.1,
                close="fin",
            )
        else:
            web.http(
                w, source, master, at, out=out + 90, back=answer + 150, exchanges=1, hold=0.05, port=port,
                method="POST" if posts else "GET", body=d.integer(20, 60) if posts else 0, close="fin",
            )  # fmt: skip
        at += gap


def beacon_odd_port(w: World, start: float) -> None:
    """Report to an unusual port, one connection a time."""
    d = w.dice
    source, master, port = scanner(w), stranger(w), d.pick(_ODD_PORTS)
    at, gaps = _rhythm(w, start)
    out, back = d.integer(20, 500), d.integer(4, 300)
    for gap in gaps:
        turns: list[Turn] = [
            (0.0005, 0, out + d.integer(0, 8), b""),
            (0.003, 1, back if d.chance(0.95) else d.integer(200, 4_000), b""),
        ]
        w.tcp(at, source, master, port, turns, close=d.pick(("fin", "fin", "rst")))
        at += gap


def _inside(w: World, source: Host, master: Host, port: int, start: float, *, encrypted: bool) -> None:
    """Play a beacon that lives in one connection."""
    d = w.dice
    at, gaps = _rhythm(w, start)
    turns: list[Turn] = web.handshake(w, master.name, resumed=False, modern=False) if encrypted else []
    out, back = d.integer(40, 900), d.integer(30, 600)
    pushed = d.chance(0.3)  # the master asks, the host answers

    def message(way: int, gap: float, size: int) -> Turn:
        return web.tls(way, gap, size) if encrypted else (gap, way, size, b"")

    for gap in gaps:
        turns.append(message(int(pushed), gap, out + d.integer(0, 12)))
        answer = back if d.chance(0.94) else d.integer(back, 5_000)
        turns.append(message(int(not pushed), 0.002, answer))
    w.tcp(at, source, master, port, turns, close=d.pick(("open", "fin", "rst")))


def beacon_inside_raw(w: World, start: float) -> None:
    """A remote access tool's heartbeat inside one connection to an unusual port."""
    d = w.dice
    _inside(w, scanner(w), stranger(w), d.pick((*_ODD_PORTS, 8080, 80)), start, encrypted=False)


def beacon_inside_web(w: World, start: float) -> None:
    """A heartbeat inside one encrypted connection to a web port."""
    master = stranger(w)
    master.name = "update-" + w.dice.few_bytes(3).hex() + ".com"
    _inside(w, scanner(w), master, w.dice.pick((443, 443, 8443)), start, encrypted=True)


def _dead(w: World, start: float, refused: bool) -> None:
    d = w.dice
    source, master = scanner(w), stranger(w)
    port = d.pick((*_ODD_PORTS, 443, 80, 8080))
    tries, length = d.whole(DEAD_TRIES), min(d.pick((300.0, 300.0, 600.0)), 0.6 * w.duration)
    tries = int(tries * max(length, 60) / 300)
    start = min(start, w.duration - length)
    jitter = d.pick((0.01, 0.1, 0.3))
    gaps = d.pick(((), (0.5,), (0.5, 0.5))) if refused else d.pick(((), (1.0,), (3.0,), (1.0, 2.0)))
    gaps = gaps if sum(gaps) < length / tries else ()
    for i in range(tries):
        at = start + (i + d.between(-0.5, 0.5) * jitter) * length / tries
        talk = w.talk(TCP, source, master, port, ipv6=False)
        (w.wire.tcp_refused if refused else w.wire.tcp_ignored)(at, talk, gaps)


def dead_silent(w: World, start: float) -> None:
    """Try again and again where nobody answers."""
    _dead(w, start, refused=False)


def dead_refused(w: World, start: float) -> None:
    """Try again and again where the connection is refused."""
    _dead(w, start, refused=True)
