"""The room's door for captures and logs: find them, open them, iterate their flows.

The parent opens the file, so that permissions are its own, and never looks into it beyond its first bytes
(`qwarden.formats.kinds`); a locked-down process reads it (`qwarden.formats.sandbox`).
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from qwarden.core.errors import InputError, UnreadableError
from qwarden.formats.accounting import END_OF_TIME, SourceReport
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import FLOW, NOT_YET_FIRST, Flows
from qwarden.formats.kinds import HEAD, READ, ZEEK_ALERTS, ZEEK_TRANSACTIONS, kind_of, other_log
from qwarden.formats.mapping import Mapping
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.sandbox.host import Reader, ReaderDied, ReaderHangs, host
from qwarden.formats.sandbox.lockdown import Held
from qwarden.formats.sandbox.wire import Distrust, Message
from qwarden.formats.transactions import Transaction

WITHOUT_FLOWS: Final = "it tells what was said within flows, not the flows: the sensor's conn.log is missing"
"""What is wrong with a log of Zeek's that tells of protocols, where there is nothing else."""

_NO_FLOWS_EXPECTED: Final = ZEEK_ALERTS | ZEEK_TRANSACTIONS
"""Logs that are not expected to have flows."""

PATIENCE_S: Final = 30.0
"""How long a reading process may say nothing; it speaks at least once every 4 MiB it reads."""


