"""Received datagrams to batches of flows, every record accounted for.

It never raises on bad input: what is wrong with a datagram goes into the report, with its number and
its exporter, and the next is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from qwarden.formats.accounting import END_OF_TIME, MOST_PROBLEMS, SourceReport
from qwarden.formats.flows import FLOW
from qwarden.formats.listeners.netflow.messages import Header, read_message
from qwarden.formats.listeners.netflow.pdu import LARGEST, LINKTYPE_UPPER_PDU, Exporter, exporter_name, split
from qwarden.formats.listeners.netflow.records import flow_record, is_flow
from qwarden.formats.listeners.netflow.sessions import Moment, Sessions, State
from qwarden.formats.listeners.netflow.templates import Template, Templates, Waiting
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers.batches import RawBatch
from qwarden.formats.readers.fields import Malformed
from qwarden.formats.readers.pairing import Pairing
from qwarden.formats.readers.rows import Row, to_flows
from qwarden.formats.readers.sources import Source

FORMAT: Final = "netflow"
MOST_ROWS: Final = 4096
"""Flows a batch."""

_FILE_HEADER: Final = 24
_CHUNK: Final = 1 << 18
_CLOCK_OFF_NS: Final = 300 * 1_000_000_000
_TICK_NS: Final = {b"\xd4\xc3\xb2\xa1": 1000, b"\xa1\xb2\xc3\xd4": 1000,
                   b"\x4d\x3c\xb2\xa1": 1, b"\xa1\xb2\x3c\x4d": 1}  # fmt: skip


def is_export(header: bytes) -> bool:
    """Whether a pcap file header says that the records are received datagrams of flow exporters.

    Others may be in such a file; those of another dissector than NetFlow's are malformed.
    """
    order: Literal["little", "big"] = "little" if header[:1] in (b"\xd4", b"\x4d") else "big"
    return len(header) >= _FILE_HEADER and int.from_bytes(header[20:24], order) == LINKTYPE_UPPER_PDU


class ExportStream:
    """Reads one stream of datagrams.

    Parameters
    ----------
    source : bytes of a pcap whose link type is `LINKTYPE_UPPER_PDU`, from the first.
    settings : time-outs by which records are joined to flows.
    name : what the report calls it.
    packed : it was a gzip.

    Iterating yields batches as datagrams come. Exporters promise no order: the watermark is 0 until
    everything has come.
    """

    def __init__(
        self, source: Source, settings: MeterSettings, name: str = "", *, packed: bool = False
    ) -> None:
        self.report = SourceReport(name, FORMAT + "+gzip" * packed)
        self._source = source
        self._pairing = Pairing(settings, settings.idle_timeout_s)
        self._last = (0, 0)  # when the last flow ended, and when it was received
        self._templates, self._sessions = Templates(), Sessions()
        self._rows: list[Row] = []
        self._now_ns = 0
        self._exporter: Exporter = (b"", 0)
        self._header: Header | None = None
        self._state = State()
        self._number = 0  # of the datagram being read
        self._options = 0  # records of options in it
        self._noted = {"templates": False, "sessions": False}

    def __iter__(self) -> Iterator[RawBatch]:
        """Yield batches to the end of the stream."""
        for datagrams in self._datagrams():
            for received_ns, packet in datagrams:
                self._take(received_ns, packet)
                while len(self._rows) >= MOST_ROWS:
                    yield self._batch()
            yield self._batch()
        self._templates.end()
        self._count_given_up()
        if self._source.fault:
            self.report.note(self._source.fault)
        for row in self._pairing.rest():
            self._rows.append(row)
            if len(self._rows) == MOST_ROWS:
                yield self._batch()
        yield self._batch()
        yield RawBatch(np.empty(0, FLOW), END_OF_TIME, 0)

    def _batch(self) -> RawBatch:
        rows, self._rows = self._rows[:MOST_ROWS], self._rows[MOST_ROWS:]
        flows = to_flows(rows, self.report.flows_read)
        self.report.flows_read += flows.size
        self.report.flows_evicted = self._pairing.evicted
        return RawBatch(flows, 0, 0)

    # Framing

    def _datagrams(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield records as they come: time of receipt and content."""
        view = memoryview(bytearray(_CHUNK))
        rest, lost = b"", False
        while len(rest) < _FILE_HEADER:
            count = self._source.readinto(view)
            if count == 0:
                self.report.note(f"byte {len(rest)}: the file ends within its header")
                return
            rest += view[:count]
        tick = _TICK_NS[rest[:4]]
        record = struct.Struct("<IIII" if rest[:1] in (b"\xd4", b"\x4d") else ">IIII")
        rest, base = rest[_FILE_HEADER:], _FILE_HEADER
        while not lost:
            at, found = 0, []
            while len(rest) - at >= record.size:
                seconds, ticks, size, _ = record.unpack_from(rest, at)
                if size > LARGEST:
                    self._broken(f"byte {base + at}: a record of {size} bytes; expected at most {LARGEST}")
                    lost = True
                    break
                if len(rest) - at < record.size + size:
                    break
                start = at + record.size
                found.append((seconds * 1_000_000_000 + ticks * tick, rest[start : start + size]))
                at = start + size
            rest, base = rest[at:], base + at
            yield found
            if not lost:
                count = self._source.readinto(view)
                if count == 0:
                    break
                rest += view[:count]
        if rest and not lost:
            self._broken(f"byte {base}: cut by the end of the file")
        self.report.complete = not (lost or self._source.fault)

    def _broken(self, problem: str) -> None:
        counts = self.report.records
        counts.datagrams += 1
        counts.read += 1
        counts.malformed += 1
        self.report.note(f"datagram {counts.datagrams}, {problem}")

    # Datagrams

    def _take(self, received_ns: int, packet: bytes) -> None:
        self._now_ns = max(self._now_ns, received_ns)
        self._templates.expire(self._now_ns)
        self._count_given_up()
        if not packet:  # a heartbeat: time passes, though nobody says so
            ended_ns, heard_ns = self._last
            if received_ns > heard_ns > 0:
                self._rows += self._pairing.until(ended_ns + received_ns - heard_ns)
            return
        counts = self.report.records
        counts.datagrams += 1
        self._number = counts.datagrams
        self._exporter = (b"", 0)
        self._header = None
        try:
            self._exporter, message = split(packet)
            read_message(self._exporter, message, received_ns, self)
        except Malformed as problem:
            self.malformed(str(problem))
        self._note_evictions()

    def header(self, header: Header) -> None:
        """Take a message's header."""
        self._header, self._options = header, 0
        state = self._state = self._sessions.state(header.session)
        if header.sampling > 1:
            self._sampled(state, header.sampling)
        ahead_s = (header.moment.export_ns - header.moment.received_ns) / 1e9
        if abs(ahead_s) * 1e9 > _CLOCK_OFF_NS and not state.clock_told:
            state.clock_told = True
            self._note(f"its clock differs from ours by {ahead_s:+.0f} s; flows have its time")

    def template(self, number: int, template: Template | None) -> None:
        """Take a template."""
        self._count("templates")
        if template is None:
            return  # over UDP a withdrawal must be ignored (RFC 7011, 8.4): anyone could forge it
        assert self._header is not None
        for waiting in self._templates.put((self._header.session, number), template, self._now_ns):
            self._records(template, memoryview(waiting.data), waiting.moment, waiting.datagram)

    def data(self, number: int, data: memoryview, template: Template | None = None) -> int:
        """Take a set of data records."""
        assert self._header is not None
        key = (self._header.session, number)
        template = template or self._templates.get(key, self._now_ns)
        if template is None:
            self._templates.wait(Waiting(key, bytes(data), self._header.moment, self._number))
            self._count_given_up()
            return -1
        return self._records(template, data, self._header.moment, self._number)

    def malformed(self, why: str) -> None:
        """Count something that cannot be parsed, and note why."""
        self._count("malformed")
        self._note(why)

    def end(self, records: int) -> None:
        """Follow the sequence numbers."""
        assert self._header is not None
        session, loss, counts = self._header.session, self._state.loss, self.report.records
        before = loss.of(session)
        loss.take(session, self._header.sequence, records, records - self._options if records >= 0 else -1)
        now = loss.of(session)
        counts.lost += now[0] - before[0]
        counts.lost_datagrams += now[1] - before[1]

    # Records

    def _records(self, template: Template, data: memoryview, moment: Moment, number: int) -> int:
        """Take the records of a set; return how many there are."""
        if not template.options and not template.tells_flows and template.count(data) >= 0:
            self._count("other", template.count(data))
            return template.count(data)
        total = 0
        try:
            for values in template.records(data):
                total += 1
                if template.options:
                    self._option(values)
                elif not template.tells_flows or not is_flow(values):
                    self._count("other")
                else:
                    self._flow(values, moment, number)
        except ValueError as error:
            self._count("malformed")
            self._note(str(error), number)
            return -1
        return total

    def _flow(self, values: dict[str, int | bytes], moment: Moment, number: int) -> None:
        try:
            found = flow_record(values, moment, self._state)
        except Malformed as problem:
            self._count("malformed")
            self._note(str(problem), number)
            return
        self._count("flows")
        if self._state.sampling > 1 or _sampling(values) > 1:
            self.report.records.sampled += 1
            self._sampled(self._state, _sampling(values))
        self._last = (found.end, self._now_ns)
        self._rows += self._pairing.add(found)

    def _option(self, values: dict[str, int | bytes]) -> None:
        """Take what an exporter says of itself: its sampling, the start of its clock."""
        self._count("options")
        self._options += 1
        init_ms = values.get("systemInitTimeMilliseconds")
        if isinstance(init_ms, int):
            self._state.init_ms = init_ms
        self._sampled(self._state, _sampling(values))

    def _sampled(self, state: State, interval: int) -> None:
        if interval > 0:
            state.sampling = interval
        if state.sampling > 1 and not state.sampling_told:
            state.sampling_told = True
            self._note(f"it looks at one packet in {state.sampling}; counts are as exported, not scaled up")

    # Accounting

    def _count(self, name: str, amount: int = 1) -> None:
        counts = self.report.records
        counts.read += amount
        setattr(counts, name, getattr(counts, name) + amount)

    def _count_given_up(self) -> None:
        """Count sets whose template never came; how many records were in one, nobody knows."""
        new = self._templates.given_up - self.report.records.undecodable
        if new:
            self._count("undecodable", new)
            if self.report.records.undecodable == new:
                self.report.note("data came without their template; counted by sets as undecodable")

    def _note_evictions(self) -> None:
        for what, evicted in (("templates", self._templates.evicted), ("sessions", self._sessions.evicted)):
            if evicted and not self._noted[what]:
                self._noted[what] = True
                self.report.note(
                    f"datagram {self._number}: too many {what}; those unused longest are forgotten"
                )

    def _note(self, problem: str, number: int = 0) -> None:
        if len(self.report.problems) < MOST_PROBLEMS:
            name = exporter_name(self._exporter)
            self.report.note(f"datagram {number or self._number}, {name}: {problem}")
        else:
            self.report.problems_total += 1


def _sampling(values: dict[str, int | bytes]) -> int:
    """Return the interval of sampling that a record tells, 0 if none."""
    for name in ("samplingInterval", "samplerRandomInterval"):
        told = values.get(name)
        if isinstance(told, int) and told > 0:
            return told
    taken, skipped = values.get("samplingPacketInterval"), values.get("samplingPacketSpace")
    if isinstance(taken, int) and isinstance(skipped, int) and taken > 0:
        return (taken + skipped) // taken
    return 0
