"""What is known of a finding's hosts beside the traffic: asset names, indicator lists, other sensors.

*Assets*: CSV with the columns ``address`` (an address or a network) and ``name``; any further column is kept.
*Indicators*: CSV with the column ``indicator`` (an address, a network, or the name of a domain; ``*.NAME``
for the names beneath it), or a STIX 2.1 bundle whose indicators have patterns on the ``value`` of
``ipv4-addr``, ``ipv6-addr`` or ``domain-name``; other patterns are counted as passed over. *Other detectors*:
alerts of Suricata and notices of Zeek about the same two hosts, in a finding's time. *Transactions*: what
protocols said within its flows; their names and addresses are looked up among the indicators as hosts are.

None of it changes a score.

Source: OASIS STIX 2.1, sections 4.7 (Indicator) and 9 (patterning).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from qwarden.core.errors import InputError
from qwarden.core.ranges import Network, parse_network
from qwarden.detect.transactions import TransactionBook
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.transactions import LONGEST, Said, names_of

MOST: Final = 20
"""Entries of one sort that a finding names."""

_PATTERN: Final = re.compile(
    r"ipv[46]-addr:value\s*(?:=|ISSUBSET)\s*'([^']{1,60})'|domain-name:value\s*=\s*'([^']{1,255})'"
)
_DOMAIN: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)
"""A name of two labels or more whose last is no number (RFC 1123 section 2.1; underscores, as in use)."""

Note = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Notes on addresses and networks; of several that hold an address, the narrowest counts.

    >>> book = AddressBook.of([(parse_network("10.0.0.0/8"), {"name": "office"})])
    >>> book.get("10.1.2.3"), book.get("192.0.2.1")
    ({'name': 'office'}, None)
    """

    notes: Mapping[Network, Mapping[str, Any]] = field(default_factory=dict)
    prefixes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, entries: Iterable[tuple[Network, Mapping[str, Any]]]) -> AddressBook:
        """Make it of networks and what is known of them."""
        notes = dict(entries)
        return cls(notes, tuple(sorted({(n.version, n.prefixlen) for n in notes}, key=lambda p: -p[1])))

    def get(self, address: str) -> Mapping[str, Any] | None:
        """Return what is known of an address."""
        known = ip_address(address)
        for version, length in self.prefixes:
            if version == known.version:
                found = self.notes.get(parse_network(f"{known}/{length}", strict=False))
                if found is not None:
                    return found
        return None


@dataclass(frozen=True, slots=True)
class Indicators:
    """Notes on addresses, networks and names of domains.

    Parameters
    ----------
    addresses : by address or network.
    names : by name, in lower case; ``*.NAME`` for all names beneath it.

    >>> known = Indicators(names={"evil.example": {"list": "a"}, "*.bad.example": {"list": "b"}})
    >>> known.get("evil.example"), known.get("x.y.bad.example"), known.get("www.evil.example")
    ({'list': 'a'}, {'list': 'b'}, None)
    """

    addresses: AddressBook = field(default_factory=AddressBook)
    names: Mapping[str, Note] = field(default_factory=dict)

    def get(self, text: str) -> Note | None:
        """Return what is known of an address or a name."""
        try:
            return self.addresses.get(text)
        except ValueError:
            pass
        found, rest = self.names.get(text), text
        while found is None and rest:
            rest = rest.partition(".")[2]
            found = self.names.get(f"*.{rest}")
        return found


def read_assets(path: Path) -> AddressBook:
    """Read asset names.

    Raises
    ------
    InputError
        It cannot be read, or a line is none: file and line are named.
    """
    return AddressBook.of(_csv(path, _text(path), "address", ("name",), _network))


def _network(text: str) -> Network:
    return parse_network(text, strict=False)


