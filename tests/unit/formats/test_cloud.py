"""Flow logs of AWS and Azure: who spoke to whom, what was refused, and what is malformed."""

import gzip
import json

import numpy as np
import pytest

from qwarden.detect.features import failed
from qwarden.formats import MeterSettings
from qwarden.formats.flows import TCP_STATES, Flows, join_address

from . import craft, tables


def told(flows: Flows) -> list[tuple[object, ...]]:
    """The flows in words, in order of their start."""
    names = ("src_port", "dst_port", "packets_out", "packets_in", "bytes_out", "bytes_in")
    return [
        (
            join_address(flow["src_hi"], flow["src_lo"]),
            *(int(flow[name]) for name in names),
            TCP_STATES[flow["tcp_state"]] if flow["tcp_state"] >= 0 else "-",
        )
        for flow in sorted(flows, key=lambda flow: (flow["start_ns"], flow["src_port"], flow["packets_out"]))
    ]


@pytest.mark.parametrize("header", [True, False])
def test_vpc_s_default_format(header: bool) -> None:
    data = tables.VPC if header else tables.VPC.split(b"\n", 1)[1]
    flows, report = craft.read(gzip.compress(data))
    assert (report.format, report.problems) == ("vpc+gzip", [])
    counts = report.lines
    assert (counts.flows, counts.other, counts.comments) == (6, 2, int(header))
    assert told(flows) == [
        ("172.31.16.139", 20641, 22, 20, 18, 4249, 8249, "-"),
        ("172.31.9.69", 49761, 3389, 20, 0, 4249, 0, "S0"),  # refused
        ("203.0.113.12", -1, -1, 4, 0, 336, 0, "-"),
        ("172.31.16.139", -1, -1, 4, 0, 336, 0, "-"),  # the answer was refused
        ("2001:db8::1", 34892, 22, 54, 0, 8855, 0, "-"),
    ]
    ssh = flows[flows["src_port"] == 20641][0]
    assert (int(ssh["start_ns"]), int(ssh["end_ns"])) == (1418530010 * 10**9, 1418530070 * 10**9)
    assert failed(flows[flows["dst_port"] == 3389]).all()


def test_vpc_s_own_formats_name_their_fields() -> None:
    """The addresses of the packet where they are told (a gateway stands between), and TCP flags."""
    flows, report = craft.read(tables.VPC_OWN)
    assert (report.problems, report.lines.flows) == ([], 3)
    assert told(flows) == [
        ("10.20.33.164", 39812, 80, 8, 8, 568, 568, "SF"),
        ("10.20.33.164", 39813, 81, 1, 0, 60, 0, "S0"),
    ]
    assert join_address(flows[0]["dst_hi"], flows[0]["dst_lo"]) == "203.0.113.7"
    lines = [
        "srcaddr dstaddr srcport dstport protocol packets bytes start end tcp-flags",
        "10.0.0.1 10.0.0.2 40000 80 6 6 600 100 160 3",
        "10.0.0.2 10.0.0.1 80 40000 6 5 9000 100 160 19",
        "10.0.0.1 10.0.0.2 40001 81 6 1 60 100 100 2",
        "10.0.0.2 10.0.0.1 81 40001 6 1 40 100 100 4",
    ]
    flows, report = craft.read("\n".join(lines).encode())
    assert report.problems == []
    assert told(flows) == [
        ("10.0.0.1", 40000, 80, 6, 5, 600, 9000, "SF"),
        ("10.0.0.1", 40001, 81, 1, 1, 60, 40, "REJ"),
    ]


def test_two_interfaces_saw_the_same_twice() -> None:
    lines = tables.VPC.splitlines(keepends=True)
    flows, _ = craft.read(
        b"".join([*lines[:3], *(line.replace(b"eni-1235", b"eni-9999") for line in lines[1:3])])
    )
    assert flows["packets_out"].tolist() == [20, 20]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("172.31.16.139 ", "172.31.16 ", "srcaddr is '172.31.16'; expected an address"),
        ("20641", "65536", "a port is '65536'; expected at most 65535"),
        (" 6 20", " 256 20", "protocol is '256'; expected at most 255"),
        ("20 4249", "many 4249", "packets is 'many'; expected a whole number"),
        (
            "1418530010 1418530070",
            "1418530070 1418530010",
            "the flow ends before it starts, or after the year 2116",
        ),
        ("ACCEPT", "MAYBE", "action is 'MAYBE'; expected ACCEPT or REJECT"),
        ("OK", "LOST", "log-status is 'LOST'; expected OK, NODATA or SKIPDATA"),
        ("OK", "OK extra", "the line has 15 columns; expected 14"),
    ],
)
def test_malformed_vpc_lines_are_named(old: str, new: str, problem: str) -> None:
    header, good = tables.VPC.split(b"\n")[:2]
    bad = good.replace(old.encode(), new.encode(), 1)
    flows, report = craft.read(b"\n".join([header, good, bad]))
    assert report.problems == [f"line 3, byte {len(header) + len(good) + 2}: {problem}"]
    assert (len(flows), report.lines.malformed) == (1, 1)


