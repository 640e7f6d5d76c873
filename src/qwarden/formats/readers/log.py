"""A log's lines to flows, alerts and transactions.

This runs inside the reading process (`qwarden.formats.sandbox.worker`). It never raises on bad input:
what is wrong with a line goes into the report, with its place, and the next line is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np

from qwarden.formats.accounting import END_OF_TIME, MOST_PROBLEMS, SourceReport
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import FLOW
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.readers.batches import RawBatch
from qwarden.formats.readers.fields import Malformed
from qwarden.formats.readers.lines import MOST, Line, chunks_of_lines
from qwarden.formats.readers.pairing import Pairing
from qwarden.formats.readers.recognise import Recognised
from qwarden.formats.readers.rows import COMMENT, NamedRow, OneWay, Row, to_flows
from qwarden.formats.transactions import Transaction

MOST_ROWS: Final = 4096
"""Flows a batch."""
MOST_ALERTS: Final = 64
"""Alerts a batch, and transactions; they cross to the parent as text."""


class LineReader(Protocol):
    """Reads the lines of one format."""

    @property
    def unfinished(self) -> str:
        """When all lines are read, why they cannot have been all; empty if nothing says so."""

    def read(self, line: bytes) -> Row | NamedRow | OneWay | SignatureAlert | Transaction | str:
        """Return what a line holds: a flow, a part of one, an alert, a transaction, or `COMMENT` or `OTHER`.

        Raises
        ------
        Malformed : it cannot be parsed.
        """


class LogStream:
    """Reads one log.

    Parameters
    ----------
    found : its bytes, recognised.
    reader : of its lines.
    name : what the report calls it.
    pairing : joins what the reader returns as parts of flows.

    Iterating yields batches in the order of the log, an empty one now and then as a sign of life.
    Logs promise no order: the watermark is 0 until everything has come.
    """

    def __init__(
        self, found: Recognised, reader: LineReader, name: str = "", pairing: Pairing | None = None
    ) -> None:
        self.report = SourceReport(name, found.format)
        self._pairing = pairing or Pairing(MeterSettings())
        self._source = found.source
        self._reader = reader
        self._rows: list[Row] = []
        self._flow_ids: list[str] = []  # of the first rows; those that follow have none
        self._alerts: list[SignatureAlert] = []
        self._transactions: list[Transaction] = []

    def __iter__(self) -> Iterator[RawBatch]:
        """Yield batches to the end of the log."""
        for at, lines in chunks_of_lines(self._source):
            yield from self._take(at, lines)
            yield self._batch()
        yield from self._end()

    def _end(self) -> Iterator[RawBatch]:
        """Yield what is left, and say whether that is all."""
        yield from self._rest()
        faults = [fault for fault in (self._source.fault, self._reader.unfinished) if fault]
        for fault in faults:
            self.report.note(fault)
        self.report.complete = not faults
        yield RawBatch(np.empty(0, FLOW), END_OF_TIME, 0)

    def _rest(self) -> Iterator[RawBatch]:
        """Yield the flows that were held back for more of them to come."""
        for row in self._pairing.rest():
            self._rows.append(row)
            if len(self._rows) == MOST_ROWS:
                yield self._batch()
        yield self._batch()

    def _batch(self) -> RawBatch:
        flows = to_flows(self._rows[:MOST_ROWS], self.report.flows_read)
        alerts, transactions = tuple(self._alerts), tuple(self._transactions)
        names = self._flow_ids[:MOST_ROWS]
        flow_ids = (*names, *[""] * (flows.size - len(names))) if any(names) else ()
        self.report.flows_read += flows.size
        self.report.flows_evicted = self._pairing.evicted
        self._rows, self._alerts, self._transactions = self._rows[MOST_ROWS:], [], []
        self._flow_ids = self._flow_ids[MOST_ROWS:]
        return RawBatch(flows, 0, 0, alerts, flow_ids, transactions)

    def _take(self, at: int, lines: list[Line]) -> Iterator[RawBatch]:
        for line in lines:
            self._one(at, line)
            yield from self._full()
            at += 1 + (0 if line is None else len(line))

    def _full(self) -> Iterator[RawBatch]:
        """Yield batches as long as there is enough for a whole one."""
        while len(self._rows) >= MOST_ROWS or MOST_ALERTS in (len(self._alerts), len(self._transactions)):
            yield self._batch()

    def _one(self, at: int, line: Line) -> None:
        """Read a line, and count it as what it is."""
        counts = self.report.lines
        counts.read += 1
        try:
            if line is None or len(line) > MOST:
                raise Malformed(f"the line is longer than {MOST:,} bytes")
            found = self._reader.read(line)
        except Malformed as problem:
            counts.malformed += 1
            self._note(at, problem)
            return
        if isinstance(found, NamedRow):
            counts.flows += 1
            if len(self._flow_ids) < len(self._rows):
                self._flow_ids += [""] * (len(self._rows) - len(self._flow_ids))
            self._flow_ids.append(found.flow_id)
            self._rows.append(found.row)
        elif isinstance(found, tuple):
            counts.flows += 1
            self._rows.append(found)
        elif isinstance(found, OneWay):
            counts.flows += 1
            self._rows += self._pairing.add(found)
        elif isinstance(found, SignatureAlert):
            counts.alerts += 1
            self._alerts.append(found)
        elif isinstance(found, Transaction):
            counts.other += 1  # it is said of a flow that has its own line
            self._transactions.append(found)
        elif found is COMMENT:
            counts.comments += 1
        else:
            counts.other += 1

    def _note(self, at: int, problem: Malformed) -> None:
        if len(self.report.problems) < MOST_PROBLEMS:
            self.report.note(f"line {self.report.lines.read}, byte {at}: {problem}")
        else:
            self.report.problems_total += 1
