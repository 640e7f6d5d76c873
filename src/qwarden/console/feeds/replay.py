"""Scenarios of labelled traffic, one after the other, at a pace that a person can follow."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

from qwarden.console.feeds.reading import SourceReader
from qwarden.detect.scenario import ScenarioSummary, write_scenario
from qwarden.formats.listeners.pipe import piped
from qwarden.formats.writers.pcap import RECORD_HEADER, file_header

_TICK_S: Final = 0.05


class Replay:
    """A capture's bytes, let go when their time has come.

    Parameters
    ----------
    path : a capture as `PcapWriter` writes it.
    speed : seconds of traffic in a second.
    stop : when set, the replay ends with the record it has come to.

    Attributes
    ----------
    packets : how many have been let go.
    """

    def __init__(self, path: Path, speed: float, stop: threading.Event) -> None:
        self.packets = 0
        self._path, self._speed, self._stop = path, speed, stop

    def __iter__(self) -> Iterator[bytes]:
        """Yield the file header, then what is due at each tick."""
        header = file_header()
        with self._path.open("rb") as capture:
            capture.seek(len(header))
            yield header
            due, packets, first, began = bytearray(), 0, None, time.monotonic()
            while record := capture.read(RECORD_HEADER):
                seconds, micros, size, _ = struct.unpack("<IIII", record)
                at = seconds + micros / 1e6
                first = at if first is None else first
                while (at - first) / self._speed > time.monotonic() - began:
                    yield bytes(due)
                    self.packets += packets
                    due.clear()
                    packets = 0
                    if self._stop.wait(_TICK_S):
                        return
                due += record + capture.read(size)
                packets += 1
            yield bytes(due)
            self.packets += packets


class ReplayFeed:
    """Writes a scenario, replays it, and goes on with the next seed.

    Parameters
    ----------
    folder : where scenarios are written; each is removed after its replay.
    seed : of the first one.
    speed : seconds of traffic in a second.
    reader : reads them.
    on_scenario : called with each scenario's summary before it is replayed.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        speed: float,
        reader: SourceReader,
        on_scenario: Callable[[ScenarioSummary], None],
    ) -> None:
        self._folder, self._seed, self._speed, self._reader = folder, seed, speed, reader
        self._on_scenario = on_scenario

    def open(self) -> None:
        """Make the folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def run(self, stop: threading.Event) -> None:
        """Replay scenarios until asked to stop."""
        for seed in count(self._seed):
            capture = self._folder / f"scenario-{seed}.pcap"
            self._reader.watch.doing = f"writing scenario {seed}"
            summary = write_scenario(capture, seed)
            try:
                self._on_scenario(summary)
                self._replay(capture, stop)
            finally:
                capture.unlink()
                summary.labels.unlink()
            if stop.is_set():
                return

    def _replay(self, capture: Path, stop: threading.Event) -> None:
        replay = Replay(capture, self._speed, stop)
        with piped(capture.with_suffix(""), replay) as source:
            self._reader.read(source, packets=lambda: replay.packets)
