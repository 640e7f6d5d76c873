"""A file that grows, under everything that rotation does to it: every line once, and none but whole ones."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qwarden.core.errors import UnreadableError
from qwarden.formats.listeners import follow
from qwarden.formats.listeners.follow import FollowListener
from tests.unit.formats.listeners.collect import Collector, wait_until

HEADER = b"#separator \\x09\n#path\tconn\n#fields\tts\tuid\tconn_state\n"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(follow, "QUIET_S", 0.05)
    monkeypatch.setattr(follow, "KEEP_EVERY_S", 0.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "conn.log"


class Memory:
    """What the store keeps."""

    def __init__(self) -> None:
        self.text: str | None = None

    def listener(self, path: Path) -> FollowListener:
        def keep(text: str) -> None:
            self.text = text

        made = FollowListener(path, lambda: self.text, keep)
        made.open()
        return made


def following(path: Path) -> Collector:
    return Collector(Memory().listener(path))


def lines(start: int, count: int) -> bytes:
    return b"".join(b"%d\tC%d\tSF\n" % (at, at) for at in range(start, start + count))


def add(path: Path, data: bytes) -> None:
    with path.open("ab", buffering=0) as stream:
        stream.write(data)


def body(data: bytes) -> list[int]:
    """The numbers of the lines that came, headers left out; every line must be whole."""
    assert data.endswith(b"\n") or not data
    found = [line.split(b"\t") for line in data.splitlines() if not line.startswith(b"#")]
    assert all(len(parts) == 3 and parts[1] == b"C" + parts[0] for parts in found)
    return [int(parts[0]) for parts in found]


def test_lines_come_as_they_are_written_and_the_last_one_waits_for_its_end(log: Path) -> None:
    add(log, HEADER + lines(0, 3) + b"3\tC")
    taken = following(log)
    taken.wait_for(b"2\tC2\tSF\n")
    time.sleep(0.1)
    assert taken.data == HEADER + lines(0, 3)
    add(log, b"3\tSF\n")
    taken.wait_for(b"3\tC3\tSF\n")
    add(log, lines(4, 5000))
    taken.wait_for(b"5003\tC5003")
    assert taken.end() == HEADER + lines(0, 5004)
    assert taken.listener.heard.lines == 5004 + 3


def test_a_file_that_is_not_there_yet_is_waited_for(log: Path) -> None:
    taken = following(log)
    time.sleep(0.05)
    assert taken.data == b""
    add(log, b"#s")
    time.sleep(0.05)
    add(log, HEADER[2:] + lines(0, 2))
    taken.wait_for(b"C1")
    assert taken.end() == HEADER + lines(0, 2)


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"x"))
    for path, why in (
        (tmp_path, "is a directory"),
        (tmp_path / "nowhere" / "a.log", "no such folder"),
        (tmp_path / "a.log.gz", "is a gzip, which does not grow"),
    ):
        with pytest.raises(UnreadableError, match=why):
            FollowListener(path).open()


# Rotation while it is followed

Rotation = Callable[[Path, int], None]


def renamed(log: Path, number: int) -> None:
    log.rename(log.with_name(f"conn.log.{number}"))


def renamed_and_packed(log: Path, number: int) -> None:
    old = log.with_name(f"conn.2026-01-01-{number:02}.log")
    log.rename(old)
    time.sleep(0.02)
    packed = old.with_name(old.name + ".gz")
    packed.write_bytes(gzip.compress(old.read_bytes()))
    status = old.stat()
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))  # as gzip does
    old.unlink()


def packed_with_a_time_of_its_own(log: Path, number: int) -> None:
    old = log.with_name(f"conn.2026-01-01-{number:02}.log")
    log.rename(old)
    old.with_name(old.name + ".gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()


def copied_and_cut(log: Path, number: int) -> None:
    shutil.copyfile(log, log.with_name(f"conn.log.{number}"))
    os.truncate(log, 0)


def deleted(log: Path, number: int) -> None:
    log.unlink()


@pytest.mark.parametrize(
    "rotate", [renamed, renamed_and_packed, packed_with_a_time_of_its_own, copied_and_cut, deleted]
)
def test_every_line_comes_once_through_rotations(log: Path, rotate: Rotation) -> None:
    rng, taken, at = random.Random(5), following(log), 0
    for number in range(6):
        add(log, HEADER + b"#open\t%d\n" % number)
        for _ in range(rng.randrange(1, 5)):
            count = rng.randrange(1, 200)
            add(log, lines(at, count))
            at += count
            time.sleep(rng.choice([0, 0, 0.02]))
        if rotate is deleted:  # what nobody has open any more is gone for everybody
            taken.wait_for(b"%d\tC%d\tSF\n" % (at - 1, at - 1))
        rotate(log, number)
        if rotate is not copied_and_cut and rng.random() < 0.5:
            time.sleep(0.05)
    add(log, HEADER + lines(at, 1))
    taken.wait_for(b"%d\tC%d\tSF\n" % (at, at))
    assert body(taken.end()) == list(range(at + 1))


def test_a_file_that_is_cut_again_while_copies_are_looked_for_is_not_lost(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy is passed over as what is open, and what is open is cut before it is read."""
    add(log, HEADER + b"#open\t0\n" + lines(0, 3))
    taken, calls, found = following(log), [0], follow.siblings

    def cut_meanwhile(path: Path) -> list[Path]:
        calls[0] += 1
        if calls[0] == 2:  # the first looks for the copy of what was cut, the second for what came between
            copied_and_cut(log, 1)
            add(log, HEADER + b"#open\t2\n" + lines(5, 1))
        return found(path)

    taken.wait_for(b"2\tC2\tSF\n")
    monkeypatch.setattr(follow, "siblings", cut_meanwhile)
    copied_and_cut(log, 0)
    add(log, HEADER + b"#open\t1\n" + lines(3, 2))
    taken.wait_for(b"5\tC5\tSF\n")
    assert body(taken.end()) == list(range(6))


