"""Real captures, read completely: counts against the manifest and dpkt, flows against the reference
meter and tshark."""

import csv
import shutil
import subprocess
from collections import Counter
from functools import lru_cache
from pathlib import Path

import dpkt
import numpy as np
import pytest

from qwarden.formats import find_captures, join_address, open_capture
from qwarden.formats.flows import END_ACTIVE, END_IDLE, FLOW, PROTO_ARP

from . import craft
from .compare import assert_same_flows, reference
from .reference_meter import pcap_records

CAPTURES = 25
pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def captures(data_dir: Path) -> list[Path]:
    found = sorted((data_dir / "pcaps").glob("*/*.pcap"))
    assert len(found) == CAPTURES
    return found


def test_every_capture_is_found_by_content(data_dir: Path, captures: list[Path]) -> None:
    assert sorted(find_captures([data_dir / "pcaps"])) == captures


def test_packet_counts_equal_manifest_and_dpkt(data_dir: Path, captures: list[Path]) -> None:
    """Through the front door: the locked-down process."""
    with (data_dir / "pcaps" / "MANIFEST.csv").open(newline="") as file:
        manifest = {row["file"]: row for row in csv.DictReader(file)}
    for path in captures:
        with path.open("rb") as file:
            lengths = [len(packet) for _, packet in dpkt.pcap.Reader(file)]
        with open_capture(path) as reader:
            flows = sum(batch.flows.size for batch in reader)
        counts = reader.report.packets
        assert counts.read == len(lengths) == int(manifest[path.name]["packets"]), path.name
        assert sum(lengths) == int(manifest[path.name]["bytes"])
        assert (counts.malformed, counts.truncated, reader.report.problems) == (0, 0, []), path.name
        assert reader.report.complete
        assert reader.report.flows_read == flows


def test_flows_equal_the_reference_meter_column_by_column(captures: list[Path]) -> None:
    for path in captures:
        flows, report = craft.read_file(path)
        meter = reference(pcap_records(path.read_bytes()))
        counts = report.packets
        assert (
            meter.counts == Counter(read=counts.read, metered=counts.metered, other=counts.other) + Counter()
        ), path
        assert_same_flows(flows, meter.finish())


def test_every_packet_of_a_flow_is_in_one_flow(captures: list[Path]) -> None:
    for path in captures:
        flows, report = craft.read_file(path)
        assert (flows["packets_out"] + flows["packets_in"]).sum() == report.packets.metered


FIELDS = [
    *("ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "ip.len", "ipv6.plen"),
    *("tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "tcp.stream", "udp.stream"),
    *("tcp.len", "tcp.flags", "icmp.type", "icmpv6.type"),
]


@lru_cache
def tshark(path: Path) -> list[dict[str, str]]:
    """The fields of every packet; of repeated fields the first."""
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=f"]
    command += [part for field in FIELDS for part in ("-e", field)]
    # Reassembly would give a fragment's ports to the last one.
    command += ["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]
    # Its dissector takes minutes over one capture; we want none of it.
    command += ["--disable-protocol", "vnc"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]
    # ICMP errors quote the headers they complain of.
    return [
        row
        for row in rows
        if (row["ip.src"] or row["ipv6.src"]) and not row["icmp.type"] + row["icmpv6.type"]
    ]


needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg")


@needs_tshark
def test_headers_equal_tshark(captures: list[Path]) -> None:
    """Totals of each pair of addresses: packets, network bytes, TCP payload, flags."""
    for path in captures:
        expected: Counter[tuple[str, str, str]] = Counter()
        for row in tshark(path):
            ends = row["ip.src"] or row["ipv6.src"], row["ip.dst"] or row["ipv6.dst"]
            expected[*ends, "packets"] += 1
            expected[*ends, "bytes"] += int(row["ip.len"]) if row["ip.len"] else int(row["ipv6.plen"]) + 40
            if row["tcp.flags"]:
                expected[*ends, "payload"] += int(row["tcp.len"])
                for bit, name in enumerate(FLAGS):
                    expected[*ends, name] += int(row["tcp.flags"], 16) >> bit & 1
        flows, _ = craft.read_file(path)
        got: Counter[tuple[str, str, str]] = Counter()
        for flow in flows[(flows["icmp_type"] < 0) & (flows["proto"] != PROTO_ARP)]:
            both = join_address(flow["src_hi"], flow["src_lo"]), join_address(flow["dst_hi"], flow["dst_lo"])
            for way, ends in (("out", both), ("in", both[::-1])):
                for name in ("packets", "bytes", *(("payload", *FLAGS) if flow["proto"] == 6 else ())):
                    got[*ends, name] += int(flow[f"{name}_{way}"])
        assert +got == +expected, path.name


@needs_tshark
@pytest.mark.parametrize(("proto", "name"), [(6, "tcp"), (17, "udp")])
def test_conversations_equal_tshark(captures: list[Path], proto: int, name: str) -> None:
    """Flows have tshark's conversations; only time-outs and reuse of ports make more flows of one."""
    for path in captures:
        rows = [row for row in tshark(path) if row[f"{name}.stream"]]
        pairs = {
            frozenset(
                (row[f"ip.{end}"] or row[f"ipv6.{end}"], int(row[f"{name}.{end}port"]))
                for end in ("src", "dst")
            )
            for row in rows
        }
        flows, _ = craft.read_file(path)
        mine = flows[flows["proto"] == proto]
        ends = {
            frozenset(
                (join_address(flow[f"{end}_hi"], flow[f"{end}_lo"]), int(flow[f"{end}_port"]))
                for end in ("src", "dst")
            )
            for flow in mine
        }
        assert ends == pairs, path.name
        cut = int(np.isin(mine["end_reason"], (END_IDLE, END_ACTIVE)).sum())
        streams = len({row[f"{name}.stream"] for row in rows})
        assert len(pairs) <= len(mine)
        assert streams - cut <= len(mine) <= streams + cut, path.name


def test_a_real_capture_as_pcapng_gives_the_same_flows(captures: list[Path]) -> None:
    path = next(path for path in captures if "mapi" in path.name)
    flows, report = craft.read_file(path)
    blocks = craft.section() + craft.interface()
    for ns, _, packet, _ in pcap_records(path.read_bytes()):
        blocks += craft.enhanced(packet, ns // 1000)
    again, second = craft.read(blocks)
    assert second.packets == report.packets
    for name in FLOW.names or ():
        np.testing.assert_array_equal(again[name], flows[name])
