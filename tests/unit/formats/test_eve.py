"""Suricata's EVE log: flows, alerts, what stays unknown, and what is malformed."""

import math
from typing import Any

import numpy as np
import pytest

from qwarden.formats.flows import TCP_STATES, join_address

from . import craft
from .logs import ALERT, FLOW, changed, objects


def read(*events: dict[str, Any]) -> np.ndarray:
    flows, report = craft.read(objects(events))
    assert (report.format, report.problems, report.lines.flows) == ("eve", [], len(events))
    return flows


def test_a_flow_and_what_it_does_not_tell() -> None:
    flow = read(FLOW)[0]
    # 15:34:31 UTC on 6 June 2021
    assert (int(flow["start_ns"]), int(flow["end_ns"])) == (1622993671140759000, 1622993671141012000)
    assert join_address(flow["src_hi"], flow["src_lo"]) == "91.238.203.56"
    assert (flow["proto"], flow["src_port"], flow["dst_port"], flow["ip_version"]) == (6, 48938, 445, 4)
    assert (flow["packets_out"], flow["packets_in"]) == (2, 2)
    # Frames of 60 bytes without their 14 of Ethernet; the padding stays.
    assert (flow["bytes_out"], flow["bytes_in"]) == (92, 92)
    assert TCP_STATES[flow["tcp_state"]] == "REJ"
    assert (flow["syn_out"], flow["ack_out"], flow["rst_in"], flow["ack_in"], flow["syn_in"]) == (
        2,
        0,
        1,
        -1,
        0,
    )
    assert (flow["payload_out"], flow["payload_in"], flow["vlan"], flow["src_mac"]) == (-1, -1, -1, -1)
    assert math.isnan(flow["size_mean_out"])
    assert math.isnan(flow["iat_mean_in"])


@pytest.mark.parametrize(
    ("out", "back", "answers", "state"),
    [
        ("02", "00", 0, "S0"),
        ("02", "14", 1, "REJ"),
        ("1b", "1b", 4, "SF"),
        ("1b", "12", 4, "S2"),
        ("1a", "13", 4, "S3"),
        ("1a", "12", 4, "S1"),
        ("16", "12", 4, "RSTO"),
        ("1a", "16", 4, "RSTR"),
        ("06", "00", 0, "RSTOS0"),
        ("03", "00", 0, "SH"),
        ("10", "13", 2, "SHR"),
        ("10", "16", 2, "RSTRH"),
        ("18", "18", 2, "OTH"),
        ("18", "14", 2, "OTH"),
        ("c2", "00", 0, "S0"),  # congestion notification is no flag of ours
    ],
)
def test_flags_amount_to_a_state(out: str, back: str, answers: int, state: str) -> None:
    event = changed(FLOW, tcp__tcp_flags_ts=out, tcp__tcp_flags_tc=back, flow__pkts_toclient=answers)
    assert TCP_STATES[read(event)[0]["tcp_state"]] == state


@pytest.mark.parametrize("tcp", [None, {}, {"tcp_flags_ts": "00", "tcp_flags_tc": "00"}])
def test_a_session_that_was_not_followed_has_no_state(tcp: object) -> None:
    flow = read(changed(FLOW, tcp=tcp))[0]
    assert (flow["tcp_state"], flow["syn_out"], flow["rst_in"]) == (-1, -1, -1)


def test_one_packet_shows_each_of_its_flags_once() -> None:
    flow = read(changed(FLOW, flow__pkts_toclient=1, flow__bytes_toclient=60))[0]
    assert (flow["rst_in"], flow["ack_in"], flow["psh_in"]) == (1, 1, 0)


def test_no_answer_has_no_payload() -> None:
    flow = read(changed(FLOW, proto="UDP", tcp=None, flow__pkts_toclient=0, flow__bytes_toclient=0))[0]
    assert (flow["payload_out"], flow["payload_in"], flow["bytes_in"], flow["tcp_state"]) == (-1, 0, 0, -1)


