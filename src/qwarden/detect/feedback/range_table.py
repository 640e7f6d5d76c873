"""Rows of the traffic range that retraining leans on: written once, kept in the home.

What a network's verdicts teach must not cost what the range taught. So every retraining sees rows of the
range again: to train on, to calibrate with, and to judge by. They follow from the seeds alone, take a minute
or two to make, and lie in ``HOME/feedback/`` afterwards; a file that is damaged, or of other seeds or
columns, is made anew.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden import __version__
from qwarden.core.files import atomic_write, canonical_json, sha256
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.build import (
    ATTACK_SEEDS,
    CALIBRATION_SEEDS,
    LONG_CALIBRATION_SEEDS,
    LONG_TRAINING_SEEDS,
    SELECTION_SEEDS,
    TRAINING_SEEDS,
    range_rows,
    recipes,
    training_table,
)
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.lookup import SHIPPED, model_registry
from qwarden.learn import fingerprint

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]

FOLDER: Final = "feedback"
FILE: Final = "range.npz"


@dataclass(frozen=True, slots=True)
class RangeSeeds:
    """Which seeds of the range a table is made of; by default parts of those of the shipped model."""

    train: tuple[int, ...] = TRAINING_SEEDS[:12]
    long_train: tuple[int, ...] = LONG_TRAINING_SEEDS[:1]
    calibrate: tuple[int, ...] = CALIBRATION_SEEDS[:12]
    long_calibrate: tuple[int, ...] = LONG_CALIBRATION_SEEDS[:1]
    attacks: tuple[int, ...] = ATTACK_SEEDS[:3]
    judge: tuple[int, ...] = SELECTION_SEEDS[:6]

    def __str__(self) -> str:
        return ", ".join(
            f"{field.name} {seeds[0]}-{seeds[-1]}"
            for field in fields(self)
            if (seeds := getattr(self, field.name))
        )


@dataclass(frozen=True, slots=True)
class RangeTable:
    """Feature rows of the range, d columns as `FEATURE_NAMES`.

    Attributes
    ----------
    train, labels : rows to train on, (n, d), and what they are, (n,).
    calibration : benign rows, (m, d), none of training.
    early : benign rows of flows that still ran, (e, d).
    attacks, attack_labels : rows of attacks, (a, d), none of training, and their kinds.
    judge, judge_attacks : rows to judge by, (j, d), and which attack each is of: 0 benign, -1 unlabelled.
    """

    train: F64
    labels: Names
    calibration: F64
    early: F64
    attacks: F64
    attack_labels: Names
    judge: F64
    judge_attacks: I64

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all of it."""
        return fingerprint(*(getattr(self, field.name) for field in fields(self)))


def range_table(
    home: Path,
    seeds: RangeSeeds = RangeSeeds(),
    progress: Progress = SILENT,
    on_making: Callable[[], None] | None = None,
) -> RangeTable:
    """Return the table, from the home if it is there.

    Parameters
    ----------
    on_making : called if it is not there, before it is made.

    Raises
    ------
    OSError
        It cannot be kept: the disk is full.
    """
    path, key = home / FOLDER / FILE, _key(home, seeds)
    found = _read(path, key)
    if found is None:
        if on_making is not None:
            on_making()
        found = make_table(seeds, progress)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        packed = io.BytesIO()
        arrays = {field.name: getattr(found, field.name) for field in fields(found)}
        np.savez_compressed(packed, key=np.array(key), **arrays)
        atomic_write(path, packed.getvalue(), 0o600)
    return found


def make_table(seeds: RangeSeeds, progress: Progress = SILENT) -> RangeTable:
    """Write and read the range; the same seeds give the same table."""
    trained = recipes(seeds.train, seeds.long_train, attacks=True)
    train, labels = training_table(range_rows(trained, progress), 0)
    calibrated = recipes(seeds.calibrate, seeds.long_calibrate, attacks=False)
    calm = list(range_rows(calibrated, progress))
    attacks = [
        (part.rows[part.attacks > 0], part.labels[part.attacks > 0])
        for part in range_rows(recipes(seeds.attacks, attacks=True), progress)
    ]
    judged = list(range_rows(recipes(seeds.judge, attacks=True), progress))
    first = np.cumsum([0, *(part.attacks.max(initial=0) for part in judged)])
    return RangeTable(
        train, labels,
        _joined([part.rows for part in calm]),
        _joined([part.early for part in calm if part.early is not None]),
        _joined([rows for rows, _ in attacks]),
        np.concatenate([np.empty(0, labels.dtype), *(names for _, names in attacks)]),
        _joined([part.rows for part in judged]),
        np.concatenate([
            np.empty(0, np.int64),
            *(np.where(part.attacks > 0, part.attacks + first[at], part.attacks)
              for at, part in enumerate(judged)),
        ]),
    )  # fmt: skip


def _joined(parts: list[F64]) -> F64:
    return np.concatenate([np.empty((0, len(FEATURE_NAMES))), *parts])


def _key(home: Path, seeds: RangeSeeds) -> str:
    """Return what a table depends on, hashed: another version ships another model."""
    named = {field.name: list(getattr(seeds, field.name)) for field in fields(seeds)}
    shipped = model_registry(home).get(SHIPPED).origin.fingerprint
    return sha256(
        canonical_json({**named, "columns": list(FEATURE_NAMES), "version": __version__, "shipped": shipped})
    )


def _read(path: Path, key: str) -> RangeTable | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["key"]) != key:
                return None
            return RangeTable(**{field.name: arrays[field.name] for field in fields(RangeTable)})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
