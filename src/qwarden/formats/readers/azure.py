"""Azure's flow logs, JSON documents of flow tuples, to parts of flows.

Source: Microsoft's "Virtual network flow logs" and "Flow logging for network security groups", log format.
The tuples of a virtual network (``flowRecords``) and of a network security group, versions 1 and 2, are
read wherever an object lists them as ``flowTuples``; each tuple counts as a line. A tuple tells both
directions, since the one before of the same flow: it begins (B), continues (C), ends (E), or was denied (D).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson

from qwarden.formats.flows import UNKNOWN
from qwarden.formats.readers.batches import RawBatch
from qwarden.formats.readers.columns import Numbers, blame
from qwarden.formats.readers.fields import LATEST_NS, Malformed, address, wrong
from qwarden.formats.readers.log import LogStream
from qwarden.formats.readers.rows import OTHER, OneWay
from qwarden.formats.readers.sources import Source

_CHUNK: Final = 1 << 16
_MOST: Final = 1 << 22
"""Longest object that is kept; at some 90 bytes a tuple that is 46,000 of them."""
_TOKEN: Final = re.compile(rb'["{}\\\n]')
_WITH_PORTS: Final = (6, 17, 132)
_BAD: Final = b"!"
_PLAIN: Final = b"{"

_VNET: Final = (
    "time", "source", "destination", "source port", "destination port", "protocol", "direction", "state",
    "encryption", "packets sent", "bytes sent", "packets received", "bytes received",
)  # fmt: skip
_NSG: Final = (*_VNET[:7], "decision", "state", *_VNET[9:])
_PROTOCOLS: Final = {"T": 6, "U": 17}


class TupleReader:
    """Reads flow tuples, one comma separated text each."""

    unfinished = ""

    def __init__(self) -> None:
        self._counts = Numbers({"": UNKNOWN})

    def read(self, line: bytes) -> OneWay | str:
        """Return the part of a flow that a tuple tells, or what else stood in its place.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        if line == _PLAIN:
            return OTHER
        if line.startswith(_BAD):
            raise Malformed(line[1:].decode("utf-8", "replace"))
        cells = tuple(line.decode("utf-8", "replace").split(","))
        if len(cells) == 8:  # of a network security group, version 1: nothing is counted
            cells += ("", "", "", "", "")
        if len(cells) != len(_VNET):
            raise Malformed(f"the tuple has {len(cells)} fields; expected {len(_VNET)}")
        group = cells[7] in ("A", "D") and cells[8] in ("", "B", "C", "E")
        try:
            return self._record(cells, group)
        except ValueError:
            raise self._blame(cells, group) from None

    def _record(self, cells: tuple[str, ...], group: bool) -> OneWay:
        (
            moment, src_text, dst_text, src_port, dst_port, proto, direction, decision, stage, packets, seen,
            back, seen_back,
        ) = cells  # fmt: skip
        count = self._counts.__getitem__
        time_ns = count(moment) * (1_000_000_000 if group else 1_000_000)
        if not 0 <= time_ns <= LATEST_NS:
            raise wrong("time", moment, "seconds or milliseconds before the year 2116")
        src_hi, src_lo, version = address(src_text)
        dst_hi, dst_lo, other_version = address(dst_text)
        if version != other_version:
            raise Malformed("the addresses are of two IP versions")
        number = _PROTOCOLS[proto] if proto in _PROTOCOLS else count(proto)
        if number > 0xFF:
            raise wrong("protocol", number, "at most 255")
        if direction not in ("I", "O"):
            raise wrong("direction", direction, "I or O")
        if decision not in (("A", "D") if group else ("B", "C", "E", "D")):
            raise wrong("state", decision, "B, C, E or D")
        ports = (count(src_port), count(dst_port)) if number in _WITH_PORTS else (UNKNOWN, UNKNOWN)
        if max(ports) > 0xFFFF:
            raise wrong("a port", max(ports), "at most 65535")
        # What has just begun is not yet counted; its zeros say nothing.
        counts = [count(cell) for cell in (packets, seen, back, seen_back)]
        sent, sent_bytes, got, got_bytes = (UNKNOWN,) * 4 if "B" in (decision, stage) else counts
        return OneWay(
            time_ns, time_ns, (src_hi, src_lo, ports[0]), (dst_hi, dst_lo, ports[1]), version, number,
            sent, sent_bytes, UNKNOWN, got, got_bytes,
            rejected=decision == "D", begun=True, observer=direction,
        )  # fmt: skip

    def _blame(self, cells: tuple[str, ...], group: bool) -> Malformed:
        whole, any_text, place = (
            (self._counts.__getitem__, "a whole number"),
            (str, "a text"),
            (address, "an address"),
        )
        proto = (lambda text: text in _PROTOCOLS or self._counts[text], "T, U or a number")
        parsers = (whole, place, place, whole, whole, proto, any_text, any_text, any_text, *(whole,) * 4)
        return blame(_NSG if group else _VNET, cells, parsers)


