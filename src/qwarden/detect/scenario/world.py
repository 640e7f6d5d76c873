"""The world a session plays in: the plan, the wire, and what hosts already know of each other."""

from __future__ import annotations

from qwarden.detect.scenario.dice import Dice
from qwarden.detect.scenario.payload import AAAA, HTTPS, A
from qwarden.detect.scenario.plan import Host, Plan
from qwarden.detect.scenario.wire import (
    ARP,
    BENIGN,
    ICMP,
    ICMPV6,
    OPTIONS_PLAIN,
    OPTIONS_STAMPS,
    TCP,
    End,
    Path,
    Tag,
    Talk,
    Wire,
)

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
    "Microsoft-CryptoAPI/10.0",
    "Debian APT-HTTP/1.3 (2.9.5)",
    "curl/8.9.1",
)


class World:
    """A plan with a wire.

    Parameters
    ----------
    plan : the network.
    wire : where packets go.
    dice : this actor's stream of randomness.
    tag : whose conversations these are.
    """

    def __init__(self, plan: Plan, wire: Wire, dice: Dice, tag: Tag = BENIGN) -> None:
        self.plan, self.wire, self.dice, self.tag = plan, wire, dice, tag
        self.known_names: dict[tuple[int, str], float] = {}
        self.known_neighbours: dict[tuple[int, int], float] = {}

    def as_attack(self, tag: Tag, dice: Dice) -> World:
        """Return the same world for an attack: its conversations carry `tag`."""
        return World(self.plan, self.wire, dice, tag)

    @property
    def duration(self) -> float:
        """Seconds of capture."""
        return self.plan.duration

    def speaks_ipv6(self, client: Host, server: Host) -> bool:
        """Return whether these two talk over IPv6 this time."""
        return bool(client.ip6 and server.ip6) and self.dice.chance(self.plan.ipv6_share)

    def end(self, host: Host, port: int, ipv6: bool, peer: Host) -> End:
        """Return how `host` looks at the capture point when it talks to `peer`."""
        mac = host.mac
        if host.subnet < 0 <= peer.subnet:  # from the Internet: the peer's gateway hands it on
            mac = self.plan.subnets[peer.subnet].gateway.mac
        return End(host.ip6 if ipv6 else host.ip4, port, mac, host.ttl, host.stamps, host.window, host.leg)

    def talk(
        self,
        proto: int,
        client: Host,
        server: Host,
        port: int = 0,
        *,
        source: int | None = None,
        ipv6: bool | None = None,
        options: int | None = None,
    ) -> Talk:
        """Return a conversation of `client` with `port` of `server` (`source`: the client's port)."""
        if ipv6 is None:
            ipv6 = proto not in (ARP, ICMP) and self.speaks_ipv6(client, server)
        if source is None:
            source = 0 if proto in (ICMP, ICMPV6, ARP) else client.port(self.dice)
        if options is None:
            options = OPTIONS_STAMPS if client.stamps and server.stamps else OPTIONS_PLAIN
        version = 0 if proto == ARP else 6 if ipv6 else 4
        local = client if client.subnet >= 0 else server
        vlan = self.plan.subnets[local.subnet].vlan if local.subnet >= 0 else 0
        mss = self.plan.mss - (20 if ipv6 else 0)
        return Talk(
            proto, version, self.end(client, source, ipv6, server), self.end(server, port, ipv6, client),
            options, mss, vlan, self.tag, b"", 0,
        )  # fmt: skip

    def path(self, talk: Talk, *, fast: bool = False) -> Path:
        """Return the path of a TCP talk: segment size, speed, loss."""
        d, plan = self.dice, self.plan
        near = talk.client.leg + talk.server.leg < 0.01 or fast
        return Path(
            mss=talk.mss - (12 if talk.options == OPTIONS_STAMPS else 0),
            spacing_us=int(d.log_between(6, 40) if near else d.log_between(20, 1_000)),
            loss=0.0 if near else plan.loss,
            delayed_ack_us=40_000 if talk.client.stamps else int(d.between(40e3, 200e3)),
            ack_every=d.pick((2, 2, 2, 1, 3)),
            merge=plan.merge,
        )

    def tcp(
        self,
        start: float,
        client: Host,
        server: Host,
        port: int,
        turns: list[tuple[float, int, int, bytes | tuple[tuple[int, bytes], ...]]],
        *,
        close: str = "fin",
        linger: float = 0.0,
        opened: bool = True,
    ) -> float:
        """Play a TCP session between two hosts; see `Wire.tcp`."""
        talk = self.talk(TCP, client, server, port)
        return self.wire.tcp(start, talk, turns, self.path(talk), close=close, linger=linger, opened=opened)

    def name_kinds(self, client: Host) -> tuple[int, ...]:
        """Return which records a client asks for before it connects."""
        if client.system in ("mac", "phone"):
            return (HTTPS, AAAA, A) if self.dice.chance(0.5) else (AAAA, A)
        return (A, AAAA) if client.ip6 or self.dice.chance(0.3) else (A,)
