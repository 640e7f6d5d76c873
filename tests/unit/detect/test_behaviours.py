"""Each behaviour on the weakest pattern measured for it, and not on its benign look-alike."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.detect.behaviours import BEHAVIOURS, KINDS, NO_BEHAVIOUR, SEVERITIES, cause_keys, name_behaviours
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.formats.flows import PROTO_ARP, Flows, unknown_flows

from .flow_maker import failed_syn, in_order, make_flow


def kinds_of(flows: Flows) -> set[str]:
    named = name_behaviours(FeatureExtractor().rows(flows))
    return {KINDS[at] for at in named.tolist() if at != NO_BEHAVIOUR}


def session(n: int, every_s: float, **columns: object) -> Flows:
    return in_order(*[make_flow(at_s=every_s * i, **columns) for i in range(n)])  # type: ignore[arg-type]


def arp(dst: str, **columns: object) -> Flows:
    return make_flow(dst=dst, proto=PROTO_ARP, port=-1, packets_in=0, **columns)  # type: ignore[arg-type]


EMPTY = {"payload_out": 0, "payload_in": 0}

PATTERNS = {
    "scan_horizontal": in_order(*[failed_syn(dst=f"10.0.1.{h}", port=445, at_s=h) for h in range(1, 13)]),
    "scan_vertical": in_order(*[failed_syn(port=p, at_s=0.1 * p) for p in range(1, 25)]),
    "guessing": session(11, 6.0, port=22, payload_out=1800, payload_in=2400, packets_out=14, packets_in=12),
    "dead_c2": in_order(*[failed_syn(dst="203.0.113.9", port=8443, at_s=9.0 * n) for n in range(27)]),
    "beacon": session(10, 30.0, dst="203.0.113.9", port=8080, payload_out=250, payload_in=180),
    "heartbeat": make_flow(
        dst="203.0.113.9", port=443, packets_out=16, packets_in=16, lasts_s=280.0,
        pauses=14, pause_mean=20.0, pause_std=2.0,
    ),
    "arp_sweep": in_order(*[arp(f"10.0.0.{n}", src_mac=7, at_s=0.2 * n) for n in range(60)]),
    "arp_spoofing": in_order(*[arp(f"10.0.0.{n}", packets_out=30, lasts_s=58.0, at_s=n) for n in range(4)]),
    "arp_flood": in_order(*[arp("10.0.0.1", src_mac=n, at_s=0.01 * n) for n in range(60)]),
    "dhcp_flood": make_flow(
        src="0.0.0.0", dst="255.255.255.255", proto=17, port=67, packets_out=500, packets_in=0, lasts_s=5.0
    ),
    "flood_syn": make_flow(state="S0", packets_out=4000, packets_in=0, lasts_s=2.0, **EMPTY),
    "flood_udp": make_flow(proto=17, port=9999, packets_out=5000, packets_in=0, lasts_s=3.0),
    "flood_icmp": make_flow(proto=1, port=-1, packets_out=1000, packets_in=0, lasts_s=0.01, icmp_type=8),
    "flood_ip": make_flow(proto=59, port=-1, packets_out=15_000, packets_in=0, lasts_s=1.0),
    "covert_channel": make_flow(proto=58, port=-1, packets_out=19, packets_in=18, ext_header_bytes=24_000),
    "dns_tunnel": session(40, 2.0, proto=17, port=53, packets_out=1, packets_in=1, size_mean_out=140.0),
    "exfiltration": make_flow(dst="203.0.113.9", payload_out=6_000_000, bytes_out=6_200_000, lasts_s=40.0),
    "address_probing": session(6, 0.5, dst="10.0.0.1", proto=17, port=67, packets_out=2, packets_in=2),
    "long_connection": make_flow(
        dst="203.0.113.9", port=5228, lasts_s=3357.0, packets_out=71, packets_in=71, payload_in=36_000
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_behaviour_is_named_on_its_pattern(kind: str) -> None:
    assert kind in kinds_of(PATTERNS[kind])


VARIANTS = {
    "guessing": {
        "a few passwords on each of many hosts": in_order(
            *[
                make_flow(dst=f"10.0.1.{n % 8}", port=445, payload_out=900, payload_in=700, at_s=9.0 * n)
                for n in range(24)
            ]
        ),
        "another port of SSH, by the clock": session(9, 2.8, port=2222, payload_out=1036, payload_in=1606),
    },
    "exfiltration": {
        "half a megabyte over FTP": make_flow(
            dst="203.0.113.9", port=56_519, payload_out=480_000, bytes_out=490_000, payload_in=0
        ),
        "a megabyte in even parts": session(
            16, 30.0, dst="203.0.113.9", payload_out=83_000, bytes_out=86_000, payload_in=4_000
        ),
    },
    "scan_vertical": {
        "a port every ten minutes": in_order(*[failed_syn(port=p, at_s=600.0 * p) for p in range(1, 25)]),
    },
    "scan_horizontal": {
        "a host every ten minutes": in_order(
            *[failed_syn(dst=f"10.0.1.{h}", port=445, at_s=600.0 * h) for h in range(1, 31)]
        ),
    },
    "long_connection": {
        "cut into reports of five minutes": in_order(
            *[
                make_flow(dst="203.0.113.9", port=4000, at_s=300.0 * n, lasts_s=299.0, state="OTH")
                for n in range(8)
            ]
        ),
    },
    "flood_udp": {
        "large datagrams to many ports": in_order(
            *[
                make_flow(
                    proto=17, port=50_000 + n, packets_out=3, packets_in=0, payload_out=3072, at_s=0.1 * n
                )
                for n in range(60)
            ]
        ),
    },
    "flood_syn": {
        "a few thousand SYN from one source, some answered": in_order(
            *[failed_syn(port=80, at_s=0.002 * n) for n in range(500)]
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in VARIANTS for name in VARIANTS[kind]])
def test_a_behaviour_is_named_on_its_variants(kind: str, name: str) -> None:
    assert kind in kinds_of(VARIANTS[kind][name])


BENIGN = {
    "browsing": in_order(
        *[make_flow(dst=f"198.51.100.{h}", at_s=0.3 * h, payload_in=9000 * h) for h in range(1, 60)]
    ),
    "three mistyped passwords": session(3, 8.0, port=22, payload_out=1700, payload_in=2300),
    "name queries": session(40, 5.0, proto=17, port=53, packets_out=1, packets_in=1, size_mean_out=34.0),
    "an address asked for again": session(2, 4.0, dst="10.0.0.1", proto=17, port=67, packets_out=2),
    "pieces of one connection, cut every five minutes": in_order(
        *[make_flow(dst="203.0.113.9", at_s=300.0 * n, lasts_s=299.0, state="OTH") for n in range(1, 12)]
    ),
    "a day of mail that stays open": session(24, 3600.0, dst="203.0.113.9", port=993, lasts_s=3500.0),
    "answers to a search for devices": in_order(
        *[
            make_flow(
                proto=17, src_port=1900, port=40_000 + n, packets_out=12, packets_in=0, payload_out=3700,
                at_s=200.0 * n,
            )
            for n in range(60)
        ]
    ),
    "handshakes that the capture half missed": in_order(
        *[
            make_flow(
                dst=f"198.51.100.{h}", state="SHR", at_s=4.0 * h, packets_out=9, packets_in=27, payload_out=-1
            )
            for h in range(1, 60)
        ]
    ),
    "a client refused a hundred times a second": in_order(
        *[
            make_flow(port=902, state="REJ", packets_out=1, packets_in=1, at_s=0.01 * n, lasts_s=0.0, **EMPTY)
            for n in range(2400)
        ]
    ),
    "an upload of hours": make_flow(
        dst="203.0.113.9", port=8443, payload_out=1_100_000, bytes_out=1_200_000, payload_in=70_000,
        lasts_s=6480.0, state="RSTO",
    ),
    "a lease": make_flow(src="0.0.0.0", dst="255.255.255.255", proto=17, port=67, packets_in=0),
    "one ARP request": make_flow(proto=PROTO_ARP, port=-1, packets_in=1, src_mac=3),
    "reading mail": make_flow(
        dst="203.0.113.9", packets_out=16, packets_in=16, lasts_s=280, pauses=8, pause_mean=30, pause_std=29
    ),
    "a download": make_flow(payload_in=9_000_000, packets_out=900, packets_in=6500, lasts_s=20),
    "ping": make_flow(proto=1, port=-1, packets_out=4, packets_in=4, lasts_s=3.0, icmp_type=8),
}  # fmt: skip


@pytest.mark.parametrize("name", BENIGN)
def test_ordinary_traffic_fits_no_behaviour(name: str) -> None:
    assert kinds_of(BENIGN[name]) == set()


def test_a_connection_that_stays_open_is_told_the_first_time() -> None:
    again = session(3, 4000.0, dst="203.0.113.9", port=5228, lasts_s=3500.0)
    named = name_behaviours(FeatureExtractor().rows(again))
    assert named.tolist() == [KINDS.index("long_connection"), NO_BEHAVIOUR, NO_BEHAVIOUR]


def test_unknown_columns_are_no_evidence() -> None:
    flow = unknown_flows(1)
    flow["start_ns"] = flow["end_ns"] = 5
    rows = FeatureExtractor().rows(flow)
    rows[:, [FEATURE_NAMES.index(n) for n in ("packets_out", "packets_per_s", "payload_out")]] = np.nan
    assert name_behaviours(rows).tolist() == [NO_BEHAVIOUR]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_by_itself_is_named_as_in_a_batch(kind: str) -> None:
    rows = np.concatenate([FeatureExtractor().rows(flows) for flows in (PATTERNS[kind], *BENIGN.values())])
    alone = [int(name_behaviours(rows[at : at + 1])[0]) for at in range(len(rows))]
    assert alone == name_behaviours(rows).tolist()


def test_every_behaviour_is_complete() -> None:
    assert len(set(KINDS)) == len(KINDS)
    for behaviour in BEHAVIOURS:
        assert behaviour.severity in SEVERITIES
        assert behaviour.tells
        assert set(behaviour.tells) <= set(FEATURE_NAMES)
        assert not behaviour.technique or behaviour.technique.startswith("T")


def test_one_cause_has_one_key() -> None:
    scan = PATTERNS["scan_horizontal"]
    other = failed_syn(src="10.0.0.77", dst="10.0.1.1", port=445, at_s=99)
    flows = in_order(scan, other)
    at = KINDS.index("scan_horizontal")
    keys = cause_keys(flows, np.full(len(flows), at))
    assert len(set(keys)) == 2


def test_an_arp_sender_is_one_cause_whatever_addresses_it_forges() -> None:
    sweep = in_order(*[arp(f"10.0.0.{n}", src=f"10.9.0.{n}", src_mac=42, at_s=n) for n in range(1, 40)])
    keys = cause_keys(sweep, np.full(len(sweep), KINDS.index("arp_sweep")))
    assert len(set(keys)) == 1
