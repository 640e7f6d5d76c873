"""What is known of a finding's hosts beside the traffic: asset names, indicator lists, other detectors.

*Assets*: CSV with the columns ``address`` (an address or a network) and ``name``; any further column is kept.
*Indicators*: CSV with the column ``indicator`` (an address or a network), or a STIX 2.1 bundle whose
indicators have patterns on ``ipv4-addr:value`` or ``ipv6-addr:value``; other patterns are counted as passed
over. *Other detectors*: alerts of Suricata and notices of Zeek about the same two hosts, in a finding's time.

None of it changes a score.

Source: OASIS STIX 2.1, sections 4.7 (Indicator) and 9 (patterning).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from qwarden.core.errors import InputError
from qwarden.core.ranges import Network, parse_network
from qwarden.formats.alerts import SignatureAlert

MOST: Final = 20
"""Entries of one sort that a finding names."""

_PATTERN: Final = re.compile(r"ipv[46]-addr:value\s*(?:=|ISSUBSET)\s*'([^']{1,60})'")


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


def read_assets(path: Path) -> AddressBook:
    """Read asset names.

    Raises
    ------
    InputError
        It cannot be read, or a line is none: file and line are named.
    """
    return AddressBook.of(_csv(path, _text(path), "address", ("name",)))


def read_indicators(paths: Sequence[Path]) -> tuple[AddressBook, int]:
    """Read indicator lists; return them, and how many entries say nothing about addresses.

    Raises
    ------
    InputError
        One cannot be read, or an entry is none: file and line are named.
    """
    found: list[tuple[Network, Mapping[str, Any]]] = []
    passed_over = 0
    for path in paths:
        text = _text(path)
        if text.lstrip().startswith("{"):
            entries, others = _stix(path, text)
        else:
            entries, others = _csv(path, text, "indicator", ()), 0
        found += [(network, {**note, "list": path.name}) for network, note in entries]
        passed_over += others
    return AddressBook.of(found), passed_over


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", f"byte {error.start}") from error


def _csv(path: Path, text: str, key: str, needed: Sequence[str]) -> list[tuple[Network, Mapping[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text))
    absent = [name for name in (key, *needed) if name not in (rows.fieldnames or ())]
    if absent:
        raise InputError(path, f"the header lacks the column {absent[0]}", "line 1")
    found: list[tuple[Network, Mapping[str, Any]]] = []
    for row in rows:
        place = f"line {rows.line_num}"
        if None in row or None in row.values():
            raise InputError(path, f"expected {len(rows.fieldnames or ())} columns", place)
        try:
            network = parse_network(row[key], strict=False)
        except ValueError as error:
            raise InputError(path, f"{key}: {error}", place) from None
        found.append((network, {name: value for name, value in row.items() if name != key and value}))
    return found


def _stix(path: Path, text: str) -> tuple[list[tuple[Network, Mapping[str, Any]]], int]:
    try:
        bundle = json.loads(text)
        objects = bundle["objects"]
        if bundle["type"] != "bundle" or not isinstance(objects, list):
            raise ValueError("expected a bundle with objects")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(path, f"is no STIX bundle: {error}") from error
    found: list[tuple[Network, Mapping[str, Any]]] = []
    others = 0
    for at, entry in enumerate(objects):
        if not isinstance(entry, dict) or entry.get("type") != "indicator" or entry.get("revoked"):
            continue
        pattern = entry.get("pattern")
        values = _PATTERN.findall(pattern) if isinstance(pattern, str) else []
        others += not values
        note = {name: str(entry[name]) for name in ("name", "id", "valid_until") if name in entry}
        for value in values:
            try:
                found.append((parse_network(value, strict=False), note))
            except ValueError as error:
                raise InputError(path, f"objects[{at}].pattern: {error}") from None
    return found, others


@dataclass(slots=True)
class Enricher:
    """Says what is known of hosts.

    Parameters
    ----------
    assets, indicators : by address.
    """

    assets: AddressBook = field(default_factory=AddressBook)
    indicators: AddressBook = field(default_factory=AddressBook)
    _alerts: dict[frozenset[str], list[SignatureAlert]] = field(default_factory=dict)

    def heard(self, alert: SignatureAlert) -> None:
        """Remember what another detector said of two hosts; a bounded number of times."""
        if len(self._alerts) < 1 << 14:
            said = self._alerts.setdefault(frozenset((alert.src_ip, alert.dst_ip)), [])
            if len(said) < MOST:
                said.append(alert)

    def context(
        self, sources: Iterable[str], destinations: Iterable[str], start_ns: int, end_ns: int
    ) -> dict[str, Any]:
        """Return what is known of a finding's hosts; empty sorts are left out."""
        sources, destinations = list(sources), list(destinations)
        hosts = list(dict.fromkeys([*sources, *destinations]))
        found = {
            name: {host: dict(note) for host in hosts if (note := book.get(host)) is not None}
            for name, book in (("assets", self.assets), ("indicators", self.indicators))
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
        return context


_SLACK_NS: Final = 60_000_000_000
