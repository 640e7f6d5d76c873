"""How the shipped model is made: `qwarden models build`.

It is trained on our own traffic range alone, so it can be rebuilt by anyone and nothing of anybody
else's data ships with it. Training, calibration, selection and judgement use seeds of their own that no
test, demo or measure uses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from qwarden.core.config import DetectSettings
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.behaviours import NO_BEHAVIOUR, name_behaviours
from qwarden.detect.detector import meter_settings
from qwarden.detect.early import EarlyLane
from qwarden.detect.evaluation import Verdicts, judge_capture
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.detect.model import ModelSettings, ThreatModel
from qwarden.detect.order import EndOrder
from qwarden.detect.scenario import Labels, label_flows, labels_path, read_labels, write_scenario
from qwarden.detect.scenario.telling import Telling, told_as
from qwarden.formats import MeterSettings, open_capture
from qwarden.formats.flows import FLOW, Flows
from qwarden.learn import fingerprint

TRAINING_SEEDS: Final = tuple(range(10_000, 10_096))
CALIBRATION_SEEDS: Final = tuple(range(20_000, 20_048))
LONG_TRAINING_SEEDS: Final = tuple(range(11_000, 11_006))
LONG_CALIBRATION_SEEDS: Final = tuple(range(21_000, 21_004))
"""Whole days of a few hosts."""
ATTACK_SEEDS: Final = tuple(range(23_000, 23_012))
"""Seeds of the attacks that alarms are held against: are they like any that are known?"""
SELECTION_SEEDS: Final = tuple(range(30_000, 30_010))

JUDGEMENT_SEEDS: Final = tuple(range(35_000, 35_020))
"""Seeds on which the built model is judged, and which serve for nothing else."""

_LOGS: Final[tuple[Telling, ...]] = ("connections", "counts")
_SCANS: Final = ("scan_horizontal", "scan_vertical")
_MISSED: Final = (0.02, 0.1, 0.25)  # shares of packets
_FEW: Final = (4, 5, 6)  # hosts

_METER: Final[dict[Telling, MeterSettings]] = {
    "packets": MeterSettings(),
    "connections": MeterSettings(active_timeout_s=1e6),
    "counts": MeterSettings(active_timeout_s=3_600),
}
"""When a flow that goes on is reported: Zeek tells a connection when it ends, Argus every hour."""

UNLABELLED: Final = "unlabelled"
"""Label of a flow that no label row explains; `Labelled.attacks` is -1 there."""

DEVELOPMENT_SEEDS: Final = (
    *range(31_000, 31_016), *range(32_000, 32_016), *range(33_000, 33_024), *range(34_000, 34_024),
)  # fmt: skip
"""Seeds on which the rules of `findings` were settled, after the model."""

FLOWS_AN_ATTACK: Final = 100
"""Rows an attack instance gives to training: a flood of 10,000 flows would teach nothing but floods."""

ORDINARY_SHARE: Final = 0.25
"""Share of the benign flows without any behaviour that training takes: the look-alikes teach more."""

STEPS: Final = 4000
"""Training steps of the shipped model's network: three ways of telling take more than one."""

CONFIGURATIONS_TRIED: Final = 51
"""Settings looked at on `SELECTION_SEEDS` (sizes, steps, weights, fusions) and `DEVELOPMENT_SEEDS` (rules,
budget) before these were chosen."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Feature rows with what the range says they are."""

    flows: Flows
    rows: npt.NDArray[np.float64]
    labels: npt.NDArray[np.str_]
    attacks: npt.NDArray[np.int64]
    early: npt.NDArray[np.float64] | None = None
    """Rows of flows that still ran, of no label; None where they were not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One capture of the range: what `write_scenario` is asked for, and how it is told."""

    seed: int
    kinds: Sequence[str] | None = None
    duration_s: float | None = None
    hosts: int | None = None
    missed: float = 0.0
    tellings: tuple[Telling, ...] = ("packets",)
    early: bool = False
    """Whether its flows are looked at while they run, too."""


