"""Lines of Zeek's logs, as tab-separated text or as JSON, to records by the names of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from qwarden.formats.kinds import unescape
from qwarden.formats.readers.fields import LATEST_NS, Malformed, float_nanoseconds, nanoseconds, stamp, wrong

_MILLISECONDS: Final = 100_000_000_000


class ZeekRecordReader:
    """Reads lines of one of the logs; of JSON, `_path` says of which.

    Parameters
    ----------
    name : of the log, as ``notice``, where the lines do not say.
    """

    unfinished = ""

    def __init__(self, name: str) -> None:
        self._name = name
        self._separator, self._unset = "\t", "-"
        self._fields: list[str] = []

    def record(self, line: bytes) -> tuple[str, Mapping[str, Any]] | None:
        """Return the log's name and the fields that a line sets; None if it holds no record.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        line = line.strip(b"\r\n ")
        if not line:
            return None
        if line.startswith(b"#"):
            self._header(line)
            return None
        if line.startswith(b"{"):
            record = _object(line)
            name = record.get("_path", self._name)
            return (name if isinstance(name, str) else ""), record
        if not self._fields:
            raise Malformed("no #fields line before it says what its fields are")
        cells = line.decode("utf-8", "replace").split(self._separator)
        if len(cells) != len(self._fields):
            raise Malformed(f"the line has {len(cells)} fields; expected {len(self._fields)}")
        return self._name, {
            field: unescape(cell.encode()).decode("utf-8", "replace") if "\\" in cell else cell
            for field, cell in zip(self._fields, cells, strict=True)
            if cell != self._unset
        }

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


def _object(line: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"it is no JSON: {str(error)[:80]}") from None
    if not isinstance(record, dict):
        raise Malformed("it is no JSON object")
    return record


def record_time(value: object) -> int:
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
