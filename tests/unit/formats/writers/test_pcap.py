from __future__ import annotations

from pathlib import Path

import dpkt
import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.formats.writers.pcap import PcapWriter, record_headers


def test_another_reader_reads_what_was_written(tmp_path: Path) -> None:
    times = (1_767_600_000_123_456, 1_767_600_001_000_001, 1_767_600_002_999_999)
    frames = list(zip(times, (b"a" * 60, b"b" * 1_514, b""), strict=True))
    with PcapWriter(tmp_path / "x.pcap") as capture:
        for time_us, frame in frames:
            capture.write(time_us, frame)
    with (tmp_path / "x.pcap").open("rb") as stream:
        reader = dpkt.pcap.Reader(stream)
        assert reader.datalink() == dpkt.pcap.DLT_EN10MB
        read = [(round(float(time) * 1e6), data) for time, data in reader]
    assert read == frames


def test_blocks_and_single_frames_are_the_same(tmp_path: Path) -> None:
    times, sizes = np.array([5_000_001, 7_000_002]), np.array([3, 4])
    headers = record_headers(times, sizes)
    with PcapWriter(tmp_path / "block.pcap") as capture:
        capture.write_block(headers[0].tobytes() + b"abc" + headers[1].tobytes() + b"defg")
    with PcapWriter(tmp_path / "single.pcap") as capture:
        capture.write(5_000_001, b"abc")
        capture.write(7_000_002, b"defg")
    assert (tmp_path / "block.pcap").read_bytes() == (tmp_path / "single.pcap").read_bytes()


def test_a_failed_capture_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "x.pcap").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), PcapWriter(tmp_path / "x.pcap") as capture:
        capture.write(0, b"new" * (1 // 0))
    assert [path.name for path in tmp_path.iterdir()] == ["x.pcap"]
    assert (tmp_path / "x.pcap").read_bytes() == b"old"


def test_no_place_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"), PcapWriter(tmp_path / "no" / "x.pcap"):
        pass
    with pytest.raises(InputError, match="not open"):
        PcapWriter(tmp_path / "x.pcap").write(0, b"")
