"""Zeek's dhcp.log: exchanges become flows, with the messages that each side sent."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from qwarden.formats import Flows, SourceReport, join_address, open_capture

TSV = (
    "#separator \\x09\n#path\tdhcp\n#fields\tts\tuids\tclient_addr\tserver_addr\tmac\tmsg_types\tduration\n"
    "100.5\tC1\t-\t-\t00:11:22:33:44:55\tDISCOVER,OFFER,REQUEST,ACK\t0.25\n"
    "101.0\tC2\t10.0.0.7\t10.0.0.1\t-\tREQUEST,NAK\t-\n"
    "102.0\tC3\tnowhere\t10.0.0.1\t-\tREQUEST\t-\n#close\n"
)


def read(path: Path) -> tuple[Flows, SourceReport]:
    with open_capture(path) as reader:
        flows = np.concatenate([batch.flows for batch in reader])
    return flows, reader.report


def test_exchanges_of_a_text_log(tmp_path: Path) -> None:
    (tmp_path / "dhcp.log").write_text(TSV)
    flows, report = read(tmp_path / "dhcp.log")
    ends = [tuple(join_address(f[f"{s}_hi"], f[f"{s}_lo"]) for s in ("src", "dst")) for f in flows]
    assert ends == [("0.0.0.0", "255.255.255.255"), ("10.0.0.7", "10.0.0.1")]
    assert flows["packets_out"].tolist() == [2, 1]
    assert flows["packets_in"].tolist() == [2, 1]
    assert flows["src_port"].tolist() == [68, 68]
    assert flows["dst_port"].tolist() == [67, 67]
    assert flows["src_mac"].tolist() == [0x001122334455, -1]
    assert (flows["end_ns"] - flows["start_ns"]).tolist() == [250_000_000, 0]
    assert (report.lines.read, report.lines.flows, report.lines.malformed, report.lines.comments) == (
        7,
        2,
        1,
        4,
    )
    assert "line 6" in report.problems[0]
    assert "client_addr" in report.problems[0]


@pytest.mark.parametrize(
    "change",
    [{"msg_types": 5}, {"ts": "x"}, {"duration": -1}, {"server_addr": "2001:db8::1"}, {"client_addr": 7}],
)
def test_a_damaged_record_is_counted(tmp_path: Path, change: dict[str, object]) -> None:
    good = {
        "ts": 1.0,
        "client_addr": "10.0.0.7",
        "server_addr": "10.0.0.1",
        "lease_time": 1.0,
        "msg_types": ["ACK"],
    }
    (tmp_path / "dhcp.log").write_text(json.dumps(good) + "\n" + json.dumps(good | change) + "\n")
    flows, report = read(tmp_path / "dhcp.log")
    assert flows.size == 1
    assert report.lines.malformed == 1


@pytest.mark.data
def test_a_real_log(data_dir: Path) -> None:
    path = data_dir / "slips-dataset/test13-malicious-dhcpscan-zeek-dir/dhcp.log.gz"
    records = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    flows, report = read(path)
    assert flows.size == len(records) == report.lines.flows
    assert flows["packets_out"].sum() == sum(r["msg_types"].count("REQUEST") for r in records)
    assert (flows["src_mac"] == int(records[0]["mac"].replace(":", ""), 16)).all()