class AzureStream(LogStream):
    """Reads one document, or many one after the other; of JSON only objects without objects in them count."""

    def __iter__(self) -> Iterator[RawBatch]:
        """Yield batches to the end of the log."""
        read = 0
        for at, lines in _tuples(self._source):
            for line in lines:
                self._one(at, line)
                yield from self._full()
            if at - read > 1 << 20:  # a sign of life
                read = at
                yield self._batch()
        yield self._batch()
        yield from self._end()


def _tuples(source: Source) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the position of each innermost object, and its flow tuples; `_PLAIN` for one that has none."""
    for at, text in _innermost(source):
        if text is None:
            yield (
                at,
                [_BAD + f"the object is longer than {_MOST:,} bytes, or the document is cut off".encode()],
            )
            continue
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield at, [_BAD + f"it is no JSON: {str(error)[:80]}".encode()]
            continue
        tuples = record.get("flowTuples") if isinstance(record, dict) else None
        if tuples is None:
            yield at, [_PLAIN]
        elif not isinstance(tuples, list):
            yield at, [_BAD + b"flowTuples is no list"]
        else:
            yield at, [
                line.encode("utf-8", "replace") if isinstance(line, str) and line[:1] not in "!{"
                else _BAD + b"a flow tuple is no text of fields"
                for line in tuples
            ]  # fmt: skip


def _innermost(source: Source) -> Iterator[tuple[int, bytes | None]]:
    """Yield objects of a JSON text that hold no other, with their position; None of one that is too long."""
    view = memoryview(bytearray(_CHUNK))
    data = bytearray()  # from the opening brace on, or what has just been read
    base = 0  # position of its first byte
    begin = -1  # where in it an object began that may be an innermost one
    place, depth, quoted, escaped = 0, 0, False, -1
    while count := source.readinto(view):
        data += view[:count]
        for token in _TOKEN.finditer(data, place):
            at, char = token.start(), data[token.start()]
            if at == escaped:
                continue
            if char == 0x5C:  # a backslash takes what follows
                escaped = at + 1 if quoted else -1
            elif char == 0x22:
                quoted = not quoted
            elif char == 0x0A:  # no text goes on in the next line: a quote was missing
                quoted = False
            elif not quoted and char == 0x7B:
                begin, depth = at, depth + 1
            elif not quoted:
                depth = max(depth - 1, 0)
                if begin >= 0:
                    yield base + begin, bytes(data[begin : at + 1])
                begin = -1
        if begin >= 0 and len(data) - begin > _MOST:
            yield base + begin, None
            begin = -1
        keep = begin if begin >= 0 else len(data)
        place = len(data) - keep
        escaped = escaped - keep if escaped >= len(data) else -1
        base += keep
        del data[:keep]
        begin = 0 if begin >= 0 else -1
    if depth or quoted:
        yield base, None
