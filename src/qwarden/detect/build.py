"""How the shipped model is made: `qwarden models build`.

It is trained on our own traffic range alone, so it can be rebuilt by anyone and nothing of anybody
else's data ships with it. Training, calibration, selection and judgement use seeds of their own that no
test, demo or measure uses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from qwarden.core.progress import SILENT, Progress
from qwarden.detect.behaviours import NO_BEHAVIOUR, name_behaviours
from qwarden.detect.evaluation import Verdicts, judge_capture
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.detect.model import ModelSettings, ThreatModel
from qwarden.detect.order import EndOrder
from qwarden.detect.scenario import label_flows, labels_path, read_labels, write_scenario
from qwarden.formats import MeterSettings, open_capture
from qwarden.formats.flows import FLOW, Flows
from qwarden.learn import fingerprint

TRAINING_SEEDS: Final = tuple(range(10_000, 10_096))
CALIBRATION_SEEDS: Final = tuple(range(20_000, 20_048))
SELECTION_SEEDS: Final = tuple(range(30_000, 30_010))

JUDGEMENT_SEEDS: Final = tuple(range(35_000, 35_020))
"""Seeds on which the built model is judged, and which serve for nothing else."""

UNLABELLED: Final = "unlabelled"
"""Label of a flow that no label row explains; `Labelled.attacks` is -1 there."""

DEVELOPMENT_SEEDS: Final = (
    *range(31_000, 31_016), *range(32_000, 32_016), *range(33_000, 33_024), *range(34_000, 34_024),
)  # fmt: skip
"""Seeds on which the rules of `findings` were settled, after the model."""

FLOWS_AN_ATTACK: Final = 200
"""Rows an attack instance gives to training: a flood of 10,000 flows would teach nothing but floods."""

ORDINARY_SHARE: Final = 0.25
"""Share of the benign flows without any behaviour that training takes: the look-alikes teach more."""

CONFIGURATIONS_TRIED: Final = 42
"""Settings looked at on `SELECTION_SEEDS` (sizes, steps, weights, fusions) and `DEVELOPMENT_SEEDS` (rules,
budget) before these were chosen."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Feature rows with what the range says they are."""

    flows: Flows
    rows: npt.NDArray[np.float64]
    labels: npt.NDArray[np.str_]
    attacks: npt.NDArray[np.int64]


def labelled_rows(capture: Path, settings: MeterSettings | None = None) -> Labelled:
    """Read a capture of the traffic range as feature rows, joined to its labels."""
    settings = settings or MeterSettings()
    order, parts = EndOrder(settings.idle_timeout_s), []
    with open_capture(capture, settings) as reader:
        parts = [order.add(batch.flows, batch.watermark_ns) for batch in reader]
    flows = np.concatenate([*parts, order.rest()]) if parts else np.empty(0, FLOW)
    labels = read_labels(labels_path(capture))
    index, attacks = label_flows(flows, labels)
    names = np.where(index >= 0, labels["label"][index], UNLABELLED)
    return Labelled(flows, FeatureExtractor().rows(flows), names, attacks)


def range_rows(
    seeds: Sequence[int], progress: Progress = SILENT, kinds: Sequence[str] | None = None
) -> list[Labelled]:
    """Write and read the traffic range once a seed, with all kinds of attack or with `kinds` only."""
    found = []
    with tempfile.TemporaryDirectory() as folder, progress.task("traffic range", len(seeds)) as task:
        for seed in seeds:
            capture = Path(folder) / f"{seed}.pcap"
            write_scenario(capture, seed, kinds=kinds)
            found.append(labelled_rows(capture))
            capture.unlink()
            task.advance(1)
    return found


def build(version: str, settings: ModelSettings, progress: Progress = SILENT) -> tuple[ThreatModel, str]:
    """Train, calibrate and judge the model that ships; return it and its training data's fingerprint."""
    # One thread: the sums then have one order, and one seed gives one model.
    with threadpool_limits(1):
        return _build(version, settings, progress)


def _build(version: str, settings: ModelSettings, progress: Progress) -> tuple[ThreatModel, str]:
    rows, labels = training_table(range_rows(TRAINING_SEEDS, progress), settings.seed)
    # Without attacks: a benign lease amid a DHCP flood looks like part of it, and is told as part of it.
    benign = [part.rows for part in range_rows(CALIBRATION_SEEDS, progress, kinds=())]
    model = ThreatModel.train(
        rows, labels, np.concatenate(benign), names=FEATURE_NAMES, version=version, settings=settings,
        progress=progress,
    )  # fmt: skip
    return model, fingerprint(rows, labels)


def training_table(
    parts: Sequence[Labelled], seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    """Return rows and labels to train on.

    Benign flows that show a behaviour, and `ORDINARY_SHARE` of the others; of an attack at most
    `FLOWS_AN_ATTACK` flows, and only those that already show a behaviour: the first packets of a scan
    look like anybody's, and calling them an attack would teach the model to call anybody's so.
    """
    rng = np.random.default_rng([seed, 2])
    rows, labels = [], []
    for part in parts:
        shows = name_behaviours(part.rows) != NO_BEHAVIOUR
        keep = (part.attacks == 0) & (shows | (rng.random(len(shows)) < ORDINARY_SHARE))
        for attack in np.unique(part.attacks[part.attacks > 0]):
            members = np.flatnonzero((part.attacks == attack) & shows)
            keep[rng.permutation(members)[:FLOWS_AN_ATTACK]] = True
        rows.append(part.rows[keep])
        labels.append(part.labels[keep])
    return np.concatenate(rows), np.concatenate(labels)


def judge(model: ThreatModel, progress: Progress = SILENT) -> dict[str, Any]:
    """Return what the model reaches on `JUDGEMENT_SEEDS`, through the path of any capture."""
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as folder, progress.task("judge", len(JUDGEMENT_SEEDS)) as task:
        for seed in JUDGEMENT_SEEDS:
            capture = Path(folder) / f"{seed}.pcap"
            write_scenario(capture, seed)
            judge_capture(model, capture, verdicts)
            task.advance(1)
    return {
        "trained_on": f"traffic range, seeds {TRAINING_SEEDS[0]}-{TRAINING_SEEDS[-1]}",
        "calibrated_on": f"traffic range, seeds {CALIBRATION_SEEDS[0]}-{CALIBRATION_SEEDS[-1]}, no attacks",
        "judged_on": f"traffic range, seeds {JUDGEMENT_SEEDS[0]}-{JUDGEMENT_SEEDS[-1]}",
        "attacks": verdicts.attacks,
        "recall": round(verdicts.recall, 4),
        "benign_flows": verdicts.benign_flows,
        "false_per_1000": round(verdicts.false_per_1000, 4),
        "misnamed": verdicts.misnamed,
    }
