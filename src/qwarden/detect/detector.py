"""The detector: captures and logs in, findings out, and every flow accounted for.

::

    capture -> flows, in order of their end -> feature rows -> threat scores -> named behaviours
            -> findings (an alert when one opens, its event when it closes)

read = scored + suppressed + dropped + malformed holds for every run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from qwarden.core.config import DetectSettings
from qwarden.core.errors import InputError, UnreadableError, UsageError
from qwarden.core.events import Event
from qwarden.core.lists import IGNORE, Lists
from qwarden.core.progress import SILENT, Progress
from qwarden.detect.behaviours import BEHAVIOURS, NO_BEHAVIOUR, SEVERITIES, name_behaviours
from qwarden.detect.early import EarlyLane
from qwarden.detect.enrichment import Enricher
from qwarden.detect.evasion import SHARE
from qwarden.detect.evidence import Evidence
from qwarden.detect.exceptions import hidden, silenced
from qwarden.detect.explain import Explainer
from qwarden.detect.features import FeatureExtractor
from qwarden.detect.findings import Alert, Finding, FindingBook
from qwarden.detect.model import ThreatModel
from qwarden.detect.order import EndOrder
from qwarden.detect.reported import ReportedBook
from qwarden.detect.rescoring import Rescorer
from qwarden.detect.scored import F64, I64, Mask, Scored, Watcher
from qwarden.formats import Mapping, MeterSettings, SourceReport, open_capture, survey
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.captures import WITHOUT_FLOWS
from qwarden.formats.flows import Flows

Show = Callable[[dict[str, Any]], None]
Look = Callable[["Detection"], None]

_PIECE: Final = 1 << 16
"""Flows scored at once: bounds the memory of their feature rows."""

NOTE: Final = SEVERITIES[0]
"""Severity of what is worth a note, and nothing more."""

EARLY_SHARE: Final = 0.1
"""What flows that still run have of the false-positive budget, beside all of it for those that ended."""


class Publisher(Protocol):
    """Where events go: the bus."""

    def publish(self, event: Event, /) -> None:
        """Store the event and hand it to who listens."""


@dataclass(slots=True)
class FlowAccount:
    """What became of the flows; a log's malformed lines are flows that could not be read."""

    read: int = 0
    scored: int = 0
    suppressed: int = 0
    dropped: int = 0
    malformed: int = 0


@dataclass(slots=True)
class Detection:
    """The result of a run over one or more captures.

    `settled_lines` counts the lines of the log being read, from its first, all of whose flows are dealt with;
    `lost` the packets, datagrams or lines of a live source that are known not to have reached the reader.
    `second` names the second opinion, None if there is none: of the flows it was `asked` about it raised
    those that are `evading`; they are among the `alarming` ones.
    """

    model: str
    version: str
    sources: list[SourceReport] = field(default_factory=list)
    flows: FlowAccount = field(default_factory=FlowAccount)
    findings: list[Finding] = field(default_factory=list)
    alarming: int = 0
    problems: list[str] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    readable: bool = False
    seconds: float = 0.0
    settled_lines: int = 0
    lost: int = 0
    second: str | None = None
    asked: int = 0
    evading: int = 0

    def document(self) -> dict[str, Any]:
        """Return the document of `qwarden detect --json`."""
        return {
            "sources": [
                {
                    "path": source.path,
                    "format": source.format,
                    "packets": {
                        "read": source.packets.read,
                        "malformed": source.packets.malformed,
                        "truncated": source.packets.truncated,
                        "other": source.packets.other,
                    },
                    "lines": {
                        "read": source.lines.read,
                        "flows": source.lines.flows,
                        "alerts": source.lines.alerts,
                        "other": source.lines.other,
                        "comments": source.lines.comments,
                        "malformed": source.lines.malformed,
                    },
                    "records": asdict(source.records),
                    "problems": list(source.problems),
                }
                for source in self.sources
            ],
            "lost": self.lost,
            "unread": [{"path": str(path), "reason": reason} for path, reason in self.unread],
            "flows": {
                "read": self.flows.read,
                "scored": self.flows.scored,
                "suppressed": self.flows.suppressed,
                "dropped": self.flows.dropped,
                "malformed": self.flows.malformed,
                "alarming": self.alarming,
            },
            "findings": [finding.document() for finding in self.findings],
            "model": {"name": self.model, "version": self.version},
            "second_opinion": self.second
            and {"model": self.second, "asked": self.asked, "evading": self.evading},
            "seconds": round(self.seconds, 3),
        }


