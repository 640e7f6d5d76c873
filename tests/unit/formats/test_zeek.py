"""Zeek's conn.log, text and JSON: every column, what stays unknown, and what is malformed."""

import math
from typing import Any

import numpy as np
import pytest

from qwarden.formats.flows import FLOW, TCP_STATES, join_address

from . import craft, logs
from .logs import conn, objects, tsv


def read(*records: dict[str, Any]) -> np.ndarray:
    """The flows of a log, which must be the same in either form."""
    text, report = craft.read(tsv(records, (*logs.FIELDS, "vlan", "inner_vlan", "orig_l2_addr", "ip_proto")))
    assert report.problems == []
    assert (report.format, report.lines.flows, report.lines.comments) == ("zeek-conn", len(records), 9)
    json, report = craft.read(objects(records))
    assert (report.problems, report.lines.read, report.lines.flows) == ([], len(records), len(records))
    for name in FLOW.names or ():
        np.testing.assert_array_equal(text[name], json[name], err_msg=name)
    return text


def test_every_column_of_a_connection() -> None:
    flow = read(conn())[0]
    assert (int(flow["start_ns"]), int(flow["end_ns"])) == (1655071198444458000, 1655071199579882000)
    assert join_address(flow["src_hi"], flow["src_lo"]) == "147.32.81.167"
    assert join_address(flow["dst_hi"], flow["dst_lo"]) == "40.74.108.123"
    expected = {
        "seq": 0, "proto": 6, "src_port": 62771, "dst_port": 443, "ip_version": 4, "tcp_state": 2,
        "packets_out": 14, "packets_in": 16, "bytes_out": 1164, "bytes_in": 4687,
        "payload_out": 596, "payload_in": 4039, "syn_out": 1, "syn_in": 1, "fin_out": 1, "fin_in": 1,
        "rst_out": 0, "rst_in": 0,
    }  # fmt: skip
    told = {*expected, "start_ns", "end_ns", "src_hi", "src_lo", "dst_hi", "dst_lo"}
    assert {name: int(flow[name]) for name in expected} == expected
    assert (flow["size_mean_out"], flow["size_mean_in"]) == (596 / 14, 4039 / 16)
    told |= {"size_mean_out", "size_mean_in"}
    for name in set(FLOW.names or ()) - told:  # the log cannot know them
        assert flow[name] == -1 or math.isnan(flow[name]), name


@pytest.mark.parametrize("state", TCP_STATES)
def test_connection_states_are_the_schema_s(state: str) -> None:
    flow = read(conn(conn_state=state))[0]
    assert TCP_STATES[flow["tcp_state"]] == state
    assert read(conn(conn_state=state, proto="udp"))[0]["tcp_state"] == -1


def test_what_the_log_does_not_say_stays_unknown() -> None:
    sizes = ("duration", "orig_bytes", "resp_bytes", "history", "orig_pkts", "resp_pkts", "orig_ip_bytes")
    bare = conn(**dict.fromkeys((*sizes, "resp_ip_bytes"), None)) | {"conn_state": None}
    flow = read(bare)[0]
    assert flow["start_ns"] == flow["end_ns"]  # no duration: one moment
    for name in ("packets", "bytes", "payload", "syn", "fin", "rst", "psh", "ack", "urg", "ttl"):
        assert (flow[f"{name}_out"], flow[f"{name}_in"]) == (-1, -1), name
    assert flow["tcp_state"] == flow["end_reason"] == flow["vlan"] == flow["src_mac"] == -1
    assert math.isnan(flow["size_mean_out"])
    assert math.isnan(flow["iat_mean_out"])


def test_a_lone_syn_is_known_through_and_through() -> None:
    """Zeek leaves bytes unset without a duration; the history says that there were none."""
    single = conn(
        duration=None, orig_bytes=None, resp_bytes=None, conn_state="S0", history="S", orig_pkts=3,
        orig_ip_bytes=180, resp_pkts=0, resp_ip_bytes=0,
    )  # fmt: skip
    flow = read(single)[0]
    assert (flow["payload_out"], flow["payload_in"], flow["packets_in"]) == (0, 0, 0)
    assert (flow["syn_out"], flow["fin_out"], flow["rst_out"], flow["syn_in"]) == (3, 0, 0, 0)
    assert (flow["size_mean_out"], flow["size_std_out"], flow["size_max_out"]) == (0.0, 0.0, 0.0)
    assert math.isnan(flow["size_mean_in"])


