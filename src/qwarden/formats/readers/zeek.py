"""Lines of Zeek's conn.log, as tab-separated text or as JSON, to values; `connection` makes rows of them.

A combined stream (JSON with ``_path``) has other logs' lines between them: `read_object` tells them apart.

``local_orig`` and ``local_resp`` are never read: they say who is ours, and models would learn that
instead of what was done.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

import orjson

from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import UNKNOWN
from qwarden.formats.kinds import NEEDED, unescape
from qwarden.formats.readers.connection import connection_row
from qwarden.formats.readers.fields import (
    Malformed,
    address,
    float_nanoseconds,
    hardware,
    json_counts,
    json_text,
    nanoseconds,
    stamp,
    wrong,
)
from qwarden.formats.readers.rows import COMMENT, OTHER, NamedRow, Row
from qwarden.formats.readers.transactions import ZEEK_LOGS, flow_name, zeek_transaction
from qwarden.formats.readers.zeek_alerts import ALERT_LOGS, alert_of
from qwarden.formats.transactions import Transaction

_FIELDS: Final = (
    *NEEDED, "ip_proto", "duration", "orig_bytes", "resp_bytes", "conn_state", "history",
    "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "vlan", "inner_vlan", "orig_l2_addr", "uid",
)  # fmt: skip

_TEXTS: Final = ("proto", "conn_state", "history", "orig_l2_addr", "uid")
_COUNTS: Final = tuple(
    name for name in _FIELDS if name not in (*_TEXTS, "ts", "duration", "id.orig_h", "id.resp_h")
)
_REMEMBERED: Final = 1 << 16  # numbers

_MILLISECONDS: Final = 100_000_000_000
"""Numbers from here on are milliseconds (``JSON::TS_MILLIS``): as seconds they would be the year 5138."""


class ZeekReader:
    """Reads lines of conn.log; header lines tell it what the fields of tab-separated text are."""

    unfinished = ""

    def __init__(self) -> None:
        self._separator, self._unset = "\t", "-"
        self._counts = _Counts("-")
        self._width = 0
        self._pick: Callable[[list[str]], tuple[str, ...]] | None = None

    def read(self, line: bytes) -> Row | NamedRow | Transaction | SignatureAlert | str:
        """Return the row of a connection, what a combined stream has beside it, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        start = line[:1]
        if not start.isalnum():
            line = line.lstrip()
            start = line[:1]
        if start == b"{":
            try:
                return read_object(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise Malformed(f"it is no JSON: {str(error)[:80]}") from None
        if start == b"#":
            self._header(line.rstrip(b"\r"))
            return COMMENT
        return self._from_text(line.rstrip(b"\r")) if start else COMMENT

    def _header(self, line: bytes) -> None:
        if line.startswith(b"#separator "):
            told = unescape(line.removeprefix(b"#separator ")).decode("latin-1")
            self._separator = told or self._separator
            return
        name, *values = line.decode("latin-1").split(self._separator)
        if name == "#unset_field" and values:
            self._unset = values[0]
            self._counts = _Counts(values[0])
        elif name == "#fields":
            self._pick = None
            absent = [needed for needed in NEEDED if needed not in values]
            if absent:
                raise Malformed(f"the header lacks the field {absent[0]}; expected {', '.join(NEEDED)}")
            self._width = len(values)
            places = {field: place for place, field in enumerate(values)}
            # A field that the log lacks is read from behind the last one, where every line has an unset one.
            self._pick = itemgetter(*(places.get(field, self._width) for field in _FIELDS))

    def _from_text(self, line: bytes) -> Row | NamedRow:
        if self._pick is None:
            raise Malformed("no #fields line before it says what its fields are")
        fields = line.decode("ascii", "replace").split(self._separator)
        if len(fields) != self._width:
            raise Malformed(f"the line has {len(fields)} fields; expected {self._width}")
        fields.append(self._unset)
        values = self._pick(fields)
        if "\\" in "".join(values):
            values = tuple(unescape(value.encode("ascii", "replace")).decode("latin-1") for value in values)
        return self._row_of_text(values)

    def _row_of_text(self, values: tuple[str, ...]) -> Row | NamedRow:
        (
            ts, orig_h, orig_p, resp_h, resp_p, proto, ip_proto, duration, orig_bytes, resp_bytes, state,
            history, orig_pkts, orig_ip_bytes, resp_pkts, resp_ip_bytes, vlan, inner_vlan, mac, uid,
        ) = values  # fmt: skip
        unset, count = self._unset, self._counts.__getitem__
        try:
            row = connection_row(
                nanoseconds(ts),
                0 if duration == unset else nanoseconds(duration),
                (address(orig_h), count(orig_p)),
                (address(resp_h), count(resp_p)),
                (proto, count(ip_proto)),
                "" if state == unset else state,
                "" if history == unset else history,
                (count(orig_pkts), count(resp_pkts)),
                (count(orig_ip_bytes), count(resp_ip_bytes)),
                (count(orig_bytes), count(resp_bytes)),
                (count(vlan), count(inner_vlan)),
                hardware(mac),
            )
            return _named(row, uid)
        except ValueError:
            raise self._blame(values) from None

    def _blame(self, values: tuple[str, ...]) -> Malformed:
        """Return which of `values` cannot be parsed."""
        kinds: dict[str, tuple[Callable[[str], object], str]] = {
            "ts": (nanoseconds, "seconds"), "duration": (nanoseconds, "seconds"),
            "id.orig_h": (address, "an address"), "id.resp_h": (address, "an address"),
        }  # fmt: skip
        for name, text in zip(_FIELDS, values, strict=True):
            parse, expected = kinds.get(name, (self._counts.__getitem__, "a whole number"))
            if name in _TEXTS or (name == "duration" and text == self._unset):
                continue
            try:
                parse(text)
            except ValueError:
                return wrong(name, text, expected)
        raise AssertionError("no field is to blame")


class _Counts(dict[str, int]):
    """Numbers by their text; small ones come again and again."""

    def __init__(self, unset: str) -> None:
        super().__init__({unset: UNKNOWN})
        self._unset = unset

    def __missing__(self, text: str) -> int:
        if not text.isdecimal() or len(text) > 15:
            raise ValueError(text)
        if len(self) > _REMEMBERED:
            self.clear()
            self[self._unset] = UNKNOWN
        self[text] = number = int(text)
        return number


def _named(row: Row, uid: object) -> Row | NamedRow:
    name = flow_name(uid)
    return NamedRow(row, name) if name else row


def read_object(record: dict[str, Any]) -> Row | NamedRow | Transaction | SignatureAlert | str:
    """Return what an object of JSON is: of a combined stream, `_path` says of which log; else of conn.log.

    Raises
    ------
    Malformed : it lacks a value, or one is of the wrong kind.
    """
    path = record.get("_path", "conn")
    if path != "conn":
        if not isinstance(path, str):
            return OTHER
        if path in ZEEK_LOGS:
            return zeek_transaction(path, record) or OTHER
        return alert_of(path, record) if path in ALERT_LOGS else OTHER
    (
        orig_p, resp_p, ip_proto, orig_bytes, resp_bytes, orig_pkts, orig_ip_bytes, resp_pkts, resp_ip_bytes,
        vlan, inner_vlan,
    ) = json_counts(record, _COUNTS)  # fmt: skip
    row = connection_row(
        _json_time(record),
        _json_interval(record),
        (_json_address(record, "id.orig_h"), orig_p),
        (_json_address(record, "id.resp_h"), resp_p),
        (json_text(record, "proto"), ip_proto),
        _optional(record, "conn_state"),
        _optional(record, "history"),
        (orig_pkts, resp_pkts),
        (orig_ip_bytes, resp_ip_bytes),
        (orig_bytes, resp_bytes),
        (vlan, inner_vlan),
        hardware(_optional(record, "orig_l2_addr")),
    )
    return _named(row, record.get("uid"))


def _optional(record: dict[str, Any], name: str) -> str:
    value = record.get(name, "")
    return value if isinstance(value, str) else "" if value is None else json_text(record, name)


def _json_time(record: dict[str, Any]) -> int:
    value = record.get("ts")
    try:
        if isinstance(value, str):
            return stamp(value)
        if type(value) is int:
            whole = value * 1_000_000 if value >= _MILLISECONDS else value * 1_000_000_000
            return nanoseconds(f"{whole // 1_000_000_000}.{whole % 1_000_000_000:09}")
        if isinstance(value, float):
            return round(value * 1000) * 1000 if value >= _MILLISECONDS else float_nanoseconds(value)
    except (ValueError, OverflowError):
        pass
    raise wrong("ts", value, "seconds since the epoch, milliseconds or a date and time")


def _json_interval(record: dict[str, Any]) -> int:
    value = record.get("duration")
    if value is None:
        return 0
    try:
        if type(value) in (int, float):
            return float_nanoseconds(float(value))
    except (ValueError, OverflowError):
        pass
    raise wrong("duration", value, "seconds")


def _json_address(record: dict[str, Any], name: str) -> tuple[int, int, int]:
    text = json_text(record, name)
    try:
        return address(text)
    except ValueError:
        raise wrong(name, text, "an address") from None
