"""Retraining on verdicts: `qwarden feedback learn`.

::

    verdicts that count ── rows ── dealt by cause ──┬── train ───────┐
    rows of the traffic range ──────────────────────┼── calibrate ───┴── a new version of the base model
                                                    └── held back ──┬── against the model in use ── promoted,
    other rows of the range ────────────────────────────────────────┘                    or a candidate

Every model that comes of it is in the registry, whether it was promoted or not, with its figures beside those
of the model it was held against, its parent and the fingerprint of what it learnt from. The twin, in the same
model, learns the same and is judged likewise; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from threadpoolctl import threadpool_limits

from qwarden.core.audit import Audit
from qwarden.core.errors import ModelError, UsageError
from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey
from qwarden.detect.feedback.answers import Answers, Lesson, deal, gather, rows_of
from qwarden.detect.feedback.judging import Figures, judge, shortcomings
from qwarden.detect.feedback.range_table import RangeSeeds, range_table
from qwarden.detect.feedback.retraining import WEIGHT, retrain
from qwarden.detect.lookup import SHIPPED, find_model, model_registry
from qwarden.detect.training import promote
from qwarden.learn import Bundle, fingerprint
from qwarden.learn.registry import Entry, Origin, Registry

if TYPE_CHECKING:
    from qwarden.core.config import DetectSettings
    from qwarden.core.store import Store

NAME: Final = "feedback"
"""What the models are called by default."""

FIGURES: Final = "feedback"
"""The figure under which a model says what it learnt; a model without it is no model of feedback."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A retraining and what came of it.

    Attributes
    ----------
    entry : the new model.
    before : reference of the model in use until then.
    reasons : why it stays a candidate; empty if it was promoted.
    new, old, twin, old_twin : figures of the new model, of the one in use, and of their twins.
    answers, lesson : what was learnt from.
    """

    entry: Entry
    before: str
    reasons: tuple[str, ...]
    new: Figures
    old: Figures
    twin: Figures
    old_twin: Figures
    answers: Answers
    lesson: Lesson

    @property
    def promoted(self) -> bool:
        """Whether it is the model in use now."""
        return not self.reasons

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "model": self.entry.document(),
            "promoted": self.promoted,
            "reasons": list(self.reasons),
            "in_use_before": self.before,
            "verdicts": counts(self.answers, self.lesson),
            "figures": {
                "new": self.new.document(), "in_use": self.old.document(),
                "new_twin": self.twin.document(), "in_use_twin": self.old_twin.document(),
            },
            "unusable": [{"about": given.about, "reason": why} for given, why in self.answers.unusable],
        }  # fmt: skip


def learn(
    home: Path,
    store: Store,
    detect: DetectSettings,
    *,
    name: str = NAME,
    weight: float = WEIGHT,
    seed: int = 0,
    seeds: RangeSeeds | None = None,
    progress: Progress = SILENT,
    on_making: Callable[[], None] | None = None,
) -> Learnt:
    """Retrain on all verdicts that count, judge, register, and promote if it is better.

    Parameters
    ----------
    home, store : where archive, registry, verdicts and audit log are.
    detect : the false-positive budget at which models are judged.
    name : of the model; its next version is made.
    weight : of a verdict's row; a row of the range has 1.
    seed : of the landmarks and of the calibration's split.
    seeds : of the range; those of `RangeSeeds` by default.
    on_making : called before the range's rows are made, which takes minutes the first time.

    Raises
    ------
    UsageError
        There are no verdicts to learn from, or of too few causes to hold any back; or the name is none.
    ModelError
        The model in use is refused.
    Interrupted, KeyboardInterrupt
        At Ctrl-C; nothing is kept.
    """
    registry = model_registry(home)
    registry.check_name(name)
    if not weight > 0:
        raise UsageError(f"--weight {weight:g}: expected a number above 0")
    answers = gather(store, home, progress)
    lesson = deal(answers.usable)
    _check(answers, lesson)
    in_use = registry.get(registry.active_reference() or SHIPPED)
    active, base = find_model(home), base_of(registry, in_use)
    table = range_table(home, seeds or RangeSeeds(), progress, on_making)
    fpr = detect.fpr or active.budget
    # One thread: the sums then have one order, and the same verdicts give the same model.
    with threadpool_limits(1):
        parts = registry.load(base).model
        if not isinstance(parts, Bundle):
            raise ModelError(base.folder, "holds no threat model")
        model = retrain(parts, table, lesson, name=name, weight=weight, seed=seed, progress=progress)
        if fpr < model.least_fpr:
            raise UsageError(
                f"detect.fpr {fpr:g} is below what {len(table.calibration)} calibration flows allow, "
                f"{model.least_fpr:.2g}: raise it"
            )
        with progress.task("judge", 4) as task:
            figures = []
            for judged in (model, active, model.twin(), active.twin()):
                figures.append(judge(judged, lesson.held_back, table, fpr))
                task.advance(1)
    new, old, twin, old_twin = figures
    reasons = tuple(shortcomings(new, old))
    model.figures = {
        "fpr": fpr, "recall": round(new.range_recall, 4),
        "false_per_1000": round(new.range_false_per_1000, 4), **new.document(),
        "twin": twin.document(), "against": {"model": in_use.reference, **old.document()},
        "against_twin": old_twin.document(),
        FIGURES: {**counts(answers, lesson), "through": answers.through, "base": base.reference},
        "promoted": not reasons, "reasons": list(reasons),
    }  # fmt: skip
    entry = _register(registry, home, name, model, in_use, table.fingerprint, lesson, seed, weight, seeds)
    Audit(store).record("detect", "model.trained", entry.document())
    if reasons:
        body = {"model": entry.reference, "in_use": in_use.reference, "reasons": list(reasons)}
        Audit(store).record("detect", "model.kept_as_candidate", body)
    else:
        promote(entry.reference, home, store)
    return Learnt(entry, in_use.reference, reasons, new, old, twin, old_twin, answers, lesson)


def counts(answers: Answers, lesson: Lesson) -> dict[str, int]:
    """Return how many verdicts there are, and what they serve."""
    return {
        "usable": len(answers.usable), "unusable": len(answers.unusable),
        "contradicted": answers.contradicted, "train": len(lesson.train),
        "calibrate": len(lesson.calibrate), "held_back": len(lesson.held_back),
    }  # fmt: skip


def base_of(registry: Registry, entry: Entry) -> Entry:
    """Return the model that a model of feedback was made of; any other is its own base.

    Raises
    ------
    UsageError, ModelError
        The base is not there any more, or is refused.
    """
    made = entry.figures.get(FIGURES)
    return registry.get(str(made["base"])) if isinstance(made, Mapping) else entry


def learnt_through(registry: Registry) -> int:
    """Return the number of the last verdict that any model of the registry was retrained on, 0 if none."""
    found = [entry.figures.get(FIGURES) for entry in registry.entries()[0]]
    return max((int(made["through"]) for made in found if isinstance(made, Mapping)), default=0)


def _check(answers: Answers, lesson: Lesson) -> None:
    if not answers.usable:
        why = "; ".join(f"{given.about}: {reason}" for given, reason in answers.unusable[:3])
        none = f"none of {len(answers.unusable)} verdicts can be learnt from: {why}"
        raise UsageError(
            none if answers.unusable else "there are no verdicts yet: qwarden feedback ID true|false"
        )
    if not lesson.train or not lesson.held_back:
        raise UsageError(
            f"{len(answers.usable)} verdicts, all on one cause: some must be held back to judge by; "
            "give verdicts on others (qwarden feedback questions)"
        )


def _register(
    registry: Registry,
    home: Path,
    name: str,
    model: Any,
    in_use: Entry,
    table: str,
    lesson: Lesson,
    seed: int,
    weight: float,
    seeds: RangeSeeds | None,
) -> Entry:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    rows, labels, _ = rows_of([*lesson.train, *lesson.calibrate])
    origin = Origin(
        data=f"traffic range, seeds {seeds or RangeSeeds()}; "
        f"{len(lesson.train)} verdicts ({len(rows_of(lesson.train)[0])} rows)",
        fingerprint=fingerprint(rows, labels, [weight], [table]),
        split=f"verdicts by cause: {len(lesson.train)} train, {len(lesson.calibrate)} calibrate, "
        f"{len(lesson.held_back)} held back; the range by seed",
        seed=seed,
        parent=in_use.reference,
        notes=f"verdict rows weigh {weight:g}",
    )

    def write(folder: Path, version: str) -> None:
        model.name, model.version = name, version
        key = SigningKey.load_or_create(home / "keys")
        model.save(folder, key, created=created, fingerprint=origin.fingerprint)

    return registry.add(name, write, origin=origin, created=created, figures=model.figures)
