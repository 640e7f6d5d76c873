"""Verdicts of an analyst on rows of the target network: NSL-KDD, adapted. Not the official protocol.

The networks learn from the first rows of KDDTrain+, as everywhere. Then KDDTest+ plays the network they are
put into: its rows are shuffled, the first 4,000 are the pool from which questions are asked, and the other
18,544 are the evaluation. Four rounds of a hundred questions: half about the rows that the networks are
least sure of, half about rows that are both unsure and unlike what was asked before, in fidelity of their
states. Answers enter the next training with a greater weight. Rows of the evaluation serve for nothing else.

A figure of this protocol must not stand beside one of the official protocol, which sees no target label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from qwarden.core.measure import Checkpoint, Measured
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.datasets.nsl_kdd import NSL_KDD_COLUMNS, NSL_KDD_LEVELS, NslKdd, read_nsl_kdd
from qwarden.detect.protocols.ensembles import network_resources
from qwarden.detect.protocols.members import expected_calibration_error
from qwarden.detect.protocols.nsl_kdd_random import ROWS, held_out_rows
from qwarden.detect.protocols.nsl_kdd_shift import NETWORK, NETWORKS, Floats, Ints, family_weights
from qwarden.detect.protocols.seeds import TWIN, each_seed, summary
from qwarden.learn import ExtraTreesTwin, Preprocessor, QNNClassifier
from qwarden.learn.base import sigmoid
from qwarden.learn.calibration import fit_platt
from qwarden.quantum import fidelity_kernel

SEEDS: Final = (0, 1, 2, 3, 4)
POOL: Final = 4000
ROUNDS: Final = 4
QUESTIONS: Final = 100
"""Questions a round."""

VERDICT_WEIGHT: Final = 30.0
"""Weight of an answered row; a training row has 1 in the mean."""

CONFIGURATIONS_TRIED: Final = 18
"""Settings looked at where a part of KDDTrain+ played the target network, with families that the training
rows had been stripped of: which rows to ask about (3 ways), weight of a verdict, weights of families,
noise, steps, size of the networks, questions a round, strangeness as further columns."""

EARLIER_RUNS: Final = 0
"""How many times these protocols were run on KDDTest+ before the figures that are published."""

BINS: Final = 15

UNSURE: Final = 10
"""Unlike rows are sought among so many times as many unsure ones as there are questions."""


def measure_feedback(
    train: Path, test: Path, checkpoint: Checkpoint, progress: Progress = SILENT
) -> Measured:
    """Learn, ask and learn again, once a seed; the figures of `detect.nsl_kdd_feedback`."""

    def judge(seed: int) -> dict[str, float]:
        own, twin = (run_course(train, test, seed, kind) for kind in ("networks", "trees"))
        return {
            **{f"accuracy_{QUESTIONS * at}": value for at, value in enumerate(own.accuracies)},
            "unentangled_400": run_course(train, test, seed, "unentangled").accuracies[-1],
            **{f"{TWIN}accuracy_{QUESTIONS * at}": value for at, value in enumerate(twin.accuracies)},
        }

    return _measured(train, test, each_seed("NSL-KDD, feedback", judge, SEEDS, checkpoint, progress))


def measure_calibration(
    train: Path, test: Path, checkpoint: Checkpoint, progress: Progress = SILENT
) -> Measured:
    """Compare stated probabilities with what came true; the figures of `detect.calibration`."""

    def judge(seed: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for prefix, kind in (("", "networks"), (TWIN, "trees")):
            course = run_course(train, test, seed, kind)
            found[f"{prefix}ece_in_distribution"] = course.error_at_home
            found[f"{prefix}ece_before"] = course.errors[0]
            found[f"{prefix}ece_after_400"] = course.errors[-1]
        return found

    return _measured(train, test, each_seed("NSL-KDD, calibration", judge, SEEDS, checkpoint, progress))


def _measured(train: Path, test: Path, figures: Mapping[str, Sequence[float]]) -> Measured:
    learnt, target = read_nsl_kdd(train, ROWS), read_nsl_kdd(test)
    n = len(target.labels) - POOL
    return summary(
        figures,
        data=f"NSL-KDD KDDTrain+, first {ROWS:,} rows, and KDDTest+; SHA-256 of the files, uncompressed: "
        f"{learnt.sha256}, {target.sha256}",
        split=f"75% of the training rows train; KDDTest+ shuffled once a seed, its first {POOL:,} rows are "
        f"the pool of the questions, the other {n:,} the evaluation. Not the official protocol: it sees "
        "labels of the target. Settings chosen inside KDDTrain+; earlier runs on KDDTest+: "
        f"{EARLIER_RUNS}",
        seeds=SEEDS,
        n=n,
        configurations_tried=CONFIGURATIONS_TRIED,
        resources=network_resources(NETWORK["qubits"], NETWORK["layers"]),
    )


@lru_cache(maxsize=3 * len(SEEDS))
def run_course(train: Path, test: Path, seed: int, kind: str) -> Course:
    """Return one seed's course of ``networks``, ``unentangled`` ones or ``trees``.

    It is kept, so that both measures in one run train once.
    """
    split = Split(read_nsl_kdd(train, ROWS), read_nsl_kdd(test), seed)
    return split.run(Trees(seed) if kind == "trees" else Networks(seed, entangled=kind == "networks"))


class Ranker(Protocol):
    """What asks the questions and gives the verdicts: networks, or trees."""

    def fit(self, rows: Floats, attack: Ints, weights: Floats) -> None:
        """Learn from prepared rows (n, d), labels and weights (n,)."""

    def log_odds(self, rows: Floats) -> Floats:
        """Return log-odds of an attack, (n,)."""

    def likeness(self, rows: Floats, others: Floats) -> Floats:
        """Return how alike rows are, 0 to 1, (n, m)."""


class Networks:
    """Networks of different seeds, their mean log-odds, and the fidelity of the first one's states."""

    def __init__(self, seed: int, *, entangled: bool = True, count: int = NETWORKS) -> None:
        self._networks = [
            QNNClassifier(**NETWORK, entangled=entangled, seed=count * seed + number)
            for number in range(count)
        ]

    def fit(self, rows: Floats, attack: Ints, weights: Floats) -> None:
        """Train each from the beginning."""
        for network in self._networks:
            network.fit(rows, attack, weights)

    def log_odds(self, rows: Floats) -> Floats:
        """Return the mean of the networks' log-odds, (n,)."""
        mean: Floats = np.mean([network.decision_function(rows) for network in self._networks], axis=0)
        return mean

    def likeness(self, rows: Floats, others: Floats) -> Floats:
        """Return the fidelity of states, (n, m)."""
        return fidelity_kernel(self._networks[0].embed(rows), self._networks[0].embed(others))