def test_what_is_still_written_to_the_old_file_comes_too(log: Path) -> None:
    """The writer opens the new file first, and finishes a line of the old one after that."""
    with log.open("ab", buffering=0) as old:
        old.write(HEADER + lines(0, 2) + b"2\tC")
        taken = following(log)
        taken.wait_for(b"1\tC1\tSF\n")
        log.rename(log.with_name("conn.old.log"))
        add(log, HEADER + lines(4, 1))
        old.write(b"2\tSF\n" + lines(3, 1))
        taken.wait_for(b"4\tC4\tSF\n")
    assert body(taken.end()) == [0, 1, 2, 3, 4]


def test_a_last_line_without_an_end_does_not_run_into_the_next_file(log: Path) -> None:
    add(log, lines(0, 1) + b"cut of")
    taken = following(log)
    taken.wait_for(b"C0")
    renamed(log, 1)
    add(log, lines(1, 1))
    taken.wait_for(b"C1")
    assert taken.end() == lines(0, 1) + b"cut of\n" + lines(1, 1)


def test_a_file_that_shrinks_without_a_copy_is_said(log: Path) -> None:
    add(log, lines(0, 10))
    taken = following(log)
    taken.wait_for(b"C9")
    log.write_bytes(lines(10, 1))
    taken.wait_for(b"C10")
    assert body(taken.end()) == list(range(11))
    [problem] = taken.listener.heard.problems
    assert "was cut or written anew behind byte 80, and no copy of it was found" in problem


