"""Ensembles for protocols: members, each with a suspicion of its own, and their conformal fusion.

Three steps, so that one training serves every variant that a protocol reports::

    fitted = fit_members(members, train, attack, seed=0)
    calibration, test = suspicions(fitted, held_out_normals), suspicions(fitted, unseen)
    fusion = Fusion(seed=0).fit(calibration[:, chosen])      # normals that nothing was trained on
    flagged = fusion.flag(test[:, chosen], fpr=0.05)         # "f5": 95 % quantile of held-out normals
    auc(fusion.score(test[:, chosen]), truth)

`chosen` are the columns of the quantum members alone, of the classical ones, or of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from scipy.stats import t as student

from qwarden.core.progress import SILENT, Progress
from qwarden.learn import BinaryEstimator, ConformalFusion, OneClassEstimator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Member:
    """One detector of an ensemble.

    Attributes
    ----------
    name : unique in its ensemble.
    make : a fresh estimator from a seed.
    quantum : False for a classical one.
    columns : the columns of the prepared rows that it sees; None: all.
    """

    name: str
    make: Callable[[int], BinaryEstimator | OneClassEstimator]
    quantum: bool
    columns: Ints | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A member after training."""

    member: Member
    model: BinaryEstimator | OneClassEstimator

    @property
    def is_classifier(self) -> bool:
        """Whether its suspicion is a log-odds, whose sign is a verdict."""
        return isinstance(self.model, BinaryEstimator)

    def suspicion(self, rows: Floats) -> Floats:
        """Return log-odds of a classifier, strangeness of a one-class model, (n,): higher is worse."""
        seen = rows if self.member.columns is None else rows[:, self.member.columns]
        if isinstance(self.model, BinaryEstimator):
            return self.model.decision_function(seen)
        return self.model.strangeness(seen)


def fit_members(
    members: Sequence[Member],
    rows: Floats,
    attack: Ints,
    *,
    seed: int,
    sample_weight: Floats | None = None,
    progress: Progress = SILENT,
) -> list[Fitted]:
    """Train every member on prepared rows (n, d) without nan and labels (n,), 1 for an attack.

    One-class members see the normal rows only. Weights reach the classifiers; a normal row of weight 0
    is hidden from one-class members, too.
    """
    fitted = []
    for member in members:
        seen = rows if member.columns is None else rows[:, member.columns]
        model = member.make(seed)
        if isinstance(model, BinaryEstimator):
            model.fit(seen, attack, sample_weight, progress=progress)
        else:
            normal = attack == 0 if sample_weight is None else (attack == 0) & (sample_weight > 0.0)
            model.fit(seen[normal], progress=progress)
        fitted.append(Fitted(member, model))
    return fitted


def suspicions(fitted: Sequence[Fitted], rows: Floats) -> Floats:
    """Return the suspicion of each member for each row, (n, members)."""
    return np.column_stack([each.suspicion(rows) for each in fitted])


class Fusion:
    """Members' suspicions to one score, and a threshold by a budget of false alarms.

    Each suspicion becomes a conformal p-value against one half of the held-out normals
    (`qwarden.learn.ConformalFusion`); the score is the weighted sum of ``-log p`` (Fisher). The other half
    of the normals says which score a share of normals exceeds.

    Parameters
    ----------
    weights : of the members, one each; None: all alike.
    seed : of the halves.
    """

    def __init__(self, weights: Sequence[float] | None = None, seed: int = 0) -> None:
        self.weights, self.seed = weights, seed

    def fit(self, normals: Floats) -> Self:
        """Calibrate on suspicions (n, members) of 40 or more normals that no member was trained on."""
        order = np.random.default_rng([self.seed, 11]).permutation(len(normals))
        first, second = np.array_split(order, [len(normals) // 2])
        # Its own second half would be lost to us: leave it the ten rows that it asks for.
        self._members = ConformalFusion(member_share=1.0, seed=self.seed).fit(normals[first])
        self._normals = np.sort(self.score(normals[second]))
        return self

    def score(self, table: Floats) -> Floats:
        """Return the fused evidence, (n,): higher is worse."""
        evidence = self._members.evidence(table)
        weights = np.ones(evidence.shape[1]) if self.weights is None else np.asarray(self.weights, np.float64)
        fused: Floats = evidence @ weights
        return fused

    def threshold(self, fpr: float) -> float:
        """Return the score that a share `fpr` of held-out normals exceeds."""
        return float(np.quantile(self._normals, 1.0 - fpr, method="higher"))

    def flag(self, table: Floats, fpr: float) -> Bools:
        """Say which rows are raised, (n,)."""
        raised: Bools = self.score(table) > self.threshold(fpr)
        return raised


def auc(score: Floats, truth: Ints) -> float:
    """Return the area under the ROC curve; ties count half.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1]))
    0.875
    """
    positives = int(truth.sum())
    ranks = rankdata(score)[truth == 1].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(truth) - positives)))


def student_interval(figures: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean over seeds (Student's t)."""
    half = student.ppf(0.975, len(figures) - 1) * np.std(figures, ddof=1) / np.sqrt(len(figures))
    return float(np.mean(figures) - half), float(np.mean(figures) + half)


def expected_calibration_error(probability: Floats, truth: Ints, bins: int = 15) -> float:
    """Return the mean gap between stated probability and share of attacks, over bins of equal mass.

    Source: Naeini, Cooper & Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian
    binning"; Nguyen & O'Connor 2015 (bins of equal mass).

    >>> expected_calibration_error(np.array([0.0, 0.0, 0.8, 0.8]), np.array([0, 0, 1, 0]), bins=2)
    0.15
    """
    order = np.argsort(probability, kind="stable")
    gaps = [
        len(part) * abs(float(probability[part].mean() - truth[part].mean()))
        for part in np.array_split(order, bins)
        if len(part)
    ]
    return round(float(np.sum(gaps)) / len(truth), 12)
