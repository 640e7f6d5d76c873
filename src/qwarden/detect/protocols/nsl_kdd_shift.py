"""What the protocols under shift share: rows of NSL-KDD, thinned, weighted by family, prepared.

In training one flood outnumbers the next attack by four to one, and some attacks have ten rows. What is to
recognise new attacks must not spend itself on the flood, so each family keeps at most `FAMILY_ROWS` rows,
and a family of n rows gets the weight ``sqrt(n)`` in all. Families are the names that training rows carry;
test rows give nothing but their features.

Trees are grown a second time with mixed rows among the attacks: normal rows whose columns come in part from
other normal rows, which no known attack resembles (outlier exposure; Hendrycks et al 2019). On families left
out of the training this was worth more than anything else to trees. Networks did not gain by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.datasets.nsl_kdd import NORMAL, NSL_KDD_COLUMNS, NSL_KDD_LEVELS
from qwarden.detect.protocols.ensembles import networks
from qwarden.detect.protocols.members import Fitted, Member, fit_members
from qwarden.learn import (
    ExtraTreesTwin,
    GradientBoostingTwin,
    Preprocessor,
    QuantumOneClass,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]

FAMILY_ROWS: Final = 3000
NORMAL_ROWS: Final = 30_000

CATEGORIES: Final = {
    "DoS": ("back", "land", "neptune", "pod", "smurf", "teardrop"),
    "Probe": ("ipsweep", "nmap", "portsweep", "satan"),
    "R2L": (
        "ftp_write", "guess_passwd", "imap", "multihop", "phf", "spy", "warezclient", "warezmaster",
    ),
    "U2R": ("buffer_overflow", "loadmodule", "perl", "rootkit"),
}  # fmt: skip
"""The attacks of KDDTrain+ by category. Source: Tavallaee et al 2009, table I."""


_SYMBOLS = NSL_KDD_COLUMNS[1:4]

VIEWS: Final = {
    "all": NSL_KDD_COLUMNS,
    "connection": NSL_KDD_COLUMNS[:22],
    "host": (*_SYMBOLS, *NSL_KDD_COLUMNS[31:]),
    "basic": (*NSL_KDD_COLUMNS[:6], "hot", "logged_in"),
}
"""Columns that a one-class model looks at: an attack that is odd in a few drowns among all 41. No view
has log-odds of codes: they speak of the attacks that are known."""

VIEW_QUBITS: Final = {"all": 8, "connection": 7, "host": 7, "basic": 7}

MIXED_WEIGHT: Final = 0.3
"""Weight of a mixed row; a training row has 1 in the mean."""

WITH_MIXED: Final = ", mixed rows"
"""Members whose name ends so are trained with mixed rows."""

TREES_WEIGHT: Final = 0.5
"""Weight of each of the four forests in a fusion; that of a one-class model is 1, of all networks together 1.

Chosen by `qwarden.detect.protocols.nsl_kdd_fusions`."""

NETWORKS: Final = 3
TREES: Final = 60

NETWORK: Final[dict[str, Any]] = {"qubits": 6, "layers": 3, "steps": 500}


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Rows to learn from.

    Attributes
    ----------
    preprocessor : fitted on these rows.
    rows : prepared, (n, d).
    attack : 1 for an attack, (n,).
    weights : by family, (n,): those of attacks sum to their number.
    mixed : as many prepared mixed rows as there are attacks, (m, d).
    """

    preprocessor: Preprocessor
    rows: Floats
    attack: Ints
    weights: Floats
    mixed: Floats


def training_rows(rows: Floats, labels: Names, seed: int, **preprocessing: Any) -> TrainingRows:
    """Thin, weigh and prepare raw rows (n, 41) with the names of their families (n,)."""
    kept = thinned(labels, seed)
    rows, labels = rows[kept], labels[kept]
    attack = (labels != NORMAL).astype(np.int64)
    preprocessor = Preprocessor(list(NSL_KDD_LEVELS), seed=seed, **preprocessing)
    prepared = preprocessor.fit_transform(rows, attack, names=list(NSL_KDD_COLUMNS))
    mixed = preprocessor.transform(mixed_rows(rows[attack == 0], int(attack.sum()), seed))
    return TrainingRows(preprocessor, prepared, attack, family_weights(labels), mixed)


