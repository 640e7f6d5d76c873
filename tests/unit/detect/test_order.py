from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwarden.detect.order import EndOrder
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
