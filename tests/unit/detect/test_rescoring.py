"""Ambiguous findings are looked at again by their deadline, on record, and say what came of it."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.core.backtrack import BacktrackStep
from qwarden.core.events import Event
from qwarden.detect.behaviours import KINDS, name_behaviours
from qwarden.detect.features import FeatureExtractor
from qwarden.detect.model import ThreatModel
from qwarden.detect.open_finding import OpenFinding
from qwarden.detect.rescoring import LOOKS, Look, Rescored, Rescorer
from qwarden.detect.shipped import load_default_model

from .flow_maker import SECOND, T0, failed_syn, in_order


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    flows = in_order(*[failed_syn(dst=f"10.0.1.{h}", port=445, at_s=h) for h in range(1, 61)])
    return FeatureExtractor().rows(flows)


@pytest.fixture(scope="module")
def model(rows: np.ndarray) -> ThreatModel:
    model = load_default_model()
    scans = name_behaviours(rows) == KINDS.index("scan_horizontal")
    model.calibrate_attacks(rows[scans], np.full(int(scans.sum()), "scan_horizontal"))
    return model


def scan(rows: np.ndarray, at: int = -1) -> OpenFinding:
    finding = OpenFinding("f-1", KINDS.index("scan_horizontal"), "x.pcap", T0, T0 + 60 * SECOND)
    finding.row, finding.raised_ns = rows[at].copy(), T0
    return finding


def rescorer(model: ThreatModel, level: float, kept: list[Event]) -> Rescorer:
    return Rescorer(model, kept.append, level=level, within_s=60)


def test_what_is_clear_is_left_alone(model: ThreatModel, rows: np.ndarray) -> None:
    kept: list[Event] = []
    work, finding = rescorer(model, 0.9999, kept), scan(rows)
    work.raised(finding)
    work.due()
    assert (finding.status, kept) == ("clear", [])


def test_what_no_look_settles_stays_ambiguous_and_says_so(model: ThreatModel, rows: np.ndarray) -> None:
    kept: list[Event] = []
    work, finding = rescorer(model, 1e-12, kept), scan(rows)
    work.raised(finding)
    assert finding.status == "ambiguous"
    work.due(T0 + 59 * SECOND)
    assert kept == []  # not yet
    work.due(T0 + 60 * SECOND)
    steps = [e for e in kept if isinstance(e, BacktrackStep)]
    assert [s.parameters["look"] for s in steps if s.step == "attempted"] == list(LOOKS[:-1])
    assert steps[-1].step == "exhausted"
    (told,) = [e for e in kept if isinstance(e, Rescored)]
    assert (told.outcome, told.looks, told.after_s, told.run) == ("ambiguous", 3, 60.0, steps[0].run)
    work.due()
    assert len(kept) == len(steps) + 1  # once


def test_where_there_is_a_second_opinion_it_is_asked_last(model: ThreatModel, rows: np.ndarray) -> None:
    kept: list[Event] = []
    assert model.second is not None
    work = Rescorer(model, kept.append, level=1e-12, within_s=60, second=model.second)
    finding = scan(rows)
    work.raised(finding)
    work.due()
    looked = [e for e in kept if isinstance(e, BacktrackStep) and e.step == "attempted"]
    assert [step.parameters["look"] for step in looked] == list(LOOKS)
    (told,) = [e for e in kept if isinstance(e, Rescored)]
    evidence = float(model.second.margin(rows[-1][None])[0])
    assert (told.looks, told.benign) == (len(LOOKS), pytest.approx(np.exp(-evidence)))


def test_context_settles_what_has_become_clear(model: ThreatModel, rows: np.ndarray) -> None:
    kept: list[Event] = []
    margins = model.score(rows, name_behaviours(rows)).margin
    weak, strong = int(np.argmin(margins)), int(np.argmax(margins))
    level = float(np.exp(-(margins[weak] + margins[strong]) / 2))
    work, finding = rescorer(model, level, kept), scan(rows, weak)
    work.raised(finding)
    assert finding.status == "ambiguous"
    finding.row = rows[strong].copy()
    work.due()
    assert finding.status == "confirmed"
    (told,) = [e for e in kept if isinstance(e, Rescored)]
    assert (told.outcome, told.looks) == ("attack", 2)
    assert Event.from_json(told.to_json()) == told


@pytest.mark.parametrize(
    ("benign", "attack", "outcome"),
    [(0.1, 0.2, "ambiguous"), (0.01, 0.2, "attack"), (0.2, 0.01, "benign"), (0.02, 0.01, "benign"),
     (0.01, 0.02, "attack")],
)  # fmt: skip
def test_the_set_of_possible_classes(benign: float, attack: float, outcome: str) -> None:
    assert Look(benign, attack, level=0.05).outcome == outcome
