"""Lines of Zeek's logs that say what Zeek itself found suspicious, to alerts: notice, signatures, intel.

Sources: Zeek's ``base/frameworks/notice/main.zeek``, ``signatures/main.zeek`` and ``intel/main.zeek``, which
define the fields. Of the other logs only conn.log is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import UNKNOWN
from qwarden.formats.kinds import unescape
from qwarden.formats.readers.fields import (
    LATEST_NS,
    Malformed,
    address,
    float_nanoseconds,
    nanoseconds,
    protocol,
    short,
    stamp,
    wrong,
)
from qwarden.formats.readers.rows import COMMENT, OTHER

_TITLES: Final = {
    "notice": ("note", "msg"),
    "signatures": ("sig_id", "event_msg"),
    "intel": ("seen.indicator", "seen.where"),
}
"""The fields that say what was found, and more about it."""

ALERT_LOGS: Final = frozenset(_TITLES)

_SRC: Final = ("src", "src_addr", "id.orig_h")
_DST: Final = ("dst", "dst_addr", "id.resp_h")
_SRC_PORT: Final = ("src_port", "id.orig_p")
_DST_PORT: Final = ("p", "dst_port", "id.resp_p")
_MILLISECONDS: Final = 100_000_000_000


class ZeekAlertReader:
    """Reads lines of one of the logs; of JSON, `_path` says of which.

    Parameters
    ----------
    name : ``notice``, ``signatures`` or ``intel``, where the lines do not say.
    """

    unfinished = ""

    def __init__(self, name: str) -> None:
        self._name = name
        self._separator, self._unset = "\t", "-"
        self._fields: list[str] = []

    def read(self, line: bytes) -> SignatureAlert | str:
        """Return the alert of a line, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        line = line.strip(b"\r\n ")
        if not line:
            return COMMENT
        if line.startswith(b"#"):
            self._header(line)
            return COMMENT
        if line.startswith(b"{"):
            record = _object(line)
            name = record.get("_path", self._name)
            return alert_of(name, record) if isinstance(name, str) and name in ALERT_LOGS else OTHER
        if not self._fields:
            raise Malformed("no #fields line before it says what its fields are")
        cells = line.decode("utf-8", "replace").split(self._separator)
        if len(cells) != len(self._fields):
            raise Malformed(f"the line has {len(cells)} fields; expected {len(self._fields)}")
        told = {
            field: unescape(cell.encode()).decode("utf-8", "replace") if "\\" in cell else cell
            for field, cell in zip(self._fields, cells, strict=True)
            if cell != self._unset
        }
        return alert_of(self._name, told)

    def _header(self, line: bytes) -> None:
        if line.startswith(b"#separator "):
            told = unescape(line.removeprefix(b"#separator ")).decode("latin-1")
            self._separator = told or self._separator
            return
        name, *values = line.decode("utf-8", "replace").split(self._separator)
        if name == "#unset_field" and values:
            self._unset = values[0]
        elif name == "#fields":
            self._fields = values


def alert_of(name: str, record: Mapping[str, Any]) -> SignatureAlert:
    """Return the alert that a record of one of the logs is.

    Raises
    ------
    Malformed : it lacks its time or what was found, or a value is of the wrong kind.
    """
    title, more = _TITLES[name]
    if not record.get(title):
        raise wrong(title, record.get(title), "a text")
    told = short(str(record[title]))
    message = short(str(record.get(more) or ""))
    return SignatureAlert(
        time_ns=_time(record.get("ts")),
        signature=f"{told}: {message}"[:200] if message else told,
        category=f"Zeek {name}",
        severity=UNKNOWN,
        gid=UNKNOWN,
        sid=UNKNOWN,
        rev=UNKNOWN,
        action="blocked" if record.get("dropped") in ("T", True) else "",
        src_ip=_address(record, _SRC),
        src_port=_port(record, _SRC_PORT),
        dst_ip=_address(record, _DST),
        dst_port=_port(record, _DST_PORT),
        proto=protocol(short(record.get("proto"), 20)),
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"it is no JSON: {str(error)[:80]}") from None
    if not isinstance(record, dict):
        raise Malformed("it is no JSON object")
    return record


def _time(value: object) -> int:
    """Return the time of a record: seconds, in JSON also milliseconds or a date."""
    try:
        if isinstance(value, str):
            return stamp(value) if "-" in value[1:] else nanoseconds(value)
        if type(value) in (int, float):
            number = float(value)  # type: ignore[arg-type]
            found = round(number * 1000) * 1000 if number >= _MILLISECONDS else float_nanoseconds(number)
            if 0 <= found <= LATEST_NS:
                return found
    except (ValueError, OverflowError):
        pass
    raise wrong("ts", value, "seconds since the epoch, milliseconds or a date and time")


def _address(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        text = record.get(name)
        if text is None or text == "":
            continue
        if not isinstance(text, str):
            raise wrong(name, text, "an address")
        try:
            address(text)
        except ValueError:
            raise wrong(name, text, "an address") from None
        return text
    return ""


def _port(record: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = record.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 5:
            value = int(value)
        if type(value) is not int or not 0 <= value <= 0xFFFF:
            raise wrong(name, value, "a port")
        return value
    return UNKNOWN
