"""The early lane: what a flow looks like while it runs, and when that could be told."""

from __future__ import annotations

import numpy as np

from qwarden.detect import early
from qwarden.detect.early import EarlyLane
from qwarden.detect.features import FEATURE_NAMES, FLOW_NAMES, FeatureExtractor
from qwarden.formats.flows import END_IDLE, NOT_YET_AGAIN, NOT_YET_FIRST, Flows

from .flow_maker import SECOND, T0, failed_syn, in_order

AGES = (2.0, 30.0)
WIDE = len(FLOW_NAMES)


def reports(*flows: Flows, first: bool = True) -> Flows:
    found = in_order(*flows)
    found["seq"] = np.arange(found.size)
    found["end_reason"] = NOT_YET_FIRST if first else NOT_YET_AGAIN
    return found


def test_a_first_report_enters_the_windows_once() -> None:
    lane = EarlyLane(AGES)
    probes = reports(*[failed_syn(dst=f"10.0.1.{h}", port=445, at_s=h) for h in range(1, 31)])
    flows, rows, moments = lane.rows(probes)
    assert flows.size == 30
    peers = rows[:, FEATURE_NAMES.index("fan_peers_300s")]
    assert peers.tolist() == list(range(1, 31))
    # A probe without an answer is told of when it has come to the first age.
    assert moments.tolist() == [T0 + h * SECOND + 2 * SECOND for h in range(1, 31)]
    # The same rows as those of ended flows that end at these moments, but for their own columns.
    ended = probes.copy()
    ended["end_ns"] = moments
    assert np.array_equal(rows[:, WIDE:], FeatureExtractor().rows(ended)[:, WIDE:], equal_nan=True)
    assert np.array_equal(rows[:, :WIDE], FeatureExtractor().rows(probes)[:, :WIDE], equal_nan=True)


def test_a_later_report_keeps_the_context_of_the_first() -> None:
    lane = EarlyLane(AGES)
    _, before, _ = lane.rows(reports(failed_syn(port=445)))
    again = reports(failed_syn(port=445), first=False)
    again["packets_out"] += 7
    flows, rows, moments = lane.rows(again)
    assert flows.size == 1
    assert np.array_equal(rows[:, WIDE:], before[:, WIDE:], equal_nan=True)
    assert rows[0, FEATURE_NAMES.index("packets_out")] == before[0, FEATURE_NAMES.index("packets_out")] + 7
    assert moments[0] >= T0 + 30 * SECOND
    # And does not enter the windows a second time.
    _, third, _ = lane.rows(reports(failed_syn(port=445, at_s=40)))
    assert third[0, FEATURE_NAMES.index("contacts_300s")] == 2


def test_what_has_ended_or_is_too_much_is_forgotten(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    lane = EarlyLane(AGES)
    lane.rows(reports(failed_syn(port=445)))
    ended = reports(failed_syn(port=445))
    ended["end_reason"] = END_IDLE
    lane.forget(ended)
    flows, rows, moments = lane.rows(reports(failed_syn(port=445), first=False))
    assert (flows.size, len(rows), moments.size, lane.forgotten) == (0, 0, 0, 1)
    monkeypatch.setattr(early, "REMEMBERED", 10)
    lane = EarlyLane(AGES)
    many = [failed_syn(dst=f"10.0.1.{h}", at_s=h) for h in range(1, 31)]
    lane.rows(reports(*many))
    flows, _, _ = lane.rows(reports(*many, first=False))
    assert flows["seq"].tolist() == list(range(20, 30))


def test_moments_never_fall() -> None:
    lane = EarlyLane(AGES)
    _, _, first = lane.rows(reports(failed_syn(at_s=50)))
    _, _, second = lane.rows(reports(failed_syn(at_s=10)))
    assert second[0] >= first[0]


def test_nothing_is_nothing() -> None:
    flows, rows, moments = EarlyLane(()).rows(reports(failed_syn())[:0])
    assert (flows.size, rows.shape, moments.size) == (0, (0, len(FEATURE_NAMES)), 0)
