"""The registry of measures: every figure Qwarden states, and the code that finds it again.

A room registers functions with `@measure`; `run` turns each into a *document* whose fields are those
of the acceptance file. `qwarden.core.figures` keeps the last ones in a committed file and renders the
report from it. Nothing else states a figure.

A measure that lacks its data or its peer raises `UnavailableError` and has no document: it never
invents a value. One marked long runs only by name or when asked for, and resumes after a stop
through its `Checkpoint`.

Start reading at `measure`, then `run`; `merge_into` and `render` are those of `figures`.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from qwarden.core.bench import ROOT
from qwarden.core.errors import InputError, QwardenError, UnavailableError, UsageError
from qwarden.core.figures import Document, merge_into, render
from qwarden.core.files import Json, atomic_write, canonical_json
from qwarden.core.progress import SILENT, Progress
from qwarden.core.revision import revision

__all__ = [
    "REGISTRY", "Bench", "Checkpoint", "Document", "Measure", "Measured", "Outcome", "Registry", "Resources",
    "measure", "merge_into", "render", "run",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a quantum measure asked of the device, at its largest circuit."""

    qubits: int
    depth: int
    two_qubit_gates: int
    shots: int | None = None
    """None: exact expectation values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a measure found.

    Parameters
    ----------
    values : the figures; their keys are those of the measure's ``units``.
    data : the data set and its SHA-256, or the generator and its seed.
    split : how training, calibration and test rows were kept apart.
    seeds : every seed that entered.
    n : number of test rows (or repetitions) the figures stand on.
    configurations_tried : how many settings were looked at before this one was chosen.
    ci95 : 95 % confidence interval of a figure, where there is one.
    twin : the classical twin's figures on the same rows.
    resources : of a quantum measure.
    """

    values: Mapping[str, float]
    data: str
    split: str = "none"
    seeds: Sequence[int] = ()
    n: int
    configurations_tried: int = 1
    ci95: Mapping[str, tuple[float, float]] | None = None
    twin: Mapping[str, float] | None = None
    resources: Resources | None = None


class Checkpoint:
    """Where a long measure keeps its partial work, so that a stop costs minutes and not hours.

    The work of another commit is not taken up: a figure belongs to one version of the code.
    """

    def __init__(self, path: Path, commit: str) -> None:
        self._path, self._commit = path, commit

    def load(self) -> dict[str, Json]:
        """Return what `save` kept last, or an empty dict."""
        try:
            kept = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InputError(self._path, "the checkpoint is no JSON; delete it to start afresh") from error
        if not isinstance(kept, dict) or kept.get("commit") != self._commit:
            return {}
        state = kept["state"]
        return state if isinstance(state, dict) else {}

    def save(self, state: Mapping[str, Json]) -> None:
        """Keep `state`, replacing what was kept before."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_write(self._path, canonical_json({"commit": self._commit, "state": state}))

    def drop(self) -> None:
        """Forget everything; `run` does it when the measure is complete."""
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a measure is handed.

    Parameters
    ----------
    home : the home folder.
    checkpoint : the measure's own.
    progress : where to show how far it is.
    """

    home: Path
    checkpoint: Checkpoint
    progress: Progress = SILENT

    def data(self, path: str) -> Path:
        """Return a file or folder of real data, below ``QWARDEN_DATA`` or ``shared/data`` beside the tree.

        Raises
        ------
        UnavailableError
            It is not there.
        """
        return _required("QWARDEN_DATA", ROOT.parent / "shared" / "data", path)

    def peer(self, name: str) -> Path:
        """Return a peer's own interpreter, ``QWARDEN_PEERS/name/bin/python``, or that below ``.peers``.

        Raises
        ------
        UnavailableError
            It is not there.
        """
        return _required("QWARDEN_PEERS", ROOT / ".peers", f"{name}/bin/python")


def _required(variable: str, in_tree: Path, path: str) -> Path:
    """Return `path` below the folder that `variable` names, or below the source tree's usual one."""
    found = Path(os.environ.get(variable) or in_tree) / path
    if not found.exists():
        raise UnavailableError(found, f"is missing; set {variable} to where it is")
    return found.absolute()