# Azure


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_azure_s_virtual_network_log(indent: int | None, piece: int) -> None:
    data = json.dumps(json.loads(tables.AZURE), indent=indent).encode()
    flows, report = craft.read(data, piece=piece)
    assert (report.format, report.problems) == ("azure", [])
    assert (report.lines.read, report.lines.flows) == (4, 4)
    assert told(flows) == [
        ("101.33.218.153", 55188, 22, 0, 0, 0, 0, "S0"),  # denied
        ("10.0.0.6", 23956, 443, 3, 2, 767, 1580, "-"),
        ("10.0.0.6", 22730, 443, -1, -1, -1, -1, "-"),  # has but begun
    ]
    assert failed(flows).tolist().count(True) == 1
    web = flows[flows["src_port"] == 23956][0]
    assert (int(web["start_ns"]), int(web["end_ns"])) == (1663146003599 * 10**6, 1663146003606 * 10**6)


def test_azure_s_security_group_log() -> None:
    flows, report = craft.read(tables.NSG)
    assert (report.problems, report.lines.flows, report.lines.read) == ([], 4, 4)
    assert told(flows) == [
        # It began at :377 and was told of again five minutes later: one flow.
        ("10.0.0.4", 44931, 443, 52, 47, 29952, 27072, "-"),
        ("185.143.223.12", 33333, 3389, -1, 0, -1, 0, "S0"),
        ("10.0.0.4", 5353, 53, -1, -1, -1, -1, "-"),
    ]


def test_azure_s_source_is_who_began_whatever_the_ports() -> None:
    """Its flows have a direction: the answer's port may be the higher one."""
    flows, _ = craft.read(tables.azure(["1663146003606,10.0.0.6,10.0.0.7,443,50000,6,O,E,NX,3,767,2,1580"]))
    assert told(flows)[0][:3] == ("10.0.0.6", 443, 50000)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1,2", "the tuple has 2 fields; expected 13"),
        ("x,10.0.0.6,10.0.0.7,1,2,6,O,E,NX,0,0,0,0", "time is 'x'; expected a whole number"),
        ("1,10.0.0,10.0.0.7,1,2,6,O,E,NX,0,0,0,0", "source is '10.0.0'; expected an address"),
        ("1,10.0.0.6,10.0.0.7,1,2,6,X,E,NX,0,0,0,0", "direction is 'X'; expected I or O"),
        ("1,10.0.0.6,10.0.0.7,1,2,6,O,Q,NX,0,0,0,0", "state is 'Q'; expected B, C, E or D"),
        ("1,10.0.0.6,10.0.0.7,1,70000,6,O,E,NX,0,0,0,0", "a port is '70000'; expected at most 65535"),
    ],
)
def test_malformed_tuples_are_named(line: str, problem: str) -> None:
    good = "1663146003606,10.0.0.6,10.0.0.7,443,50000,6,O,E,NX,3,767,2,1580"
    data = tables.azure([good, line, good])
    _, report = craft.read(data)
    place = data.index(b'{"rule"')
    assert report.problems == [f"line 2, byte {place}: {problem}"]
    assert (report.lines.flows, report.lines.malformed) == (2, 1)


def test_a_document_that_is_cut_or_damaged_keeps_the_rest() -> None:
    flows, report = craft.read(tables.AZURE[:-60])
    assert (report.lines.flows, report.lines.malformed, len(flows)) == (3, 1, 2)
    assert "cut off" in report.problems[0]
    # A lost quote costs what is on its line, not what follows.
    broken = tables.AZURE.replace(b'"rule"', b"rule", 1).replace(b"10.0.0.6", b'10.0.0.6"', 1)
    flows, report = craft.read(broken + b"\n" + tables.AZURE)
    assert report.lines.flows >= 4
    assert report.lines.malformed >= 1
    assert report.lines.adds_up
    for text in (b'{"records":[{"flowTuples":7}]}', b'{"records":[{"flowTuples":[7,"{",null]}]}'):
        _, report = craft.read(text)
        assert report.lines.malformed == (1 if b":7" in text else 3)


def test_long_logs_need_little_memory() -> None:
    """A running log of ten thousand flows, told piece by piece, of which few are held at once."""
    rows = [
        f"{1663146000000 + at * 6000},10.0.0.6,192.0.2.{at % 200},{1024 + at},443,6,O,E,NX,3,767,2,1580"
        for at in range(10_000)
    ]
    data = tables.azure(rows[:5000], rows[5000:])
    settings = MeterSettings(max_flows=100)
    before = craft.resident_bytes()
    flows, report = craft.read(data, settings)
    assert (len(flows), report.lines.flows, report.problems) == (10_000, 10_000, [])
    assert int(np.sum(flows["packets_out"])) == 30_000
    assert report.flows_evicted > 0
    assert craft.resident_bytes() - before < 60 << 20
