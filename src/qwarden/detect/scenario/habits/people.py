"""What people do all day: browse, keep connections open, read mail, log on."""

from __future__ import annotations

from collections.abc import Iterator

from qwarden.detect.scenario.plan import Host
from qwarden.detect.scenario.ranges import HEARTBEAT, POLL_PERIOD
from qwarden.detect.scenario.sessions import logins, names, web, windows
from qwarden.detect.scenario.wire import TCP
from qwarden.detect.scenario.world import World


def times(w: World, mean: float, begin: float = -90.0) -> Iterator[float]:
    """Yield moments with exponential pauses until the capture ends."""
    at = begin + w.dice.waiting(mean)
    while at < w.duration:
        yield at
        at += w.dice.waiting(mean)


def live(w: World, host: Host) -> None:
    """Play a person's day at a machine."""
    d, plan = w.dice, w.plan
    favourites = [d.skewed(plan.sites) for _ in range(d.integer(3, 12))]
    busy = plan.tempo * d.log_between(0.4, 2.5)
    for at in times(w, 230 / busy):
        page(w, host, d.pick(favourites) if d.chance(0.7) else d.skewed(plan.sites), at)
    for _ in range(d.integer(1, 3)):
        _standing_connection(w, host, d.pick(plan.sites))
    for _ in range(d.pick((0, 0, 1, 1, 2))):
        poller(w, host, d.pick(plan.sites))
    if d.chance(0.45):
        server = plan.servers.get("mail") or plan.sites[1]
        begin = d.between(-600, 0.7 * w.duration)
        at = max(begin, 0.0)
        logins.mailbox(
            w, host, server, at, d.between(300, 9_000), d.pick((60.0, 120.0, 290.0)), opened=begin > 0
        )
    directory = plan.servers.get("directory")
    if directory and host.system == "windows":
        for at in times(w, 2_400, 0):
            windows.logon(w, host, directory, at)


def page(w: World, host: Host, site: Host, at: float) -> None:
    """Play a visit to a page: names, then several connections to several sites."""
    d = w.dice
    for i in range(min(1 + int(d.waiting(0.9)), 6)):
        where = site if i == 0 else d.skewed(w.plan.sites)
        begin = names.resolve(w, host, where.name, at + (d.between(0.05, 1.5) if i else 0))
        visit(w, host, where, begin)
        for _ in range(min(int(d.waiting(0.55)), 5)):
            visit(w, host, where, begin + d.between(0.0, 2.5))


def visit(w: World, host: Host, site: Host, at: float) -> None:
    """Play one connection to a site, over whatever protocol it comes to; a few fail."""
    d = w.dice
    how = d.unit()
    if how < 0.006:
        w.wire.tcp_ignored(at, w.talk(TCP, host, site, 443), d.pick(((1.0,), (1.0, 2.0), (3.0, 6.0))))
    elif how < 0.01:
        w.wire.tcp_refused(at, w.talk(TCP, host, site, d.pick((443, 80))), d.pick(((), (0.5, 0.5))))
    elif how < 0.10:
        web.http(w, host, site, at)
    elif site.quic and how < 0.35:
        web.quic(w, host, site, at)
    else:
        web.https(w, host, site, at)


def _standing_connection(w: World, host: Host, site: Host) -> None:
    """Play a push or chat connection that is there for long, mostly from before the capture."""
    d = w.dice
    before = d.chance(0.6)
    at = d.between(0, 60) if before else d.between(0, 0.8 * w.duration)
    port = d.weighted(((0.7, 443), (0.12, 5223), (0.12, 5228), (0.06, 8443)))
    length = d.log_between(300, 30_000)
    every = d.of(HEARTBEAT)
    web.keep_open(
        w, host, site, at, length, every, port, jitter=d.pick((0.001, 0.02, 0.1, 0.4)),
        size=d.integer(31, 110), opened=not before,
    )  # fmt: skip


def poller(w: World, host: Host, site: Host) -> None:
    """Play a program that asks a site for news at regular times."""
    d = w.dice
    every = d.of(POLL_PERIOD)
    jitter = d.pick((0.0, 0.005, 0.05, 0.15))
    plain = d.chance(0.25)
    port = d.pick((80, 8080)) if plain else d.pick((443, 443, 443, 8443))
    out, back, hold = d.integer(120, 900), d.whole_of(90, 700, 9_000), d.pick((0.1, 2.0, 10.0, 60.0, 65.0))
    at = d.between(-every, every)
    while at < w.duration:
        begin = at + every * jitter * d.between(-1, 1)
        if d.chance(0.3):
            begin = names.resolve(w, host, site.name, begin)
        size = int(out * d.between(0.97, 1.03)), int(back * d.between(0.8, 1.25))
        if plain:
            web.http(
                w, host, site, begin, out=size[0], back=size[1], exchanges=1, hold=min(hold, 10), port=port
            )
        else:
            web.https(w, host, site, begin, out=size[0], back=size[1], exchanges=1, hold=hold, port=port)
        at += every
