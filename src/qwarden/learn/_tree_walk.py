"""The compiled walk through decision trees laid out as arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qwarden.core.compiled import compiled
from qwarden.learn.base import Array, Floats


class Forest(NamedTuple):
    """Trees one after another; a leaf points at itself, so that a walk may stand still.

    ``roots`` (trees + 1,) is where each tree starts; ``feature``, ``left``, ``right`` and
    ``unknown_left`` say where a row goes (left if ``x <= threshold``), ``value`` what a leaf says.
    """

    roots: Array
    feature: Array
    threshold: Floats
    left: Array
    right: Array
    unknown_left: Array
    value: Floats


def plant(trees: list[Forest]) -> Forest:
    """Return one forest of single trees whose links count from their own first node."""
    starts = np.cumsum([0, *(len(tree.feature) for tree in trees)]).astype(np.int32)

    def joined(name: str) -> Array:
        return np.concatenate([getattr(tree, name) for tree in trees])

    def linked(name: str) -> Array:
        moved = [getattr(tree, name) + start for tree, start in zip(trees, starts, strict=False)]
        return np.concatenate(moved).astype(np.int32)

    return Forest(
        roots=starts,
        feature=joined("feature").astype(np.int32),
        threshold=joined("threshold").astype(np.float64),
        left=linked("left"),
        right=linked("right"),
        unknown_left=joined("unknown_left").astype(np.bool_),
        value=joined("value").astype(np.float64),
    )


@compiled
def sum_of_leaves(
    rows: Floats,
    roots: Array,
    feature: Array,
    threshold: Floats,
    left: Array,
    right: Array,
    unknown_left: Array,
    value: Floats,
    start: float,
) -> Floats:
    """Return `start` plus the values of the leaves each row ends in, tree by tree, (n,)."""
    out = np.full(rows.shape[0], start)
    for row in range(rows.shape[0]):
        for tree in range(len(roots) - 1):
            node = roots[tree]
            while left[node] != node:
                x = rows[row, feature[node]]
                goes_left = unknown_left[node] if np.isnan(x) else x <= threshold[node]
                node = left[node] if goes_left else right[node]
            out[row] += value[node]
    return out
