"""The monitor on links that tell rates only: a vendor's telemetry, as CSV or polled as JSON over HTTP.

Such a link says nothing of its make, and as a rule little of its counts. What it usually shows is learnt from
its own first rows and then followed slowly; each column that is there becomes one of the features of
`features`, in standard deviations of the link's own past, and the same model judges them. What is not there
stays unknown: a row that shows too little is called unknown, never usual.

A column is one of `COLUMNS`; others are passed over. An empty field, ``nan`` and ``null`` are unknown.
"""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from qwarden.core.errors import InputError, ServiceError
from qwarden.keys.monitor.features import LOSS_SCALE, NAMES
from qwarden.keys.monitor.model import BUDGET, MonitorModel, load_shipped
from qwarden.keys.monitor.watch import Alarm, judge

Row: TypeAlias = Mapping[str, float | str | None]

COLUMNS: Final[dict[str, tuple[str, float, float]]] = {
    "qber": ("error_jump", 0.0, 0.5),
    "qber_z": ("error_jump", 0.0, 0.5),
    "qber_x": ("basis_gap", 0.0, 0.5),
    "rate": ("loss", 0.0, math.inf),
    "decoy_ratio": ("decoy_gain", 0.0, math.inf),
    "vacuum_yield": ("vacuum_gain", 0.0, 1.0),
    "double_clicks": ("doubles", 0.0, math.inf),
    "imbalance": ("imbalance_z", -1.0, 1.0),
    "watchdog": ("watchdog", 0.0, math.inf),
    "photocurrent": ("photocurrent", 0.0, math.inf),
    "s": ("chsh", -4.0, 4.0),
}
"""Columns that are understood: the feature each becomes, and the least and most that it can be."""

LEARNT: Final = 20
"""Rows from which a column's usual value and spread are learnt, before anything is said of it."""
FOLLOWS: Final = 0.05
"""Weight of a new row in what is usual."""
LARGEST_PAGE: Final = 1 << 20

