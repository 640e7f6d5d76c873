"""The room's door for packets: those of given flows, cut from the capture the flows were read from.

As with flows, the parent opens the file and never looks into it: a locked-down process reads it, picks the
packets and hands them over (`readers.cut`, `sandbox.cutting`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qwarden.core.errors import UsageError
from qwarden.formats.captures import PATIENCE_S, SandboxedSource, open_source
from qwarden.formats.flows import Flows
from qwarden.formats.meter.settings import MeterSettings
from qwarden.formats.sandbox.cutting import CutMessage, split_body
from qwarden.formats.sandbox.host import Reader, host
from qwarden.formats.sandbox.wire import Distrust
from qwarden.formats.wanted import MOST_WANTED, wanted_packets

_FIRST_PATIENCE_S = 300.0
"""Before the first word the filter's code is compiled, once on a machine."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet as it was captured.

    Attributes
    ----------
    time_ns : nanoseconds since the epoch.
    link : link type (https://www.tcpdump.org/linktypes.html).
    wire_length : bytes it had on the wire, as the capture says; more than `data` if it was cut short.
    data : what was captured of it.
    """

    time_ns: int
    link: int
    wire_length: int
    data: memoryview


class CutReader(SandboxedSource):
    """Packets that are cut from a capture; iterate it once. Made by `open_cut`.

    Attributes
    ----------
    packets_cut : how many there were so far.
    """

    def __init__(self, path: str, reader: Reader, span: tuple[int, int], patience_s: float) -> None:
        super().__init__(path, reader, patience_s)
        self.packets_cut = 0
        self._span = span
        self._patient = max(patience_s, _FIRST_PATIENCE_S)

    def __iter__(self) -> Iterator[Packet]:
        """Yield the packets in the order of the capture.

        Raises
        ------
        UnreadableError : it is no capture, or not one packet could be read.
        InputError : the reading process died, hung or said something impossible.
        """
        last = False
        while not last:
            with self._listening():
                message, body = self._reader.hear_cut(self._path, self._patient)
                cuts, data = split_body(message, body, *self._span)
                self._check_order(message)
            self._patient = self._patience_s
            self._heard(message.report, message.cage)
            self.packets_cut = message.cut
            last = message.last
            at, view = 0, data.data
            for time_ns, link, length, wire_length, _ in cuts.tolist():
                yield Packet(time_ns, link, wire_length, view[at : at + length])
                at += length
        self._finish()

    def _check_order(self, message: CutMessage) -> None:
        if message.report.packets.read < self.report.packets.read:
            raise Distrust("counts that go back")
        if message.cut != self.packets_cut + message.packets:
            raise Distrust("packet counts that do not add up")
        if message.report.is_log:
            raise Distrust("packets of a log")


def open_cut(
    path: str | Path, flows: Flows, settings: MeterSettings | None = None, *, patience_s: float = PATIENCE_S
) -> CutReader:
    """Open a capture and start the process that cuts the packets of `flows` from it.

    Parameters
    ----------
    path : a pcap or pcapng capture, or a gzip of one.
    flows : at least one flow that was read from it.
    settings : of the meter that read them.
    patience_s : how long the process may say nothing before it counts as hung.

    Raises
    ------
    UnreadableError : it does not exist, is a directory, or may not be read.
    UsageError : there are too many flows.
    """
    wanted = wanted_packets(flows)
    if not 0 < wanted.size <= MOST_WANTED:
        raise UsageError(f"packets of {wanted.size:,} flows; expected 1 to {MOST_WANTED:,}")
    span = int(wanted["start_ns"].min()), int(wanted["end_ns"].max())
    with open_source(path) as fd, tempfile.TemporaryFile() as rows:
        rows.write(wanted.tobytes())
        rows.flush()
        reader = host().submit(fd, settings or MeterSettings(), wanted=rows.fileno())
    return CutReader(str(path), reader, span, patience_s)