def mixed_rows(normals: Floats, count: int, seed: int) -> Floats:
    """Return normal rows, 10 to 90 % of whose columns come each from some other normal, (count, d)."""
    rng = np.random.default_rng([seed, 31])
    rows = normals[rng.integers(len(normals), size=count)]
    foreign = rng.random(rows.shape) < rng.uniform(0.1, 0.9, size=(count, 1))
    donors = rng.integers(len(normals), size=rows.shape)
    return np.where(foreign, np.take_along_axis(normals, donors, axis=0), rows)


def fit_on(train: TrainingRows, members: Sequence[Member], seed: int) -> list[Fitted]:
    """Train members, those with mixed rows by name with them; return them in their order."""
    rows = np.vstack([train.rows, train.mixed])
    attack = np.concatenate([train.attack, np.ones(len(train.mixed), np.int64)])
    weights = np.concatenate([train.weights, np.full(len(train.mixed), MIXED_WEIGHT)])
    fitted = []
    for member in members:
        if member.name.endswith(WITH_MIXED):
            fitted += fit_members([member], rows, attack, seed=seed, sample_weight=weights)
        else:
            fitted += fit_members([member], train.rows, train.attack, seed=seed, sample_weight=train.weights)
    return fitted


def thinned(labels: Names, seed: int) -> Ints:
    """Return numbers of the rows kept, rising: at most so many of a family, and of the normals."""
    rng = np.random.default_rng([seed, 13])
    kept = []
    for name in np.unique(labels):
        members = np.flatnonzero(labels == name)
        most = NORMAL_ROWS if name == NORMAL else FAMILY_ROWS
        kept.append(members if len(members) <= most else rng.choice(members, most, replace=False))
    return np.sort(np.concatenate(kept))


def family_weights(labels: Names) -> Floats:
    """Return weights, (n,): 1 for a normal row; a family of n attacks weighs ``sqrt(n)``, rescaled to mean 1.

    >>> family_weights(np.array(["normal", "a", "b", "b", "b", "b"])).round(3).tolist()
    [1.0, 1.667, 0.833, 0.833, 0.833, 0.833]
    """
    _, family, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / np.sqrt(counts[family])
    attack = labels != NORMAL
    weights[~attack] = 1.0
    if attack.any():
        weights[attack] /= weights[attack].mean()
    return weights


def view_columns(preprocessor: Preprocessor, view: str) -> Ints:
    """Return the numbers of the prepared columns that come from a view's columns, without log-odds."""
    names = preprocessor.feature_names_in_
    wanted = [names.index(name) for name in VIEWS[view]]
    told = np.array([name.endswith("log-odds") for name in preprocessor.feature_names_out_])
    return np.flatnonzero(np.isin(preprocessor.source_, wanted) & ~told)


def quantum(preprocessor: Preprocessor, *, entangled: bool = True) -> list[Member]:
    """Return networks, then the eigenspace of the normals' mean state in each view."""

    def space(view: str) -> Member:
        def make(seed: int) -> QuantumOneClass:
            return QuantumOneClass(
                method="eigenspace", qubits=VIEW_QUBITS[view], seed=seed, entangled=entangled
            )

        return Member(f"eigenspace, {view}", make, quantum=True, columns=view_columns(preprocessor, view))

    members = [*networks(NETWORK, NETWORKS, entangled=entangled), *(space(view) for view in VIEWS)]
    if entangled:
        return members
    return [replace(member, name=f"{member.name}, unentangled") for member in members]


def classical() -> list[Member]:
    """Return the twins: trees of two kinds, without and with mixed rows."""
    kinds = {
        "extra trees": lambda seed: ExtraTreesTwin(TREES, seed=seed),
        "boosted trees": lambda seed: GradientBoostingTwin(TREES, seed=seed),
    }
    return [
        Member(name + ending, make, quantum=False)
        for name, make in kinds.items()
        for ending in ("", WITH_MIXED)
    ]


def fusion_weights(members: Sequence[Member]) -> list[float]:
    """Return the weight of each member's evidence; networks speak with one voice."""
    count = sum(member.name.startswith("qnn") for member in members)

    def weight(member: Member) -> float:
        if member.name.startswith("qnn"):
            return 1.0 / count
        return 1.0 if member.quantum else TREES_WEIGHT

    return [weight(member) for member in members]
