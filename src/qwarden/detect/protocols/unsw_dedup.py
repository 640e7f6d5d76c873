"""The de-duplicated UNSW-NB15 partition, split at random: known attacks against normal traffic.

Train and test rows come from one laboratory, so this says nothing about other networks or new attacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.measure import Checkpoint, Measured
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.datasets.unsw_nb15 import UnswNb15, read_unsw_nb15
from qwarden.detect.protocols.ensembles import forests, hybrid, network_resources, networks
from qwarden.detect.protocols.members import Fusion, Member, auc, fit_members, suspicions
from qwarden.detect.protocols.seeds import TWIN, each_seed, summary
from qwarden.detect.protocols.unsw import CALIBRATION_ROWS, TRAIN_ROWS, Columns, inputs, random_split

F64 = npt.NDArray[np.float64]

SEEDS: Final = (0, 1, 2, 3, 4)

NETWORK: Final[dict[str, Any]] = {
    "qubits": 6, "layers": 5, "steps": 2000, "input_noise": 0.15, "class_weight": None,
}  # fmt: skip
"""Classes keep their own weight, since accuracy counts rows."""

NETWORKS: Final = 3
"""Networks whose log-odds are averaged; they differ in their seed alone."""

BOOSTED: Final[dict[str, Any]] = {"iterations": 200, "learning_rate": 0.05, "class_weight": None}
EXTRA: Final[dict[str, Any]] = {"trees": 200, "class_weight": None}
MACHINE: Final[dict[str, Any]] = {"landmarks": 500, "class_weight": None, "calibration_share": 0.1}

F5: Final = 0.05
"""The budget of false alarms of the figures that name it."""

CONFIGURATIONS_TRIED: Final = 71
"""Columns, sizes, steps, noise, weights, forests and fusions, each on one or two inner splits of seed 0's
training part, no test row among them. A third of them are the twin's.
"""


def measure_unsw_dedup(path: Path, checkpoint: Checkpoint, progress: Progress = SILENT) -> Measured:
    """Train and test once a seed; the figures of `detect.unsw_dedup`."""
    data = read_unsw_nb15(path).distinct()
    rows = inputs(data)
    found = each_seed(
        "UNSW-NB15, random splits", lambda seed: accuracies(data, rows, seed), SEEDS, checkpoint, progress
    )
    return summary(
        found,
        data=f"UNSW-NB15, 82,332-row partition, {len(rows):,} rows after de-duplication on the 42 features; "
        f"SHA-256 of the file, uncompressed: {data.sha256}",
        split=f"{TRAIN_ROWS:,} random rows train, the rest test, once a seed; thresholds at 5 % are "
        f"set on the normal ones of {CALIBRATION_ROWS:,} training rows put aside; settings chosen on inner "
        "splits of seed 0's training part",
        seeds=SEEDS,
        n=len(SEEDS) * (len(rows) - TRAIN_ROWS),
        configurations_tried=CONFIGURATIONS_TRIED,
        resources=network_resources(NETWORK["qubits"], NETWORK["layers"]),
    )


def accuracies(data: UnswNb15, rows: F64, seed: int) -> dict[str, float]:
    """Return the figures of one split.

    The verdict at 0.5 is the sign of a mean log-odds: of the networks, or, fused, of the networks' mean and
    each forest's. The one at f5 is a fusion's against held-out normals.
    """
    attack, split = data.attacks, random_split(len(rows), seed)
    columns = Columns(seed)
    train = columns.fit_transform(rows[split.train], attack[split.train])
    apart = columns.transform(rows[split.calibration[attack[split.calibration] == 0]])
    unseen, truth = columns.transform(rows[split.test]), attack[split.test]

    def scored(ensemble: list[Member]) -> tuple[F64, F64]:
        fitted = fit_members(ensemble, train, attack[split.train], seed=seed)
        return suspicions(fitted, apart), suspicions(fitted, unseen)

    def told_right(log_odds: F64) -> float:
        return float(((log_odds > 0) == truth).mean())

    def at_f5(normals: F64, table: F64) -> float:
        return float((Fusion(seed=seed).fit(normals).flag(table, F5) == truth).mean())

    (near, quantum), (flat, unentangled) = (
        scored(networks(NETWORK, NETWORKS)),
        scored(networks(NETWORK, NETWORKS, entangled=False)),
    )
    (tree_near, trees), (_, mixed) = scored(forests(BOOSTED, EXTRA)), scored([hybrid(NETWORK, MACHINE)])
    log_odds = quantum.mean(axis=1)
    fused = (log_odds + trees.sum(axis=1)) / (1 + trees.shape[1])
    return {
        "quantum": told_right(log_odds),
        "fused": told_right(fused),
        "unentangled": told_right(unentangled.mean(axis=1)),
        "hybrid": told_right(mixed[:, 0]),
        "quantum_f5": at_f5(near, quantum),
        "fused_f5": at_f5(np.hstack([near, tree_near]), np.hstack([quantum, trees])),
        "unentangled_f5": at_f5(flat, unentangled),
        "auc_quantum": auc(log_odds, truth),
        "auc_fused": auc(fused, truth),
        f"{TWIN}quantum": told_right(trees[:, 0]),
        f"{TWIN}fused": told_right(trees.mean(axis=1)),
        f"{TWIN}quantum_f5": at_f5(tree_near[:, :1], trees[:, :1]),
        f"{TWIN}fused_f5": at_f5(tree_near, trees),
        f"{TWIN}auc_quantum": auc(trees[:, 0], truth),
        f"{TWIN}auc_fused": auc(trees.mean(axis=1), truth),
    }
