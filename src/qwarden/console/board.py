"""The board: everything the pages show, gathered in one place.

Findings come from the store and then from the bus, as alerts (a finding opened) and findings (it
closed, with its last figures). What other processes store is fetched now and then. Accounts of sources
are summed up from what feeds left behind; a `Reading` stands for the source that is being read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from qwarden.console.events import SourceRead
from qwarden.detect import Alert, Drift, Finding
from qwarden.keys.events import KeyBlock, LinkAlarm

if TYPE_CHECKING:
    from qwarden.core.bus import Bus
    from qwarden.core.events import Event
    from qwarden.core.store import Store
    from qwarden.keys.overview import LinkState

MOST_FINDINGS: Final = 500
"""Findings a board holds; older ones stay in the store."""

MOST_SOURCES: Final = 50
MOST_BLOCKS: Final = 200
"""Blocks of a link that a board holds."""

MOST_ALARMS: Final = 100
_LOOK_BACK: Final = 4 * MOST_FINDINGS


@dataclass(frozen=True, slots=True)
class Account:
    """Traffic, and what became of it; ``read`` is the sum of the five that follow it.

    `waiting` flows were read and are held until they can be put in order of their end; none are left
    when a source is finished.
    """

    read: int = 0
    scored: int = 0
    suppressed: int = 0
    dropped: int = 0
    malformed: int = 0
    waiting: int = 0
    packets_read: int = 0
    packets_malformed: int = 0
    packets_truncated: int = 0
    packets_lost: int = 0
    lines_read: int = 0
    lines_malformed: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def adds_up(self) -> bool:
        """Whether every flow read is in exactly one of the other counts."""
        parts = self.scored + self.suppressed + self.dropped + self.malformed + self.waiting
        return self.read == parts

    @classmethod
    def of(cls, source: SourceRead) -> Account:
        """Return the account of a source that was read."""
        return cls(
            source.flows_read, source.flows_scored, source.flows_suppressed, source.flows_dropped,
            source.flows_malformed, 0, source.packets_read, source.packets_malformed,
            source.packets_truncated, source.packets_lost, source.lines_read, source.lines_malformed,
        )  # fmt: skip


NOTHING: Final = Account()


@dataclass(slots=True)
class Reading:
    """A source while it is read.

    Parameters
    ----------
    name : what it is called.
    account : its counts so far.
    """

    name: str
    account: Callable[[], Account]


@dataclass(slots=True)
class Watch:
    """What a feed says about itself; written by its thread, read by the pages.

    Parameters
    ----------
    doing : what it does when it reads nothing, as ``waiting for captures in /var/pcap``.
    reading : the source being read.
    failed : why it stopped, empty while it has not.
    """

    doing: str = ""
    reading: Reading | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding on the board.

    Parameters
    ----------
    document : as `qwarden detect --json` prints it.
    closed : whether its figures are the last ones.
    change : grows with each change, so that a page sees what is new to it.
    """

    document: dict[str, Any]
    closed: bool
    change: int


@dataclass(slots=True)
class LinkKeys:
    """What is known of one quantum link.

    Parameters
    ----------
    name : of the link.
    blocks : the last ones, oldest first.
    state : what is in store at this home; None if it holds nothing of this link.
    alarmed : whether its last block raised an alarm.
    """

    name: str
    blocks: list[KeyBlock] = field(default_factory=list)
    state: LinkState | None = None
    alarmed: bool = False


