"""From a listener through the pipe to a real reading process, which is killed now and then."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qwarden.core.errors import InputError, QwardenError, ServiceError, UnreadableError
from qwarden.formats import CaptureReader, SourceReport, open_capture
from qwarden.formats.listeners import follow
from qwarden.formats.listeners.exports import ExportListener
from qwarden.formats.listeners.follow import FollowListener
from qwarden.formats.listeners.listener import Heard, Listener
from qwarden.formats.listeners.session import Ending, listen
from tests.unit.formats import craft, logs
from tests.unit.formats.listeners import exporter as x
from tests.unit.formats.listeners.collect import wait_until
from tests.unit.formats.logs import conn

PATIENCE_S = 30.0


class Session:
    """Runs `listen` in a thread, reads with `open_capture`, and keeps what comes."""

    def __init__(self, listener: Listener, tmp_path: Path, settle: bool = True) -> None:
        self.ports: list[int] = []
        self.reports: list[SourceReport] = []
        self.error: QwardenError | None = None
        self.reader: CaptureReader | None = None
        self._listener, self._settle = listener, settle
        self._stop = threading.Event()
        listener.open()
        self._thread = threading.Thread(target=self._run, args=[tmp_path / "streams" / "pipe"], daemon=True)
        self._thread.start()

    def _run(self, pipe: Path) -> None:
        try:
            listen(self._listener, pipe, self._stop, self._read)
        except QwardenError as error:
            self.error = error

    def _read(self, source: Path) -> Ending:
        problem = ""
        with open_capture(source, name=self._listener.name) as reader:
            self.reader = reader
            try:
                for batch in reader:
                    self.ports += batch.flows["src_port"].tolist()
                    if self._settle:
                        self._listener.settled(reader.report.lines.read)
            except UnreadableError as error:
                problem = str(error)
            except InputError:
                pass
            self.reports.append(reader.report)
        return Ending(None if problem else reader.report, problem)

    def kill_reader(self) -> None:
        """Kill the reading process, as the kernel does when memory is short."""
        reader = self.reader
        assert reader is not None
        os.kill(reader._reader._pid, signal.SIGKILL)
        wait_until(lambda: self.reader is not reader, "another one reads")

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LOOK_EVERY_S", 0.01)


def zeek(first: int, count: int, header: bool = True) -> bytes:
    text = logs.tsv([conn(orig_p=port) for port in range(first, first + count)])
    return text if header else b"".join(line for line in text.splitlines(True) if not line.startswith(b"#"))


def test_a_log_is_read_while_it_grows_and_a_killed_reader_costs_no_line(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_bytes(zeek(1000, 50))
    session = Session(FollowListener(log), tmp_path)
    wait_until(lambda: len(session.ports) == 50, "the first lines are read")
    with log.open("ab") as stream:
        stream.write(zeek(1050, 50, header=False))
    wait_until(lambda: len(session.ports) == 100, "the next lines are read")
    session.kill_reader()
    with log.open("ab") as stream:
        stream.write(zeek(1100, 50, header=False))
    wait_until(lambda: len(session.ports) == 150, "lines are read by the next one")
    session.stop()
    assert session.ports == list(range(1000, 1150))
    first, second = session.reports
    assert not first.complete
    assert "ended unexpectedly" in first.problems[-1]
    assert (second.complete, second.lines.flows) == (True, 50)
    assert session.error is None


def test_datagrams_a_killed_reader_held_are_counted(tmp_path: Path) -> None:
    listener = ExportListener("127.0.0.1", 0, tmp_path / "spool", 1 << 24)
    session = Session(listener, tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(listener.address)

        def send(number: int) -> None:
            one.send(x.v5([x.v5_record(sport=1000 + number)], sequence=number))

        send(0)
        wait_until(
            lambda: session.reader is not None and session.reader.report.records.datagrams == 1, "read"
        )
        session.kill_reader()
        for number in range(1, 20):
            send(number)
        wait_until(lambda: session.reader is not None and session.reader.report.records.datagrams > 0, "read")
        wait_until(lambda: listener.heard.datagrams == 20, "all are handed on")
    session.stop()
    read = sum(report.records.datagrams for report in session.reports)
    assert read + listener.heard.lost == 20
    assert session.reports[0].records.datagrams == 1


def test_what_is_of_no_format_is_said(tmp_path: Path) -> None:
    (tmp_path / "dns.log").write_bytes(b"#separator \\x09\n#path\tdns\n#fields\tts\tuid\n1\t2\n" * 2)
    session = Session(FollowListener(tmp_path / "dns.log"), tmp_path)
    session.join()
    assert isinstance(session.error, InputError)
    assert "dns" in str(session.error)


def test_readers_that_die_again_and_again_end_it(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_bytes(zeek(1000, 5))
    session = Session(FollowListener(log), tmp_path, settle=False)
    for _ in range(4):
        wait_until(lambda: session.reader is not None and session.reader.report.lines.read > 0, "it reads")
        session.kill_reader()
    wait_until(lambda: session.reader is not None and session.reader.report.lines.read > 0, "it reads")
    assert session.reader is not None
    os.kill(session.reader._reader._pid, signal.SIGKILL)
    session.join()
    assert isinstance(session.error, ServiceError)
    assert "dies again and again" in str(session.error)


class Gone:
    """A listener whose interface goes away after a while."""

    name, more = "gone0", False

    def __init__(self) -> None:
        self.heard, self.failed = Heard(), ""

    def open(self) -> None: ...

    def blocks(self) -> Iterator[bytes]:
        yield craft.pcap([(1, craft.frame4(craft.udp(53, 5353, b"abc"), 17))])
        self.failed = "it has gone"

    def settled(self, lines: int) -> None: ...
    def died(self, done: int) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


def test_a_listener_that_ends_by_itself_is_an_error_behind_what_it_brought(tmp_path: Path) -> None:
    session = Session(Gone(), tmp_path)
    session.join()
    assert isinstance(session.error, ServiceError)
    assert str(session.error) == "gone0: it has gone"
    [report] = session.reports
    assert report.packets.metered == 1


def test_each_capture_that_gets_the_name_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "QUIET_S", 0.05)
    path = tmp_path / "a.pcap"

    def capture(port: int) -> bytes:
        return craft.pcap([(1, craft.frame4(craft.udp(port, 9, b"abc"), 17))])

    def read(count: int) -> Callable[[], bool]:
        return lambda: len(session.reports) == count

    path.write_bytes(capture(5001))
    session = Session(FollowListener(path), tmp_path)
    wait_until(lambda: session.reader is not None and session.reader.report.packets.read == 1, "it is read")
    path.rename(tmp_path / "a.pcap.1")
    path.write_bytes(capture(5002))
    wait_until(read(1), "the first has ended")
    wait_until(lambda: session.reader is not None and session.reader.report.packets.read == 1, "it is read")
    session.stop()
    assert session.ports == [5001, 5002]
