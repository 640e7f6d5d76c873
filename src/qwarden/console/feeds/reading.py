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
from qwarden.detect import Detection, Detector

if TYPE_CHECKING:
    from qwarden.core.bus import Bus
    from qwarden.core.config import DetectSettings
    from qwarden.core.lists import Lists
    from qwarden.core.progress import Task
    from qwarden.detect import ThreatModel

Show = Callable[[dict[str, Any]], None]


class SourceReader:
    """Reads sources one after the other.

    Parameters
    ----------
    model, settings : of the detector.
    bus : takes alerts, findings and accounts.
    watch : says what is being read.
    lists : people's exceptions.
    on_alert : called with a finding's document when it opens.
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
    ) -> None:
        self.watch = watch
        self._model, self._settings, self._bus = model, settings, bus
        self._lists, self._on_alert = lists, on_alert

    def read(
        self,
        path: Path,
        stop: threading.Event | None = None,
        *,
        sha256: str = "",
        packets: Callable[[], int] = lambda: 0,
        lost: Callable[[], int] = lambda: 0,
    ) -> SourceRead:
        """Detect in one source and store its account.

        Parameters
        ----------
        path : a capture, or a pipe that becomes one.
        stop : when set, the source is left where it is. Without one it is read to its end, as a pipe is,
            which whoever fills it can close.
        sha256 : of the file's content.
        packets : how many packets a pipe was given so far.
        lost : how many packets never reached it.

        Raises
        ------
        Interrupted
            `stop` was set. Nothing of the source is accounted for: it is to be read again.
        """
        detector = Detector(self._model, self._settings, self._bus, lists=self._lists)
        latest = Account()

        def look(running: Detection) -> None:
            nonlocal latest
            latest = _account(running)

        self.watch.reading = Reading(
            str(path), lambda: replace(latest, packets_read=packets(), packets_lost=lost())
        )
        try:
            result = detector.run(
                [path],
                on_alert=self._on_alert,
                on_batch=look,
                progress=_Until(stop or threading.Event()),
            )
            event = _source_read(path, sha256, result, lost())
            self._bus.publish(event)
            return event
        finally:
            self.watch.reading = None


def _account(running: Detection) -> Account:
    """Return the account of a run that goes on: what is in no other count waits to be put in order."""
    flows = running.flows
    told = flows.scored + flows.suppressed + flows.dropped + flows.malformed
    return Account(
        flows.read, flows.scored, flows.suppressed, flows.dropped, flows.malformed, flows.read - told
    )


def _source_read(path: Path, sha256: str, result: Detection, lost: int) -> SourceRead:
    report = result.sources[0] if result.sources else None
    flows = result.flows
    return SourceRead(
        time=time.time(),
        name=str(path),
        sha256=sha256,
        format=report.format if report else "",
        packets_read=report.packets.read if report else 0,
        packets_malformed=report.packets.malformed if report else 0,
        packets_truncated=report.packets.truncated if report else 0,
        packets_lost=lost,
        lines_read=report.lines.read if report else 0,
        lines_malformed=report.lines.malformed if report else 0,
        flows_read=flows.read,
        flows_scored=flows.scored,
        flows_suppressed=flows.suppressed,
        flows_dropped=flows.dropped,
        flows_malformed=flows.malformed,
        findings=len(result.findings),
        problems=tuple(result.problems),
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
