"""Whole captures, read by others: dpkt recounts, tshark dissects, Qwarden's own meter joins."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dpkt
import numpy as np
import pytest

from qwarden.detect.scenario import KINDS, ScenarioSummary, label_flows, read_labels, write_scenario
from qwarden.detect.scenario.ranges import SERVICES
from qwarden.formats.captures import open_capture
from qwarden.formats.flows import Flows, join_address
from qwarden.formats.meter.settings import MeterSettings

SMALL = {"duration_s": 300, "hosts": 8}


@pytest.fixture(scope="module", params=[21, 22])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ScenarioSummary:
    return write_scenario(tmp_path_factory.mktemp("range") / "x.pcap", request.param, **SMALL)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[ScenarioSummary]:
    folder = tmp_path_factory.mktemp("ranges")
    return [write_scenario(folder / f"{seed}.pcap", seed) for seed in (31, 32)]


def metered(capture: Path) -> Flows:
    with open_capture(capture, MeterSettings()) as reader:
        return np.concatenate([batch.flows for batch in reader])


def records(capture: Path) -> Iterator[tuple[int, bytes]]:
    with capture.open("rb") as stream:
        stream.read(24)
        while head := stream.read(16):
            seconds, fraction, size, _ = struct.unpack("<IIII", head)
            yield seconds * 1_000_000 + fraction, stream.read(size)


Ends = tuple[int, frozenset[tuple[bytes, int]]]


def ends_of(frame: bytes) -> Ends:
    """Protocol and both ends of a frame, by dpkt."""
    packet = dpkt.ethernet.Ethernet(frame).data
    if isinstance(packet, dpkt.arp.ARP):
        return 2054, frozenset(((packet.spa, 0), (packet.tpa, 0)))
    transport = packet.data
    ports = (transport.sport, transport.dport) if packet.p in (6, 17) else (0, 0)
    return packet.p, frozenset(((packet.src, ports[0]), (packet.dst, ports[1])))


def packed(hi: int, lo: int) -> bytes:
    text = join_address(hi, lo)
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def test_every_packet_belongs_to_exactly_one_row(small: ScenarioSummary) -> None:
    labels = read_labels(small.labels)
    rows: dict[Ends, list[int]] = defaultdict(list)
    for i, row in enumerate(labels):
        one, two = packed(row["src_hi"], row["src_lo"]), packed(row["dst_hi"], row["dst_lo"])
        key = frozenset(((one, max(int(row["src_port"]), 0)), (two, max(int(row["dst_port"]), 0))))
        rows[int(row["proto"]), key].append(i)
    counted = np.zeros(len(labels), np.int64)
    previous = 0
    for time, frame in records(small.path):
        assert time >= previous
        previous = time
        owners = [i for i in rows[ends_of(frame)] if labels["start_us"][i] <= time <= labels["end_us"][i]]
        assert len(owners) == 1
        counted[owners[0]] += 1
    assert np.array_equal(counted, labels["packets"])


def test_the_initiator_is_who_sent_the_first_packet(small: ScenarioSummary) -> None:
    labels = read_labels(small.labels)
    syns: dict[tuple[bytes, int, bytes, int], int] = {}
    for time, frame in records(small.path):
        packet = dpkt.ethernet.Ethernet(frame).data
        if getattr(packet, "p", 0) == 6 and packet.data.flags == dpkt.tcp.TH_SYN:
            syns.setdefault((packet.src, packet.data.sport, packet.dst, packet.data.dport), time)
    began = 0
    for row in labels[labels["proto"] == 6]:
        one, two = packed(row["src_hi"], row["src_lo"]), packed(row["dst_hi"], row["dst_lo"])
        assert syns.get((two, int(row["dst_port"]), one, int(row["src_port"]))) != row["start_us"]
        began += syns.get((one, int(row["src_port"]), two, int(row["dst_port"]))) == row["start_us"]
    assert began > 0.7 * np.count_nonzero(labels["proto"] == 6)


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_a_dissector_finds_nothing_wrong(small: ScenarioSummary) -> None:
    wrong = (
        "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
        " || icmp.checksum.status == 0 || icmpv6.checksum.status == 0"
    )
    checks = [f"-o{name}.check_checksum:TRUE" for name in ("ip", "tcp", "udp")]
    command = ["tshark", "-r", str(small.path), *checks, "-Y", wrong]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == ""


def test_all_flows_of_the_meter_are_labelled(usual: list[ScenarioSummary]) -> None:
    for summary in usual:
        flows, labels = metered(summary.path), read_labels(summary.labels)
        index, attacks = label_flows(flows, labels)
        assert np.all(index >= 0)
        assert set(np.unique(attacks)) == {0, *(attack.attack_id for attack in summary.attacks)}
        assert flows["packets_out"].sum() + flows["packets_in"].sum() == summary.packets


def test_the_usual_size(usual: list[ScenarioSummary]) -> None:
    for summary in usual:
        assert 40_000 < summary.packets < 240_000
        assert 1_800 <= summary.duration_s <= 3_600
        assert 20 <= summary.hosts <= 40
        assert {attack.label for attack in summary.attacks} == set(KINDS)
        assert summary.conversations["benign"] > 0.55 * sum(summary.conversations.values())


def benign_service(parts: list[tuple[Flows, np.ndarray]], proto: int, port: int) -> Flows:
    """Benign sessions with a service, without the connections that failed."""
    rows = []
    for flows, attacks in parts:
        of_service = (attacks == 0) & (flows["proto"] == proto) & (flows["dst_port"] == port)
        rows.append(flows[of_service & ((flows["packets_in"] > 1) | (proto == 17))])
    return np.concatenate(rows)


def test_benign_services_are_as_measured(usual: list[ScenarioSummary]) -> None:
    """Medians within a factor of 4 of the measured ones, 95 % quantiles within 6."""
    parts = []
    for summary in usual:
        flows = metered(summary.path)
        parts.append((flows, label_flows(flows, read_labels(summary.labels))[1]))
    wanted = {"http": (6, 80), "https": (6, 443), "quic": (17, 443), "dns": (17, 53), "ssh": (6, 22)}
    for name, (proto, port) in wanted.items():
        flows, service = benign_service(parts, proto, port), SERVICES[name]
        assert len(flows) > 20, name
        for column, measured in (
            (flows["packets_out"] + flows["packets_in"], service.packets),
            (flows["payload_out"], service.out),
            (flows["payload_in"], service.back),
        ):
            p50, p95 = np.quantile(column, [0.5, 0.95])
            assert measured.p50 / 4 <= p50 <= measured.p50 * 4, (name, p50)
            assert measured.p95 / 6 <= p95 <= measured.p95 * 6, (name, p95)
    upload = benign_service(parts, 6, 443)
    ratio = (upload["payload_out"] + 1) / (upload["payload_in"] + 1)
    low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    assert low < 0.2
    assert 0.3 < middle < 3
    assert 3 < high < 60


def sessions(capture: Path, port: int) -> list[int]:
    """Packets of each TCP session with `port` in a capture, by dpkt."""
    counts: dict[Ends, int] = defaultdict(int)
    for _, frame in records(capture):
        packet = dpkt.ethernet.Ethernet(frame).data
        if getattr(packet, "p", 0) == 6 and port in (packet.data.sport, packet.data.dport):
            counts[ends_of(frame)] += 1
    return list(counts.values())


@pytest.mark.data
@pytest.mark.parametrize(
    ("real", "port"),
    [
        ("zeek__ssh__sshguess.pcap", 22),
        ("zeek__ftp__bruteforce.pcap", 21),
        ("sv__dcerpc__zerologon__input.pcap", 135),
    ],
)
def test_guessing_covers_what_real_tools_do(data_dir: Path, tmp_path: Path, real: str, port: int) -> None:
    measured = sessions(data_dir / "pcaps" / "attack" / real, port)
    ours: list[tuple[int, int]] = []
    for seed in range(60, 84):
        summary = write_scenario(
            tmp_path / "x.pcap", seed, duration_s=400, hosts=12, intensity=0.01, kinds=["guessing"]
        )
        labels = read_labels(summary.labels)
        rows = labels[(labels["attack_id"] > 0) & (labels["dst_port"] == port)]
        if len(rows):
            ours.append((len(rows), int(np.median(rows["packets"]))))
    assert ours, "no seed guessed on this service"
    counts, packets = zip(*ours, strict=True)
    assert min(counts) <= 1.3 * len(measured)
    assert max(counts) >= 0.7 * len(measured)
    assert min(packets) <= 1.15 * np.median(measured)
    assert max(packets) >= 0.85 * np.median(measured)
