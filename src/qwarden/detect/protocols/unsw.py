"""The de-duplicated UNSW-NB15 partition: its splits, and how its columns are made ready.

Three kinds of columns stand side by side. The 42 features pass a `Preprocessor`. Groups of features whose
exact values together are a name (tools repeat themselves to the byte) become the log-odds of that name.
Amounts whose relation to attacks is not monotone become the log-odds of their quantile bin. All log-odds are
counted on training rows, and for these cross-fitted.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.detect.datasets.unsw_nb15 import UNSW_COLUMNS, UNSW_TEXT, UnswNb15
from qwarden.learn import Preprocessor

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

TRAIN_ROWS: Final = 20_000
CALIBRATION_ROWS: Final = 1_000
"""Of the training rows: nothing is trained on them, thresholds are set on the normal ones among them."""

NAMES: Final = (
    ("sbytes", "dbytes"),
    ("smean", "dmean"),
    ("spkts", "dpkts"),
    ("sttl", "dttl", "ct_state_ttl"),
    ("service", "state", "proto"),
    ("service", "sbytes"),
    ("service", "dbytes"),
)
"""Features whose exact values together are taken for one name."""

BINNED: Final = (
    "dur", "rate", "sload", "dload", "sinpkt", "dinpkt", "sjit", "djit", "tcprtt", "synack", "ackdat",
    "smean", "dmean", "sbytes", "dbytes", "ct_srv_src", "ct_dst_src_ltm", "ct_srv_dst", "ct_dst_ltm",
    "ct_src_dport_ltm", "ct_dst_sport_ltm", "ct_src_ltm",
)  # fmt: skip
"""Amounts that enter by the log-odds of their bin, too."""

BINS: Final = 32
PREPROCESSING: Final[dict[str, Any]] = {"max_levels": 24, "cross_fit": 5}
ODDS: Final[dict[str, Any]] = {"max_levels": 0, "cross_fit": 5}


class Split(NamedTuple):
    """Row numbers of a random split, each in no order that means anything."""

    train: I64
    calibration: I64
    test: I64


def random_split(rows: int, seed: int) -> Split:
    """Return `TRAIN_ROWS` random rows, of which `CALIBRATION_ROWS` are put aside, and the rest as test."""
    order = np.random.default_rng([seed, 7]).permutation(rows)
    fit = TRAIN_ROWS - CALIBRATION_ROWS
    return Split(order[:fit], order[fit:TRAIN_ROWS], order[TRAIN_ROWS:])


def inputs(data: UnswNb15) -> F64:
    """Return the features and, behind them, the codes of `NAMES` and the amounts of `BINNED`, (n, 71)."""
    rows = data.rows()
    names = [codes(rows[:, [UNSW_COLUMNS.index(name) for name in group]]) for group in NAMES]
    return np.column_stack([rows, *names, rows[:, [UNSW_COLUMNS.index(name) for name in BINNED]]])


class Columns:
    """From `inputs` to standardised columns; fitted on training rows alone.

    Parameters
    ----------
    seed : of the parts in which log-odds are cross-fitted.
    """

    def __init__(self, seed: int) -> None:
        self._plain = Preprocessor(UNSW_TEXT, seed=seed, **PREPROCESSING)
        self._odds = Preprocessor(range(len(NAMES) + len(BINNED)), seed=seed, **ODDS)

    def fit_transform(self, rows: F64, attack: I64) -> F64:
        """Learn from training rows of `inputs` and their labels; return their columns."""
        features, behind = np.hsplit(rows, [len(UNSW_COLUMNS)])
        shares = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
        self._edges = [np.unique(np.quantile(amounts, shares)) for amounts in behind[:, len(NAMES) :].T]
        plain = self._plain.fit_transform(features, attack, names=UNSW_COLUMNS)
        return np.hstack([plain, self._odds.fit_transform(self._binned(behind), attack)])

    def transform(self, rows: F64) -> F64:
        """Return the columns of other rows of `inputs`."""
        features, behind = np.hsplit(rows, [len(UNSW_COLUMNS)])
        return np.hstack([self._plain.transform(features), self._odds.transform(self._binned(behind))])

    def _binned(self, behind: F64) -> F64:
        names, amounts = np.hsplit(behind, [len(NAMES)])
        bins = [np.searchsorted(e, column) for e, column in zip(self._edges, amounts.T, strict=True)]
        return np.column_stack([names, *bins])


def codes(values: F64) -> F64:
    """Return one number for each distinct row, (n,).

    >>> codes(np.array([[1.0, 2.0], [0.0, 9.0], [1.0, 2.0]])).tolist()
    [1.0, 0.0, 1.0]
    """
    _, numbers = np.unique(values, axis=0, return_inverse=True)
    return numbers.astype(np.float64)
