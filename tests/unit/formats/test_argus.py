"""Argus flow records: states, directions and columns, and the real files against plain counts."""

import csv
import gzip
import io
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from qwarden.detect.features import failed
from qwarden.formats.flows import PROTO_ARP, TCP_STATES, join_address

from . import craft, tables

HEADER = tables.ARGUS.split(b"\n", 1)[0] + b"\n"


def line(**changes: str) -> bytes:
    """A record with other values."""
    good = {
        "StartTime": "2018/12/18 14:00:00.5", "Dur": "0.25", "Proto": "tcp", "SrcAddr": "10.0.0.1",
        "Sport": "40000", "Dir": "   ->", "DstAddr": "10.0.0.2", "Dport": "443", "State": "FSPA_FSPA",
        "sTos": "0", "dTos": "0",
        "TotPkts": "10", "TotBytes": "5000", "SrcBytes": "1500", "SrcPkts": "6", "Label": "",
    }  # fmt: skip
    return ",".join((good | changes).values()).encode() + b"\n"


def read(**changes: str) -> np.void:
    """The flow of a record."""
    flows, report = craft.read(HEADER + line(**changes))
    assert (report.problems, len(flows)) == ([], 1)
    return flows[0]


def test_every_column_of_a_record() -> None:
    flow = read()
    expected = {
        "start_ns": 1545141600500000000, "end_ns": 1545141600750000000, "ip_version": 4, "proto": 6,
        "src_port": 40000, "dst_port": 443, "packets_out": 6, "packets_in": 4, "bytes_out": 1500,
        "bytes_in": 3500, "syn_out": 1, "fin_in": 1, "rst_out": 0, "urg_in": 0, "psh_out": -1,
    }  # fmt: skip
    assert {name: int(flow[name]) for name in expected} == expected
    assert TCP_STATES[flow["tcp_state"]] == "SF"
    # 18 bytes of a link layer may have been counted with each packet: too much to tell a small payload.
    assert (flow["payload_out"], read(SrcBytes="700")["payload_out"]) == (1150, -1)
    assert math.isnan(flow["iat_mean_out"])
    assert read(SrcBytes="600000", TotBytes="603500", SrcPkts="400", TotPkts="404")["payload_out"] == 577980


@pytest.mark.parametrize(
    ("state", "packets", "expected"),
    [
        # TotPkts, SrcPkts
        ("S_", (3, 3), "S0"),
        ("S_RA", (2, 1), "REJ"),
        ("S_R", (2, 1), "REJ"),
        ("SRPA_", (1, 1), "RSTOS0"),
        ("SR_SA", (3, 2), "RSTO"),
        ("S_SA", (2, 1), "S1"),
        ("SPA_SPA", (4, 2), "S1"),
        ("FSPA_FSPA", (9, 5), "SF"),
        ("FSPAEC_FSPAE", (9, 5), "SF"),
        ("FSRPA_FSPA", (9, 5), "RSTO"),
        ("FSPA_SRPA", (9, 5), "RSTR"),
        ("FSPA_SPA", (9, 5), "S2"),
        ("SPA_FSPA", (9, 5), "S3"),
        ("FSA_", (1, 1), "SH"),
        ("PA_PA", (9, 5), "OTH"),
        ("RA_", (1, 1), "OTH"),
        ("_", (1, 1), None),
        ("REQ", (1, 1), "S0"),
        ("ACC", (2, 1), "S1"),
        ("CON", (9, 5), "S1"),
        ("FIN", (9, 5), "SF"),
        ("CLO", (9, 5), "SF"),
        ("TIM", (2, 2), "S0"),
        ("TIM", (9, 5), None),
        ("RST", (1, 1), "RSTOS0"),
        ("RST", (2, 1), "REJ"),
        ("RST", (9, 5), None),
        ("S0", (31, 15), "S0"),
        ("RSTRH", (3, 1), "RSTRH"),
        ("nonsense", (9, 5), None),
    ],
)
def test_states_of_tcp(state: str, packets: tuple[int, int], expected: str | None) -> None:
    total, sent = packets
    flow = read(State=state, TotPkts=str(total), SrcPkts=str(sent))
    assert flow["tcp_state"] == (-1 if expected is None else TCP_STATES.index(expected))
    assert read(State=state, Proto="udp")["tcp_state"] == -1


