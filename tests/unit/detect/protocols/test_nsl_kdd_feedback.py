from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwarden.core.measure import REGISTRY, Checkpoint
from qwarden.detect.datasets.nsl_kdd import read_nsl_kdd
from qwarden.detect.measures import nsl_kdd as measures
from qwarden.detect.protocols import nsl_kdd_feedback as feedback
from qwarden.detect.protocols.nsl_kdd_shift import NETWORK, Floats, Ints

ROW = "0,tcp,http,SF,{},{}" + ",0" * 35 + ",{},20"


class Ruler:
    """A ranker on a line: the boundary lies half-way between the classes' weighted means."""

    def __init__(self) -> None:
        self.trained: list[tuple[int, float]] = []

    def fit(self, rows: Floats, attack: Ints, weights: Floats) -> None:
        self.trained.append((len(rows), float(weights.sum())))
        sides = [np.average(rows[attack == side, 0], weights=weights[attack == side]) for side in (0, 1)]
        self.middle, self.sign = float(np.mean(sides)), float(np.sign(sides[1] - sides[0]))

    def log_odds(self, rows: Floats) -> Floats:
        odds: Floats = self.sign * (rows[:, 0] - self.middle)
        return odds

    def likeness(self, rows: Floats, others: Floats) -> Floats:
        alike: Floats = np.exp(-((rows[:, None, 1] - others[None, :, 1]) ** 2))
        return alike


def test_half_of_the_questions_are_the_least_sure_and_half_are_unlike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feedback, "QUESTIONS", 4)
    ruler = Ruler()
    ruler.fit(np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]), np.ones(2))
    rows = np.column_stack([0.01 * np.arange(1, 51), np.zeros(50)])
    rows[[20, 30], 1] = 5.0, -5.0
    rows[49] = 2.0, 99.0  # unlike everything, but beyond doubt
    chosen = feedback.questions(ruler, rows, np.array([0]))
    assert chosen[:2].tolist() == [1, 2]
    assert set(chosen[2:].tolist()) == {20, 30}


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> feedback.Split:
    """Training rows that know floods, a target network that also has leaks."""
    monkeypatch.setattr(feedback, "POOL", 60)
    monkeypatch.setattr(feedback, "QUESTIONS", 6)
    rng = np.random.default_rng(0)

    def lines(count: int, kinds: tuple[str, ...]) -> str:
        made = []
        for at in range(count):
            kind = kinds[at % len(kinds)]
            low = {"normal": (10, 10), "flood": (5000, 0), "leak": (10, 90_000)}[kind]
            made.append(ROW.format(*(base + int(rng.integers(9)) for base in low), kind))
        return "\n".join(made) + "\n"

    (tmp_path / "train").write_text(lines(120, ("normal", "flood")))
    (tmp_path / "target").write_text(lines(180, ("normal", "flood", "leak")))
    return feedback.Split(read_nsl_kdd(tmp_path / "train"), read_nsl_kdd(tmp_path / "target"), 0)


def test_verdicts_enter_the_training_with_their_weight_and_help(split: feedback.Split) -> None:
    trees = feedback.Trees(0, trees=20)
    seen: list[tuple[int, float]] = []
    fit = trees.fit

    def noted(rows: Floats, attack: Ints, weights: Floats) -> None:
        seen.append((len(rows), float(weights.sum())))
        fit(rows, attack, weights)

    trees.fit = noted  # type: ignore[method-assign]
    course = split.run(trees)
    assert [rows for rows, _ in seen] == [90 + 6 * at for at in range(5)]
    assert [weight for _, weight in seen] == pytest.approx(
        [90 + 6 * at * feedback.VERDICT_WEIGHT for at in range(5)]
    )
    assert course.accuracies[0] < 0.75 < 0.95 < course.accuracies[-1]
    assert course.errors[-1] < course.errors[0]
    assert course.error_at_home < course.errors[0] / 2, "the training network is known"


def test_the_networks_likeness_is_a_fidelity(split: feedback.Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORK, "steps", 5)
    networks = feedback.Networks(0, count=1)
    networks.fit(split.rows, split.attack, split.weights)
    alike = networks.likeness(split.rows[:5], split.rows[:5])
    assert np.diag(alike) == pytest.approx(np.ones(5))
    assert (alike <= 1 + 1e-9).all()


def test_pool_and_evaluation_share_no_row(split: feedback.Split) -> None:
    assert (len(split.pool[0]), len(split.evaluation[0])) == (60, 120)
    assert split.pool[1].sum() + split.evaluation[1].sum() == 120


def test_the_measures_say_that_this_is_not_the_official_protocol(
    split: feedback.Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str]] = []

    def course(train: Path, test: Path, seed: int, kind: str) -> feedback.Course:
        asked.append((seed, kind))
        value = {"networks": 0.9, "unentangled": 0.8, "trees": 0.7}[kind] + seed / 100
        return feedback.Course((0.5, 0.5, 0.6, 0.7, value), (0.3, 0.2, 0.2, 0.1, 0.1 * value), 0.01 * value)

    monkeypatch.setattr(feedback, "ROWS", 120)
    monkeypatch.setattr(feedback, "run_course", course)
    monkeypatch.setattr(feedback, "QUESTIONS", 100)
    files = tmp_path / "train", tmp_path / "target"
    found = feedback.measure_feedback(*files, Checkpoint(tmp_path / "kept" / "f.json", "commit"))
    kinds = ("networks", "trees", "unentangled")
    assert sorted(set(asked)) == [(at, kind) for at in range(5) for kind in kinds]
    assert found.values["accuracy_400"] == pytest.approx(0.92)
    assert found.values["unentangled_400"] == pytest.approx(0.82)
    assert found.twin is not None
    assert found.twin["accuracy_400"] == pytest.approx(0.72)
    assert found.n == 120
    assert "Not the official protocol" in found.split
    errors = feedback.measure_calibration(*files, Checkpoint(tmp_path / "kept" / "c.json", "commit"))
    assert errors.values == pytest.approx(
        {"ece_in_distribution": 0.0092, "ece_before": 0.3, "ece_after_400": 0.092}
    )
    definition = next(m for m in REGISTRY if m.function is measures.nsl_kdd_feedback).definition
    assert definition.startswith("Not the official protocol")
