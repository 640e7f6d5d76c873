"""Findings that other detectors told: one a host and sort of alert, named after the gravest signature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qwarden.core.events import Event
from qwarden.core.lists import IGNORE, Lists, Scope
from qwarden.core.store import open_store
from qwarden.detect import reported
from qwarden.detect.enrichment import Enricher
from qwarden.detect.reported import REPORTED, ReportedBook, raises, reported_kind
from qwarden.detect.transactions import TransactionBook
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.captures import FlowBatch
from qwarden.formats.flows import unknown_flows
from qwarden.formats.transactions import Transaction


def alert(
    name: str = "ET X",
    severity: int = 2,
    at_s: float = 100.0,
    dst: str = "192.0.2.1",
    category: str = "Web",
    src: str = "10.0.0.1",
) -> SignatureAlert:
    return SignatureAlert(
        int(at_s * 1e9), name, category, severity, 1, 2, 3, "allowed", src, 1024, dst, 80, 6
    )


def new_book(lists: Lists | None = None) -> ReportedBook:
    return ReportedBook(
        "eve.json",
        lists or Lists(),
        lambda *_: {"reported": ["x"], "assets": {"10.0.0.1": {}}},
        TransactionBook(),
    )


def test_two_hosts_are_one_finding_named_after_the_gravest() -> None:
    book = new_book()
    opened = book.add(alert("ET low", 2, at_s=100))
    assert opened is not None
    assert book.add(alert("ET high", 1, at_s=50)) is None
    assert book.add(alert("ET high", 1, at_s=150)) is None
    (finding,) = book.close()
    assert finding.id == opened.finding_id
    assert (finding.explanation["title"], finding.severity) == ("ET high", "high")
    assert "3 alerts and 1 other signature;" in finding.explanation["text"]
    assert (finding.start, finding.end, finding.threat_score) == (50.0, 150.0, 0.0)
    assert "reported" not in finding.context
    assert Event.from_json(finding.to_json()) == finding
    assert Event.from_json(opened.to_json()) == opened
    assert book.close() == []


def test_a_blocklist_that_knocks_at_one_door_is_one_finding() -> None:
    book = new_book()
    for at in range(300):
        told = alert(f"ET CINS Poor Reputation IP group {at % 90}", src=f"198.51.{at // 250}.{at % 250}")
        assert (book.add(told) is not None) is (at == 0)
    assert book.add(alert("ET SCAN Suspicious inbound", src="198.51.0.7")) is not None
    listed, scan = book.close()
    assert (listed.sources, listed.destinations, listed.dst_ip) == (256, 1, "192.0.2.1")
    assert "300 alerts and 89 other signatures from 256 or more sources;" in listed.explanation["text"]
    assert (listed.dst_port, listed.port_share) == (80, 1.0)
    assert (scan.sources, scan.src_ip, scan.explanation["told"]) == (1, "198.51.0.7", "Web")


def test_one_host_that_knocks_at_many_doors_is_one_finding_and_chains_are_not() -> None:
    book = new_book()
    opened = [book.add(alert(dst=f"192.0.2.{at}")) is not None for at in range(1, 5)]
    # Another host at one of these doors is not the first one's doing; nor are both one finding.
    opened.append(book.add(alert(dst="192.0.2.3", src="10.0.0.2")) is not None)
    opened.append(book.add(alert(dst="192.0.2.3", src="10.0.0.3")) is not None)
    opened.append(book.add(alert(dst="192.0.2.9", src="10.0.0.3")) is not None)
    assert opened == [True, False, False, False, True, False, True]
    assert [(f.sources, f.destinations) for f in book.close()] == [(1, 4), (2, 1), (1, 1)]


@pytest.mark.parametrize("first", [REPORTED, reported_kind("Web")])
def test_an_exception_holds_back_what_would_join_a_finding(tmp_path: Path, first: str) -> None:
    lists = Lists(open_store(tmp_path))
    lists.add(IGNORE, Scope(source="10.0.0.2", kind=first), reason="test", author="ada")
    book = new_book(lists)
    assert book.add(alert()) is not None
    assert book.add(alert(src="10.0.0.2")) is None
    assert book.suppressed == 1
    book.add(alert(src="10.0.0.2", category="Trojan"))
    assert book.suppressed == (2 if first == REPORTED else 1)
    assert book.close()[0].sources == 1


@pytest.mark.parametrize(
    ("told", "does"),
    [
        (alert(severity=1), True), (alert(severity=2), True), (alert(severity=3), False),
        (alert(severity=-1), False),
        (alert("Scan::Port_Scan: 10.0.0.1 scanned", -1, category="Zeek notice"), True),
        (alert("SSL::Invalid_Server_Cert: x", -1, category="Zeek notice"), False),
        (alert("192.0.2.1: Conn::IN_RESP", -1, category="Zeek intel"), True),
    ],
)  # fmt: skip
def test_what_is_worth_a_finding(told: SignatureAlert, does: bool) -> None:
    assert raises(told) is does
    assert (new_book().add(told) is not None) is does


def test_the_same_alerts_are_the_same_finding() -> None:
    ids = set()
    for _ in range(2):
        book = new_book()
        opened = book.add(alert())
        assert opened is not None
        ids.add((opened.id, book.close()[0].id))
    assert len(ids) == 1


def test_exceptions_hold_back_and_too_many_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_store = Lists(open_store(tmp_path))
    with_store.add(IGNORE, Scope(destination="192.0.2.1", kind="reported"), reason="test", author="ada")
    book = new_book(with_store)
    assert book.add(alert()) is None
    assert book.suppressed == 1
    monkeypatch.setattr(reported, "MOST", 2)
    book = new_book()
    told = [alert(src=f"10.0.0.{at}", dst=f"192.0.2.{at}") for at in range(4)]
    assert [book.add(each) is not None for each in told] == [True, True, False, False]
    assert book.beyond == 2


def test_what_was_said_within_the_flow_of_an_alert_stands_with_the_finding() -> None:
    enricher = Enricher()
    book = ReportedBook("eve.json", Lists(), enricher.context, enricher.transactions)
    assert book.add(replace(alert(), flow_id="77")) is not None
    told = [Transaction(id, "http", (("host", f"{id}.example"),)) for id in ("77", "78")]
    enricher.transactions.heard(FlowBatch(unknown_flows(0), 0, 0, (), (), tuple(told)))
    (finding,) = book.close()
    assert finding.context["transactions"] == [{"protocol": "http", "host": "77.example", "flows": 1}]
