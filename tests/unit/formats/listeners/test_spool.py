"""Bytes in time: the pipe and the spool."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwarden.formats.listeners.pipe import piped
from qwarden.formats.listeners.spool import Spool, spooled
from qwarden.formats.writers.pcap import file_header

HEADER = file_header()


def test_a_pipe_brings_what_is_put_in_and_goes_away(tmp_path: Path) -> None:
    blocks = [os.urandom(200_000) for _ in range(5)]
    with piped(tmp_path / "streams" / "a", blocks) as path:
        assert stat.S_ISFIFO(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes() == b"".join(blocks)
    assert not path.exists()


def test_a_reader_that_leaves_early_or_never_comes_does_no_harm(tmp_path: Path) -> None:
    with piped(tmp_path / "a", [b"x" * 1_000_000] * 3) as path, path.open("rb") as stream:
        stream.read(10)
    with piped(tmp_path / "b", [b"x"]):
        pass


def test_captures_of_a_time_are_found_by_when_they_were_begun(tmp_path: Path) -> None:
    minute = 60_000_000_000
    began = [at * minute for at in (10, 11, 12, 30)]
    for at in began:
        (tmp_path / f"{at}.pcap").write_bytes(HEADER)
    (tmp_path / "notes.pcap").write_bytes(HEADER)

    def found(since: float, until: float) -> list[int]:
        paths = spooled(tmp_path, round(since * minute), round(until * minute))
        return [int(path.stem) // minute for path in paths]

    assert found(11.5, 11.6) == [11]
    assert found(10.5, 12.5) == [10, 11, 12]
    assert found(20, 21) == [12]  # what was quiet may have ended late
    assert found(40, 41) == [30]
    assert found(1, 2) == []
    assert found(11.001, 11.002) == [10, 11]  # a packet is written a little after its time
    assert spooled(tmp_path / "absent", 0, minute) == []


def test_a_source_that_fails_is_told(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"a"
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"), piped(tmp_path / "a", failing()) as path:
        assert path.read_bytes() == b"a"


def test_a_reader_that_leaves_is_noticed_while_nothing_comes(tmp_path: Path) -> None:
    ended = threading.Event()

    def silent() -> Iterator[bytes]:
        try:
            while True:
                yield b""
        finally:
            ended.set()

    with piped(tmp_path / "a", silent()) as path:
        path.open("rb").close()
        assert ended.wait(20)


def block(packets: int, size: int = 100) -> bytes:
    return os.urandom(packets * size)


def test_a_spool_is_followed_across_its_files(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1, keep_bytes=1_000_000, rotate_s=0.0)  # a file a block
    written = [block(n) for n in (1, 5, 50)]
    spool.append(written[0], 1)
    followed = iter(spool.follow())
    assert next(followed) == HEADER
    assert next(followed) == written[0]
    spool.append(written[1], 5)
    assert next(followed) == written[1]
    spool.append(written[2], 50)
    spool.finish()
    assert list(followed) == [written[2]]
    assert (spool.packets, spool.lost) == (56, 0)
    files = sorted(tmp_path.iterdir())
    assert [f.read_bytes() for f in files] == [HEADER + content for content in written]
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}


def test_who_follows_waits_for_what_comes(tmp_path: Path) -> None:
    spool, got = Spool(tmp_path, 1, keep_bytes=10_000_000), list[bytes]()
    thread = threading.Thread(target=lambda: got.extend(spool.follow()))
    thread.start()
    written = [block(n) for n in range(1, 40)]
    for content in written:
        spool.append(content, 1)
    spool.finish()
    thread.join(10)
    assert not thread.is_alive()
    assert b"".join(got) == HEADER + b"".join(written)


def test_the_oldest_go_first_and_unread_ones_count_as_lost(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1, keep_bytes=10_000, rotate_s=0.0)
    for _ in range(20):
        spool.append(block(10), 10)  # 1,024 bytes a file: nine fit
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 10_000
    assert (spool.packets, spool.lost) == (200, 110)
    spool.finish()
    assert len(b"".join(spool.follow())) == len(HEADER) + 9 * 1000


def test_a_file_is_read_to_its_end_though_it_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1, keep_bytes=3000, rotate_s=0.0)
    first = block(10)
    spool.append(first, 10)
    followed = iter(spool.follow())
    assert [next(followed), next(followed)[:0]] == [HEADER, b""]
    for _ in range(5):
        spool.append(block(10), 10)
    assert spool.lost == 30  # 2, 3, 4; the first was taken
    spool.finish()
    assert len(list(followed)) == 2


def test_files_of_an_earlier_run_count_but_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "1.pcap").write_bytes(HEADER + bytes(5000))
    spool = Spool(tmp_path, 1, keep_bytes=6000)
    spool.append(block(5), 5)
    assert (tmp_path / "1.pcap").exists()
    spool.append(block(10), 10)
    assert not (tmp_path / "1.pcap").exists()
    spool.finish()
    assert len(b"".join(spool.follow())) == len(HEADER) + 1500
    assert spool.lost == 0


def test_following_anew_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1, keep_bytes=100_000)
    first, second = block(5), block(7)
    spool.append(first, 5)
    followed = spool.follow()
    assert [next(followed), next(followed)] == [HEADER, first]
    followed.close()  # type: ignore[attr-defined]
    spool.append(second, 7)
    spool.finish()
    assert list(spool.follow()) == [HEADER, second]


def test_time_is_told_while_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qwarden.formats.listeners import spool as module

    monkeypatch.setattr(module, "_IDLE_S", 0.01)
    spool = Spool(tmp_path, 1, keep_bytes=100_000)
    followed = spool.follow(lambda: b"tick")
    assert [next(followed) for _ in range(3)] == [HEADER, b"tick", b"tick"]
    written = block(3)
    spool.append(written, 3)
    assert next(followed) == written
    assert next(followed) == b"tick"
    spool.finish()
    assert b"".join(followed).replace(b"tick", b"") == b""
