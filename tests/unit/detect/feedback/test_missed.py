"""A missed attack is on record, and its surroundings are looked at again, step by step on record."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.core.backtrack import BacktrackStep
from qwarden.core.errors import UsageError
from qwarden.detect.archive import Query, search
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.feedback.flows import derive
from qwarden.detect.feedback.missed import (
    WIDER,
    WITHIN_S,
    SurroundingsRescored,
    flow_verdicts,
    judge_flow,
    report_missed,
)
from qwarden.detect.shipped import load_default_model

from .conftest import FPR, Seen


def quiet_flow(seen: Seen) -> str:
    """Return a flow that shows a behaviour and did not alarm."""
    found = search(seen.home, Query())
    at = np.flatnonzero((found.behaviours != NO_BEHAVIOUR) & ~found.told)[0]
    return found.ids()[at]


def test_surroundings_are_those_a_plain_look_finds(seen: Seen) -> None:
    id, model = quiet_flow(seen), load_default_model()
    missed = report_missed(
        seen.bus, seen.home, model, id, kind="beacon", fpr=FPR, reason="seen by the firewall", author="ann"
    )
    (verdict,) = flow_verdicts(seen.store)
    assert verdict == missed.verdict
    assert (verdict.flow_id, verdict.attack, verdict.missed, verdict.label) == (id, True, True, "beacon")

    me = missed.known.flow[0]
    pieces = list(derive(seen.home, seen.source))
    flows = np.concatenate([piece.flows for piece in pieces])
    rows = np.concatenate([piece.rows for piece in pieces])
    told = np.concatenate([piece.told for piece in pieces])
    named = name_behaviours(rows)
    p_values = model.score(rows, named).p_value
    near = [
        at
        for at, flow in enumerate(flows)
        if named[at] != NO_BEHAVIOUR
        and (
            (flow["src_hi"], flow["src_lo"]) == (me["src_hi"], me["src_lo"])
            or (flow["dst_hi"], flow["dst_lo"]) == (me["dst_hi"], me["dst_lo"])
            or (flow["dst_port"], flow["proto"]) == (me["dst_port"], me["proto"])
        )
        and flow["end_ns"] >= me["start_ns"] - WITHIN_S * 1e9
        and flow["start_ns"] <= me["end_ns"] + WITHIN_S * 1e9
    ]
    assert missed.rescored.looked_at == len(near)
    for factor in WIDER:
        expected = {
            f"{seen.source}:{flows['seq'][at]}"
            for at in near
            if p_values[at] <= FPR * factor and not told[at]
        }
        if expected:
            break
    assert expected
    assert missed.rescored.fpr == pytest.approx(FPR * factor)
    assert {one.id for one in missed.found} == expected
    assert missed.rescored.alarming == len(expected)
    assert [one.p_value for one in missed.found] == sorted(one.p_value for one in missed.found)

    # Each widening is a step of one backtracked action.
    steps = [e for e in seen.store.events(kind=BacktrackStep.kind) if isinstance(e, BacktrackStep)]
    mine = [step for step in steps if step.run == missed.rescored.run][::-1]
    assert [step.parameters["fpr"] for step in mine if step.step == "attempted"] == [
        FPR * one for one in WIDER[: WIDER.index(factor) + 1]
    ]
    assert mine[-1].step == "accepted"
    assert missed.rescored in seen.store.events(kind=SurroundingsRescored.kind)


def test_nothing_around_is_said_loudly_and_on_record(seen: Seen) -> None:
    id, model = quiet_flow(seen), load_default_model()
    # So narrow a budget that a thousand times of it is still below any p-value.
    missed = report_missed(
        seen.bus, seen.home, model, id, kind=None, fpr=model.least_fpr / 1e4, reason="x", author="ann"
    )
    assert missed.found == ()
    assert missed.verdict.label in KINDS
    steps = [e for e in seen.store.events(kind=BacktrackStep.kind) if isinstance(e, BacktrackStep)]
    assert "exhausted" in {step.step for step in steps if step.run == missed.rescored.run}


def test_a_flow_without_behaviour_is_on_record_too(seen: Seen) -> None:
    found = search(seen.home, Query())
    id = found.ids()[np.flatnonzero(found.behaviours == NO_BEHAVIOUR)[0]]
    missed = report_missed(
        seen.bus, seen.home, load_default_model(), id, kind=None, fpr=FPR, reason="x", author="ann"
    )
    assert missed.p_value is None
    assert missed.document()["verdict"]["shows"] is None


def test_bad_reports_leave_nothing(seen: Seen) -> None:
    id, model = quiet_flow(seen), load_default_model()
    for wrong in ({"id": "0123456789ab:7"}, {"kind": "witchcraft"}, {"reason": " "}, {"author": ""}):
        given = {"id": id, "kind": None, "fpr": FPR, "reason": "x", "author": "ann", **wrong}
        with pytest.raises(UsageError):
            report_missed(seen.bus, seen.home, model, given.pop("id"), **given)
    with pytest.raises(UsageError):
        judge_flow(seen.bus, seen.home, "nonsense", attack=True, reason="x", author="ann")
    assert flow_verdicts(seen.store) == []