def test_a_file_that_is_cut_and_outgrows_its_old_size_between_looks_is_noticed(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_EVERY_S", 0.3)
    add(log, lines(0, 3))
    taken = following(log)
    taken.wait_for(b"C2")
    shutil.copyfile(log, log.with_name("conn.log.1"))
    add(log.with_name("conn.log.1"), b"")
    os.truncate(log, 0)
    add(log, lines(3, 100))
    taken.wait_for(b"C102")
    assert body(taken.end()) == list(range(103))
    assert taken.listener.heard.problems == ()


def test_another_file_moved_to_its_place_is_followed(log: Path) -> None:
    add(log, lines(0, 5))
    taken = following(log)
    taken.wait_for(b"C4")
    new = log.with_name("new")
    new.write_bytes(lines(5, 5))
    new.rename(log)
    taken.wait_for(b"C9")
    add(log, lines(10, 1))
    taken.wait_for(b"C10")
    assert body(taken.end()) == list(range(11))


# Restarts


def run_once(memory: Memory, log: Path, until: bytes, settle: int | None = None) -> bytes:
    """Follow until `until` has come; then settle so many lines (None: all), and stop."""
    listener = memory.listener(log)
    taken = Collector(listener)
    taken.wait_for(until)
    wait_until(lambda: taken.data.endswith(b"\n"), "a line is whole")
    listener.settled(taken.data.count(b"\n") if settle is None else settle)
    return taken.end()


def test_a_restart_goes_on_behind_what_was_dealt_with(log: Path) -> None:
    memory = Memory()
    add(log, HEADER + lines(0, 10))
    assert run_once(memory, log, b"C9") == HEADER + lines(0, 10)
    add(log, lines(10, 5))
    assert run_once(memory, log, b"C14") == HEADER + lines(10, 5)
    listener = memory.listener(log)
    taken = Collector(listener)
    wait_until(lambda: taken.data == HEADER, "the header has come")
    assert taken.end() == HEADER


@pytest.mark.parametrize(
    ("header", "first"),
    [
        (b"\t" + HEADER, b"1601998366.7\tC0\tSF\n"),
        (b"StartTime,Dur,Proto,SrcAddr,Sport\n", b"2018/02/13 10:00:00.5,0.1,tcp,10.0.0.1,22\n"),
        (b"version account-id interface-id srcaddr\n", b"2 123456789010 eni-1235b8ca 10.0.0.1\n"),
        (b'"first seen";"source"\n', b'"2018-02-13";"10.0.0.1"\n'),
        (b"", b"2 123456789010 eni-1235b8ca - - - - - - - 1431280876 1431280934 - NODATA\n"),
        (b"", b'{"ts":1601998366.7,"uid":"C0"}\n'),
    ],
)
def test_what_the_columns_mean_is_told_again_after_a_restart(log: Path, header: bytes, first: bytes) -> None:
    memory = Memory()
    add(log, header + first)
    assert run_once(memory, log, first) == header + first
    add(log, b"x" + first)
    assert run_once(memory, log, b"x" + first) == header + b"x" + first


def test_what_was_read_and_not_dealt_with_comes_again(log: Path) -> None:
    """Blocks end where the reader was told of them; what is not settled comes again as a whole."""
    memory = Memory()
    add(log, HEADER + lines(0, 4))
    listener = memory.listener(log)
    taken = Collector(listener)
    taken.wait_for(b"C3")
    add(log, lines(4, 4))
    taken.wait_for(b"C7")
    listener.settled(3 + 4 + 2)  # six lines, of which the last two are of the second block
    taken.end()
    assert run_once(memory, log, b"C7") == HEADER + lines(4, 4)


@pytest.mark.parametrize(
    "rotate", [renamed, renamed_and_packed, packed_with_a_time_of_its_own, copied_and_cut]
)
def test_rotations_while_nobody_looked_lose_nothing(log: Path, rotate: Rotation) -> None:
    memory = Memory()
    add(log, HEADER + lines(0, 10))
    first = run_once(memory, log, b"C9")
    add(log, lines(10, 10))
    at = 20
    for number in range(3):
        time.sleep(0.02)
        rotate(log, number)
        time.sleep(0.02)
        add(log, HEADER + b"#open\t%d\n" % number + lines(at, 10))
        at += 10
    (log.parent / "conn.summary").write_bytes(b"no log\n")
    (log.parent / "dns.log").write_bytes(b"no log\n")
    second = run_once(memory, log, b"C49")
    assert body(first) + body(second) == list(range(50))
    assert second.startswith(HEADER)


def test_a_reused_inode_and_a_lost_place_begin_at_the_start(log: Path) -> None:
    memory = Memory()
    add(log, lines(0, 10))
    run_once(memory, log, b"C9")
    log.unlink()
    add(log, lines(100, 20))
    assert body(run_once(memory, log, b"C119")) == list(range(100, 120))
    memory.text = '{"device": "nonsense"}'
    assert body(run_once(memory, log, b"C119")) == list(range(100, 120))


def test_after_a_reader_died_what_it_left_undone_comes_again_once(log: Path) -> None:
    memory = Memory()
    add(log, HEADER + lines(0, 5))
    listener = memory.listener(log)
    blocks = listener.blocks()
    assert next(blocks) == HEADER + lines(0, 5)
    listener.settled(8)
    add(log, lines(5, 5))
    assert until_data(blocks) == lines(5, 5)
    listener.died(8)
    again = listener.blocks()
    assert until_data(again) + until_data(again) == HEADER + lines(5, 5)
    listener.died(3)  # and these lines kill the next one, too
    add(log, lines(10, 1))
    last = listener.blocks()
    assert until_data(last) + until_data(last) == HEADER + lines(10, 1)
    assert listener.heard.lost == 5
    assert len(listener.heard.problems) == 2
    listener.close()


def until_data(blocks: Iterator[bytes]) -> bytes:
    return next(block for block in blocks if block)


# Captures

PCAP = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")


def test_a_capture_comes_byte_by_byte_and_the_next_one_is_another_source(tmp_path: Path) -> None:
    capture = tmp_path / "a.pcap"
    add(capture, PCAP + b"half a rec")
    taken = following(capture)
    taken.wait_for(b"half a rec")
    add(capture, b"ord\n")
    taken.wait_for(b"ord\n")
    assert taken.sources == 1
    capture.rename(tmp_path / "a.pcap.1")
    add(capture, PCAP + b"second")
    taken.wait_for(b"second")
    assert taken.sources == 2
    os.truncate(capture, 0)
    add(capture, PCAP + b"third")
    taken.wait_for(b"third")
    assert taken.sources == 3
    assert taken.end() == PCAP + b"half a record\n" + PCAP + b"second" + PCAP + b"third"
