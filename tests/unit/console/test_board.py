from __future__ import annotations

from pathlib import Path

import pytest

from qwarden.console import board as module
from qwarden.console.board import Account, Board, Reading
from qwarden.core.bus import Bus, open_bus
from qwarden.core.store import Store, open_store
from qwarden.detect import Drift
from qwarden.keys.overview import LinkState
from tests.unit.console.makers import alert, finding, key_block, link_alarm, source


@pytest.fixture
def bus(store: Store) -> Bus:
    return open_bus(store)


def opened(store: Store, bus: Bus) -> Board:
    board = Board(store)
    board.open(bus)
    return board


def test_it_begins_with_what_is_stored_and_goes_on_with_the_bus(store: Store, bus: Bus) -> None:
    first, second = finding(), finding(200.0)
    bus.publish(alert(first), first)
    board = opened(store, bus)
    assert [e.document["id"] for e in board.entries()] == [first.id]
    before = board.change
    bus.publish(alert(second))
    assert [e.document["id"] for e in board.entries()] == [second.id, first.id]  # the last one on top
    assert board.change > before


def test_an_alert_opens_a_finding_and_its_event_closes_it_in_place(store: Store, bus: Bus) -> None:
    board = opened(store, bus)
    grown, other = finding(), finding()
    bus.publish(alert(grown, flows=3))
    bus.publish(alert(other))
    assert [(e.document["flows"], e.closed) for e in board.entries()] == [(7, False), (3, False)]
    bus.publish(grown)
    assert [(e.document["flows"], e.closed) for e in board.entries()] == [(7, False), (7, True)]
    late = alert(grown, flows=3)
    bus.publish(late)
    assert board.entries()[1].closed


def test_what_other_processes_store_is_caught_up_with_once(store: Store, bus: Bus, tmp_path: Path) -> None:
    board = opened(store, bus)
    bus.publish(finding(), source())
    elsewhere = open_store(tmp_path)
    open_bus(elsewhere).publish(finding(severity="low"), source())
    elsewhere.close()
    assert len(board.entries()) == 1
    board.catch_up()
    change = board.change
    board.catch_up()
    assert board.change == change
    assert board.counts() == {"high": 1, "low": 1}
    assert [e.document["severity"] for e in board.entries(["low"])] == ["low"]
    assert board.source_count == 2
    assert board.account().read == 20


def test_accounts_add_up_over_sources_and_the_one_being_read(store: Store, bus: Bus) -> None:
    bus.publish(source("a.pcap", 10), source("b.pcap", 1000))
    board = opened(store, bus)
    board.watch.reading = Reading("c.pcap", lambda: Account(50, 30, 1, 2, 3, 14, packets_read=7))
    account = board.account()
    assert account == Account(1060, 1032, 5, 4, 5, 14, 207, 6, 2, 4)
    assert account.adds_up
    assert not Account(read=5, scored=4).adds_up


def test_a_source_counts_once_when_it_is_finished(store: Store, bus: Bus) -> None:
    board = opened(store, bus)
    board.watch.reading = Reading("a.pcap", lambda: Account(10, 6, 2, 1, 1))
    assert board.account().read == 10
    bus.publish(source("a.pcap", 10))
    assert board.watch.reading is None
    assert board.account().read == 10


def test_it_holds_no_more_than_it_may(store: Store, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FINDINGS", 5)
    board = opened(store, bus)
    events = [finding(float(at)) for at in range(12)]
    bus.publish(*events)
    assert [e.document["id"] for e in board.entries()] == [e.id for e in reversed(events[-5:])]


def test_after_a_restart_it_shows_the_same(store: Store, bus: Bus) -> None:
    still_open, done = finding(), finding()
    bus.publish(alert(still_open), alert(done), done, source())
    first, second = opened(store, bus), opened(store, open_bus(store))
    assert [(e.document, e.closed) for e in first.entries()] == [
        (e.document, e.closed) for e in second.entries()
    ]
    assert first.account() == second.account()


def test_the_latest_drift_is_kept(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    board = Board(store)

    def drift(at: float, level: str) -> Drift:
        return Drift(
            time=at, source="x", start=0.0, flows=600, score_psi=0.3, population_psi=0.1,
            level=level, features={"duration_s": 0.4}, model="m 1",  # type: ignore[arg-type]
        )  # fmt: skip

    for event in (drift(10.0, "none"), drift(20.0, "major"), drift(15.0, "moderate")):
        board.take(event)
    assert board.drift is not None
    assert (board.drift.time, board.drift.level) == (20.0, "major")
    store.close()


def test_links_show_their_blocks_and_whether_the_last_one_alarmed(store: Store, bus: Bus) -> None:
    bus.publish(key_block(block="1"), key_block("c-d", block="2"))
    board = opened(store, bus)
    assert [(link.name, len(link.blocks), link.alarmed) for link in board.links()] == [
        ("a-b", 1, False), ("c-d", 1, False),
    ]  # fmt: skip
    before = board.key_change
    alarm = link_alarm(block="3")
    bus.publish(alarm, key_block(block="3", accepted=False))
    assert board.key_change == before + 2
    assert [link.alarmed for link in board.links()] == [True, False]
    assert board.alarms() == [alarm]
    bus.publish(key_block(block="4"))
    assert not board.links()[0].alarmed
    assert [block.block for block in board.links()[0].blocks] == ["1", "3", "4"]
    board.catch_up()
    assert len(board.links()[0].blocks) == 3


def test_what_a_home_holds_of_its_links_is_looked_at(store: Store, bus: Bus) -> None:
    states = [LinkState(link="a-b", keys=12, tags=7), LinkState(link="elsewhere", keys=1)]
    board = Board(store, key_states=lambda: states)
    board.open(bus)
    board.look_at_keys()
    assert board.links() == []  # no key was ever exchanged: nobody is asked
    bus.publish(key_block())
    board.look_at_keys()
    assert [link.state for link in board.links()] == states[:1]
    before = board.key_change
    board.look_at_keys()
    assert board.key_change == before
    states[0] = LinkState(link="a-b", keys=11, tags=7)
    board.look_at_keys()
    assert board.key_change == before + 1
