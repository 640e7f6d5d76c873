"""Templates: what an exporter says its records are, compiled to unpack them, kept within bounds.

Anyone who can send a datagram can send templates. So their number, their fields and the data that wait
for one are bounded; what has to go, the least used first, is counted, and so is what it makes
undecodable.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from qwarden.formats.listeners.netflow.elements import VARIABLE, Kind, element
from qwarden.formats.listeners.netflow.sessions import Moment, Session

MOST_TEMPLATES: Final = 4096
MOST_FIELDS: Final = 1 << 17
"""Templates, and fields of all of them, that are kept."""
LIFETIME_NS: Final = 3 * 1800 * 1_000_000_000
"""A template that is not repeated is forgotten: three times the longest usual interval, 30 minutes."""

MOST_WAITING_BYTES: Final = 4 << 20
MOST_WAITING_SETS: Final = 4096
WAIT_NS: Final = 600 * 1_000_000_000
"""Data that came before their template wait so long, and no more than so many."""

_SIGNED_STRUCT: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FLOW_ENDS: Final = (
    {"sourceIPv4Address", "destinationIPv4Address"},
    {"sourceIPv6Address", "destinationIPv6Address"},
)
_COUNTERS: Final = {
    "octetDeltaCount", "packetDeltaCount", "octetTotalCount", "packetTotalCount",
    "initiatorOctets", "initiatorPackets",
}  # fmt: skip

Value = int | bytes


class Field(NamedTuple):
    """A field specifier (RFC 7011, 3.2)."""

    number: int
    length: int
    enterprise: int = 0


class Template:
    """A record's layout.

    Parameters
    ----------
    fields : in their order.
    options : its records describe the exporter, not flows (RFC 7011, 3.4.2).

    Attributes
    ----------
    least : bytes of the shortest record.
    tells_flows : its records have both ends and counts.

    Raises
    ------
    ValueError : no record of it would have an end.
    """

    __slots__ = ("_bytes_at", "_fields", "_fixed", "_names", "fields", "least", "options", "tells_flows")

    def __init__(self, fields: tuple[Field, ...], options: bool = False) -> None:
        self.fields, self.options = fields, options
        self.least = sum(1 if field.length == VARIABLE else field.length for field in fields)
        if self.least == 0:
            raise ValueError("its records have no bytes")
        form = ">"
        names: list[str] = []
        bytes_at: list[int] = []
        read: list[tuple[int, str]] = []  # length, and name if it is read
        for field in fields:
            known = element(field.number, field.enterprise)
            name = ""
            if (
                known
                and known[0] not in names
                and (field.length == VARIABLE or known[1].allows(field.length))
            ):
                name, kind = known
                if field.length in _SIGNED_STRUCT and kind is Kind.NUMBER:
                    form += _SIGNED_STRUCT[field.length]
                else:
                    form += f"{field.length}s"
                    if kind is not Kind.IPV4 and kind is not Kind.IPV6:
                        bytes_at.append(len(names))
                names.append(name)
            else:
                form += f"{field.length}x"
            read.append((field.length, name))
        variable = any(field.length == VARIABLE for field in fields)
        self._fixed = None if variable else struct.Struct(form)
        self._names, self._bytes_at, self._fields = tuple(names), bytes_at, read if variable else []
        self.tells_flows = (
            not options and any(ends <= set(names) for ends in _FLOW_ENDS) and bool(_COUNTERS & set(names))
        )

    def count(self, data: memoryview) -> int:
        """Return how many records `data` holds, -1 if only reading them tells."""
        return -1 if self._fixed is None else len(data) // self._fixed.size

    def records(self, data: memoryview) -> Iterator[dict[str, Value]]:
        """Yield the values of the records in `data`; what is left of it is padding.

        Raises
        ------
        ValueError : a field of variable length is longer than the data.
        """
        if self._fixed is None:
            yield from self._variable(data)
            return
        whole = len(data) - len(data) % self._fixed.size
        for values in self._fixed.iter_unpack(data[:whole]):
            found = dict(zip(self._names, values, strict=True))
            for at in self._bytes_at:
                found[self._names[at]] = int.from_bytes(values[at], "big")
            yield found

    def _variable(self, data: memoryview) -> Iterator[dict[str, Value]]:
        at, end = 0, len(data)
        while end - at >= self.least:
            found: dict[str, Value] = {}
            for length, name in self._fields:
                if length == VARIABLE:  # RFC 7011, 7
                    if at >= end:
                        raise ValueError("a record ends before its fields do")
                    length, at = data[at], at + 1
                    if length == 255:
                        length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
                if at + length > end:
                    raise ValueError("a record ends before its fields do")
                if name:
                    value = bytes(data[at : at + length])
                    kind = _KINDS[name]
                    if kind.allows(length):
                        is_address = kind in (Kind.IPV4, Kind.IPV6)
                        found[name] = value if is_address else int.from_bytes(value, "big")
                at += length
            yield found


def _kinds() -> dict[str, Kind]:
    known = (element(number, enterprise) for number in range(512) for enterprise in (0, 29305))
    return dict(filter(None, known))


_KINDS: Final = _kinds()

Key = tuple[Session, int]
"""A template's place: whose it is (exporter and observation domain), and its number."""


