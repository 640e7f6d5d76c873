"""Unpack a source and recognise it by content."""

from __future__ import annotations

from dataclasses import dataclass

from qwarden.formats.kinds import HEAD, kind_of
from qwarden.formats.readers.sources import GZIP_MAGIC, GzipSource, Replay, Source, read_fully


@dataclass(frozen=True, slots=True)
class Recognised:
    """A source whose format is known.

    Attributes
    ----------
    source : its unpacked bytes, from the first.
    kind : as `qwarden.formats.kinds.kind_of` says; empty if it is of no format.
    packed : it was a gzip.
    head : its first bytes.
    """

    source: Source
    kind: str
    packed: bool
    head: bytes

    @property
    def format(self) -> str:
        """The format as the report names it."""
        return self.kind + "+gzip" * self.packed if self.kind else ""


def recognise(source: Source) -> Recognised:
    """Look through a gzip, and read as much as it takes to know the format."""
    view = memoryview(bytearray(HEAD))
    filled = read_fully(source, view[:4])
    packed = bytes(view[:2]) == GZIP_MAGIC
    if packed:
        source = GzipSource(Replay(bytes(view[:filled]), source))
        filled = read_fully(source, view[:4])
    kind, more = kind_of(bytes(view[:filled]), whole=False), filled == 4
    while not kind and more and filled < HEAD:
        count = source.readinto(view[filled:])
        filled, more = filled + count, count > 0
        kind = kind_of(bytes(view[:filled]), whole=not more or filled == HEAD)
    head = bytes(view[:filled])
    return Recognised(Replay(head, source), kind, packed, head)
