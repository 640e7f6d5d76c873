"""The courier: brings what is stored to one target, in order, until the target has it.

The store is the queue. A courier remembers there how far its target is, as the bus does for a subscriber
with a name, and moves on only when a notice was taken; so a crash, a kill or a power cut loses nothing,
and may repeat the notice that was on its way. It runs in a thread of its own: a slow receiver never holds
detection up.

While a target does not take anything, it is tried again after 0.5, 1, 2 ... 300 s, each shortened at
random by up to a half, so that many senders do not come at once. A notice that its receiver calls wrong
`ATTEMPTS` times is passed over, and so is what lies more than `MOST_BEHIND` events back; both are said in
an event (`SubscriberFailed`). Nothing here can be undone, so it is no case for `core.backtrack`.

One process at a time serves a target: a lock in the home folder says which. Others leave their findings
to it, and take over when it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from qwarden.core.bus import ATTEMPTS, SubscriberFailed
from qwarden.core.errors import QwardenError, ServiceError
from qwarden.core.store import Store, Stored
from qwarden.formats.delivery import Delivery, Outcome, Target, Telling
from qwarden.formats.writers.notice import Notice, notice_of

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 300.0
MOST_BEHIND: Final = 1_000_000
"""Events that a target may be behind; the store holds them anyway."""

_PAGE: Final = 64
_LOOK_S: Final = 0.5
_AGAIN_S: Final = 0.05


@dataclass(slots=True)
class Tally:
    """What a courier has done since it started.

    Attributes
    ----------
    taken : notices that the target has.
    failures : attempts that came to nothing.
    refused : notices passed over because the target would never take them.
    skipped : events passed over because they were too many.
    trouble : why the last attempt failed; empty while all is well.
    """

    taken: int = 0
    failures: int = 0
    refused: int = 0
    skipped: int = 0
    trouble: str = ""


def pause_s(failures: int, draw: Callable[[], float]) -> float:
    """Return how long to wait after so many failures in a row.

    Parameters
    ----------
    failures : 1 or more.
    draw : a random number in [0, 1).

    >>> [pause_s(n, lambda: 0.0) for n in (1, 2, 3, 50)]
    [0.5, 1.0, 2.0, 300.0]
    """
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 30))
    return longest * (1 - draw() / 2)


class Courier:
    """Brings stored findings to one target.

    Parameters
    ----------
    store : where they are, and where the target's position is kept.
    target : where to.
    delivery : the way there; closed with the courier.
    telling : whether findings are told when they open, when they have ended, or both.
    home : the lock stands in it.
    most_behind : how many events the target may be behind.
    draw : a random number in [0, 1), for waiting times.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        delivery: Delivery,
        telling: Telling,
        home: Path,
        *,
        most_behind: int = MOST_BEHIND,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.target, self.tally = target, Tally()
        self._store, self._delivery, self._telling = store, delivery, telling
        self._most_behind, self._draw = most_behind, draw
        self._name = target.name
        at = store.cursor(self._name)
        if at is None:
            at = store.last_seq()
            store.move_cursor(self._name, at)
        self._seq = self._noted = at
        self._lock = _Lock(home / "outputs" / f"{hashlib.sha256(self._name.encode()).hexdigest()[:32]}.lock")
        self._wake, self._ending = threading.Event(), threading.Event()
        self._again: deque[Notice] = deque()
        self._goal, self._until = 0, 0.0  # when it is to end: how far, and how long at most (monotonic)
        self._done = False
        self._thread = threading.Thread(target=self._run, name=f"courier {target.label}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look into the store now, and not at the next half second."""
        self._wake.set()

    def also(self, notice: Notice) -> None:
        """Deliver something that is not to come from the store, after what does."""
        self._again.append(notice)
        self._wake.set()

    @property
    def behind(self) -> int:
        """How many stored events, of any kind, it has not come to yet."""
        return max(0, self._store.last_seq() - self._seq)

    def end(self, patience_s: float) -> None:
        """Deliver what is stored by now, for so long at most; `join` waits for it."""
        self._goal = self._store.last_seq()
        self._until = time.monotonic() + patience_s
        self._ending.set()
        self._wake.set()

    def join(self) -> ServiceError | None:
        """Wait for the end; return what is wrong if something is left.

        What is left stays in the store, and the next courier to this target begins with it.
        """
        self._thread.join(max(0.0, self._until - time.monotonic()) + 1.0)
        if not self._thread.is_alive():  # else it is within a request, whose time-outs end it
            self.abandon()
        if self._done or not self._left():
            return None
        trouble = self.tally.trouble or "time was short"
        return ServiceError(
            f"output {self.target.label}: not all findings were delivered: {trouble}; they are stored, and "
            "delivery goes on when the same output is opened again"
        )

    def abandon(self) -> None:
        """Let go of target and lock."""
        self._delivery.close()
        self._lock.close()

    def _left(self) -> bool:
        """Whether a notice is left before the goal; another process may have delivered it."""
        if self._again:
            return True
        at = max(self._seq, self._store.cursor(self._name) or 0)
        while page := self._store.after(at, room="detect", limit=_PAGE):
            for seq, event in page:
                if seq > self._goal:
                    return False
                if self._wanted(notice_of(event)):
                    return True
            at = page[-1].seq
        return False

    def _run(self) -> None:
        troubles = 0
        while True:
            reached = False
            try:
                reached = self._work()
                troubles = 0
            except Exception as error:
                if self._ending.is_set():
                    log.debug("output %s: %s", self.target.label, error)
                    return
                troubles += 1
                self._in_trouble(error)
            if self._ending.is_set():
                self._done = reached and self._seq >= self._goal
                if self._done or not self._pause(_AGAIN_S):
                    return
            else:
                self._wake.wait(pause_s(troubles, self._draw) if troubles else _LOOK_S)
                self._wake.clear()

    def _work(self) -> bool:
        """Do what there is to do; return whether nothing is left."""
        # Whoever had the lock before, or has it, may have come further.
        self._seq = max(self._seq, self._store.cursor(self._name) or 0)
        reached = not self._lock.take() or self._catch_up()
        while reached and self._again:
            reached = self._bring_notice(self._again[0])
            if reached:
                self._again.popleft()
        return reached

    def _in_trouble(self, error: Exception) -> None:
        if isinstance(error, QwardenError):  # the store is locked for too long, say
            self.tally.trouble = str(error)
            log.warning("output %s: %s", self.target.label, error)
        else:
            self.tally.trouble = f"{type(error).__name__}, see the log"
            log.exception("output %s has failed", self.target.label)

    def _pause(self, seconds: float) -> bool:
        """Wait before the next attempt; return whether one is to be made."""
        if not self._ending.is_set():
            self._ending.wait(seconds)
            return True  # one more, if the end came meanwhile
        left = self._until - time.monotonic()
        if left > 0:
            time.sleep(min(seconds, left, _LOOK_S))
        return time.monotonic() < self._until

    def _catch_up(self) -> bool:
        """Deliver until nothing is left; return whether that was reached."""
        self._drop_what_is_too_old()
        while True:
            last = self._store.last_seq()
            page = self._store.after(self._seq, room="detect", limit=_PAGE)
            if not page:
                self._seq = max(self._seq, last)  # nothing in between was for us
                self._note()
                return True
            for stored in page:
                if not self._bring(stored):
                    self._note()
                    return False

    def _bring(self, stored: Stored) -> bool:
        """Deliver one event's notice, trying as long as it takes; False if time is up."""
        notice = notice_of(stored.event)
        if notice is not None and self._wanted(notice):
            if self._telling == "closed":
                notice = replace(notice, state="whole")
            if not self._bring_notice(notice):
                return False
            self._seq = stored.seq
            self._note()
        self._seq = stored.seq
        return True

    def _bring_notice(self, notice: Notice) -> bool:
        failures = refusals = 0
        while True:
            outcome = self._delivery.send(notice)
            if outcome.result == "taken":
                self.tally.taken += 1
                if self.tally.trouble:
                    log.warning("output %s: works again", self.target.label)
                    self.tally.trouble = ""
                return True
            failures += 1
            refusals += outcome.result == "never"
            self._failed(outcome)
            if refusals >= ATTEMPTS:
                self.tally.refused += 1
                self._pass_over(notice.id, notice.finding["time"], outcome.reason)
                return True
            if not self._pause(max(pause_s(failures, self._draw), outcome.wait_s)):
                return False

    def _failed(self, outcome: Outcome) -> None:
        self.tally.failures += 1
        if outcome.reason != self.tally.trouble:
            log.warning("output %s: %s; trying again", self.target.label, outcome.reason)
        self.tally.trouble = outcome.reason

    def _wanted(self, notice: Notice | None) -> bool:
        return notice is not None and self._telling in ("both", notice.state)

    def _drop_what_is_too_old(self) -> None:
        last = self._store.last_seq()
        if last - self._seq > self._most_behind:
            first = self._store.after(self._seq, limit=1)[0].event
            skipped = last - self._most_behind - self._seq
            self.tally.skipped += skipped
            self._seq = last - self._most_behind
            self._note()
            self._pass_over(first.id, first.time, f"this and {skipped - 1} events after it: too many waited")

    def _pass_over(self, event_id: str, at: float, why: str) -> None:
        log.error("output %s: event %s is passed over: %s", self.target.label, event_id, why)
        self._store.append(
            [SubscriberFailed(time=float(at), subscriber=self._name, event_id=event_id, error=why)]
        )

    def _note(self) -> None:
        if self._seq != self._noted:
            self._store.move_cursor(self._name, self._seq)
            self._noted = self._seq


class _Lock:
    """A file that one process at a time has locked; the system frees it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path, self._handle = path, -1

    def take(self) -> bool:
        """Return whether the lock is ours."""
        if self._handle >= 0:
            return True
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise QwardenError(f"{self._path}: {(error.strerror or str(error)).lower()}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def close(self) -> None:
        """Give it back."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
