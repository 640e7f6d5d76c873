"""Attacks: one instance of one kind each, with an id, a technique, a source and targets.

- `scans`: horizontal and vertical
- `guessing`: passwords on SSH, FTP, mail, remote desktops, SMB, the web, and Zerologon
- `floods`: SYN, UDP, ICMP
- `link`: ARP and DHCP
- `control`: beacons and command channels that died
- `leaks`: DNS tunnels and exfiltration

Each kind has variants with a weight and an ATT&CK technique (Enterprise v17); a variant is a function
of the world and the moment it may start, and ends before the capture does. `VARIANTS` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from qwarden.detect.scenario.attacks import control, floods, guessing, leaks, link, scans
from qwarden.detect.scenario.dice import Dice
from qwarden.detect.scenario.labels import KINDS
from qwarden.detect.scenario.wire import Tag
from qwarden.detect.scenario.world import World

Play = Callable[[World, float], object]


@dataclass(frozen=True)
class Variant:
    """One way to carry out a kind of attack."""

    weight: float
    technique: str
    play: Play


VARIANTS: Final[dict[str, tuple[Variant, ...]]] = {
    "scan_horizontal": (
        Variant(3, "T1046", scans.sweep_inside),
        Variant(2, "T1046", scans.sweep_outside),
        Variant(2, "T1595.001", scans.sweep_from_outside),
        Variant(1, "T1046", scans.sweep_udp),
        Variant(1.5, "T1018", scans.sweep_echo),
    ),
    "scan_vertical": (
        Variant(4, "T1046", scans.ports_inside),
        Variant(2, "T1595.001", scans.ports_from_outside),
        Variant(1.5, "T1046", scans.ports_outside),
        Variant(1, "T1046", scans.ports_udp),
    ),
    "guessing": (
        Variant(4, "T1110.001", guessing.ssh),
        Variant(3, "T1110.001", guessing.ftp),
        Variant(4, "T1110.001", guessing.other),
        Variant(1.5, "T1210", guessing.zerologon),
        Variant(1, "T1110.003", guessing.spraying),
    ),
    "flood_syn": (
        Variant(2, "T1499.001", floods.syn_spoofed),
        Variant(2, "T1499.001", floods.syn_one_source),
    ),
    "flood_udp": (
        Variant(2, "T1498.001", floods.udp_one_flow),
        Variant(1.5, "T1498.001", floods.udp_many_ports),
    ),
    "flood_icmp": (
        Variant(2, "T1498.001", floods.echo),
        Variant(1, "T1498.002", floods.echo_amplified),
        Variant(1.2, "T1499.001", floods.extension_headers),
    ),
    "beacon": (
        Variant(2, "T1071.001", control.beacon_web),
        Variant(1.5, "T1571", control.beacon_odd_port),
        Variant(2, "T1095", control.beacon_inside_raw),
        Variant(1.5, "T1071.001", control.beacon_inside_web),
    ),
    "dead_c2": (Variant(2, "T1571", control.dead_silent), Variant(1, "T1571", control.dead_refused)),
    "dns_tunnel": (
        Variant(2, "T1071.004", leaks.tunnel_many_flows),
        Variant(1, "T1572", leaks.tunnel_one_flow),
    ),
    "exfiltration": (
        Variant(3, "T1041", leaks.over_https),
        Variant(1.5, "T1048.003", leaks.over_ftp),
        Variant(1.5, "T1048.003", leaks.over_dns),
        Variant(1.5, "T1048.003", leaks.over_echo),
        Variant(1, "T1048.001", leaks.over_raw),
    ),
    "arp_flood": (
        Variant(2, "T1018", link.arp_sweep),
        Variant(1, "T1557.002", link.arp_replies),
        Variant(1, "T1498", link.arp_storm),
    ),
    "dhcp_flood": (
        Variant(2, "T1499.002", link.dhcp_starvation),
        Variant(1, "T1499.002", link.dhcp_requests),
        Variant(1, "T1499.002", link.dhcp_inform),
    ),
}


def play_attacks(w: World, seed: int, kinds: Collection[str]) -> list[Tag]:
    """Play every kind of `kinds` at least once, longer captures more often; return the tags in order of id.

    What an instance does depends on the seed and its own id only: another choice of kinds leaves the
    attacks that remain as they were.
    """
    tags: list[Tag] = []
    attack_id = 0
    expected = max(1.0, w.duration / 3_600)
    for number, kind in enumerate(KINDS):
        dice = Dice(seed, 3, number)
        count = int(expected) + dice.chance(expected - int(expected))
        for instance in range(count):
            attack_id += 1
            if kind not in kinds:
                continue
            own = Dice(seed, 4, number, instance)
            variant = own.weighted([(v.weight, v) for v in VARIANTS[kind]])
            tag = Tag(attack_id, kind, variant.technique)
            tags.append(tag)
            variant.play(w.as_attack(tag, own), own.between(0.03, 0.75) * w.duration)
    return tags
