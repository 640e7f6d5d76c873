"""What protocols said within flows, as Zeek and Suricata log it: read, bounded, and of which flow."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from qwarden.formats import open_capture, survey
from qwarden.formats.accounting import LineCounts, SourceReport
from qwarden.formats.flows import unknown_flows
from qwarden.formats.sandbox.wire import Distrust, Message, decode_header, encode
from qwarden.formats.transactions import FIELDS, LONGEST, Transaction

from . import craft, logs
from .logs import CONNECTION, EVE_SAID, SAID_FIELDS, conn, objects, said, tsv

UID = CONNECTION["uid"]
JA3 = "00112233445566778899aabbccddeeff"

WANTED = {
    "dns": {"query": "a.example", "type": "A", "rcode": "NOERROR", "answers": "b.example,192.0.2.1"},
    "http": {"method": "GET", "host": "evil.example", "uri": "/a", "user_agent": "agent", "status": "200"},
    "ssl": {
        "sni": "evil.example", "version": "TLSv12", "ja3": JA3, "validation": "self signed certificate",
    },
}  # fmt: skip


def transactions(data: bytes) -> tuple[list[Transaction], SourceReport]:
    batches, report = craft.read_batches(data)
    assert report.lines.adds_up
    return [said for batch in batches for said in batch.transactions], report


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["text", "json", "combined"])
@pytest.mark.parametrize("log", WANTED)
def test_zeek_tells_what_was_said_within_a_connection(log: str, form: str, packed: bool) -> None:
    made = {
        "text": tsv([said(log)], SAID_FIELDS[log], path=log),
        "json": objects([said(log)]),
        "combined": objects([said(log, _path=log), conn(_path="conn")]),
    }[form]
    [found], report = transactions(gzip.compress(made) if packed else made)
    assert (found.flow_id, found.protocol) == (UID, "tls" if log == "ssl" else log)
    assert dict(found.values) == WANTED[log]
    assert (report.problems, report.lines.other) == ([], 1)
    assert report.lines.flows == (form == "combined")
    assert report.format.removesuffix("+gzip") == ("zeek-conn" if form == "combined" else f"zeek-{log}")


def test_suricata_tells_it_in_every_form_of_the_event() -> None:
    found, report = transactions(objects([*EVE_SAID, logs.FLOW]))
    assert {transaction.flow_id for transaction in found} == {str(logs.FLOW["flow_id"])}
    asked, answered = {"query": "a.example", "type": "A"}, {"answers": "192.0.2.1"}
    whole = asked | {"rcode": "NOERROR"} | answered
    assert [dict(transaction.values) for transaction in found] == [
        asked, asked | answered, whole, whole, whole, WANTED["http"],
        {"sni": "evil.example", "version": "TLS 1.2", "ja3": JA3},
    ]  # fmt: skip
    assert (report.problems, report.lines.flows, report.lines.other) == ([], 1, len(EVE_SAID))


@pytest.mark.parametrize(
    "record",
    [
        said("dns", uid=None),
        said("dns", uid="C1\n2"),
        said("dns", uid="C" * 33),
        said("dns", uid=["C1"]),
        said("dns", query=None, qtype_name=5000, rcode_name={}, answers=[1, None]),
    ],
)
def test_what_names_no_flow_or_says_nothing_is_of_another_kind(record: dict[str, Any]) -> None:
    found, report = transactions(objects([said("dns"), record]))
    assert len(found) == 1
    assert (report.problems, report.lines.other) == ([], 2)


def test_nothing_said_is_long_or_reaches_a_terminal_unseen() -> None:
    hostile = "\x1b[2J\u202e\n" + "A" * 10_000
    record = said("http", host=hostile, uri=hostile, user_agent=hostile, status_code="200\x1b")
    escaped = tsv([said("http", host="\\x1b[31m", user_agent="(empty)")], SAID_FIELDS["http"], path="http")
    [_, one], _ = transactions(objects([said("http"), record]))
    [other], _ = transactions(escaped)
    for name, text in (*one.values, *other.values):
        assert len(text) <= LONGEST, name
        assert text.isprintable(), name
    assert "status" not in dict(one.values)
    assert dict(other.values)["host"] == "?[31m"
    assert "user_agent" not in dict(other.values)
    answers = [f"{at}.example" for at in range(50_000)]
    [_, many], _ = transactions(objects([said("dns"), said("dns", answers=answers)]))
    assert len(dict(many.values)["answers"]) <= LONGEST


def test_flows_are_named_across_batches_and_forms(tmp_path: Path) -> None:
    rows = [conn(uid=f"C{at}" if at % 3 else None, orig_p=at % 60000) for at in range(10_000)]
    for data in (tsv(rows), objects(rows)):
        path = tmp_path / "conn.log"
        path.write_bytes(data)
        with open_capture(path) as reader:
            batches = [batch for batch in reader if batch.flows.size]
        assert len(batches) >= 3
        names = [name for batch in batches for name in batch.flow_ids]
        assert names == [row.get("uid", "") for row in rows]
        ports = [port for batch in batches for port in batch.flows["src_port"].tolist()]
        assert ports == [row["id.orig_p"] for row in rows]


def test_suricata_names_its_flows_by_number() -> None:
    events = [logs.changed(logs.FLOW, flow_id=at) for at in (5, 1 << 62, -1)] + [{"event_type": "stats"}]
    batches, _ = craft.read_batches(objects(events))
    assert [batch.flow_ids for batch in batches if batch.flows.size] == [("5", str(1 << 62), "")]


def test_a_log_without_names_has_none(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(tsv([conn()] * 3, [name for name in logs.FIELDS if name != "uid"]))
    with open_capture(path) as reader:
        assert {batch.flow_ids for batch in reader} == {()}
    assert reader.report.flows_read == 3


def test_many_of_the_longest_cross_to_the_parent_in_order(tmp_path: Path) -> None:
    longest = dict.fromkeys(("method", "host", "uri", "user_agent"), "\U0001f4a5" * 300)
    path = tmp_path / "http.log"
    path.write_bytes(objects([said("http", uid=f"C{at}", **longest) for at in range(1000)]))
    with open_capture(path) as reader:
        found = [transaction for batch in reader for transaction in batch.transactions]
    assert [transaction.flow_id for transaction in found] == [f"C{at}" for at in range(1000)]
    assert reader.report.problems == []  # that it has no flows is no problem


# What the parent believes


def header(transaction: dict[str, Any], **changes: Any) -> bytes:
    report = SourceReport("", "eve", lines=LineCounts(read=1, other=1))
    good = Transaction("C1", "dns", (("query", "a.example"),))
    told, _ = encode(Message(report, 0, 0, [], False, (), "", (good,)), unknown_flows(0))
    document = json.loads(told[8:])
    document["transactions"][0] |= transaction
    return json.dumps(document | changes).encode()


def test_an_honest_message_is_believed() -> None:
    message = decode_header(header({}), "x")
    assert [asdict(transaction) for transaction in message.transactions] == [
        {"flow_id": "C1", "protocol": "dns", "values": (("query", "a.example"),)}
    ]


@pytest.mark.parametrize(
    ("transaction", "changes"),
    [
        ({"protocol": "smtp"}, {}),
        ({"values": []}, {}),
        ({"values": [["query", 5]]}, {}),
        ({"values": [["query"]]}, {}),
        ({"values": [["type", "A"], ["query", "a"]]}, {}),  # not in their order
        ({"values": [["query", "a" * 301]]}, {}),
        ({"protocol": "http", "values": [["status", "many"]]}, {}),
        ({"flow_id": "C 1"}, {}),
        ({"flow_id": None}, {}),
        ({"more": 1}, {}),
        ({}, {"flow_ids": "C1\n\x1b"}),
        ({}, {"flow_ids": ["C1"]}),
        ({}, {"transactions": [{}] * 65}),
    ],
)
def test_what_cannot_be_is_distrusted(transaction: dict[str, Any], changes: dict[str, Any]) -> None:
    with pytest.raises(Distrust):
        decode_header(header(transaction, **changes), "x")


# In what order they are read


def test_what_was_said_in_a_period_is_read_before_its_flows(tmp_path: Path) -> None:
    for hour in ("00:00:00-01:00:00", "01:00:00-02:00:00"):
        for log, data in (("conn", tsv([conn()])), *((log, objects([said(log)])) for log in SAID_FIELDS)):
            (tmp_path / f"{log}.{hour}.log.gz").write_bytes(gzip.compress(data))
    found = survey([tmp_path])
    assert [path.name.split(":")[0] for path in found.sources] == [
        f"{log}.{hour}" for hour in ("00", "01") for log in ("dns", "http", "ssl", "conn")
    ]
    named = survey([tmp_path / "conn.00:00:00-01:00:00.log.gz", tmp_path / "dns.01:00:00-02:00:00.log.gz"])
    assert [path.name[:4] for path in named.sources] == ["dns.", "conn"]
    assert {path.name.split(".")[0] for path in found.beside} == set(SAID_FIELDS)


# Real logs, held against what json finds in them by the uid


@pytest.mark.data
def test_what_real_logs_say_is_said_of_their_connections(data_dir: Path) -> None:
    folder = data_dir / "slips-dataset" / "test9-mixed-zeek-dir"

    def records(log: str) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in gzip.decompress((folder / f"{log}.log.gz").read_bytes()).split(b"\n")
            if line
        ]

    for log, field, name in (
        ("dns", "query", "query"),
        ("http", "host", "host"),
        ("ssl", "server_name", "sni"),
    ):
        found, report = transactions((folder / f"{log}.log.gz").read_bytes())
        assert report.problems == []
        got = [(one.flow_id, dict(one.values).get(name)) for one in found]
        assert got == [(record["uid"], record.get(field)) for record in records(log)]
    with open_capture(folder / "conn.log.gz") as reader:
        names = [name for batch in reader for name in batch.flow_ids]
    assert names == [record["uid"] for record in records("conn")]


def test_every_field_has_a_place_in_words() -> None:
    from qwarden.formats.transactions import transaction_text

    for protocol, fields in FIELDS.items():
        told = {"protocol": protocol, "flows": 1, **{name: f"<{name}>" for name in fields}}
        assert all(f"<{name}>" in transaction_text(told) for name in fields)
