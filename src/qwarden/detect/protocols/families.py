"""Columns that carry from known to unseen attack families on UNSW-NB15.

The log-odds of `Columns` say what known attacks do. Two kinds of columns say less of them and more of normal
traffic, so they hold for families that training never saw: how one amount stands to another, and how often
normal rows bear a name.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.datasets.unsw_nb15 import UNSW_COLUMNS, UnswNb15
from qwarden.detect.protocols.unsw import Columns, codes, inputs
from qwarden.learn.base import standard_scale

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

RELATIONS: Final = (
    ("sbytes", "dbytes"),
    ("spkts", "dpkts"),
    ("sload", "dload"),
    ("smean", "dmean"),
    ("sinpkt", "dinpkt"),
    ("sjit", "djit"),
    ("sbytes", "spkts"),
    ("dbytes", "dpkts"),
    ("sloss", "spkts"),
    ("dloss", "dpkts"),
    ("dur", "spkts"),
    ("dur", "tcprtt"),
    ("synack", "ackdat"),
    ("ct_srv_src", "ct_src_ltm"),
    ("ct_srv_dst", "ct_dst_ltm"),
    ("ct_dst_src_ltm", "ct_dst_ltm"),
    ("ct_src_dport_ltm", "ct_src_ltm"),
    ("ct_dst_sport_ltm", "ct_dst_ltm"),
    ("response_body_len", "dbytes"),
    ("sjit", "sinpkt"),
    ("djit", "dinpkt"),
)
"""Amounts whose ratio, logarithmic, is one column."""

SECONDS: Final = ("dur", "tcprtt", "synack", "ackdat")
"""Amounts that are far below 1."""

NORMAL_NAMES: Final = (
    ("sbytes", "dbytes"),
    ("smean", "dmean"),
    ("spkts", "dpkts"),
    ("sbytes", "spkts"),
    ("dbytes", "dpkts"),
    ("sttl", "dttl", "ct_state_ttl"),
    ("service", "state", "proto"),
    ("service", "sbytes"),
    ("service", "dbytes"),
    ("proto", "state", "sttl", "dttl"),
    ("service", "spkts", "dpkts"),
    ("sloss", "dloss", "spkts", "dpkts"),
    ("service", "trans_depth", "response_body_len", "ct_flw_http_mthd"),
    ("service", "smean"),
    ("service", "dmean"),
    ("swin", "dwin", "state"),
    ("ct_srv_src", "ct_srv_dst", "ct_dst_src_ltm"),
    ("ct_dst_ltm", "ct_src_ltm", "ct_src_dport_ltm", "ct_dst_sport_ltm"),
)
"""Features whose exact values together are a name, counted among normal rows."""

PARTS: Final = 5
LIMIT: Final = 8.0
"""Standardised values are cut here, as in `qwarden.learn.Preprocessor`."""


def family_inputs(data: UnswNb15) -> F64:
    """Return `inputs`, the logarithms of `RELATIONS` and the codes of `NORMAL_NAMES`, (n, 110)."""
    rows = data.rows()
    ratios = [_logarithm(rows, above) - _logarithm(rows, below) for above, below in RELATIONS]
    names = [codes(rows[:, [UNSW_COLUMNS.index(name) for name in group]]) for group in NORMAL_NAMES]
    return np.column_stack([inputs(data), *ratios, *names])


def _logarithm(rows: F64, name: str) -> F64:
    logarithm: F64 = np.log(rows[:, UNSW_COLUMNS.index(name)] + (1e-5 if name in SECONDS else 1.0))
    return logarithm


class FamilyColumns:
    """From `family_inputs` to standardised columns; fitted on training rows alone.

    First those of `Columns`, then the ratios, last the counts of names among normal training rows. A training
    row's counts come from the parts of the training rows that it is not in.

    Parameters
    ----------
    seed : of the parts.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._columns = Columns(seed)

    def fit_transform(self, rows: F64, attack: I64) -> F64:
        """Learn from training rows of `family_inputs` and their labels; return their columns."""
        known, ratios, names = _cut(rows)
        self._normals = names[attack == 0]
        part = np.random.default_rng([self.seed, 13]).permutation(len(rows)) % PARTS
        counted = np.empty(names.shape)
        for number in range(PARTS):
            others = names[(part != number) & (attack == 0)]
            counted[part == number] = _counts(others, names[part == number]) * PARTS / (PARTS - 1)
        carried = np.hstack([ratios, np.log1p(counted)])
        self._mean, self._scale = standard_scale(carried)
        return np.hstack([self._columns.fit_transform(known, attack), self._standard(carried)])

    def transform(self, rows: F64) -> F64:
        """Return the columns of other rows of `family_inputs`."""
        known, ratios, names = _cut(rows)
        carried = np.hstack([ratios, np.log1p(_counts(self._normals, names))])
        return np.hstack([self._columns.transform(known), self._standard(carried)])

    def _standard(self, carried: F64) -> F64:
        standard: F64 = np.clip((carried - self._mean) / self._scale, -LIMIT, LIMIT)
        return standard


def _cut(rows: F64) -> list[F64]:
    """Cut rows of `family_inputs` into those of `inputs`, ratios and names."""
    behind = len(RELATIONS) + len(NORMAL_NAMES)
    return np.split(rows, [rows.shape[1] - behind, rows.shape[1] - len(NORMAL_NAMES)], axis=1)


def _counts(among: F64, names: F64) -> F64:
    """Return how often each name stands in its column of `among`, (n, columns).

    >>> _counts(np.array([[1.0], [1.0], [4.0]]), np.array([[1.0], [2.0]])).tolist()
    [[2.0], [0.0]]
    """
    ordered = [np.sort(column) for column in among.T]
    return np.column_stack(
        [
            np.searchsorted(column, named, "right") - np.searchsorted(column, named, "left")
            for column, named in zip(ordered, names.T, strict=True)
        ]
    ).astype(np.float64)
