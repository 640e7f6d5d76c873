from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwarden.detect.order import EndOrder
from qwarden.formats.accounting import END_OF_TIME
from qwarden.formats.flows import unknown_flows

SECOND = 1_000_000_000


def flows_ending(*ends_s: int) -> np.ndarray:
    flows = unknown_flows(len(ends_s))
    flows["end_ns"] = np.array(ends_s) * SECOND
    flows["seq"] = np.arange(len(ends_s))
    return flows


def test_flows_are_held_until_none_that_ended_earlier_can_come() -> None:
    order = EndOrder(delay_s=60)
    first = order.add(flows_ending(50, 10, 30), 100 * SECOND)
    assert (first["end_ns"] // SECOND).tolist() == [10, 30]
    second = order.add(flows_ending(45), 200 * SECOND)
    assert (second["end_ns"] // SECOND).tolist() == [45, 50]
    assert order.rest().size == 0


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 9))
def test_nothing_is_lost_and_all_is_sorted(ends: list[int], cut: int) -> None:
    order, seen = EndOrder(delay_s=5), []
    for at in range(0, len(ends), cut):
        part = sorted(ends)[at : at + cut]
        seen += (order.add(flows_ending(*part), part[-1] * SECOND)["end_ns"] // SECOND).tolist()
    seen += (order.rest()["end_ns"] // SECOND).tolist()
    assert seen == sorted(ends)


def test_a_log_in_no_order_comes_out_sorted_while_memory_holds_it() -> None:
    """Logs have no watermark until they end."""
    order, ends = EndOrder(delay_s=60, capacity=100), [(37 * n) % 101 for n in range(100)]
    for at in range(0, 100, 7):
        assert order.add(flows_ending(*ends[at : at + 7]), 0).size == 0
    assert (order.rest()["end_ns"] // SECOND).tolist() == sorted(ends)
    assert order.late == 0


@given(st.lists(st.integers(0, 300), max_size=80), st.integers(1, 9), st.integers(2, 20))
def test_memory_is_bounded_and_what_comes_too_late_is_counted(ends: list[int], cut: int, most: int) -> None:
    order, out, late, gone = EndOrder(delay_s=60, capacity=most), [], 0, -1
    for at in range(0, len(ends), cut):
        part = ends[at : at + cut]
        late += sum(end < gone for end in part)
        done = (order.add(flows_ending(*part), 0)["end_ns"] // SECOND).tolist()
        assert done == sorted(done)
        out += done
        gone = max([gone, *done])
        assert min(at + cut, len(ends)) - len(out) <= most
    out += (order.rest()["end_ns"] // SECOND).tolist()
    assert sorted(out) == sorted(ends)
    assert order.late == late
    if len(ends) <= most:
        assert out == sorted(ends)


def test_disorder_within_what_is_held_is_mended() -> None:
    """Connections written up to half of what is held too late still come out in order of their end."""
    rng = np.random.default_rng(5)
    ends = np.arange(4000)
    written = ends[np.argsort(ends + rng.integers(0, 400, ends.size), kind="stable")]
    order, out = EndOrder(delay_s=60, capacity=1000), []
    for at in range(0, ends.size, 64):
        out += (order.add(flows_ending(*written[at : at + 64].tolist()), 0)["end_ns"] // SECOND).tolist()
    out += (order.rest()["end_ns"] // SECOND).tolist()
    assert out == ends.tolist()
    assert order.late == 0


def test_another_epoch_is_not_late() -> None:
    order = EndOrder(delay_s=60)
    assert order.add(flows_ending(500, 400), END_OF_TIME).size == 2
    assert order.add(flows_ending(10), 100 * SECOND).size == 1
    assert order.late == 0
