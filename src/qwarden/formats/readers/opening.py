"""From a source's bytes to the stream that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from qwarden.formats.accounting import END_OF_TIME, SourceReport
from qwarden.formats.flows import FLOW
from qwarden.formats.kinds import EVE, ZEEK, other_log
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers.batches import RawBatch, Stream
from qwarden.formats.readers.capture import CaptureStream
from qwarden.formats.readers.eve import EveReader
from qwarden.formats.readers.log import LogStream
from qwarden.formats.readers.recognise import Recognised, recognise
from qwarden.formats.readers.sources import Source
from qwarden.formats.readers.zeek import ZeekReader

_EXPECTED: Final = (
    "expected a pcap or pcapng capture, a Zeek conn.log or a Suricata EVE log, or a gzip of one"
)


def open_stream(source: Source, settings: MeterSettings, name: str = "") -> Stream:
    """Return the reader of `source`, chosen by content.

    Parameters
    ----------
    settings : the flow meter's; logs need none.
    name : what the report calls the source.
    """
    found = recognise(source)
    if found.kind in ("pcap", "pcapng"):
        return CaptureStream(found, settings, name)
    if found.kind == ZEEK:
        return LogStream(found, ZeekReader(), name)
    if found.kind == EVE:
        return LogStream(found, EveReader(), name)
    return _Refused(found, name)


class _Refused:
    """The stream of a source that is not read: its report says why."""

    def __init__(self, found: Recognised, name: str) -> None:
        self.report = SourceReport(name)
        if found.source.fault:
            self.report.note(found.source.fault)
        elif found.kind:
            self.report.note(f"byte 0: {other_log(found.kind)}")
        else:
            what = "unpacks to nothing" if found.packed else "is empty (0 bytes)"
            if found.head:
                what = f"starts with bytes {found.head[:4].hex(' ')}, which is of no format that is read"
            self.report.note(f"byte 0: the file {what}; {_EXPECTED}")

    def __iter__(self) -> Iterator[RawBatch]:
        yield RawBatch(np.empty(0, FLOW), END_OF_TIME, 0)
