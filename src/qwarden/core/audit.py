"""The audit log: entries chained by their hashes, so that none can be changed unseen.

Every state change of the platform is an entry: who (`actor`) did what (`action`), when, about which
event, with what details. Storing events is a state change too: the store adds one entry for each
append, with the events' numbers and one hash over all of them.

The hash of an entry is the SHA-256 of its canonical JSON, which holds the hash of the entry before;
the first entry's is `GENESIS`. Count and head hash are kept a second time, apart from the entries.

What this proves: no entry, and no event covered by one, was changed, removed or inserted, as long as
the file was written by Qwarden alone or a head that was exported before still lies on the chain.
What it cannot: whoever may write to the file may write a whole new chain. Export the head
(`Audit.head`) to a place they cannot reach, and give it to `Audit.verify`. See ADR 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from qwarden.core.clock import Clock, WallClock
from qwarden.core.errors import AuditError
from qwarden.core.files import Json, canonical_json, sha256

if TYPE_CHECKING:
    from qwarden.core.store import Store

GENESIS = "0" * 64
"""What the first entry calls the hash before it."""

STORED = "events.stored"
"""Action of the entries that the store itself adds."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: how many entries there are, and the last one's hash."""

    count: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry.

    Parameters
    ----------
    seq : its number: 1, 2, 3 ...
    time : when it was written, wall time, seconds since the epoch.
    actor : who: a user's name, or a room's.
    action : what, as ``model.trained``.
    event_id : the event it is about, if any.
    body : details, a JSON value.
    previous, hash : of the entry before, and its own; SHA-256 in hexadecimal.
    """

    seq: int
    time: float
    actor: str
    action: str
    event_id: str | None
    body: Json
    previous: str
    hash: str

    @classmethod
    def chain(
        cls, head: Head, *, time: float, actor: str, action: str, event_id: str | None, body: Json
    ) -> AuditEntry:
        """Make the entry that follows `head`."""
        unsealed = cls(head.count + 1, float(time), actor, action, event_id, body, head.hash, "")
        return cls(head.count + 1, float(time), actor, action, event_id, body, head.hash, unsealed.digest())

    def digest(self) -> str:
        """Compute the hash from all other fields."""
        content = {name: getattr(self, name) for name in _SEALED}
        return sha256(canonical_json(content))


_SEALED = ("seq", "time", "actor", "action", "event_id", "body", "previous")


def digest_events(texts: Iterable[str]) -> str:
    """Hash events in order: SHA-256 over the canonical JSON of each and a line feed, which JSON escapes."""
    total = hashlib.sha256()
    for text in texts:
        total.update(f"{text}\n".encode())
    return total.hexdigest()


class Audit:
    """The audit log of a store.

    Parameters
    ----------
    store : where it is kept.
    clock : what `time` of an entry is; the wall clock, since it says when somebody acted.
    """

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store, self._clock = store, clock or WallClock()

    def record(self, actor: str, action: str, body: Json = None, event_id: str | None = None) -> AuditEntry:
        """Write an entry; it is kept when this returns, whatever happens to the process.

        Raises
        ------
        ValueError
            The action is `STORED`, which is the store's own.
        """
        if action == STORED:
            raise ValueError(f"{STORED} entries are written by the store alone")
        return self._store.add_audit(
            time=self._clock.now(), actor=actor, action=action, event_id=event_id, body=body
        )

    def entries(self, after: int = 0) -> Iterator[AuditEntry]:
        """Yield entries in order, beginning after number `after`."""
        return self._store.audit_entries(after)

    def head(self) -> Head:
        """Return the head, to be kept where the store's owner cannot change it."""
        return self._store.audit_head()

    def verify(self, exported: Head | None = None) -> Head:
        """Check the whole chain and the events under it; return its head.

        Parameters
        ----------
        exported : a head exported earlier, which must lie on the chain.

        Raises
        ------
        AuditError
            The first entry that does not fit is named; or entries are missing at the end; or
            `exported` is not on the chain.
        """
        head, events = Head(0, GENESIS), 0
        kept = self._store.audit_head()
        while True:
            for entry in self._store.audit_entries(after=head.count):
                _fits(entry, head)
                if entry.action == STORED:
                    events = self._covers(entry, events)
                head = Head(entry.seq, entry.hash)
                if exported and exported.count == head.count and exported.hash != head.hash:
                    raise AuditError(f"audit entry {head.count} is not the one that was exported")
            if head.count < kept.count:
                raise AuditError(f"audit entry {head.count + 1} is missing: {kept.count} were written")
            last, kept = self._store.last_seq(), self._store.audit_head()
            if head == kept:
                break
            if head.count >= kept.count:
                raise AuditError(f"the audit log ends with {head}, but {kept} was written")
            # Others have written meanwhile: go on with theirs.
        if last > events:
            raise AuditError(f"event number {events + 1} is not covered by the audit log")
        if exported and exported.count > head.count:
            raise AuditError(f"the audit log has {head.count} entries, the exported head {exported.count}")
        return head

    def _covers(self, entry: AuditEntry, events: int) -> int:
        """Check the events under an entry, which must follow event number `events`; return the last one."""
        body = cast(dict[str, Json], entry.body)
        first, last = cast(int, body["first"]), cast(int, body["last"])
        if first != events + 1 or digest_events(self._store.event_texts(first, last)) != body["sha256"]:
            raise AuditError(
                f"audit entry {entry.seq}: events number {first} to {last} are not what was stored"
            )
        return last


def _fits(entry: AuditEntry, head: Head) -> None:
    if entry.seq != head.count + 1:
        raise AuditError(f"audit entry {head.count + 1} is missing; entry {entry.seq} follows {head.count}")
    if entry.previous != head.hash:
        raise AuditError(f"audit entry {entry.seq}: does not follow the entry before it")
    if entry.hash != entry.digest():
        raise AuditError(f"audit entry {entry.seq}: its content was changed")
