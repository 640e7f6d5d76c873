"""From flows of the archive to their packets, cut from the captures the flows were read from."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qwarden.core.config import DetectSettings
from qwarden.core.errors import InputError, UsageError
from qwarden.detect.archive import Archived, source_id, source_path
from qwarden.detect.detector import meter_settings
from qwarden.formats.captures import format_of
from qwarden.formats.cuts import CutReader, Packet, open_cut
from qwarden.formats.flows import Flows
from qwarden.formats.listeners.interface import NAME as INTERFACE
from qwarden.formats.listeners.interface import spool_folder
from qwarden.formats.listeners.spool import spooled
from qwarden.formats.writers.packets import PacketWriter

_CAPTURES: Final = ("pcap", "pcapng")
_MOST_SOURCES: Final = 64
"""Captures that are cut from at once: each has a reading process."""


@dataclass(frozen=True, slots=True)
class PacketCut:
    """What became of a cut.

    Attributes
    ----------
    path : the capture that was written.
    flows : flows whose packets were cut.
    packets : packets written; `expected` is what the flows counted.
    looked_at : packet records of all sources.
    sources : the captures they were cut from.
    problems : what is wrong with the sources, by name.
    """

    path: Path
    flows: int
    packets: int
    expected: int
    looked_at: int
    sources: tuple[Path, ...]
    problems: tuple[str, ...]

    def summary(self) -> str:
        """Return it in words."""
        counted = "" if self.packets == self.expected else f", which counted {self.expected:,}"
        return (
            f"{self.packets:,} packets of {self.flows:,} flows{counted}, of {self.looked_at:,} looked at, "
            f"written to {self.path}"
        )

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "path": str(self.path), "flows": self.flows, "packets": self.packets, "expected": self.expected,
            "looked_at": self.looked_at, "sources": [str(path) for path in self.sources],
            "problems": list(self.problems),
        }  # fmt: skip


def cut_packets(home: Path, found: Archived, out: Path, settings: DetectSettings) -> PacketCut:
    """Write the packets of flows of the archive to the capture `out`.

    Packets of one source stay in the order of its capture; those of several are merged by time.

    Parameters
    ----------
    out : pcapng if its name ends in ``.pcapng``, else pcap; replaced when the cut is complete.
    settings : as the flows were read with.

    Raises
    ------
    UsageError
        There are no flows, or too many sources; a source is a log; `out` is one of the sources.
    InputError
        A source is not there any more or was changed; `out` cannot be written.
    """
    ids = list(dict.fromkeys(found.sources.tolist()))
    if not ids:
        raise UsageError("no flow fits: there are no packets to cut")
    parts = [found.flows[found.sources == id] for id in ids]
    captures = [
        (path, flows) for id, flows in zip(ids, parts, strict=True) for path in _captures(home, id, flows)
    ]
    if len(captures) > _MOST_SOURCES:
        raise UsageError(
            f"the flows are from {len(captures)} captures; at most {_MOST_SOURCES} can be cut at once"
        )
    if any(out.exists() and out.samefile(path) for path, _ in captures):
        raise UsageError(f"{out}: packets are cut from this very capture; write them to another file")
    with ExitStack() as stack:
        writer = stack.enter_context(PacketWriter(out))
        readers = [
            stack.enter_context(open_cut(path, flows, meter_settings(settings))) for path, flows in captures
        ]
        named = [_named(path.name, reader) for (path, _), reader in zip(captures, readers, strict=True)]
        for _, source, packet in heapq.merge(*named, key=_time):
            writer.write(source, packet.link, packet.time_ns, packet.wire_length, packet.data)
        for id, flows in zip(ids, parts, strict=True):
            _captures(home, id, flows)  # raises if what was cut from was changed meanwhile
        if not writer.packets:
            raise InputError(out, "none of the flows' packets were found; nothing is written")
    return PacketCut(
        out, found.flows.size, writer.packets,
        int((found.flows["packets_out"] + found.flows["packets_in"]).sum()),
        sum(reader.report.packets.read for reader in readers), tuple(path for path, _ in captures),
        tuple(f"{reader.report.path}: {text}" for reader in readers for text in reader.report.problems),
    )  # fmt: skip


def _named(name: str, reader: CutReader) -> Iterator[tuple[int, str, Packet]]:
    for packet in reader:
        yield packet.time_ns, name, packet


def _time(item: tuple[int, str, Packet]) -> int:
    return item[0]


def _captures(home: Path, id: str, flows: Flows) -> list[Path]:
    """Return the captures that hold the packets of a source's flows: itself, or a live interface's spool."""
    path = source_path(home, id)
    if not str(path).startswith(INTERFACE):
        return [_unchanged(path, id)]
    folder = spool_folder(home, str(path).removeprefix(INTERFACE))
    found = spooled(folder, int(flows["start_ns"].min()), int(flows["end_ns"].max()))
    if not found:
        raise InputError(
            path, "has no packets of that time any more; console.spool_mib says how many it keeps"
        )
    return found


def _unchanged(path: Path, id: str) -> Path:
    """Return the capture of a source, if it still is what the flows were read from."""
    if not path.is_absolute():
        raise InputError(path, "was read as a stream, whose packets are not kept")
    if not path.exists():
        raise InputError(path, "is not there any more; its flows are kept, its packets are not")
    if not path.is_file():
        raise InputError(path, "was read as a stream, whose packets are not kept")
    if source_id(str(path)) != id:
        raise InputError(path, "was changed since its flows were scored; score it again")
    kind = format_of(path)
    if kind not in _CAPTURES:
        raise UsageError(f"{path}: is no capture but a log, which has no packets")
    return path