class Detector:
    """Scores captures and logs with one model.

    Parameters
    ----------
    model : the threat model.
    settings : meter time-outs, false-positive budget, ignored networks.
    publisher : takes alerts and findings.
    fpr : overrides the settings' false-positive budget: the share of benign flows that may alarm as one kind.
    lists : people's exceptions beside the settings'; without them, the settings' alone.
    watchers : shown every flow that was scored.
    enricher : knows more of hosts, and what other detectors told of them.
    mapping : what the columns of a table of one's own mean.
    """

    def __init__(
        self,
        model: ThreatModel,
        settings: DetectSettings,
        publisher: Publisher,
        *,
        fpr: float | None = None,
        lists: Lists | None = None,
        watchers: Sequence[Watcher] = (),
        enricher: Enricher | None = None,
        mapping: Mapping | None = None,
    ) -> None:
        self._mapping = mapping
        self._watchers, self._enricher = tuple(watchers), enricher or Enricher()
        self._model, self._settings, self._publisher = model, settings, publisher
        self._fpr = fpr if fpr is not None else settings.fpr or model.budget
        # A model of few calibration flows cannot give so small a p-value: then as small as it can.
        self._early_fpr = min(self._fpr, max(EARLY_SHARE * self._fpr, model.least_early_fpr))
        if not 0 < self._fpr < 1:
            raise UsageError(f"--fpr {self._fpr}: a false-positive budget lies between 0 and 1")
        if self._fpr < model.least_fpr:
            raise UsageError(
                f"model {model.name} {model.version}: could never alarm within a false-positive budget of "
                f"{self._fpr:g}: its calibration flows allow {model.least_fpr:.2g} and more; "
                "give a larger --fpr or detect.fpr"
            )
        # By behaviour; the last stands for none.
        self._told_of = np.array([settings.notes or b.severity != NOTE for b in BEHAVIOURS] + [True])
        self._explainer = Explainer(model)
        self._second = model.second if settings.second_opinion else None
        least = 1.0 if self._second is None else self._second.least_fpr
        self._second_fpr = min(self._fpr, max(SHARE * self._fpr, least))
        self._lists = lists or Lists(ignore=settings.ignore)

    def run(
        self,
        paths: Sequence[Path],
        *,
        on_alert: Show | None = None,
        on_finding: Show | None = None,
        on_batch: Look | None = None,
        progress: Progress = SILENT,
        hold_s: float | None = None,
        name: str | None = None,
    ) -> Detection:
        """Detect in captures, logs and folders of them, one after the other.

        One that cannot be read is named in `Detection.problems`; the others go on. Logs in folders that
        are recognised but not read are named in `Detection.unread`.

        Parameters
        ----------
        on_alert : called with a finding's document when it opens.
        on_finding : called with its final document when it closes.
        on_batch : called with the growing result after each batch of flows; it may look, not change.
        hold_s : of a source without end, how long flows are held to be put in order, in wall time.
        name : what findings and accounts call the source, where the path is but a pipe.
        """
        began = time.perf_counter()
        result = Detection(self._model.name, self._model.version)
        if self._second is not None:
            result.second = f"{self._second.name} {self._second.version}"
        found = survey(paths)
        result.unread += found.unread
        if found.beside and found.beside == set(found.sources) and not self._enricher.transactions.lasting:
            result.problems += [f"{path}: {WITHOUT_FLOWS}" for path in found.sources]
            found.sources.clear()
        for path in found.sources:
            self._run_one(path, result, on_alert, on_finding, on_batch, progress, hold_s, name or str(path))
        if forgotten := self._enricher.transactions.reckon():
            result.problems.append(f"of {forgotten:,} flows, what was said within them was forgotten")
        result.seconds = time.perf_counter() - began
        return result

    def _run_one(
        self,
        path: Path,
        result: Detection,
        on_alert: Show | None,
        on_finding: Show | None,
        on_batch: Look | None,
        progress: Progress,
        hold_s: float | None,
        name: str,
    ) -> None:
        marks: deque[tuple[int, int]] = deque()  # flows read by a batch, and lines
        meter = meter_settings(self._settings, self._model.looks_early)
        try:
            capture = open_capture(path, meter, mapping=self._mapping, name=name)
        except UnreadableError as error:
            result.problems.append(str(error))
            return
        result.sources.append(capture.report)
        stream = _Stream(self, name, result, on_alert, on_finding)
        self._enricher.transactions.begin()
        order = EndOrder(self._settings.idle_timeout_s, self._settings.max_flows, hold_s)
        try:
            with capture, progress.task(path.name) as task:
                for batch in capture:
                    result.flows.read += batch.flows.size
                    stream.enter(batch.epoch)
                    stream.hear(batch.alerts)
                    self._enricher.transactions.heard(batch)
                    stream.look(batch.reports)
                    stream.take(order.add(batch.flows, batch.watermark_ns))
                    stream.forget(batch.flows)
                    report = result.sources[-1] = capture.report
                    marks.append((report.flows_read, report.lines.read))
                    done = order.settled(report.flows_read)
                    while marks and marks[0][0] <= done:
                        result.settled_lines = marks.popleft()[1]
                    if on_batch:
                        on_batch(result)
                    task.advance(batch.flows.size)
        except UnreadableError as error:
            result.problems.append(str(error))
        except InputError as error:  # what came before the fault stands
            result.problems.append(str(error))
            result.readable = True
        else:
            result.readable = True
        finally:
            stream.take(order.rest())
            stream.end()
            for watcher in self._watchers:
                watcher.ended(name)
            result.sources[-1] = capture.report
            result.settled_lines = capture.report.lines.read
            result.flows.read += capture.report.flows_unread
            result.flows.malformed += capture.report.flows_unread
        if order.late:
            result.problems.append(f"{name}: {order.late} flows came too late to be put in order of time")
        if result.readable:
            known = set(result.problems)
            notes = (f"{name}: {problem}" for problem in capture.report.problems)
            result.problems += [note for note in notes if note not in known]


