"""The rarer things that happen: bursts, backups, calls, work over SSH, what is broken.

Most of them are here because they look like an attack and are none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from qwarden.detect.scenario.habits.people import visit
from qwarden.detect.scenario.payload import A
from qwarden.detect.scenario.plan import Host, public_ip4, remote_host
from qwarden.detect.scenario.sessions import guesses, link, logins, names, web, windows
from qwarden.detect.scenario.wire import TCP, UDP, Turn
from qwarden.detect.scenario.world import World


@dataclass(frozen=True)
class Event:
    """Something that happens to somebody about `weight` times an hour in a dozen people."""

    weight: float
    play: Callable[[World, Host, float], object]


def _alike_burst(w: World, host: Host, at: float) -> None:
    """A restored session or a busy web application: up to 350 alike connections in 300 s."""
    d = w.dice
    sites = d.some(w.plan.sites, d.integer(1, 4))
    count, length = d.integer(40, 350), d.between(20, 300)
    out, back = d.integer(200, 900), d.integer(200, 2_500)
    for _ in range(count):
        web.https(
            w, host, d.pick(sites), at + d.unit() * length, out=int(out * d.between(0.98, 1.02)),
            back=int(back * d.between(0.9, 1.1)), exchanges=1, hold=0.2,
        )  # fmt: skip


def _many_sites(w: World, host: Host, at: float) -> None:
    """A link checker or a page of advertisements: dozens of destinations on 443, which answer."""
    d = w.dice
    for site in d.some(w.plan.sites, d.integer(25, 90)):
        at += d.waiting(1.5)
        visit(w, host, site, names.resolve(w, host, site.name, at))


def _download(w: World, host: Host, at: float) -> None:
    d = w.dice
    site = d.skewed(w.plan.sites)
    web.download(
        w,
        host,
        site,
        names.resolve(w, host, site.name, at),
        d.whole_of(300e3, 900e3, 3.5e6),
        d.pick((80, 80, 443)),
    )


def _stream(w: World, host: Host, at: float) -> None:
    """A video in pieces."""
    d = w.dice
    web.https(
        w,
        host,
        d.skewed(w.plan.sites),
        at,
        out=d.integer(4_000, 12_000),
        back=d.integer(500_000, 2_500_000),
        exchanges=d.integer(4, 12),
        hold=d.between(20, 200),
    )


def _cloud_upload(w: World, host: Host, at: float) -> None:
    """Photographs and documents go to a well-known site: more out than in, but not by much more."""
    d = w.dice
    site = d.skewed(w.plan.sites)
    out = d.whole_of(20e3, 150e3, 900e3)
    web.https(
        w,
        host,
        site,
        names.resolve(w, host, site.name, at),
        out=out,
        back=int(out / d.between(2, 12)),
        exchanges=d.integer(1, 8),
    )


def _file_server(w: World, host: Host, at: float) -> None:
    server = w.plan.servers.get("files") or w.dice.pick([*w.plan.servers.values()])
    begin = link.resolve_neighbour(w, host, server, at)
    windows.smb(
        w, host, server, begin, beat=w.dice.pick((0.0, 0.0, 30.0, 60.0)), scale=w.dice.between(0.3, 1.0)
    )


def _backup(w: World, host: Host, at: float) -> None:
    """A large copy to a server in the house."""
    d = w.dice
    server = w.plan.servers.get("files") or w.plan.servers.get("build") or w.plan.subnets[0].gateway
    size = d.integer(400_000, 2_500_000)
    if d.chance(0.5):
        logins.ssh(w, host, server, at, out=size, back=d.integer(3_000, 40_000), hold=d.between(2, 60))
    else:
        web.upload(w, host, server, at, size, d.pick((443, 8443, 9000)))


def _work_over_ssh(w: World, host: Host, at: float) -> None:
    """Interactive work, a copy, a fetch; a person mistypes the password one to three times now and then."""
    d = w.dice
    server = d.pick([*w.plan.servers.values(), *w.plan.sites[:5]])
    wrong = d.pick((0, 0, 0, 1, 2, 3))
    kind = d.unit()
    if kind < 0.25:
        logins.ssh(w, host, server, at, wrong=wrong, keys=wrong == 0, hold=d.between(5, 400))
    elif kind < 0.65:
        logins.ssh(w, host, server, at, wrong=wrong, keys=wrong == 0)
    elif kind < 0.8:
        logins.ssh_beating(
            w,
            host,
            server,
            max(at, 0),
            d.between(200, 4_000),
            d.pick((15.0, 30.0, 60.0)),
            opened=d.chance(0.6),
        )
    else:
        habit = logins.Habit.of(d)
        for _ in range(d.integer(3, 8)):  # a script: alike sessions, but few, and they succeed
            at = logins.ssh(
                w,
                host,
                server,
                at + d.between(0.1, 20),
                habit=habit,
                out=d.integer(200, 900),
                back=d.integer(200, 4_000),
                hold=d.between(0.1, 2),
            )


def _forgotten_password(w: World, host: Host, at: float) -> None:
    """A person who gives up after one to three connections."""
    d = w.dice
    server = d.pick([*w.plan.servers.values(), *w.plan.sites[:3]])
    guess, port = d.pick(
        (
            (guesses.ssh_guess, 22),
            (guesses.ftp_guess, 21),
            (guesses.desktop_guess, 3389),
            (guesses.smb_guess, 445),
        )
    )
    habit = logins.Habit.of(d)
    for _ in range(d.integer(1, 3)):
        at = guess(w, host, server, at, habit, port) + d.between(3, 40)


def _mail(w: World, host: Host, at: float) -> None:
    d = w.dice
    server = w.plan.servers.get("mail") or w.plan.sites[2]
    logins.smtp(w, host, server, at, d.whole_of(1_500, 9_000, 600e3), d.pick((25, 587)))


def _pop(w: World, host: Host, at: float) -> None:
    """A mail program that fetches every few minutes."""
    d = w.dice
    server, every = w.plan.servers.get("mail") or w.plan.sites[2], d.pick((60.0, 120.0, 300.0, 600.0))
    for _ in range(d.integer(3, 12)):
        if at < w.duration:
            logins.pop3(w, host, server, at, d.pick((0, 0, 0, 1, 3)))
        at += every * d.between(0.98, 1.02)


def _ftp(w: World, host: Host, at: float) -> None:
    d = w.dice
    server = w.plan.servers.get("ftp") or d.pick(w.plan.sites)
    transfers = [(d.pick((0, 1, 1)), d.whole_of(500, 30e3, 700e3)) for _ in range(d.pick((0, 1, 2, 6)))]
    logins.ftp(
        w,
        host,
        server,
        at,
        transfers=transfers,
        navigate=d.pick((0, 3, 40, 200, 700)),
        pace=d.log_between(0.05, 3),
    )


def _desktop(w: World, host: Host, at: float) -> None:
    d = w.dice
    server = d.pick([*w.plan.servers.values(), *w.plan.people])
    if server is not host:
        if d.chance(0.7):
            logins.desktop(w, host, server, max(at, 0), d.between(60, 1_500), opened=d.chance(0.7))
        else:
            logins.screen_sharing(w, host, server, at)


def _groupware(w: World, host: Host, at: float) -> None:
    """A mail program that speaks MAPI: remote calls by the dozen on a dynamic port, often from before."""
    d = w.dice
    server = w.plan.servers.get("mail") or d.pick([*w.plan.servers.values()])
    calls = [(d.integer(48, 1_400), d.integer(96, 1_460)) for _ in range(d.integer(10, 120))]
    port = d.pick((d.integer(1_026, 1_100), d.integer(49_664, 49_700), d.integer(59_001, 59_010)))
    windows.remote_call(w, host, server, max(at, 0.0), port, calls, d.between(0, 60), opened=d.chance(0.5))


def _call(w: World, host: Host, at: float) -> None:
    """A call: 50 small datagrams a second each way."""
    d = w.dice
    peer = d.pick(w.plan.sites)
    size = d.pick((60, 92, 132, 172))
    turns: list[Turn] = []
    source = d.few_bytes(4)
    for i in range(int(50 * d.between(5, 25))):
        head = b"\x80\x00" + struct.pack(">HI", i, 160 * i) + source  # RTP (RFC 3550 5.1), G.711
        turns += [(0.0098 * d.between(0.9, 1.1), way, size, head) for way in (0, 1)]
    talk = w.talk(UDP, host, peer, d.integer(40_000, 49_000))
    quiet = talk._replace(client=talk.client._replace(leg=0.0), server=talk.server._replace(leg=0.0))
    w.wire.datagrams(at, quiet, turns)


def _peers(w: World, host: Host, at: float) -> None:
    """A peer-to-peer program: many partners on high ports, some of them gone."""
    d = w.dice
    gateway = w.plan.subnets[host.subnet].gateway
    source = host.port(d)
    for _ in range(d.integer(12, 50)):
        peer = remote_host(d, "peer", gateway.mac)
        at += d.waiting(4)
        port = d.integer(20_000, 62_000)
        if d.chance(0.15):
            w.wire.tcp_ignored(at, w.talk(TCP, host, peer, port), (1.0, 2.0))
            continue
        known = b"\x51\x00\x00" + d.few_bytes(1)
        turns: list[Turn] = [(0.0, 0, d.integer(40, 140), known)]
        if d.chance(0.7):
            for _ in range(d.integer(1, 15)):
                turns += [
                    (d.between(0.0, 2), 1, d.integer(40, 1_200), known),
                    (d.between(0.0, 2), 0, d.integer(20, 500), known),
                ]
        w.wire.datagrams(at, w.talk(UDP, host, peer, port, source=source, ipv6=False), turns)


def _dead_printer(w: World, host: Host, at: float) -> None:
    """Something that is switched off is tried again, a few times in a minute at most."""
    d = w.dice
    gone = remote_host(d, "gone", host.mac)
    gone.ip4, gone.subnet = w.plan.subnets[-1].network + d.integer(2, 253), host.subnet
    port, every = d.pick((9100, 631, 445, 8009, 443, 3389)), d.between(25, 240)
    gaps = d.pick(((1.0, 2.0), (3.0, 6.0), (1.0,), ()))
    refuses = d.chance(0.3)
    for _ in range(d.integer(3, 25)):
        if at < w.duration:
            talk = w.talk(TCP, host, gone, port, ipv6=False)
            (w.wire.tcp_refused if refuses else w.wire.tcp_ignored)(at, talk, gaps)
        at += every * d.between(0.9, 1.1)


def _typos(w: World, host: Host, at: float) -> None:
    names.failed_lookups(w, host, at, w.dice.integer(3, 30))


def _long_names(w: World, host: Host, at: float) -> None:
    names.long_lookups(w, host, at, w.dice.integer(2, 40))


def _ping(w: World, host: Host, at: float) -> None:
    d = w.dice
    target = d.pick([w.plan.subnets[host.subnet].gateway, *w.plan.sites[:20]])
    link.ping(
        w,
        host,
        target,
        at,
        d.pick((3, 4, 5, 10, 60)),
        size=d.pick((32, 56, 56, 1_000)),
        answered=d.chance(0.93),
    )


def _fan_out(w: World, host: Host, at: float) -> None:
    """Configuration management: alike SSH sessions to many machines, one or two each."""
    d = w.dice
    source = w.plan.servers.get("build") or host
    habit, out, back = logins.Habit.of(d), d.integer(2_000, 9_000), d.integer(500, 3_000)
    for target in d.some([h for h in w.plan.local if h is not source], d.integer(4, 18)):
        at += d.between(0.1, 4)
        logins.ssh(
            w,
            source,
            target,
            at,
            habit=habit,
            out=out,
            back=int(back * d.between(0.9, 1.1)),
            hold=d.between(0.5, 6),
        )


def _unwanted(w: World, host: Host, at: float) -> None:
    """The Internet's background noise: one stray SYN to somebody, as every public address sees it."""
    d = w.dice
    stranger = remote_host(d, "stranger", w.plan.subnets[0].gateway.mac)
    stranger.ip4 = public_ip4(d)
    talk = w.talk(
        TCP, stranger, host, d.pick((23, 445, 22, 80, 443, 8080, 3389, d.integer(1, 60_000))), ipv6=False
    )
    if d.chance(0.3):
        w.wire.tcp_refused(at, talk)
    else:
        w.wire.tcp_ignored(at, talk, d.pick(((), (1.0,), (3.0,))))


def _lookup_only(w: World, host: Host, at: float) -> None:
    names.query(w, host, w.dice.skewed(w.plan.sites).name, at, A)


EVENTS = (
    Event(0.12, _alike_burst), Event(0.35, _many_sites), Event(2.2, _download), Event(0.7, _stream),
    Event(3.0, _cloud_upload), Event(4.0, _file_server), Event(0.6, _backup), Event(5.0, _work_over_ssh),
    Event(0.8, _forgotten_password), Event(6.0, _mail), Event(1.2, _pop), Event(1.2, _ftp),
    Event(0.8, _desktop), Event(0.35, _call), Event(0.25, _peers), Event(0.9, _dead_printer),
    Event(4.0, _typos), Event(3.0, _long_names), Event(4.0, _ping), Event(0.4, _fan_out),
    Event(1.5, _groupware), Event(4.0, _unwanted), Event(60.0, _lookup_only),
)  # fmt: skip
