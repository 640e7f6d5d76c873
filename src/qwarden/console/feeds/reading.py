"""Reading one source: the detector runs over it, the board can look on, an account is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwarden.console.board import Account, Reading, Watch
from qwarden.console.events import SourceRead
from qwarden.core.errors import Interrupted
from qwarden.core.progress import SILENT
from qwarden.detect import Detection, Detector, TransactionBook, default_enricher, default_watchers
from qwarden.formats.listeners.session import Ending

if TYPE_CHECKING:
    from qwarden.core.bus import Bus
    from qwarden.core.config import DetectSettings
    from qwarden.core.lists import Lists
    from qwarden.core.progress import Progress, Task
    from qwarden.detect import ThreatModel
    from qwarden.formats.listeners.listener import Listener

Show = Callable[[dict[str, Any]], None]
Look = Callable[[Detection], None]


class SourceReader:
    """Reads sources one after the other.

    Parameters
    ----------
    model, settings : of the detector.
    bus : takes alerts, findings and accounts.
    watch : says what is being read.
    lists : people's exceptions.
    on_alert : called with a finding's document when it opens.
    home : where scored flows are kept, and lists of assets and indicators stand; None: none are.
    """

    def __init__(
        self,
        model: ThreatModel,
        settings: DetectSettings,
        bus: Bus,
        watch: Watch,
        *,
        lists: Lists | None = None,
        on_alert: Show | None = None,
        home: Path | None = None,
    ) -> None:
        self.watch, self._home = watch, home
        self._model, self._settings, self._bus = model, settings, bus
        self._lists, self._on_alert = lists, on_alert
        self._transactions = TransactionBook(lasting=True)

    def _detector(self) -> Detector:
        if self._home is None:
            return Detector(self._model, self._settings, self._bus, lists=self._lists)
        enricher = default_enricher(self._home, self._settings)
        enricher.transactions = self._transactions
        return Detector(
            self._model, self._settings, self._bus, lists=self._lists,
            watchers=default_watchers(self._home, self._settings, self._model, self._bus.publish),
            enricher=enricher,
        )  # fmt: skip

    def read(
        self,
        path: Path,
        stop: threading.Event | None = None,
        *,
        sha256: str = "",
        packets: Callable[[], int] = lambda: 0,
    ) -> SourceRead:
        """Detect in one source and store its account.

        Parameters
        ----------
        path : a capture, or a pipe that becomes one.
        stop : when set, the source is left where it is. Without one it is read to its end, as a pipe is,
            which whoever fills it can close.
        sha256 : of the file's content.
        packets : how many packets a pipe was given so far.

        Raises
        ------
        Interrupted
            `stop` was set. Nothing of the source is accounted for: it is to be read again.
        """
        event, _ = self._read(
            path, str(path), sha256, lambda account: replace(account, packets_read=packets()),
            progress=_Until(stop or threading.Event()),
        )  # fmt: skip
        return event

    def listen(self, path: Path, listener: Listener, hold_s: float) -> Ending:
        """Detect in one source of a listener, and store its account.

        Parameters
        ----------
        path : the pipe to which it comes.
        hold_s : how long flows are held to be put in order, in wall time.
        """
        heard, before = listener.heard, listener.heard.lost

        def with_counts(account: Account) -> Account:
            lines = heard.lines if heard.lines else heard.datagrams
            return replace(account, packets_read=heard.packets, packets_lost=heard.lost, lines_read=lines)

        def settle(running: Detection) -> None:
            listener.settled(running.settled_lines)

        _, ending = self._read(
            path, listener.name, "", with_counts, on_batch=settle, hold_s=hold_s,
            lost=lambda: heard.lost - before, problems=lambda: heard.problems,
        )  # fmt: skip
        return ending

    def _read(
        self,
        path: Path,
        name: str,
        sha256: str,
        counted: Callable[[Account], Account],
        *,
        on_batch: Look | None = None,
        progress: Progress = SILENT,
        hold_s: float | None = None,
        lost: Callable[[], int] = lambda: 0,
        problems: Callable[[], tuple[str, ...]] = tuple,
    ) -> tuple[SourceRead, Ending]:
        detector = self._detector()
        latest = Account()

        def look(running: Detection) -> None:
            nonlocal latest
            latest = _account(running)
            if on_batch is not None:
                on_batch(running)

        self.watch.reading = Reading(name, lambda: counted(latest))
        try:
            result = detector.run(
                [path], on_alert=self._on_alert, on_batch=look, progress=progress, hold_s=hold_s, name=name
            )
            look(result)
            event = _source_read(name, sha256, result, lost(), problems())
            self._bus.publish(event)
            report = result.sources[0] if result.sources else None
            problem = "" if result.readable else (*result.problems, "nothing could be read")[0]
            return event, Ending(report if result.readable else None, problem)
        finally:
            self.watch.reading = None


def _account(running: Detection) -> Account:
    """Return the account of a run that goes on: what is in no other count waits to be put in order."""
    flows = running.flows
    told = flows.scored + flows.suppressed + flows.dropped + flows.malformed
    return Account(
        flows.read, flows.scored, flows.suppressed, flows.dropped, flows.malformed, flows.read - told
    )


def _source_read(
    name: str, sha256: str, result: Detection, lost: int, problems: tuple[str, ...]
) -> SourceRead:
    """Return the account; of flow exporters, records take the place of lines."""
    report = result.sources[0] if result.sources else None
    flows = result.flows
    return SourceRead(
        time=time.time(),
        name=name,
        sha256=sha256,
        format=report.format if report else "",
        packets_read=report.packets.read if report else 0,
        packets_malformed=report.packets.malformed if report else 0,
        packets_truncated=report.packets.truncated if report else 0,
        packets_lost=lost + (report.records.lost + report.records.lost_datagrams if report else 0),
        lines_read=report.lines.read + report.records.read if report else 0,
        lines_malformed=report.flows_unread if report else 0,
        flows_read=flows.read,
        flows_scored=flows.scored,
        flows_suppressed=flows.suppressed,
        flows_dropped=flows.dropped,
        flows_malformed=flows.malformed,
        findings=len(result.findings),
        problems=(*result.problems, *(f"{name}: {problem}" for problem in problems)),
        seconds=round(result.seconds, 3),
    )


class _Until:
    """A progress that shows nothing and ends the run when asked."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:  # noqa: ARG002
        """Open a task that looks at the flag."""
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:  # noqa: ARG002
        """Stop here if asked to."""
        if self._stop.is_set():
            raise Interrupted("reading was stopped")
