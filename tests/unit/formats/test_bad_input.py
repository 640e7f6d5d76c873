"""Bad input: a clear message with its place; what could be read is kept and counted."""

import gzip
import os
import stat
import struct
from pathlib import Path

import pytest

from qwarden.core.errors import UnreadableError
from qwarden.formats import find_captures, format_of, is_capture, open_capture

from . import craft
from .craft import ACK

GOOD = craft.frame4(craft.tcp(4000, 80, ACK, b"hello"), 6)
CAPTURE = craft.pcap([(1, GOOD), (2, GOOD), (3, GOOD)])
RECORD = 16 + len(GOOD)
BLOCKS = craft.section() + craft.interface() + craft.enhanced(GOOD, 10**6) * 3


def counted(data: bytes) -> tuple[tuple[int, int, int, int], list[str]]:
    """Read, metered, malformed, truncated; problems."""
    _, report = craft.read(data)
    counts = report.packets
    assert counts.read == counts.metered + counts.other + counts.unread + counts.malformed + counts.truncated
    return (counts.read, counts.metered, counts.malformed, counts.truncated), report.problems


@pytest.mark.parametrize("cut", [1, 15, 16, RECORD - 1])
def test_a_cut_pcap_keeps_the_packets_before(cut: int) -> None:
    at = 24 + 2 * RECORD
    counts, problems = counted(CAPTURE[: at + cut])
    assert counts == (3, 2, 0, 1)
    assert problems == [f"packet 3, byte {at}: cut by the end of the file"]


@pytest.mark.parametrize("cut", [4, 8, 31, 40])
def test_a_cut_pcapng_keeps_the_packets_before(cut: int) -> None:
    at = len(BLOCKS) - len(craft.enhanced(GOOD, 10**6))
    counts, problems = counted(BLOCKS[: at + cut])
    assert counts == (3, 2, 0, 1)
    assert problems == [f"packet 3, byte {at}: cut by the end of the file"]


def test_a_cut_block_that_is_no_packet_is_no_packet() -> None:
    for tail in (craft.block(0xBAD, bytes(100))[:50], craft.interface()[:11], b"\x01"):
        counts, problems = counted(BLOCKS + tail)
        assert counts == (3, 3, 0, 0)
        assert len(problems) == 1
        assert problems[0].endswith("the file ends within a block")


@pytest.mark.parametrize("length", [262_145, 1 << 31, 0xFFFFFFFF])
def test_an_absurd_length_ends_the_reading(length: int) -> None:
    data = CAPTURE[: 24 + RECORD] + struct.pack("<IIII", 2, 0, length, length) + bytes(100)
    assert not craft.read(data)[1].complete
    counts, problems = counted(data)
    assert counts == (2, 1, 1, 0)
    assert problems == [
        f"packet 2, byte {24 + RECORD}: the record's length is absurd; expected at most 262144 bytes; "
        "the rest is not read"
    ]


def test_a_packet_without_bytes_is_malformed() -> None:
    data = CAPTURE + struct.pack("<IIII", 4, 0, 0, 0) + CAPTURE[24:]
    counts, problems = counted(data)
    assert counts == (7, 6, 1, 0)
    assert problems == [f"packet 4, byte {24 + 3 * RECORD}: the packet has no bytes"]


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        (struct.pack("<II", 6, 13) + bytes(20), "impossible"),
        (struct.pack("<II", 6, 8) + bytes(20), "impossible"),
        (struct.pack("<II", 6, 1 << 30) + bytes(20), "absurd"),
        (craft.enhanced(GOOD)[:-4] + bytes(4), "differs"),
        (craft.block(0x0A0D0D0A, bytes(16)), "byte-order magic"),
        (craft.block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1)), "version"),
        (craft.block(1, b"")[:-4] + struct.pack("<I", 12) + bytes(8), "impossible"),
    ],
)
def test_a_broken_block_ends_the_reading(tail: bytes, text: str) -> None:
    counts, problems = counted(BLOCKS + tail)
    assert counts[1] == 3
    assert len(problems) == 1
    assert problems[0].startswith(f"byte {len(BLOCKS)}: ")
    assert text in problems[0]


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (craft.block(6, bytes(8)), "does not fit its block"),
        (craft.block(6, struct.pack("<IIIII", 0, 0, 0, 500, 500) + GOOD), "does not fit its block"),
        (craft.enhanced(GOOD, which=7), "names an interface"),
        (craft.old_packet(GOOD, which=7), "names an interface"),
        (craft.enhanced(b""), "no bytes"),
    ],
)
def test_a_broken_packet_block_is_malformed_and_the_next_is_read(packet: bytes, text: str) -> None:
    counts, problems = counted(BLOCKS + packet + craft.enhanced(GOOD, 2 * 10**6))
    assert counts == (5, 4, 1, 0)
    assert problems[0].startswith(f"packet 4, byte {len(BLOCKS)}: ")
    assert text in problems[0]


