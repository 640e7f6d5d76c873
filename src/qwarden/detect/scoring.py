"""The compiled scoring call with its arguments: members and calibration as plain arrays.

A `FlowScorer` is made of fitted members; with `judged_by` it also knows fusions and alarm tables. It holds
no state between calls, so several threads may share it, and its results depend on a row alone: bit for bit
the same by itself, in a batch of any size, on one thread or on several.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import ModelError
from qwarden.detect import _score_loops
from qwarden.learn import (
    ConformalFusion,
    GradientBoostingTwin,
    HybridClassifier,
    NeighborDistanceTwin,
    Preprocessor,
    QuantumOneClass,
)
from qwarden.learn._rows import any_infinite

if TYPE_CHECKING:
    from qwarden.detect.calibration import AlarmTable

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

score_flows: Any = _score_loops.score_flows  # of its arguments most are collected in tuples

_SHARE: Final = 256
"""Rows below which a thread of their own does not pay."""


class FlowScores(NamedTuple):
    """What the members say of n flows, and what that is worth.

    `members` (n, 4): log-odds, strangeness, the boosted trees' log-odds, mean distance to normal rows.
    `margins`, `p_values` (2, n): of the quantum members, of the twins.
    """

    members: F64
    margins: F64
    p_values: F64


class FlowScorer:
    """From feature rows to scores.

    Parameters
    ----------
    preprocessor, hybrid, one_class, boosting, neighbours : the fitted members.

    Raises
    ------
    ModelError
        A member cannot be scored by the compiled call: states beyond `RowScorer.MAX_DIMENSION`, or trees of
        more than 64 leaves.
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        hybrid: HybridClassifier,
        one_class: QuantumOneClass,
        boosting: GradientBoostingTwin,
        neighbours: NeighborDistanceTwin,
    ) -> None:
        if hybrid._scorer is None or boosting._ranked is None:
            raise ModelError("model", "has members too large to be scored in one call")
        self._width = preprocessor.n_features_in_
        p = preprocessor
        self._members: tuple[Any, ...] = (
            p.source_, p._kind, p._log, p._level, p._start, p._xs, p._ys,
            *hybrid._scorer.parts,
            *_one_class_parts(one_class),
            *boosting._ranked, boosting._baseline,
            *_neighbour_parts(neighbours),
        )  # fmt: skip
        nothing = (np.zeros(0), np.zeros(0), np.zeros(1, np.int64), np.zeros(0), True)
        self._no_judge: tuple[Any, ...] = (*nothing, *_NO_ALARMS, *nothing, *_NO_ALARMS, 0)
        self._judges: dict[bool, tuple[Any, ...]] = {}

    def judged_by(
        self,
        quantum: tuple[ConformalFusion, AlarmTable],
        twin: tuple[ConformalFusion, AlarmTable],
        *,
        early: bool = False,
    ) -> None:
        """Give it fusions and alarm tables, both of the same calibration flows: ended or `early` ones."""
        self._judges[early] = (*_judge_parts(*quantum), *_judge_parts(*twin), quantum[1].total)

    def __call__(
        self,
        rows: F64,
        named: I64 | None = None,
        *,
        early: bool = False,
        twins: bool = True,
        threads: int = 1,
    ) -> FlowScores:
        """Score feature rows (n, d); nan is unknown.

        Parameters
        ----------
        named : (n,) the behaviours they show; without them, `margins` and `p_values` stay empty (nan).
        early : the flows still run.
        twins : False leaves the twins' columns empty.
        threads : how many share the rows.

        Raises
        ------
        ValueError
            `rows` is of another width or holds an infinity.
        KeyError
            There is nothing to judge such flows by (`judged_by`).
        """
        rows = np.ascontiguousarray(rows, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self._width:
            raise ValueError(f"rows must have the shape (n, {self._width}), not {rows.shape}")
        if any_infinite(rows):
            raise ValueError("a row to score holds an infinity")
        if not rows.flags.writeable:
            rows = rows.copy()
        judge = self._no_judge if named is None else self._judges[early]
        behaviours = np.full(len(rows), -1, np.int64) if named is None else np.array(named, np.int64)
        found = _empty(len(rows))

        def score(cut: slice) -> None:
            """Score some of the rows; a thread of its own may run this."""
            part = _empty(cut.stop - cut.start)
            score_flows(rows[cut], behaviours[cut], twins, named is not None, *self._members, *judge, *part)
            found.members[cut], found.margins[:, cut], found.p_values[:, cut] = part

        parts = max(1, min(threads, len(rows) // _SHARE))
        if parts == 1:
            score_flows(rows, behaviours, twins, named is not None, *self._members, *judge, *found)
        else:
            with ThreadPoolExecutor(parts) as pool:
                list(pool.map(score, _cuts(len(rows), parts)))
        return found


def _empty(count: int) -> FlowScores:
    return FlowScores(*(np.full(shape, np.nan) for shape in ((count, 4), (2, count), (2, count))))


_NO_ALARMS: Final = (np.zeros(0), np.zeros(2, np.int64), np.zeros(1, np.int64))


def _cuts(count: int, parts: int) -> list[slice]:
    bounds = [count * part // parts for part in range(parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]


def _one_class_parts(one_class: QuantumOneClass) -> tuple[Any, ...]:
    dimension = 1 << one_class.qubits
    by_space = one_class.method == "eigenspace"
    observable = one_class.observable() if by_space else np.zeros((dimension, dimension), np.complex128)
    scorer = one_class.row_scorer(observable, 0.0)
    if scorer is None:
        raise ModelError("model", "has members too large to be scored in one call")
    if by_space:
        single = np.zeros((2, 16), np.float32)
        return (
            *scorer.parts[:8],
            0,
            np.zeros((1, 2, dimension)),
            np.zeros((2, dimension, 1)),
            single,
            single[0],
        )
    search = one_class._search
    top_k = min(one_class.top_k, len(search.references))
    return (*scorer.parts[:8], top_k, search.references, search.axes, search.near, search.rest)


def _neighbour_parts(neighbours: NeighborDistanceTwin) -> tuple[Any, ...]:
    search = neighbours._search
    return (
        neighbours.mean_, neighbours.scale_, min(neighbours.neighbors, len(search.references)),
        search.references, search.centre, search.axes, search.near, search.norms,
    )  # fmt: skip


def _judge_parts(fusion: ConformalFusion, alarms: AlarmTable) -> tuple[Any, ...]:
    return (
        fusion._xs, fusion._ys, fusion._marks, fusion._scales, fusion.combine == "tippett", alarms.scores,
        alarms.starts, alarms.counts,
    )  # fmt: skip
