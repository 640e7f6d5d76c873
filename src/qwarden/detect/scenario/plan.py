"""The network of a scenario: which hosts there are, what they run, and the sites they visit.

Everything that could become a habit of a model is drawn anew for every seed: address plan, sizes,
operating systems (TTL, window, timestamps, port order), delays, MTU, VLANs, the share of IPv6,
where the capture point is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from qwarden.detect.scenario.dice import Dice
from qwarden.detect.scenario.ranges import LOCAL_RTT, SITE_RTT

BROADCAST_MAC: Final = (1 << 48) - 1

# Operating system: TTL, TCP timestamps, window of a client, ephemeral ports, ports in order.
_SYSTEMS: Final = {
    "windows": (128, False, 64_240, 49_152, 65_535, True),
    "linux": (64, True, 64_240, 32_768, 60_999, False),
    "mac": (64, True, 65_535, 49_152, 65_535, True),
    "phone": (64, True, 65_535, 32_768, 60_999, False),
    "device": (64, False, 5_840, 50_000, 60_000, True),
    "network": (255, False, 4_128, 10_000, 60_000, True),
}

_SYLLABLES: Final = (
    "al", "be", "cor", "da", "el", "fin", "ga", "hel", "in", "jo", "ka", "lum", "mo", "net", "or", "pa",
    "qu", "ri", "sol", "ta", "ur", "ve", "wo", "xi", "ya", "zen",
)  # fmt: skip
_ENDINGS: Final = ("com", "net", "org", "io", "de", "co.uk", "fr", "cloud")


@dataclass(slots=True)
class Host:
    """A machine, here or on the Internet."""

    name: str
    role: str
    system: str
    ip4: int
    ip6: int  # 0: has none
    mac: int
    ttl: int  # as it arrives at the capture point
    stamps: bool
    window: int
    leg: float  # seconds from the capture point to the host and back
    ports: tuple[int, int]
    in_order: bool
    next_port: int
    subnet: int  # index of its subnet; -1: on the Internet
    link6: int = 0  # link-local address
    quic: bool = False

    def port(self, dice: Dice) -> int:
        """Return a fresh ephemeral port."""
        low, high = self.ports
        self.next_port += 1 if self.in_order else dice.integer(1, 97)
        if self.next_port > high:
            self.next_port = low + (self.next_port - low) % (high - low + 1)
        return self.next_port


@dataclass(slots=True)
class Subnet:
    """One local network."""

    network: int
    prefix6: int  # 0: no IPv6
    vlan: int
    gateway: Host


@dataclass
class Plan:
    """The network a scenario plays in."""

    start_us: int
    duration: float
    domain: str
    subnets: list[Subnet] = field(default_factory=list)
    people: list[Host] = field(default_factory=list)
    devices: list[Host] = field(default_factory=list)
    servers: dict[str, Host] = field(default_factory=dict)
    sites: list[Host] = field(default_factory=list)
    resolvers: list[Host] = field(default_factory=list)
    mss: int = 1460
    ipv6_share: float = 0.0
    loss: float = 0.0
    merge: int = 1
    padded: bool = False
    tempo: float = 1.0  # how busy people are

    @property
    def local(self) -> list[Host]:
        """All machines here, gateways not included."""
        return [*self.people, *self.devices, *self.servers.values()]


def domain_name(dice: Dice) -> str:
    """Return an invented domain."""
    return "".join(dice.pick(_SYLLABLES) for _ in range(dice.integer(2, 4))) + "." + dice.pick(_ENDINGS)


def public_ip4(dice: Dice) -> int:
    """Return a unicast IPv4 address outside the special ranges (RFC 6890)."""
    while True:
        first, second = dice.integer(1, 223), dice.integer(0, 255)
        if first in (10, 100, 127, 169, 172, 192, 198, 203):
            continue
        return first << 24 | second << 16 | dice.integer(0, 255) << 8 | dice.integer(1, 254)


def public_ip6(dice: Dice) -> int:
    """Return a global unicast IPv6 address."""
    high = 0x2A00 << 48 | dice.integer(0x1000, 0xFFFF) << 32 | dice.integer(0, 0xFFFF) << 16
    return high << 64 | dice.integer(1, 0xFFFF)


def _mac(dice: Dice) -> int:
    vendor = dice.pick((0x001A2B, 0x3C5282, 0x8C1645, 0xB827EB, 0xF0DEF1, 0x005056, 0xD4BED9, 0x7C2F80))
    return vendor << 24 | dice.integer(1, (1 << 24) - 1)


def remote_host(dice: Dice, name: str, gateway_mac: int, *, ipv6: bool = False) -> Host:
    """Return a machine on the Internet, as seen here."""
    system = dice.weighted(((0.75, "linux"), (0.15, "windows"), (0.1, "network")))
    ttl, stamps, window, low, high, in_order = _SYSTEMS[system]
    return Host(
        name, "site", system, public_ip4(dice), public_ip6(dice) if ipv6 else 0, gateway_mac,
        ttl - dice.integer(4, 22), stamps, dice.pick((window, 65_535, 29_200, 14_600, 8_192)),
        dice.of(SITE_RTT), (low, high), in_order, dice.integer(low, high), -1, quic=dice.chance(0.35),
    )  # fmt: skip


def local_host(dice: Dice, plan: Plan, name: str, role: str, system: str, subnet: int, number: int) -> Host:
    """Return a machine in a local network, with host number `number`."""
    net = plan.subnets[subnet] if subnet < len(plan.subnets) else None
    ttl, stamps, window, low, high, in_order = _SYSTEMS[system]
    mac = _mac(dice)
    suffix = (mac >> 24 ^ 0x020000) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF  # EUI-64 (RFC 4291 A)
    has_ip6 = net is not None and net.prefix6 and system != "device"
    return Host(
        name, role, system, (net.network if net else 0) + number,
        net.prefix6 << 64 | suffix if net and has_ip6 else 0, mac, ttl, stamps, window,
        dice.of(LOCAL_RTT) * 0.5, (low, high), in_order, dice.integer(low, high), subnet,
        link6=0xFE80 << 112 | suffix,
    )  # fmt: skip


def make_plan(dice: Dice, duration: float, hosts: int) -> Plan:
    """Return the network of a scenario.

    Parameters
    ----------
    dice : the plan's stream of randomness.
    duration : seconds of capture.
    hosts : local machines, at least 3.
    """
    # 2026-01-05 08:00 UTC is a Monday; the capture starts within that working week.
    start = 1_767_600_000 + dice.integer(0, 4) * 86_400 + dice.integer(0, 9 * 3_600)
    plan = Plan(start * 1_000_000 + dice.integer(0, 999_999), duration, "corp." + domain_name(dice))
    plan.mss = dice.pick((1460, 1460, 1460, 1440, 1420, 1400, 1380, 1360))
    plan.ipv6_share = dice.pick((0.0, 0.0, 0.05, 0.2, 0.5, 0.85))
    plan.loss = dice.pick((0.0, 0.0005, 0.002, 0.005, 0.015))
    plan.merge = dice.pick((1, 1, 1, 2, 3))
    plan.padded = dice.chance(0.5)
    plan.tempo = dice.log_between(0.75, 1.3)
    _add_subnets(dice, plan, dice.integer(1, 3) if hosts >= 15 else 1)
    _add_machines(dice, plan, hosts)
    plan.tempo *= sqrt(18 / len(plan.people))  # more people, but not as much more traffic
    gateway = plan.subnets[0].gateway
    for _ in range(dice.integer(40, 120)):
        plan.sites.append(
            remote_host(dice, domain_name(dice), gateway.mac, ipv6=plan.ipv6_share > 0 and dice.chance(0.6))
        )
    public = remote_host(dice, "resolver", gateway.mac)
    public.ip4 = dice.pick((0x08080808, 0x01010101, 0x09090909, 0x08080404))
    public.leg = dice.between(0.004, 0.03)
    resolver = plan.servers.get("dns")
    plan.resolvers = [resolver] if resolver else [dice.pick((gateway, public))]
    if dice.chance(0.3):
        plan.resolvers.append(public)
    return plan


def _add_subnets(dice: Dice, plan: Plan, count: int) -> None:
    style = dice.pick(("ten", "home", "middle", "public"))
    base = {
        "ten": 10 << 24 | dice.integer(0, 255) << 16,
        "home": 192 << 24 | 168 << 16,
        "middle": 172 << 24 | dice.integer(16, 31) << 16,
        "public": dice.pick((131, 134, 141, 147, 160)) << 24 | dice.integer(1, 254) << 16,
    }[style]
    third = dice.some(range(256), count)
    site6 = dice.pick((0x2001_0718, 0x2A02_0168, 0x2003_00C0)) << 32 | dice.integer(1, 0xFFFF) << 16
    tagged = dice.chance(0.3)
    for i in range(count):
        network = base | third[i] << 8
        prefix6 = site6 | dice.integer(0, 0xFF) if plan.ipv6_share else 0
        gateway = local_host(dice, plan, f"gw{i}", "gateway", "network", i, 0)
        gateway.ip4 = network + dice.pick((1, 1, 254))
        gateway.ip6 = prefix6 << 64 | 1 if prefix6 else 0
        plan.subnets.append(Subnet(network, prefix6, dice.integer(2, 4000) if tagged else 0, gateway))


_SERVER_ROLES: Final = (
    "dns",
    "files",
    "directory",
    "mail",
    "intranet",
    "build",
    "database",
    "monitor",
    "ftp",
)


def _add_machines(dice: Dice, plan: Plan, hosts: int) -> None:
    free = [dice.some(range(2, 254), 253) for _ in plan.subnets]

    def place(name: str, role: str, system: str, subnet: int) -> Host:
        return local_host(dice, plan, name, role, system, subnet, free[subnet].pop())

    last = len(plan.subnets) - 1
    server_count = min(len(_SERVER_ROLES), max(1, hosts // 4))
    for role in dice.some(_SERVER_ROLES, server_count):
        system = "windows" if role in ("files", "directory") else dice.pick(("linux", "linux", "windows"))
        plan.servers[role] = place(f"{role}.{plan.domain}", role, system, last)
    device_count = max(0, round((hosts - server_count) * dice.between(0.1, 0.35)))
    for i in range(device_count):
        role = dice.pick(("printer", "camera", "phone_voip", "television", "sensor", "plc"))
        plan.devices.append(place(f"{role}{i}", role, "device", dice.integer(0, last)))
    systems = dice.pick(
        (
            ("windows",),
            ("windows", "windows", "mac"),
            ("linux", "mac", "phone"),
            ("windows", "linux", "mac", "phone"),
        )
    )
    for i in range(max(2, hosts - server_count - device_count)):
        plan.people.append(place(f"pc{i}", "person", dice.pick(systems), dice.integer(0, last)))
    if dice.chance(0.25):  # people behind a router of their own share its address, one hop further
        for person in plan.people[1 : dice.integer(2, 4)]:
            person.ip4, person.mac, person.ip6 = plan.people[0].ip4, plan.people[0].mac, 0
            person.ttl -= 1
