"""Flows of a source without end: held for so long by the wall clock, and no longer."""

from __future__ import annotations

import numpy as np

from qwarden.detect.order import EndOrder
from qwarden.formats.flows import FLOW, Flows


def flows(*ends: int, first: int = 0) -> Flows:
    made = np.zeros(len(ends), FLOW)
    made["end_ns"] = np.array(ends) * 10**9
    made["seq"] = np.arange(first, first + len(ends))
    return made


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def ends(found: Flows) -> list[int]:
    return [int(end) // 10**9 for end in found["end_ns"]]


def test_flows_are_let_go_in_order_when_their_time_is_up() -> None:
    clock = Clock()
    order = EndOrder(60.0, hold_s=10.0, clock=clock)
    assert ends(order.add(flows(30, 10), 0)) == []
    clock.now += 6
    assert ends(order.add(flows(20, 40, first=2), 0)) == []
    assert order.settled(4) == 0
    clock.now += 4  # the first two are overdue; 20 goes with them, or it would be late
    assert ends(order.add(flows(), 0)) == [10, 20, 30]
    assert order.settled(4) == 3
    clock.now += 5
    assert ends(order.add(flows(), 0)) == []
    clock.now += 1
    assert ends(order.add(flows(), 0)) == [40]
    assert (order.settled(4), order.late) == (4, 0)


def test_what_comes_behind_that_is_late_and_counted() -> None:
    clock = Clock()
    order = EndOrder(60.0, hold_s=1.0, clock=clock)
    order.add(flows(50), 0)
    clock.now += 1
    assert ends(order.add(flows(), 0)) == [50]
    order.add(flows(45, first=1), 0)
    clock.now += 1
    assert ends(order.add(flows(), 0)) == [45]
    assert order.late == 1


def test_without_a_hold_nothing_is_let_go_before_its_watermark() -> None:
    clock = Clock()
    order = EndOrder(60.0, clock=clock)
    order.add(flows(10), 0)
    clock.now += 1e6
    assert ends(order.add(flows(), 0)) == []
    assert ends(order.rest()) == [10]
