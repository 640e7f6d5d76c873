from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np

from qwarden.core.events import Event
from qwarden.detect.behaviours import KINDS
from qwarden.detect.evidence import Evidence
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.feedback.verdicts import narrowest_scope
from qwarden.detect.findings import QUIET_S, FindingBook
from qwarden.detect.model import Scores
from qwarden.detect.scored import Scored
from qwarden.formats.flows import Flows

from .flow_maker import SECOND, T0, failed_syn, in_order


def explained(row: np.ndarray, finding: Any) -> dict[str, Any]:
    return {"title": finding.behaviour.title, "margin": float(row[0])}


def derived(flow: Flows, row: np.ndarray, behaviour: int, early: bool, hiding: bool) -> Evidence:
    return Evidence(flow, row, behaviour, "test 1", 0.01, 0.99, float(row[0]), 0.5)


def new_book(salt: str = "test 1") -> FindingBook:
    return FindingBook(salt, explained, derived)


def add(book: FindingBook, flows: Flows, kind: str = "scan_horizontal", early: bool = False) -> list[Any]:
    n = len(flows)
    rows = np.zeros((n, len(FEATURE_NAMES)))
    rows[:, 0] = np.arange(n)
    scores = Scores(np.full(n, 0.01), np.full(n, 0.99), np.arange(n, dtype=float), np.full(n, 0.5))
    named = np.full(n, KINDS.index(kind))
    return book.add(Scored("x.pcap", 0, flows, rows, named, scores, np.ones(n, bool), early), flows["end_ns"])


def scan(hosts: range, src: str = "10.0.0.5", at_s: float = 0.0) -> Flows:
    return in_order(*[failed_syn(src=src, dst=f"10.0.1.{h}", port=445, at_s=at_s + h) for h in hosts])


def test_a_scan_is_one_finding_and_one_alert() -> None:
    book = new_book()
    assert len(add(book, scan(range(1, 21)))) == 1
    assert add(book, scan(range(21, 61))) == []
    (finding,) = book.close()
    assert (finding.flows, finding.destinations, finding.sources, finding.ports) == (60, 60, 1, 1)
    assert (finding.src_ip, finding.dst_port, finding.proto) == ("10.0.0.5", 445, "tcp")
    assert finding.start == T0 / SECOND + 1


def test_what_is_made_of_many_is_not_raised_by_few() -> None:
    book = new_book()
    assert add(book, scan(range(1, 3))) == []
    assert book.close() == []
    assert add(book, scan(range(1, 3))) == []
    assert len(add(book, scan(range(3, 5)))) == 1
    (finding,) = book.close()
    assert finding.flows == 4


def test_two_sources_are_two_findings() -> None:
    book = new_book()
    add(book, scan(range(1, 9)))
    add(book, scan(range(1, 9), src="10.0.0.6"))
    assert {f.src_ip for f in book.close()} == {"10.0.0.5", "10.0.0.6"}


def test_the_explained_flow_is_the_most_alarming_one() -> None:
    book = new_book()
    add(book, scan(range(1, 21)))
    (finding,) = book.close()
    assert finding.explanation["margin"] == 19.0


def test_a_cause_that_fell_quiet_closes_and_opens_anew() -> None:
    book = new_book()
    add(book, scan(range(1, 9)))
    later = scan(range(1, 9), at_s=QUIET_S + 100)
    (closed,) = book.close(int(later["end_ns"][0]))
    assert len(add(book, later)) == 1
    (second,) = book.close()
    assert closed.id != second.id


def test_the_alert_carries_the_id_of_its_finding() -> None:
    book = new_book()
    (alert,) = add(book, scan(range(1, 9)))
    (finding,) = book.close()
    assert alert.finding_id == finding.id == alert.finding["id"]


def test_the_same_flows_are_the_same_finding_and_others_are_not() -> None:
    ids = []
    for salt, flows in (("m 1", scan(range(1, 9))), ("m 1", scan(range(1, 9))), ("m 2", scan(range(1, 9))),
                        ("m 1", scan(range(1, 9), at_s=1e-3))):  # fmt: skip
        book = new_book(salt)
        (alert,) = add(book, flows)
        (finding,) = book.close()
        ids.append((finding.id, alert.id))
        assert finding.id != alert.id
        assert UUID(finding.id).version == 7
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_findings_survive_storage() -> None:
    book = new_book()
    (alert,) = add(book, scan(range(1, 9)))
    (finding,) = book.close()
    assert Event.from_json(finding.to_json()) == finding
    assert Event.from_json(alert.to_json()) == alert


def test_what_a_finding_remembers_is_bounded() -> None:
    book = new_book()
    for block in range(8):
        flows = in_order(*[failed_syn(dst=f"10.{block}.{h}.1", port=445) for h in range(200)])
        add(book, flows)
    (finding,) = book.close()
    assert finding.flows == 1600
    assert finding.destinations == 256


def test_a_reply_among_the_flows_does_not_widen_the_port() -> None:
    book = new_book()
    add(book, scan(range(1, 40)))
    add(book, in_order(failed_syn(src="10.0.0.5", dst="10.0.1.50", port=51_000, at_s=50)))
    (finding,) = book.close()
    assert (finding.ports, finding.dst_port, finding.port_share) == (2, 445, 0.975)
    assert str(narrowest_scope(finding.document())) == "source 10.0.0.5/32, port 445, kind scan_horizontal"


def test_two_ports_are_not_one() -> None:
    book = new_book()
    add(book, scan(range(1, 40)))
    add(book, in_order(*[failed_syn(src="10.0.0.5", dst=f"10.0.1.{h}", port=81) for h in range(50, 80)]))
    (finding,) = book.close()
    assert (finding.dst_port, finding.port_share) == (445, round(39 / 69, 4))
    assert str(narrowest_scope(finding.document())) == "source 10.0.0.5/32, kind scan_horizontal"


def test_an_exception_from_another_detectors_finding_is_of_its_sort_alone() -> None:
    finding = {
        "kind": "reported", "sources": 40, "src_ip": "192.0.2.1", "destinations": 1, "dst_ip": "10.0.0.1",
        "dst_port": None, "ports": 9, "explanation": {"told": "ET CINS Poor Reputation IP"},
    }  # fmt: skip
    scope = "destination 10.0.0.1/32, kind reported: ET CINS Poor Reputation IP"
    assert str(narrowest_scope(finding)) == scope
