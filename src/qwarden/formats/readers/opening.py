"""From a source's bytes to the stream that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from qwarden.formats.accounting import END_OF_TIME, SourceReport
from qwarden.formats.flows import FLOW
from qwarden.formats.kinds import (
    AZURE,
    EVE,
    NFDUMP,
    ZEEK,
    ZEEK_ALERTS,
    ZEEK_DHCP,
    ZEEK_TRANSACTIONS,
    other_log,
)
from qwarden.formats.listeners.netflow.stream import ExportStream, is_export
from qwarden.formats.mapping import Mapping
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers.argus import ArgusReader
from qwarden.formats.readers.azure import AzureStream, TupleReader
from qwarden.formats.readers.batches import RawBatch, Stream
from qwarden.formats.readers.capture import CaptureStream
from qwarden.formats.readers.eve import EveReader
from qwarden.formats.readers.log import LineReader, LogStream
from qwarden.formats.readers.mapped import CicReader, MappedReader, netflow_reader
from qwarden.formats.readers.nfdump import NfdumpReader
from qwarden.formats.readers.pairing import Pairing
from qwarden.formats.readers.pcap import HEADER as PCAP_HEADER
from qwarden.formats.readers.recognise import Recognised, recognise
from qwarden.formats.readers.sources import Replay, Source, read_fully
from qwarden.formats.readers.vpc import VpcReader
from qwarden.formats.readers.zeek import ZeekReader
from qwarden.formats.readers.zeek_alerts import ZeekAlertReader
from qwarden.formats.readers.zeek_dhcp import ZeekDhcpReader
from qwarden.formats.readers.zeek_transactions import ZeekTransactionReader
from qwarden.formats.tables import ARGUS, CIC, NETFLOW_CSV, NFDUMP_CSV, REFUSED, TABLES, VPC

_EXPECTED: Final = (
    "expected a pcap or pcapng capture, a Zeek conn.log, a Suricata EVE log, flows of Argus, nfdump, AWS or "
    "Azure, or a gzip of one"
)

_LINES: Final[dict[str, Callable[[], LineReader]]] = {
    ZEEK: ZeekReader, EVE: EveReader, ARGUS: ArgusReader, NETFLOW_CSV: netflow_reader, CIC: CicReader,
}  # fmt: skip


_PARTS: Final[dict[str, Callable[[], LineReader]]] = {NFDUMP_CSV: NfdumpReader, VPC: VpcReader}
"""Formats whose lines are parts of flows, to be paired."""


def open_stream(
    source: Source,
    settings: MeterSettings,
    name: str = "",
    *,
    mapping: Mapping | None = None,
    converter: str = "",
    complaints: Callable[[], bytes] | None = None,
) -> Stream:
    """Return the reader of `source`, chosen by content.

    Parameters
    ----------
    settings : the flow meter's; of logs only those whose lines are parts of flows need it.
    name : what the report calls the source.
    mapping : of the columns of a table that is of no other format.
    converter : the program that turns the source into text, if it is not text itself.
    complaints : the program does so: `source` is what it says, and this returns what went wrong. Without,
        it is not installed.
    """
    if complaints is not None:
        found = Recognised(source, NFDUMP, False, b"")
        return LogStream(found, NfdumpReader(True, complaints), name, Pairing(settings))
    found = recognise(source)
    if found.kind == "pcap":
        header = memoryview(bytearray(PCAP_HEADER))
        header = header[: read_fully(found.source, header)]
        found = replace(found, source=Replay(bytes(header), found.source))
        if is_export(bytes(header)):
            return ExportStream(found.source, settings, name, packed=found.packed)
    if found.kind in ("pcap", "pcapng"):
        return CaptureStream(found, settings, name)
    if mapping is not None and found.head and (not found.kind or found.kind in (*TABLES, *REFUSED)):
        found = replace(found, kind="mapped")
        return LogStream(found, MappedReader(mapping), name, Pairing(settings))
    if found.kind in _LINES:
        return LogStream(found, _LINES[found.kind](), name)
    if found.kind == ZEEK_DHCP:
        return LogStream(found, ZeekDhcpReader("dhcp"), name)
    if found.kind in ZEEK_ALERTS:
        return LogStream(found, ZeekAlertReader(found.kind.removeprefix("zeek-")), name)
    if found.kind in ZEEK_TRANSACTIONS:
        return LogStream(found, ZeekTransactionReader(found.kind.removeprefix("zeek-")), name)
    if found.kind in _PARTS:
        return LogStream(found, _PARTS[found.kind](), name, Pairing(settings))
    if found.kind == AZURE:
        return AzureStream(found, TupleReader(), name, Pairing(_patient(settings)))
    return _Refused(found, name, bool(converter))


def _patient(settings: MeterSettings) -> MeterSettings:
    """Return the settings for records that come minutes apart: Azure tells of a running flow every five."""
    return replace(
        settings,
        idle_timeout_s=max(settings.idle_timeout_s, 600.0),
        active_timeout_s=max(settings.active_timeout_s, 3600.0),
    )


class _Refused:
    """The stream of a source that is not read: its report says why."""

    def __init__(self, found: Recognised, name: str, absent: bool) -> None:
        self.report = SourceReport(name)
        if found.source.fault:
            self.report.note(found.source.fault)
        elif found.kind == NFDUMP:
            why = "which is not installed" if absent else "from a regular file; this one is packed, or a pipe"
            self.report.note(
                f"byte 0: an nfdump file is read through nfdump (Debian: apt install nfdump), {why}"
            )
        elif found.kind:
            self.report.note(f"byte 0: {other_log(found.kind)}")
        else:
            what = "unpacks to nothing" if found.packed else "is empty (0 bytes)"
            if found.head:
                what = f"starts with bytes {found.head[:4].hex(' ')}, which is of no format that is read"
            self.report.note(f"byte 0: the file {what}; {_EXPECTED}")

    def __iter__(self) -> Iterator[RawBatch]:
        yield RawBatch(np.empty(0, FLOW), END_OF_TIME, 0)
