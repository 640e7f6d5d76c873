"""Flow tables: which kind of comma separated (or other) text a file is, by the names in its header.

Only names are compared here; `qwarden.formats.readers` parses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ARGUS, NFDUMP_CSV, VPC, NETFLOW_CSV, CIC = "argus", "nfdump-csv", "vpc", "netflow-csv", "cic"
TABLES: Final = frozenset({ARGUS, NFDUMP_CSV, VPC, NETFLOW_CSV, CIC})
"""The tables that are read."""

SEPARATORS: Final = ",;\t| "
"""What may stand between the columns of a table."""


@dataclass(frozen=True, slots=True)
class Table:
    """A kind of table: the columns that only it has."""

    kind: str
    columns: frozenset[str]


def _table(kind: str, *columns: str) -> Table:
    return Table(kind, frozenset(columns))


KNOWN: Final = (
    _table(ARGUS, "StartTime", "Proto", "SrcAddr", "DstAddr"),
    _table(NFDUMP_CSV, "ts", "td", "sa", "da", "pr", "ipkt", "ibyt"),
    _table(NFDUMP_CSV, "firstSeen", "proto", "srcAddr", "dstAddr"),
    _table(VPC, "srcaddr", "dstaddr", "start", "end"),
    _table(NETFLOW_CSV, "IPV4_SRC_ADDR", "IPV4_DST_ADDR", "PROTOCOL", "FLOW_START_MILLISECONDS"),
    _table(CIC, "Src IP", "Dst IP", "Timestamp", "Flow Duration"),
    _table(CIC, "Source IP", "Destination IP", "Timestamp", "Flow Duration"),
    _table(CIC, "src_ip", "dst_ip", "timestamp", "flow_duration"),
)
"""In order: the first whose columns are all there."""

REFUSED: Final = {
    "table-netflow": "a table of NetFlow features without times (NF-*-v2)",
    "table-cic": "a table of CIC features without addresses or times",
    "table-unsw": "a table of UNSW-NB15 features without addresses or times",
    "table-nsl-kdd": "a table of NSL-KDD features without addresses or times",
}
"""Tables that are recognised and cannot be read, and what they are."""

_UNREADABLE: Final = (
    _table("table-netflow", "IPV4_SRC_ADDR", "IPV4_DST_ADDR", "L4_DST_PORT"),
    _table("table-cic", "Flow Duration", "Flow IAT Mean"),
    _table("table-unsw", "dur", "proto", "service", "state", "spkts", "dpkts"),
)

_NSL_KDD: Final = re.compile(
    rb"\d{1,6},(?:tcp|udp|icmp),\w{1,20},[A-Z]\w{1,6}(?:,[\d.]{1,12}){37,38},[\w ]{1,30}"
)
_VPC: Final = re.compile(
    rb"2 (?:\d{12}|unknown) \S{1,40} \S{1,45} \S{1,45}"  # version, account, interface, addresses
    rb"(?: (?:\d{1,19}|-)){5} \d{1,10} \d{1,10} (?:ACCEPT|REJECT|-) (?:OK|NODATA|SKIPDATA)"
)
"""A line of AWS VPC flow logs in their default format, which may come without a header."""


def table_kind(line: bytes) -> str:
    """Return the kind of the table whose first line is `line`, empty if it is none that is known.

    >>> table_kind(b"StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr"), table_kind(b"id,dur,proto,service")
    ('argus', '')
    """
    line = line.removeprefix(b"\xef\xbb\xbf").strip()
    for separator in SEPARATORS.encode():
        cells = line.split(bytes([separator]))
        if len(cells) < 4:
            continue
        names = {cell.strip(b' "').decode("latin-1") for cell in cells}
        for table in (*KNOWN, *_UNREADABLE):
            if table.columns <= names:
                return table.kind
    if _VPC.fullmatch(line):
        return VPC
    return "table-nsl-kdd" if _NSL_KDD.match(line) else ""


def refusal(kind: str) -> str:
    """Return why a recognised table is not read."""
    return (
        f"this is {REFUSED[kind]}; detection needs to know who spoke to whom and when. "
        "Such sets serve `qwarden measure`, not `qwarden detect`"
    )
