"""What a long run shows while it goes on, and how it stops when asked.

Library code takes a `Progress` and never asks where it goes: `SILENT` by default, bars on standard
error from `terminal_progress` when a person is watching. `interruptible` turns the first Ctrl-C into
a flag that loops look at, so that partial work is kept.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

from qwarden.core.errors import Interrupted

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Task(Protocol):
    """One bar."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Move on by `amount` of the task's total; `note` is a word beside the bar, as ``loss 0.21``."""


class Progress(Protocol):
    """Where progress is shown."""

    def task(self, name: str, total: float | None = None) -> AbstractContextManager[Task]:
        """Open a bar for the time of a ``with``; `total` None where the end is not known."""


class _SilentTask:
    def advance(self, amount: float = 1, note: str = "") -> None:
        """Show nothing."""


class SilentProgress:
    """Shows nothing: the progress of libraries, pipes and tests.

    Examples
    --------
    >>> with SILENT.task("train", total=3) as task:
    ...     for _ in range(3):
    ...         task.advance()
    """

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:  # noqa: ARG002
        """Open a task that shows nothing."""
        yield _SilentTask()


SILENT: Final = SilentProgress()


class _RichTask:
    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: float = 1, note: str = "") -> None:
        if note:
            self._bars.update(self._task, advance=amount, note=note)
        else:
            self._bars.advance(self._task, amount)


class TerminalProgress:
    """Bars on standard error."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._open = 0

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:
        """Open a bar; bars opened inside one another stand below one another."""
        bars = self._bars = self._bars or _bars()
        if self._open == 0:
            bars.start()
        self._open += 1
        task = bars.add_task(name, total=total, note="")
        try:
            yield _RichTask(bars, task)
        finally:
            bars.refresh()  # a short task is seen at least once
            bars.remove_task(task)
            self._open -= 1
            if self._open == 0:
                bars.stop()
                self._bars = None


def _bars() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )


def terminal_progress() -> Progress:
    """Return bars where standard error is a terminal, `SILENT` otherwise."""
    return TerminalProgress() if sys.stderr.isatty() else SILENT


class Interruption:
    """True once the user asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested

    def on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note the first Ctrl-C; at the second one stop at once."""
        if self.requested:
            raise Interrupted("stopped at the second Ctrl-C")
        self.requested = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Let the first Ctrl-C raise a flag instead of an exception, for the time of a ``with``.

    The loop looks at the flag, stops after its current step and keeps what it has. A second Ctrl-C
    raises `Interrupted` at once. Nested contexts pass the wish on outwards. Outside the main thread
    signals do not arrive and the flag stays down.

    Examples
    --------
    >>> done = 0
    >>> with interruptible() as stop:
    ...     while not stop and done < 5:
    ...         done += 1
    >>> done
    5
    """
    flag = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.signal(signal.SIGINT, flag.on_signal)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
        outer = getattr(previous, "__self__", None)
        if isinstance(outer, Interruption):
            outer.requested |= flag.requested
