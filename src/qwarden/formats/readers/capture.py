"""A capture's bytes to flows: framing, header walker and meter in one loop over one buffer.

This runs inside the reading process (`qwarden.formats.sandbox.worker`). It never raises on bad input:
what is wrong goes into the report, with its place, and what could be read is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from qwarden.formats.accounting import END_OF_TIME, MOST_PROBLEMS, SourceReport
from qwarden.formats.flows import NOT_YET_FIRST
from qwarden.formats.meter.meter import EPOCH, ROOM, FlowMeter
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers import pcap, pcapng
from qwarden.formats.readers.batches import RawBatch
from qwarden.formats.readers.headers import walk
from qwarden.formats.readers.links import LINKS, unread_link
from qwarden.formats.readers.packets import (
    CHUNK,
    FIRST_MALFORMED,
    MALFORMED_TEXT,
    MAX_PACKET,
    NOT_IP,
    PACKET,
    PARSED,
    UNREAD_LINK,
    VERDICTS,
)
from qwarden.formats.readers.recognise import Recognised
from qwarden.formats.readers.sources import read_fully

BUFFER: Final = 4 << 20
"""Bytes read at once; longer than any record, so that a partial one always fits."""

_STOPPED: Final = {
    pcap.ABSURD: "the record's length is absurd; expected at most {limit} bytes",
    pcap.NOT_A_BLOCK: "the block's length is impossible; expected a multiple of 4, at least 12",
    pcap.BAD_TRAILER: "the block's length at its end differs from that at its start",
    pcap.BAD_ORDER: "a section's byte-order magic is unknown",
    pcap.BAD_MAJOR: "a section is of an unknown version; expected 1",
}


_Framing = Callable[[int, int, int], tuple[int, int, int]]


class CaptureStream:
    """Reads one capture.

    Parameters
    ----------
    found : its bytes, recognised as pcap or pcapng.
    settings : the flow meter's.
    name : what the report calls it.

    Iterating yields batches, an empty one now and then as a sign of life; `report` is complete when
    the iteration is.
    """

    def __init__(self, found: Recognised, settings: MeterSettings, name: str = "") -> None:
        self.report = SourceReport(name, found.format)
        self._source = found.source
        self._meter = FlowMeter(settings)
        self._buffer = np.empty(BUFFER, np.uint8)
        self._view = self._buffer.data
        self._packets = np.zeros(CHUNK, PACKET)
        self._base = 0  # position in the capture of the buffer's first byte
        self._section, self._interfaces = pcapng.fresh_section()
        self._unread_links: set[int] = set()
        self._lost = False

    def _batch(self, watermark_ns: int | None = None, epochs_ago: int = 0) -> RawBatch:
        """Return the flows that ended since the last batch; none is a sign of life."""
        flows = self._meter.collect()
        self.report.flows_read += int((flows["end_reason"] < NOT_YET_FIRST).sum())
        self.report.flows_evicted = self._meter.evicted
        if watermark_ns is None:
            watermark_ns = self._meter.watermark_ns
        return RawBatch(flows, watermark_ns, self._meter.epoch - epochs_ago)

    def __iter__(self) -> Iterator[RawBatch]:
        """Yield batches to the end of the capture."""
        framing = self._open()
        if framing is not None:
            yield from self._read(framing)
        if self._source.fault:
            self.report.note(self._source.fault)
        while not self._meter.flush():
            yield self._batch()
        yield self._batch(END_OF_TIME)
        self.report.complete = framing is not None and not self._source.fault and not self._lost

    # Opening

    def _open(self) -> _Framing | None:
        """Return the format's framing, or note what is wrong with the header."""
        if self.report.is_pcap:
            return self._open_pcap()
        section, interfaces = self._section, self._interfaces
        return lambda begin, end, base: pcapng.frame_pcapng(
            self._buffer, begin, end, base, section, interfaces, self._packets
        )

    def _open_pcap(self) -> _Framing | None:
        filled = read_fully(self._source, self._view[: pcap.HEADER])
        if filled < pcap.HEADER:
            self.report.note(f"byte {filled}: the file ends within its header; expected {pcap.HEADER} bytes")
            return None
        header = pcap.PcapHeader.parse(bytes(self._view[: pcap.HEADER]))
        self._base = pcap.HEADER
        if header.version[0] != 2:
            version = ".".join(map(str, header.version))
            self.report.note(f"byte 4: pcap version {version} is not read; expected 2.4")
            return None
        if header.link not in LINKS:
            self.report.note(f"byte 20: {unread_link(header.link)}")
            return None
        return lambda begin, end, base: pcap.frame_pcap(
            self._buffer, begin, end, base, header.big, header.tick_ns, header.link, self._packets
        )

    # Reading

    def _read(self, framing: _Framing) -> Iterator[RawBatch]:
        begin = end = 0
        while True:
            count = self._source.readinto(self._view[end:])
            end += count
            if count == 0:
                self._end_of_file(begin, end)
                return
            while True:
                begin, found, why = framing(begin, end, self._base)
                yield from self._digest(found)
                if why != pcap.FULL:
                    break
            if why != pcap.MORE:
                self._stopped(begin, why)
                return
            # What is left is less than a record: bring it to the front.
            self._buffer[: end - begin] = self._buffer[begin:end].copy()
            self._base += begin
            begin, end = 0, end - begin
            yield self._batch()

    def _digest(self, found: int) -> Iterator[RawBatch]:
        """Walk and meter the packets framed."""
        packets = self._packets[:found]
        walk(self._buffer, packets, found)
        self._count_packets(found)
        start = 0
        while start < found:
            start, why = self._meter.take(packets, start, found)
            if why == EPOCH:
                yield self._batch(END_OF_TIME, epochs_ago=1)
            elif why == ROOM:
                yield self._batch()

    # Accounting

    def _count_packets(self, found: int) -> None:
        counts = self.report.packets
        verdicts = self._packets["verdict"][:found]
        tally = np.bincount(verdicts, minlength=VERDICTS)
        metered = int(tally[PARSED])
        malformed = int(tally[FIRST_MALFORMED:].sum())
        if metered < found:
            self._note_packets(verdicts, counts.read)
        counts.read += found
        counts.metered += metered
        counts.malformed += malformed
        counts.other += int(tally[NOT_IP])
        counts.unread += int(tally[UNREAD_LINK])

    def _note_packets(self, verdicts: npt.NDArray[np.int64], before: int) -> None:
        """Note what is wrong with the chunk's packets."""
        rows = np.flatnonzero(verdicts >= UNREAD_LINK)
        for row in rows:
            verdict = int(verdicts[row])
            if verdict == UNREAD_LINK:
                link = int(self._packets["link"][row])
                if link in self._unread_links:
                    continue
                self._unread_links.add(link)
                text = unread_link(link)
            else:
                text = MALFORMED_TEXT[verdict]
            if len(self.report.problems) >= MOST_PROBLEMS:
                self.report.problems_total += 1
            else:
                self.report.note(f"packet {before + row + 1}, byte {self._packets['at'][row]}: {text}")

    def _stopped(self, begin: int, why: int) -> None:
        """Note that the framing is lost; the record it is lost in is malformed."""
        self._lost = True
        is_pcap = self.report.is_pcap
        limit = MAX_PACKET if is_pcap else pcapng.MAX_BLOCK
        counts = self.report.packets
        place = f"byte {self._base + begin}"
        if is_pcap:
            counts.read += 1
            counts.malformed += 1
            place = f"packet {counts.read}, {place}"
        self.report.note(f"{place}: {_STOPPED[why].format(limit=limit)}; the rest is not read")

    def _end_of_file(self, begin: int, end: int) -> None:
        """Note a record or block that the end of the file cuts."""
        counts = self.report.packets
        place = f"byte {self._base + begin}"
        if not self.report.is_pcap:
            skip = int(self._section["skip"][0])
            if begin == end and not skip:
                return
            if not self._cut_block_is_packet(begin, end):
                self.report.note(f"{place}: the file ends within a block")
                return
        elif begin == end:
            return
        counts.read += 1
        counts.truncated += 1
        self.report.note(f"packet {counts.read}, {place}: cut by the end of the file")

    def _cut_block_is_packet(self, begin: int, end: int) -> bool:
        if end - begin < 4:
            return False
        # Not through the compiled reads: warming up runs those from compiled code only.
        order: Literal["big", "little"] = "big" if self._section["big"][0] else "little"
        kind = int.from_bytes(self._view[begin : begin + 4], order)
        return kind in (pcapng.ENHANCED_PACKET, pcapng.SIMPLE_PACKET, pcapng.OLD_PACKET)
