"""A listener's sources, one after the other, each as a pipe that the reading process opens.

There is one, mostly: it lasts until somebody stops it. A capture that is rotated begins another, and so
does a reading process that dies: it is replaced, and the account says so.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qwarden.core.errors import InputError, ServiceError
from qwarden.formats.accounting import SourceReport
from qwarden.formats.listeners.listener import Listener
from qwarden.formats.listeners.pipe import piped

_DEATHS, _WITHIN_S = 5, 60.0
"""Reading processes that die oftener within this time are not replaced."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the reading of one source ended.

    Attributes
    ----------
    report : what was read; None if nothing could be.
    problem : why nothing could be read; empty if something was.
    """

    report: SourceReport | None
    problem: str = ""

    @property
    def died(self) -> bool:
        """Whether the reading process ended before the source did."""
        return self.report is not None and not self.report.complete

    @property
    def done(self) -> int:
        """How many packets, datagrams or lines were read."""
        report = self.report
        return report.packets.read + report.records.datagrams + report.lines.read if report else 0


def listen(listener: Listener, pipe: Path, stop: threading.Event, read: Callable[[Path], Ending]) -> None:
    """Have `read` read each source of an opened listener until `stop` is set or there is none any more.

    Parameters
    ----------
    pipe : where the pipes appear.
    read : reads a source to its end.

    Raises
    ------
    InputError
        What comes is of no format that is read.
    ServiceError
        The listener has ended by itself, or reading processes die again and again.
    """
    threading.Thread(target=_end, args=[listener, stop], name=f"end {pipe.name}", daemon=True).start()
    deaths: deque[float] = deque(maxlen=_DEATHS)
    try:
        while True:
            with piped(pipe, listener.blocks()) as source:
                ending = read(source)
            if stop.is_set() or listener.failed:
                break
            if ending.problem:
                raise InputError(listener.name, ending.problem)
            if not ending.died:
                if listener.more:
                    continue
                break
            deaths.append(time.monotonic())
            if len(deaths) == _DEATHS and deaths[-1] - deaths[0] < _WITHIN_S:
                problem = ending.report.problems[-1] if ending.report and ending.report.problems else ""
                raise ServiceError(
                    f"{listener.name}: its reading process dies again and again; last {problem}"
                )
            listener.died(ending.done)
    finally:
        listener.stop()
        listener.close()
    if listener.failed and not stop.is_set():
        raise ServiceError(f"{listener.name}: {listener.failed}")


def _end(listener: Listener, stop: threading.Event) -> None:
    stop.wait()
    listener.stop()
