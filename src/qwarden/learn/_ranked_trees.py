"""Trees asked feature by feature instead of node by node (QuickScorer).

A walk from the root to a leaf is a chain of loads that nothing can foretell. Here the conditions of all
trees are sorted by feature and threshold. For each feature those that fail (the row goes right) come first;
each strikes out the leaves to its left, one bit a leaf. The first leaf left in a tree is where the walk ends.

Source: Lucchese et al 2015, "QuickScorer: a fast algorithm to rank documents with additive ensembles of
regression trees", section 3.
"""

# The unused arguments below are what Numba types the call by.
# ruff: noqa: ARG001

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.core.extending import intrinsic

from qwarden.core.compiled import compiled
from qwarden.learn._tree_walk import Forest
from qwarden.learn.base import Array, Floats

LEAVES: Final = 64
"""Leaves a tree may have: bits of a mask."""

_ALL: Final = (1 << LEAVES) - 1


class RankedForest(NamedTuple):
    """The conditions of feature f are those from ``starts[f]`` to ``starts[f + 1]``, by threshold.

    A condition is of tree ``trees``; where it fails, only the leaves of ``masks`` can be reached. A value
    that is unknown fails where not ``unknown_left``. ``leaves`` (trees, `LEAVES`) are the leaves' values.
    """

    starts: Array
    thresholds: Floats
    trees: Array
    masks: Array
    unknown_left: Array
    leaves: Floats


def rank(forest: Forest, features: int) -> RankedForest | None:
    """Lay a forest out by feature; None where a tree has too many leaves."""
    conditions: list[tuple[int, float, int, int, bool]] = []
    leaves = np.zeros((len(forest.roots) - 1, LEAVES))
    for tree, root in enumerate(forest.roots[:-1].tolist()):
        values: list[float] = []

        def visit(node: int, tree: int = tree, values: list[float] = values) -> int:
            """Number the leaves from the left; return the bits of those below `node`."""
            left = int(forest.left[node])
            if left == node:
                values.append(float(forest.value[node]))
                return 1 << (len(values) - 1)
            below = visit(left)
            conditions.append(
                (
                    int(forest.feature[node]), float(forest.threshold[node]), tree, _ALL & ~below,
                    bool(forest.unknown_left[node]),
                )
            )  # fmt: skip
            return below | visit(int(forest.right[node]))

        visit(root)
        if len(values) > LEAVES:
            return None
        leaves[tree, : len(values)] = values
    conditions.sort(key=lambda condition: condition[:2])
    columns: list[Any] = list(zip(*conditions, strict=True)) or [()] * 5
    return RankedForest(
        np.searchsorted(np.array(columns[0], np.int64), np.arange(features + 1)).astype(np.uint32),
        np.array(columns[1], np.float64),
        np.array(columns[2], np.uint32),
        np.array(columns[3], np.uint64),
        np.array(columns[4], np.bool_),
        leaves,
    )


def _instruction(generator: Callable[..., Any]) -> Any:
    """Make a function that returns (signature, code generator) callable in compiled code."""
    return intrinsic(generator)


@_instruction
def _first_bit(typing: Any, bits: Any) -> Any:
    """Return the place of the lowest bit that is set; there is one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@compiled
def sum_of_ranked(
    rows: Floats,
    starts: Array,
    thresholds: Floats,
    trees: Array,
    masks: Array,
    unknown_left: Array,
    leaves: Floats,
    start: float,
) -> Floats:
    """Return what `sum_of_leaves` returns, to the bit, (n,)."""
    out, left = np.empty(rows.shape[0]), np.empty(leaves.shape[0], np.uint64)
    for row in range(rows.shape[0]):
        out[row] = ranked_sum(rows[row], starts, thresholds, trees, masks, unknown_left, leaves, start, left)
    return out


@compiled
def ranked_sum(
    row: Floats,
    starts: Array,
    thresholds: Floats,
    trees: Array,
    masks: Array,
    unknown_left: Array,
    leaves: Floats,
    start: float,
    left: npt.NDArray[np.uint64],
) -> float:
    """Return `start` plus the values of the leaves that one row ends in.

    `left` (trees,) is room to work in.
    """
    left[:] = np.uint64(_ALL)
    for feature in range(np.uint32(len(row))):  # unsigned: an index that cannot be negative is not looked at
        x, at, end = row[feature], starts[feature], starts[feature + np.uint32(1)]
        if np.isnan(x):
            while at < end:
                if not unknown_left[at]:
                    left[trees[at]] &= masks[at]
                at += np.uint32(1)
        while at < end and thresholds[at] < x:
            left[trees[at]] &= masks[at]
            at += np.uint32(1)
    total = start
    for tree in range(np.uint32(len(left))):
        total += leaves[tree, _first_bit(left[tree])]
    return total
