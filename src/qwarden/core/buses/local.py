"""The bus within one process: handlers run in the thread that publishes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable

from qwarden.core.bus import ATTEMPTS, Handler, SubscriberFailed
from qwarden.core.errors import UsageError
from qwarden.core.events import Event
from qwarden.core.store import Store, Stored

log = logging.getLogger(__name__)


class LocalBus:
    """See `qwarden.core.bus.Bus`, which it implements.

    One thread delivers at a time. What others publish meanwhile, and what handlers publish, is stored at
    once and queued behind; so each subscriber hears all events in the order of storing.

    Parameters
    ----------
    store : where events go first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscribers: list[_Live | _Durable] = []
        self._queue: deque[Stored] = deque()
        self._storing = threading.Lock()  # keeps the queue in the order of storing
        self._turn = threading.Condition()  # guards the queue and whose turn it is
        self._deliverer: int | None = None

    def publish(self, *events: Event) -> None:
        """Store events, then deliver them."""
        with self._storing:
            stored = self._store.append(events)
            with self._turn:
                self._queue.extend(stored)
        if self._take_turn(wait=False):
            self._deliver()

    def subscribe(
        self,
        handler: Handler,
        *,
        name: str | None = None,
        room: str | None = None,
        kind: str | None = None,
        from_start: bool = False,
    ) -> _Live | _Durable:
        """Have `handler` called with each event; see the contract."""
        subscriber: _Live | _Durable
        if name is None:
            subscriber = _Live(self, handler, room, kind)
        else:
            if any(isinstance(s, _Durable) and s.name == name for s in self._subscribers):
                raise UsageError(f"there is a subscriber {name!r} already")
            seq = self._store.cursor(name)
            if seq is None:
                seq = 0 if from_start else self._store.last_seq()
                self._store.move_cursor(name, seq)
            subscriber = _Durable(self, self._store, handler, room, kind, name, seq)
        self._subscribers.append(subscriber)
        return subscriber

    def drain(self) -> int:
        """Deliver everything that named subscribers have not dealt with.

        From within a handler it does nothing: the delivery that is going on will come to it.
        """
        if not self._take_turn(wait=True):
            return 0
        handled = 0
        try:
            for subscriber in tuple(self._subscribers):
                if isinstance(subscriber, _Durable):
                    handled += subscriber.drain()
        finally:
            self._deliver()
        return handled

    def _take_turn(self, wait: bool) -> bool:
        me = threading.get_ident()
        with self._turn:
            while wait and self._deliverer not in (None, me):
                self._turn.wait()
            if self._deliverer is not None:
                return False
            self._deliverer = me
            return True

    def _deliver(self) -> None:
        """Deliver what is queued until nothing is, then give the turn up."""
        try:
            while True:
                with self._turn:
                    batch = list(self._queue)
                    self._queue.clear()
                    if not batch:
                        self._end_turn()
                        return
                for subscriber in tuple(self._subscribers):
                    subscriber.offer(batch)
        except BaseException:  # named subscribers catch up next time
            with self._turn:
                self._end_turn()
            raise

    def _end_turn(self) -> None:
        self._deliverer = None
        self._turn.notify_all()

    def remove(self, subscriber: _Live | _Durable) -> None:
        """Forget a subscriber; called by its `close`."""
        self._subscribers.remove(subscriber)

    def passed_over(self, subscriber: str, event: Event, error: Exception) -> None:
        """Say that a subscriber could not deal with an event."""
        log.error("subscriber %s failed on event %s: %s", subscriber, event.id, error, exc_info=error)
        if isinstance(event, SubscriberFailed):
            return  # or a subscriber that fails on these would make them without end
        text = f"{type(error).__name__}: {error}"
        self.publish(SubscriberFailed(time=event.time, subscriber=subscriber, event_id=event.id, error=text))


class _Live:
    """A subscriber without a name."""

    def __init__(self, bus: LocalBus, handler: Handler, room: str | None, kind: str | None) -> None:
        self._bus, self._handler, self._room, self._kind = bus, handler, room, kind
        self._closed = False

    def offer(self, batch: Iterable[Stored]) -> None:
        """Hand over what was just published."""
        for _, event in batch:
            if self._wants(event):
                try:
                    self._handler(event)
                except Exception as error:
                    self._bus.passed_over(_name(self._handler), event, error)

    def close(self) -> None:
        """Hear no more."""
        if not self._closed:
            self._closed = True
            self._bus.remove(self)

    def _wants(self, event: Event) -> bool:
        return not self._closed and self._room in (None, event.room) and self._kind in (None, event.kind)


class _Durable(_Live):
    """A subscriber with a name, whose position survives."""

    def __init__(
        self,
        bus: LocalBus,
        store: Store,
        handler: Handler,
        room: str | None,
        kind: str | None,
        name: str,
        seq: int,
    ) -> None:
        super().__init__(bus, handler, room, kind)
        self._store, self.name = store, name
        self._seq = self._noted = seq
        self._failures = 0

    def offer(self, batch: Iterable[Stored]) -> None:
        """Hand over what was just published, after what it missed."""
        batch = list(batch)
        if self._seq + 1 == batch[0].seq and self._failures == 0:
            self._handle(batch)  # it is up to date: no need to read the store
        else:
            self._catch_up()

    def drain(self) -> int:
        """Offer everything it missed until nothing is left; return how many calls succeeded."""
        handled = 0
        while not self._closed:
            succeeded, done = self._catch_up()
            handled += succeeded
            if done:
                break
        return handled

    def _catch_up(self) -> tuple[int, bool]:
        handled = 0
        while True:
            last = self._store.last_seq()
            missed = self._store.after(self._seq, room=self._room, kind=self._kind)
            if not missed:
                self._seq = max(self._seq, last)  # nothing in between was for it
                self._note()
                return handled, True
            succeeded, done = self._handle(missed)
            handled += succeeded
            if not done:
                return handled, False

    def _handle(self, batch: list[Stored]) -> tuple[int, bool]:
        """Return how many calls succeeded, and whether it went through to the end."""
        handled = 0
        try:
            for seq, event in batch:
                if self._wants(event):
                    try:
                        self._handler(event)
                        handled += 1
                    except Exception as error:
                        self._failures += 1
                        if self._failures < ATTEMPTS:
                            log.warning("subscriber %s will retry event %s: %s", self.name, event.id, error)
                            return handled, False
                        self._bus.passed_over(self.name, event, error)
                if self._closed:
                    return handled, False
                self._seq, self._failures = seq, 0
        finally:
            self._note()
        return handled, True

    def _note(self) -> None:
        if self._seq != self._noted:
            self._store.move_cursor(self.name, self._seq)
            self._noted = self._seq


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", type(handler).__qualname__)