def test_a_state_of_words_is_midstream_where_the_direction_is_unknown() -> None:
    assert TCP_STATES[read(State="CON", Dir="  <?>")["tcp_state"]] == "OTH"


@pytest.mark.parametrize(
    ("arrow", "ports", "proto", "state", "turned"),
    [
        ("   ->", ("443", "40000"), "tcp", "SPA_SPA", False),  # a SYN was seen
        ("   <-", ("443", "40000"), "tcp", "SPA_SPA", True),
        ("  <?>", ("22", "58441"), "tcp", "PA_PA", True),  # the port responds
        ("  <?>", ("58441", "22"), "tcp", "PA_PA", False),
        ("  <?>", ("5000", "6000"), "tcp", "PA_PA", False),
        ("   <?", ("5000", "6000"), "tcp", "_PA", True),  # only the right end sent
        ("   ?>", ("5000", "6000"), "tcp", "PA_", False),
        ("   ?>", ("80", "6000"), "tcp", "PA_", True),
        ("  <->", ("53", "6000"), "udp", "CON", True),
        ("  <->", ("6000", "53"), "udp", "CON", False),
        ("   ->", ("67", "68"), "udp", "INT", False),
        ("   <-", ("6000", "5000"), "udp", "INT", True),
        (" get_message  ->", ("1287", "23"), "tcp", "S_", False),
    ],
)
def test_the_initiator_is_the_source(
    arrow: str, ports: tuple[str, str], proto: str, state: str, turned: bool
) -> None:
    flow = read(Dir=arrow, Sport=ports[0], Dport=ports[1], Proto=proto, State=state)
    assert join_address(flow["src_hi"], flow["src_lo"]) == ("10.0.0.2" if turned else "10.0.0.1")
    assert (flow["src_port"], flow["dst_port"]) == tuple(map(int, ports[::-1] if turned else ports))
    assert (flow["packets_out"], flow["bytes_out"]) == ((4, 3500) if turned else (6, 1500))


def test_protocols_ports_and_icmp() -> None:
    echo = read(Proto="icmp", Sport="0x0008", Dport="0x0f72", State="ECO", Dir="  <->")
    assert (echo["proto"], echo["icmp_type"], echo["icmp_code"], echo["src_port"]) == (1, 8, 0, -1)
    frag = read(Proto="icmp", Sport="0x0403", Dport="0x0000", State="URF")
    assert (frag["icmp_type"], frag["icmp_code"]) == (3, 4)  # fragmentation needed
    six = read(Proto="ipv6-icmp", SrcAddr="fe80::1", DstAddr="ff02::1", Sport="97", Dport="115", State="UNK")
    assert (six["proto"], six["ip_version"], six["icmp_type"], six["icmp_code"]) == (58, 6, 97, 115)
    arp = read(Proto="arp", Sport="", Dport="", Dir="  who", State="CON")
    assert (arp["proto"], arp["ip_version"], arp["src_port"]) == (PROTO_ARP, 0, -1)
    assert (read(Proto="rtp", State="CON")["proto"], read(Proto="unas", State="CON")["proto"]) == (17, -1)
    assert read(Sport="0x1F90", Dport="https")["src_port"] == 8080
    assert read(Sport="0x1F90", Dport="https")["dst_port"] == 443
    assert read(Dport="some-name")["dst_port"] == -1
    for proto in ("llc", "man"):
        _, report = craft.read(HEADER + line(Proto=proto, SrcAddr="00:15:17:2c:e5:2d") + line())
        assert (report.lines.other, report.lines.flows) == (1, 1)


