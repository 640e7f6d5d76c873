"""Logs as files: recognised by content, read line by line within bounds, through the locked-down process."""

import gzip
import json
import os
import signal
from pathlib import Path

import pytest

from qwarden.core.errors import InputError, UnreadableError
from qwarden.formats import format_of, open_capture, survey
from qwarden.formats.accounting import END_OF_TIME, LineCounts, SourceReport
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import unknown_flows
from qwarden.formats.kinds import HEAD, kind_of
from qwarden.formats.readers import lines
from qwarden.formats.sandbox.wire import MOST_ALERTS, Distrust, Message, check_flows, decode_header, encode

from . import craft, tables
from .logs import ALERT, FLOW, conn, objects, said, tsv

TEXT, JSON, EVE = tsv([conn()] * 3), objects([conn()] * 3), objects([FLOW, ALERT, FLOW, FLOW])


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (TEXT, "zeek-conn"),
        (JSON, "zeek-conn"),
        (EVE, "eve"),
        (b"\t" + TEXT, "zeek-conn"),
        (b"\n\n" + JSON, "zeek-conn"),
        (b'ut":1}\n' + EVE, "eve"),  # the file begins within a line
        (b"#fields\tts\tid.orig_h\torig_bytes\n", "zeek-conn"),
        (tsv([], path="dns"), "zeek-dns"),
        (tsv([], ("ts", "host"), path="known_hosts"), "zeek-known_hosts"),
        (tsv([], path="../../etc/passwd\x1b"), "zeek-etcpasswd"),
        (b'{"ts":1.5,"uid":"C1","query":"a.b"}\n', "zeek"),
        (b'{"_path":"dns","ts":1.5}\n', "zeek-dns"),
        *((objects([said(log)]), f"zeek-{log}") for log in ("dns", "http", "ssl")),
        (b'{"ts":1.5,"uid":"C1","trans_depth":1,"helo":"a"}\n', "zeek"),
        (b'{"_path":"dns","ts":1.5}\n{"_path":"conn","ts":1.5}\n', "zeek-conn"),
        (b'{"_path":"dns","ts":1.5}\n{"_path":"http","ts":1.5}\n', "zeek-conn"),
        (tables.ARGUS, "argus"),
        (tables.ARGUS.replace(b",", b"\t"), "argus"),
        (b"\xef\xbb\xbf" + tables.ARGUS, "argus"),
        (tables.NFDUMP_OLD, "nfdump-csv"),
        (tables.NFDUMP_NEW, "nfdump-csv"),
        (b"\x0c\xa5\x02\0" + bytes(100), "nfdump"),
        (tables.VPC, "vpc"),
        (tables.VPC.split(b"\n", 1)[1], "vpc"),
        (tables.VPC_OWN, "vpc"),
        (tables.AZURE, "azure"),
        (tables.NSG, "azure"),
        (tables.NETFLOW, "netflow-csv"),
        (tables.CIC, "cic"),
        (tables.OWN, ""),
        (tsv([tables.NOTICE], tables.NOTICE_FIELDS, path="notice"), "zeek-notice"),
        (objects([tables.NOTICE]), "zeek-notice"),
        (b"IPV4_SRC_ADDR,L4_SRC_PORT,IPV4_DST_ADDR,L4_DST_PORT\n", "table-netflow"),
        (b'{"records": [], "flows": 3}\n', ""),
        (craft.pcap([]), "pcap"),
        (craft.section(), "pcapng"),
        (b"StartTime,Dur,Proto,SrcAddr\n", ""),
        (b'{"name": "package"}\n', ""),
        (b"#!/bin/sh\n#path\n", ""),
        (b"", ""),
        (bytes(HEAD), ""),
    ],
)
def test_formats_are_known_by_their_first_bytes(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind


@pytest.mark.parametrize("data", [TEXT, JSON, EVE])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_every_form_gives_the_same_however_the_bytes_come(data: bytes, packed: bool, piece: int) -> None:
    flows, report = craft.read(gzip.compress(data) if packed else data, piece=piece)
    assert (len(flows), report.problems, report.complete) == (3, [], True)
    assert report.lines.read == data.count(b"\n")
    assert report.lines.adds_up
    assert report.format.endswith("+gzip") is packed
    assert report.is_log


def test_line_ends_of_either_kind_and_none_at_the_end() -> None:
    for data in (TEXT.replace(b"\n", b"\r\n"), JSON.replace(b"\n", b"\r\n"), JSON[:-1], EVE[:-1]):
        flows, report = craft.read(data)
        assert (len(flows), report.problems) == (3, [])


def test_a_log_promises_no_order() -> None:
    batches, _ = craft.read_batches(objects([conn(ts=50.0), conn(ts=10.0)]))
    assert [batch.watermark_ns for batch in batches][-1] == END_OF_TIME
    assert {batch.watermark_ns for batch in batches[:-1]} == {0}
    assert {batch.epoch for batch in batches} == {0}
    assert [int(flow["start_ns"]) // 10**9 for batch in batches for flow in batch.flows] == [50, 10]


@pytest.mark.parametrize("piece", [1000, 1 << 20])
@pytest.mark.parametrize("length", [lines.MOST + 1, 3 * lines.MOST + 5])
def test_a_line_that_is_too_long_is_one_malformed_line(length: int, piece: int) -> None:
    first, rest = JSON.split(b"\n", 1)
    data = first + b"\n" + b"x" * length + b"\n" + rest
    flows, report = craft.read(data, piece=piece)
    counts = report.lines
    assert (len(flows), counts.read, counts.flows, counts.malformed) == (3, 4, 3, 1)
    assert report.problems == [f"line 2, byte {len(first) + 1}: the line is longer than 1,048,576 bytes"]
    # At the end, without its end.
    _, report = craft.read(first + b"\n" + b"x" * length, piece=piece)
    assert (report.lines.flows, report.lines.malformed) == (1, 1)


def test_positions_are_those_of_the_lines(tmp_path: Path) -> None:
    bad, good = b"{bad}\n", objects([FLOW])
    data = good * 3000 + bad + good * 4000 + bad
    _, report = craft.read(data, piece=99_991)
    assert report.problems == [
        f"line 3001, byte {3000 * len(good)}: {report.problems[0].split(': ', 1)[1]}",
        f"line 7002, byte {7000 * len(good) + len(bad)}: {report.problems[1].split(': ', 1)[1]}",
    ]
    assert (report.lines.read, report.lines.flows, report.lines.malformed) == (7002, 7000, 2)


def test_only_the_first_problems_are_kept_and_all_are_counted() -> None:
    _, report = craft.read(objects([FLOW]) + b"{\n" * 500)
    assert (len(report.problems), report.problems_total, report.lines.malformed) == (20, 500, 500)


def test_a_cut_gzip_keeps_the_lines_before() -> None:
    rows = [conn(ts=float(at), orig_p=at % 60000, uid=os.urandom(30).hex()) for at in range(2000)]
    packed = gzip.compress(objects(rows))
    flows, report = craft.read(packed[: len(packed) // 2])
    assert 800 < len(flows) < 1200
    assert report.lines.malformed == 1  # the line that the cut goes through
    assert any("gzip stream is cut off" in problem for problem in report.problems)
    assert not report.complete


# Through the front door


@pytest.fixture
def write(tmp_path: Path) -> object:
    def write_file(data: bytes) -> Path:
        path = tmp_path / "some.log"
        path.write_bytes(data)
        return path

    return write_file


@pytest.mark.parametrize("data", [TEXT, JSON, EVE, gzip.compress(TEXT)])
def test_the_reading_process_says_the_same(data: bytes, write: object) -> None:
    with open_capture(write(data)) as reader:  # type: ignore[operator]
        batches = list(reader)
    flows, report = craft.read(data)
    assert b"".join(batch.flows.tobytes() for batch in batches) == flows.tobytes()
    assert (reader.report.lines, reader.report.format) == (report.lines, report.format)
    assert reader.report.complete
    alerts = [alert for batch in batches for alert in batch.alerts]
    assert len(alerts) == report.lines.alerts
    assert all(alert.sid == 2403388 for alert in alerts)


def test_many_alerts_cross_in_order(write: object) -> None:
    events = [dict(ALERT, src_port=at) for at in range(1000)]
    for event in events:
        longest = dict.fromkeys(("signature", "category", "action"), "\U0001f4a5" * 300)
        event["alert"] = {**ALERT["alert"], **longest}
    with open_capture(write(objects(events))) as reader:  # type: ignore[operator]
        ports = [alert.src_port for batch in reader for alert in batch.alerts]
    assert ports == list(range(1000))
    assert reader.report.problems == ["the log has no flows"]


def test_problems_of_any_text_reach_the_parent(write: object) -> None:
    hostile = conn(conn_state="\U000e0001" * 500, history="S" * 5000)
    with open_capture(write(objects([conn(), *[hostile] * 30]))) as reader:  # type: ignore[operator]
        assert sum(batch.flows.size for batch in reader) == 1
    assert (reader.report.lines.malformed, len(reader.report.problems)) == (30, 20)


def test_hostile_lines_do_not_fill_the_memory() -> None:
    """What is remembered of what was seen is bounded in bytes, too."""
    data = objects([conn(), *(conn(history="S" * (1_000_000 + at)) for at in range(60))])
    craft.read(data[: 8 << 20])
    before = craft.resident_bytes()
    flows, report = craft.read(data)
    assert (len(flows), report.problems) == (61, [])
    assert craft.resident_bytes() - before < 30 << 20  # of the 60 MB that were read


def test_a_log_without_connections_is_readable_and_noted(write: object) -> None:
    for data in (tsv([]), objects([{"event_type": "stats"}])):
        with open_capture(write(data)) as reader:  # type: ignore[operator]
            assert [batch.flows.size for batch in reader] == [0]
        assert reader.report.problems == ["the log has no flows"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            tsv([], path="x509"),
            "Zeek's x509.log is not read; of Zeek's logs conn, dhcp, dns, http, intel, notice, ",
        ),
        (b'{"ts":1.5,"uid":"C1"}\n', "this log of Zeek's is not read"),
        (b"StartTime,Dur\n" * 50, "53 74 61 72"),
        (tsv([conn(ts="x")]), "line 9, byte"),
        (b'{"event_type":"flow"}\n', "line 1, byte 0: flow is"),
    ],
)
def test_nothing_readable_is_an_error_with_file_and_place(data: bytes, text: str, write: object) -> None:
    path = write(data)  # type: ignore[operator]
    with pytest.raises(UnreadableError) as caught, open_capture(path) as reader:
        list(reader)
    assert str(caught.value).startswith(f"{path}: ")
    assert text in str(caught.value)


def test_a_killed_reader_of_a_log_keeps_what_was_read(write: object) -> None:
    path = write(objects([conn(orig_p=at % 60000) for at in range(1000)]) * 60)  # type: ignore[operator]
    with open_capture(path) as reader:
        batches = iter(reader)
        seen = len(next(batches).flows)
        os.kill(reader._reader._pid, signal.SIGKILL)
        with pytest.raises(InputError, match=r"after line \d+: .* ended unexpectedly"):
            seen += sum(len(batch.flows) for batch in batches)
    assert 0 < seen == reader.report.flows_read < 60_000


def test_a_folder_of_logs_is_surveyed_by_content(tmp_path: Path) -> None:
    (tmp_path / "zeek").mkdir()
    for name, data in (
        ("conn.log", TEXT),
        ("conn.02.log.gz", gzip.compress(JSON)),
        ("dns.log", tsv([], path="dns")),
        ("weird.log", tsv([], path="weird")),
        ("ssl.log.gz", gzip.compress(objects([{"ts": 1.5, "uid": "C1"}]))),
        ("eve.json", EVE),
        ("README.md", b"# Logs\n"),
        ("labels.csv", b"a,b\n"),
    ):
        (tmp_path / "zeek" / name).write_bytes(data)
    (tmp_path / "a.pcap").write_bytes(craft.pcap([(1, craft.frame4(craft.udp(5, 6), 17))]))
    found = survey([tmp_path])
    folder = tmp_path / "zeek"
    assert found.sources == [tmp_path / "a.pcap"] + [
        folder / name for name in ("eve.json", "conn.02.log.gz", "dns.log", "conn.log")
    ]
    assert found.beside == {folder / "dns.log"}
    assert [path.name for path, _ in found.unread] == ["ssl.log.gz", "weird.log"]
    assert found.unread[1][1].startswith("Zeek's weird.log is not read; of Zeek's logs conn, dhcp, dns, ")
    assert format_of(folder / "conn.02.log.gz") == "zeek-conn"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x509.log").write_bytes(tsv([], path="x509"))
    with pytest.raises(UnreadableError, match="no readable capture or log"):
        survey([tmp_path / "other"])


# What the parent believes


def told(**changes: object) -> bytes:
    report = SourceReport("", "eve", lines=LineCounts(read=3, flows=2, alerts=1), flows_read=2)
    alert = SignatureAlert(1, "s", "c", 1, 1, 2, 3, "allowed", "10.0.0.1", 5, "10.0.0.2", 6, 6)
    header, _ = encode(Message(report, 0, 0, [], False, (alert,)), unknown_flows(0))
    document = json.loads(header[8:])
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = document
        for step in steps:
            place = place[int(step) if step.isdigit() else step]
        place[last] = value
    return json.dumps(document).encode()


def test_an_honest_message_is_believed() -> None:
    message = decode_header(told(), "some.log")
    assert (message.report.lines.flows, message.report.path) == (2, "some.log")
    assert message.alerts[0].dst_ip == "10.0.0.2"


@pytest.mark.parametrize(
    "lie",
    [
        {"report__lines__read": 9},
        {"report__lines__flows": -1},
        {"report__lines": {"read": 0}},
        {"alerts": [{}]},
        {"alerts": "none"},
        {"alerts__0__time_ns": -1},
        {"alerts__0__sid": "2"},
        {"alerts__0__src_ip": "evil"},
        {"alerts__0__dst_port": 70000},
        {"alerts__0__signature": "x" * 5000},
        {"alerts__0__signature": 7},
        {"alerts__0__more": 1},
    ],
)
def test_a_lie_is_not(lie: dict[str, object]) -> None:
    with pytest.raises(Distrust):
        decode_header(told(**lie), "some.log")
    with pytest.raises(Distrust):
        decode_header(told(alerts=json.loads(told())["alerts"] * (MOST_ALERTS + 1)), "some.log")


def test_flows_of_a_log_may_leave_unknown_what_a_capture_must_know() -> None:
    flows = unknown_flows(1)
    flows["seq"] = flows["start_ns"] = flows["end_ns"] = 0
    flows["ip_version"] = 4
    check_flows(flows, logged=True)
    with pytest.raises(Distrust):
        check_flows(flows)
    flows["payload_out"] = -2
    with pytest.raises(Distrust):
        check_flows(flows, logged=True)
