"""What the console itself stores: which sources were read, and the account of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qwarden.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRead(Event):
    """A source was read to its end.

    Flows: ``read = scored + suppressed + dropped + malformed``. `time` is when reading ended, wall time.

    Parameters
    ----------
    name : the capture's path, or what a stream is called.
    sha256 : of the content of a file, empty for a stream: the same bytes are read once.
    format : as the reader recognised it, empty if it did not.
    packets_read, packets_malformed, packets_truncated : packet records.
    packets_lost : packets that were on the wire and never reached the reader.
    lines_read, lines_malformed : lines of a log.
    findings : how many it raised.
    problems : what was wrong, each with its place.
    seconds : how long reading took.
    """

    room: ClassVar[str] = "console"
    kind: ClassVar[str] = "source_read"

    name: str
    sha256: str
    format: str
    packets_read: int
    packets_malformed: int
    packets_truncated: int
    packets_lost: int
    lines_read: int
    lines_malformed: int
    flows_read: int
    flows_scored: int
    flows_suppressed: int
    flows_dropped: int
    flows_malformed: int
    findings: int
    problems: tuple[str, ...]
    seconds: float
