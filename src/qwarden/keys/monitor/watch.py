"""The monitor of one link: looks at each block, and says in words why one must not be used.

In: a block's `Observables`. Out: an `Alarm`, or None. It remembers what the link usually shows
(`reference`); a block that raised an alarm is never learnt from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qwarden.keys.link import Link, Settings
from qwarden.keys.monitor.features import F64, FEATURES, NAMES
from qwarden.keys.monitor.model import BUDGET, MonitorModel, load_shipped
from qwarden.keys.monitor.reading import read
from qwarden.keys.monitor.reference import Reference
from qwarden.keys.observables import Observables

COUNTED = 1_000
"""Honest blocks among which calibration has counted strange ones; beyond, it would guess."""
SHOWN = 3
"""Deviations that an alarm names."""
WORTH_NAMING = 2.5
"""Standard deviations from which one is named, unless it is the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A block that looks like no honest one.

    Parameters
    ----------
    surprise : -log10 of the share of honest blocks that look as strange, beyond what was counted
        extrapolated.
    seen : what deviates most, in words, the strongest first.
    deviations : the same as feature and standard deviations.
    likely : the attack whose blocks look most alike: a hint, not evidence.
    twin : whether gradient boosting, the classical twin, would have raised it too.
    """

    surprise: float
    seen: tuple[str, ...]
    deviations: tuple[tuple[str, float], ...]
    likely: str
    twin: bool

    def __str__(self) -> str:
        share = f"{min(10**self.surprise, COUNTED):,.0f}"
        said = "; ".join(
            f"{words} ({size:+.1f} sd)" for words, (_, size) in zip(self.seen, self.deviations, strict=True)
        )
        twin = "the classical twin agrees" if self.twin else "the classical twin sees nothing"
        return f"{said}; like {self.likely}; at most 1 in {share} honest blocks looks so; {twin}"


class Monitor:
    """Follows one link.

    Parameters
    ----------
    link : as it was measured when it was commissioned.
    settings : in use; `use` changes them.
    model : the shipped one by default.
    budget : share of honest blocks that may raise an alarm.
    """

    def __init__(
        self, link: Link, settings: Settings, *, model: MonitorModel | None = None, budget: float = BUDGET
    ) -> None:
        self._link, self._settings, self._budget = link, settings, budget
        self._model = model or load_shipped()
        self._reference = Reference.of(link)

    def use(self, settings: Settings) -> None:
        """Expect blocks that were sent with these settings from now on."""
        self._settings = settings

    def inspect(self, seen: Observables) -> Alarm | None:
        """Look at a block; an honest one becomes part of what is usual."""
        reading = read(seen, self._link, self._settings)
        deviations = self._reference.deviations(reading)
        alarm = judge(self._model, deviations, self._budget)
        if alarm is None:
            self._reference.learn(reading)
        else:
            self._reference.pass_over()
        return alarm

    def __call__(self, seen: Observables) -> str:
        """Return why a block must not be used; empty if it may: `party.block.Inspect`."""
        alarm = self.inspect(seen)
        return "" if alarm is None else str(alarm)


def judge(model: MonitorModel, deviations: F64, budget: float = BUDGET) -> Alarm | None:
    """Return the alarm that deviations (d,) raise, if they do."""
    found = model.judge(deviations[np.newaxis], budget)
    if not found.flagged[0]:
        return None
    sizes = np.nan_to_num(deviations, nan=0.0)
    order = np.argsort(-np.abs(sizes))[:SHOWN]
    named = [at for rank, at in enumerate(order) if rank == 0 or abs(sizes[at]) >= WORTH_NAMING]
    return Alarm(
        surprise=float(found.surprise[0]) / math.log(10),
        seen=tuple(FEATURES[NAMES[at]].says[int(sizes[at] < 0)] for at in named),
        deviations=tuple((NAMES[at], float(sizes[at])) for at in named),
        likely=model.likely(deviations),
        twin=bool(model.twin_flags(deviations[np.newaxis], budget)[0]),
    )
