"""Lines of a table whose columns a `Mapping` explains: one's own, or a public set's that has a fixed one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from qwarden.formats.flows import PROTO_ARP, TCP_STATES, UNKNOWN
from qwarden.formats.mapping import COUNTS, FIELDS, NEEDED, UNITS, Column, Mapping
from qwarden.formats.readers.columns import BOM, Columns, Named, Numbers, blame
from qwarden.formats.readers.fields import LATEST_NS, Malformed, address, hardware, protocol, stamp, wrong
from qwarden.formats.readers.payload import payload_of
from qwarden.formats.readers.rows import COMMENT, NO_FLAGS, OneWay, Row
from qwarden.formats.readers.tcpflags import STATES, carries_nothing, flag_bits, flag_counts, flag_state

_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_WITH_PORTS: Final = (_TCP, 17, 132, 33, 136, UNKNOWN)
_MOST_OF: Final = {
    "src_port": 0xFFFF,
    "dst_port": 0xFFFF,
    "icmp_type": 0xFF,
    "icmp_code": 0xFF,
    "vlan": 0xFFF,
}

_NETFLOW: Final = Mapping(
    {
        "start": Column(("FLOW_START_MILLISECONDS",), "ms"),
        "end": Column(("FLOW_END_MILLISECONDS",), "ms"),
        "duration": Column(("FLOW_DURATION_MILLISECONDS",), "ms"),
        "src": Column(("IPV4_SRC_ADDR",)),
        "dst": Column(("IPV4_DST_ADDR",)),
        "src_port": Column(("L4_SRC_PORT",)),
        "dst_port": Column(("L4_DST_PORT",)),
        "proto": Column(("PROTOCOL",)),
        "packets_out": Column(("IN_PKTS",)),
        "packets_in": Column(("OUT_PKTS",)),
        "bytes_out": Column(("IN_BYTES",)),
        "bytes_in": Column(("OUT_BYTES",)),
        "flags_out": Column(("CLIENT_TCP_FLAGS",)),
        "flags_in": Column(("SERVER_TCP_FLAGS",)),
        "icmp_type": Column(("ICMP_IPV4_TYPE",)),
    }
)
"""The NetFlow feature sets NF-*-v3, whose names are nProbe's: IN is what the client sent."""

_CIC: Final = Mapping(
    {
        "start": Column(("Timestamp", "timestamp"), "%d/%m/%Y %I:%M:%S %p|%d/%m/%Y %H:%M:%S|%d/%m/%Y %H:%M"),
        "duration": Column(("Flow Duration", "flow_duration"), "us"),
        "src": Column(("Src IP", "Source IP", "src_ip")),
        "dst": Column(("Dst IP", "Destination IP", "dst_ip")),
        "src_port": Column(("Src Port", "Source Port", "src_port")),
        "dst_port": Column(("Dst Port", "Destination Port", "dst_port")),
        "proto": Column(("Protocol", "protocol")),
        "packets_out": Column(("Total Fwd Packet", "Total Fwd Packets", "Tot Fwd Pkts", "tot_fwd_pkts")),
        "packets_in": Column(("Total Bwd packets", "Total Backward Packets", "Tot Bwd Pkts", "tot_bwd_pkts")),
        "payload_out": Column(
            (
                "Total Length of Fwd Packet",
                "Total Length of Fwd Packets",
                "TotLen Fwd Pkts",
                "totlen_fwd_pkts",
            )
        ),
        "payload_in": Column(
            (
                "Total Length of Bwd Packet",
                "Total Length of Bwd Packets",
                "TotLen Bwd Pkts",
                "totlen_bwd_pkts",
            )
        ),
    }
)
"""Tables of CICFlowMeter that kept addresses and times. Its dates are day first; lengths are of payload."""


_CIC_FLAGS: Final = (
    "FIN Flag Count|FIN Flag Cnt|fin_flag_cnt", "SYN Flag Count|SYN Flag Cnt|syn_flag_cnt",
    "RST Flag Count|RST Flag Cnt|rst_flag_cnt", "Fwd RST Flags|fwd_rst_flags", "Bwd RST Flags|bwd_rst_flags",
)  # fmt: skip

datetime.strptime("0", "%H")  # loads what it needs, while files can still be opened


