"""Selection on NSL-KDD: how well models rank attack families that training never showed.

Each fold leaves one family of KDDTrain+ out of the training and ranks its rows against held-out normals;
the rare families of few rows are one fold together. The figure of a candidate is the mean AUC over the
folds. It is what models, maps and settings of the protocols under shift were chosen by, except the fusion
(`nsl_kdd_fusions`); KDDTest+ has no part in it.

Kernels see the same `KERNEL_ROWS` training rows each, solved by the same machine, with the same penalty;
so do the votes of nearest states and of nearest rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from qwarden.core.measure import Checkpoint, Measured
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.datasets.nsl_kdd import NslKdd, read_nsl_kdd
from qwarden.detect.protocols.ensembles import network_resources
from qwarden.detect.protocols.members import auc
from qwarden.detect.protocols.nsl_kdd_random import ROWS, held_out_rows
from qwarden.detect.protocols.nsl_kdd_shift import (
    NETWORK,
    VIEWS,
    Floats,
    Ints,
    TrainingRows,
    training_rows,
    view_columns,
)
from qwarden.detect.protocols.seeds import TWIN, each_seed, summary
from qwarden.learn import (
    QSVC,
    AlignedEncoding,
    BinaryEstimator,
    ExtraTreesTwin,
    FixedEncoding,
    GradientBoostingTwin,
    HybridClassifier,
    KNeighborsTwin,
    NeighborDistanceTwin,
    OneClassEstimator,
    ProjectedQSVC,
    QKNNClassifier,
    QNNClassifier,
    QuantumOneClass,
)
from qwarden.quantum import swap_test

CONFIGURATIONS_TRIED: Final = 145
"""Settings whose figures on families left out of training rows were looked at: networks (noise, steps,
decay, sizes, weights of families, mixed rows as further attacks) 30, one-class models (method, bandwidth,
mass, views, log-odds of codes, trained states) 25, surprise of values within a service 9, trees and
distances 14, fusions (members, weights, groups of conformal p-values) 67."""

SEEDS: Final = (0, 1, 2)
FOLDS: Final = (
    "neptune", "smurf", "back", "teardrop", "ipsweep", "satan", "portsweep", "nmap", "warezclient",
    "guess_passwd", "rare",
)  # fmt: skip
"""Families left out, one a fold; ``rare`` are the other R2L and U2R attacks, 2 to 20 rows each."""

RARE: Final = (
    "buffer_overflow", "ftp_write", "imap", "loadmodule", "multihop", "perl", "phf", "rootkit", "spy",
    "warezmaster",
)  # fmt: skip

KERNEL_ROWS: Final = 1500
JUDGED_ROWS: Final = 1000
"""Rows of the family, and held-out normals, that are ranked: at most so many of each."""

SHOTS: Final = 1024
"""Runs of the swap test for each entry of the sampled kernel."""


class Fold(NamedTuple):
    """One family left out.

    Attributes
    ----------
    train : the rows to learn from, without it.
    kernel : numbers of those that kernels and votes learn from.
    judged : prepared rows of held-out normals and of the family, (n, d).
    truth : 1 for the family's, (n,).
    """

    train: TrainingRows
    kernel: Ints
    judged: Floats
    truth: Ints


Candidate = Callable[[Fold, int], Floats]
"""From a fold and a seed to the suspicion of each judged row, (n,)."""


def measure_selection(path: Path, checkpoint: Checkpoint, progress: Progress = SILENT) -> Measured:
    """Train every candidate on every fold, once a seed; the figures of `detect.nsl_kdd_selection`."""
    data = read_nsl_kdd(path)
    figures = each_seed("NSL-KDD, families left out", partial(mean_aucs, data), SEEDS, checkpoint, progress)
    return summary(
        figures,
        data=f"NSL-KDD KDDTrain+; SHA-256 of the file, uncompressed: {data.sha256}",
        split=f"a family left out of 75% of the first {ROWS:,} rows and ranked against the normals of the "
        f"other 25%, {len(FOLDS)} folds, once a seed; kernels and votes learn from {KERNEL_ROWS:,} rows",
        seeds=SEEDS,
        n=len(SEEDS) * len(FOLDS),
        configurations_tried=CONFIGURATIONS_TRIED,
        resources=network_resources(NETWORK["qubits"], NETWORK["layers"]),
    )


def mean_aucs(data: NslKdd, seed: int) -> dict[str, float]:
    """Return the mean AUC over the folds of one seed by name of the candidate."""
    found: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for fold in folds(data, seed):
        for name, candidate in CANDIDATES.items():
            found[name].append(auc(candidate(fold, seed), fold.truth))
    return {name: float(np.mean(values)) for name, values in found.items()}


def folds(data: NslKdd, seed: int) -> Iterator[Fold]:
    """Yield a fold for each of `FOLDS` that has rows."""
    rng = np.random.default_rng([seed, 23])
    rows, labels = data.rows(), data.labels
    first = np.arange(len(labels)) < ROWS
    apart = np.zeros(len(labels), np.bool_)
    apart[first] = held_out_rows(data.attacks[first], seed)
    normals = _at_most(np.flatnonzero(apart & (data.attacks == 0)), rng)
    for name in FOLDS:
        left_out = np.isin(labels, RARE if name == "rare" else (name,))
        if not left_out.any():
            continue
        family = _at_most(np.flatnonzero(left_out), rng)
        learnt = np.flatnonzero(first & ~apart & ~left_out)
        train = training_rows(rows[learnt], labels[learnt], seed)
        judged = train.preprocessor.transform(rows[np.concatenate([normals, family])])
        truth = np.repeat(np.array([0, 1]), [len(normals), len(family)])
        yield Fold(train, _kernel_rows(train, rng), judged, truth)


def _at_most(numbers: Ints, rng: np.random.Generator) -> Ints:
    """Return a random sample of `JUDGED_ROWS` of the numbers, or all."""
    return numbers if len(numbers) <= JUDGED_ROWS else rng.choice(numbers, JUDGED_ROWS, replace=False)


def _kernel_rows(train: TrainingRows, rng: np.random.Generator) -> Ints:
    """Return half normals, half attacks by their families' weights, as far as there are so many."""
    half = KERNEL_ROWS // 2
    parts = []
    for label in (0, 1):
        members = np.flatnonzero(train.attack == label)
        share = train.weights[members] / train.weights[members].sum()
        parts.append(rng.choice(members, min(half, len(members)), replace=False, p=share))
    return np.sort(np.concatenate(parts))


