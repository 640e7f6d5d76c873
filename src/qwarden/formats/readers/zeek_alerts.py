"""Lines of Zeek's logs that say what Zeek itself found suspicious, to alerts: notice, signatures, intel.

Sources: Zeek's ``base/frameworks/notice/main.zeek``, ``signatures/main.zeek`` and ``intel/main.zeek``, which
define the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import UNKNOWN
from qwarden.formats.readers.fields import address, protocol, short, wrong
from qwarden.formats.readers.rows import COMMENT, OTHER
from qwarden.formats.readers.transactions import flow_name
from qwarden.formats.readers.zeek_records import ZeekRecordReader, record_time

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


class ZeekAlertReader(ZeekRecordReader):
    """Reads lines of one of the logs; of JSON, `_path` says of which."""

    def read(self, line: bytes) -> SignatureAlert | str:
        """Return the alert of a line, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        found = self.record(line)
        if found is None:
            return COMMENT
        name, record = found
        return alert_of(name, record) if name in ALERT_LOGS else OTHER


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
        time_ns=record_time(record.get("ts")),
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
        flow_id=flow_name(record.get("uid")),
    )


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
