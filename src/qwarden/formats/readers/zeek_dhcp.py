"""Lines of Zeek's dhcp.log to flows: one exchange between a client and its server.

conn.log tells the same exchanges without their messages, and often not at all. A client without an address
is 0.0.0.0, and who has not met its server asks 255.255.255.255 (RFC 2131 section 4.1).

Source: Zeek's ``base/protocols/dhcp/main.zeek``, which defines the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qwarden.formats.flows import UNKNOWN
from qwarden.formats.readers.fields import LATEST_NS, address, hardware, nanoseconds, wrong
from qwarden.formats.readers.rows import COMMENT, NO_FLAGS, OTHER, Row
from qwarden.formats.readers.zeek_records import ZeekRecordReader, record_time

_ASKED: Final = frozenset({"DISCOVER", "REQUEST", "INFORM", "DECLINE", "RELEASE"})
_ANSWERED: Final = frozenset({"OFFER", "ACK", "NAK"})
_UDP, _CLIENT, _SERVER = 17, 68, 67


class ZeekDhcpReader(ZeekRecordReader):
    """Reads lines of dhcp.log."""

    def read(self, line: bytes) -> Row | str:
        """Return the row of an exchange, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        found = self.record(line)
        if found is None:
            return COMMENT
        name, record = found
        return _row(record) if name == "dhcp" else OTHER


def _row(record: Mapping[str, Any]) -> Row:
    start = record_time(record.get("ts"))
    end = start + _duration(record.get("duration"))
    if end > LATEST_NS:
        raise wrong("duration", record.get("duration"), "an end before the year 2116")
    src_hi, src_lo, version = _address(record, "client_addr", "0.0.0.0")  # noqa: S104  no address yet
    dst_hi, dst_lo, other = _address(record, "server_addr", "255.255.255.255")
    if version != other:
        raise wrong("server_addr", record.get("server_addr"), f"an address of IPv{version}")
    told = record.get("msg_types", ())
    messages = told.split(",") if isinstance(told, str) else told
    if not isinstance(messages, list | tuple) or not all(isinstance(m, str) for m in messages):
        raise wrong("msg_types", told, "names of messages")
    mac = record.get("mac")
    return (
        start, end, src_hi, src_lo, dst_hi, dst_lo, version, _UDP, _CLIENT, _SERVER, UNKNOWN, UNKNOWN,
        hardware(mac) if isinstance(mac, str) else UNKNOWN, UNKNOWN, UNKNOWN,
        sum(m in _ASKED for m in messages), sum(m in _ANSWERED for m in messages),
        UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, *NO_FLAGS, *NO_FLAGS,
    )  # fmt: skip


def _duration(value: object) -> int:
    try:
        if value is None:
            return 0
        if isinstance(value, str):
            return nanoseconds(value)
        if type(value) in (int, float) and 0 <= float(value) < 1e9:  # type: ignore[arg-type]
            return round(float(value) * 1e9)  # type: ignore[arg-type]
    except ValueError:
        pass
    raise wrong("duration", value, "seconds")


def _address(record: Mapping[str, Any], name: str, absent: str) -> tuple[int, int, int]:
    text = record.get(name, absent)
    try:
        if isinstance(text, str):
            return address(text)
    except ValueError:
        pass
    raise wrong(name, text, "an address")