@dataclass(slots=True)
class _Kept:
    template: Template
    seen_ns: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A set of data that came before its template, and when."""

    key: Key
    data: bytes
    moment: Moment
    datagram: int


class Templates:
    """All templates of all exporters, and the data that wait for one.

    Attributes
    ----------
    evicted : templates that made room for others.
    given_up : sets of data whose template did not come in time, or that made room for others.
    """

    def __init__(self) -> None:
        self.evicted = self.given_up = 0
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._fields = 0
        self._waiting: OrderedDict[int, Waiting] = OrderedDict()
        self._waiting_for: dict[Key, deque[int]] = {}
        self._waiting_bytes = 0
        self._number = 0

    def put(self, key: Key, template: Template, now_ns: int) -> list[Waiting]:
        """Keep a template, in the place of the one before; return the data that waited for it."""
        before = self._kept.pop(key, None)
        if before is not None:
            self._fields -= len(before.template.fields)
            if before.template.fields == template.fields and before.template.options == template.options:
                template = before.template  # compiled already
        self._kept[key] = _Kept(template, now_ns)
        self._fields += len(template.fields)
        while len(self._kept) > MOST_TEMPLATES or self._fields > MOST_FIELDS:
            _, gone = self._kept.popitem(last=False)
            self._fields -= len(gone.template.fields)
            self.evicted += 1
        return [self._take(number) for number in self._waiting_for.pop(key, ())]

    def get(self, key: Key, now_ns: int) -> Template | None:
        """Return the template that stands, None if there is none."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now_ns - kept.seen_ns > LIFETIME_NS:
            del self._kept[key]
            self._fields -= len(kept.template.fields)
            return None
        self._kept.move_to_end(key)
        return kept.template

    def wait(self, waiting: Waiting) -> None:
        """Keep data until their template comes."""
        self._number += 1
        self._waiting[self._number] = waiting
        self._waiting_for.setdefault(waiting.key, deque()).append(self._number)
        self._waiting_bytes += len(waiting.data)
        while len(self._waiting) > MOST_WAITING_SETS or self._waiting_bytes > MOST_WAITING_BYTES:
            self._give_up()

    def expire(self, now_ns: int) -> None:
        """Give up data that have waited too long."""
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if now_ns - oldest.moment.received_ns <= WAIT_NS:
                return
            self._give_up()

    def end(self) -> None:
        """Give up all data that wait."""
        while self._waiting:
            self._give_up()

    def _give_up(self) -> None:
        number = next(iter(self._waiting))
        key = self._take(number).key
        line = self._waiting_for[key]
        line.popleft()  # the oldest of all is the oldest of its kind
        if not line:
            del self._waiting_for[key]
        self.given_up += 1

    def _take(self, number: int) -> Waiting:
        waiting = self._waiting.pop(number)
        self._waiting_bytes -= len(waiting.data)
        return waiting