Status: TypeAlias = Literal["usual", "alarm", "unknown", "learning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of a row.

    Parameters
    ----------
    time : as the row tells it; None if it does not.
    status : ``unknown`` if it shows nothing that is known of the link; ``learning`` while that is learnt.
    alarm : what was seen.
    known : features it was judged by.
    """

    time: str | None
    status: Status
    alarm: Alarm | None
    known: tuple[str, ...]


@dataclass(slots=True)
class _Usual:
    """What a column usually shows."""

    first: list[float] = field(default_factory=list)
    centre: float = math.nan
    spread: float = math.nan

    def deviation(self, value: float) -> float:
        return (value - self.centre) / self.spread

    def learn(self, value: float, least: float) -> None:
        """Take a value for usual."""
        if len(self.first) < LEARNT:
            self.first.append(value)
            if len(self.first) == LEARNT:
                self.centre = float(np.median(self.first))
                # Of twenty values the spread is uncertain itself: Student's t has that much wider tails.
                self.spread = max(1.3 * float(np.std(self.first, ddof=1)), least)
            return
        off = value - self.centre
        self.centre += FOLLOWS * off
        self.spread = max(math.sqrt((1 - FOLLOWS) * self.spread**2 + FOLLOWS * off**2), least)


class TelemetryMonitor:
    """Follows one link by what it tells.

    Parameters
    ----------
    model : the shipped one by default.
    budget : share of honest rows that may raise an alarm.

    Examples
    --------
    >>> watch = TelemetryMonitor()
    >>> rows = [{"qber": 0.02 + 0.0005 * (at % 3)} for at in range(30)] + [{"qber": 0.11}, {}]
    >>> [found.status for found in watch.watch(rows)][-4:]
    ['usual', 'usual', 'alarm', 'unknown']
    """

    def __init__(self, *, model: MonitorModel | None = None, budget: float = BUDGET) -> None:
        self._model, self._budget = model or load_shipped(), budget
        self._usual: dict[str, _Usual] = {}

    def watch(self, rows: Iterable[Row]) -> Iterator[Verdict]:
        """Yield a verdict on each row as it comes."""
        for row in rows:
            yield self.inspect(row)

    def inspect(self, row: Row) -> Verdict:
        """Judge a row, and learn from it unless it raises an alarm."""
        values = _features(row)
        deviations = np.full(len(NAMES), np.nan)
        for name, value in values.items():
            usual = self._usual.setdefault(name, _Usual())
            if math.isfinite(usual.centre):
                deviations[NAMES.index(name)] = usual.deviation(value)
        known = tuple(name for at, name in enumerate(NAMES) if not math.isnan(deviations[at]))
        alarm = judge(self._model, deviations, self._budget) if known else None
        if alarm is None:
            for name, value in values.items():
                self._usual[name].learn(value, _LEAST.get(name, 1e-9))
        status: Status = "alarm" if alarm else "usual" if known else "learning" if values else "unknown"
        time = row.get("time")
        return Verdict(time=None if time is None else str(time), status=status, alarm=alarm, known=known)


_LEAST: Final = {"error_jump": 2e-4, "basis_gap": 2e-4, "loss": LOSS_SCALE, "watchdog": 0.005, "chsh": 0.005}
"""Spread below which a column is not believed to lie."""


def _features(row: Row) -> dict[str, float]:
    """Return what a row shows, by feature."""
    found = {
        feature: value
        for column, (feature, _, _) in COLUMNS.items()
        if isinstance(value := row.get(column), int | float) and not math.isnan(value)
    }
    if "loss" in found:
        found["loss"] = math.log(max(found["loss"], 1e-12))
    if "basis_gap" in found:
        if "error_jump" in found:
            found["basis_gap"] -= found["error_jump"]
        else:
            found["error_jump"] = found.pop("basis_gap")
    return found


def read_csv(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file with a header.

    Raises
    ------
    InputError
        No column is understood, or a value is no number or cannot be; names file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = [name.strip().lower() for name in reader.fieldnames or ()]
            if not set(header) & set(COLUMNS):
                expected = ", ".join(COLUMNS)
                raise InputError(path, f"no column is understood: expected one of {expected}", "line 1")
            reader.fieldnames = header
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(
                        path, f"expected {len(header)} fields, as in the header", f"line {reader.line_num}"
                    )
                yield checked(row, path, f"line {reader.line_num}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, str(error)) from error
    except csv.Error as error:
        raise InputError(path, str(error), f"line {reader.line_num}") from error


def poll(url: str, *, every_s: float = 10.0, rows: int | None = None) -> Iterator[Row]:
    """Yield rows from an address that answers with a JSON object, or a list of them, each time it is asked.

    Parameters
    ----------
    every_s : between questions.
    rows : stop after so many questions; None: never.

    Raises
    ------
    ServiceError
        The address is unreachable or answers with an error.
    InputError
        The answer is no telemetry; names the address.
    """
    import httpx

    seen: deque[str] = deque(maxlen=10_000)
    for asked in count() if rows is None else range(rows):
        if asked:
            sleep(every_s)
        try:
            answer = httpx.get(url, timeout=10.0, headers={"Accept": "application/json"})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceError(f"{url}: {error}") from error
        if len(answer.content) > LARGEST_PAGE:
            raise InputError(url, f"expected at most {LARGEST_PAGE:,} bytes, found {len(answer.content):,}")
        try:
            document = answer.json()
        except ValueError as error:
            raise InputError(url, f"no JSON: {error}") from error
        for at, row in enumerate(document if isinstance(document, list) else [document]):
            if not isinstance(row, dict):
                raise InputError(url, "expected an object", f"row {at + 1}")
            time = row.get("time")
            if time is not None and str(time) in seen:
                continue
            seen.append(str(time))
            yield checked(row, url, f"row {at + 1}")


def checked(row: Mapping[str, Any], source: str | Path, place: str) -> Row:
    """Return a row with its numbers read.

    Raises
    ------
    InputError
        A value is no number, or cannot be; names `source` and `place`.
    """
    found: dict[str, float | str | None] = {"time": None if row.get("time") is None else str(row["time"])}
    for column, (_, least, most) in COLUMNS.items():
        value = row.get(column)
        if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "null")):
            continue
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            number = math.nan
        if not least <= number <= most or not math.isfinite(number):
            room = f"{least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more"
            raise InputError(source, f"{column}: expected a number, {room}; found {value!r}", place)
        found[column] = number
    return found
