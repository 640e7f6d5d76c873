"""From feature rows to threat scores in one compiled call, four rows at a time.

A row's result does not depend on the rows beside it, nor on how many there are: sums are taken in one fixed
order, and no BLAS is called (see `qwarden.quantum.backends._scoring` and `qwarden.learn._search`).

The arguments are plain arrays, for each costs a call a fraction of a microsecond, and anything but arrays
much more. `FlowScorer` (`scoring`) collects them from the members.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.learn._ranked_trees import ranked_sum
from qwarden.learn._search import nearest_rows, nearest_states, search_room
from qwarden.learn.fusion import fused_surprise, lower_bound
from qwarden.learn.preprocess import transform_row
from qwarden.quantum.backends._engine import aligned
from qwarden.quantum.backends._lanes import WIDTH, lane, number
from qwarden.quantum.backends._layout import LINE
from qwarden.quantum.backends._scoring import (
    angle_room,
    code_of,
    layout_of,
    tile_inputs,
    tile_state,
    tile_value,
)

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

HYBRID, ONE_CLASS, BOOSTING, NEIGHBOURS = range(4)
"""Columns of the members' scores."""

TIE: Final = 1e-9
"""Evidence that is less than a benign calibration flow's by no more counts as equal to it: a flow like that
one shall not look rarer because a model was calibrated by another order of operations."""