@dataclass(frozen=True, slots=True)
class FlowBatch:
    """Flows that have ended.

    Attributes
    ----------
    flows : rows of `qwarden.formats.flows.FLOW`, in order of their end as the meter saw it, or in the
        order of the log; not sorted.
    watermark_ns : no flow that a later batch of this epoch brings ends before
        ``watermark_ns - idle time-out``. It never goes back within an epoch. The last batch of an
        epoch, which may have no flows, has the largest 64-bit integer: everything of it has come. Logs
        promise nothing: theirs is 0 until then.
    epoch : 0, and one more each time the capture's clock goes back by more than the idle time-out
        (captures pasted together). Times of two epochs are not ordered.
    alerts : what a log's own detector said (Suricata), in the order of the log.
    flow_ids : what the sensor that wrote the log calls each of `flows`, empty where it does not say; none at
        all if it names none.
    transactions : what protocols said within flows, in the order of the log; each names its flow.
    reports : flows as they are before they end, in order of the clock at that moment
        (`MeterSettings.report_after_s`); each comes among `flows` as well when it has ended.
    """

    flows: Flows
    watermark_ns: int
    epoch: int
    alerts: tuple[SignatureAlert, ...] = ()
    flow_ids: tuple[str, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    reports: Flows = field(default_factory=lambda: np.empty(0, FLOW))


class SandboxedSource:
    """An opened source and the process that reads it.

    Attributes
    ----------
    report : what has been read so far (`SourceReport`); final when the iteration has ended.
    cage : the measures that hold the reading process.
    """

    def __init__(self, path: str, reader: Reader, patience_s: float) -> None:
        self.report = SourceReport(path)
        self.cage: list[Held] = []
        self._path = path
        self._reader = reader
        self._patience_s = patience_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the reading process."""
        self._reader.close()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Turn what goes wrong while the process is heard into an `InputError`."""
        try:
            yield
        except ReaderDied:
            raise self._failed("the process reading it ended unexpectedly") from None
        except ReaderHangs:
            problem = f"the process reading it has said nothing for {self._patience_s:g} s"
            raise self._failed(problem) from None
        except Distrust as error:
            raise self._failed(f"the process reading it is not to be trusted: {error}") from None

    def _heard(self, report: SourceReport, cage: list[dict[str, Any]]) -> None:
        self.report = report
        if cage:
            self.cage = [Held(**measure) for measure in cage]

    def _finish(self) -> None:
        """End the process, which has said its last word, and see that it had read anything."""
        self.close()
        if self.report.problems and not self.report.usable:
            raise self._error(UnreadableError, self.report.problems[0])

    def _failed(self, problem: str) -> InputError:
        self.close()
        self.report.complete = False
        place = f"after {self.report.place}"
        self.report.note(f"{place}: {problem}")
        return InputError(self._path, problem, place)

    def _error(self, kind: type[InputError], problem: str) -> InputError:
        place, colon, text = problem.partition(": ")
        if colon and place.startswith(("packet ", "line ", "datagram ", "byte ")):
            return kind(self._path, text, place)
        return kind(self._path, problem)


class CaptureReader(SandboxedSource):
    """An opened capture or log; iterate it once for its batches. Made by `open_capture`."""

    def __init__(
        self, path: str, reader: Reader, settings: MeterSettings, patience_s: float, live: bool = False
    ) -> None:
        super().__init__(path, reader, patience_s)
        self._live = live
        self._idle_ns = round(settings.idle_timeout_s * 1e9)
        self._floor_ns = 0
        self._before: Message | None = None

    def __iter__(self) -> Iterator[FlowBatch]:
        """Yield the source's batches; of a pipe, an empty one about once a second while nothing comes.

        Raises
        ------
        UnreadableError : not one packet or line could be read; or a pipe tells only what was said in flows.
        InputError : the reading process died, hung or said something impossible. What was yielded
            until then stands, and is in the report.
        """
        last = False
        while not last:
            with self._listening():
                message, told = self._reader.hear(self._path, self._patience_s)
                on_their_way = told["end_reason"] >= NOT_YET_FIRST
                flows, reports = (
                    (told[~on_their_way], told[on_their_way]) if on_their_way.any() else (told, told[:0])
                )
                self._check_order(message, flows)
            self._heard(message.report, message.cage)
            if self._live and self.report.format in ZEEK_TRANSACTIONS:
                self.close()
                raise UnreadableError(self._path, WITHOUT_FLOWS)
            self._before = message
            last = message.last
            ends = message.watermark_ns == END_OF_TIME and not last
            heard = message.alerts or message.transactions
            if told.size or heard or ends or (self._live and not last):
                yield FlowBatch(
                    flows, message.watermark_ns, message.epoch, message.alerts, _names(message),
                    message.transactions, reports,
                )  # fmt: skip
        self._finish()
        kind = self.report.format.removesuffix("+gzip")
        if self.report.is_log and not self.report.flows_read and kind not in _NO_FLOWS_EXPECTED:
            self.report.note("the log has no flows")
        elif self.report.is_export:
            if not self.report.records.datagrams:
                self.report.note("nothing was received")
        elif not self.report.is_log and not self.report.packets.read:
            self.report.note("the capture has no packets")

    def _check_order(self, message: Message, flows: Flows) -> None:
        """Hold the reading process to the order it promised."""
        before = self._before
        report, flows_before, alerts_before, others_before = message.report, 0, 0, 0
        if before is not None:
            flows_before, lines = before.report.flows_read, before.report.lines
            alerts_before, others_before = lines.alerts, lines.other
            if (
                message.epoch < before.epoch
                or report.packets.read < before.report.packets.read
                or report.lines.read < before.report.lines.read
                or report.records.read < before.report.records.read
            ):
                raise Distrust("counts that go back")
            same = message.epoch == before.epoch
            self._floor_ns = before.watermark_ns - self._idle_ns if same else 0
            if same and message.watermark_ns < before.watermark_ns:
                raise Distrust("a watermark that goes back")
        if report.flows_read != flows_before + flows.size:
            raise Distrust("flow counts that do not add up")
        if report.is_log and report.flows_read > report.lines.flows:
            raise Distrust("more flows than lines")
        if report.is_export and report.flows_read > report.records.flows:
            raise Distrust("more flows than records")
        if report.lines.alerts < alerts_before + len(message.alerts):
            raise Distrust("alert counts that do not add up")
        if report.lines.other < others_before + len(message.transactions):
            raise Distrust("transaction counts that do not add up")
        if len(_names(message)) not in (0, flows.size):
            raise Distrust("other names than flows")
        if flows.size and int(np.min(flows["end_ns"])) < self._floor_ns:
            raise Distrust("a flow behind the watermark")


def _names(message: Message) -> tuple[str, ...]:
    return tuple(message.flow_ids.split("\n")) if message.flow_ids else ()


def open_capture(
    path: str | Path,
    settings: MeterSettings | None = None,
    *,
    mapping: Mapping | None = None,
    patience_s: float = PATIENCE_S,
    name: str | None = None,
) -> CaptureReader:
    """Open a capture or a log and start its reading process.

    Parameters
    ----------
    path : a capture, a log or a table of flows (`qwarden.formats.kinds.READ`), or a gzip of one; told apart
        by content. A pipe works too.
    settings : the flow meter's time-outs and bounds.
    mapping : what the columns of a table mean that is of no format known (`mapping.read_mapping`).
    patience_s : how long the reading process may say nothing before it counts as hung.
    name : what reports and errors call it, where the path is but a pipe.

    Raises
    ------
    UnreadableError : it does not exist, is a directory, or may not be read.
    """
    settings = settings or MeterSettings()
    with open_source(path) as fd:
        live = not stat.S_ISREG(os.fstat(fd).st_mode)
        reader = host().submit(fd, settings, mapping=mapping)
    return CaptureReader(name or str(path), reader, settings, patience_s, live)


@contextmanager
def open_source(path: str | Path) -> Iterator[int]:
    """Open a file with our own permissions and give its descriptor, until a process has it.

    Raises
    ------
    UnreadableError : it does not exist, is a directory, or may not be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableError(path, _reason(error)) from None
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise UnreadableError(path, "is a directory; expected a capture or a log")
        yield fd
    finally:
        os.close(fd)


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return (error.strerror or "cannot be opened").lower()


def format_of(path: str | Path) -> str:
    """Return the format of a regular file by its first bytes, looking through gzip.

    Returns
    -------
    As `qwarden.formats.kinds.kind_of`: one of ``pcap``, ``pcapng``, ``zeek-conn`` and ``eve``, which are
    read; ``zeek-NAME`` for another of Zeek's logs; empty for anything else.

    Raises
    ------
    OSError : it cannot be read.
    """
    if not Path(path).is_file():  # opening a pipe would wait for its writer
        return ""
    with Path(path).open("rb") as file:
        head = file.read(HEAD)
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD)
        except zlib.error:
            return ""
    return kind_of(head)


def is_capture(path: str | Path) -> bool:
    """Return whether a regular file begins like a capture or a log that is read; see `format_of`."""
    return format_of(path) in READ


@dataclass(slots=True)
class Survey:
    """What paths mean.

    Attributes
    ----------
    sources : what can be read: files as they are named, directories by what is in them, in the order in which
        to read them: what sensors say of flows comes before the flows.
    beside : those among them that have no flows of their own, but tell what protocols said within flows.
    unread : logs in directories that are recognised but not read, each with the reason.
    closed : entries of directories that may not be read.
    """

    sources: list[Path] = field(default_factory=list)
    beside: set[Path] = field(default_factory=set)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    closed: int = 0


def survey(paths: Iterable[str | Path]) -> Survey:
    """Return the captures and logs that `paths` mean, and the logs that are not read.

    Directories are searched to the bottom, in order of name, Zeek's logs by their period; links to
    directories are not followed. A file that is named is returned whatever it contains: reading it says what
    is wrong.

    Raises
    ------
    UnreadableError : a path does not exist or may not be read, or a directory has nothing to read.
    """
    all_found, first = Survey(), []
    for path in map(Path, paths):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise UnreadableError(path, _reason(error)) from None
        if not stat.S_ISDIR(mode):
            if not os.access(path, os.R_OK):
                raise UnreadableError(path, "no permission to read it")
            if _kind(path) in ZEEK_TRANSACTIONS:
                all_found.beside.add(path)
                first.append(path)
            else:
                all_found.sources.append(path)
            continue
        found = _search(path)
        if not found.sources:
            also = f"; {found.closed} of its entries may not be read" if found.closed else ""
            raise UnreadableError(path, f"no readable capture or log in this directory{also}")
        all_found.sources += found.sources
        all_found.beside |= found.beside
        all_found.unread += found.unread
        all_found.closed += found.closed
    all_found.sources = list(dict.fromkeys([*first, *all_found.sources]))
    return all_found


def _kind(path: Path) -> str:
    try:
        return format_of(path)
    except OSError:
        return ""  # whoever reads it says why


def find_captures(paths: Iterable[str | Path]) -> list[Path]:
    """Return the captures and logs that `paths` mean and that have flows; see `survey`."""
    found = survey(paths)
    return [path for path in found.sources if path not in found.beside]


def _search(folder: Path) -> Survey:
    found = Survey()

    def refused(_error: OSError) -> None:
        found.closed += 1

    for place, folders, files in os.walk(folder, onerror=refused):
        folders.sort()
        here: list[tuple[str, bool, str, Path]] = []
        for name in sorted(files):
            path = Path(place, name)
            try:
                kind = format_of(path)
            except OSError:
                found.closed += 1
                continue
            if kind in READ:
                here.append((*_turn(name, kind), path))
                if kind in ZEEK_TRANSACTIONS:
                    found.beside.add(path)
            elif kind:
                found.unread.append((path, other_log(kind)))
        found.sources += [path for *_, path in sorted(here)]
    return found


def _turn(name: str, kind: str) -> tuple[str, bool, str]:
    """Return what sorts the files of a folder: Zeek's logs by period, what it says of connections first.

    >>> sorted(_turn(f"{name}.{hour}.log", f"zeek-{name}") for name in ("conn", "dns") for hour in (1, 2))
    [('.1.log', False, 'dns.1.log'), ('.1.log', True, 'conn.1.log'), \
('.2.log', False, 'dns.2.log'), ('.2.log', True, 'conn.2.log')]
    """
    log = kind.removeprefix("zeek-")
    return ("", True, name) if log == kind else (name.replace(log, "", 1), log == "conn", name)


def sandbox_report() -> list[Held]:
    """Start a reading process, have it try to break out, and return what holds."""
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        reader = host().submit(nothing.fileno(), MeterSettings(max_flows=1), probe=True)
    try:
        message, _ = reader.hear(os.devnull, PATIENCE_S)
    except (ReaderDied, ReaderHangs, Distrust) as error:
        return [Held("reading process", False, f"it failed: {type(error).__name__}")]
    finally:
        reader.close()
    return [Held(**measure) for measure in message.cage]