def recipes(seeds: Sequence[int], long_seeds: Sequence[int] = (), *, attacks: bool) -> list[Recipe]:
    """Return what is trained or calibrated on.

    Every capture is read as packets, every second one also as a log would tell it, of either kind in turn. Of
    every sixth the tap missed packets. Long captures are whole days of a few hosts, with scans, some of them
    slow.
    """
    found = []
    for at, seed in enumerate(seeds):
        log = _LOGS[at // 2 % 2 : at // 2 % 2 + 1] if at % 2 else ()
        missed = _MISSED[at // 6 % len(_MISSED)] if at % 6 == 2 else 0.0
        found.append(
            Recipe(
                seed=seed, kinds=None if attacks else (), missed=missed, tellings=("packets", *log),
                early=not attacks,
            )
        )  # fmt: skip
    for at, seed in enumerate(long_seeds):
        found.append(
            Recipe(
                seed=seed, kinds=_SCANS if attacks else (), duration_s=86_400.0, hosts=_FEW[at % len(_FEW)],
                missed=_MISSED[at // 2 % len(_MISSED)] if at % 2 else 0.0,
                tellings=("packets", _LOGS[at // 2 % 2]), early=not attacks,
            )
        )  # fmt: skip
    return found


def labelled_rows(
    capture: Path, settings: MeterSettings | None = None, telling: Telling = "packets"
) -> Labelled:
    """Read a capture of the traffic range as feature rows, joined to its labels."""
    flows, early = _read(capture, settings or MeterSettings())
    return _labelled(flows, read_labels(labels_path(capture)), telling, early)


def _read(capture: Path, settings: MeterSettings) -> tuple[Flows, npt.NDArray[np.float64]]:
    """Return the flows in order of their end, and the feature rows of those that still ran."""
    order, parts = EndOrder(settings.idle_timeout_s), []
    lane, early = EarlyLane(settings.report_after_s), []
    with open_capture(capture, settings) as reader:
        for batch in reader:
            early.append(lane.rows(batch.reports)[1])
            parts.append(order.add(batch.flows, batch.watermark_ns))
            lane.forget(batch.flows)
    flows = np.concatenate([*parts, order.rest()]) if parts else np.empty(0, FLOW)
    return flows, np.concatenate(early) if early else np.empty((0, len(FEATURE_NAMES)))


def _labelled(
    flows: Flows, labels: Labels, telling: Telling, early: npt.NDArray[np.float64] | None = None
) -> Labelled:
    flows = told_as(flows, telling)
    index, attacks = label_flows(flows, labels)
    names = np.where(index >= 0, labels["label"][index], UNLABELLED)
    return Labelled(flows, FeatureExtractor().rows(flows), names, attacks, early)


def range_rows(plan: Sequence[Recipe], progress: Progress = SILENT) -> Iterator[Labelled]:
    """Write and read the captures of the plan; yield one part a capture and telling."""
    with tempfile.TemporaryDirectory() as folder, progress.task("traffic range", len(plan)) as task:
        for recipe in plan:
            capture = Path(folder) / f"{recipe.seed}.pcap"
            write_scenario(
                capture, recipe.seed, kinds=recipe.kinds, duration_s=recipe.duration_s, hosts=recipe.hosts,
                missed=recipe.missed,
            )  # fmt: skip
            labels = read_labels(labels_path(capture))
            for telling in recipe.tellings:
                early = recipe.early and telling == "packets"
                settings = meter_settings(DetectSettings(), early) if early else _METER[telling]
                flows, rows = _read(capture, settings)
                yield _labelled(flows, labels, telling, rows)
            capture.unlink()
            task.advance(1)


def build(version: str, settings: ModelSettings, progress: Progress = SILENT) -> tuple[ThreatModel, str]:
    """Train, calibrate and judge the model that ships; return it and its training data's fingerprint."""
    # One thread: the sums then have one order, and one seed gives one model.
    with threadpool_limits(1):
        return _build(version, settings, progress)


def _build(version: str, settings: ModelSettings, progress: Progress) -> tuple[ThreatModel, str]:
    trained = recipes(TRAINING_SEEDS, LONG_TRAINING_SEEDS, attacks=True)
    rows, labels = training_table(range_rows(trained, progress), settings.seed)
    # Without attacks: a benign lease amid a DHCP flood looks like part of it, and is told as part of it.
    calibrated = recipes(CALIBRATION_SEEDS, LONG_CALIBRATION_SEEDS, attacks=False)
    benign, early = [], []
    for part in range_rows(calibrated, progress):
        benign.append(part.rows)
        early.append(part.early)
    calibration = np.concatenate(benign)
    model = ThreatModel.train(
        rows, labels, calibration, names=FEATURE_NAMES, version=version, sample_weight=kind_weights(labels),
        settings=replace(settings, steps=max(settings.steps, STEPS)), progress=progress,
    )  # fmt: skip
    model.calibrate_early(np.concatenate([part for part in early if part is not None]))
    model.learn_baseline(calibration)
    known = [
        (part.rows[part.attacks > 0], part.labels[part.attacks > 0])
        for part in range_rows(recipes(ATTACK_SEEDS, attacks=True), progress)
    ]
    model.calibrate_attacks(*(np.concatenate(column) for column in zip(*known, strict=True)))
    return model, fingerprint(rows, labels)


def training_table(
    parts: Iterable[Labelled], seed: int
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


def kind_weights(labels: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    """Return the weight of each training row, (n,): of attacks, less the more there are of the kind.

    A scan has hundreds of flows and a beacon a few; with the inverse square root of their number neither
    speaks for all. The mean weight of the attacks, like that of the benign flows, is 1.
    """
    kinds, at, counts = np.unique(labels, return_inverse=True, return_counts=True)
    attack = kinds != "benign"
    weights = np.where(attack, 1.0 / np.sqrt(counts), 1.0)
    weights[attack] /= (weights * counts)[attack].sum() / max(counts[attack].sum(), 1)
    found: npt.NDArray[np.float64] = weights[at]
    return found


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
        "trained_on": f"traffic range, seeds {_span(TRAINING_SEEDS)}, days {_span(LONG_TRAINING_SEEDS)}",
        "calibrated_on": f"traffic range, seeds {_span(CALIBRATION_SEEDS)}, days "
        f"{_span(LONG_CALIBRATION_SEEDS)}, no attacks; attacks {_span(ATTACK_SEEDS)}",
        "judged_on": f"traffic range, seeds {_span(JUDGEMENT_SEEDS)}",
        "attacks": verdicts.attacks,
        "recall": round(verdicts.recall, 4),
        "benign_flows": verdicts.benign_flows,
        "false_per_1000": round(verdicts.false_per_1000, 4),
        "misnamed": verdicts.misnamed,
    }


def _span(seeds: Sequence[int]) -> str:
    return f"{seeds[0]}-{seeds[-1]}"
