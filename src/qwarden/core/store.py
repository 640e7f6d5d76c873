"""The store's contract: what is kept, and what may be asked of it.

Events are numbered in the order they were stored (`Stored.seq`, 1, 2, 3 ... without a gap); the bus
delivers by that number and remembers how far each subscriber is. Every append adds one entry to the
audit chain in the same transaction, so no event is kept that the chain does not cover.

`stores/sqlite.py` keeps it all in one file. Another database is another module there and another
scheme in `open_store`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from qwarden.core.errors import ConfigError
from qwarden.core.events import Event
from qwarden.core.files import Json

if TYPE_CHECKING:
    from qwarden.core.audit import AuditEntry, Head
    from qwarden.core.lists import ListEntry, Removal


class Stored(NamedTuple):
    """An event and its place in the order of storing."""

    seq: int
    event: Event


class Store(Protocol):
    """Keeps events, the audit chain, the entries of the two lists, the bus's cursors and a few settings.

    Every method raises `StoreError`, naming the store, when the disk is full, another process holds it too
    long, or it is damaged. All are safe to call from several threads.
    """

    def append(self, events: Sequence[Event]) -> list[Stored]:
        """Store events, all or none, in their order; return those that were new.

        An event whose id is stored already is passed over: storing again is harmless.
        """

    def get(self, id: str) -> Event | None:
        """Return the event of this full id."""

    def find(self, part: str, *, room: str | None = None, kind: str | None = None) -> Event:
        """Return the one event whose id, or the last group of it, begins with `part`.

        Raises
        ------
        UsageError
            No event has it, or several have.
        """

    def events(
        self,
        *,
        room: str | None = None,
        kind: str | None = None,
        since: float | None = None,
        until: float | None = None,
        older_than: Event | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Return events, newest first.

        Parameters
        ----------
        room, kind : only these.
        since, until : only times t with since <= t < until, seconds since the epoch.
        older_than : the last event of the page before; the next page begins after it.
        limit : at most so many.
        """

    def count(
        self,
        *,
        room: str | None = None,
        kind: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> int:
        """Return how many events there are, chosen as by `events`."""

    def after(
        self, seq: int, *, room: str | None = None, kind: str | None = None, limit: int = 500
    ) -> list[Stored]:
        """Return the events stored after number `seq`, in order."""

    def last_seq(self) -> int:
        """Return the number of the event stored last, 0 if none."""

    def cursor(self, subscriber: str) -> int | None:
        """Return the number of the event a subscriber has dealt with last; None: never heard of it."""

    def move_cursor(self, subscriber: str, seq: int) -> None:
        """Remember that a subscriber has dealt with everything up to `seq`; never moves back."""

    def setting(self, key: str) -> str | None:
        """Return a value kept by `keep_setting`."""

    def keep_setting(self, key: str, value: str) -> None:
        """Keep a small value under a key."""

    def add_audit(
        self, *, time: float, actor: str, action: str, event_id: str | None, body: Json
    ) -> AuditEntry:
        """Chain one entry to the audit log; called by `Audit`, which is what others use."""

    def audit_entries(self, after: int = 0) -> Iterator[AuditEntry]:
        """Yield the audit log's entries with numbers above `after`, in order."""

    def audit_head(self) -> Head:
        """Return count and head hash of the audit log, kept apart from its entries."""

    def event_texts(self, first: int, last: int) -> Iterator[str]:
        """Yield the canonical JSON of events number `first` to `last`, undecoded."""

    def add_list_entry(self, entry: ListEntry) -> None:
        """Keep an entry of a list and chain that its author added it; called by `Lists`."""

    def end_list_entry(self, id: str, removal: Removal) -> bool:
        """Note that an entry was removed and chain it; False if there is no such entry that stands."""

    def list_entries(self) -> list[ListEntry]:
        """Return all entries that were ever added, in the order of adding."""

    def check(self) -> None:
        """Look for damage in the whole store; raise `StoreError` naming the first one found."""

    def close(self) -> None:
        """Let go of the store; it is not used after this."""


FILE = "qwarden.db"


def open_store(home: str | Path, url: str | None = None) -> Store:
    """Open the store of a home folder, making or upgrading it as needed.

    Parameters
    ----------
    home : the home folder.
    url : setting ``store.url``; None: ``HOME/qwarden.db``.

    Raises
    ------
    StoreError
        It is damaged, locked, no store of Qwarden's, or written by a newer version.
    ConfigError
        The URL's scheme is not supported.
    """
    from qwarden.core.stores.sqlite import SqliteStore

    if url is None:
        return SqliteStore(Path(home) / FILE)
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        raise ConfigError(
            "settings", "store.url", f"expected sqlite:///PATH, found {url.partition(':')[0]!r}"
        )
    return SqliteStore(Path(home, path))
