"""Reports on flows that have not ended: at certain ages, and when a TCP connection closes.

Flows that wait for an age stand in a list of their own, in order of birth, so the next to report is always
at its head: O(1) a flow and age. A flow of which nothing was heard since its last report is passed over.
"""

from __future__ import annotations

from typing import Any

from qwarden.core.compiled import compiled
from qwarden.formats.flows import NOT_YET_AGAIN, NOT_YET_FIRST, Flows
from qwarden.formats.meter.flow import export
from qwarden.formats.meter.state import IN, NONE, OUT, Rows


@compiled
def expect_report(meter: Any, flows: Rows, row: int, which: int) -> None:
    """Let the flow in `row` wait for age number `which`, or for none if there is none."""
    flow = flows[row]
    flow.due = NONE
    if which >= meter.reports:
        return
    last = meter.due_tail[which]
    flow.due = which
    flow.due_before = last
    flow.due_after = NONE
    meter.due_tail[which] = row
    if last == NONE:
        meter.due_head[which] = row
    else:
        flows[last].due_after = row


@compiled
def expect_none(meter: Any, flows: Rows, row: int) -> None:
    """Take the flow in `row` out of the list it waits in, if it waits."""
    flow = flows[row]
    which = flow.due
    if which == NONE:
        return
    if flow.due_before == NONE:
        meter.due_head[which] = flow.due_after
    else:
        flows[flow.due_before].due_after = flow.due_after
    if flow.due_after == NONE:
        meter.due_tail[which] = flow.due_before
    else:
        flows[flow.due_after].due_before = flow.due_before
    flow.due = NONE


@compiled
def report(flow: Any, out: Any) -> None:
    """Write what is known of a flow that has not ended."""
    export(flow, out, NOT_YET_AGAIN if flow.told else NOT_YET_FIRST)
    flow.told = flow.packets[OUT] + flow.packets[IN]


@compiled
def report_due(meter: Any, flows: Rows, out: Flows, filled: int) -> tuple[int, bool]:
    """Report the flows that have come to an age; return rows filled and whether there was room for all."""
    for which in range(meter.reports):
        while True:
            row = meter.due_head[which]
            if row == NONE or meter.clock_ns - flows[row].born_ns < meter.report_ns[which]:
                break
            if filled == out.size:
                return filled, False
            expect_none(meter, flows, row)
            flow = flows[row]
            if flow.packets[OUT] + flow.packets[IN] > flow.told:
                report(flow, out[filled])
                filled += 1
            expect_report(meter, flows, row, which + 1)
    return filled, True
