"""Messages of NetFlow v5 and v9 and of IPFIX: headers, sets, and what is in them.

Nothing a message says is believed: every length is compared with what is there. A set or record that
breaks is counted, named, and the rest of its message is read as far as its boundaries are known.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Protocol

from qwarden.formats.listeners.netflow.elements import VARIABLE
from qwarden.formats.listeners.netflow.pdu import Exporter
from qwarden.formats.listeners.netflow.sessions import Moment, Session
from qwarden.formats.listeners.netflow.templates import Field, Template
from qwarden.formats.readers.fields import Malformed

V5, V9, IPFIX = 5, 9, 10
MOST_TEMPLATE_FIELDS: Final = 1024

_V5_HEADER: Final = struct.Struct(">HHIIIIHH")
_V9_HEADER: Final = struct.Struct(">HHIIII")
_IPFIX_HEADER: Final = struct.Struct(">HHIII")
_SET: Final = struct.Struct(">HH")
_FIRST_DATA_SET: Final = 256
_TEMPLATE_SETS: Final = {V9: (0, 1), IPFIX: (2, 3)}
"""Set ids of templates and options templates (RFC 3954, 5.2 and 6.1; RFC 7011, 3.3.2)."""

# The record of version 5 in terms of elements; 0 is padding (Cisco, NetFlow Export Datagram Format, B-4).
_V5_RECORD: Final = (
    (8, 4), (12, 4), (15, 4), (10, 2), (14, 2), (2, 4), (1, 4), (22, 4), (21, 4), (7, 2), (11, 2),
    (0, 1), (6, 1), (4, 1), (5, 1), (16, 2), (17, 2), (9, 1), (13, 1), (0, 2),
)  # fmt: skip
V5_TEMPLATE: Final = Template(tuple(Field(number, length) for number, length in _V5_RECORD))


class Header(NamedTuple):
    """What a message's header says.

    Attributes
    ----------
    session : whose it is.
    moment : when it was sent.
    sequence : its number.
    sampling : version 5: one packet in so many was looked at, 0 if all were.
    """

    session: Session
    moment: Moment
    sequence: int
    sampling: int = 0


class Taker(Protocol):
    """Takes what a message holds, in its order."""

    def header(self, header: Header) -> None:
        """Take the header."""

    def template(self, number: int, template: Template | None) -> None:
        """Take a template; None withdraws it."""

    def data(self, number: int, data: memoryview, template: Template | None = None) -> int:
        """Take a set of data records and return how many there are, -1 if its template is not known."""

    def malformed(self, why: str) -> None:
        """Take note that something cannot be parsed."""

    def end(self, records: int) -> None:
        """Take note of the message's end, and of how many data records it had (-1: not all known)."""


def read_message(exporter: Exporter, message: bytes, received_ns: int, taker: Taker) -> None:
    """Read one datagram.

    Parameters
    ----------
    exporter : who sent it.
    received_ns : when it was received, nanoseconds since the epoch.
    taker : is told what it holds.

    Raises
    ------
    Malformed : it is no message of a version that is read; `taker` was told nothing.
    """
    version = int.from_bytes(message[:2], "big") if len(message) > 1 else -1
    read = {V5: _read_v5, V9: _read_v9, IPFIX: _read_ipfix}.get(version)
    if read is None:
        what = f"is of version {version}" if version >= 0 else f"has {len(message)} bytes"
        raise Malformed(f"the datagram {what}; expected NetFlow 5 or 9, or IPFIX (10)")
    read(exporter, message, received_ns, taker)


def _unpack(header: struct.Struct, message: bytes) -> tuple[int, ...]:
    if len(message) < header.size:
        raise Malformed(f"the datagram has {len(message)} bytes; its header alone has {header.size}")
    return header.unpack_from(message)


