"""Low-density parity-check codes for Slepian-Wolf coding over the binary symmetric channel, made to order.

A code is asked for by its size and the number of its checks: there is one for each rate in steps of one row
of the base graph, 0.5 to 2 percent, so that nothing has to be punctured. Both ends make the same, from a seed
that is part of this module.

How the degrees were found: for a QBER and a degree of the checks, the degrees of the columns that disclose
the least, by linear programs on top of discretised density evolution (Richardson, Urbanke, IEEE Trans.
Inf. Theory 47, 599 (2001); Chung, Forney, Richardson, Urbanke, IEEE Commun. Lett. 5, 58 (2001)). At a low
QBER the checks must be wide, whatever the columns: f >= 1 / h((1 - (1 - 2q)^d) / 2) for checks of d places
(Gallager's bound). Columns of degree 2 stay below the share where density evolution is stable, for the sake
of frames of finite length.

Between designs the shares are mixed: the nearest one, a fifth off at 7 %, failed a quarter of the frames.

Start reading at `code`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.keys.reconciliation._ldpc_loops import Int32, lay_edges, make_wires

SEED: Final = np.uint64(0x51_77_61_72_64_65_6E)
STEPS: Final = 8
"""Extensions that a code has."""
SHARE: Final = 8
"""One of them has so much of the code's own rows: an eighth."""

NARROW: Final = 3
"""So much narrower are the checks of extensions: for when there are more errors than expected, and wide ones
say little until most of their places are known."""
WIDTH_LEAST: Final = 3
"""Of a check."""
STRIDE: Final = 521
"""Prime, and more than any code has columns."""

DESIGNS: Final[tuple[tuple[float, dict[int, float]], ...]] = (
    (0.0666, {2: 0.031, 3: 0.192, 8: 0.124, 9: 0.224, 14: 0.018, 33: 0.41}),
    (0.0947, {2: 0.039, 3: 0.214, 8: 0.052, 9: 0.305, 24: 0.058, 33: 0.332}),
    (0.136, {2: 0.048, 3: 0.237, 9: 0.351, 28: 0.177, 33: 0.184}),
    (0.2296, {2: 0.07, 3: 0.287, 9: 0.198, 10: 0.15, 12: 0.01, 24: 0.017, 28: 0.268}),
    (0.3432, {2: 0.093, 3: 0.33, 9: 0.12, 10: 0.16, 12: 0.048, 24: 0.249}),
    (0.4893, {2: 0.12, 3: 0.364, 9: 0.146, 10: 0.054, 20: 0.316}),
)
"""Checks a place, and the share of edges at columns of each degree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A quasi-cyclic code and its extensions.

    Parameters
    ----------
    columns, lifting : a frame has ``columns * lifting`` places.
    rows : of the code itself; a syndrome has ``rows * lifting`` bits.
    step : rows that each of the `STEPS` extensions adds.
    column, shift, start : edges row after row, those of the extensions last, and where each row's begin.
    """

    columns: int
    lifting: int
    rows: int
    step: int
    column: Int32
    shift: Int32
    start: Int32


@functools.lru_cache(maxsize=64)
def code(columns: int, rows: int, lifting: int) -> Code:
    """Make the code for frames of ``columns * lifting`` bits, ``rows * lifting`` of which are disclosed.

    Parameters
    ----------
    lifting : a power of two.
    """
    degrees = column_degrees(columns, rows)
    step = -(-rows // SHARE)
    width = -(-int(degrees.sum()) // rows)
    narrow = max(-(-width // NARROW), WIDTH_LEAST)
    laps = -(-STEPS * step * narrow // columns)
    wires = make_wires(columns, rows + STEPS * step, int(degrees[-1]) + laps, max(width, WIDTH_LEAST))
    lay_edges(wires, np.repeat(np.arange(columns, dtype=np.int32), degrees), 0, rows, lifting, SEED)
    # The extensions go round all columns, in strides, so that each takes in all degrees.
    ends = (STRIDE * np.arange(STEPS * step * narrow) % columns).astype(np.int32)
    for i, part in enumerate(np.split(ends, STEPS)):
        lay_edges(wires, part, rows + i * step, rows + (i + 1) * step, lifting, SEED + np.uint64(i + 1))
    there = np.arange(wires.of_row.shape[1]) < wires.row_degree[:, None]
    return Code(
        columns=columns,
        lifting=lifting,
        rows=rows,
        step=step,
        column=wires.of_row[there],
        shift=wires.by_row[there],
        start=np.concatenate([[0], np.cumsum(wires.row_degree)]).astype(np.int32),
    )


def column_degrees(columns: int, rows: int) -> npt.NDArray[np.int64]:
    """Return the degree of each column, ascending: of the designs on either side in checks a place, mixed.

    >>> np.unique(column_degrees(512, 48)).tolist()
    [2, 3, 8, 9, 24, 33]
    """
    ratios = np.log([ratio for ratio, _ in DESIGNS])
    degrees = np.unique([degree for _, edges in DESIGNS for degree in edges])
    shares = [
        np.interp(math.log(rows / columns), ratios, [edges.get(degree, 0.0) for _, edges in DESIGNS])
        for degree in degrees.tolist()
    ]
    ends = np.cumsum(np.array(shares) / degrees)
    middles = (np.arange(columns) + 0.5) / columns
    found: npt.NDArray[np.int64] = np.minimum(degrees[np.searchsorted(ends / ends[-1], middles)], rows)
    return found