@pytest.mark.parametrize(
    ("history", "out", "back"),
    [
        # syn, fin, rst of the originator; of the responder
        ("ShADadFf", (1, 1, 0), (1, 1, 0)),
        ("Sr", (4, 0, 0), (0, 0, 4)),  # one letter a way: every packet
        ("ShR", (1, 0, 1), (4, 0, 0)),
        ("SSAR", (2, 0, 1), (0, 0, 0)),
        ("^hADafr", (0, 0, 0), (1, 1, 1)),
        ("SIa", (1, 1, 1), (0, 0, 0)),  # FIN and RST in one packet
        ("Q", (1, -1, -1), (0, 0, 0)),  # SYN with FIN or RST
        ("SCa", (1, -1, -1), (0, 0, 0)),  # a bad checksum hides what it was
        ("ShX", (1, -1, -1), (1, -1, -1)),
        ("", (-1, -1, -1), (-1, -1, -1)),
    ],
)
def test_histories_tell_flags(history: str, out: tuple[int, ...], back: tuple[int, ...]) -> None:
    record = conn(history=history or None, orig_pkts=4, resp_pkts=4)
    flow = read(record)[0]
    for way, expected in (("out", out), ("in", back)):
        assert tuple(int(flow[f"{flag}_{way}"]) for flag in ("syn", "fin", "rst")) == expected
    # Only TCP has flags.
    assert read(conn(history=history or None, proto="udp"))[0]["syn_out"] == -1


@pytest.mark.parametrize(
    ("history", "known"),
    [("D", (False, True)), ("Dd", (False, False)), ("Cd", (False, False)), ("", (False,) * 2)],
)
def test_payload_is_nothing_only_where_the_history_says_so(history: str, known: tuple[bool, bool]) -> None:
    record = conn(
        proto="udp", history=history or None, orig_bytes=None, resp_bytes=None, orig_pkts=1, resp_pkts=2
    )
    flow = read(record)[0]
    assert (flow["payload_out"] == 0, flow["payload_in"] == 0) == known


def test_bytes_that_were_missed_leave_the_payload_unknown() -> None:
    """TCP payload is counted by sequence numbers: more than was seen on the wire was not seen."""
    flow = read(conn(orig_bytes=1596, orig_ip_bytes=1016, missed_bytes=5138))[0]
    assert (flow["payload_out"], flow["payload_in"]) == (-1, 4039)
    assert math.isnan(flow["size_mean_out"])


@pytest.mark.parametrize(
    ("orig", "kind", "second", "proto", "expected"),
    [
        ("10.0.0.1", 8, 0, 1, (8, 0)),
        ("10.0.0.1", 3, 13, 1, (3, 13)),
        ("10.0.0.1", 13, 14, 1, (13, -1)),  # the answer's type stands where the code would
        ("10.0.0.1", 11, 0, 1, (11, 0)),
        ("fe80::1", 128, 129, 58, (128, -1)),
        ("fe80::1", 135, 136, 58, (135, -1)),
        ("fe80::1", 1, 4, 58, (1, 4)),
    ],
)
def test_icmp_ports_are_type_and_code(
    orig: str, kind: int, second: int, proto: int, expected: tuple[int, int]
) -> None:
    peer = "fe80::2" if ":" in orig else "10.0.0.2"
    record = conn(orig_h=orig, resp_h=peer, orig_p=kind, resp_p=second, proto="icmp", history=None)
    flow = read(record)[0]
    assert (flow["proto"], flow["src_port"], flow["dst_port"]) == (proto, -1, -1)
    assert (int(flow["icmp_type"]), int(flow["icmp_code"])) == expected


def test_addresses_protocols_and_the_link_layer() -> None:
    flows = read(
        conn(orig_h="2001:db8::1", resp_h="2001:db8::2", inner_vlan=7, vlan=3),
        conn(orig_h="::ffff:10.0.0.1", resp_h="::1", vlan=3, orig_l2_addr="00:0c:29:66:c7:82"),
        conn(proto="unknown_transport", orig_p=0, resp_p=0),
        conn(proto="unknown_transport", ip_proto=47, orig_p=0, resp_p=0),
    )
    assert flows["ip_version"].tolist() == [6, 6, 4, 4]
    assert join_address(flows[0]["src_hi"], flows[0]["src_lo"]) == "2001:db8::1"
    assert flows["vlan"].tolist() == [7, 3, -1, -1]
    assert flows["src_mac"].tolist() == [-1, 0x000C2966C782, -1, -1]
    assert flows["proto"].tolist() == [6, 6, -1, 47]
    assert flows["dst_port"].tolist() == [443, 443, -1, -1]
    assert flows["seq"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("ts", "start_ns"),
    [
        ("1664462456.755299", 1664462456755299000),
        ("1664462456.123456789", 1664462456123456789),
        ("0.1", 100_000_000),
        ("4000000000", 4_000_000_000_000_000_000),
    ],
)
def test_times_have_no_binary_fraction(ts: str, start_ns: int) -> None:
    text, _ = craft.read(tsv([conn(ts=ts, duration="0.000001")]))
    assert (int(text["start_ns"][0]), int(text["end_ns"][0])) == (start_ns, start_ns + 1000)


@pytest.mark.parametrize(
    ("ts", "start_ns"),
    [
        (1664462456.755299, 1664462456755299000),
        (22.335172, 22335172000),
        (5e-06, 5000),
        (1664462456, 1664462456000000000),
        (1664462456755, 1664462456755000000),  # JSON::TS_MILLIS
        (1664462456755.0, 1664462456755000000),
        ("2022-09-29T14:40:56.755299Z", 1664462456755299000),  # JSON::TS_ISO8601
    ],
)
def test_json_times_of_every_kind(ts: object, start_ns: int) -> None:
    flows, report = craft.read(objects([conn(ts=ts)]))
    assert (report.problems, int(flows["start_ns"][0])) == ([], start_ns)