def test_other_layouts() -> None:
    """Other columns, in another order, apart by something else, with times as seconds; a header again."""
    text = (
        b"\xef\xbb\xbfProto;StartTime;LastTime;SrcAddr;DstAddr;Dport;SrcPkts;DstPkts;SrcBytes;DstBytes;SAppBytes;DAppBytes"
        b"\nudp;1700000000.25;1700000001.5;10.0.0.1;10.0.0.2;53;2;1;180;90;96;48\r\n"
    )
    flows, report = craft.read(text + text)
    assert (report.format, report.problems, report.lines.comments, len(flows)) == ("argus", [], 2, 2)
    assert (int(flows[0]["start_ns"]), int(flows[0]["end_ns"])) == (1700000000250000000, 1700000001500000000)
    assert (flows[0]["payload_out"], flows[0]["payload_in"], flows[0]["packets_in"]) == (96, 48, 1)
    # Only sums: what one way had follows where the other had nothing, or each had one.
    few = b"StartTime,Dur,Proto,SrcAddr,DstAddr,State,TotPkts,TotBytes,SrcBytes\n"
    rows = (b"1,0,udp,10.0.0.1,10.0.0.2,INT,3,180,180\n", b"1,0,udp,10.0.0.1,10.0.0.2,CON,2,180,90\n")
    flows, _ = craft.read(few + b"".join(rows) + b"1,0,udp,10.0.0.1,10.0.0.2,CON,5,180,90\n")
    assert flows["packets_out"].tolist() == [3, 1, -1]
    assert flows["packets_in"].tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"StartTime": "yesterday"}, "StartTime is 'yesterday'; expected a date and time, or seconds"),
        ({"Dur": "-1"}, "Dur is '-1'; expected seconds"),
        ({"SrcAddr": "10.0.0"}, "SrcAddr is '10.0.0'; expected an address"),
        ({"DstAddr": "fe80::1"}, "the addresses are of two IP versions"),
        ({"Dport": "65536"}, "a port is '65536'; expected at most 65535"),
        ({"Dport": "0xzz"}, "a port is '0xzz'; expected a hexadecimal number"),
        ({"TotPkts": "many"}, "TotPkts is 'many'; expected a whole number"),
        ({"TotPkts": "2", "SrcPkts": "3"}, "one way has more than both have: 3 of 2"),
        ({"Label": ",,"}, "the line has 18 columns; expected 16"),
    ],
)
def test_malformed_records_are_named(changes: dict[str, str], problem: str) -> None:
    good = line()
    flows, report = craft.read(HEADER + good + line(**changes) + good)
    assert report.problems == [f"line 3, byte {len(HEADER) + len(good)}: {problem}"]
    assert (len(flows), report.lines.flows, report.lines.malformed) == (2, 2, 1)


def test_labels_are_never_read() -> None:
    plain, marked = read(), read(Label="flow=From-Botnet-V42-TCP-Attempt")
    assert plain.tobytes() == marked.tobytes()


# Real files

FILES = ("test2-malicious", "test3-mixed", "test4-malicious", "test11-portscan")


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_real_records_are_all_read(name: str, data_dir: Path) -> None:
    path = data_dir / "slips-dataset" / f"{name}.binetflow.gz"
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    flows, report = craft.read_file(path)
    assert (report.format, report.problems) == ("argus+gzip", [])
    assert (report.lines.read, report.lines.flows, report.lines.comments) == (len(rows) + 1, len(rows), 1)
    assert (flows["bytes_out"] + flows["bytes_in"]).tolist() == [int(row["TotBytes"]) for row in rows]
    known = flows["packets_out"] >= 0
    total = [int(row["TotPkts"]) for row in rows]
    assert (flows["packets_out"] + flows["packets_in"])[known].tolist() == list(np.array(total)[known])
    ends = Counter(frozenset((row["SrcAddr"], row["DstAddr"])) for row in rows)
    got = Counter(
        frozenset((join_address(f["src_hi"], f["src_lo"]), join_address(f["dst_hi"], f["dst_lo"])))
        for f in flows
    )
    assert sorted(ends.values()) == sorted(got.values())


@pytest.mark.data
def test_scans_in_real_records_are_failed_attempts(data_dir: Path) -> None:
    for name, source, port, targets in (
        ("test4-malicious", "192.168.2.12", 81, 128),
        ("test3-mixed", "46.166.151.160", 3389, 28),
    ):
        flows, _ = craft.read_file(data_dir / "slips-dataset" / f"{name}.binetflow.gz")
        lost = flows[failed(flows)]
        mine = [f for f in lost if join_address(f["src_hi"], f["src_lo"]) == source and f["dst_port"] == port]
        assert len(mine) == targets
        assert len({int(f["dst_lo"]) for f in mine}) >= 28
