"""Learning one's own network: what is normal there, and a false-positive budget that holds there.

Traffic is read as detection reads it, and taken for normal, but for flows that alarm under the model in use:
they are left out and told, unless a person accepts them. It is dealt out by spans of time: of five groups
two are learnt, two calibrate, one is held out. The model that results keeps what tells attacks, and knows
this network's normal flows instead of the traffic range's (`ThreatModel.relearn`). What it is worth is said
of the held-out flows: how many alarm, before and after. It is promoted only if they are no more, or about
as few as its budget allows.
"""

from __future__ import annotations

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
from qwarden.core.errors import InputError
from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey
from qwarden.core.store import Store
from qwarden.detect.behaviours import NO_BEHAVIOUR, name_behaviours
from qwarden.detect.detector import meter_settings
from qwarden.detect.early import EarlyLane
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.detect.lookup import SHIPPED, find_model, model_registry
from qwarden.detect.model import ThreatModel
from qwarden.detect.order import EndOrder
from qwarden.detect.training import promote
from qwarden.formats import FLOW, find_captures, open_capture
from qwarden.learn import fingerprint
from qwarden.learn.registry import Entry, Origin

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

NAME: Final = "baseline"
"""What a model that has learnt a network is called, unless it is given another name."""

LEAST: Final = 2000
"""Flows without which nothing is learnt: the budget would be one in a hundred at best."""

SPANS: Final = 20
"""Spans of time into which a source is cut."""

SLACK: Final = 3
"""Times its budget that held-out flows may alarm: the budget is one kind's, and they are few."""

_LEARN, _CALIBRATE, _HOLD_OUT = range(3)
_SHARES: Final = (_LEARN, _CALIBRATE, _HOLD_OUT, _LEARN, _CALIBRATE)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was read of a network.

    Attributes
    ----------
    rows : (n, d) feature rows of flows that have ended, in order.
    early : (m, d) rows of the early lane.
    use, early_use : (n,), (m,) what each is for.
    """

    rows: F64
    early: F64
    use: I64
    early_use: I64

    def of(self, use: int) -> tuple[F64, F64]:
        """Return the rows of one part, ended and early."""
        return self.rows[self.use == use], self.early[self.early_use == use]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A baseline that was learnt.

    Attributes
    ----------
    entry : of the registry.
    left_out : flows that alarmed and were not accepted.
    promoted : whether detection uses it from now on.
    """

    entry: Entry
    left_out: int
    promoted: bool

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**self.entry.document(), "left_out": self.left_out, "promoted": self.promoted}