def _read_v5(exporter: Exporter, message: bytes, received_ns: int, taker: Taker) -> None:
    _, count, uptime, seconds, nanos, sequence, engine, sampling = _unpack(_V5_HEADER, message)
    if nanos >= 1_000_000_000:
        raise Malformed(f"unix_nsecs is {nanos}; expected less than 1,000,000,000")
    moment = Moment(seconds * 1_000_000_000 + nanos, uptime, received_ns)
    # The two upper bits are the mode of sampling, which exporters often leave 0.
    taker.header(Header(Session(exporter, V5, engine), moment, sequence, sampling & 0x3FFF))
    body = memoryview(message)[_V5_HEADER.size :]
    size = V5_TEMPLATE.least
    whole = min(count, len(body) // size)
    if whole:
        taker.data(0, body[: whole * size], V5_TEMPLATE)
    if whole < count:
        taker.malformed(f"the datagram ends within record {whole + 1} of {count}")
    elif len(body) > whole * size:
        taker.malformed(f"{len(body) - whole * size} bytes follow the last of {count} records")
    taker.end(count)


def _read_v9(exporter: Exporter, message: bytes, received_ns: int, taker: Taker) -> None:
    _, _count, uptime, seconds, sequence, source = _unpack(_V9_HEADER, message)
    moment = Moment(seconds * 1_000_000_000, uptime, received_ns)
    taker.header(Header(Session(exporter, V9, source), moment, sequence))
    taker.end(_read_sets(memoryview(message)[_V9_HEADER.size :], V9, taker))


def _read_ipfix(exporter: Exporter, message: bytes, received_ns: int, taker: Taker) -> None:
    _, length, seconds, sequence, domain = _unpack(_IPFIX_HEADER, message)
    if not _IPFIX_HEADER.size <= length <= len(message):
        raise Malformed(f"the message's length is {length}; the datagram has {len(message)} bytes")
    moment = Moment(seconds * 1_000_000_000, -1, received_ns)
    taker.header(Header(Session(exporter, IPFIX, domain), moment, sequence))
    records = _read_sets(memoryview(message)[_IPFIX_HEADER.size : length], IPFIX, taker)
    if length < len(message):
        taker.malformed(f"{len(message) - length} bytes follow the message")
    taker.end(records)


def _read_sets(body: memoryview, version: int, taker: Taker) -> int:
    """Read the sets of a message; return how many data records there were, -1 if some are not known."""
    templates, options = _TEMPLATE_SETS[version]
    at, records, all_known = 0, 0, True
    while at < len(body):
        if len(body) - at < _SET.size:
            if any(body[at:]):
                taker.malformed("the message ends within a set's header")
            break
        number, length = _SET.unpack_from(body, at)
        if not _SET.size <= length <= len(body) - at:
            taker.malformed(f"set {number} has length {length}; expected 4 to {len(body) - at}")
            all_known = False
            break
        content = body[at + _SET.size : at + length]
        at += length
        if number == templates:
            _read_templates(content, version, taker)
        elif number == options:
            (_read_options_v9 if version == V9 else _read_options_ipfix)(content, taker)
        elif number >= _FIRST_DATA_SET:
            found = taker.data(number, content)
            all_known = all_known and found >= 0
            records += max(found, 0)
        else:
            taker.malformed(f"set id {number} is reserved")
    return records if all_known else -1


# Templates


class _Specifiers:
    """Reads template records from a set."""

    def __init__(self, content: memoryview, enterprises: bool) -> None:
        self._content, self._enterprises, self._at = content, enterprises, 0

    @property
    def more(self) -> bool:
        """Whether another template may follow; padding is zeros."""
        rest = self._content[self._at :]
        return len(rest) >= 4 and any(rest)

    def short(self) -> int:
        """Return the next 16 bits."""
        value = self._content[self._at : self._at + 2]
        if len(value) < 2:
            raise Malformed("a template ends before its fields do")
        self._at += 2
        return int.from_bytes(value, "big")

    def fields(self, count: int) -> tuple[Field, ...]:
        """Return the next `count` fields."""
        if count > MOST_TEMPLATE_FIELDS:
            raise Malformed(f"a template has {count} fields; expected at most {MOST_TEMPLATE_FIELDS}")
        return tuple(self._field() for _ in range(count))

    def _field(self) -> Field:
        number, length = self.short(), self.short()
        if self._enterprises and number & 0x8000:
            return Field(number & 0x7FFF, length, self.short() << 16 | self.short())
        return Field(number, length)


def _put(taker: Taker, number: int, fields: tuple[Field, ...], options: bool = False) -> None:
    if number < _FIRST_DATA_SET:
        raise Malformed(f"a template has number {number}; expected 256 or more")
    try:
        taker.template(number, Template(fields, options))
    except ValueError as error:
        raise Malformed(f"template {number}: {error}") from None


def _read_templates(content: memoryview, version: int, taker: Taker) -> None:
    specifiers = _Specifiers(content, enterprises=version == IPFIX)
    try:
        while specifiers.more:
            number, count = specifiers.short(), specifiers.short()
            if count == 0 and version == IPFIX:
                taker.template(number, None)
                continue
            fields = specifiers.fields(count)
            if version == V9 and any(field.length == VARIABLE for field in fields):
                raise Malformed(f"template {number} has a field of variable length, which version 9 has not")
            _put(taker, number, fields)
    except Malformed as problem:
        taker.malformed(str(problem))


def _read_options_v9(content: memoryview, taker: Taker) -> None:
    """Read options templates of version 9, whose lengths are in bytes (RFC 3954, 6.1)."""
    specifiers = _Specifiers(content, enterprises=False)
    try:
        while specifiers.more:
            number, scopes, options = specifiers.short(), specifiers.short(), specifiers.short()
            if scopes % 4 or options % 4:
                raise Malformed(
                    f"options template {number}: lengths {scopes} and {options} are no multiples of 4"
                )
            scope = tuple(Field(0, field.length) for field in specifiers.fields(scopes // 4))
            _put(taker, number, scope + specifiers.fields(options // 4), options=True)
    except Malformed as problem:
        taker.malformed(str(problem))


def _read_options_ipfix(content: memoryview, taker: Taker) -> None:
    """Read options templates of IPFIX (RFC 7011, 3.4.2.2)."""
    specifiers = _Specifiers(content, enterprises=True)
    try:
        while specifiers.more:
            number, count = specifiers.short(), specifiers.short()
            if count == 0:
                taker.template(number, None)
                continue
            scopes = specifiers.short()
            if not 0 < scopes <= count:
                raise Malformed(f"options template {number} has {scopes} scopes in {count} fields")
            _put(taker, number, specifiers.fields(count), options=True)
    except Malformed as problem:
        taker.malformed(str(problem))
