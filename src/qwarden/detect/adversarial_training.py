"""Adversarial training: detectors that practise on rows which evade a victim, and then themselves.

A `School` holds what every pupil is taught with: rows, a victim, and lessons, attacks that hide. `teach`
trains the three members of an `Opinion`, and, in further rounds, attacks them together with the victim and
trains them again on what came of it. The quantum members and their classical twin go through the same school.

Lessons are of three kinds: rows that evade the victim; rows that evade boosted trees for which practice rows
and the others have changed places, so that every attack is practised with; and rows in disguise, which took
over all they could of a normal neighbour and asked no victim. The last are for victims not met yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.detect.mimicry import NEAR, Mutability, Score, mimic, nearest_donors
from qwarden.learn import (
    ConformalFusion,
    GradientBoostingTwin,
    HybridClassifier,
    Preprocessor,
    QNNClassifier,
    QuantumAutoencoder,
)
from qwarden.learn.base import BinaryEstimator, held_out

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PRACTICE_SHARE: Final = 0.4
CALIBRATION_SHARE: Final = 0.2
LEAST_NORMALS: Final = 20

SILENT_SHARE: Final = 0.9
"""Of normal training rows: how many an autoencoder says nothing about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOpinionSettings:
    """How a second opinion is trained.

    Parameters
    ----------
    qubits, layers, steps : of both networks.
    latent, depth, compression_steps : of the autoencoder, which has as many qubits.
    iterations : trees of each boosting machine of the twin.
    components : principal components of the twin's autoencoder.
    attacked : attack rows on which evasion is practised, each time.
    queries : budgets of the attacks on the victim, one attack each.
    crossed_queries : budgets of the attacks on the trees for which the rows have changed places.
    disguised : attack rows in disguise. Neither these nor the crossed ones ask `victim`, which may say that a
        row is no attack any more: only for rows that stay attacks whatever is changed.
    rounds, union_queries : attacks on the victim and this opinion together, and their budget. None by
        default: on inner splits of NSL-KDD a round lost one or two points of those who evade the victim, and
        against adaptive attackers won nothing.
    rehearsal : share of the steps that networks take which are only there to be attacked.
    seed : of everything random.
    """

    qubits: int = 6
    layers: int = 5
    steps: int = 1500
    latent: int = 4
    depth: int = 24
    compression_steps: int = 1000
    iterations: int = 150
    components: int = 12
    attacked: int = 3000
    queries: tuple[int, ...] = (30, 300, 1000)
    crossed_queries: tuple[int, ...] = ()
    disguised: int = 0
    rounds: int = 0
    union_queries: int = 100
    rehearsal: float = 0.3
    seed: int = 0


class PrincipalAutoencoder:
    """The classical autoencoder: what `axes` (k, d) through `mean` (d,) cannot say of a row, squared.

    >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    >>> PrincipalAutoencoder.of(rows, 1).strangeness(np.array([[5.0, 5.0], [0.0, 2.0]])).round(9).tolist()
    [0.0, 2.0]
    """

    def __init__(self, mean: F64, axes: F64) -> None:
        self.mean, self.axes = mean, axes

    @classmethod
    def of(cls, rows: F64, components: int) -> Self:
        """Learn the leading principal components of normal rows."""
        mean = rows.mean(axis=0)
        _, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean))
        return cls(mean, np.ascontiguousarray(vectors[:, ::-1][:, :components].T))

    def strangeness(self, X: npt.ArrayLike) -> F64:
        """Return the squared error of the reconstruction, (n,)."""
        centred = np.asarray(X, np.float64) - self.mean
        kept = centred @ self.axes.T
        error: F64 = (centred**2).sum(axis=1) - (kept**2).sum(axis=1)
        return np.maximum(error, 0.0)


@dataclass(frozen=True, slots=True)
class Opinion:
    """Three members and how they are fused: the quantum side, or the twin's.

    Attributes
    ----------
    anchored, adversarial : classifiers with a `decision_function`; the first sees the columns `anchors` only.
    autoencoder : of the columns `belongings` of normal rows, with a `strangeness`.
    gate : strangeness below which the autoencoder has nothing to say. It is the weakest of the three, and
        would otherwise take a third of the budget.
    fusion : of the members' scores.
    """

    anchored: Any
    adversarial: Any
    autoencoder: Any
    anchors: I64
    belongings: I64
    gate: float
    fusion: ConformalFusion

    def scores(self, inputs: F64) -> F64:
        """Return the members' scores (n, 3), higher is more suspicious, nan for nothing to say."""
        anchored, belonging = (np.ascontiguousarray(inputs[:, at]) for at in (self.anchors, self.belongings))
        scores = np.empty((len(inputs), 3))
        scores[:, 0] = self.anchored.decision_function(anchored)
        scores[:, 1] = self.adversarial.decision_function(inputs)
        strangeness = self.autoencoder.strangeness(belonging)
        scores[:, 2] = np.where(strangeness < self.gate, np.nan, strangeness)
        return scores

    def log_p(self, inputs: F64) -> F64:
        """Return the natural logarithm of the fused p-value, (n,)."""
        return self.fusion.log_p(self.scores(inputs))


