"""Zeek's own findings as alerts: notice, signatures, intel, text and JSON."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from qwarden.formats import format_of, open_capture
from qwarden.formats.alerts import SignatureAlert

from . import craft, logs, tables
from .tables import NOTICE, NOTICE_FIELDS


def alerts(data: bytes) -> tuple[list[SignatureAlert], Any]:
    batches, report = craft.read_batches(data)
    return [alert for batch in batches for alert in batch.alerts], report


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_notice_is_an_alert(form: str) -> None:
    data = logs.tsv([NOTICE], NOTICE_FIELDS, path="notice") if form == "text" else logs.objects([NOTICE])
    [alert], report = alerts(gzip.compress(data))
    assert (report.format, report.problems, report.lines.alerts) == ("zeek-notice+gzip", [], 1)
    assert alert == SignatureAlert(
        time_ns=1601998373487779000,
        signature=f"Scan::Address_Scan: {NOTICE['msg']}",
        category="Zeek notice",
        severity=-1,
        gid=-1,
        sid=-1,
        rev=-1,
        action="",
        src_ip="147.32.83.156",
        src_port=-1,
        dst_ip="",
        dst_port=23,
        proto=6,
    )


def test_the_connection_names_the_ends_where_the_notice_does_not() -> None:
    record = {"ts": 5, "note": "SSL::Invalid_Server_Cert", "id.orig_h": "10.0.0.1", "id.orig_p": 5000} | {
        "id.resp_h": "10.0.0.2", "id.resp_p": 443, "msg": "x", "dropped": True
    }  # fmt: skip
    [alert], _ = alerts(logs.objects([record]))
    assert (alert.src_ip, alert.src_port, alert.dst_ip, alert.dst_port) == ("10.0.0.1", 5000, "10.0.0.2", 443)
    assert alert.action == "blocked"


def test_signatures_and_intelligence() -> None:
    fields = ("ts", "src_addr", "src_port", "dst_addr", "dst_port", "note", "sig_id", "event_msg")
    record = {"ts": 5.5, "src_addr": "10.0.0.1", "src_port": 1, "dst_addr": "10.0.0.2", "dst_port": 2} | {
        "note": "Signatures::Sensitive_Signature", "sig_id": "dpd_ssh", "event_msg": "an SSH\\x09banner"
    }  # fmt: skip
    [alert], report = alerts(logs.tsv([record], fields, path="signatures"))
    assert (alert.signature, alert.category, report.format) == (
        "dpd_ssh: an SSH?banner",
        "Zeek signatures",
        "zeek-signatures",
    )
    hit = {
        "_path": "intel",
        "ts": "2022-09-29T14:40:56Z",
        "id.orig_h": "10.0.0.1",
        "seen.indicator": "evil.example",
    }
    [alert], report = alerts(
        logs.objects([logs.conn(_path="conn"), {**hit, "seen.where": "DNS::IN_REQUEST"}])
    )
    assert (alert.signature, alert.src_ip) == ("evil.example: DNS::IN_REQUEST", "10.0.0.1")
    assert (report.lines.flows, report.lines.alerts) == (1, 1)  # of a combined stream


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ts": "never"}, "ts is 'never'; expected seconds since the epoch, milliseconds or a date and time"),
        ({"note": None}, "note is 'None'; expected a text"),
        ({"src": "10.0.0"}, "src is '10.0.0'; expected an address"),
        ({"p": 70000}, "p is '70000'; expected a port"),
    ],
)
def test_malformed_notices_are_named(changes: dict[str, Any], problem: str) -> None:
    found, report = alerts(logs.objects([NOTICE, {**NOTICE, **changes}, NOTICE]))
    assert problem in report.problems[0]
    assert report.problems[0].startswith("line 2, byte ")
    assert (len(found), report.lines.malformed) == (2, 1)


def test_through_the_front_door(tmp_path: Path) -> None:
    path = tmp_path / "notice.log"
    path.write_bytes(logs.tsv([NOTICE] * 100, tables.NOTICE_FIELDS, path="notice"))
    assert format_of(path) == "zeek-notice"
    with open_capture(path) as reader:
        assert sum(len(batch.alerts) for batch in reader) == 100
    assert reader.report.problems == []


@pytest.mark.data
def test_real_notices_are_all_read(data_dir: Path) -> None:
    path = data_dir / "slips-dataset" / "test9-mixed-zeek-dir" / "notice.log.gz"
    wanted = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    found, report = alerts(path.read_bytes())
    assert (report.problems, len(found)) == ([], len(wanted))
    for alert, record in zip(found, wanted, strict=True):
        assert alert.signature == f"{record['note']}: {record['msg']}"[:200]
        assert alert.src_ip == record["src"]
        assert abs(alert.time_ns - record["ts"] * 1e9) < 1000
    # A text one, of which a line lacks fields.
    found, report = alerts((path.parent.parent / "test10-mixed-zeek-dir" / "notice.log.gz").read_bytes())
    assert (len(found), report.problems) == (12, ["line 21, byte 3022: the line has 23 fields; expected 26"])