def _indicator(text: str) -> Network | str:
    """Return a network, or the name of a domain in lower case.

    Raises
    ------
    ValueError
        It is neither.
    """
    name = text.strip().rstrip(".").lower()
    if _DOMAIN.fullmatch(name) and len(name) <= LONGEST:
        return name
    try:
        return _network(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no address, no network and no name of a domain") from None


def read_indicators(paths: Sequence[Path]) -> tuple[Indicators, int]:
    """Read indicator lists; return them, and how many entries say nothing about addresses and domains.

    Raises
    ------
    InputError
        One cannot be read, or an entry is none: file and line are named.
    """
    found: list[tuple[Network | str, Note]] = []
    passed_over = 0
    for path in paths:
        text = _text(path)
        if text.lstrip().startswith("{"):
            entries, others = _stix(path, text)
        else:
            entries, others = _csv(path, text, "indicator", (), _indicator), 0
        found += [(what, {**note, "list": path.name}) for what, note in entries]
        passed_over += others
    addresses = AddressBook.of((what, note) for what, note in found if not isinstance(what, str))
    return Indicators(addresses, {what: note for what, note in found if isinstance(what, str)}), passed_over


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", f"byte {error.start}") from error


def _csv(
    path: Path, text: str, key: str, needed: Sequence[str], parse: Callable[[str], T]
) -> list[tuple[T, Note]]:
    rows = csv.DictReader(io.StringIO(text))
    absent = [name for name in (key, *needed) if name not in (rows.fieldnames or ())]
    if absent:
        raise InputError(path, f"the header lacks the column {absent[0]}", "line 1")
    found: list[tuple[T, Note]] = []
    for row in rows:
        place = f"line {rows.line_num}"
        if None in row or None in row.values():
            raise InputError(path, f"expected {len(rows.fieldnames or ())} columns", place)
        try:
            what = parse(row[key])
        except ValueError as error:
            raise InputError(path, f"{key}: {error}", place) from None
        found.append((what, {name: value for name, value in row.items() if name != key and value}))
    return found


def _stix(path: Path, text: str) -> tuple[list[tuple[Network | str, Note]], int]:
    try:
        bundle = json.loads(text)
        objects = bundle["objects"]
        if bundle["type"] != "bundle" or not isinstance(objects, list):
            raise ValueError("expected a bundle with objects")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(path, f"is no STIX bundle: {error}") from error
    found: list[tuple[Network | str, Note]] = []
    others = 0
    for at, entry in enumerate(objects):
        if not isinstance(entry, dict) or entry.get("type") != "indicator" or entry.get("revoked"):
            continue
        pattern = entry.get("pattern")
        values = _PATTERN.findall(pattern) if isinstance(pattern, str) else []
        others += not values
        note = {name: str(entry[name]) for name in ("name", "id", "valid_until") if name in entry}
        for address, name in values:
            try:
                found.append((_network(address) if address else _indicator(name), note))
            except ValueError as error:
                raise InputError(path, f"objects[{at}].pattern: {error}") from None
    return found, others


@dataclass(slots=True)
class Enricher:
    """Says what is known of hosts.

    Parameters
    ----------
    assets : by address.
    indicators : by address and name.
    transactions : what protocols said, until the flow comes of which they said it.
    """

    assets: AddressBook = field(default_factory=AddressBook)
    indicators: Indicators = field(default_factory=Indicators)
    transactions: TransactionBook = field(default_factory=TransactionBook)
    _alerts: dict[frozenset[str], list[SignatureAlert]] = field(default_factory=dict)

    def heard(self, alert: SignatureAlert) -> None:
        """Remember what another detector said of two hosts; a bounded number of times."""
        if len(self._alerts) < 1 << 14:
            said = self._alerts.setdefault(frozenset((alert.src_ip, alert.dst_ip)), [])
            if len(said) < MOST:
                said.append(alert)

    def context(
        self,
        sources: Iterable[str],
        destinations: Iterable[str],
        start_ns: int,
        end_ns: int,
        said: Mapping[Said, int] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return what is known of a finding's hosts; empty sorts are left out.

        Parameters
        ----------
        said : what protocols said within its flows, and in how many of them. Those that name an indicator
            come first.
        """
        sources, destinations = list(sources), list(destinations)
        hosts = list(dict.fromkeys([*sources, *destinations]))
        spoken = {one: list(names_of(one)) for one in said}
        names = dict.fromkeys([*hosts, *(name for some in spoken.values() for name in some)])
        found = {
            "assets": {host: dict(note) for host in hosts if (note := self.assets.get(host)) is not None},
            "indicators": {
                name: dict(note) for name in names if (note := self.indicators.get(name)) is not None
            },
        }
        told = {
            alert.signature: alert.category
            for one in sources
            for other in destinations
            for alert in self._alerts.get(frozenset((one, other)), ())
            if start_ns - _SLACK_NS <= alert.time_ns <= end_ns + _SLACK_NS
        }
        context: dict[str, Any] = {
            name: dict(list(notes.items())[:MOST]) for name, notes in found.items() if notes
        }
        if told:
            context["reported"] = [{"signature": s, "category": c} for s, c in list(told.items())[:MOST]]
        if said:
            known = found["indicators"].keys()
            order = sorted(said, key=lambda one: known.isdisjoint(spoken[one]))
            context["transactions"] = [
                {"protocol": one[0], **dict(one[1]), "flows": said[one]} for one in order[:MOST]
            ]
        return context


_SLACK_NS: Final = 60_000_000_000
