"""Lines of AWS VPC flow logs, to parts of flows.

Source: Amazon VPC user guide, "Flow log records" and "Flow log record examples". Text of the default format
(version 2, with or without its header) and of formats of one's own, whose header names the fields. A record
is one direction of up to ten minutes. REJECT says that a security group or an access list let nothing
through. Bytes are of the network layer.
"""

from __future__ import annotations

from typing import Final

from qwarden.formats.flows import UNKNOWN
from qwarden.formats.readers.columns import Columns, Numbers, blame
from qwarden.formats.readers.fields import Malformed, address, wrong
from qwarden.formats.readers.rows import COMMENT, OTHER, OneWay
from qwarden.formats.readers.tcpflags import ALL
from qwarden.formats.tables import table_kind

_TCP: Final = 6
_WITH_PORTS: Final = (_TCP, 17, 132, 33, 136)
_LATEST_S: Final = (1 << 62) // 1_000_000_000

_DEFAULT: Final = (
    "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol",
    "packets", "bytes", "start", "end", "action", "log-status",
)  # fmt: skip
_WANTED: Final = (
    "interface-id|interface_id", "srcaddr", "dstaddr", "pkt-srcaddr|pkt_srcaddr", "pkt-dstaddr|pkt_dstaddr",
    "srcport", "dstport", "protocol", "packets", "bytes", "start", "end", "action", "log-status|log_status",
    "tcp-flags|tcp_flags",
)  # fmt: skip
_NEEDED: Final = ("srcaddr", "dstaddr", "start", "end")
_ABSENT: Final = ("", "-")


class VpcReader:
    """Reads lines; a header tells what the fields are, without one they are the default format's."""

    unfinished = ""

    def __init__(self) -> None:
        self._columns = Columns(_WANTED, _NEEDED)
        self._counts = Numbers({"": UNKNOWN, "-": UNKNOWN})

    def read(self, line: bytes) -> OneWay | str:
        """Return the part of a flow that a line tells, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        text = line.decode("utf-8", "replace").rstrip("\r ")
        if not text:
            return COMMENT
        if "srcaddr" in text and self._columns.take_header(text):
            return COMMENT
        if not self._columns.ready and table_kind(line):
            self._columns.set_header(_DEFAULT, " ")
        cells = self._columns.cells(text)
        status = cells[13]
        if status not in ("OK", *_ABSENT):
            if status in ("NODATA", "SKIPDATA"):
                return OTHER
            raise wrong("log-status", status, "OK, NODATA or SKIPDATA")
        try:
            return self._record(cells)
        except ValueError:
            raise self._blame(cells) from None

    def _record(self, cells: tuple[str, ...]) -> OneWay:
        (
            interface, src_text, dst_text, first_src, last_dst, src_port, dst_port, proto, packets, seen,
            begin, end_text, action, _, flags_text,
        ) = cells  # fmt: skip
        count = self._counts.__getitem__
        # Through a gateway or a load balancer, the addresses of the packet are those of who speaks.
        src_hi, src_lo, version = address(src_text if first_src in _ABSENT else first_src)
        dst_hi, dst_lo, other_version = address(dst_text if last_dst in _ABSENT else last_dst)
        if version != other_version:
            raise Malformed("the addresses are of two IP versions")
        start, end = count(begin), count(end_text)
        if not 0 <= start <= end <= _LATEST_S:
            raise Malformed("the flow ends before it starts, or after the year 2116")
        number = count(proto)
        if number > 0xFF:
            raise wrong("protocol", number, "at most 255")
        ports = (UNKNOWN, UNKNOWN)
        if number in _WITH_PORTS:
            ports = count(src_port), count(dst_port)
            if max(ports) > 0xFFFF:
                raise wrong("a port", max(ports), "at most 65535")
        if action not in ("ACCEPT", "REJECT", *_ABSENT):
            raise wrong("action", action, "ACCEPT or REJECT")
        flags = count(flags_text)
        return OneWay(
            start * 1_000_000_000, end * 1_000_000_000,
            (src_hi, src_lo, ports[0]), (dst_hi, dst_lo, ports[1]), version, number,
            count(packets), count(seen), flags & ALL if number == _TCP and flags >= 0 else UNKNOWN,
            rejected=action == "REJECT", observer=interface[:40],
        )  # fmt: skip

    def _blame(self, cells: tuple[str, ...]) -> Malformed:
        whole, any_text = (self._counts.__getitem__, "a whole number"), (str, "a text")
        place = (address, "an address")
        packet = (lambda text: text in _ABSENT or address(text), "an address")
        return blame(
            _WANTED, cells,
            (any_text, place, place, packet, packet, *(whole,) * 7, any_text, any_text, whole),
        )  # fmt: skip
