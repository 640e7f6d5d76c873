"""HopSkipJump, which sees decisions only, against the victim and against both. Prints one JSON document.

The attack is that of the Adversarial Robustness Toolbox, which goes through a cube with one side for each
of the 14 columns that can be changed: amounts by their logarithm, counts and rates as they are. A point
stands for the nearest row that can be made of the attacked one. The attack begins at the first of the
nearest normal donors that evades, or, if none does, at the random points that it draws itself.

Run it with the Python of an environment that holds `bench/peers-art.txt`.
``python hopskipjump.py KDDTRAIN [--seed 0] [--attacked 60]``
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import argparse
import importlib.metadata
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from art.attacks.evasion import HopSkipJump
from art.estimators.classification import BlackBoxClassifier
from threadpoolctl import threadpool_limits

from qwarden.detect.datasets.nsl_kdd import read_nsl_kdd
from qwarden.detect.mimicry import Score, nearest_donors
from qwarden.detect.protocols import adversarial
from qwarden.detect.protocols.adversarial import NSL_KDD_MUTABILITY as CAN
from qwarden.detect.protocols.adversarial import rate_above

Floats = npt.NDArray[np.float64]

DONORS = 100
ITERATIONS, FIRST_EVALUATIONS, MOST_EVALUATIONS = 8, 50, 150


class Cube:
    """The mutable columns as a cube: 0 is the least value, 1 the greatest of `rows`."""

    def __init__(self, rows: Floats) -> None:
        self.columns = np.flatnonzero(~CAN.fixed)
        self.grows = CAN.grows[self.columns]
        values = self._bent(rows[:, self.columns])
        self.low, high = values.min(axis=0), values.max(axis=0)
        self.width = np.where(high > self.low, high - self.low, 1.0)

    def _bent(self, values: Floats) -> Floats:
        return np.where(self.grows, np.log1p(values), values)

    def points(self, rows: Floats) -> npt.NDArray[np.float32]:
        """Return the points of rows (n, d), (n, 14)."""
        inside = (self._bent(rows[:, self.columns]) - self.low) / self.width
        found: npt.NDArray[np.float32] = np.clip(inside, 0.0, 1.0).astype(np.float32)
        return found

    def rows(self, points: npt.NDArray[Any], original: Floats) -> Floats:
        """Return the rows (n, d) that can be made of `original` (d,) and come nearest to the points."""
        bent = points.astype(np.float64) * self.width + self.low
        wanted = np.tile(original, (len(points), 1))
        wanted[:, self.columns] = np.where(self.grows, np.expm1(bent), bent)
        return CAN.valid(np.broadcast_to(original, wanted.shape), wanted)


class Judge:
    """A detector as the toolbox sees it: points in, a verdict out; every point is counted."""

    def __init__(self, cube: Cube, evidence: Score) -> None:
        self.cube, self.evidence = cube, evidence
        self.original = np.zeros(0)
        self.asked = 0

    def __call__(self, points: npt.NDArray[Any]) -> Floats:
        """Return (n, 2): 1 for normal in the first column, or for flagged in the second."""
        self.asked += len(points)
        flagged = self.evidence(self.cube.rows(points, self.original)) >= 0.0
        return np.column_stack([~flagged, flagged]).astype(np.float64)


def attack(rows: Floats, donors: Floats, evidence: Score, seed: int) -> dict[str, Any]:
    """Attack each row by itself; return the rows, whether they evade, and the queries of each."""
    cube = Cube(np.concatenate([rows, donors]))
    judge = Judge(cube, evidence)
    classifier = BlackBoxClassifier(judge, (len(cube.columns),), 2, clip_values=(0.0, 1.0))
    near = nearest_donors(rows, donors, CAN.fixed, DONORS)
    found, evades, asked = rows.copy(), np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
    np.random.seed(seed)
    for at, row in enumerate(rows):
        judge.original, judge.asked = row, 0
        start = cube.points(row[None])
        begin = cube.points(donors[near[at]])
        escapes = np.flatnonzero(judge(begin)[:, 0] == 1.0)
        judge.asked = int(escapes[0]) + 1 if len(escapes) else len(begin)
        search = HopSkipJump(
            classifier, max_iter=ITERATIONS, init_eval=FIRST_EVALUATIONS, max_eval=MOST_EVALUATIONS,
            init_size=100, verbose=False,
        )  # fmt: skip
        first = begin[escapes[:1]].copy() if len(escapes) else None
        if judge(start)[0, 0] == 1.0:
            point = start
        else:
            point = search.generate(start, y=np.array([[0.0, 1.0]]), x_adv_init=first)
        found[at] = cube.rows(point, row)[0]
        asked[at] = judge.asked
        evades[at] = judge(point)[0, 0] == 1.0
    return {"rows": found, "evades": evades, "asked": asked}


def figures(path: Path, seed: int, attacked: int) -> dict[str, Any]:
    """Return one seed's figures."""
    data = read_nsl_kdd(path, adversarial.ROWS)
    ground = adversarial.arena(data, seed, attacked=attacked)
    limit = float(np.quantile(ground.victim(ground.normals), 0.95))

    def against_victim(rows: Floats) -> Floats:
        return ground.victim(rows) - limit

    made = attack(ground.attacks, ground.donors, against_victim, seed)
    evading = made["rows"][made["evades"]]
    found: dict[str, Any] = {"victim_evasion": float(made["evades"].mean())}
    for side, opinion in (("", ground.opinion), ("twin ", ground.opinion.twin())):
        usual, shown = -opinion.log_p(ground.normals), -opinion.log_p(evading)
        if len(evading):
            found[f"{side}tpr_at_5pct"] = rate_above(usual, shown, 0.05)
            found[f"{side}tpr_at_1pct"] = rate_above(usual, shown, 0.01)
        both = attack(ground.attacks, ground.donors, ground.union(opinion), seed)
        found[f"{side}evasion"] = float(both["evades"].mean())
        if not side:
            found["queries"] = float(np.median(both["asked"]))
    return {"figures": found, "rows": len(ground.attacks)}


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="KDDTrain+, text or gzip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attacked", type=int, default=60)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", module="art")
    with threadpool_limits(1):
        found = figures(chosen.path, chosen.seed, chosen.attacked)
    toolbox = importlib.metadata.version("adversarial-robustness-toolbox")
    print(json.dumps({**found, "seed": chosen.seed, "toolbox": toolbox}))


if __name__ == "__main__":
    main()
