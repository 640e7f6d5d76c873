"""What a surface opens: all targets of a run, told of findings as they come.

Two ways lead out. What is read to its end (`qwarden detect`) writes its own findings to its files at once;
all else goes through the store and a `Courier` each, so that nothing is lost and nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from qwarden.core.bus import Bus, Subscription
from qwarden.core.errors import InputError, QwardenError, UsageError
from qwarden.core.events import Event
from qwarden.core.store import Store
from qwarden.formats.deliveries.courier import Courier
from qwarden.formats.delivery import Delivery, Target, Telling, open_delivery, parse_target
from qwarden.formats.writers.notice import Notice, State

PATIENCE_S: Final = 10.0
"""How long an ending run waits for its receivers."""


class Outputs:
    """The targets of one run; use it in a ``with``.

    Parameters
    ----------
    targets : as written, see `delivery`.
    home : the home folder.
    store : where findings are stored before anyone is told.
    bus : says what was stored just now. What a run that is not live finds again, stored long ago, is then
        told again, once; without it receivers hear of new findings alone.
    live : whether reading has no end: files then go through the store as well.
    say : told of a problem when it comes up.
    patience_s : how long the end waits for receivers.

    Raises
    ------
    UsageError
        A target is none, or is named twice.
    InputError
        A file cannot be opened.
    ConfigError
        A certificate or a secret cannot be used.
    """

    def __init__(
        self,
        targets: Iterable[str],
        home: Path,
        store: Store,
        *,
        bus: Bus | None = None,
        live: bool = False,
        say: Callable[[str], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.couriers: list[Courier] = []
        self.problems: list[QwardenError] = []
        self._files: list[_File] = []
        self._closed = False
        self._listening: Subscription | None = None
        self._new: set[str] = set()
        self._tells_again = bus is not None and not live
        self._patience_s = patience_s
        chosen = [parse_target(text) for text in targets]
        names = [target.name for target in chosen]
        for at, target in enumerate(chosen):
            if target.name in names[:at]:
                raise UsageError(f"output {target.label}: is named twice")
        try:
            for target in chosen:
                direct = target.scheme == "file" and not live
                delivery = open_delivery(target, home, at_end=direct)
                telling = target.tells(live)
                if direct:
                    self._files.append(_File(target, delivery, telling, say))
                else:
                    self.couriers.append(Courier(store, target, delivery, telling, home))
        except BaseException:
            self._abandon()
            raise
        for courier in self.couriers:
            courier.start()
        if bus is not None and self.couriers:
            self._listening = bus.subscribe(self._heard, room="detect")

    @property
    def exit_code(self) -> int:
        """0; 3 if a file lacks a finding; 4 if a receiver does."""
        codes = [problem.exit_code for problem in self.problems]
        return min(codes, default=0)

    def opened(self, finding: Mapping[str, Any]) -> None:
        """Tell that a finding was opened; it is stored already."""
        self._tell("opened", finding)

    def closed(self, finding: Mapping[str, Any]) -> None:
        """Tell that a finding has its last figures; it is stored already."""
        self._tell("closed", finding)
        if self._tells_again and finding["id"] not in self._new:
            for courier in self.couriers:
                courier.also(Notice(str(finding["id"]), "whole", finding))

    def close(self, *, complete: bool = True) -> None:
        """Complete files and wait for receivers; what is missing where is then in `problems`.

        Parameters
        ----------
        complete : whether the run came to its end; without it no bundle is written, and nobody waits.
        """
        if self._closed:
            return
        self._closed = True
        if self._listening is not None:
            self._listening.close()
        for courier in self.couriers:
            courier.end(self._patience_s if complete else 0.0)
        problems = [file.finish(complete) for file in self._files]
        problems += [courier.join() for courier in self.couriers]
        self.problems += [problem for problem in problems if problem is not None]

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=kind is None)

    def _heard(self, event: Event) -> None:
        if self._tells_again:
            self._new.add(event.id)
        for courier in self.couriers:
            courier.wake()

    def _tell(self, state: State, finding: Mapping[str, Any]) -> None:
        for file in self._files:
            file.tell(state, finding)

    def _abandon(self) -> None:
        for file in self._files:
            file.finish(complete=False)
        for courier in self.couriers:
            courier.abandon()


class _File:
    """A file that a run writes itself; the first failure ends it, so that it holds whole lines in order."""

    def __init__(
        self, target: Target, delivery: Delivery, telling: Telling, say: Callable[[str], None]
    ) -> None:
        self._target, self._delivery, self._telling, self._say = target, delivery, telling, say
        self._told = self._written = 0
        self._trouble = ""

    def tell(self, state: State, finding: Mapping[str, Any]) -> None:
        """Write a finding, if it is to be told now."""
        if self._telling not in ("both", state):
            return
        self._told += 1
        if self._trouble:
            return
        whole = self._telling == "closed"
        outcome = self._delivery.send(Notice(str(finding["id"]), "whole" if whole else state, finding))
        if outcome.result == "taken":
            self._written += 1
        else:
            self._trouble = outcome.reason
            self._say(f"{self._target.place}: {outcome.reason}; findings stay in the store")

    def finish(self, complete: bool) -> QwardenError | None:
        """Complete the file; return what is wrong with it."""
        if not complete and self._target.form == "stix":
            return None
        try:
            self._delivery.close()
        except InputError as error:
            return error
        if not self._trouble:
            return None
        return InputError(
            self._target.place,
            f"{self._trouble}; {self._told - self._written} of {self._told} findings are not in it, "
            "all are in the store",
        )


def open_outputs(
    targets: Iterable[str],
    home: Path,
    store: Store,
    *,
    bus: Bus | None = None,
    live: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Outputs:
    """Open all targets of a run; see `Outputs`."""
    return Outputs(targets, home, store, bus=bus, live=live, say=say)