@compiled
def score_flows(
    rows: F64,
    named: I64,
    twins: bool,
    judged: bool,
    # preprocessor
    source: I64,
    kind: I64,
    log: npt.NDArray[np.bool_],
    level: F64,
    start: I64,
    xs: F64,
    ys: F64,
    # hybrid
    h_weights: F64,
    h_biases: F64,
    h_products: I64,
    h_origin: float,
    h_head: I64,
    h_ints: I64,
    h_floats: F64,
    h_form: F64,
    h_offset: float,
    # one class
    o_weights: F64,
    o_biases: F64,
    o_products: I64,
    o_origin: float,
    o_head: I64,
    o_ints: I64,
    o_floats: F64,
    o_form: F64,
    top_k: int,
    references: F64,
    axes: F64,
    near: Any,
    rest: Any,
    # boosting
    b_starts: Any,
    b_thresholds: F64,
    b_trees: Any,
    b_masks: Any,
    b_unknown_left: Any,
    b_leaves: F64,
    b_baseline: float,
    # nearest rows
    n_mean: F64,
    n_scale: F64,
    n_k: int,
    n_references: F64,
    n_centre: F64,
    n_axes: F64,
    n_near: Any,
    n_norms: Any,
    # fusion and alarms, of the quantum members and of the twins
    q_xs: F64,
    q_ys: F64,
    q_marks: I64,
    q_scales: F64,
    q_strongest: bool,
    q_alarms: F64,
    q_alarm_starts: I64,
    q_alarm_counts: I64,
    t_xs: F64,
    t_ys: F64,
    t_marks: I64,
    t_scales: F64,
    t_strongest: bool,
    t_alarms: F64,
    t_alarm_starts: I64,
    t_alarm_counts: I64,
    calibration_flows: int,
    # results
    scores: F64,
    margins: F64,
    p_values: F64,
) -> None:
    """Write the members' scores, and, if `judged`, fused evidence and p-values.

    `scores` (n, 4) are log-odds, strangeness, and those of their twins, `margins` and `p_values` (2, n) of
    the quantum members and of the twins; what is the twins' is written if `twins`. With ``top_k`` 0 the
    one-class score is one less the observable `o_form`, otherwise minus the logarithm of the mean fidelity
    with so many nearest references.
    """
    width, count = len(source), len(rows)
    h_code, h_at, o_code, o_at = code_of(h_head), layout_of(h_head), code_of(o_head), layout_of(o_head)
    h_room, h_spare = np.empty(h_at.size), np.empty(angle_room(h_weights, h_products))
    o_room, o_spare = np.empty(o_at.size), np.empty(angle_room(o_weights, o_products))
    lanes = np.empty(width * WIDTH + LINE // 8)
    x, h_memory, h_angles = aligned(lanes), aligned(h_room), aligned(h_spare)
    o_memory, o_angles = aligned(o_room), aligned(o_spare)
    inputs, known = np.empty((WIDTH, width)), np.zeros(width)
    dimension = o_form.shape[2]
    states = np.empty((WIDTH, 2, dimension))
    fidelities, whose = np.empty((WIDTH, max(top_k, 1))), np.empty((WIDTH, max(top_k, 1)), np.int64)
    distances, others = np.empty((WIDTH, n_k)), np.empty((WIDTH, n_k), np.int64)
    o_search, n_search = search_room(near.shape[1]), search_room(n_near.shape[1])
    left = np.empty(b_leaves.shape[0], np.uint64)
    for first in range(0, count, WIDTH):
        here = min(WIDTH, count - first)
        for i in range(here):
            transform_row(rows[first + i], source, kind, log, level, start, xs, ys, inputs[i])
        tile_inputs(inputs[:here], 0, known, x)
        state = tile_state(
            x, h_weights, h_biases, h_products, h_origin, h_code, h_at, h_ints, h_floats, h_memory, h_angles
        )
        odds = tile_value(h_memory, state, h_at.plane, h_form)
        for i in range(here):
            scores[first + i, HYBRID] = lane(odds, i) + h_offset
        state = tile_state(
            x, o_weights, o_biases, o_products, o_origin, o_code, o_at, o_ints, o_floats, o_memory, o_angles
        )
        if top_k == 0:
            inside = tile_value(o_memory, state, o_at.plane, o_form)
            for i in range(here):
                scores[first + i, ONE_CLASS] = 1.0 - min(max(lane(inside, i), 0.0), 1.0)
        else:
            for i in range(here):
                for z in range(dimension):
                    states[i, 0, z] = number(o_memory, state + z * WIDTH + i)
                    states[i, 1, z] = number(o_memory, state + o_at.plane + z * WIDTH + i)
            nearest_states(
                states[:here], references, axes, near, rest, o_search, fidelities[:here], whose[:here]
            )
            for i in range(here):
                scores[first + i, ONE_CLASS] = -np.log(max(_mean(fidelities[i]), 1e-12))
        if judged:
            for i in range(first, first + here):
                margins[0, i] = fused_surprise(
                    scores[i, :BOOSTING], q_xs, q_ys, q_marks, q_scales, q_strongest
                )
                p_values[0, i] = alarm_p(
                    margins[0, i], named[i], q_alarms, q_alarm_starts, q_alarm_counts, calibration_flows
                )
        if not twins:
            continue
        for i in range(here):
            scores[first + i, BOOSTING] = ranked_sum(
                inputs[i],
                b_starts,
                b_thresholds,
                b_trees,
                b_masks,
                b_unknown_left,
                b_leaves,
                b_baseline,
                left,
            )
            for column in range(width):
                inputs[i, column] = (inputs[i, column] - n_mean[column]) / n_scale[column]
        nearest_rows(
            inputs[:here], n_references, n_centre, n_axes, n_near, n_norms, n_search, distances[:here],
            others[:here],
        )  # fmt: skip
        for i in range(here):
            scores[first + i, NEIGHBOURS] = _mean(distances[i])
        if judged:
            for i in range(first, first + here):
                margins[1, i] = fused_surprise(
                    scores[i, BOOSTING:], t_xs, t_ys, t_marks, t_scales, t_strongest
                )
                p_values[1, i] = alarm_p(
                    margins[1, i], named[i], t_alarms, t_alarm_starts, t_alarm_counts, calibration_flows
                )
    # They live to the end: only their addresses were in use.
    lanes[0], h_room[0], h_spare[0], o_room[0], o_spare[0] = 0.0, 0.0, 0.0, 0.0, 0.0


@compiled
def _mean(values: F64) -> float:
    total = values[0]
    for at in range(1, len(values)):
        total += values[at]
    return float(total / len(values))


@compiled
def alarm_p(margin: float, behaviour: int, scores: F64, starts: I64, counts: I64, total: int) -> float:
    """Return (1 + benign flows of the same behaviour with at least this evidence) / (all + 1).

    `AlarmTable` says what the arrays are; behaviour -1 is the last.
    """
    at = behaviour if behaviour >= 0 else len(counts) + behaviour
    block = scores[starts[at] : starts[at + 1]]
    found = len(block) - lower_bound(block, margin - TIE)
    above = found if found < len(block) else counts[at]
    return (1.0 + above) / (total + 1.0)
