"""A model's next version: its heads fitted again, on the traffic range and on verdicts with a greater weight.

What the range taught the encodings stays: the preprocessor and the QNN's weights are the base model's. Fitted
again, on rows of the range beside those of verdicts:

- the QSVM that reads the QNN's states, and its calibration curve;
- the one-class detector: dismissed flows join the normal states it remembers or, where it keeps an
  eigenspace, enter the mean density matrix;
- the twins, boosting and neighbours, in the same way on the same rows;
- everything calibration: both fusions, the alarm tables, and those of running flows, attacks and drift where
  the base has them. Its flows are the range's benign ones and the dismissed ones that trained nothing.

The base is never a model that came of feedback: all verdicts are learnt again each time, so one that was
taken back leaves no trace.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.detect.build import kind_weights
from qwarden.detect.feedback.answers import Lesson, rows_of
from qwarden.detect.feedback.range_table import RangeTable
from qwarden.detect.model import ThreatModel, calibrate
from qwarden.learn import (
    Bundle,
    Estimator,
    GradientBoostingTwin,
    HybridClassifier,
    NeighborDistanceTwin,
    Preprocessor,
    QuantumOneClass,
)
from qwarden.learn.base import State, binary_training_set, held_out
from qwarden.learn.fidelity import FidelityMachine
from qwarden.learn.qsvc import fit_calibrated

F64 = npt.NDArray[np.float64]

WEIGHT: Final = 8.0
"""Weight of a verdict's row; a row of the range has 1 in the mean."""

KNOWN: Final = 100
"""Rows of verdicts that explanations may compare with."""


def retrain(
    base: Bundle,
    table: RangeTable,
    lesson: Lesson,
    *,
    name: str,
    weight: float = WEIGHT,
    seed: int = 0,
    progress: Progress = SILENT,
) -> ThreatModel:
    """Return `base` with its heads fitted again; its version is yet to be given.

    Parameters
    ----------
    base : parts, notes and arrays of a threat model.
    lesson : its `train` and `calibrate` answers are learnt from; `held_back` is not looked at.
    weight : of a verdict's row.
    """
    preprocessor = base.part("preprocessor", Preprocessor)
    taught, labels, _ = rows_of(lesson.train)
    inputs = preprocessor.transform(np.vstack([table.train, taught]))
    kinds = np.concatenate([table.labels, labels])
    attack = (kinds != "benign").astype(np.int64)
    weights = np.concatenate([kind_weights(table.labels), np.full(len(taught), weight)])
    apart = preprocessor.transform(taught[labels == "benign"])
    normal = inputs[: len(table.train)][attack[: len(table.train)] == 0]
    boosting = base.part("boosting", GradientBoostingTwin)
    members: dict[str, Estimator] = {
        "preprocessor": preprocessor,
        "hybrid": refit_hybrid(
            base.part("hybrid", HybridClassifier), inputs, attack, weights, len(taught), seed, progress
        ),
        "one_class": remember(base.part("one_class", QuantumOneClass), normal, apart, weight, progress),
        "boosting": GradientBoostingTwin(**boosting.get_params()).fit(
            inputs, attack, weights, progress=progress
        ),
        "neighbours": remember_rows(base.part("neighbours", NeighborDistanceTwin), apart, weight),
    }
    dismissed = rows_of([answer for answer in lesson.calibrate if not answer.attack])[0]
    calibration = np.vstack([table.calibration, dismissed])
    with progress.task("calibrate"):
        arrays, notes = dict(base.arrays), dict(base.notes)
        calibrate(members, arrays, notes, calibration, seed)
        arrays |= _known(base, inputs[len(table.train) :], labels, notes, seed)
        model = ThreatModel(Bundle(members, notes, arrays), name, "0")
        if "early_calibration_flows" in base.notes and len(table.early):
            model.calibrate_early(table.early)
        if "drift_edges" in base.arrays:
            model.learn_baseline(calibration)
        if "attack_margins" in base.arrays:
            model.calibrate_attacks(table.attacks, table.attack_labels)
    return model


def refit_hybrid(
    old: HybridClassifier,
    inputs: F64,
    attack: npt.NDArray[np.int64],
    weights: F64,
    taught: int,
    seed: int,
    progress: Progress = SILENT,
) -> HybridClassifier:
    """Return the hybrid with the same network, and a machine and a curve fitted anew.

    Parameters
    ----------
    taught : how many rows, the last ones, come from verdicts; the curve is fitted on others.
    """
    rows, targets, balanced, classes = binary_training_set(old, inputs, attack, weights, old.class_weight)
    apart = held_out(targets, old.calibration_share, seed)
    apart[len(apart) - taught :] = False
    machine = FidelityMachine(old.solver, old.C, old.loss, old.ridge, old.landmarks, seed)
    curve = fit_calibrated(machine, old.embed(rows), targets, balanced, apart, progress)
    before = old.to_state()
    facts = {**before.facts, "_slope": curve.slope, "_offset": curve.offset}
    parts = {**before.parts, "machine_": machine.to_state()}
    return HybridClassifier.from_state(State(before.params, facts, {"classes_": classes}, parts))


def remember(
    old: QuantumOneClass, normal: F64, dismissed: F64, weight: float, progress: Progress = SILENT
) -> QuantumOneClass:
    """Return the one-class detector with dismissed rows (k, columns) among what it knows as normal.

    One of neighbours takes their states in, as often as it averages over: then such a row is as normal as
    can be. One of an eigenspace is fitted again to the range's normal rows and these, `weight` times each.
    """
    if not len(dismissed):
        return old
    if old.method == "eigenspace":
        rows = np.vstack([normal, np.repeat(dismissed, round(weight), axis=0)])
        return QuantumOneClass(**old.get_params()).fit(rows, progress=progress)
    state = old.to_state()
    copies = np.repeat(old.encoding_.states(dismissed), _copies(weight, old.top_k), axis=0)
    arrays = {**state.arrays, "_references": np.concatenate([state.arrays["_references"], copies])}
    return QuantumOneClass.from_state(State(state.params, state.facts, arrays, state.parts))


def remember_rows(old: NeighborDistanceTwin, dismissed: F64, weight: float) -> NeighborDistanceTwin:
    """Return the neighbours' twin with dismissed rows among those it remembers, as `remember`."""
    if not len(dismissed):
        return old
    state = old.to_state()
    mean, scale = state.arrays["mean_"], state.arrays["scale_"]
    known = np.where(np.isnan(dismissed), mean, dismissed)
    copies = np.repeat((known - mean) / scale, _copies(weight, old.neighbors), axis=0)
    arrays = {**state.arrays, "_references": np.concatenate([state.arrays["_references"], copies])}
    return NeighborDistanceTwin.from_state(State(state.params, state.facts, arrays, state.parts))


def _copies(weight: float, averaged: int) -> int:
    return max(1, min(round(weight), averaged))


def _known(
    base: Bundle, inputs: F64, labels: npt.NDArray[np.str_], notes: dict[str, Any], seed: int
) -> dict[str, npt.NDArray[Any]]:
    """Add rows of verdicts to those that explanations compare with."""
    kinds = list(notes["kinds"])
    kinds += sorted(set(labels.tolist()) - set(kinds))
    notes["kinds"] = kinds
    some = np.random.default_rng([seed, 7]).permutation(len(inputs))[:KNOWN]
    numbers = np.array([kinds.index(label) for label in labels[some].tolist()], np.int64)
    return {
        "known_inputs": np.concatenate([base.arrays["known_inputs"], inputs[some]]),
        "known_labels": np.concatenate([base.arrays["known_labels"], numbers]),
    }
