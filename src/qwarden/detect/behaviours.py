"""Named behaviours: what an alarming flow is part of.

A model says *how unusual and how attack-like* a flow is; a behaviour says *what it is*, and which
flows have one cause. The evidence a behaviour asks for is the least that deserves its name (the
weakest pattern measured on real captures), not a detector's threshold: most flows that fit are
benign, and it is the model's score that raises a finding.

Techniques are those of MITRE ATT&CK (Enterprise, v17).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.features import FEATURE_NAMES
from qwarden.formats.flows import PROTO_ARP, Flows

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SEVERITIES: Final = ("info", "low", "medium", "high", "critical")

# What one cause is: the columns a finding of this behaviour groups by.
BY_SOURCE, BY_PAIR, BY_PAIR_PORT, BY_VICTIM, BY_NETWORK = range(5)

_COLUMN: Final = {name: at for at, name in enumerate(FEATURE_NAMES)}


class Row:
    """Feature columns by name: ``row.contacts_300s`` is that column of every flow, or of the one.

    Parameters
    ----------
    columns : indexed by column: the transpose of feature rows, or one row as plain numbers.
    """

    def __init__(self, columns: Any) -> None:
        self._columns = columns

    def __getattr__(self, name: str) -> F64:
        column: F64 = self._columns[_COLUMN[name]]
        return column

    @property
    def packets(self) -> F64:
        """Packets both ways."""
        return self.packets_out + self.packets_in

    @property
    def empty(self) -> Mask:
        """Flows without a byte of payload."""
        nothing: Mask = (self.payload_out == 0) & (self.payload_in == 0)
        return nothing

    @property
    def regular(self) -> Mask:
        """Contacts at even intervals of a second or more."""
        return (self.period_spread <= 0.35) & (self.period_s >= 1)

    @property
    def not_a_beacon(self) -> Mask:
        """Contacts that are irregular, or stay inside: a C2 server stands outside."""
        apart: Mask = (self.regular == 0) | (self.destination_inside > 0)
        return apart

    @property
    def hour_share(self) -> F64:
        """How much of the flow fits into an hour: what it sent counts at its end, but took all its time."""
        share: F64 = np.minimum(1.0, 3600.0 / np.maximum(self.duration_s, 1.0))
        return share

    @property
    def polled(self) -> Mask:
        """Services that clients visit regularly by their nature."""
        usual = self.service_infrastructure + self.service_dhcp + self.service_name + self.service_login
        polled: Mask = usual + self.service_mail + self.service_file + self.service_database > 0
        return polled

    @property
    def probe(self) -> Mask:
        """Flows that carry next to nothing: a port was tried, not used."""
        tiny = (self.payload_out <= 64) & (self.payload_in <= 64) & (self.packets <= 12)
        return (self.failed > 0) | tiny


@dataclass(frozen=True)
class Behaviour:
    """One named behaviour.

    Parameters
    ----------
    kind : its name, also the label of the traffic range.
    title : how a sentence about it begins.
    technique : the ATT&CK technique, empty where none is evident.
    severity : one of `SEVERITIES`.
    group : which columns make one cause.
    evidence : feature columns to a mask of the flows that fit.
    tells : the columns worth naming first in an explanation.
    least : contacts that a finding must show: what is made of many cannot be one odd flow. Every
        alarming flow is a contact, and so are ten packets sent (a beacon may live inside one connection).
    """

    kind: str
    title: str
    technique: str
    severity: str
    group: int
    evidence: Callable[[Row], Mask]
    tells: tuple[str, ...]
    least: int = 1


def _one_way_burst(r: Row, packets: float, rate: float) -> Mask:
    return (r.packets_out >= packets) & (r.packets_per_s >= rate) & (r.packets_in <= 0.1 * r.packets_out)


def _pelted(r: Row, gap_s: float) -> Mask:
    """A service under hundreds of packets that come faster than anybody asks: many sources, or no pause."""
    hurried = (r.contact_gap_s < gap_s) | (r.service_sources_300s >= 50) | (r.packets_out >= 40)
    pelted: Mask = (r.service_packets_300s >= 400) & hurried
    return pelted


BEHAVIOURS: Final[tuple[Behaviour, ...]] = (
    Behaviour(
        "dhcp_flood", "DHCP starvation", "T1498", "high", BY_NETWORK,
        lambda r: (r.udp > 0) & (r.service_dhcp > 0)
        & ((r.service_sources_300s >= 40) | ((r.destination_group > 0) & (r.service_packets_300s >= 100))),
        ("service_packets_300s", "packets_per_s"),
    ),
    Behaviour(
        "address_probing", "address after address asked of the DHCP server", "T1018", "medium", BY_SOURCE,
        lambda r: (r.udp > 0) & (r.service_dhcp > 0) & (r.packets_in > 0)
        & ((r.contacts_300s >= 5) | (r.packets_out >= 10)),
        ("contacts_300s", "packets_out", "contact_gap_s"), least=3,
    ),
    Behaviour(
        "arp_sweep", "ARP sweep", "T1018", "medium", BY_SOURCE,
        lambda r: (r.arp > 0) & (r.failed > 0)
        & ((r.fan_peers_300s >= 20) | ((r.fan_peers_1h >= 24) & (r.fan_failed_share_1h >= 0.6))),
        ("fan_peers_300s", "fan_peers_1h", "fan_failed_share_300s"), least=3,
    ),
    Behaviour(
        "arp_spoofing", "ARP messages that nobody asked for", "T1557.002", "high", BY_SOURCE,
        lambda r: (r.arp > 0) & (r.failed > 0) & (r.packets_out >= 20),
        ("packets_out", "packets_per_s", "fan_peers_300s"), least=8,
    ),
    Behaviour(
        "arp_flood", "ARP storm", "T1498", "medium", BY_NETWORK,
        lambda r: (r.arp > 0) & (r.failed > 0)
        & ((r.service_sources_300s >= 40) | (r.service_packets_300s >= 200)),
        ("service_sources_300s", "service_packets_300s"), least=3,
    ),
    Behaviour(
        "flood_syn", "TCP SYN flood", "T1498.001", "high", BY_VICTIM,
        lambda r: (r.tcp > 0) & (r.empty | (r.failed > 0)) & (r.pair_ports_300s < 50)
        # A client that is refused tries again a hundred times a second; floods send a thousand and more.
        & (_one_way_burst(r, 300, 100) | _pelted(r, 0.006)),
        ("victim_flows_300s", "victim_failed_share_300s", "packets_per_s"),
    ),
    Behaviour(
        "flood_udp", "UDP flood", "T1498.001", "high", BY_VICTIM,
        lambda r: (r.udp > 0) & (r.packets_in <= 0.1 * r.packets_out)
        & (_one_way_burst(r, 300, 200) | (_pelted(r, 0.2) & (r.destination_group == 0))
           | ((r.pair_ports_300s >= 20) & ((r.packets_out >= 3) | (r.payload_out >= 1000)))),
        ("packets_per_s", "victim_flows_300s", "upload_share"),
    ),
    Behaviour(
        "flood_icmp", "ICMP flood", "T1498.001", "high", BY_VICTIM,
        lambda r: (r.icmp > 0)
        & (((r.packets >= 200) & (r.packets_per_s >= 100))
           | ((r.packets_out >= 100) & (r.packets_in == 0) & (r.packets_per_s >= 100))
           | ((r.service_packets_300s >= 300) & (r.service_sources_300s >= 15) & (r.packets_out >= 10))),
        ("packets_per_s", "service_packets_300s"),
    ),
    Behaviour(
        "flood_ip", "flood of bare IP packets", "T1498.001", "high", BY_VICTIM,
        lambda r: (r.other_protocol > 0) & _one_way_burst(r, 500, 200),
        ("packets_per_s", "extension_bytes_a_packet"),
    ),
    Behaviour(
        "covert_channel", "covert channel in extension headers", "T1095", "high", BY_PAIR,
        lambda r: (r.extension_bytes_a_packet >= 256) & (r.packets >= 8),
        ("extension_bytes_a_packet",),
    ),
    Behaviour(
        "scan_vertical", "port scan of one host", "T1046", "medium", BY_SOURCE,
        lambda r: (r.tcp + r.udp > 0) & r.probe
        & ((r.pair_ports_300s >= 10) | (r.pair_ports_1h >= 15) | (r.pair_tried_1d >= 15)),
        ("pair_ports_300s", "pair_ports_1h", "pair_tried_1d", "source_failed_share_300s"), least=3,
    ),
    Behaviour(
        "scan_horizontal", "scan of many hosts", "T1046", "medium", BY_SOURCE,
        lambda r: (r.destination_group == 0) & r.probe & (r.arp == 0)
        & (((r.fan_peers_300s >= 8) & (r.fan_failed_share_300s >= 0.3))
           | ((r.fan_peers_1h >= 12) & (r.fan_failed_share_1h >= 0.3))
           | ((r.fan_tried_1d >= 20) & (r.fan_failed_share_1h >= 0.8))
           | ((r.icmp > 0) & (r.fan_peers_300s >= 8))),
        ("fan_peers_300s", "fan_peers_1h", "fan_tried_1d", "fan_failed_share_300s"), least=3,
    ),
    Behaviour(
        "dead_c2", "retries to a dead server", "T1008", "medium", BY_PAIR_PORT,
        lambda r: (r.tcp > 0) & (r.failed > 0) & (r.destination_inside == 0)
        & (r.contacts_300s >= 15) & (r.contacts_failed_share_300s >= 0.9),
        ("contacts_300s", "contacts_failed_share_300s", "period_s"), least=3,
    ),
    Behaviour(
        "guessing", "password guessing", "T1110.001", "high", BY_SOURCE,
        lambda r: (r.tcp > 0) & (r.payload_in > 0) & (r.payload_out > 0) & (r.service_name == 0)
        & (((r.contacts_300s >= 4) & (r.alike_contacts >= 3) & (r.service_login + r.service_file > 0))
           | ((r.contacts_300s >= 6) & (r.alike_contacts >= 4) & (r.service_mail > 0))
           | ((r.fan_alike >= 8) & (r.fan_alike_share >= 0.6) & (r.service_login + r.service_file > 0))
           | ((r.contacts_300s >= 8) & (r.alike_contacts >= 5) & (r.service_web == 0) & r.not_a_beacon)
           | ((r.contacts_300s >= 10) & (r.alike_contacts >= 8) & (r.alike_share >= 0.8) & r.not_a_beacon)),
        ("alike_contacts", "contacts_300s", "fan_alike", "size_spread", "alike_share"), least=3,
    ),
    Behaviour(
        "dns_tunnel", "tunnel through name queries", "T1071.004", "high", BY_PAIR,
        lambda r: (r.udp + r.tcp > 0) & (r.service_name > 0) & (r.destination_group == 0)
        & (r.size_mean_out >= 70)
        & ((r.contacts_300s >= 30) | (r.packets >= 60)),
        ("size_mean_out", "contacts_300s", "size_mean_in", "pair_bytes_out_300s"), least=8,
    ),
    Behaviour(
        "exfiltration", "large upload", "T1048", "high", BY_PAIR,
        lambda r: (r.destination_group == 0) & (r.destination_inside == 0)
        & (((r.pair_bytes_out_1h * r.hour_share >= 1e6) & (r.upload_share >= 0.7) & (r.payload_out >= 5e4))
           | ((r.pair_bytes_out_1h >= 2.5e5) & (r.upload_share >= 0.9) & (r.payload_out >= 2e5)
              & (r.service_web + r.service_mail == 0))
           | ((r.icmp > 0) & (r.pair_bytes_out_1h >= 1e5) & (r.packets >= 100))),
        ("payload_out", "upload_share", "pair_bytes_out_1h", "service_sources_1h"),
    ),
    Behaviour(
        "beacon", "beaconing to a server", "T1071.001", "high", BY_PAIR,
        lambda r: (r.destination_group + r.destination_inside == 0) & (r.tcp + r.udp > 0)
        & (r.contacts_1h >= 6) & (r.contacts_failed_share_1h < 0.5) & (r.state_midstream == 0)
        & r.regular & (r.period_s <= 400) & (r.polled == 0) & (r.packets <= 60),
        ("period_spread", "period_s", "alike_share", "contacts_1h"), least=3,
    ),
    Behaviour(
        "heartbeat", "regular signals inside one connection", "T1071.001", "high", BY_PAIR,
        lambda r: (r.destination_group + r.destination_inside == 0) & (r.tcp + r.udp > 0)
        & (r.duration_s >= 30) & (r.packets >= 12) & (r.packets_per_s <= 6)
        & (r.pauses >= 4) & (r.pause_variation <= 0.6),
        ("pause_variation", "pause_mean_s", "pauses", "payload_a_pause"), least=4,
    ),
    Behaviour(
        "long_connection", "connection that stays open", "T1071", "info", BY_PAIR_PORT,
        lambda r: (r.tcp > 0) & (r.failed == 0)
        & (((r.duration_s >= 1500) & (r.contacts_ever <= 1))
           | ((r.duration_s >= 200) & (r.state_midstream > 0) & (r.contact_age_s >= 1500)))
        & (r.destination_group + r.destination_inside == 0) & (r.destination_sources_1d <= 2)
        & (r.service_web == 0) & (r.polled == 0),
        ("duration_s", "destination_sources_1d", "payload_a_pause"),
    ),
)  # fmt: skip
"""In order of precedence: a flow that fits several takes the first."""

KINDS: Final = tuple(b.kind for b in BEHAVIOURS)
NO_BEHAVIOUR: Final = -1


def name_behaviours(rows: F64) -> npt.NDArray[np.int64]:
    """Return for each feature row the index into `BEHAVIOURS` it fits first, or `NO_BEHAVIOUR`.

    Unknown (`nan`) columns never count as evidence.
    """
    with np.errstate(invalid="ignore"):
        if len(rows) == 1:  # a flow by itself: plain numbers, and no further than the first that fits
            alone = Row(rows[0].tolist())
            first = (at for at, behaviour in enumerate(BEHAVIOURS) if behaviour.evidence(alone))
            return np.array([next(first, NO_BEHAVIOUR)], np.int64)
        named = np.full(len(rows), NO_BEHAVIOUR, np.int64)
        row = Row(rows.T)
        for at in range(len(BEHAVIOURS) - 1, -1, -1):
            named[BEHAVIOURS[at].evidence(row)] = at
    return named


def cause_keys(flows: Flows, named: npt.NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Return for each flow the key of its cause: flows with equal keys belong to one finding."""
    src = list(zip(flows["src_hi"].tolist(), flows["src_lo"].tolist(), strict=True))
    dst = list(zip(flows["dst_hi"].tolist(), flows["dst_lo"].tolist(), strict=True))
    ports, senders = flows["dst_port"].tolist(), flows["src_mac"].tolist()
    arp = (flows["proto"] == PROTO_ARP).tolist()
    keys: list[tuple[int, ...]] = []
    for i, at in enumerate(named.tolist()):
        group = BEHAVIOURS[at].group if at >= 0 else BY_PAIR_PORT
        if group == BY_SOURCE and arp[i] and senders[i] >= 0:  # a sweep may forge its address
            keys.append((at, -1, senders[i]))
        elif group == BY_SOURCE:
            keys.append((at, *src[i]))
        elif group == BY_PAIR:
            keys.append((at, *src[i], *dst[i]))
        elif group == BY_PAIR_PORT:
            keys.append((at, *src[i], *dst[i], ports[i]))
        elif group == BY_VICTIM:
            keys.append((at, *dst[i]))
        else:
            keys.append((at,))
    return keys