def test_the_header_says_what_the_fields_are() -> None:
    """Other separators, other order, another mark for unset, fields that come and go within a file."""
    few = ("proto", "id.resp_p", "id.resp_h", "id.orig_p", "id.orig_h", "ts", "conn_state")
    data = tsv([conn(conn_state=None)], few, separator="|", unset="NONE") + tsv([conn()])
    flows, report = craft.read(data)
    assert (report.problems, report.lines.flows, report.lines.comments) == ([], 2, 18)
    assert flows["tcp_state"].tolist() == [-1, 2]
    assert flows["packets_out"].tolist() == [-1, 14]
    assert flows["dst_port"].tolist() == [443, 443]


def test_escapes_are_resolved() -> None:
    data = tsv([conn()]).replace(b"147.32.81.167", rb"147.32.81.16\x37")
    flows, report = craft.read(data)
    assert report.problems == []
    assert join_address(flows[0]["src_hi"], flows[0]["src_lo"]) == "147.32.81.167"


GOOD = tsv([conn()])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ts": "-5"}, "ts is '-5'; expected seconds"),
        ({"ts": "1e9"}, "ts is"),
        ({"ts": "99999999999"}, "ts is"),
        ({"ts": "9000000000"}, "ts is"),  # past the year 2116
        ({"duration": "-0.5"}, "duration is"),
        ({"orig_h": "10.0.0.256"}, "id.orig_h is '10.0.0.256'; expected an address"),
        ({"resp_h": "fe80::1%eth0"}, "id.resp_h is"),
        ({"resp_h": "fe80::1"}, "two IP versions"),
        ({"orig_p": "80a"}, "id.orig_p is '80a'; expected a whole number"),
        ({"orig_p": "1_0"}, "id.orig_p is"),
        ({"orig_p": "\u0663"}, "id.orig_p is"),
        ({"resp_p": "70000"}, "a port is"),
        ({"proto": "icmp", "resp_p": "300"}, "an ICMP type or code is"),
        ({"orig_pkts": "9" * 16}, "orig_pkts is"),
        ({"conn_state": "XX"}, "conn_state is 'XX'; expected one of S0"),
    ],
)
def test_a_malformed_line_is_named_and_the_next_is_read(change: dict[str, str], text: str) -> None:
    data = tsv([conn(), conn(**change), conn()])
    flows, report = craft.read(data)
    assert (len(flows), report.lines.flows, report.lines.malformed) == (2, 2, 1)
    before = data.splitlines(keepends=True)[:9]
    assert report.problems[0].startswith(f"line 10, byte {sum(map(len, before))}: ")
    assert text in report.problems[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ts": None}, "ts is 'None'"),
        ({"ts": True}, "ts is 'True'"),
        ({"ts": "yesterday"}, "ts is"),
        ({"ts": -1.5}, "ts is"),
        ({"duration": "long"}, "duration is"),
        ({"orig_p": "80"}, "id.orig_p is '80'"),
        ({"orig_pkts": True}, "orig_pkts is"),
        ({"orig_pkts": 1.5}, "orig_pkts is"),
        ({"orig_pkts": -1}, "orig_pkts is"),
        ({"orig_pkts": 1 << 60}, "orig_pkts is"),
        ({"ip_proto": 1 << 40}, "ip_proto is"),
        ({"vlan": 4096}, "vlan is"),
        ({"proto": 6}, "proto is '6'; expected a text"),
        ({"history": ["S"]}, "history is"),
        ({"resp_h": None}, "id.resp_h is"),
    ],
)
def test_malformed_json_values(change: dict[str, Any], text: str) -> None:
    _, report = craft.read(objects([conn(), conn(**change), conn()]))
    assert (report.lines.flows, report.lines.malformed) == (2, 1)
    assert text in report.problems[0]


def test_lines_that_are_no_connection() -> None:
    data = GOOD + b"\n  \n" + b"too\tfew\n" + b'{"ts":\n' + b"[1]\n"
    _, report = craft.read(data)
    assert (report.lines.flows, report.lines.comments, report.lines.malformed) == (1, 11, 3)
    assert "the line has 2 fields; expected 21" in report.problems[0]
    assert "no JSON" in report.problems[1]


def test_other_logs_of_a_combined_stream_are_other() -> None:
    data = objects([conn(_path="conn"), {"_path": "dns", "ts": 1.5, "id.orig_h": "10.0.0.1"}])
    _, report = craft.read(data)
    assert (report.lines.flows, report.lines.other, report.problems) == (1, 1, [])


def test_a_header_that_lacks_a_field_makes_its_lines_malformed() -> None:
    lacking = tuple(name for name in logs.FIELDS if name != "proto")
    _, report = craft.read(tsv([conn(), conn()], lacking))
    assert (report.lines.flows, report.lines.malformed) == (0, 3)
    assert "the header lacks the field proto" in report.problems[0]
