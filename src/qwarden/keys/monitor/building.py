"""How the shipped monitor is made: its data, its seeds, and what was looked at on the way.

Training, calibration and development seeds share no link. Sizes, encodings and the budget were chosen by
detection on the development links; held-out links (`measures.monitor`) had no part in it.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from qwarden.core.progress import SILENT, Progress
from qwarden.keys.monitor.features import F64
from qwarden.keys.monitor.model import BUDGET, MonitorModel
from qwarden.keys.monitor.training import TRAINING, Rows, simulate_rows
from qwarden.keys.monitor.visibility import VISIBLE

Sizes: TypeAlias = tuple[int, int, int, int]
"""Seed, runs, honest blocks a run, attacked blocks a run."""

HONEST: Final[Sizes] = (11, 300, 8, 0)
ATTACKED: Final[Sizes] = (12, 160, 0, 11)
CALIBRATION: Final[Sizes] = (13, 500, 6, 0)
DEVELOPMENT: Final[tuple[Sizes, Sizes]] = ((14, 200, 8, 0), (15, 100, 0, 11))
CONFIGURATIONS: Final = 74
"""Settings of the quantum members and fusions that were looked at on the development links before these were
chosen; of gradient boosting, 10."""


def build(version: str, progress: Progress = SILENT) -> tuple[MonitorModel, tuple[F64, ...]]:
    """Simulate, train, calibrate and judge; return the model and the rows it was trained on."""
    # One thread: the sums then have one order, and one seed gives one model.
    with threadpool_limits(1):
        parts = [_rows(sizes, progress) for sizes in (HONEST, ATTACKED, CALIBRATION)]
        honest, attacked, calibration = parts
        model = MonitorModel.train(honest, attacked, calibration, version=version, progress=progress)
        other = MonitorModel.train(
            honest, attacked, calibration, version=version, entangled=False, progress=progress
        )
        judged = [_rows(sizes, progress) for sizes in DEVELOPMENT]
        model.figures = {
            "trained_on": f"simulated links, seeds {HONEST[0]} and {ATTACKED[0]}",
            "calibrated_on": f"seed {CALIBRATION[0]}: {len(calibration)} honest blocks",
            "budget": BUDGET,
            "configurations": CONFIGURATIONS,
            "development": figures(model, *judged),
            "unentangled": figures(other, *judged),
        }
    return model, tuple(rows.deviations for rows in parts)


def _rows(sizes: Sizes, progress: Progress) -> Rows:
    seed, runs, honest, attacked = sizes
    return simulate_rows(TRAINING, seed=seed, runs=runs, honest=honest, attacked=attacked, progress=progress)


def figures(model: MonitorModel, honest: Rows, attacked: Rows) -> dict[str, Any]:
    """Return what the model reaches on honest and visibly attacked blocks."""
    shown = attacked.take(attacked.separations >= VISIBLE)
    return {
        "detection": round(float(np.mean(model.judge(shown.deviations).flagged)), 5),
        "false_alarm": round(float(np.mean(model.judge(honest.deviations).flagged)), 5),
    }
