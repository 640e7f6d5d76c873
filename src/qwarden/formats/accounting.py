"""What was read from a source: the counts on the front page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MOST_PROBLEMS: Final = 20
"""Problems a report keeps."""

END_OF_TIME: Final = (1 << 63) - 1
"""Watermark of a batch after which no flow of its epoch comes."""


@dataclass(slots=True)
class PacketCounts:
    """Packet records of a capture; ``read = metered + other + unread + malformed + truncated``.

    Attributes
    ----------
    read : every record, whole or not.
    metered : those that are part of a flow.
    other : well-formed, but no IP and no ARP (LLDP, spanning tree).
    unread : of an interface whose link type is not read.
    malformed : their headers cannot be parsed.
    truncated : cut by the end of the file.
    """

    read: int = 0
    metered: int = 0
    other: int = 0
    unread: int = 0
    malformed: int = 0
    truncated: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every record read is in exactly one of the other counts."""
        return self.read == self.metered + self.other + self.unread + self.malformed + self.truncated


@dataclass(slots=True)
class LineCounts:
    """Lines of a log; ``read = flows + alerts + other + comments + malformed``.

    Attributes
    ----------
    read : every line, the last one even without its end.
    flows : those that are a flow.
    alerts : those that are a signature's alert.
    other : well-formed, but neither (what was said within flows, other event types, other logs of a combined
        stream).
    comments : header, comment and empty lines.
    malformed : what cannot be parsed.
    """

    read: int = 0
    flows: int = 0
    alerts: int = 0
    other: int = 0
    comments: int = 0
    malformed: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every line read is in exactly one of the other counts."""
        return self.read == self.flows + self.alerts + self.other + self.comments + self.malformed


@dataclass(slots=True)
class RecordCounts:
    """Records of flow exporters; ``read = flows + templates + options + other + malformed + undecodable``.

    Attributes
    ----------
    datagrams : those that were received.
    read : records of all kinds; what cannot be taken apart counts as one.
    flows : those that are a flow, of one way or of both.
    templates, options : what exporters say of their records and of themselves.
    other : well-formed, but no flow (counters of interfaces, address translations).
    malformed : what cannot be parsed: a datagram, a set, a record.
    undecodable : sets of data whose template did not come in time.
    lost, lost_datagrams : records, of NetFlow v9 datagrams, that the sequence numbers miss; not in `read`.
    sampled : among `flows`, those of an exporter that looks at some packets only.
    """

    datagrams: int = 0
    read: int = 0
    flows: int = 0
    templates: int = 0
    options: int = 0
    other: int = 0
    malformed: int = 0
    undecodable: int = 0
    lost: int = 0
    lost_datagrams: int = 0
    sampled: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every record read is in exactly one of the counts that sum up to it."""
        parts = self.flows + self.templates + self.options + self.other + self.malformed + self.undecodable
        return self.read == parts and self.sampled <= self.flows


@dataclass(slots=True)
class SourceReport:
    """What became of one source.

    Attributes
    ----------
    path : the source's name.
    format : as `qwarden.formats.kinds` names it, with ``+gzip`` if it was packed; empty while unknown.
    packets : counts of a capture's packet records.
    lines : counts of a log's lines.
    records : counts of the records that flow exporters sent.
    flows_read, flows_evicted : flows handed out; those among them that made room for others.
    problems : the first 20, each with its place (``packet 17, byte 1204: …``, ``line 3, byte 97: …``).
    problems_total : how many there were.
    complete : whether the source was read to its end.
    """

    path: str
    format: str = ""
    packets: PacketCounts = field(default_factory=PacketCounts)
    lines: LineCounts = field(default_factory=LineCounts)
    records: RecordCounts = field(default_factory=RecordCounts)
    flows_read: int = 0
    flows_evicted: int = 0
    problems: list[str] = field(default_factory=list)
    problems_total: int = 0
    complete: bool = False

    @property
    def is_log(self) -> bool:
        """Whether it is a log, counted by lines, rather than a capture, counted by packets."""
        return bool(self.format) and not self.format.startswith("pcap") and not self.is_export

    @property
    def is_export(self) -> bool:
        """Whether it is what flow exporters sent, counted by records."""
        return self.format.removesuffix("+gzip") == "netflow"

    @property
    def flows_unread(self) -> int:
        """How many lines or records should have been flows and could not be read."""
        return self.lines.malformed + self.records.malformed + self.records.undecodable

    @property
    def is_pcap(self) -> bool:
        """Whether it is a classic pcap."""
        return self.format.removesuffix("+gzip") == "pcap"

    @property
    def usable(self) -> bool:
        """Whether anything of it could be read."""
        packets, lines, records = self.packets, self.lines, self.records
        told = records.flows + records.templates + records.options + records.other
        return packets.metered + packets.other + lines.flows + lines.alerts + lines.other + told > 0

    @property
    def place(self) -> str:
        """How far it was read, in words."""
        if self.is_export:
            return f"datagram {self.records.datagrams}"
        return f"line {self.lines.read}" if self.is_log else f"packet {self.packets.read}"

    def note(self, problem: str) -> None:
        """Count a problem, and keep it if it is among the first."""
        self.problems_total += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)
