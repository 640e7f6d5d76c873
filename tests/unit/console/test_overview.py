"""What the first page says of drift: the worst source of the last day of traffic, by its name."""

from __future__ import annotations

from qwarden.console.board import Board
from qwarden.console.pages.overview import drift_text, recent_drifts
from qwarden.core.bus import open_bus
from qwarden.core.store import Store
from qwarden.detect import Drift

DAY = 86_400.0


def drift(source: str, at: float, psi: float) -> Drift:
    return Drift(
        time=at, source=source, start=at - 3600, flows=600, score_psi=psi, population_psi=0.1,
        level="major" if psi >= 0.25 else "moderate" if psi >= 0.1 else "none",
        features={"duration_s": 0.4}, model="m 1",
    )  # fmt: skip


def opened(store: Store, *events: Drift) -> Board:
    bus = open_bus(store)
    board = Board(store)
    board.open(bus)
    bus.publish(*events)
    return board


def test_the_worst_source_of_the_last_day_is_told_not_the_latest(store: Store) -> None:
    board = opened(
        store,
        drift("/var/calm.pcap", 10 * DAY, 0.02),
        drift("/var/bad.pcap", 9.5 * DAY, 0.9),
        drift("/var/fair.pcap", 9.8 * DAY, 0.15),
        drift("/var/old.pcap", 8.5 * DAY, 3.0),
    )
    found = recent_drifts(board)
    assert [d.source for d in found] == ["/var/bad.pcap", "/var/fair.pcap", "/var/calm.pcap"]
    said = drift_text(found)
    assert said.startswith("Scores are far from those at calibration")
    assert "0.90 over 600 flows of bad.pcap, the worst of 3 sources, until 1970-01-10 12:00:00 UTC" in said


def test_of_one_source_its_newest_span_counts(store: Store) -> None:
    board = opened(store, drift("live", 5 * DAY, 0.9), drift("live", 5 * DAY + 3600, 0.05))
    (found,) = recent_drifts(board)
    assert found.score_psi == 0.05
    assert drift_text([found]).startswith("Traffic scores as at calibration. Stability index 0.05 over")
    assert "worst" not in drift_text([found])


def test_without_a_comparison_nothing_is_said(store: Store) -> None:
    assert drift_text(recent_drifts(opened(store))) == ""
