"""The random split of NSL-KDD: how well quantum models separate known attacks from normal traffic.

Train and test rows come from one recording, so this says nothing about new attacks or other networks; it
is the protocol that most published figures use.

Bytes sent and received enter twice: as amounts, through their quantiles, and as names, by the log-odds of
the exact value. Tools repeat themselves to the byte (a flood of 1,032-byte echoes, a probe of 8), which no
smooth function of the amount can say. The log-odds of training rows are cross-fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from qwarden.core.measure import Checkpoint, Measured, Resources
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.datasets.nsl_kdd import NSL_KDD_COLUMNS, NSL_KDD_LEVELS, NslKdd, read_nsl_kdd
from qwarden.learn import GradientBoostingTwin, Preprocessor, QNNClassifier
from qwarden.quantum import cz_ring_reupload

I64 = npt.NDArray[np.int64]

ROWS: Final = 25_192
"""The first so many training rows: the file that is known as KDDTrain+_20Percent."""

SEEDS: Final = (0, 1, 2, 3, 4)
TEST_SHARE: Final = 0.25

EXACT: Final = ("src_bytes", "dst_bytes")
"""Amounts whose exact value is a name, too."""

QUBITS: Final = 6
LAYERS: Final = 3
STEPS: Final = 2000
MEMBERS: Final = 3
"""Networks whose log-odds are averaged; they differ in their seed alone."""

PREPROCESSING: Final[dict[str, Any]] = {"max_levels": 24, "cross_fit": 5}
TWIN: Final[dict[str, Any]] = {"iterations": 100, "max_leaf_nodes": 63, "l2": 1.0}

CONFIGURATIONS_TRIED: Final = 36
"""Settings looked at on four inner splits of the training part of seed 0, no test part among them: twenty of
the networks (columns, log-odds, sizes, steps, noise), sixteen of those as three members, too. The twin had
24 (columns, log-odds, trees)."""


def measure_random_split(path: Path, checkpoint: Checkpoint, progress: Progress = SILENT) -> Measured:
    """Train and test once a seed; the figures of `detect.nsl_kdd_random`."""
    data = read_nsl_kdd(path, ROWS)
    found: dict[str, Any] = checkpoint.load()
    # One thread: the sums then have one order, and one seed gives one figure.
    with threadpool_limits(1), progress.task("NSL-KDD, random splits", len(SEEDS)) as task:
        for seed in SEEDS:
            if str(seed) not in found:
                found[str(seed)] = accuracies(data, seed)
                checkpoint.save(found)
            task.advance(1)
    quantum, unentangled, twin = zip(*(found[str(seed)] for seed in SEEDS), strict=True)
    circuit = cz_ring_reupload(QUBITS, LAYERS)
    return Measured(
        values={"accuracy": float(np.mean(quantum)), "unentangled": float(np.mean(unentangled))},
        data=f"NSL-KDD KDDTrain+, first {ROWS:,} rows; SHA-256 of the file, uncompressed: {data.sha256}",
        split=f"{1 - TEST_SHARE:.0%} train, {TEST_SHARE:.0%} test, stratified by label (normal or attack), "
        "once a seed; settings chosen on inner splits of seed 0's training part",
        seeds=SEEDS,
        n=len(SEEDS) * int(held_out_rows(data.attacks, SEEDS[0]).sum()),
        configurations_tried=CONFIGURATIONS_TRIED,
        ci95={"accuracy": _interval(quantum), "unentangled": _interval(unentangled)},
        twin={"accuracy": float(np.mean(twin))},
        resources=Resources(
            qubits=circuit.qubits, depth=circuit.depth, two_qubit_gates=circuit.two_qubit_gates, shots=None
        ),
    )


def accuracies(data: NslKdd, seed: int) -> tuple[float, float, float]:
    """Return the share of one split's test rows that are told right.

    By the networks, by the same ones without their entangling gates, and by the classical twin.
    """
    test = held_out_rows(data.attacks, seed)
    attack, truth = data.attacks[~test], data.attacks[test]
    rows = data.rows()
    rows = np.column_stack([rows, rows[:, [NSL_KDD_COLUMNS.index(name) for name in EXACT]]])
    exact = [f"{name}, exact" for name in EXACT]
    preprocessor = Preprocessor([*NSL_KDD_LEVELS, *exact], seed=seed, **PREPROCESSING)
    train = preprocessor.fit_transform(rows[~test], attack, names=[*NSL_KDD_COLUMNS, *exact])
    unseen = preprocessor.transform(rows[test])

    def networks(entangled: bool) -> float:
        logits = np.zeros(len(truth))
        for member in range(MEMBERS):
            network = QNNClassifier(QUBITS, LAYERS, STEPS, entangled=entangled, seed=MEMBERS * seed + member)
            logits += network.fit(train, attack).decision_function(unseen)
        return float(((logits > 0) == truth).mean())

    twin = GradientBoostingTwin(seed=seed, **TWIN).fit(train, attack)
    return networks(entangled=True), networks(entangled=False), twin.score(unseen, truth)


def held_out_rows(attack: I64, seed: int) -> npt.NDArray[np.bool_]:
    """Mark a random `TEST_SHARE` of the attacks and of the normal rows, (n,)."""
    rng = np.random.default_rng([seed, 7])
    marked = np.zeros(len(attack), np.bool_)
    for label in (0, 1):
        members = np.flatnonzero(attack == label)
        marked[rng.permutation(members)[: round(len(members) * TEST_SHARE)]] = True
    return marked


def _interval(figures: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean over seeds (Student's t)."""
    half = student.ppf(0.975, len(figures) - 1) * np.std(figures, ddof=1) / np.sqrt(len(figures))
    return float(np.mean(figures) - half), float(np.mean(figures) + half)