def _classifier(make: Callable[[int], BinaryEstimator], *, weighted: bool = True) -> Candidate:
    """Return a candidate that learns from all rows of a fold."""

    def rank(fold: Fold, seed: int) -> Floats:
        train = fold.train
        model = make(seed).fit(train.rows, train.attack, train.weights if weighted else None)
        return model.decision_function(fold.judged)

    return rank


def _on_kernel_rows(make: Callable[[int], BinaryEstimator]) -> Candidate:
    """Return a candidate that learns from the fold's `kernel` rows."""

    def rank(fold: Fold, seed: int) -> Floats:
        model = make(seed).fit(fold.train.rows[fold.kernel], fold.train.attack[fold.kernel])
        return model.decision_function(fold.judged)

    return rank


def _one_class(make: Callable[[int], OneClassEstimator], view: str | None = None) -> Candidate:
    """Return a candidate that learns from the normals of a fold, in one view of theirs."""

    def rank(fold: Fold, seed: int) -> Floats:
        train = fold.train
        seen = slice(None) if view is None else view_columns(train.preprocessor, view)
        model = make(seed).fit(train.rows[train.attack == 0][:, seen])
        return model.strangeness(fold.judged[:, seen])

    return rank


def sampled_kernel(fold: Fold, seed: int) -> Floats:
    """Rank by a machine whose kernel is estimated by swap tests of `SHOTS` runs an entry."""
    from sklearn.svm import SVC

    encoding = FixedEncoding(qubits=KERNEL_QUBITS, standardise=True, pca=36)
    known = encoding.fit(fold.train.rows[fold.kernel]).states(fold.train.rows[fold.kernel])
    machine = SVC(C=PENALTY, kernel="precomputed", class_weight="balanced")
    machine.fit(swap_test(known, shots=SHOTS, seed=2 * seed), fold.train.attack[fold.kernel])
    judged = encoding.states(fold.judged)
    ranks: Floats = machine.decision_function(swap_test(judged, known, shots=SHOTS, seed=2 * seed + 1))
    return ranks


