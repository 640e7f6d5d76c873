from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from qwarden.console.feeds import folder as module
from qwarden.console.feeds.folder import FolderFeed, being_written
from qwarden.core.errors import UnreadableError
from qwarden.core.store import Store
from tests.unit.console.feeds.stub import StubReader

HEADER = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    made = tmp_path / "captures"
    made.mkdir()
    return made


class Looking:
    """A feed that looks a number of times, and does something before each look but the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, captures: Path, store: Store) -> None:
        self.monkeypatch, self.captures, self.store = monkeypatch, captures, store

    def __call__(self, *between: Any) -> list[bytes]:
        reader = StubReader(self.store)
        feed = FolderFeed(self.captures, reader, self.store)  # type: ignore[arg-type]
        stop, steps = threading.Event(), iter(between)

        def wait(_seconds: float) -> bool:
            step = next(steps, stop.set)
            step()
            return stop.is_set()

        self.monkeypatch.setattr(stop, "wait", wait)
        feed.open()
        feed.run(stop)
        return reader.contents


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, captures: Path, store: Store) -> Looking:
    return Looking(monkeypatch, captures, store)


def test_captures_are_read_once_the_oldest_first(look: Looking, captures: Path) -> None:
    (captures / "z").mkdir()
    old, new, later = HEADER + b"old", HEADER + b"new", HEADER + b"later"
    (captures / "z" / "new.pcap").write_bytes(new)
    (captures / "a.pcap").write_bytes(old)
    os.utime(captures / "a.pcap", (1, 1))
    (captures / "notes.txt").write_text("no capture")
    (captures / ".part.pcap").write_bytes(HEADER)
    read = look(lambda: None, lambda: (captures / "b.pcap").write_bytes(later), lambda: None)
    assert read == [old, new, later]


def test_what_zeek_says_of_connections_is_read_before_them(look: Looking, captures: Path) -> None:
    texts = {log: b"#path\t" + log + b"\n#fields\tts\tuid\tconn_state\n" for log in (b"conn", b"dns", b"ssl")}
    for at, (log, text) in enumerate(texts.items()):
        path = captures / f"{log.decode()}.log"
        path.write_bytes(text)
        os.utime(path, (at, at))
    assert look(lambda: None) == [texts[log] for log in (b"dns", b"ssl", b"conn")]


def test_what_was_read_is_not_read_again_after_a_restart_or_under_another_name(
    look: Looking, captures: Path
) -> None:
    (captures / "a.pcap").write_bytes(HEADER + b"1")
    assert look(lambda: (captures / "a.pcap").rename(captures / "a.pcap.1"), lambda: None) == [HEADER + b"1"]
    assert look(lambda: None) == []
    (captures / "copy.pcap").write_bytes(HEADER + b"1")
    assert look(lambda: None) == []


def test_a_capture_that_has_grown_is_new_content(look: Looking, captures: Path) -> None:
    file = captures / "a.pcap"
    file.write_bytes(HEADER + b"1")
    assert look(lambda: file.write_bytes(HEADER + b"12"), lambda: None) == [HEADER + b"1", HEADER + b"12"]


def test_a_capture_is_left_alone_while_it_is_written(look: Looking, captures: Path) -> None:
    with (captures / "a.pcap").open("wb", buffering=0) as stream:
        stream.write(HEADER)

        def go_on() -> None:
            stream.write(b"the rest")
            stream.close()

        assert look(lambda: None, go_on, lambda: None) == [HEADER + b"the rest"]


def test_where_the_system_does_not_say_it_waits_for_quiet(
    look: Looking, captures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "being_written", lambda path: None)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    file = captures / "a.pcap"
    file.write_bytes(HEADER)

    def later(seconds: float, *, write: bytes = b"") -> Any:
        def step() -> None:
            now[0] += seconds
            if write:
                file.write_bytes(HEADER + write)

        return step

    quiet = module.QUIET_S
    assert look(later(quiet - 1), later(1, write=b"x"), later(quiet - 1)) == []
    assert look(later(quiet - 1), later(1)) == [HEADER + b"x"]


def test_whether_a_file_is_written_is_the_systems_word(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x")
    assert being_written(file) in (False, None)
    with file.open("ab"):
        assert being_written(file) in (True, None)


def test_a_single_capture_will_do(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.pcap").write_bytes(HEADER)
    assert Looking(monkeypatch, tmp_path / "one.pcap", store)(lambda: None) == [HEADER]


def test_a_folder_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="does not exist"):
        FolderFeed(tmp_path / "nowhere", StubReader(), store).open()  # type: ignore[arg-type]
