"""What the columns of a table of one's own mean: a TOML file, to read flows from any CSV.

::

    [table]
    separator = ";"               # default ","
    header = true                 # default; without one, columns are numbers from 1 on
    one_way = false               # a line is one direction; both are paired
    zone = "+02:00"               # of dates that do not say theirs; default UTC
    unset = ["-", ""]             # default

    [columns]
    start = { column = "first", unit = "ms" }      # s, ms, us, ns, iso, or a format as "%d.%m.%Y %H:%M:%S"
    duration = { column = "dur", unit = "s" }      # or end
    src = "source"
    dst = "destination"
    dst_port = "dport"
    proto = "protocol"

The user writes it, so the program itself reads it, and hands the reading process what it says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping as Object
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from qwarden.core.errors import ConfigError

TIMES: Final = ("start", "end", "duration")
TEXTS: Final = ("src", "dst", "proto", "tcp_state", "flags_out", "flags_in", "src_mac")
COUNTS: Final = (
    "src_port", "dst_port", "packets_out", "packets_in", "bytes_out", "bytes_in", "payload_out", "payload_in",
    "icmp_type", "icmp_code", "vlan",
)  # fmt: skip
FIELDS: Final = (*TIMES, *TEXTS, *COUNTS)
"""What may be mapped, named as the columns of `flows.FLOW`; flags are all that came that way."""
NEEDED: Final = ("start", "src", "dst")
UNITS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds of each unit of time."""

_MOST_BYTES: Final = 16 * 1024
_ZONE: Final = re.compile(r"([+-])(\d\d):?(\d\d)")


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field stands.

    Attributes
    ----------
    names : of the column, the first that the header has; a number from 1 on where there is no header.
    unit : of a time, one of `UNITS`, ``iso``, or a format of `datetime.strptime`.
    """

    names: tuple[str, ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked mapping.

    Attributes
    ----------
    columns : by the fields of `FIELDS`.
    separator : one character.
    header : whether the first line names the columns.
    one_way : whether a line is one direction only.
    zone_s : seconds by which dates without a zone are ahead of UTC.
    unset : what stands for no value.
    """

    columns: dict[str, Column]
    separator: str = ","
    header: bool = True
    one_way: bool = False
    zone_s: int = 0
    unset: tuple[str, ...] = field(default=("", "-"))


def mapping_of(document: Object[str, Any]) -> Mapping:
    """Return the mapping that `dataclasses.asdict` took apart."""
    columns = {name: Column(tuple(told["names"]), told["unit"]) for name, told in document["columns"].items()}
    plain = {name: value for name, value in document.items() if name not in ("columns", "unset")}
    return Mapping(columns, unset=tuple(document["unset"]), **plain)


def read_mapping(path: str | Path) -> Mapping:
    """Return the mapping of a TOML file.

    Raises
    ------
    ConfigError : it cannot be read, or names what is unknown, or lacks what a flow needs.
    """
    try:
        text = Path(path).read_bytes()
        document = tomllib.loads(text.decode()) if len(text) <= _MOST_BYTES else None
    except OSError as error:
        raise ConfigError(
            path, "mapping", f"cannot be read: {(error.strerror or 'unknown').lower()}"
        ) from None
    except ValueError as error:  # TOML or UTF-8
        raise ConfigError(path, "mapping", f"is no TOML: {str(error)[:200]}") from None
    if document is None:
        raise ConfigError(path, "mapping", f"is longer than {_MOST_BYTES:,} bytes")
    for name in document.keys() - {"table", "columns"}:
        raise ConfigError(path, name, "is unknown; expected [table] and [columns]")
    table, columns = document.get("table", {}), document.get("columns", {})
    if not isinstance(table, dict) or not isinstance(columns, dict):
        raise ConfigError(path, "mapping", "expected [table] and [columns]")
    checked = _table(path, table)
    return Mapping(
        {name: _column(path, name, told, checked) for name, told in _known(path, columns)}, **checked
    )


def _table(path: str | Path, table: dict[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in table.items():
        key = f"table.{name}"
        if name in ("header", "one_way"):
            if not isinstance(value, bool):
                raise ConfigError(path, key, f"is {value!r}; expected true or false")
            checked[name] = value
        elif name == "separator":
            if not isinstance(value, str) or len(value) != 1 or value in '"\r\n':
                raise ConfigError(path, key, f"is {value!r}; expected one character")
            checked[name] = value
        elif name == "zone":
            found = _ZONE.fullmatch(value) if isinstance(value, str) else None
            if not found or int(found[2]) > 14 or int(found[3]) > 59:
                raise ConfigError(path, key, f"is {value!r}; expected an offset from UTC as +02:00")
            checked["zone_s"] = int(found[1] + "1") * (int(found[2]) * 3600 + int(found[3]) * 60)
        elif name == "unset":
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                raise ConfigError(path, key, "expected a list of texts")
            checked[name] = tuple(value)
        else:
            raise ConfigError(path, key, "is unknown; expected separator, header, one_way, zone or unset")
    return checked


def _known(path: str | Path, columns: dict[str, Any]) -> list[tuple[str, Any]]:
    for name in columns:
        if name not in FIELDS:
            raise ConfigError(path, f"columns.{name}", f"is unknown; expected some of {', '.join(FIELDS)}")
    for name in NEEDED:
        if name not in columns:
            raise ConfigError(
                path, f"columns.{name}", "is needed: a flow has a start, a source and a destination"
            )
    return list(columns.items())


def _column(path: str | Path, name: str, told: Any, table: dict[str, Any]) -> Column:
    key = f"columns.{name}"
    given = told if isinstance(told, dict) else {"column": told}
    for other in given.keys() - {"column", "unit"}:
        raise ConfigError(path, f"{key}.{other}", "is unknown; expected column and unit")
    column, unit = given.get("column"), given.get("unit", "")
    if table.get("header", True):
        if not isinstance(column, str) or not 0 < len(column) <= 200:
            raise ConfigError(path, key, f"is {column!r}; expected the name of a column")
    elif type(column) is not int or not 1 <= column <= 1000:
        raise ConfigError(path, key, f"is {column!r}; expected the number of a column, from 1 on")
    if name not in TIMES:
        if unit:
            raise ConfigError(path, f"{key}.unit", "only times have units")
        return Column((str(column),))
    unit = unit or "s"
    plain = (
        unit in UNITS
        if name == "duration"
        else unit in (*UNITS, "iso") or (isinstance(unit, str) and "%" in unit)
    )
    if not plain or len(unit) > 100:
        expected = ", ".join(UNITS) + ("" if name == "duration" else ", iso or a format as %d.%m.%Y %H:%M:%S")
        raise ConfigError(path, f"{key}.unit", f"is {unit!r}; expected {expected}")
    return Column((str(column),), unit)
