"""The bus's contract: who hears of an event, and what a crash may cost.

Publishing stores first and delivers then. A subscriber with a name resumes, after a restart, behind the
last event it has dealt with: every event reaches it at least once, in the order of storing. A crash
between its handling and the note of it delivers that event again, so a handler treats an id it has
seen as done. A subscriber without a name hears what is published while it is subscribed.

A handler that raises is isolated: others go on. A named subscriber is offered the event again at the
next delivery; after `ATTEMPTS` failures it is passed over, which is itself an event
(`SubscriberFailed`) and never silent.

`buses/local.py` delivers within the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from qwarden.core.events import Event

if TYPE_CHECKING:
    from qwarden.core.store import Store

Handler: TypeAlias = Callable[[Event], None]

ATTEMPTS = 3
"""How often a named subscriber is offered an event that it fails on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberFailed(Event):
    """A subscriber could not deal with an event and was passed over.

    Parameters
    ----------
    subscriber : its name, or its handler's.
    event_id : the event it failed on.
    error : what it raised last.
    """

    room: ClassVar[str] = "core"
    kind: ClassVar[str] = "subscriber_failed"

    subscriber: str
    event_id: str
    error: str


class Subscription(Protocol):
    """A subscriber's place on the bus."""

    def close(self) -> None:
        """Hear no more; a named subscriber's position is kept for the next time."""


class Bus(Protocol):
    """Publishes and delivers events."""

    def publish(self, *events: Event) -> None:
        """Store events, all or none, then deliver them to all subscribers.

        The handlers have run when this returns, unless a delivery is going on already (in another
        thread, or because a handler publishes): then that one delivers these too, after its own.

        Raises
        ------
        StoreError
            They could not be stored; nobody hears of them.
        """

    def subscribe(
        self,
        handler: Handler,
        *,
        name: str | None = None,
        room: str | None = None,
        kind: str | None = None,
        from_start: bool = False,
    ) -> Subscription:
        """Have `handler` called with each event.

        Parameters
        ----------
        handler : called in the publisher's thread; idempotent by the event's id if named.
        name : under which its position is kept; one handler a name.
        room, kind : only these events.
        from_start : a name not heard of before begins with the first event there is, not the next one.

        Raises
        ------
        UsageError
            The name is taken.
        """

    def drain(self) -> int:
        """Deliver everything that named subscribers have not dealt with; return how many calls succeeded.

        Call it after subscribing at start-up, and to hear of events that other processes stored.
        """


def open_bus(store: Store) -> Bus:
    """Return the bus over a store: the in-process one."""
    from qwarden.core.buses.local import LocalBus

    return LocalBus(store)
