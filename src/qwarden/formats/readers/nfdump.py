"""Lines of nfdump's output, to parts of flows: NetFlow and IPFIX records of one direction.

Read are its CSV as versions up to 1.7.2 write it (``ts,te,td,sa,da,…``), as later ones do
(``firstSeen,duration,proto,…``, also with a format of one's own, and ``csv-fast``), and the `FORMAT` in which
the reading process has it print its files. Source: nfdump's ``output_csv.c``, ``output_csv_fast.c`` and
``output_fmt.c``. Times are printed in the time zone of whoever ran nfdump, and taken as UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from qwarden.formats.flows import UNKNOWN
from qwarden.formats.readers.columns import Columns, Numbers, blame
from qwarden.formats.readers.fields import (
    LATEST_NS,
    Malformed,
    address,
    hardware,
    nanoseconds,
    protocol,
    short,
    stamp,
    wrong,
)
from qwarden.formats.readers.rows import COMMENT, OneWay
from qwarden.formats.readers.tcpflags import flag_bits

_TCP, _UDP, _ICMP, _ICMPV6, _SCTP = 6, 17, 1, 58, 132
_WITH_PORTS: Final = (_TCP, _UDP, _SCTP, 33, 136)

_WANTED: Final = (
    "ts|firstSeen", "te|lastSeen", "td|duration", "pr|proto", "sa|srcAddr", "sp|srcPort", "da|dstAddr",
    "dp|dstPort", "flg|flags", "ipkt|packets|inPackets", "ibyt|bytes|inBytes", "opkt|outPackets",
    "obyt|outBytes", "svln|srcVlan", "ismc|inSrcMac", "it|icmpTYpe|icmpType", "ic|icmpCode",
)  # fmt: skip
_NEEDED: Final = ("ts|firstSeen", "pr|proto", "sa|srcAddr", "da|dstAddr", "ipkt|packets|inPackets")
_HEADERS: Final = ("ts,", "firstSeen,", "cnt,")

_PRINTED: Final = (
    "ts",
    "td",
    "pr",
    "sa",
    "sp",
    "da",
    "dp",
    "flg",
    "ipkt",
    "ibyt",
    "opkt",
    "obyt",
    "svln",
    "ismc",
)
FORMAT: Final = "fmt:" + ",".join("%tsr" if name == "ts" else f"%{name}" for name in _PRINTED)
"""What nfdump is asked to print: times in seconds, exact to its millisecond."""
_SUMMARY: Final = ("Date first", "Summary", "Time window", "Sys:", "No matching flows", "Total flows")
_PROCESSED: Final = "Total flows processed: "


class NfdumpReader:
    """Reads lines.

    Parameters
    ----------
    printed : they are of `FORMAT`, without a header but with the summary that says how many there were.
    complaints : returns what nfdump wrote to its standard error.
    """

    def __init__(self, printed: bool = False, complaints: Callable[[], bytes] = bytes) -> None:
        self._columns = Columns(_WANTED, _NEEDED)
        self._counts = Numbers({"": UNKNOWN})
        self._records = 0
        self._summary = False  # a CSV's, which ends it
        self._ended = not printed
        self._complaints = complaints
        if printed:
            self._columns.set_header(_PRINTED, ",")

    @property
    def unfinished(self) -> str:
        """Why what was read cannot be all; empty if nothing says so."""
        said = short(self._complaints().decode("utf-8", "replace").strip())
        if said:
            return f"nfdump says: {said}"
        return "" if self._ended else "nfdump ended before its summary; the file is damaged"

    def read(self, line: bytes) -> OneWay | str:
        """Return the part of a flow that a line tells, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed, or nfdump says that it had to leave something out.
        """
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text or text.isspace() or self._summary:
            return COMMENT
        if text.startswith(_SUMMARY):
            self._summary = text == "Summary"
            self._check(text)
            return COMMENT
        if text.startswith("!"):
            self._ended = True
            raise Malformed(short(text[1:]))
        header = text.lstrip('\ufeff"').startswith(_HEADERS)
        if (header or not self._columns.ready) and self._columns.take_header(text):
            return COMMENT
        cells = tuple(cell.strip() for cell in self._columns.cells(text))
        try:
            record = self._record(cells)
        except ValueError:
            raise self._blame(cells) from None
        self._records += 1
        return record

    def _check(self, text: str) -> None:
        """Hold the summary against what was read."""
        if not text.startswith(_PROCESSED):
            return
        self._ended = True
        told = {
            name.strip(): value.strip()
            for name, _, value in (part.partition(":") for part in text.split(","))
        }
        skipped, passed = told.get("Blocks skipped", "0"), told.get("passed", "")
        if skipped != "0":
            raise Malformed(f"nfdump skipped {skipped[:20]} damaged blocks")
        if passed.isdecimal() and len(passed) < 20 and int(passed) != self._records:
            raise Malformed(f"nfdump says it printed {int(passed)} records; {self._records} could be read")

    def _record(self, cells: tuple[str, ...]) -> OneWay:
        (
            first, last, lasted, name, src_text, src_port, dst_text, dst_port, flags, packets, seen, back,
            seen_back,
            vlan, mac, kind_text, code_text,
        ) = cells  # fmt: skip
        count = self._counts.__getitem__
        start = _moment(first)
        # The end is cut to a second where the duration is not.
        end = start + nanoseconds(lasted) if lasted else _moment(last) if last else start
        if not start <= end <= LATEST_NS:
            raise Malformed("the flow ends before it starts, or after the year 2116")
        src_hi, src_lo, version = address(src_text)
        dst_hi, dst_lo, other_version = address(dst_text)
        if version != other_version:
            raise Malformed("the addresses are of two IP versions")
        number = protocol(name)
        sport = dport = kind = code = UNKNOWN
        if number in (_ICMP, _ICMPV6):
            kind, code = _icmp(dst_port, count(kind_text), count(code_text))
        elif number in _WITH_PORTS:
            sport, dport = count(src_port), count(dst_port)
            if max(sport, dport) > 0xFFFF:
                raise wrong("a port", max(sport, dport), "at most 65535")
        packets_in, vlan_id = count(back), count(vlan)
        packets_out = count(packets)
        if packets_out < 0:
            raise wrong("packets", packets, "a whole number")
        return OneWay(
            start, end, (src_hi, src_lo, sport), (dst_hi, dst_lo, dport), version, number,
            packets_out, count(seen), flag_bits(flags) if number == _TCP else UNKNOWN,
            packets_in if packets_in > 0 else UNKNOWN, count(seen_back), UNKNOWN, kind, code,
            hardware(mac) or UNKNOWN, vlan_id if 0 < vlan_id <= 0xFFF else UNKNOWN,
        )  # fmt: skip

    def _blame(self, cells: tuple[str, ...]) -> Malformed:
        whole = (self._counts.__getitem__, "a whole number")
        any_text = (str, "a text")
        moment = (lambda text: text and _moment(text), "a date and time, or seconds")
        return blame(
            _WANTED, cells,
            (
                (_moment, "a date and time, or seconds"), moment,
                (lambda text: text and nanoseconds(text), "seconds"), any_text,
                (address, "an address"), whole,
                (address, "an address"), whole, (flag_bits, "TCP flags"), whole, whole, whole, whole, whole,
                any_text, whole, whole,
            ),
        )  # fmt: skip


@lru_cache(maxsize=1 << 12)
def _moment(text: str) -> int:
    return stamp(text) if "-" in text else nanoseconds(text)


def _icmp(port: str, kind: int, code: int) -> tuple[int, int]:
    """Return type and code: their own columns, or what stands in the place of the port."""
    if kind < 0 and "." in port:
        first, _, second = port.partition(".")
        if not (first.isdecimal() and second.isdecimal() and len(port) <= 7 and port.isascii()):
            raise wrong("dp", port, "an ICMP type and code")
        kind, code = int(first), int(second)
    elif kind < 0 and port.isascii() and port.isdecimal() and len(port) <= 5:
        kind, code = divmod(int(port), 256)
    if kind > 0xFF or code > 0xFF:
        raise wrong("an ICMP type or code", max(kind, code), "at most 255")
    return kind, code