class _Stream:
    """One capture on its way through windows, model and findings."""

    def __init__(
        self,
        detector: Detector,
        source: str,
        result: Detection,
        on_alert: Show | None,
        on_finding: Show | None,
    ) -> None:
        self._detector, self._source, self._result = detector, source, result
        self._on_alert, self._on_finding = on_alert, on_finding
        self._epoch, self._features = 0, FeatureExtractor()
        self._early = EarlyLane(detector._settings.report_after_s)
        self._delay_ns = int(detector._settings.idle_timeout_s * 1e9)
        self._rescorer = Rescorer(
            detector._model, detector._publisher.publish, level=detector._settings.ambiguity,
            within_s=detector._settings.rescore_within_s, second=detector._second,
        )  # fmt: skip
        self._book = FindingBook(
            f"{detector._model.name} {detector._model.version}",
            detector._explainer.explain,
            partial(Evidence.of, detector._model),
            self._rescorer.raised,
            detector._enricher.context,
        )
        enricher = detector._enricher
        self._reported = ReportedBook(source, detector._lists, enricher.context, enricher.transactions)

    def enter(self, epoch: int) -> None:
        """Start afresh where the capture's clock went back: times of two epochs are not ordered."""
        if epoch != self._epoch:
            self.end()
            self._epoch, self._features = epoch, FeatureExtractor()
            self._early = EarlyLane(self._detector._settings.report_after_s)

    def hear(self, alerts: Sequence[SignatureAlert]) -> None:
        """Take what another detector told."""
        for told in alerts:
            self._detector._enricher.heard(told)
            alert = self._reported.add(told)
            if alert is not None:
                self._publish(alert)

    def look(self, reports: Flows) -> None:
        """Look at flows that still run: what is clear already need not wait for their end.

        They count in no account, and no watcher sees them: they come again. Their budget is a share of that
        of the flows that have ended.
        """
        if not reports.size:
            return
        detector = self._detector
        rules = detector._lists.rules(IGNORE)
        flows, rows, moments = self._early.rows(reports[~hidden(reports, rules)])
        named = name_behaviours(rows)
        chosen = named != NO_BEHAVIOUR
        flows, rows, named = flows[chosen], rows[chosen], named[chosen]
        if flows.size:
            scores = detector._model.score(rows, named, early=True)
            told = scores.p_value <= detector._early_fpr
            told &= detector._told_of[named] & ~silenced(flows, named, rules)
            piece = Scored(self._source, self._epoch, flows, rows, named, scores, told, early=True)
            self._raise(piece, moments[chosen])

    def forget(self, ended: Flows) -> None:
        """Let go of what was kept of flows that ended."""
        self._early.forget(ended)

    def take(self, flows: Flows) -> None:
        """Score flows that come in order of their end."""
        for at in range(0, flows.size, _PIECE):
            self._take(flows[at : at + _PIECE])

    def _take(self, flows: Flows) -> None:
        detector, account = self._detector, self._result.flows
        said = detector._enricher.transactions.take(flows)
        broken = flows["end_ns"] < flows["start_ns"]
        rules = detector._lists.rules(IGNORE)
        ignored = ~broken & hidden(flows, rules)
        account.malformed += int(broken.sum())
        account.suppressed += int(ignored.sum())
        flows = flows[~(broken | ignored)]
        account.scored += flows.size
        if not flows.size:
            return
        rows = self._features.rows(flows)
        named = name_behaviours(rows)
        scores = detector._model.score(rows, named)
        worth = (named != NO_BEHAVIOUR) & detector._told_of[named]
        told = worth & (scores.p_value <= detector._fpr)
        # With a budget tighter than the model's, what lies between was not let pass, and is not told either.
        passed = worth & (scores.p_value > max(detector._fpr, detector._model.budget))
        evading = self._doubted(rows, named, passed)
        told |= evading
        quiet = told & silenced(flows, named, rules)
        account.scored -= int(quiet.sum())
        account.suppressed += int(quiet.sum())
        told &= ~quiet
        evading &= told
        self._result.alarming += int(told.sum())
        self._result.evading += int(evading.sum())
        piece = Scored(
            self._source, self._epoch, flows, rows, named, scores, told, evading=evading, said=said
        )
        for watcher in detector._watchers:
            watcher.scored(piece)
        self._raise(piece, flows["end_ns"] + self._delay_ns)
        self._rescorer.due(int(flows["end_ns"][-1]))
        self._close(self._book.close(int(flows["end_ns"][-1])))

    def _doubted(self, rows: F64, named: I64, passed: Mask) -> Mask:
        """Return which flows the second opinion raises, (n,), of those that the model let pass."""
        second = self._detector._second
        if second is None:
            return np.zeros(len(rows), np.bool_)
        self._result.asked += int(passed.sum())
        return second.evading(rows, named, passed, self._detector._second_fpr)

    def _raise(self, piece: Scored, moments_ns: npt.NDArray[np.int64]) -> None:
        for alert in self._book.add(piece.alarms(), moments_ns[piece.told]):
            self._publish(alert)

    def _publish(self, alert: Alert) -> None:
        self._detector._publisher.publish(alert)
        if self._on_alert:
            self._on_alert(alert.finding)

    def end(self) -> None:
        """Close what is still open."""
        self._rescorer.due()
        self._close(self._book.close())
        self._close(self._reported.close())

    def _close(self, findings: list[Finding]) -> None:
        for finding in findings:
            self._detector._publisher.publish(finding)
            self._result.findings.append(finding)
            if self._on_finding:
                self._on_finding(finding.document())


def meter_settings(settings: DetectSettings, early: bool = False) -> MeterSettings:
    """Return the meter's share of the settings; `early`: with reports on flows that still run."""
    return MeterSettings(
        settings.idle_timeout_s, settings.active_timeout_s, settings.closed_linger_s, settings.max_flows,
        settings.report_after_s if early else (),
    )  # fmt: skip