@dataclass(slots=True)
class Board:
    """What the pages show.

    Parameters
    ----------
    store : what was, and what other processes add.
    watch : what the feed does.
    key_states : says what this home holds of its quantum links.
    drift : the latest comparison of traffic with what the model was calibrated on; None before the first.
    """

    store: Store
    watch: Watch = field(default_factory=Watch)
    key_states: Callable[[], list[LinkState]] | None = None
    change: int = 0
    key_change: int = 0
    _entries: dict[str, Entry] = field(default_factory=dict)
    drift: Drift | None = None
    _sources: deque[SourceRead] = field(default_factory=lambda: deque(maxlen=MOST_SOURCES))
    _total: Account = NOTHING
    _source_count: int = 0
    _known_sources: set[str] = field(default_factory=set)
    _links: dict[str, LinkKeys] = field(default_factory=dict)
    _alarms: deque[LinkAlarm] = field(default_factory=lambda: deque(maxlen=MOST_ALARMS))
    _key_ids: set[str] = field(default_factory=set)
    _seq: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def open(self, bus: Bus) -> None:
        """Load what the store has, and listen from now on."""
        bus.subscribe(self.take)
        self._seq = max(0, self.store.last_seq() - _LOOK_BACK)
        # Accounts go back to the beginning, and there is but one a source.
        after = 0
        while page := self.store.after(after, room=SourceRead.room, kind=SourceRead.kind):
            for stored in page:
                self.take(stored.event)
            after = page[-1].seq
        self.catch_up()

    def catch_up(self) -> None:
        """Take what was stored since the last time, by whatever process."""
        while page := self.store.after(self._seq):
            for stored in page:
                self.take(stored.event)
            self._seq = page[-1].seq

    def take(self, event: Event) -> None:
        """Take an event; one that is known already changes nothing."""
        with self._lock:
            if isinstance(event, Finding):
                self._put(event.id, event.document(), closed=True)
            elif isinstance(event, Alert):
                self._put(event.finding_id, event.finding, closed=False)
            elif isinstance(event, SourceRead) and event.id not in self._known_sources:
                self._known_sources.add(event.id)
                self._sources.append(event)
                self._source_count += 1
                self._total += Account.of(event)
                if self.watch.reading is not None and self.watch.reading.name == event.name:
                    self.watch.reading = None  # in the same moment, or it would count twice
                self.change += 1
            elif isinstance(event, Drift) and (self.drift is None or event.time >= self.drift.time):
                self.drift = event
            elif isinstance(event, KeyBlock | LinkAlarm) and event.id not in self._key_ids:
                self._key_ids.add(event.id)
                self._take_keys(event)
                self.key_change += 1

    def _take_keys(self, event: KeyBlock | LinkAlarm) -> None:
        link = self._links.setdefault(event.link, LinkKeys(event.link))
        if isinstance(event, KeyBlock):
            link.alarmed = bool(self._alarms) and self._alarms[-1].block == event.block
            link.blocks.append(event)
            del link.blocks[:-MOST_BLOCKS]
        else:
            self._alarms.append(event)
            link.alarmed = True

    def look_at_keys(self) -> None:
        """Ask what this home holds of its links; does nothing where no key was ever exchanged."""
        if self.key_states is None or not self._links:
            return
        found = {state.link: state for state in self.key_states()}
        with self._lock:
            for name, link in self._links.items():
                if found.get(name) != link.state:
                    link.state = found.get(name)
                    self.key_change += 1

    def links(self) -> list[LinkKeys]:
        """Return the quantum links that have exchanged a block, by name."""
        with self._lock:
            known = [link for link in self._links.values() if link.blocks]
            return sorted(
                (replace(link, blocks=list(link.blocks)) for link in known), key=lambda link: link.name
            )

    def alarms(self) -> list[LinkAlarm]:
        """Return alarms of quantum links, the last one first."""
        with self._lock:
            return list(reversed(self._alarms))

    def _put(self, id: str, document: dict[str, Any], *, closed: bool) -> None:
        known = self._entries.get(id)
        if known is not None and (known.closed or not closed):
            return
        self.change += 1
        self._entries[id] = Entry(document, closed, self.change)
        while len(self._entries) > MOST_FINDINGS:  # a dict keeps the order of arrival
            del self._entries[next(iter(self._entries))]

    def entries(self, severities: Sequence[str] = ()) -> list[Entry]:
        """Return findings, the one raised last first; of these severities only, if any are given."""
        with self._lock:
            found = list(self._entries.values())
        return [e for e in reversed(found) if not severities or e.document["severity"] in severities]

    def counts(self) -> dict[str, int]:
        """Return how many findings on the board have each severity."""
        counts: dict[str, int] = {}
        for entry in self.entries():
            severity = entry.document["severity"]
            counts[severity] = counts.get(severity, 0) + 1
        return counts

    def account(self) -> Account:
        """Return the account of everything read, the source being read included."""
        with self._lock:
            reading = self.watch.reading
            return self._total + (reading.account() if reading is not None else NOTHING)

    def sources(self) -> list[SourceRead]:
        """Return the sources read last, newest first."""
        with self._lock:
            return list(reversed(self._sources))

    @property
    def source_count(self) -> int:
        """How many sources were read, ever."""
        return self._source_count
