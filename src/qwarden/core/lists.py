"""The two lists of exceptions: what to `ignore`, and where to `never-act`.

What is on the ignore list raises no finding, and is counted as suppressed. What is on the never-act list is
watched like everything else, and no response ever touches it.

An *entry* has a scope (a network or address, a host, a user, a port, a kind of finding; all that are given
must fit), a reason, an author, and perhaps an expiry, in traffic time or in wall time. Entries come from
people, from the settings (`detect.ignore`), or from the platform itself. They hold:

- An entry is never changed. It ends when it expires or is removed, and stays on record either way; the
  audit log has both in the transaction that makes them.
- Lists only add up: no entry takes anything off a list, so none can override another.
- What a person wrote, only a person removes; what stands in the settings is removed there.
- The store keeps them, so a restart or an update changes nothing, and a running process sees what another
  one adds within `FRESH_S`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from qwarden.core.clock import Clock, WallClock, uuid7
from qwarden.core.errors import UsageError
from qwarden.core.ranges import AddressRanges, parse_network

if TYPE_CHECKING:
    from qwarden.core.store import Store

ListName = Literal["ignore", "never-act"]
IGNORE: Final[ListName] = "ignore"
NEVER_ACT: Final[ListName] = "never-act"
LISTS: Final[tuple[ListName, ...]] = (IGNORE, NEVER_ACT)

Origin = Literal["person", "settings", "automatic"]
ORIGINS: Final[tuple[Origin, ...]] = ("person", "settings", "automatic")

Timing = Literal["traffic", "wall"]

FRESH_S: Final = 1.0
"""Age at which entries are read from the store again, in seconds."""

_LONGEST: Final = 1000
"""Characters of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is asked about: the addresses, host, user, port and kind that are known of it.

    `source` and `destination`, the two ends of a conversation, are among the addresses without being named
    there again.
    """

    addresses: tuple[str, ...] = ()
    source: str | None = None
    destination: str | None = None
    host: str | None = None
    user: str | None = None
    port: int | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an entry is about; at least one field is given, and all that are given must fit.

    Parameters
    ----------
    network : a network (CIDR) or an address, of either side of a conversation.
    source, destination : a network or an address, of that side alone.
    host, user : a name, compared without regard to case.
    port : the port of the service, 0 to 65535.
    kind : the kind of finding.

    Raises
    ------
    UsageError
        Nothing is given, or something is not what it should be.

    Examples
    --------
    >>> scope = Scope(network="10.0.0.0/8", kind="beacon")
    >>> scope.covers(Subject(addresses=("192.0.2.1", "::ffff:10.1.2.3"), kind="beacon", port=443))
    True
    >>> scope.covers(Subject(addresses=("10.1.2.3",)))
    False
    """

    network: str | None = None
    source: str | None = None
    destination: str | None = None
    host: str | None = None
    user: str | None = None
    port: int | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        if all(value is None for value in self.given().values()):
            raise UsageError(
                "a scope needs a network, a source, a destination, a host, a user, a port or a kind"
            )
        for name in ("network", "source", "destination"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _network(name, getattr(self, name)))
        for name in ("host", "user", "kind"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _text(name, getattr(self, name)))
        if self.port is not None and not 0 <= self.port <= 65535:
            raise UsageError(f"port {self.port}: expected 0 to 65535")

    def given(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {name: getattr(self, name) for name in _SCOPE}

    def covers(self, subject: Subject) -> bool:
        """Say whether a subject lies within; what is unknown of it lies within no scope that names it."""
        return (
            (self.network is None or any(map(_inside(self.network).holds, _all_of(subject))))
            and _holds(self.source, subject.source)
            and _holds(self.destination, subject.destination)
            and (self.port is None or self.port == subject.port)
            and (self.kind is None or self.kind == subject.kind)
            and _same_name(self.host, subject.host)
            and _same_name(self.user, subject.user)
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.given().items() if value is not None)


_SCOPE: Final = tuple(field.name for field in fields(Scope))


@lru_cache(maxsize=4096)
def _inside(network: str) -> AddressRanges:
    return AddressRanges([parse_network(network)])


def _all_of(subject: Subject) -> list[str]:
    ends = (subject.source, subject.destination)
    return [*subject.addresses, *(end for end in ends if end is not None)]


def _holds(wanted: str | None, found: str | None) -> bool:
    return wanted is None or (found is not None and _inside(wanted).holds(found))


def _same_name(wanted: str | None, found: str | None) -> bool:
    return wanted is None or (found is not None and wanted.casefold() == found.casefold())


@lru_cache(maxsize=4096)
def _network(name: str, text: str) -> str:
    try:
        return str(parse_network(text))
    except ValueError as error:
        hint = ""
        if "host bits" in str(error):
            hint = (
                f": write {parse_network(text, strict=False)}, or the address {text.partition('/')[0]} alone"
            )
        raise UsageError(f"{name} {text}: {error}{hint}") from None


def _text(name: str, value: str) -> str:
    value = value.strip()
    if not value or len(value) > _LONGEST or not value.isprintable():
        raise UsageError(f"{name} {value[:60]!r}: expected up to {_LONGEST} printable characters")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """That an entry was taken off its list: when (wall time), by whom, why."""

    time: float
    author: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """An entry of a list.

    Parameters
    ----------
    id : UUID of version 7; of one in the settings, its place there.
    list : which list.
    scope : what it is about.
    reason, author : why, and who says so.
    origin : a person, the settings, or the platform itself.
    created : wall time, seconds since the epoch.
    expires : from then on it no longer holds, seconds since the epoch; None: never.
    timing : whether `expires` is traffic time or wall time.
    removed : how it was taken off, if it was.
    """

    id: str
    list: ListName
    scope: Scope
    reason: str
    author: str
    origin: Origin
    created: float
    expires: float | None = None
    timing: Timing = "traffic"
    removed: Removal | None = None

    def expired(self, *, traffic: float, wall: float) -> bool:
        """Say whether its time is over, given both times."""
        return self.expires is not None and (traffic if self.timing == "traffic" else wall) >= self.expires

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


class Rule(NamedTuple):
    """Entries that differ in their addresses alone, compiled for arrays of flows.

    Attributes
    ----------
    kind : only findings of this kind; None: everything.
    port : only this port of a service; None: every one.
    until : holds before this traffic time, seconds since the epoch; may be infinite.
    addresses : only these, of either side; None: every one.
    source, destination : only these, of that side; None: every one.
    """

    kind: str | None
    port: int | None
    until: float
    addresses: AddressRanges | None
    source: AddressRanges | None = None
    destination: AddressRanges | None = None


class Lists:
    """Both lists, as they stand in the store and the settings.

    Parameters
    ----------
    store : keeps the entries; None: the settings' alone, and nothing can be added.
    ignore : networks of the setting `detect.ignore`.
    wall : tells wall time.

    Raises
    ------
    UsageError
        A network of `ignore` is none.

    Examples
    --------
    >>> lists = Lists(ignore=("10.0.0.0/8",))
    >>> found = lists.match(IGNORE, Subject(addresses=("10.1.2.3", "192.0.2.1")), at=0.0)
    >>> found.scope.network, found.origin
    ('10.0.0.0/8', 'settings')
    """

    def __init__(
        self, store: Store | None = None, ignore: Sequence[str] = (), wall: Clock | None = None
    ) -> None:
        self._store, self._wall = store, wall or WallClock()
        self._settings = [_from_settings(at, network) for at, network in enumerate(ignore)]
        self._compiled = _Compiled(())
        self._read_at = -math.inf

    def match(self, list: ListName, subject: Subject, at: float) -> ListEntry | None:
        """Return an entry of `list` that holds for `subject` at traffic time `at`, a person's first."""
        wall = self._wall.now()
        for entry in self._now().entries:
            if (
                entry.list == list
                and not entry.expired(traffic=at, wall=wall)
                and entry.scope.covers(subject)
            ):
                return entry
        return None

    def rules(self, list: ListName) -> list[Rule]:
        """Return what `list` says about flows, for arrays; as `match`, and wall time is now.

        An entry about a host or a user says nothing about flows, which have neither.
        """
        wall = self._wall.now()
        return [
            Rule(
                kind, port, expires if timing == "traffic" else math.inf, addresses,
                _ranges(source), _ranges(destination),
            )
            for (of, kind, port, expires, timing, source, destination), addresses in self._now().rules
            if of == list and (timing == "traffic" or wall < expires)
        ]  # fmt: skip

    def entries(self, list: ListName | None = None) -> list[ListEntry]:
        """Return every entry ever made, of one list or of both: those that were removed come last."""
        self._read_at = -math.inf
        everything = [*self._now().entries, *self._compiled.gone]
        return [entry for entry in everything if list in (None, entry.list)]

    def add(
        self,
        list: ListName,
        scope: Scope,
        *,
        reason: str,
        author: str,
        expires: float | None = None,
        timing: Timing = "traffic",
        origin: Origin = "person",
    ) -> ListEntry:
        """Put an entry on a list; it is stored and audited when this returns.

        Raises
        ------
        UsageError
            There is no reason or author, the expiry is no time or lies in the past (wall time), or the
            origin is the settings.
        """
        now = self._wall.now()
        if list not in LISTS:
            raise UsageError(f"there is no list {list!r}: expected {' or '.join(LISTS)}")
        if origin == "settings":
            raise UsageError("what stands in the settings is written there")
        if expires is not None and not math.isfinite(expires):
            raise UsageError(f"expiry {expires}: expected seconds since the epoch")
        if expires is not None and timing == "wall" and expires <= now:
            raise UsageError("the expiry lies in the past")
        entry = ListEntry(
            id=uuid7(), list=list, scope=scope, reason=_text("reason", reason),
            author=_text("author", author), origin=origin, created=now, expires=expires, timing=timing,
        )  # fmt: skip
        self._kept.add_list_entry(entry)
        self._read_at = -math.inf
        return entry

    def remove(self, part: str, *, reason: str, author: str, origin: Origin = "person") -> ListEntry:
        """Take an entry off its list; it stays on record. Stored and audited when this returns.

        Parameters
        ----------
        part : its id, or a beginning of the id or of the id's last group that fits no other.
        origin : who removes; the platform itself cannot remove what a person wrote.

        Raises
        ------
        UsageError
            No entry has it or several have, it was removed already, it stands in the settings, or it is a
            person's and `origin` is not.
        """
        entry = self._find(part)
        if entry.origin == "settings":
            raise UsageError(f"{entry.id} stands in the settings: take it out of detect.ignore there")
        if entry.origin == "person" and origin != "person":
            raise UsageError(f"{entry.id} was written by {entry.author}: only a person removes it")
        removal = Removal(
            time=self._wall.now(), author=_text("author", author), reason=_text("reason", reason)
        )
        if not self._kept.end_list_entry(entry.id, removal):
            raise UsageError(f"{entry.id} was removed already")
        self._read_at = -math.inf
        return replace(entry, removed=removal)

    def _find(self, part: str) -> ListEntry:
        start = part.strip().lower()
        found = [
            entry
            for entry in self.entries()
            if start and (entry.id.startswith(start) or entry.id.rpartition("-")[2].startswith(start))
        ]
        if len(found) != 1:
            some = ", ".join(entry.id for entry in found[:3])
            raise UsageError(
                f"{part} may mean several entries: {some}" if found else f"there is no entry {part}"
            )
        return found[0]

    @property
    def _kept(self) -> Store:
        if self._store is None:
            raise UsageError("these lists have no store to be kept in")
        return self._store

    def _now(self) -> _Compiled:
        if time.monotonic() - self._read_at >= FRESH_S:
            stored = self._store.list_entries() if self._store else []
            everything = tuple(sorted([*self._settings, *stored], key=lambda e: ORIGINS.index(e.origin)))
            if everything != self._compiled.everything:
                self._compiled = _Compiled(everything)
            self._read_at = time.monotonic()
        return self._compiled


_Key = tuple[ListName, str | None, int | None, float, Timing, str | None, str | None]


class _Compiled:
    """Entries, and what they say about flows; it does not change."""

    def __init__(self, everything: tuple[ListEntry, ...]) -> None:
        self.everything = everything
        self.entries = [entry for entry in everything if entry.removed is None]
        self.gone = [entry for entry in everything if entry.removed is not None]

    @cached_property
    def rules(self) -> list[tuple[_Key, AddressRanges | None]]:
        """Entries grouped by all but their addresses; the widest of a group stands for it."""
        networks: dict[_Key, list[str | None]] = {}
        for entry in self.entries:
            scope, expires = entry.scope, math.inf if entry.expires is None else entry.expires
            if scope.host is None and scope.user is None:
                key = (
                    entry.list, scope.kind, scope.port, expires, entry.timing, scope.source, scope.destination
                )  # fmt: skip
                networks.setdefault(key, []).append(scope.network)
        return [
            (
                key,
                None if None in of else AddressRanges(parse_network(text) for text in of if text is not None),
            )
            for key, of in networks.items()
        ]


def _ranges(network: str | None) -> AddressRanges | None:
    return None if network is None else _inside(network)


def _from_settings(at: int, text: str) -> ListEntry:
    try:
        network = str(parse_network(text, strict=False))  # as the settings themselves check it
    except ValueError as error:
        raise UsageError(f"detect.ignore: {error}") from error
    return ListEntry(
        id=f"settings-{at}", list=IGNORE, scope=Scope(network=network), reason="setting detect.ignore",
        author="settings", origin="settings", created=0.0,
    )  # fmt: skip
