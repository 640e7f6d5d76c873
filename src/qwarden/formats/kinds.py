"""Which format a file is of, by its first bytes, never by its name.

This is all that happens to a file outside the reading process: comparisons and searches for plain
byte strings, no parsing.
"""

from __future__ import annotations

import re
from typing import Final

from qwarden.formats.tables import REFUSED, TABLES, refusal, table_kind

HEAD: Final = 16 * 1024
"""Bytes that suffice to recognise a file."""

CAPTURE_MAGICS: Final = {
    b"\xa1\xb2\xc3\xd4": "pcap",
    b"\xd4\xc3\xb2\xa1": "pcap",
    b"\xa1\xb2\x3c\x4d": "pcap",
    b"\x4d\x3c\xb2\xa1": "pcap",
    b"\x0a\x0d\x0d\x0a": "pcapng",
}

ZEEK, EVE, NFDUMP, AZURE = "zeek-conn", "eve", "nfdump", "azure"
ZEEK_ALERTS: Final = frozenset({"zeek-notice", "zeek-signatures", "zeek-intel"})
"""Logs of Zeek's that are alerts."""
ZEEK_DHCP: Final = "zeek-dhcp"
ZEEK_TRANSACTIONS: Final = frozenset({"zeek-dns", "zeek-http", "zeek-ssl"})
"""Logs of Zeek's that tell what protocols said within the flows of its conn.log."""
READ: Final = (
    frozenset({"pcap", "pcapng", ZEEK, ZEEK_DHCP, EVE, NFDUMP, AZURE})
    | ZEEK_ALERTS | ZEEK_TRANSACTIONS | TABLES
)  # fmt: skip
"""The formats that are read."""

NFDUMP_MAGICS: Final = tuple(b"\x0c\xa5" + version + b"\0" for version in (b"\1", b"\2", b"\3"))
"""How files of nfdump begin: 0xA50C, and the version of their layout."""

NEEDED: Final = ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto")
"""Fields without which a line of conn.log is no flow."""
_TELLING: Final = (b"conn_state", b"orig_pkts", b"orig_bytes")
"""Fields that conn.log has and Zeek's other logs have not."""

_ALWAYS: Final = {
    "zeek-dns": (b'"rejected"', b'"AA"'),
    "zeek-http": (b'"request_body_len"', b'"trans_depth"'),
    "zeek-ssl": (b'"resumed"', b'"established"'),
}
"""Fields that every line of a log has, and only of that one."""

_AZURE: Final = b'"flowTuples"'
_PATH: Final = re.compile(rb'"_path" ?: ?"(\w{1,40})')


def kind_of(head: bytes, whole: bool = True) -> str:
    """Return the format of a file that begins with `head`, empty if it is of none.

    Parameters
    ----------
    head : unpacked bytes; `HEAD` of them suffice.
    whole : nothing more will come, so that the last line counts even without its end.

    Returns
    -------
    One of `READ`, ``zeek-NAME`` for one of Zeek's other logs, ``zeek`` if its name is not told, or
    ``table-NAME`` for a table that lacks what a flow needs.

    >>> kind_of(bytes.fromhex("d4c3b2a1")), kind_of(b'{"event_type":"flow"}')
    ('pcap', 'eve')
    >>> kind_of(b"#path\\tdns\\n#fields\\tts\\tuid")
    'zeek-dns'
    """
    if head[:4] in CAPTURE_MAGICS:
        return CAPTURE_MAGICS[head[:4]]
    if head[:4] in NFDUMP_MAGICS:
        return NFDUMP
    if _AZURE in head and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return AZURE
    lines = head.split(b"\n")
    if not whole:
        lines.pop()
    separator, path, other, first = b"\t", b"", "", True
    for line in map(bytes.strip, lines):
        if line.startswith(b"#separator "):
            separator = unescape(line.removeprefix(b"#separator ")) or separator
        elif line.startswith(b"#path" + separator):
            path = line.split(separator)[1]
        elif line.startswith(b"#fields" + separator):
            return _zeek(path, any(name in line.split(separator) for name in _TELLING))
        elif line.startswith(b"{"):
            kind = _json_kind(line)
            if kind in READ - ZEEK_TRANSACTIONS:  # whose lines a combined stream has before a connection's
                return kind
            if other and kind and kind != other and _PATH.search(line):
                return ZEEK  # a combined stream, whose connections are still to come
            other = other or kind
        elif first and line and not line.startswith(b"#"):
            kind = table_kind(line)
            if kind:
                return kind
            first = False
    return other if whole else ""


_OF_ZEEK: Final = "conn, dhcp, dns, http, intel, notice, signatures, ssl"


def other_log(kind: str) -> str:
    """Return what is said of a log that is recognised but not read.

    >>> other_log("zeek-x509")
    "Zeek's x509.log is not read; of Zeek's logs conn, dhcp, dns, http, intel, notice, signatures, ssl are"
    """
    if kind in REFUSED:
        return refusal(kind)
    name = kind.removeprefix("zeek-") if "-" in kind else ""
    which = f"Zeek's {name}.log" if name else "this log of Zeek's"
    return f"{which} is not read; of Zeek's logs {_OF_ZEEK} are"


def unescape(text: bytes) -> bytes:
    r"""Return `text` with Zeek's escapes resolved.

    >>> unescape(rb"\x09a\x5c")
    b'\ta\\'
    """
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), text)


def _json_kind(line: bytes) -> str:
    if b'"event_type"' in line:
        return EVE
    told = _PATH.search(line)
    if told:
        return _zeek(told[1], b'"ts"' in line)
    if line.startswith(b'{"ts"') and b'"note":"' in line and b'"msg"' in line:
        return "zeek-notice"
    if line.startswith(b'{"ts"') and b'"msg_types"' in line and b'"lease_time"' in line:
        return ZEEK_DHCP
    if b'"uid"' in line:
        for kind, telling in _ALWAYS.items():
            if all(name in line for name in telling):
                return kind
    if b'"id.orig_h"' in line and any(b'"' + name + b'"' in line for name in _TELLING):
        return ZEEK
    return "zeek" if line.startswith(b'{"ts"') else ""


def _zeek(path: bytes, telling: bool) -> str:
    if path in (b"", b"conn") and telling:
        return ZEEK
    name = "".join(char for char in path.decode("ascii", "replace") if char.isalnum() or char == "_")
    return f"zeek-{name[:40]}" if name and name != "conn" else "zeek"
