from __future__ import annotations

import ipaddress

import numpy as np
import pytest

from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor, failed, is_group, is_private
from qwarden.formats.flows import PROTO_ARP, split_address, unknown_flows

from .flow_maker import failed_syn, in_order, make_flow


def row_of(flow: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, FeatureExtractor().rows(flow)[0], strict=True))


def test_names_are_unique() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_what_a_source_cannot_know_stays_unknown() -> None:
    flow = unknown_flows(1)
    flow["start_ns"], flow["end_ns"], flow["proto"] = 10, 20, 6
    row = row_of(flow)
    for name in ("packets_out", "payload_in", "upload_share", "packets_per_s", "iat_mean_out", "size_max_in",
                 "extension_bytes_a_packet", "syn_share_out", "answered"):  # fmt: skip
        assert np.isnan(row[name]), name


def test_counts_and_shares_of_one_flow() -> None:
    row = row_of(
        make_flow(lasts_s=2.0, payload_out=3000, payload_in=1000, packets_out=6, packets_in=4, syn_out=1)
    )
    assert row["duration_s"] == 2.0
    assert row["packets_per_s"] == 5.0
    assert row["upload_share"] == pytest.approx(2000 / 4001)
    assert row["syn_share_out"] == pytest.approx(1 / 6)
    assert (row["tcp"], row["udp"], row["answered"], row["failed"], row["service_web"]) == (1, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (make_flow(), False),
        (failed_syn(), True),
        (make_flow(state="REJ", packets_in=1, payload_in=0, payload_out=0), True),
        (make_flow(state="RSTR", payload_in=0), True),
        (make_flow(state="RSTR", payload_in=50), False),
        (make_flow(state="SH", packets_in=1, payload_in=0), True),
        (make_flow(state="SHR", packets_in=30, payload_in=-1), False),
        (make_flow(state="RSTOS0", packets_in=2, payload_in=900), False),
        (make_flow(state="S0", packets_in=4, payload_in=900), True),
        (make_flow(proto=17, src_port=1900, port=44_232, packets_in=0), False),
        (make_flow(proto=17, src_port=5353, port=53, packets_in=0), True),
        (make_flow(proto=17, port=53, packets_in=0), True),
        (make_flow(proto=17, port=53), False),
        (make_flow(proto=17, dst="224.0.0.251", port=5353, packets_in=0), False),
        (make_flow(proto=17, dst="255.255.255.255", port=67, packets_in=0), False),
        (make_flow(proto=1, port=-1, packets_in=0, icmp_type=8), True),
        (make_flow(proto=1, port=-1, packets_in=0, icmp_type=3), False),
        (make_flow(proto=PROTO_ARP, port=-1, packets_in=0), True),
    ],
)
def test_failed_attempts(flow: np.ndarray, expected: bool) -> None:
    assert bool(failed(flow)[0]) is expected


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "172.16.0.1", "172.32.0.1", "192.168.9.9", "169.254.1.1", "8.8.8.8", "0.0.0.0", "100.64.0.1",
     "fe80::1", "fc00::1", "fdff::1", "2001:db8::1", "::1", "ff02::1", "2600::5"],
)  # fmt: skip
def test_private_and_group_addresses_agree_with_the_standard_library(address: str) -> None:
    hi, lo = (np.array([half], np.uint64) for half in split_address(address))
    known = ipaddress.ip_address(address)
    local = (
        known.is_link_local
        or known.is_loopback
        or known.is_unspecified
        or any(
            known in ipaddress.ip_network(net)
            for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
            if ipaddress.ip_network(net).version == known.version
        )
    )
    assert bool(is_private(hi, lo)[0]) is local
    flow = make_flow(dst=address)
    assert bool(is_group(flow)[0]) is known.is_multicast


def test_rows_of_a_scan_show_it() -> None:
    scan = in_order(*[failed_syn(dst=f"10.0.1.{host}", port=445, at_s=host * 0.5) for host in range(1, 41)])
    rows = FeatureExtractor().rows(scan)
    last = dict(zip(FEATURE_NAMES, rows[-1], strict=True))
    assert last["fan_peers_300s"] == 40
    assert last["fan_failed_share_300s"] == 1.0
    assert last["pair_ports_300s"] == 1


def test_regular_contacts_have_a_period_and_no_spread() -> None:
    beacon = in_order(*[make_flow(at_s=30.0 * n) for n in range(12)])
    last = dict(zip(FEATURE_NAMES, FeatureExtractor().rows(beacon)[-1], strict=True))
    assert last["period_s"] == pytest.approx(30.0)
    assert last["period_spread"] == pytest.approx(0.0, abs=1e-9)
    assert last["alike_contacts"] == 11  # 300 s hold eleven contacts 30 s apart
    assert last["contacts_ever"] == 12


def test_an_arp_sweep_is_one_source_whatever_addresses_it_forges() -> None:
    sweep = in_order(
        *[
            make_flow(
                src=f"10.9.0.{n}",
                dst=f"10.0.0.{n}",
                proto=PROTO_ARP,
                port=-1,
                packets_in=0,
                src_mac=42,
                at_s=n,
            )
            for n in range(1, 51)
        ]
    )
    last = dict(zip(FEATURE_NAMES, FeatureExtractor().rows(sweep)[-1], strict=True))
    assert last["fan_peers_300s"] == 50