def gaussian_kernel(fold: Fold, seed: int) -> Floats:  # noqa: ARG001
    """Rank by the twin of the kernel machines: the Gaussian kernel, the same rows, machine and penalty."""
    from sklearn.svm import SVC

    machine = SVC(C=PENALTY, class_weight="balanced")
    machine.fit(fold.train.rows[fold.kernel], fold.train.attack[fold.kernel])
    ranks: Floats = machine.decision_function(fold.judged)
    return ranks


def _aligned(seed: int) -> AlignedEncoding:
    return AlignedEncoding(qubits=KERNEL_QUBITS, seed=seed)


KERNEL_QUBITS: Final = 6
PENALTY: Final = 10.0
_NETWORK = partial(QNNClassifier, **NETWORK)
_SPACE = partial(QuantumOneClass, method="eigenspace", qubits=7)

CANDIDATES: Final[Mapping[str, Candidate]] = {
    "qnn": _classifier(lambda seed: _NETWORK(seed=seed)),
    "qnn_unweighted": _classifier(lambda seed: _NETWORK(seed=seed), weighted=False),
    "qnn_unentangled": _classifier(lambda seed: _NETWORK(seed=seed, entangled=False)),
    "hybrid": _classifier(lambda seed: HybridClassifier(_NETWORK(seed=seed), "primal", seed=seed)),
    "qsvc": _on_kernel_rows(lambda seed: QSVC(solver="dual", C=PENALTY, calibration_share=0.0, seed=seed)),
    "qsvc_1024_shots": sampled_kernel,
    "qsvc_zz": _on_kernel_rows(
        lambda seed: QSVC("zz", 8, 2, solver="dual", C=PENALTY, calibration_share=0.0, seed=seed)
    ),
    "qsvc_aligned": _on_kernel_rows(
        lambda seed: QSVC(solver="dual", C=PENALTY, calibration_share=0.0, seed=seed, encoding=_aligned(seed))
    ),
    "projected": _on_kernel_rows(
        lambda seed: ProjectedQSVC(solver="dual", C=PENALTY, calibration_share=0.0, seed=seed)
    ),
    "projected_aligned": _on_kernel_rows(
        lambda seed: ProjectedQSVC(
            solver="dual", C=PENALTY, calibration_share=0.0, seed=seed, encoding=_aligned(seed)
        )
    ),
    "qknn": _on_kernel_rows(lambda seed: QKNNClassifier(seed=seed)),
    "qknn_aligned": _on_kernel_rows(lambda seed: QKNNClassifier(seed=seed, encoding=_aligned(seed))),
    "eigenspace": _one_class(lambda seed: QuantumOneClass(method="eigenspace", seed=seed)),
    "eigenspace_unentangled": _one_class(
        lambda seed: QuantumOneClass(method="eigenspace", entangled=False, seed=seed)
    ),
    **{
        f"eigenspace_{view}": _one_class(lambda seed: _SPACE(seed=seed), view)
        for view in VIEWS
        if view != "all"
    },
    "eigenspace_no_log_odds": _one_class(lambda seed: QuantumOneClass(method="eigenspace", seed=seed), "all"),
    "top5_fidelity": _one_class(lambda seed: QuantumOneClass(qubits=7, reference_size=2000, seed=seed)),
    TWIN + "qnn": _classifier(lambda seed: GradientBoostingTwin(60, seed=seed)),
    TWIN + "hybrid": _classifier(lambda seed: ExtraTreesTwin(60, seed=seed)),
    TWIN + "qsvc": gaussian_kernel,
    TWIN + "qknn": _on_kernel_rows(lambda seed: KNeighborsTwin(seed=seed)),
    TWIN + "top5_fidelity": _one_class(lambda seed: NeighborDistanceTwin(reference_size=2000, seed=seed)),
}
"""What is compared, by its name; a twin stands under the name of what it is the twin of."""

UNITS: Final = {name: "1" for name in CANDIDATES if not name.startswith(TWIN)}
