"""The archive: every flow that was scored, so that it can be found again.

One folder a source, ``HOME/flows/ID``, with Parquet files of the canonical flows in order of their end, the
behaviour each shows, its score and whether it alarmed. A file is known by its content, not by its path:
read again, from wherever, it takes the place of what was kept of it before. A folder's name ends in ``.part``
until its source has come to its end. Feature rows are not kept: they follow from the flows (`replay`).

The archive holds back nothing that matters for findings, which are in the store; past its size the oldest
files go.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from qwarden.core.errors import InputError, UsageError
from qwarden.core.files import atomic_write
from qwarden.core.ranges import AddressRanges, parse_network
from qwarden.detect.behaviours import KINDS
from qwarden.formats.flows import FLOW, Flows

if TYPE_CHECKING:
    from qwarden.detect.scored import Scored

log = logging.getLogger(__name__)

FOLDER: Final = "flows"
PART: Final = ".part"
_ABOUT: Final = "source.json"
_A_FILE: Final = 1 << 16
"""Flows a file."""
_COLUMNS: Final = FLOW.names or ()
_SAMPLES: Final = 16
_SAMPLE: Final = 1 << 17
"""Pieces of a file that are looked at to know it, and their bytes: below 2 MiB that is all of it."""


@dataclass(frozen=True, slots=True)
class Archived:
    """Flows from the archive.

    Attributes
    ----------
    flows : (n,) rows of `FLOW`.
    behaviours : (n,) index into `BEHAVIOURS`, or `NO_BEHAVIOUR`.
    told : (n,) whether each alarmed.
    threat : (n,) threat score of each; nan if it was kept by a version that kept none.
    sources : (n,) ids of their sources.
    """

    flows: Flows
    behaviours: np.ndarray[Any, np.dtype[np.int64]]
    told: np.ndarray[Any, np.dtype[np.bool_]]
    threat: np.ndarray[Any, np.dtype[np.float64]]
    sources: np.ndarray[Any, np.dtype[np.str_]]

    def ids(self) -> list[str]:
        """Return what each flow is called: the source's id and the flow's number in it."""
        return [f"{source}:{seq}" for source, seq in zip(self.sources, self.flows["seq"], strict=True)]


class FlowArchive:
    """Keeps what the detector scored; a `Watcher`.

    Parameters
    ----------
    home : the home folder.
    keep_mib : the size at which the oldest files go.
    """

    def __init__(self, home: Path, keep_mib: int) -> None:
        self._folder, self._keep = home / FOLDER, keep_mib << 20
        self._source: str | None = None
        self._into = self._folder
        self._parts: list[Scored] = []
        self._held = self._written = 0
        self._given_up = False

    def scored(self, piece: Scored) -> None:
        """Keep a piece; what the disk does not take is told, and not kept."""
        if piece.source != self._source and self._source is not None:
            self.ended(self._source)
        with self._or_without():
            if piece.source != self._source:
                self._begin(piece.source)
            if self._given_up:
                return
            self._parts.append(piece)
            self._held += piece.flows.size
            if self._held >= _A_FILE:
                self._write()

    def ended(self, source: str) -> None:
        """Finish the folder of a source."""
        if source != self._source:
            return  # nothing of it was scored
        with self._or_without():
            if not self._given_up:
                self._write()
                final = self._into.with_suffix("")
                shutil.rmtree(final, ignore_errors=True)
                self._into.rename(final)
                self._prune()
        self._source = None

    @contextlib.contextmanager
    def _or_without(self) -> Iterator[None]:
        """Go on without a source's flows where they cannot be kept: findings must not wait for them."""
        try:
            yield
        except OSError as error:
            log.warning("%s: its flows are not kept, and not found again: %s", self._source, error.strerror)
            shutil.rmtree(self._into, ignore_errors=True)
            self._parts, self._held, self._given_up = [], 0, True

    def _begin(self, source: str) -> None:
        id = source_id(source)
        self._source, self._into, self._written = source, self._folder / f"{id}{PART}", 0
        self._given_up = False
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(self._into, ignore_errors=True)
        self._into.mkdir(mode=0o700)
        path = Path(source)
        about = {"id": id, "path": str(path.absolute()) if path.exists() else source}
        atomic_write(self._into / _ABOUT, json.dumps(about).encode())

    def _write(self) -> None:
        if not self._parts:
            return
        flows = np.concatenate([piece.flows for piece in self._parts])
        frame = pl.DataFrame({name: np.ascontiguousarray(flows[name]) for name in _COLUMNS}).with_columns(
            behaviour=np.concatenate([piece.named for piece in self._parts]).astype(np.int16),
            told=np.concatenate([piece.told for piece in self._parts]),
            threat=np.concatenate([piece.scores.threat for piece in self._parts]),
        )
        packed = io.BytesIO()
        frame.write_parquet(packed, compression="zstd", statistics=True)
        atomic_write(self._into / f"{self._written:06}.parquet", packed.getvalue())
        self._parts, self._held = [], 0
        self._written += 1
        if self._written % 16 == 0:
            self._prune()

    def _prune(self) -> None:
        files = []
        for path in self._folder.glob("*/*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._keep:
                break
            path.unlink(missing_ok=True)
            total -= size
        for folder in self._folder.iterdir():
            if folder != self._into and not any(folder.glob("*.parquet")):
                shutil.rmtree(folder, ignore_errors=True)


def source_id(source: str) -> str:
    """Return what the archive calls a source: a file by its content, a stream by chance.

    Of a large file its size and `_SAMPLES` pieces stand for the content, the first and the last among them.
    """
    path = Path(source)
    try:
        if not path.is_file():
            return uuid.uuid4().hex[:12]
        size = path.stat().st_size
        told = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for at in range(_SAMPLES):
                file.seek(max(size - _SAMPLE, 0) * at // (_SAMPLES - 1))
                told.update(file.read(_SAMPLE))
    except OSError:
        return uuid.uuid4().hex[:12]
    return told.hexdigest()[:12]


def source_path(home: Path, id: str) -> Path:
    """Return the path of the capture or log that a source id stands for; of a stream, its name.

    Raises
    ------
    UsageError
        The archive does not know it (any more).
    """
    for folder in (home / FOLDER / id, home / FOLDER / f"{id}{PART}"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            return Path(json.loads((folder / _ABOUT).read_bytes())["path"])
    raise UsageError(f"the archive has no source {id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for; all that is given must fit.

    Parameters
    ----------
    addresses : networks or addresses, each of either side.
    source, destination : a network or address of that side.
    port : of either side.
    proto : IANA protocol number.
    since, until : seconds since the epoch; flows that lasted at least in part between them.
    kind : the behaviour a flow shows.
    told : only flows that alarmed.
    ids : only these flows, as ``SOURCE:NUMBER``.
    """

    addresses: tuple[str, ...] = ()
    source: str | None = None
    destination: str | None = None
    port: int | None = None
    proto: int | None = None
    since: float | None = None
    until: float | None = None
    kind: str | None = None
    told: bool = False
    ids: tuple[str, ...] = ()

    def expression(self) -> pl.Expr:
        """Return the condition on the columns.

        Raises
        ------
        UsageError
            A network, kind or id is none.
        """
        found = pl.lit(True)
        for network in self.addresses:
            found &= _within("src", network) | _within("dst", network)
        for side, end in (("src", self.source), ("dst", self.destination)):
            if end is not None:
                found &= _within(side, end)
        if self.port is not None:
            found &= (pl.col("src_port") == self.port) | (pl.col("dst_port") == self.port)
        if self.proto is not None:
            found &= pl.col("proto") == self.proto
        if self.since is not None:
            found &= pl.col("end_ns") >= round(self.since * 1e9)
        if self.until is not None:
            found &= pl.col("start_ns") <= round(self.until * 1e9)
        if self.kind is not None:
            if self.kind not in KINDS:
                raise UsageError(f"kind {self.kind}: expected one of {', '.join(KINDS)}")
            found &= pl.col("behaviour") == KINDS.index(self.kind)
        return found & pl.col("told") if self.told else found

    def numbers(self) -> dict[str, list[int]] | None:
        """Return the flows' numbers by source, None if none are named."""
        if not self.ids:
            return None
        found: dict[str, list[int]] = {}
        for id in self.ids:
            source, colon, number = id.partition(":")
            if not colon or not number.isdecimal():
                raise UsageError(f"flow {id}: expected SOURCE:NUMBER, as `qwarden flows search` prints it")
            found.setdefault(source, []).append(int(number))
        return found


def _within(side: str, network: str) -> pl.Expr:
    try:
        ranges = AddressRanges([parse_network(network, strict=False)]).ranges
    except ValueError as error:
        raise UsageError(f"{network}: {error}") from None
    hi, lo = pl.col(f"{side}_hi"), pl.col(f"{side}_lo")
    found = pl.lit(False)
    for first, last in ranges:
        (first_hi, first_lo), (last_hi, last_lo) = divmod(first, 1 << 64), divmod(last, 1 << 64)
        above = (hi > _u64(first_hi)) | ((hi == _u64(first_hi)) & (lo >= _u64(first_lo)))
        below = (hi < _u64(last_hi)) | ((hi == _u64(last_hi)) & (lo <= _u64(last_lo)))
        found |= above & below
    return found


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, pl.UInt64)


def search(home: Path, query: Query, limit: int = 0) -> Archived:
    """Return the flows that fit, in order of their start; the first `limit` of them, or all if it is 0.

    Raises
    ------
    UsageError
        The query makes no sense.
    InputError
        A file of the archive cannot be read.
    """
    condition, numbers = query.expression(), query.numbers()
    frames = []
    for id, path in _files(home):
        if numbers is not None and id not in numbers:
            continue
        wanted = condition if numbers is None else condition & pl.col("seq").is_in(numbers[id])
        try:
            frames.append(pl.read_parquet(path).filter(wanted).with_columns(source=pl.lit(id)))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(path, f"is no file of the archive: {error}") from error
    return _archived(pl.concat(frames, how="diagonal") if frames else None, limit)


def replay(home: Path, id: str) -> Iterator[Archived]:
    """Yield what is kept of a source, in the order in which it was scored."""
    for found, path in _files(home):
        if found == id:
            yield _archived(pl.read_parquet(path).with_columns(source=pl.lit(id)), 0, in_order=False)


def sources(home: Path) -> list[str]:
    """Return the ids of the sources that are kept."""
    return list(dict.fromkeys(id for id, _ in _files(home)))


def _files(home: Path) -> list[tuple[str, Path]]:
    found = sorted((home / FOLDER).glob("*/*.parquet"))
    return [(path.parent.name.removesuffix(PART), path) for path in found]


def _archived(frame: pl.DataFrame | None, limit: int, *, in_order: bool = True) -> Archived:
    if frame is None or frame.is_empty():
        return Archived(
            np.empty(0, FLOW), np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0),
            np.empty(0, np.dtype("<U12")),
        )  # fmt: skip
    if in_order:
        frame = frame.sort("start_ns", "source", "seq")
    frame = frame.head(limit) if limit else frame
    flows = np.empty(frame.height, FLOW)
    for name in _COLUMNS:
        flows[name] = frame[name].to_numpy()
    threat = frame["threat"].to_numpy() if "threat" in frame.columns else np.full(frame.height, np.nan)
    return Archived(
        flows, frame["behaviour"].to_numpy().astype(np.int64), frame["told"].to_numpy(),
        threat.astype(np.float64), frame["source"].to_numpy().astype(np.str_),
    )  # fmt: skip
