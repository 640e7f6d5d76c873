"""Training on one's own labelled traffic: `qwarden train`.

::

    captures + labels ── split ──┬── training ────── ThreatModel.train ──┐
                                 ├── calibration (benign) ───────────────┤
                                 └── held out ── figures, the twin's too ┴── the registry, the audit log

Neighbouring flows share host windows, and the flows of one attack are alike: flows drawn at random would
put look-alikes on both sides. So benign flows are split by capture, or by spans of time where there are
few captures, and attacks as wholes. Nothing is kept before the very end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from qwarden.core.audit import Audit
from qwarden.core.config import DetectSettings
from qwarden.core.errors import InputError, ModelError
from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey
from qwarden.core.store import Store
from qwarden.detect.behaviours import NO_BEHAVIOUR, name_behaviours
from qwarden.detect.build import UNLABELLED, Labelled, training_table
from qwarden.detect.detector import meter_settings
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.detect.lookup import model_registry
from qwarden.detect.model import ModelSettings, ThreatModel
from qwarden.detect.order import EndOrder
from qwarden.detect.scenario import label_flows, labels_path, read_labels
from qwarden.formats import MeterSettings, find_captures, open_capture
from qwarden.formats.flows import FLOW
from qwarden.learn import fingerprint
from qwarden.learn.registry import Entry, Origin

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

TRAIN, CALIBRATE, HOLD_OUT = range(3)

ENOUGH_CAPTURES: Final = 5
"""From so many captures on, benign flows are split by capture."""

SPANS: Final = 10
"""Spans of time that fewer captures are cut into, each of as many benign flows."""

WIDEST: Final = 0.01
"""The widest false-positive budget that a model may have by its calibration flows, where none is set."""

_SHARES: Final = (TRAIN, CALIBRATE, HOLD_OUT, TRAIN, TRAIN)
_ATTACK_SHARES: Final = (TRAIN, HOLD_OUT, TRAIN)


@dataclass(frozen=True, slots=True)
class Parts:
    """The flows of all captures, and what each is for.

    Attributes
    ----------
    data : flows, rows, labels and attacks (numbered through all captures) of the n labelled flows.
    use : (n,) `TRAIN`, `CALIBRATE` (benign flows only) or `HOLD_OUT`.
    how : the split in words.
    """

    data: Labelled
    use: I64
    how: str

    def of(self, use: int) -> Labelled:
        """Return the flows of one part."""
        return _chosen(self.data, self.use == use)


def train_on_captures(
    paths: Sequence[Path],
    home: Path,
    store: Store,
    *,
    name: str,
    labels: Path | None = None,
    settings: ModelSettings,
    detect: DetectSettings,
    progress: Progress = SILENT,
) -> Entry:
    """Train a threat model on labelled captures, judge it on flows held out, and register it.

    Parameters
    ----------
    paths : captures, or folders of them.
    home, store : where the registry and the audit log are.
    name : of the model; its next version is made.
    labels : one CSV for all captures, as `qwarden scenario write` makes it; by default CAPTURE.labels.csv.
    settings : size, steps and seed.
    detect : the meter's time-outs, and the false-positive budget that is judged.

    Raises
    ------
    InputError
        A capture or its labels cannot be read or do not fit each other, or there is too little of a kind.
    UsageError
        The name is none.
    Interrupted
        At Ctrl-C; nothing is kept.
    """
    registry = model_registry(home)
    registry.check_name(name)
    captures = find_captures(paths)
    read = []
    with progress.task("read captures", len(captures)) as task:
        for capture in captures:
            read.append(read_labelled(capture, labels, meter_settings(detect)))
            task.advance(1)
    parts = split(read, settings.seed)
    _check(parts, captures, detect.fpr)
    # One thread: the sums then have one order, and one seed gives one model.
    with threadpool_limits(1):
        rows, kinds = training_table([parts.of(TRAIN)], settings.seed)
        calibration = parts.of(CALIBRATE).rows
        model = ThreatModel.train(
            rows, kinds, calibration, names=FEATURE_NAMES, version="0", settings=settings, progress=progress
        )
        model.figures = judge_flows(model, parts.of(HOLD_OUT), detect.fpr or model.budget)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    origin = Origin(
        data=", ".join(map(str, captures)),
        fingerprint=fingerprint(rows, kinds, calibration),
        split=f"{parts.how}; {len(rows)} rows trained on, {len(calibration)} benign flows calibrated on",
        seed=settings.seed,
        parent=f"{name}@{earlier[-1]}" if (earlier := registry.versions(name)) else None,
    )

    def write(folder: Path, version: str) -> None:
        model.name, model.version = name, version
        key = SigningKey.load_or_create(home / "keys")
        model.save(folder, key, created=created, fingerprint=origin.fingerprint)

    entry = registry.add(name, write, origin=origin, created=created, figures=model.figures)
    Audit(store).record("detect", "model.trained", entry.document())
    return entry


def promote(reference: str, home: Path, store: Store) -> Entry:
    """Make a model the one that detection uses, and write that to the audit log.

    Raises
    ------
    UsageError
        There is no such model.
    ModelError
        It was changed, is foreign, or no longer fits this version.
    """
    registry = model_registry(home)
    try:
        before = registry.active_reference()
    except ModelError:  # a broken pointer is mended by promoting
        before = None
    entry = registry.promote(reference, lambda chosen: ThreatModel.load(chosen.folder, registry.trusted))
    body = {"model": entry.reference, "before": before}
    Audit(store).record("detect", "model.promoted", body)
    return entry


def read_labelled(capture: Path, labels: Path | None, settings: MeterSettings) -> Labelled:
    """Read a capture as feature rows, joined to its labels; flows that no label explains are left out."""
    order, parts = EndOrder(settings.idle_timeout_s), []
    with open_capture(capture, settings) as reader:
        parts = [order.add(batch.flows, batch.watermark_ns) for batch in reader]
    flows = np.concatenate([*parts, order.rest()]) if parts else np.empty(0, FLOW)
    named = labels or labels_path(capture)
    rows = read_labels(named)
    index, attacks = label_flows(flows, rows)
    if not (index >= 0).any():
        raise InputError(named, f"none of the {len(flows)} flows of {capture} fits a row")
    kinds = np.where(index >= 0, rows["label"][index], UNLABELLED)
    return _chosen(Labelled(flows, FeatureExtractor().rows(flows), kinds, attacks), index >= 0)


def split(captures: Sequence[Labelled], seed: int) -> Parts:
    """Split flows into training, calibration and held-out ones.

    Of benign flows three groups in five train, one calibrates, one is held out. Of attacks, taken kind by
    kind, every third is held out, and none calibrates: a kind that occurs but once may be new to the model.
    """
    rng = np.random.default_rng([seed, 6])
    many = len(captures) >= ENOUGH_CAPTURES
    first_attack = np.cumsum([0, *(part.attacks.max(initial=0) for part in captures)])
    attacks = [
        np.where(part.attacks > 0, part.attacks + first_attack[at], 0) for at, part in enumerate(captures)
    ]
    spans = 1 if many else SPANS
    groups = np.concatenate(
        [at * spans + _spans(part.attacks == 0, spans) for at, part in enumerate(captures)]
    )
    data = Labelled(
        np.concatenate([part.flows for part in captures]),
        np.concatenate([part.rows for part in captures]),
        np.concatenate([part.labels for part in captures]),
        np.concatenate(attacks),
    )
    use = _deal(rng.permutation(np.unique(groups)), _SHARES)[groups]
    attack = data.attacks > 0
    use[attack] = _deal(_by_kind(data, rng), _ATTACK_SHARES)[data.attacks[attack]]
    by = "capture" if many else f"spans of time, {SPANS} a capture"
    return Parts(data, use, f"benign flows by {by}; attacks as wholes, one in three held out")


def judge_flows(model: ThreatModel, held_out: Labelled, fpr: float) -> dict[str, Any]:
    """Return what `model`, and its twin, reach on flows at a false-positive budget.

    An attack is found when one of its flows alarms, a benign flow that alarms is false; both as the
    detector does it, by score and named behaviour. The AUC ranks single flows.
    """
    named = name_behaviours(held_out.rows)
    attack = held_out.attacks > 0

    def figures(judged: ThreatModel) -> dict[str, float]:
        scores = judged.score(held_out.rows, named)
        told = (scores.p_value <= fpr) & (named != NO_BEHAVIOUR)
        found = np.unique(held_out.attacks[attack & told])
        return {
            "recall": round(len(found) / len(np.unique(held_out.attacks[attack])), 4),
            "false_per_1000": round(1000 * float(told[~attack].mean()), 4),
            "auc": round(_auc(scores.margin, attack), 4),
        }

    return {
        "fpr": fpr,
        "attacks": len(np.unique(held_out.attacks[attack])),
        "benign_flows": int((~attack).sum()),
        **figures(model),
        "twin": figures(model.twin()),
    }


def _check(parts: Parts, captures: Sequence[Path], fpr: float | None) -> None:
    """Raise `InputError` unless every part has what it is for."""
    where = captures[0] if len(captures) == 1 else f"{captures[0]} and {len(captures) - 1} more"
    attack = parts.data.attacks > 0
    for part, name in ((TRAIN, "train on"), (HOLD_OUT, "judge by")):
        for kind, wanted in (("attack", attack), ("benign flow", ~attack)):
            if not (wanted & (parts.use == part)).any():
                raise InputError(where, f"has no {kind} to {name}: give more captures")
    fpr = fpr or WIDEST
    normals, least = int((parts.use == CALIBRATE).sum()), math.ceil(1 / fpr) - 1
    if normals < least:
        raise InputError(
            where,
            f"has {normals} benign flows to calibrate on; the false-positive budget {fpr:g} needs {least}: "
            "give more benign traffic, or raise detect.fpr",
        )


def _chosen(data: Labelled, keep: npt.NDArray[np.bool_]) -> Labelled:
    return Labelled(data.flows[keep], data.rows[keep], data.labels[keep], data.attacks[keep])


def _spans(benign: npt.NDArray[np.bool_], count: int) -> I64:
    """Cut flows into `count` spans of the same number of benign ones; return the span of each flow, (n,)."""
    before: I64 = np.cumsum(benign) - benign
    spans: I64 = np.minimum(before * count // max(int(benign.sum()), 1), count - 1)
    return spans


def _by_kind(data: Labelled, rng: np.random.Generator) -> I64:
    """Return the attacks in random order, those of a kind one after the other."""
    attacks, first = np.unique(data.attacks, return_index=True)
    kinds = np.unique(data.labels[first], return_inverse=True)[1]
    order = rng.permutation(len(attacks))
    order = order[np.argsort(rng.permutation(kinds.max(initial=0) + 1)[kinds[order]], kind="stable")]
    return attacks[order][attacks[order] > 0]


def _deal(items: I64, shares: Sequence[int]) -> I64:
    """Deal numbered items to the parts that `shares` names in turn; return the part of each number."""
    parts = np.zeros(items.max(initial=0) + 1, np.int64)
    parts[items] = np.resize(shares, len(items))
    return parts


def _auc(scores: F64, attack: npt.NDArray[np.bool_]) -> float:
    """Return the share of pairs of an attack's and a benign flow that are in order; ties count half."""
    from scipy.stats import rankdata

    positives = int(attack.sum())
    above = rankdata(scores)[attack].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(scores) - positives)))
