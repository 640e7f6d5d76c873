"""Packets of flows, cut from captures: which, how whole, and what is believed of the process that cuts."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import dpkt
import numpy as np
import pytest

from qwarden.core.errors import InputError, UnreadableError, UsageError
from qwarden.formats import MeterSettings, cuts, open_capture
from qwarden.formats.accounting import PacketCounts, SourceReport
from qwarden.formats.cuts import CutReader, Packet, open_cut
from qwarden.formats.flows import FLOW, Flows
from qwarden.formats.readers.capture import BUFFER
from qwarden.formats.sandbox import cutting as wire
from qwarden.formats.sandbox.cutting import CutMessage, decode_cut_header, encode_cut
from qwarden.formats.sandbox.host import Reader
from qwarden.formats.sandbox.wire import PREFIX, Distrust
from qwarden.formats.wanted import CUT, wanted_packets
from qwarden.formats.writers.packets import PacketWriter

from . import craft
from .cutting import cut
from .reference_meter import pcap_records


def frame(sport: int, dport: int = 53, **of_ip: object) -> bytes:
    return craft.frame4(craft.udp(sport, dport, b"x" * (sport % 50)), 17, **of_ip)


def flows_of(path: Path) -> Flows:
    with open_capture(path) as reader:
        parts = [batch.flows.copy() for batch in reader]
    flows = np.concatenate(parts)
    return flows[np.argsort(flows["seq"])]


# Which packets


def test_a_flow_is_its_ends_and_its_time() -> None:
    """Both directions, and not what the same ends said at another time."""
    back = craft.frame4(craft.udp(53, 1000), 17, src=craft.SERVER, dst=craft.CLIENT)
    records = [(0.0, frame(1000)), (0.5, frame(1001)), (1.0, back), (200.0, frame(1000)), (201.0, back)]
    content = craft.pcap(records)
    flows, _ = craft.read(content)
    assert flows["packets_out"].tolist() == [1, 1, 1]
    found, report = cut(content, flows[:1])
    assert [time for time, *_ in found] == [0, 10**9]
    assert [data for _, _, data, _ in found] == [frame(1000), back]
    assert report.packets.read == 5


def test_later_fragments_belong_to_the_first_ones_flow() -> None:
    first = craft.frame4(craft.udp(1000, 53, b"x" * 40), 17, ident=9, more=True)
    later = craft.frame4(bytes(64), 17, ident=9, offset=48)
    alone = craft.frame4(bytes(64), 17, ident=10, offset=48)
    content = craft.pcap([(0.0, first), (0.1, later), (0.2, alone), (0.3, frame(1000))])
    flows, _ = craft.read(content)
    with_ports = flows["src_port"] == 1000
    assert [data for _, _, data, _ in cut(content, flows[with_ports])[0]] == [first, later, frame(1000)]
    assert [data for _, _, data, _ in cut(content, flows[~with_ports])[0]] == [alone]


def test_exchanges_without_ports_are_told_apart() -> None:
    echo = craft.frame4(craft.icmp(8), 1)
    reply = craft.frame4(craft.icmp(0), 1, src=craft.SERVER, dst=craft.CLIENT)
    stamp = craft.frame4(craft.icmp(13), 1)
    who = craft.ethernet(craft.arp(1), 0x0806)
    here = craft.ethernet(craft.arp(2, craft.SERVER, craft.CLIENT), 0x0806)
    reverse = craft.ethernet(craft.arp(3), 0x0806)
    packets = [echo, stamp, who, reply, reverse, here]
    content = craft.pcap(list(enumerate(packets)))
    flows, _ = craft.read(content)
    found = [[data for _, _, data, _ in cut(content, flows[at : at + 1])[0]] for at in range(flows.size)]
    assert found == [[echo, reply], [stamp], [who, here], [reverse]]


def test_what_belongs_to_no_flow_is_never_cut() -> None:
    spanning_tree = bytes(12) + b"\x00\x26" + b"\x42\x42\x03" + bytes(40)
    content = craft.pcap([(0.0, frame(1)), (0.0, spanning_tree), (0.0, frame(1)[:20]), (0.0, frame(2))])
    found, report = cut(content, craft.read(content)[0])
    assert [data for _, _, data, _ in found] == [frame(1), frame(2)]
    assert (report.packets.other, report.packets.malformed) == (1, 1)
    assert "packet 3" in report.problems[0]


def test_packets_keep_time_link_and_lengths() -> None:
    """Nanoseconds, packets cut by a snap length, several link types, what a pcapng section says."""
    nano = craft.pcap([(1.123456789, frame(5))], nano=True, wirelens={0: 900})
    assert cut(nano, craft.read(nano)[0])[0] == [(1_123_456_789, 1, frame(5), 900)]
    raw = craft.ipv4(craft.udp(6, 53), 17)
    options = craft.option(9, b"\x09")
    mixed = (
        craft.section() + craft.interface(1, options=options) + craft.interface(101)
        + craft.enhanced(frame(5), 7, 0) + craft.enhanced(raw, 2_000_000, 1)
        + craft.section(big=True) + craft.interface(1, big=True) + craft.enhanced(frame(7), 3, 0, big=True)
    )  # fmt: skip
    found, report = cut(mixed, craft.read(mixed)[0])
    assert found == [
        (7, 1, frame(5), len(frame(5))),
        (2 * 10**9, 101, raw, len(raw)),
        (3000, 1, frame(7), len(frame(7))),
    ]
    assert report.format == "pcapng"


def test_a_filter_joins_spans_that_overlap() -> None:
    flows = np.zeros(6, FLOW)
    flows["proto"] = 6
    flows["src_port"], flows["dst_port"] = [1, 2, 1, 1, 2, 1], [2, 1, 2, 2, 1, 3]
    flows["start_ns"] = [0, 10, 5, 100, 101, 0]
    flows["end_ns"] = [50, 20, 7, 110, 120, 9]
    spans = wanted_packets(flows)
    assert [row[5:] for row in spans.tolist()] == [(2, 6, 0, 50), (2, 6, 100, 120), (3, 6, 0, 9)]
    assert wanted_packets(flows[:0]).size == 0


@pytest.mark.data
def test_real_captures_are_cut_whole_and_in_halves(data_dir: Path) -> None:
    """Each packet of each flow, as a plain reader of pcap has it; half the flows and the others: all."""
    for path in sorted(data_dir.glob("pcaps/*/*.pcap")):
        content = path.read_bytes()
        flows, read = craft.read(content, MeterSettings())
        records = list(pcap_records(content)) if read.is_pcap else []
        found, _ = cut(content, flows)
        assert len(found) == read.packets.metered, path.name
        if records and read.packets.metered == len(records):
            assert found == records, path.name
        halves = [cut(content, flows[at::2])[0] for at in (0, 1)]
        counted = [int((flows["packets_out"] + flows["packets_in"])[at::2].sum()) for at in (0, 1)]
        assert all(len(half) >= count for half, count in zip(halves, counted, strict=True)), path.name
        assert {*halves[0], *halves[1]} == set(found), path.name


# Through the reading process


def cut_file(path: Path, flows: Flows) -> tuple[list[Packet], CutReader]:
    with open_cut(path, flows) as reader:
        return list(reader), reader


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """3,000 flows of one packet, in a gzip."""
    records = [(n / 100, frame(1000 + n)) for n in range(3000)]
    path = tmp_path / "many.pcap.gz"
    path.write_bytes(gzip.compress(craft.pcap(records)))
    return path


def test_a_locked_down_process_cuts(capture: Path) -> None:
    flows = flows_of(capture)
    packets, reader = cut_file(capture, flows[flows["src_port"] % 3 == 0])
    assert [bytes(packet.data) for packet in packets] == [
        frame(port) for port in range(1000, 4000) if port % 3 == 0
    ]
    assert (reader.packets_cut, reader.report.packets.read, reader.report.complete) == (1000, 3000, True)
    held = {measure.measure: measure.holds for measure in reader.cage}
    for always in ("no new privileges", "no capabilities", "no files, processes or memory beyond limits"):
        assert held[always], held


def test_a_damaged_capture_gives_what_stands_before(capture: Path) -> None:
    flows = flows_of(capture)
    capture.write_bytes(capture.read_bytes()[:-2000])
    packets, reader = cut_file(capture, flows)
    assert 0 < len(packets) < 3000
    assert not reader.report.complete
    assert "cut off" in " ".join(reader.report.problems)


def test_sources_without_packets_are_refused(
    tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = flows_of(capture)
    log = tmp_path / "conn.log"
    log.write_text('{"ts":1.0,"id.orig_h":"10.0.0.1","conn_state":"SF"}\n')
    with pytest.raises(UnreadableError, match="no packets can be cut"):
        cut_file(log, flows)
    with pytest.raises(UnreadableError, match="no such file"):
        open_cut(tmp_path / "gone.pcap", flows)
    with pytest.raises(UnreadableError, match="is a directory"):
        open_cut(tmp_path, flows)
    with pytest.raises(UsageError, match="packets of 0 flows"):
        open_cut(capture, flows[:0])
    monkeypatch.setattr(cuts, "MOST_WANTED", 2999)
    with pytest.raises(UsageError, match="3,000 flows"):
        open_cut(capture, flows)


# What the process says is not believed


def message(**changes: object) -> CutMessage:
    report = SourceReport("x", "pcap", PacketCounts(read=2, metered=2))
    return CutMessage(**({"report": report, "packets": 1, "cut": 1, "cage": [], "last": False} | changes))  # type: ignore[arg-type]


def told(time: int = 5, link: int = 1, length: int = 4, wire_length: int = 4) -> np.ndarray:
    return np.array([(time, link, length, wire_length, 0)], CUT)


BYTES = np.arange(4, dtype=np.uint8)


def said(first: CutMessage, rows: np.ndarray | None = None, data: np.ndarray = BYTES) -> bytes:
    return b"".join(map(bytes, encode_cut(first, told() if rows is None else rows, data)))


def hear(data: bytes) -> list[Packet]:
    ours, theirs = os.pipe()
    threading.Thread(target=lambda: (os.write(theirs, data), os.close(theirs)), daemon=True).start()
    with CutReader("capture", Reader(ours, -1, None), (0, 10), 5.0) as reader:
        return list(reader)


NOTHING = {"rows": told()[:0], "data": BYTES[:0]}


def test_an_honest_message_is_heard() -> None:
    (packet,) = hear(said(message()) + said(message(packets=0, last=True), **NOTHING))
    assert (packet.time_ns, packet.link, packet.wire_length, bytes(packet.data)) == (5, 1, 4, bytes(BYTES))


LOG = SourceReport("x", "zeek-conn", PacketCounts(read=2, metered=2))
FEWER = SourceReport("x", "pcap", PacketCounts(read=1, metered=1))
LIES = {
    "huge header": PREFIX.pack(1 << 30, 0),
    "huge body": PREFIX.pack(10, 1 << 23),
    "no JSON": PREFIX.pack(4, 0) + b"\xff\xff\xff\xff",
    "deep JSON": PREFIX.pack(60000, 0) + b"[" * 60000,
    "other JSON": PREFIX.pack(2, 0) + b"{}",
    "no packet where one is told": said(message(), **NOTHING),
    "more bytes than told": said(message(), data=np.zeros(5, np.uint8)),
    "fewer bytes than told": said(message(), data=BYTES[:3]),
    "a packet without bytes": said(message(), told(length=0), BYTES[:0]),
    "a packet beyond all lengths": said(message(), told(length=300_000), np.zeros(300_000, np.uint8)),
    "lengths that wrap around": said(
        message(packets=2, cut=2), np.concatenate([told(length=(1 << 32) - 1), told(length=5)])
    ),
    "another time": said(message(), told(time=11)),
    "a time before all times": said(message(), told(time=-1)),
    "a link type that is not read": said(message(), told(link=127)),
    "more packets than were read": said(message(cut=3)),
    "packets it forgot": said(message(cut=2)),
    "counts that go back": said(message()) + said(message(report=FEWER, packets=0), **NOTHING),
    "packets of a log": said(message(report=LOG)),
}


@pytest.mark.parametrize("name", LIES)
def test_an_impossible_message_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="not to be trusted"):
        hear(LIES[name])


def test_a_process_that_ends_early_is_an_error() -> None:
    with pytest.raises(InputError, match="ended unexpectedly"):
        hear(said(message()))


@pytest.mark.parametrize("key", ["packets", "cut", "report", "cage", "metered", "problems"])
@pytest.mark.parametrize("value", [-1, 1.5, True, None, "x" * 400, [[]] * 50, {"a": 1}, 1 << 70])
def test_headers_of_other_types_are_refused(key: str, value: object) -> None:
    document = asdict(message())
    for level in (document, document["report"], document["report"]["packets"]):
        if key in level:
            level[key] = value
            break
    with pytest.raises(Distrust):
        decode_cut_header(json.dumps(document).encode(), "capture")


def test_the_parent_takes_what_the_reader_can_hold() -> None:
    assert wire.MOST_BYTES == BUFFER


# The files that are written


def written(path: Path, packets: Sequence[tuple[str, int, int, int, bytes]]) -> Path:
    with PacketWriter(path) as writer:
        for packet in packets:
            writer.write(*packet)
    assert writer.packets == len(packets)
    return path


PACKETS = [("a.pcap", 1, 1_500_000_001, 60, frame(3)), ("b.pcap", 1, 1_500_000_007, 700, frame(4))]


def test_a_pcap_is_read_back_to_the_nanosecond(tmp_path: Path) -> None:
    path = written(tmp_path / "out.pcap", PACKETS)
    assert path.stat().st_mode & 0o777 == 0o600
    reader = dpkt.pcap.Reader(path.open("rb"))
    assert reader.datalink() == 1
    assert [(round(float(time) * 10**9), data) for time, data in reader] == [
        (packet[2], packet[4]) for packet in PACKETS
    ]
    found, _ = cut(path.read_bytes(), craft.read(path.read_bytes())[0])
    assert found == [(time, link, data, wire_length) for _, link, time, wire_length, data in PACKETS]


def test_a_pcapng_keeps_link_types_and_sources(tmp_path: Path) -> None:
    raw = craft.ipv4(craft.udp(6, 53), 17)
    late = 1 << 61
    packets = [*PACKETS, ("a.pcap", 101, 9, len(raw), raw), ("a.pcap", 1, late - 1, 60, frame(3))]
    path = written(tmp_path / "out.pcapng", packets)
    found, report = cut(path.read_bytes(), craft.read(path.read_bytes())[0])
    assert found == [(time, link, data, wire_length) for _, link, time, wire_length, data in packets]
    assert report.complete
    if shutil.which("capinfos"):
        told = subprocess.run(["capinfos", path], capture_output=True, text=True, check=True).stdout
        assert "Number of interfaces in file: 3" in told
        assert "Name = a.pcap" in told
        assert "Name = b.pcap" in told


def test_a_pcap_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    for wrong in (("a", 101, 1, 20, b"x" * 20), ("a", 1, (1 << 32) * 10**9, 20, b"x" * 20)):
        with pytest.raises(InputError, match=r"pcapng"):
            written(tmp_path / "out.pcap", [PACKETS[0], wrong])
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        written(tmp_path / "no" / "out.pcap", PACKETS)
    with pytest.raises(InputError, match="is a directory"):
        written(tmp_path, PACKETS)
    (tmp_path / "old.pcap").write_bytes(b"old")
    with pytest.raises(InputError, match="one link type"):
        written(tmp_path / "old.pcap", [PACKETS[0], ("a", 101, 1, 20, b"x" * 20)])
    assert (tmp_path / "old.pcap").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["old.pcap"]
