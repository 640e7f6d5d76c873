"""One figure a seed, and what the seeds say together: means, intervals, the twin's beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from qwarden.core.measure import Checkpoint, Measured, Resources
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.protocols.members import student_interval

TWIN = "twin "
"""Figures whose name begins so are the classical twin's, under what follows."""


def each_seed(
    title: str,
    measure: Callable[[int], Mapping[str, float]],
    seeds: Sequence[int],
    checkpoint: Checkpoint,
    progress: Progress = SILENT,
) -> dict[str, list[float]]:
    """Return each figure of `measure`, a list with one entry a seed; a stopped run goes on where it was."""
    found: dict[str, Any] = checkpoint.load()
    # One thread: the sums then have one order, and one seed gives one figure.
    with threadpool_limits(1), progress.task(title, len(seeds)) as task:
        for seed in seeds:
            if str(seed) not in found:
                found[str(seed)] = {name: float(value) for name, value in measure(seed).items()}
                checkpoint.save(found)
            task.advance(1)
    names = list(found[str(seeds[0])])
    return {name: [found[str(seed)][name] for seed in seeds] for name in names}


def summary(
    figures: Mapping[str, Sequence[float]],
    *,
    data: str,
    split: str,
    seeds: Sequence[int],
    n: int,
    configurations_tried: int,
    resources: Resources,
) -> Measured:
    """Return means over the seeds with their 95 % intervals (Student's t), the twin's apart."""
    own = {name: list(values) for name, values in figures.items() if not name.startswith(TWIN)}
    return Measured(
        values={name: float(np.mean(values)) for name, values in own.items()},
        data=data,
        split=split,
        seeds=seeds,
        n=n,
        configurations_tried=configurations_tried,
        ci95={name: student_interval(values) for name, values in own.items()},
        twin={
            name.removeprefix(TWIN): float(np.mean(values))
            for name, values in figures.items()
            if name.startswith(TWIN)
        },
        resources=resources,
    )