Function: TypeAlias = Callable[[Bench], Measured]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A registered measure."""

    name: str
    definition: str
    units: Mapping[str, str]
    long: bool
    article: Mapping[str, float] | None
    function: Function

    @property
    def room(self) -> str:
        """The room it belongs to: what stands before the dot."""
        return self.name.partition(".")[0]


class Registry:
    """Measures by name."""

    def __init__(self) -> None:
        self._measures: dict[str, Measure] = {}

    def __iter__(self) -> Iterator[Measure]:
        return iter(self._measures[name] for name in sorted(self._measures))

    def measure(
        self,
        name: str,
        *,
        definition: str,
        units: Mapping[str, str],
        long: bool = False,
        article: Mapping[str, float] | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function as the measure `name`.

        Parameters
        ----------
        name : ``room.figure``.
        definition : one sentence that says what is measured.
        units : unit of each value, by key; ``1`` for a share or a ratio.
        long : run it only by name or when long ones are asked for.
        article : what the article claims for some of the keys, in their units.

        Raises
        ------
        ValueError
            The name has no room, is taken, or the article names an unknown key.
        """
        room, _, figure = name.partition(".")
        if not room or not figure or "." in figure:
            raise ValueError(f"measure {name!r}: expected a name like room.figure")
        if name in self._measures:
            raise ValueError(f"measure {name!r} is registered twice")
        if article and not article.keys() <= units.keys():
            raise ValueError(f"measure {name!r}: the article's keys {sorted(article)} are not all in units")

        def register(function: Function) -> Function:
            self._measures[name] = Measure(
                name=name, definition=definition, units=units, long=long, article=article, function=function
            )
            return function

        return register

    def select(
        self, names: Sequence[str] = (), *, room: str | None = None, every: bool = False, long: bool = False
    ) -> list[Measure]:
        """Choose measures: these names, or one room's, or every one.

        Long ones are chosen by name, or with `long`.

        Raises
        ------
        UsageError
            A name or room is unknown (the nearest one is suggested), or nothing was chosen.
        """
        if bool(names) + (room is not None) + every != 1:
            raise UsageError("choose measures by name, by room, or all of them")
        if names:
            return [self._named(name) for name in dict.fromkeys(names)]
        if room is not None and room not in (rooms := {m.room for m in self}):
            raise UsageError(f"no measure in room {room!r}{_nearest(room, sorted(rooms))}")
        return [m for m in self if (every or m.room == room) and (long or not m.long)]

    def _named(self, name: str) -> Measure:
        try:
            return self._measures[name]
        except KeyError:
            raise UsageError(f"no measure {name!r}{_nearest(name, sorted(self._measures))}") from None


REGISTRY = Registry()
"""The platform's measures. A room's measures register when its module is imported."""

measure = REGISTRY.measure


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known) or 'none'}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one measure: a document, or why it is unavailable."""

    name: str
    document: Document | None
    unavailable: UnavailableError | None = None


def run(measures: Sequence[Measure], home: Path, progress: Progress = SILENT) -> Iterator[Outcome]:
    """Run measures one after the other and yield what came of each as soon as it is known.

    Merge each document as it comes: what was measured before a stop is then kept. A measure without
    its data or peer yields its `UnavailableError` (exit 3 at the end) and the others go on; any other
    error is a fault and ends the run.
    """
    commit = revision()
    for chosen in measures:
        checkpoint = Checkpoint(home / "measures" / f"{chosen.name}.json", commit)
        start = time.perf_counter()
        try:
            measured = chosen.function(Bench(home=home, checkpoint=checkpoint, progress=progress))
        except UnavailableError as error:
            yield Outcome(chosen.name, None, error)
            continue
        document = _document(chosen, measured, time.perf_counter() - start, commit)
        checkpoint.drop()
        yield Outcome(chosen.name, document)


def _document(chosen: Measure, measured: Measured, seconds: float, commit: str) -> Document:
    _check(chosen, measured)
    return {
        "name": chosen.name,
        "definition": chosen.definition,
        "data": measured.data,
        "split": measured.split,
        "seeds": [int(seed) for seed in measured.seeds],
        "n": int(measured.n),
        "configurations_tried": int(measured.configurations_tried),
        "values": _numbers(measured.values),
        "unit": dict(chosen.units),
        "ci95": {key: [float(low), float(high)] for key, (low, high) in (measured.ci95 or {}).items()},
        "twin": None if measured.twin is None else _numbers(measured.twin),
        "resources": None if measured.resources is None else asdict(measured.resources),
        "article": None if chosen.article is None else dict(chosen.article),
        "seconds": round(seconds, 3),
        "commit": commit,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _check(chosen: Measure, measured: Measured) -> None:
    if measured.values.keys() != chosen.units.keys():
        raise QwardenError(
            f"measure {chosen.name}: found {sorted(measured.values)}, registered {sorted(chosen.units)}"
        )
    for part in (measured.ci95, measured.twin):
        if part is not None and not part.keys() <= chosen.units.keys():
            raise QwardenError(f"measure {chosen.name}: {sorted(part)} are not all among its values")
    for key, value in (*measured.values.items(), *(measured.twin or {}).items()):
        if not math.isfinite(value):
            raise QwardenError(f"measure {chosen.name}: {key} is {value}")


def _numbers(values: Mapping[str, float]) -> dict[str, int | float]:
    # NumPy's scalars become Python's, counts stay whole.
    return {key: int(v) if isinstance(v, int) else float(v) for key, v in values.items()}
