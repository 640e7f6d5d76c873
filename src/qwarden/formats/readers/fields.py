"""Values as logs write them: times, addresses, numbers, protocols.

Whatever is no such value raises `Malformed`, whose text names the field, shows what stood there and
says what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from qwarden.formats.flows import UNKNOWN, split_address

LATEST_NS: Final = (1 << 62) - 1
"""Times past it (the year 2116) are malformed."""
MOST: Final = 1 << 53
"""Counts past it are malformed."""


class Malformed(Exception):  # noqa: N818
    """A line that cannot be parsed; the text says why."""


def wrong(name: str, value: object, expected: str) -> Malformed:
    """Return the error of a field that does not hold what it should."""
    shown = repr(str(value)[:60])[:80]  # what is not printable takes up to ten characters
    return Malformed(f"{name} is {shown}; expected {expected}")


_SCALE: Final = tuple(10 ** (9 - digits) for digits in range(10))


def nanoseconds(text: str) -> int:
    """Return decimal seconds in nanoseconds, exactly; what is finer is rounded.

    Raises
    ------
    ValueError : it is no plain decimal number, or out of range.

    >>> nanoseconds("1655071198.444458"), nanoseconds("0.0000000015")
    (1655071198444458000, 2)
    """
    whole, _, part = text.partition(".")
    if not (text.isascii() and whole.isdecimal() and len(whole) <= 10 and (part.isdecimal() or not part)):
        raise ValueError(text)
    ns = int(whole) * 1_000_000_000
    if len(part) > 9:
        ns += int(part[:9]) + (part[9] >= "5")
    elif part:
        ns += int(part) * _SCALE[len(part)]
    if ns > LATEST_NS:
        raise ValueError(text)
    return ns


def float_nanoseconds(value: float) -> int:
    """Return seconds in nanoseconds as their shortest decimal form says: no binary fraction shows.

    >>> float_nanoseconds(1664462456.755299), float_nanoseconds(5e-06)
    (1664462456755299000, 5000)
    """
    text = repr(value)
    return nanoseconds(f"{value:.9f}" if "e" in text else text)


_STAMP: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)


def stamp(text: str) -> int:
    """Return a date and time (RFC 3339, also with an offset like +0200) in nanoseconds since the epoch.

    Without an offset it is taken as UTC.

    Raises
    ------
    ValueError : it is no such stamp, or out of range.

    >>> stamp("2021-06-06T15:59:46.457984+0200"), stamp("1970-01-01T00:00:01Z")
    (1622987986457984000, 1000000000)
    """
    found = _STAMP.fullmatch(text)
    if not found:
        raise ValueError(text)
    second, part, zone = found.groups()
    ns: int = _second(second, zone or "Z") * 1_000_000_000 + int(part or 0) * _SCALE[len(part or "")]
    if not 0 <= ns <= LATEST_NS:
        raise ValueError(text)
    return ns


@lru_cache(maxsize=4096)
def _second(date: str, zone: str) -> int:
    return round(datetime.fromisoformat(date + zone).timestamp())


@lru_cache(maxsize=1 << 16)
def address(text: str) -> tuple[int, int, int]:
    """Return both halves of an address, and its IP version.

    Raises
    ------
    ValueError : it is no address.

    >>> address("10.0.0.1") == (0, 0xFFFF0A000001, 4)
    True
    """
    if "%" in text:  # a zone is not part of what is on the wire
        raise ValueError(text)
    return *split_address(text), 6 if ":" in text else 4


_HARDWARE: Final = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


def hardware(text: str) -> int:
    """Return a hardware address as a number, `UNKNOWN` if it is none.

    >>> hardware("00:0c:29:66:c7:82"), hardware("-")
    (52234209154, -1)
    """
    return int(text.replace(":", ""), 16) if len(text) == 17 and _HARDWARE.fullmatch(text) else UNKNOWN


_NAMES: Final = {
    "icmp": 1, "igmp": 2, "ip": 4, "ipip": 4, "ipv4": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "dccp": 33,
    "ipv6": 41, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmp6": 58, "icmpv6": 58,
    "ipv6-nonxt": 59, "eigrp": 88, "ospf": 89, "ospfigp": 89, "pim": 103, "ipcomp": 108, "vrrp": 112,
    "l2tp": 115, "sctp": 132, "udplite": 136,
}  # fmt: skip
_NUMBERS: Final = _NAMES | {name.upper(): number for name, number in _NAMES.items()}


def protocol(name: str) -> int:
    """Return the IANA number of a protocol's name or number, `UNKNOWN` for names without one.

    >>> protocol("TCP"), protocol("047"), protocol("unknown_transport")
    (6, 47, -1)
    """
    number = _NUMBERS.get(name)
    if number is not None:
        return number
    if name.isascii() and name.isdigit() and len(name) <= 3 and int(name) < 256:
        return int(name)
    return _NAMES.get(name.lower(), UNKNOWN)


def json_counts(record: dict[str, Any], names: Sequence[str], most: int = MOST) -> list[int]:
    """Return whole numbers of a JSON object, `UNKNOWN` for those that are absent or null.

    >>> json_counts({"a": 3, "b": None}, ("a", "b", "c"))
    [3, -1, -1]
    """
    values = [UNKNOWN if value is None else value for value in map(record.get, names)]
    for name, value in zip(names, values, strict=True):
        if type(value) is not int or not (0 <= value <= most or record.get(name) is None):
            raise wrong(name, value, f"a whole number up to {most}")
    return values


def json_text(record: dict[str, Any], name: str) -> str:
    """Return a text of a JSON object; it must be there."""
    value = record.get(name)
    if not isinstance(value, str):
        raise wrong(name, value, "a text")
    return value


def short(text: object, most: int = 200) -> str:
    """Return a text fit for a report: printable, and not too long; empty if it is none."""
    if not isinstance(text, str):
        return ""
    if text.isprintable():
        return text[:most]
    return "".join(char if char.isprintable() else "?" for char in text[:most])
