"""An analyst's verdict on a finding: it was an attack, or it was not.

A finding that was none is dismissed: an entry of the ignore list, of the narrowest scope that covers it
(source, destination, port and kind, as far as the finding has but one of each; a port that nearly all of its
flows share counts as one), holds back what would be raised for the same reason. It stands on record with its
reason, may expire, and can be removed. Who says later that it was an attack after all takes that exception
back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from qwarden.core.events import Event
from qwarden.core.lists import IGNORE, ListEntry, Scope
from qwarden.detect.lookup import find_finding
from qwarden.detect.reported import TOLD, reported_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwarden.core.bus import Bus
    from qwarden.core.lists import Lists
    from qwarden.core.store import Store

NEARLY_ALL: Final = 0.9
"""Share of a finding's flows from which their port is its port: a reply may stand among them as a flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalystVerdict(Event):
    """What a person said of a finding; the last one counts. `time` is wall time.

    Parameters
    ----------
    finding_id : the finding's full id.
    attack : whether it was an attack.
    reason, author : why, and who says so.
    exception : id of the entry of the ignore list that a dismissal made, empty if it made none.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "analyst_verdict"

    finding_id: str
    attack: bool
    reason: str
    author: str
    exception: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "attack": self.attack, "reason": self.reason, "author": self.author,
            "exception": self.exception or None,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that was given, and what it changed.

    Attributes
    ----------
    verdict : as it is stored.
    added : the exception it made.
    removed : exceptions of earlier verdicts on the same finding that it took back.
    """

    verdict: AnalystVerdict
    added: ListEntry | None
    removed: tuple[ListEntry, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "finding": self.verdict.finding_id,
            "attack": self.verdict.attack,
            "reason": self.verdict.reason,
            "author": self.verdict.author,
            "exception": None if self.added is None else self.added.document(),
            "revoked": [entry.document() for entry in self.removed],
        }


def judge_finding(
    store: Store,
    bus: Bus,
    lists: Lists,
    part: str,
    *,
    attack: bool,
    reason: str,
    author: str,
    expires: float | None = None,
) -> Judged:
    """Keep a verdict on the finding whose id begins with `part`, and do what follows from it.

    Parameters
    ----------
    expires : when the exception ends, wall time; None: never.

    Raises
    ------
    UsageError
        There is no such finding, or reason, author or expiry is none.
    """
    found = find_finding(store, part)
    before = {v.exception for v in verdicts(store) if v.finding_id == found.id} - {""}
    removed = tuple(
        lists.remove(entry.id, reason=f"judged again: {reason}", author=author)
        for entry in lists.entries(IGNORE)
        if entry.id in before and entry.removed is None
    )
    added = None
    if not attack:
        added = lists.add(
            IGNORE,
            narrowest_scope(found.document),
            reason=reason,
            author=author,
            expires=expires,
            timing="wall",
        )
    verdict = AnalystVerdict(
        time=time.time(), finding_id=found.id, attack=attack, reason=reason, author=author,
        exception="" if added is None else added.id,
    )  # fmt: skip
    bus.publish(verdict)
    return Judged(verdict, added, removed)


def narrowest_scope(finding: Mapping[str, Any]) -> Scope:
    """Return the narrowest scope that covers a finding's document.

    >>> str(narrowest_scope({"kind": "guessing", "sources": 1, "src_ip": "10.0.0.5", "destinations": 9,
    ...                      "dst_ip": "10.0.1.1", "dst_port": 22, "ports": 1}))
    'source 10.0.0.5/32, port 22, kind guessing'
    """
    one_port = finding["ports"] == 1 or finding.get("port_share", 0.0) >= NEARLY_ALL
    told = finding.get("explanation", {}).get(TOLD)
    return Scope(
        source=finding["src_ip"] if finding["sources"] == 1 else None,
        destination=finding["dst_ip"] if finding["destinations"] == 1 else None,
        port=finding["dst_port"] if one_port else None,
        kind=finding["kind"] if told is None else reported_kind(told),
    )


def verdict_on(store: Store, finding_id: str) -> AnalystVerdict | None:
    """Return the verdict on a finding that counts, the last one; None if nobody judged it."""
    return next((v for v in reversed(verdicts(store)) if v.finding_id == finding_id), None)


def verdicts(store: Store) -> list[AnalystVerdict]:
    """Return every verdict, in the order they were given."""
    found: list[AnalystVerdict] = []
    after = 0
    while page := store.after(after, room=AnalystVerdict.room, kind=AnalystVerdict.kind):
        found += [stored.event for stored in page if isinstance(stored.event, AnalystVerdict)]
        after = page[-1].seq
    return found
