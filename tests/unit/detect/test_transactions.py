"""What was said within flows, joined to them by name, within bounds."""

from __future__ import annotations

import pytest

from qwarden.detect import transactions
from qwarden.detect.transactions import MOST_OF_A_FLOW, TransactionBook
from qwarden.formats.captures import FlowBatch
from qwarden.formats.flows import Flows, unknown_flows
from qwarden.formats.transactions import Transaction


def said(flow_id: str, query: str = "a.example") -> Transaction:
    return Transaction(flow_id, "dns", (("query", query), ("type", "A")))


def flows(*numbers: int) -> Flows:
    made = unknown_flows(len(numbers))
    made["seq"] = numbers
    return made


def batch(*told: Transaction, **named: int) -> FlowBatch:
    """What was said, then the flows: their names, and their numbers."""
    return FlowBatch(flows(*named.values()), 0, 0, (), tuple(named), told)


def test_what_was_said_waits_for_its_flow_and_is_given_once() -> None:
    book = TransactionBook()
    book.heard(batch(said("C1"), said("C2", "b.example"), said("C1", "c.example")))
    assert book.take(flows(0, 1)) == {}
    book.heard(batch(C2=0, C9=1, C1=2))
    assert book.take(flows(2, 1)) == {2: [said("C1").said, said("C1", "c.example").said]}
    assert book.take(flows(0, 2)) == {0: [said("C2", "b.example").said]}
    book.heard(batch(C1=3))
    assert book.take(flows(3)) == {}
    assert book.reckon() == 0


def test_in_one_batch_what_was_said_is_joined_too() -> None:
    book = TransactionBook()
    book.heard(batch(said("7"), **{"7": 0}))
    assert book.take(flows(0)) == {0: [said("7").said]}


def test_another_source_has_numbers_of_its_own() -> None:
    book = TransactionBook()
    book.heard(batch(said("C1"), said("C2"), C1=0))
    book.begin()
    assert book.take(flows(0)) == {}
    book.heard(batch(C2=0))
    assert book.take(flows(0)) == {0: [said("C2").said]}


def test_of_one_flow_the_first_that_differ_are_kept() -> None:
    book = TransactionBook()
    for at in range(3 * MOST_OF_A_FLOW):
        book.heard(batch(said("C1", f"{at}.example"), said("C1", "0.example")))
    book.heard(batch(C1=0))
    assert book.take(flows(0))[0] == [said("C1", f"{at}.example").said for at in range(MOST_OF_A_FLOW)]


def test_the_flow_that_was_heard_of_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "MOST_FLOWS", 10)
    book = TransactionBook()
    book.heard(batch(*(said(f"C{at}") for at in range(14))))
    assert (book.reckon(), book.reckon()) == (4, 0)
    book.heard(batch(**{f"C{at}": at for at in range(14)}))
    assert sorted(book.take(flows(*range(14)))) == list(range(4, 14))


def test_the_text_that_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "MOST_TEXT", 1000)
    book = TransactionBook()
    for at in range(100):
        book.heard(batch(said(f"C{at}", f"{at:02}" + "a" * 80)))
        assert book._waiting.size == sum(map(len, book._waiting._texts.values())) <= 1000
    kept = len(book._waiting)
    assert book.reckon() == 100 - kept
    book.heard(batch(**{f"C{at}": at for at in range(100)}))
    assert len(book.take(flows(*range(100)))) == kept
    assert (book._waiting.size, book._joined_size) == (0, 0)
    # What waits to be scored is bounded as well.
    for at in range(100):
        book.heard(batch(said(f"D{at}", "a" * 80), **{f"D{at}": at}))
        assert book._joined_size == sum(map(len, book._joined.values())) <= 1000


def test_what_an_alert_speaks_of_is_kept_beside_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    book = TransactionBook()
    book.heard(batch(said("C1")))
    for name in ("C1", "C2", ""):
        book.want(name)
    book.heard(batch(said("C1", "b.example"), said("C2"), said("C3"), C1=0, C2=1))
    assert book.wanted(["C1", "C2", "C3", "", "C9"]) == {said("C1").said: 2, said("C1", "b.example").said: 1}
    assert len(book.take(flows(0, 1))) == 2
    book.want("C1")  # a second alert forgets nothing
    assert sum(book.wanted(["C1"]).values()) == 2
    monkeypatch.setattr(transactions, "MOST_WANTED", 2)
    book = TransactionBook()
    for at in range(5):
        book.want(f"C{at}")
    book.heard(batch(*(said(f"C{at}") for at in range(5))))
    assert [bool(book.wanted([f"C{at}"])) for at in range(5)] == [False, False, False, True, True]
