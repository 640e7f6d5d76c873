"""What a log would have told, against the reader of a real log's format and against plain arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.detect.scenario import write_scenario
from qwarden.detect.scenario.telling import Telling, told_as
from qwarden.formats import open_capture
from qwarden.formats.flows import PROTO_ARP, Flows, unknown_flows

ZEEK = """#separator \\x09
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\
\tconn_state\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes
1.000000\tC1\t10.0.0.1\t40000\t10.0.0.2\t80\ttcp\t-\t2.5\t300\t9000\tSF\tShADadfF\t8\t720\t10\t9520
2.000000\tC2\t10.0.0.1\t40001\t10.0.0.3\t445\ttcp\t-\t-\t-\t-\tS0\tS\t1\t60\t0\t0
3.000000\tC3\t10.0.0.1\t40002\t10.0.0.4\t53\tudp\t-\t0.01\t40\t120\tSF\tDd\t1\t68\t1\t148
"""


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Flows:
    capture = tmp_path_factory.mktemp("telling") / "range.pcap"
    write_scenario(capture, 900_100, duration_s=120, hosts=6, kinds=("scan_vertical",))
    with open_capture(capture) as reader:
        flows: Flows = np.concatenate([batch.flows for batch in reader])
    return flows


def known(row: np.ndarray) -> set[str]:
    return {name for name, value in zip(FEATURE_NAMES, row, strict=True) if np.isfinite(value)}


def test_a_log_of_connections_knows_what_zeek_s_knows(metered: Flows, tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_text(ZEEK)
    with open_capture(log) as reader:
        logged = np.concatenate([batch.flows for batch in reader])
    told = told_as(metered, "connections")
    whole = told[(told["proto"] == 6) & (told["payload_out"] > 0) & (told["packets_in"] > 1)][:1]
    for ours, theirs in ((whole, logged[:1]), (told[told["proto"] == 17][:1], logged[2:])):
        assert known(FeatureExtractor().rows(ours)[0]) == known(FeatureExtractor().rows(theirs)[0])


@pytest.mark.parametrize("telling", ["connections", "counts"])
def test_no_log_tells_times_within_a_flow_nor_arp(metered: Flows, telling: Telling) -> None:
    told = told_as(metered, telling)
    assert (metered["proto"] == PROTO_ARP).any()
    assert not (told["proto"] == PROTO_ARP).any()
    assert len(told) == (metered["proto"] != PROTO_ARP).sum()
    for name in ("iat_mean_out", "iat_std_in", "iat_max_out", "pause_mean"):
        assert np.isnan(told[name]).all()
    assert (told["pauses"] == -1).all()
    np.testing.assert_array_equal(told["packets_in"], metered["packets_in"][metered["proto"] != PROTO_ARP])


def test_counts_give_payload_away_to_a_seventh_or_not_at_all(metered: Flows) -> None:
    whole, told = told_as(metered, "connections"), told_as(metered, "counts")
    for way in ("out", "in"):
        true, guess = whole[f"payload_{way}"], told[f"payload_{way}"]
        sure = guess >= 0
        assert 0.1 < sure.mean() < 1.0
        assert (abs(guess - true)[sure] <= true[sure] / 6 + 52).all()


def test_a_capture_is_told_as_it_is_and_is_never_changed(metered: Flows) -> None:
    before = metered.tobytes()
    assert told_as(metered, "packets") is metered
    told_as(metered, "counts")
    assert metered.tobytes() == before


def test_flags_are_counted_once_unless_every_packet_has_them() -> None:
    flow = unknown_flows(2)
    flow["proto"], flow["packets_out"], flow["packets_in"] = 6, (3, 9), (0, 4)
    flow["syn_out"], flow["rst_in"], flow["psh_out"] = (3, 2), (0, 2), (0, 5)
    told = told_as(flow, "connections")
    assert told["syn_out"].tolist() == [3, 1]
    assert told["rst_in"].tolist() == [0, 1]
    assert told["psh_out"].tolist() == [-1, -1]
