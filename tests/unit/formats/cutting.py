"""Packets cut in this process, for the tests."""

from __future__ import annotations

from qwarden.formats.accounting import SourceReport
from qwarden.formats.flows import Flows
from qwarden.formats.readers.cut import CutStream, PacketFilter
from qwarden.formats.readers.recognise import recognise
from qwarden.formats.wanted import wanted_packets

from . import craft

Cut = tuple[int, int, bytes, int]
"""Nanoseconds, link type, captured bytes, length on the wire: as `reference_meter.Record`."""


def cut(data: bytes, flows: Flows, piece: int = 1 << 30) -> tuple[list[Cut], SourceReport]:
    """The packets of `flows` in a capture, and the report."""
    wanted = PacketFilter(wanted_packets(flows), 60 * 10**9)
    stream = CutStream(recognise(craft.Bytes(data, piece)), wanted, "capture")
    found: list[Cut] = []
    for batch in stream:
        at = 0
        for time, link, length, wire, _ in batch.cuts.tolist():
            found.append((time, link, batch.data[at : at + length].tobytes(), wire))
            at += length
        assert at == batch.data.size
    return found, stream.report
