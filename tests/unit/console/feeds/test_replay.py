"""A scenario at a pace that a person can follow."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from qwarden.console.feeds.replay import Replay
from qwarden.formats.writers.pcap import PcapWriter, file_header

HEADER = file_header()


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "a.pcap"
    with PcapWriter(path) as writer:
        for at in range(30):
            writer.write(1_700_000_000_000_000 + at * 1_000_000, bytes([at]) * (60 + at))
    return path


def test_a_replay_is_the_capture_in_pieces(capture: Path) -> None:
    replay = Replay(capture, speed=300, stop=threading.Event())
    pieces = list(replay)
    assert b"".join(pieces) == capture.read_bytes()
    assert replay.packets == 30


def test_a_replay_keeps_its_pace(capture: Path) -> None:
    """Of 29 s at speed 20 nothing may come before its time; how much later is the machine's affair."""
    began, seen = time.monotonic(), 0
    for piece in Replay(capture, speed=20, stop=threading.Event()):
        seen += len(piece)
        records = sum(1 for at in range(30) if _end_of(at) <= seen)
        assert (records - 1) / 20 <= time.monotonic() - began
    assert seen == capture.stat().st_size


def _end_of(record: int) -> int:
    return len(HEADER) + sum(16 + 60 + at for at in range(record + 1))


def test_a_replay_stops_when_asked(capture: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert len(b"".join(Replay(capture, speed=1, stop=stop))) < capture.stat().st_size