def learn_baseline(
    paths: Sequence[Path],
    home: Path,
    store: Store,
    detect: DetectSettings,
    *,
    name: str = NAME,
    accept: bool = False,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Learnt:
    """Learn a network from captures and logs of it.

    Parameters
    ----------
    name : of the model; its next version is made.
    accept : take flows for normal although they alarm.

    Raises
    ------
    InputError
        A source cannot be read, or there is too little traffic.
    UsageError
        The name is none.
    """
    registry = model_registry(home)
    registry.check_name(name)
    base = find_model(home)
    sources = find_captures(paths)
    read, left_out = [], 0
    with progress.task("read traffic", len(sources)) as task, threadpool_limits(1):
        for source in sources:
            traffic, out = _read(source, base, detect, accept=accept, seed=seed)
            read.append(traffic)
            left_out += out
            task.advance(1)
    traffic = _joined(read)
    if len(traffic.rows) < LEAST:
        raise InputError(
            sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more",
            f"has {len(traffic.rows)} flows to learn from; expected at least {LEAST}",
        )
    with threadpool_limits(1):
        model, figures = _learn(base, traffic, name=name, seed=seed)
    origin = Origin(
        data=", ".join(map(str, sources)),
        fingerprint=fingerprint(traffic.rows, np.array([name])),
        split=f"{SPANS} spans of time a source, dealt out: two in five learnt, two calibrate, one held out",
        seed=seed,
        parent=registry.active_reference() or f"{SHIPPED}@{base.version}",
    )
    created = datetime.now(UTC).isoformat(timespec="seconds")

    def write(folder: Path, version: str) -> None:
        model.name, model.version = name, version
        model.figures = figures
        key = SigningKey.load_or_create(home / "keys")
        model.save(folder, key, created=created, fingerprint=origin.fingerprint)

    entry = registry.add(name, write, origin=origin, created=created, figures=figures)
    Audit(store).record("detect", "model.baseline", entry.document())
    allowed = max(figures["before"]["alarming_per_1000"], 1000 * SLACK * figures["budget"])
    better = figures["alarming_per_1000"] <= allowed
    if better:
        entry = promote(f"{entry.name}@{entry.version}", home, store)
    return Learnt(entry, left_out, better)


def _read(
    source: Path, base: ThreatModel, detect: DetectSettings, *, accept: bool, seed: int
) -> tuple[Traffic, int]:
    """Read a source as detection does; return its rows, and how many flows were left out."""
    order, lane = EndOrder(detect.idle_timeout_s), EarlyLane(detect.report_after_s)
    parts, early, early_times = [], [np.empty((0, len(FEATURE_NAMES)))], [np.empty(0, np.int64)]
    with open_capture(source, meter_settings(detect, early=base.looks_early)) as reader:
        for batch in reader:
            _, looked, moments = lane.rows(batch.reports)
            early.append(looked)
            early_times.append(moments)
            parts.append(order.add(batch.flows, batch.watermark_ns))
            lane.forget(batch.flows)
    parts.append(order.rest())
    flows = np.concatenate([np.empty(0, FLOW), *parts])
    rows = FeatureExtractor().rows(flows)
    early_rows, moments = np.concatenate(early), np.concatenate(early_times)
    keep, early_keep = np.ones(len(rows), np.bool_), np.ones(len(early_rows), np.bool_)
    if not accept:
        keep = ~_alarms(base, rows)
        if base.looks_early:
            early_keep = ~_alarms(base, early_rows, early=True)
    rng = np.random.default_rng([seed, 11])
    deal = rng.permutation(SPANS) % len(_SHARES)
    uses = np.array(_SHARES)[deal]
    edges = np.linspace(0, 1, SPANS + 1)[1:-1]
    cuts = np.quantile(flows["end_ns"], edges) if flows.size else edges
    use = uses[np.searchsorted(cuts, flows["end_ns"], "right")]
    early_use = uses[np.searchsorted(cuts, moments, "right")]
    return (
        Traffic(rows[keep], early_rows[early_keep], use[keep], early_use[early_keep]),
        int((~keep).sum()),
    )


def _joined(read: Sequence[Traffic]) -> Traffic:
    return Traffic(
        np.concatenate([part.rows for part in read]),
        np.concatenate([part.early for part in read]),
        np.concatenate([part.use for part in read]),
        np.concatenate([part.early_use for part in read]),
    )


def _alarms(model: ThreatModel, rows: F64, *, early: bool = False) -> npt.NDArray[np.bool_]:
    named = name_behaviours(rows)
    told: npt.NDArray[np.bool_] = named != NO_BEHAVIOUR
    if told.any():
        told[told] = model.score(rows[told], named[told], early=early).p_value <= model.budget
    return told


def _learn(
    base: ThreatModel, traffic: Traffic, *, name: str, seed: int
) -> tuple[ThreatModel, dict[str, Any]]:
    normal, _ = traffic.of(_LEARN)
    calibration, early = traffic.of(_CALIBRATE)
    held_out, _ = traffic.of(_HOLD_OUT)
    model = base.relearn(normal, calibration, name=name, seed=seed)
    if len(early) and base.looks_early:
        model.calibrate_early(early)
    model.learn_baseline(calibration)

    def figures(judged: ThreatModel) -> dict[str, float]:
        told = int(_alarms(judged, held_out).sum())
        return {"alarming_per_1000": round(1000 * told / max(len(held_out), 1), 4), "budget": judged.budget}

    return model, {
        "learnt": len(normal),
        "calibrated": len(calibration),
        "held_out": len(held_out),
        **figures(model),
        "twin": figures(model.twin()),
        "before": figures(base),
    }