def test_protocols_tags_and_hardware() -> None:
    flows = read(
        changed(FLOW, proto="ICMP", src_port=None, dest_port=None, icmp_type=8, icmp_code=0, tcp=None),
        changed(FLOW, proto="IPv6-ICMP", src_ip="fe80::1", dest_ip="ff02::2", icmp_type=133, tcp=None),
        changed(FLOW, proto="SCTP", tcp=None, vlan=[5, 9], flow__bytes_toserver=200),
        changed(FLOW, proto="047", tcp=None, src_port=None, dest_port=None, vlan=4),
        changed(FLOW, proto="Fire", tcp=None, ether={"src_macs": ["00:0c:29:66:c7:82"]}),
        changed(FLOW, ether={"src_macs": ["00:0c:29:66:c7:82", "00:0c:29:66:c7:83"]}),
        changed(FLOW, flow__bytes_toserver=80),  # too little to have been Ethernet
    )
    assert flows["proto"].tolist() == [1, 58, 132, 47, -1, 6, 6]
    assert flows["icmp_type"].tolist() == [8, 133, -1, -1, -1, -1, -1]
    assert flows["icmp_code"].tolist() == [0, -1, -1, -1, -1, -1, -1]
    assert flows["src_port"][:4].tolist() == [-1, 48938, 48938, -1]
    assert flows["vlan"].tolist() == [-1, -1, 9, 4, -1, -1, -1]
    assert flows["src_mac"].tolist() == [-1, -1, -1, -1, 0x000C2966C782, -1, -1]
    assert flows["bytes_out"].tolist() == [92, 92, 200 - 2 * 22, 120 - 2 * 18, 92, 92, 52]


def test_alerts_are_kept() -> None:
    batches, report = craft.read_batches(objects([ALERT, FLOW, ALERT, {"event_type": "stats"}]))
    alerts = [alert for batch in batches for alert in batch.alerts]
    assert (report.lines.alerts, report.lines.flows, report.lines.other, len(alerts)) == (2, 1, 1, 2)
    alert = alerts[0]
    assert (alert.time_ns, alert.signature) == (1622987986457984000, "ET CINS Poor Reputation")
    assert (alert.category, alert.severity, alert.action) == ("Misc Attack", 2, "allowed")
    assert (alert.gid, alert.sid, alert.rev, alert.proto) == (1, 2403388, 66418, 6)
    ends = (alert.src_ip, alert.src_port, alert.dst_ip, alert.dst_port)
    assert ends == ("78.36.196.213", 51698, "192.168.1.129", 445)


def test_an_alert_s_text_is_made_harmless() -> None:
    nasty = changed(
        ALERT, alert__signature="a\x1b[2J\n" + "x" * 1000, src_ip=None, dest_ip=None, src_port=None
    )
    batches, report = craft.read_batches(objects([nasty]))
    alert = batches[0].alerts[0]
    assert report.problems == []
    assert (alert.signature[:7], len(alert.signature)) == ("a?[2J?x", 200)
    assert (alert.src_ip, alert.src_port) == ("", -1)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (changed(FLOW, event_type=None), "event_type is 'None'; expected a text"),
        (changed(FLOW, flow=None), "flow is 'None'; expected an object"),
        (changed(FLOW, flow__start="2021-13-06T17:34:31+0200"), "start is"),
        (changed(FLOW, flow__end="2021-06-06T17:34:30.0+0200"), "ends before it starts"),
        (changed(FLOW, flow__end=None), "end is"),
        (changed(FLOW, flow__start="1969-06-06T17:34:31+0200"), "start is"),
        (changed(FLOW, src_ip="1.2.3"), "src_ip is '1.2.3'; expected an address"),
        (changed(FLOW, dest_ip="::1"), "two IP versions"),
        (changed(FLOW, src_port=70000), "src_port is"),
        (changed(FLOW, flow__pkts_toserver="2"), "pkts_toserver is"),
        (changed(FLOW, tcp__tcp_flags_ts="zz"), "tcp_flags is"),
        (changed(FLOW, vlan=[5000]), "vlan is"),
        (changed(ALERT, alert__signature=None), "signature is"),
        (changed(ALERT, timestamp="now"), "timestamp is"),
        (changed(ALERT, dest_ip="nowhere"), "dest_ip is"),
    ],
)
def test_a_malformed_event_is_named_and_the_next_is_read(event: dict[str, Any], text: str) -> None:
    _, report = craft.read(objects([FLOW, event, FLOW]))
    assert (report.lines.flows, report.lines.malformed) == (2, 1)
    assert report.problems[0].startswith(f"line 2, byte {len(objects([FLOW]))}: ")
    assert text in report.problems[0]


def test_lines_that_are_no_event() -> None:
    deep = b'{"event_type":"flow","flow":' + b"[" * 5000 + b"]" * 5000 + b"}\n"
    _, report = craft.read(objects([FLOW]) + b"\n[]\n" + b'{"event_type":"flow"' + b"\xff\n" + deep)
    assert (report.lines.flows, report.lines.comments, report.lines.malformed) == (1, 1, 3)
    assert "no JSON object" in report.problems[0]
