"""Flows that people speak of: found in the archive, with the feature row that follows from them.

The archive keeps flows and not their rows; rows are derived again by showing a source's flows to the windows
in the order in which they were scored. Behaviours are derived with them, and must be those that were kept:
where the first flows of a source are gone, or another version kept them, rows would not be what was scored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError, UsageError
from qwarden.detect.archive import FOLDER, PART, Query, replay, search, sources
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, cause_keys, name_behaviours
from qwarden.detect.features import FEATURE_NAMES, FeatureExtractor
from qwarden.formats.flows import FLOW, Flows

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NO_ID: Final = "-"


@dataclass(frozen=True, slots=True)
class KnownFlow:
    """One flow and what it was scored by.

    Attributes
    ----------
    flow : (1,) row of `FLOW`.
    row : (d,) feature row, columns as `FEATURE_NAMES`.
    behaviour : index into `BEHAVIOURS`, or `NO_BEHAVIOUR`.
    """

    flow: Flows
    row: F64
    behaviour: int

    @property
    def kind(self) -> str | None:
        """The behaviour it shows, None if none."""
        return None if self.behaviour == NO_BEHAVIOUR else KINDS[self.behaviour]

    @property
    def cause(self) -> str:
        """What it has in common with the flows of one finding."""
        return cause_text(cause_keys(self.flow, np.array([self.behaviour]))[0])

    def document(self) -> dict[str, Any]:
        """Return it as JSON values; `read` reads it."""
        return {
            "flow": base64.b64encode(self.flow.tobytes()).decode(),
            "row": base64.b64encode(self.row.astype("<f8").tobytes()).decode(),
            "behaviour": self.kind,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any], place: str) -> KnownFlow:
        """Read what `document`, or `qwarden.detect.evidence`, wrote.

        Raises
        ------
        InputError
            It is of a version with other columns or behaviours, or was changed. `place` says whose it is.
        """
        try:
            flow = np.frombuffer(base64.b64decode(document["flow"], validate=True), FLOW)
            row = np.frombuffer(base64.b64decode(document["row"], validate=True), "<f8").astype(float)
            if flow.size != 1 or row.size != len(FEATURE_NAMES):
                raise ValueError(f"{flow.size} flows, {row.size} columns")
            kind = document["behaviour"]
            behaviour = NO_BEHAVIOUR if kind is None else KINDS.index(kind)
            named = int(name_behaviours(row[None, :])[0])
        except (KeyError, ValueError, TypeError, binascii.Error) as error:
            problem = f"its flow is missing, was changed, or is of another version: {error}"
            raise InputError(place, problem) from error
        if named != behaviour:
            raise InputError(
                place, f"its row no longer shows {kind or 'no behaviour'}: it is of another version"
            )
        return cls(flow, row, behaviour)


@dataclass(frozen=True, slots=True)
class Piece:
    """Flows of a source with their rows, in the order in which they were scored.

    Attributes
    ----------
    source : its id in the archive.
    flows, rows, named : (n,), (n, d), (n,) as in `Scored`.
    told : (n,) whether each alarmed.
    sound : (n,) whether the behaviour is the one that was kept: the row is what was scored.
    """

    source: str
    flows: Flows
    rows: F64
    named: I64
    told: Mask
    sound: Mask

    def id(self, at: int) -> str:
        """Return what a flow is called."""
        return f"{self.source}:{self.flows['seq'][at]}"

    def flow(self, at: int) -> KnownFlow:
        """Return one flow."""
        return KnownFlow(self.flows[at : at + 1].copy(), self.rows[at].copy(), int(self.named[at]))


def cause_text(key: Sequence[int]) -> str:
    """Return a key of `cause_keys` as text.

    >>> cause_text((KINDS.index("guessing"), 0, 3232235777))
    'guessing 0 3232235777'
    """
    kind = KINDS[key[0]] if key[0] != NO_BEHAVIOUR else NO_ID
    return " ".join([kind, *map(str, key[1:])])


def derive(home: Path, source: str) -> Iterator[Piece]:
    """Yield a source's flows with their rows, derived again.

    Raises
    ------
    InputError
        Its first flows have left the archive, or a file of it cannot be read.
    """
    folders = (home / FOLDER / source, home / FOLDER / f"{source}{PART}")
    if not any((folder / "000000.parquet").is_file() for folder in folders):
        raise InputError(folders[0], "the first flows of this source are gone: rows can no longer be derived")
    features = FeatureExtractor()
    for kept in replay(home, source):
        rows = features.rows(kept.flows)
        named = name_behaviours(rows)
        yield Piece(source, kept.flows, rows, named, kept.told, named == kept.behaviours)


def find_flow(home: Path, id: str) -> KnownFlow:
    """Return the flow called ``SOURCE:NUMBER``.

    Raises
    ------
    UsageError
        The archive has no such flow.
    InputError
        It has, but what it was scored by can no longer be derived.
    """
    if not search(home, Query(ids=(id,))).flows.size:
        raise UsageError(f"the archive has no flow {id}: `qwarden flows search` prints those it has")
    source, _, number = id.partition(":")
    for piece in derive(home, source):
        for at in np.flatnonzero(piece.flows["seq"] == int(number)).tolist():
            if not piece.sound[at]:
                raise InputError(
                    f"flow {id}", "was archived by another version, or in part: scan its source anew"
                )
            return piece.flow(at)
    raise UsageError(f"the archive has no flow {id}")


def sources_at(home: Path, since: float, until: float) -> list[str]:
    """Return the ids of sources with a flow between two moments, seconds since the epoch."""
    found = search(home, Query(since=since, until=until))
    there = set(found.sources.tolist())
    return [source for source in sources(home) if source in there]