@dataclass(frozen=True, slots=True)
class Side:
    """How one side makes its members.

    Attributes
    ----------
    classifier : settings, number of the member and the share of its steps to a classifier to be fitted.
    autoencoder : settings and preprocessed normal rows to a fitted autoencoder.
    """

    classifier: Callable[[SecondOpinionSettings, int, float], BinaryEstimator]
    autoencoder: Callable[[SecondOpinionSettings, F64], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """What both sides are taught with.

    Attributes
    ----------
    rows, attack, calibration : raw rows (n, d), 1 for an attack (n,), normal rows kept apart (m, d).
    practice : (n,) rows that evasion is practised with.
    inputs : the preprocessed rows (n, m), the log-odds of their codes counted on other rows.
    anchors : columns of the preprocessed rows that mimicry cannot move back.
    belongings : those that it can change, and the log-odds of codes: values that belong together in normal
        rows, as bytes do with a service. All columns where there are no codes.
    lessons : attack rows that hide, raw, one array an attack.
    """

    rows: F64
    attack: I64
    calibration: F64
    practice: Bools
    mutable: Mutability
    settings: SecondOpinionSettings
    preprocessor: Preprocessor
    inputs: F64
    anchors: I64
    belongings: I64
    victim: Score
    lessons: tuple[F64, ...] = ()

    @classmethod
    def open(
        cls,
        rows: F64,
        labels: npt.ArrayLike,
        *,
        mutable: Mutability,
        calibration: F64 | None = None,
        practice: Bools | None = None,
        victim: Score | None = None,
        categorical: Sequence[str] = (),
        settings: SecondOpinionSettings = SecondOpinionSettings(),
    ) -> Self:
        """Split the rows, prepare the columns, attack the victim; parameters as `SecondOpinion.fit`."""
        attack = np.asarray(labels, np.int64)
        if rows.ndim != 2 or rows.shape[1] != len(mutable.names) or attack.shape != (len(rows),):
            raise ValueError(
                f"expected rows of {len(mutable.names)} columns, a label each: {rows.shape}, {attack.shape}"
            )
        seed = settings.seed
        if calibration is None:
            kept = held_out(attack.astype(np.float64), CALIBRATION_SHARE, seed) & (attack == 0)
            practice = None if practice is None else practice[~kept]
            rows, attack, calibration = rows[~kept], attack[~kept], rows[kept]
        if len(calibration) < LEAST_NORMALS:
            raise ValueError(f"calibration needs at least {LEAST_NORMALS} normal rows: {len(calibration)}")
        if practice is None:
            practice = held_out(attack.astype(np.float64), PRACTICE_SHARE, seed + 1)
        for part, whose in ((practice, "to practise on"), (~practice, "for the victim")):
            if not 0 < attack[part].sum() < part.sum():
                raise ValueError(f"there are no attacks, or no normal rows, {whose}")
        preprocessor = Preprocessor(categorical, cross_fit=5, seed=seed)
        inputs = preprocessor.fit_transform(rows, attack, names=mutable.names)
        anchors = np.flatnonzero(~mutable.moves[preprocessor.source_]).astype(np.int64)
        if len(anchors) == 0:
            raise ValueError("an attacker can change every column: nothing is left to hold on to")
        told = np.char.endswith(preprocessor.feature_names_out_, "log-odds")
        changes = ~mutable.fixed[preprocessor.source_]
        belongings = np.flatnonzero(told | changes | (not told.any())).astype(np.int64)
        if victim is None:
            victim = _trees(preprocessor, rows, attack, ~practice, settings)
        school = cls(
            rows=rows, attack=attack, calibration=calibration, practice=practice, mutable=mutable,
            settings=settings, preprocessor=preprocessor, inputs=inputs, anchors=anchors,
            belongings=belongings, victim=victim,
        )  # fmt: skip
        return replace(school, lessons=tuple(school._first_lessons()))

    def _first_lessons(self) -> Iterator[F64]:
        settings = self.settings
        for at, budget in enumerate(settings.queries):
            yield self.lesson(self.victim, budget, at)
        if settings.crossed_queries:
            crossed = replace(self, practice=~self.practice)
            trees = _trees(self.preprocessor, self.rows, self.attack, self.practice, settings)
            for at, budget in enumerate(settings.crossed_queries, len(settings.queries)):
                yield crossed.lesson(trees, budget, at)
        if settings.disguised:
            rng = np.random.default_rng([settings.seed, 10])
            attacks = rng.permutation(self.rows[self.attack == 1])[: settings.disguised]
            yield disguised(attacks, self.rows[self.attack == 0], self.mutable, rng)

    def lesson(self, score: Score, queries: int, number: int) -> F64:
        """Attack a detector with the attacks and the normal donors kept for practice; return the rows."""
        seed = self.settings.seed
        attacks = self.rows[self.practice & (self.attack == 1)]
        chosen = np.random.default_rng([seed, 8, number]).permutation(len(attacks))[: self.settings.attacked]
        donors = self.rows[self.practice & (self.attack == 0)]
        return mimic(
            attacks[chosen], donors, self.mutable, score, queries=queries, seed=[seed, 9, number]
        ).rows

    def teach(self, side: Side, progress: Progress = SILENT) -> Opinion:
        """Train members; in each round, attack them together with the victim, and train them again."""
        lessons, settings = list(self.lessons), self.settings
        normals = np.ascontiguousarray(self.inputs[self.attack == 0][:, self.belongings])
        autoencoder = side.autoencoder(settings, normals)
        gate = float(np.quantile(autoencoder.strangeness(normals), SILENT_SHARE))
        with progress.task("second opinion", total=settings.rounds + 1) as task:
            for _ in range(settings.rounds):
                rehearsed = self._graduate(side, autoencoder, gate, lessons, settings.rehearsal)
                lessons.append(self.lesson(self._union(rehearsed), settings.union_queries, len(lessons)))
                task.advance(1)
            return self._graduate(side, autoencoder, gate, lessons, 1.0)

    def _graduate(
        self, side: Side, autoencoder: Any, gate: float, lessons: Sequence[F64], effort: float
    ) -> Opinion:
        inputs = np.concatenate([self.inputs, *map(self.preprocessor.transform, lessons)])
        attack = np.concatenate([self.attack, np.ones(sum(map(len, lessons)), np.int64)])
        anchored = side.classifier(self.settings, 0, effort)
        adversarial = side.classifier(self.settings, 1, effort)
        anchored.fit(np.ascontiguousarray(inputs[:, self.anchors]), attack)
        adversarial.fit(inputs, attack)
        fusion = ConformalFusion(combine="tippett", seed=self.settings.seed)
        opinion = Opinion(anchored, adversarial, autoencoder, self.anchors, self.belongings, gate, fusion)
        fusion.fit(opinion.scores(self.preprocessor.transform(self.calibration)))
        return opinion

    def _union(self, opinion: Opinion) -> Score:
        """Return the stronger of both detectors' evidence: an attacker has to lower both."""
        victim = ConformalFusion(seed=self.settings.seed).fit(self.victim(self.calibration)[:, None])

        def evidence(rows: F64) -> F64:
            own = opinion.log_p(self.preprocessor.transform(rows))
            return np.maximum(-victim.log_p(self.victim(rows)[:, None]), -own)

        return evidence


def disguised(attacks: F64, donors: F64, mutable: Mutability, rng: np.random.Generator) -> F64:
    """Return the attacks (n, d), each with all it can take over of one of its nearest normal donors.

    >>> from qwarden.detect.mimicry import Mutable
    >>> can = Mutability(("flag", "rate"), {"rate": Mutable("moves")})
    >>> donors = np.array([[1.0, 7.0]])
    >>> disguised(np.array([[1.0, 90.0]]), donors, can, np.random.default_rng(0)).tolist()
    [[1.0, 7.0]]
    """
    near = nearest_donors(attacks, donors, mutable.fixed, NEAR)
    chosen = near[np.arange(len(near)), rng.integers(near.shape[1], size=len(near))]
    return mutable.valid(attacks, np.where(mutable.fixed, attacks, donors[chosen]))


def _trees(
    preprocessor: Preprocessor, rows: F64, attack: I64, learnt: Bools, settings: SecondOpinionSettings
) -> Score:
    """Return the suspicion of boosted trees that have learnt from some of the rows."""
    trees = GradientBoostingTwin(settings.iterations, seed=settings.seed).fit(
        preprocessor.transform(rows[learnt]), attack[learnt]
    )
    return partial(_suspicion, preprocessor, trees)


def _suspicion(preprocessor: Preprocessor, classifier: GradientBoostingTwin, rows: F64) -> F64:
    return classifier.decision_function(preprocessor.transform(rows))


def quantum_side(*, entangled: bool = True) -> Side:
    """Return the quantum side: QNN-QSVMs and a quantum autoencoder, or their unentangled variants."""

    def classifier(chosen: SecondOpinionSettings, number: int, effort: float) -> BinaryEstimator:
        steps = max(1, round(effort * chosen.steps))
        network = QNNClassifier(chosen.qubits, chosen.layers, steps, seed=2 * chosen.seed + number)
        return HybridClassifier(network, solver="auto", seed=chosen.seed, entangled=entangled)

    def autoencoder(chosen: SecondOpinionSettings, normals: F64) -> QuantumAutoencoder:
        return QuantumAutoencoder(
            qubits=chosen.qubits, latent=chosen.latent, depth=chosen.depth, steps=chosen.compression_steps,
            seed=chosen.seed, entangled=entangled,
        ).fit(normals)  # fmt: skip

    return Side(classifier, autoencoder)


def twin_side() -> Side:
    """Return the classical side: boosted trees, and principal components."""

    def classifier(chosen: SecondOpinionSettings, number: int, effort: float) -> BinaryEstimator:
        trees = max(1, round(effort * chosen.iterations))
        return GradientBoostingTwin(trees, seed=2 * chosen.seed + number)

    def autoencoder(chosen: SecondOpinionSettings, normals: F64) -> PrincipalAutoencoder:
        return PrincipalAutoencoder.of(normals, chosen.components)

    return Side(classifier, autoencoder)