class Trees:
    """The classical twin: extremely randomised trees, and a Gaussian of the distance of rows."""

    def __init__(self, seed: int, *, trees: int = 100) -> None:
        self._trees = ExtraTreesTwin(trees, seed=seed)

    def fit(self, rows: Floats, attack: Ints, weights: Floats) -> None:
        """Grow the trees."""
        self._trees.fit(rows, attack, weights)

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of the trees' mean, (n,)."""
        return self._trees.decision_function(rows)

    def likeness(self, rows: Floats, others: Floats) -> Floats:
        """Return ``exp(-d^2 / columns)``, (n, m)."""
        squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * rows @ others.T
        alike: Floats = np.exp(-np.maximum(squares, 0.0) / rows.shape[1])
        return alike


@dataclass(frozen=True, slots=True)
class Course:
    """How one seed's feedback went.

    Attributes
    ----------
    accuracies, errors : on the evaluation, with 0, 100, 200 ... verdicts; expected calibration error.
    error_at_home : of held-out training rows, before any verdict.
    """

    accuracies: tuple[float, ...]
    errors: tuple[float, ...]
    error_at_home: float


class Split:
    """One seed's rows, prepared: training, held-out training rows, pool, evaluation."""

    def __init__(self, learnt: NslKdd, target: NslKdd, seed: int) -> None:
        rng = np.random.default_rng([seed, 29])
        apart = held_out_rows(learnt.attacks, seed)
        rows, attack = learnt.rows(), learnt.attacks
        preprocessor = Preprocessor(list(NSL_KDD_LEVELS), seed=seed)
        self.rows = preprocessor.fit_transform(rows[~apart], attack[~apart], names=list(NSL_KDD_COLUMNS))
        self.attack, self.weights = attack[~apart], family_weights(learnt.labels[~apart])
        halves = np.array_split(rng.permutation(np.flatnonzero(apart)), 2)
        self.curve, self.home = ((preprocessor.transform(rows[half]), attack[half]) for half in halves)
        order = rng.permutation(len(target.labels))
        shuffled, truth = preprocessor.transform(target.rows()[order]), target.attacks[order]
        self.pool = shuffled[:POOL], truth[:POOL]
        self.evaluation = shuffled[POOL:], truth[POOL:]

    def run(self, ranker: Ranker) -> Course:
        """Ask `ROUNDS` times `QUESTIONS` questions about rows of the pool; judge on the evaluation each time.

        A label of the pool is looked at only when it is asked for. Probabilities come from Platt's curve
        on one half of the held-out training rows; the error at home is that of the other half.
        """
        asked = np.zeros(0, np.int64)
        accuracies: list[float] = []
        errors: list[float] = []
        at_home: list[float] = []
        for number in range(ROUNDS + 1):
            ranker.fit(
                np.vstack([self.rows, self.pool[0][asked]]),
                np.concatenate([self.attack, self.pool[1][asked]]),
                np.concatenate([self.weights, np.full(len(asked), VERDICT_WEIGHT)]),
            )
            curve = fit_platt(ranker.log_odds(self.curve[0]), self.curve[1].astype(np.float64))
            for part, found in ((self.evaluation, errors), (self.home, at_home)):
                probability = sigmoid(curve.log_odds(ranker.log_odds(part[0])))
                found.append(expected_calibration_error(probability, part[1], BINS))
            accuracies.append(
                float(((ranker.log_odds(self.evaluation[0]) > 0.0) == self.evaluation[1]).mean())
            )
            if number < ROUNDS:
                asked = np.concatenate([asked, questions(ranker, self.pool[0], asked)])
        return Course(tuple(accuracies), tuple(errors), at_home[0])


def questions(ranker: Ranker, rows: Floats, asked: Ints) -> Ints:
    """Return the numbers of the rows of the pool to ask about next, (QUESTIONS,), none of those `asked`.

    Half are the least sure. The other half is picked one by one among the next unsure ones: always that
    which is least like everything asked so far (Gonzalez 1985, farthest-first).
    """
    doubt = np.abs(ranker.log_odds(rows))
    doubt[asked] = np.inf
    order = np.argsort(doubt, kind="stable")[: len(rows) - len(asked)]
    chosen = list(order[: QUESTIONS // 2])
    candidates = order[QUESTIONS // 2 : UNSURE * QUESTIONS]
    alike = ranker.likeness(rows[candidates], rows[np.concatenate([asked, chosen])]).max(axis=1)
    for _ in range(QUESTIONS - len(chosen)):
        least = int(np.argmin(alike))
        chosen.append(candidates[least])
        alike = np.maximum(alike, ranker.likeness(rows[candidates], rows[candidates[least]][None])[:, 0])
        alike[least] = np.inf
    return np.array(chosen, np.int64)