def test_more_interfaces_than_are_kept() -> None:
    data = (
        craft.section()
        + craft.interface() * 5000
        + craft.enhanced(GOOD, which=4095)
        + craft.enhanced(GOOD, which=4999)
    )
    assert counted(data)[0] == (2, 1, 1, 0)


def test_a_cut_gzip_keeps_what_it_had() -> None:
    # Incompressible payloads, so that half of the file is half of the packets.
    records = [(i, craft.frame4(craft.udp(5000, 6000, os.urandom(1000)), 17)) for i in range(1000)]
    packed = gzip.compress(craft.pcap(records))
    counts, problems = counted(packed[: len(packed) // 2])
    assert 480 <= counts[1] <= 500
    assert counts[3] == 1
    assert any("gzip stream is cut off" in problem for problem in problems)


def test_a_gzip_without_its_trailer_gives_all_it_can_unpack() -> None:
    """Much output waits inside the decompressor when the input ends."""
    big = craft.ethernet(craft.ipv4(craft.udp(5000, 6000, bytes(60_000)), 17), 0x0800)
    packed = gzip.compress(craft.pcap([(i / 100, big) for i in range(300)]))
    counts, problems = counted(packed[:-8])
    assert counts == (300, 300, 0, 0)
    assert len(problems) == 1
    assert "cut off" in problems[0]


@pytest.mark.parametrize("at", [-1, -6])
def test_a_gzip_with_a_wrong_checksum_keeps_everything(at: int) -> None:
    packed = bytearray(gzip.compress(CAPTURE))
    packed[at] ^= 0xFF
    counts, problems = counted(bytes(packed))
    assert counts == (3, 3, 0, 0)
    assert len(problems) == 1
    assert "damaged" in problems[0]


def test_a_gzip_damaged_midway_keeps_what_stands_before() -> None:
    records = [(i, craft.frame4(craft.udp(5000, 6000, os.urandom(1000)), 17)) for i in range(1000)]
    packed = gzip.compress(craft.pcap(records))
    half = len(packed) // 2
    # A block of the reserved type cannot be: the stream is certain to break there or soon after.
    counts, problems = counted(packed[:half] + b"\xff" * 4000 + packed[half:])
    assert 400 <= counts[1] <= 1000
    assert problems


def test_bytes_behind_a_gzip_are_noted() -> None:
    counts, problems = counted(gzip.compress(CAPTURE) + b"trailing")
    assert counts == (3, 3, 0, 0)
    assert len(problems) == 1
    assert "bytes follow" in problems[0]


# Through the front door


@pytest.fixture
def write(tmp_path: Path) -> object:
    def write_file(data: bytes) -> Path:
        path = tmp_path / "bad.pcap"
        path.write_bytes(data)
        return path

    return write_file


UNREADABLE = {
    "0 bytes": (b"", "is empty"),
    "gzip of nothing": (gzip.compress(b""), "unpacks to nothing"),
    "wrong magic": (b"GIF89a" * 20, "47 49 46 38"),
    "header cut": (CAPTURE[:20], "within its header"),
    "version 3": (CAPTURE[:4] + b"\x03\0" + CAPTURE[6:], "version 3.4"),
    "link type 105": (craft.pcap([(1, GOOD)], link=105), "link type 105"),
    "link type 105 in pcapng": (
        craft.section() + craft.interface(link=105) + craft.enhanced(GOOD),
        "link type 105",
    ),
    "only a packet without bytes": (craft.pcap([(1, b"")]), "no bytes"),
    "absurd first record": (CAPTURE[:24] + b"\xff" * 32, "absurd"),
    "cut in the first record": (CAPTURE[:30], "cut by the end"),
    "gzip of garbage": (gzip.compress(b"garbage"), "67 61 72 62"),
    "gzip cut at once": (gzip.compress(CAPTURE)[:12], "cut off"),
    "only gzip magic": (b"\x1f\x8b", "cut off"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_nothing_readable_is_an_error_with_file_and_place(name: str, write: object) -> None:
    data, text = UNREADABLE[name]
    path = write(data)  # type: ignore[operator]
    with pytest.raises(UnreadableError) as caught, open_capture(path) as reader:
        list(reader)
    assert str(caught.value).startswith(f"{path}: ")
    assert text in str(caught.value)
    assert caught.value.exit_code == 3
    assert reader.report.packets.metered == 0


def test_an_empty_capture_is_readable_and_noted(write: object) -> None:
    for data in (CAPTURE[:24], craft.section(), craft.section() + craft.interface()):
        with open_capture(write(data)) as reader:  # type: ignore[operator]
            assert [len(batch.flows) for batch in reader] == [0]
        assert reader.report.complete
        assert reader.report.packets.read == 0
        assert reader.report.problems == ["the capture has no packets"]


def test_a_cut_capture_is_read_and_noted(write: object) -> None:
    with open_capture(write(CAPTURE[:-3])) as reader:  # type: ignore[operator]
        flows = sum(len(batch.flows) for batch in reader)
    assert flows == 1
    assert reader.report.packets.truncated == 1
    assert len(reader.report.problems) == 1


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no such file"):
        open_capture(tmp_path / "nowhere.pcap")
    with pytest.raises(UnreadableError, match="directory"):
        open_capture(tmp_path)
    with pytest.raises(UnreadableError, match="no such file"):
        find_captures([tmp_path / "nowhere.pcap"])
    with pytest.raises(UnreadableError, match="no readable capture"):
        find_captures([tmp_path])


def test_no_permission_is_said(write: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(CAPTURE)  # type: ignore[operator]
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything: have the system say what it says to others

        def refuse(*_args: object, **_kwargs: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
        monkeypatch.setattr(os, "access", lambda *_args, **_kwargs: False)
    with pytest.raises(UnreadableError, match=r"bad\.pcap: no permission"):
        open_capture(path)
    with pytest.raises(UnreadableError, match=r"bad\.pcap: no permission"):
        find_captures([path])


def test_directories_are_searched_by_content(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "one.txt").write_bytes(CAPTURE)
    (below / "two").write_bytes(gzip.compress(BLOCKS))
    (below / "three.pcap").write_bytes(b"no capture")
    (tmp_path / "four.gz").write_bytes(gzip.compress(b"no capture"))
    (tmp_path / "five.pcap").write_bytes(b"")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b" + bytes(50))
    (below / "loop").symlink_to(tmp_path)
    (below / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(below / "pipe")
    assert find_captures([tmp_path]) == [below / "one.txt", below / "two"]
    # A file that is named is taken at its word, and once.
    assert find_captures([below / "three.pcap", below, below / "two"]) == [
        below / "three.pcap",
        below / "one.txt",
        below / "two",
    ]


def test_a_pipe_is_no_capture_by_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600 | stat.S_IFIFO)
    assert find_captures([tmp_path / "pipe"]) == [tmp_path / "pipe"]
    assert is_capture(__file__) is False
    assert format_of(tmp_path / "pipe") == ""