class MappedReader:
    """Reads lines.

    Parameters
    ----------
    mapping : what the columns mean.
    extras : more columns to pick, for `_state`.
    """

    unfinished = ""

    def __init__(self, mapping: Mapping, extras: Sequence[str] = ()) -> None:
        self._mapping = mapping
        self._names = (*FIELDS, *extras)
        wanted: list[Named] = [_called(mapping, name) for name in FIELDS]
        self._columns = Columns([*wanted, *extras], [_called(mapping, name) for name in NEEDED])
        titles = [(mapping.columns[name].names[0] if name in mapping.columns else name) for name in FIELDS]
        self._titles = [*titles, *extras]
        self._counts = Numbers({"": UNKNOWN})
        self._units = {name: column.unit for name, column in mapping.columns.items()}
        self._first = True
        if not mapping.header:
            width = max(int(column.names[0]) for column in mapping.columns.values())
            self._columns.set_header([str(at + 1) for at in range(width)], mapping.separator, at_least=True)

    def read(self, line: bytes) -> Row | OneWay | str:
        """Return the row of a flow, a part of one, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text or text.isspace():
            return COMMENT
        if not self._columns.ready or (self._first and self._mapping.header):
            self._header(text)
            return COMMENT
        unset = self._mapping.unset
        cells = tuple("" if cell in unset else cell for cell in map(str.strip, self._columns.cells(text)))
        try:
            return self._row(dict(zip(self._names, cells, strict=True)))
        except ValueError:
            raise self._blame(cells) from None

    def _header(self, text: str) -> None:
        """Take the line that names the columns."""
        names = [name.strip(' "') for name in text.removeprefix(BOM).split(self._mapping.separator)]
        for field in NEEDED:
            told = self._mapping.columns[field].names
            if not set(told) & set(names):
                raise Malformed(f"the header lacks the column {told[0]!r}, which is mapped to {field}")
        self._first = False
        self._columns.set_header(names, self._mapping.separator)

    def _row(self, cells: dict[str, str]) -> Row | OneWay:
        start, end = self._span(cells)
        src_hi, src_lo, version = address(cells["src"])
        dst_hi, dst_lo, other_version = address(cells["dst"])
        if version != other_version:
            raise Malformed("the addresses are of two IP versions")
        name = cells["proto"]
        number = (
            PROTO_ARP if name.lower() == "arp" else protocol(name.removesuffix(".0")) if name else UNKNOWN
        )
        if number == PROTO_ARP:
            version = 0
        told = {field: self._counts[cells[field]] for field in COUNTS}
        for field, most in _MOST_OF.items():
            if told[field] > most:
                raise wrong(field, told[field], f"at most {most}")
        if number not in _WITH_PORTS:
            told["src_port"] = told["dst_port"] = UNKNOWN
        if number not in (_ICMP, _ICMPV6):
            told["icmp_type"] = told["icmp_code"] = UNKNOWN
        tcp = number == _TCP
        out, back = (flag_bits(cells[name]) if tcp else UNKNOWN for name in ("flags_out", "flags_in"))
        mac = hardware(cells["src_mac"].lower())
        if self._mapping.one_way:
            return OneWay(
                start, end, (src_hi, src_lo, told["src_port"]), (dst_hi, dst_lo, told["dst_port"]),
                version, number, told["packets_out"], told["bytes_out"], out,
                kind=told["icmp_type"], code=told["icmp_code"], mac=mac, vlan=told["vlan"],
            )  # fmt: skip
        for way, flags in (("out", out), ("in", back)):
            if told[f"payload_{way}"] < 0:
                told[f"payload_{way}"] = _payload(told, way, version, number, flags)
        counts = flag_counts(out) + flag_counts(back) if tcp else NO_FLAGS + NO_FLAGS
        state = self._state(cells, told, (out, back)) if tcp else UNKNOWN
        return (
            start, end, src_hi, src_lo, dst_hi, dst_lo, version, number, told["src_port"], told["dst_port"],
            told["icmp_type"], told["icmp_code"], mac, told["vlan"], state, told["packets_out"],
            told["packets_in"], told["bytes_out"], told["bytes_in"], told["payload_out"],
            told["payload_in"], *counts,
        )  # fmt: skip

    def _span(self, cells: dict[str, str]) -> tuple[int, int]:
        start = self._moment("start", cells["start"])
        if cells["end"]:
            end = self._moment("end", cells["end"])
        else:
            end = start + (
                nanoseconds_of(cells["duration"], self._units["duration"]) if cells["duration"] else 0
            )
        if not start <= end <= LATEST_NS:
            raise Malformed("the flow ends before it starts, or after the year 2116")
        return start, end

    def _moment(self, name: str, text: str) -> int:
        return moment(text, self._units[name], self._mapping.zone_s)

    def _state(self, cells: dict[str, str], told: dict[str, int], seen: tuple[int, int]) -> int:
        """Return the state of a TCP connection: as it is told, or as flags say."""
        name = cells["tcp_state"]
        if name:
            if name not in STATES:
                raise wrong("tcp_state", name, "one of " + ", ".join(TCP_STATES))
            return STATES[name]
        if min(seen) < 0 or not any(seen):
            return UNKNOWN
        return STATES[flag_state(*seen, max(told["packets_in"], 0))]

    def _blame(self, cells: tuple[str, ...]) -> Malformed:
        parsers: dict[str, tuple[Callable[[str], object], str]] = {
            "start": (lambda text: self._moment("start", text), "a time in the unit of the mapping"),
            "end": (lambda text: text and self._moment("end", text), "a time in the unit of the mapping"),
            "duration": (
                lambda text: text and nanoseconds_of(text, self._units["duration"]),
                "a duration in the unit of the mapping",
            ),
            "src": (address, "an address"),
            "dst": (address, "an address"),
            "flags_out": (flag_bits, "TCP flags"),
            "flags_in": (flag_bits, "TCP flags"),
            **dict.fromkeys(
                (*COUNTS, *self._names[len(FIELDS) :]), (self._counts.__getitem__, "a whole number")
            ),
        }
        return blame(self._titles, cells, [parsers.get(field, (str, "a text")) for field in self._names])


def netflow_reader() -> MappedReader:
    """Return the reader of NetFlow feature sets that have times."""
    return MappedReader(_NETFLOW)


class CicReader(MappedReader):
    """Reads tables of CICFlowMeter that have addresses and times; it counts flags of both ways together."""

    def __init__(self) -> None:
        super().__init__(_CIC, _CIC_FLAGS)

    def _state(self, cells: dict[str, str], told: dict[str, int], seen: tuple[int, int]) -> int:
        if max(seen) >= 0 or cells["tcp_state"]:
            return super()._state(cells, told, seen)
        fin, syn, rst, rst_out, rst_in = (self._counts[cells[name]] for name in _CIC_FLAGS)
        answered = told["packets_in"]
        if min(fin, syn, rst, answered) < 0:
            return UNKNOWN
        if not syn:
            return STATES["OTH"]
        if not answered:
            return STATES["RSTOS0" if rst else "S0"]
        silent = told["payload_out"] == told["payload_in"] == 0
        if rst and silent and rst_in in (answered, UNKNOWN) and rst >= answered:
            return STATES["REJ"]
        if syn < 2:
            return UNKNOWN
        if rst:
            return STATES["RSTR"] if rst_in > 0 else STATES["RSTO"] if rst_out > 0 else UNKNOWN
        return STATES["SF"] if fin >= 2 else STATES["S1"] if not fin else UNKNOWN


def _called(mapping: Mapping, field: str) -> tuple[str, ...]:
    """Return the names of the column that is mapped to a field, none if none is."""
    return mapping.columns[field].names if field in mapping.columns else ()


def _payload(told: dict[str, int], way: str, version: int, number: int, flags: int) -> int:
    packets, seen = told[f"packets_{way}"], told[f"bytes_{way}"]
    if number == _TCP and packets >= 0 and carries_nothing(flags, packets):
        return 0
    return payload_of(seen, packets, version, number)


def nanoseconds_of(text: str, unit: str) -> int:
    """Return a number of `unit` in nanoseconds, exactly.

    Raises
    ------
    ValueError : it is no number, negative, or out of range.

    >>> nanoseconds_of("1.5", "ms"), nanoseconds_of("1.0E3", "s")
    (1500000, 1000000000000)
    """
    if not text.isascii() or len(text) > 40 or "_" in text:
        raise ValueError(text)
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not value.is_finite() or value < 0 or (value and value.adjusted() > 18):
        raise ValueError(text)
    ns = int((value * UNITS[unit]).to_integral_value())
    if ns > LATEST_NS:
        raise ValueError(text)
    return ns


@lru_cache(maxsize=1 << 12)
def moment(text: str, unit: str, zone_s: int = 0) -> int:
    """Return a time in nanoseconds since the epoch.

    Parameters
    ----------
    unit : one of `UNITS`, ``iso``, or formats of `datetime.strptime`, apart by ``|``, beside which ISO dates
        are read as well.
    zone_s : seconds ahead of UTC, for dates that name no zone.

    Raises
    ------
    ValueError : it is no such time, or out of range.

    >>> moment("07/04/2017 03:30:00 PM", "%d/%m/%Y %I:%M:%S %p") == moment("2017-04-07 15:30:00", "iso")
    True
    """
    if unit in UNITS:
        return nanoseconds_of(text, unit)
    if len(text) > 64:
        raise ValueError(text)
    try:
        ns = stamp(text)
        zoned = text[-1] == "Z" or text[-6:-5] in ("+", "-") or text[-5:-4] in ("+", "-")
    except ValueError:
        ns, zoned = _formatted(text, unit)
    if not zoned:
        ns -= zone_s * 1_000_000_000
    if not 0 <= ns <= LATEST_NS:
        raise ValueError(text)
    return ns


def _formatted(text: str, formats: str) -> tuple[int, bool]:
    for form in formats.split("|"):
        if "%" not in form:
            continue
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            continue
        zoned = found.tzinfo is not None
        whole = found if zoned else found.replace(tzinfo=UTC)
        return round(
            whole.replace(microsecond=0).timestamp()
        ) * 1_000_000_000 + found.microsecond * 1000, zoned
    raise ValueError(text)
