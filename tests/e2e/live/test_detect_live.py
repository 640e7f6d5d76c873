"""Live sources from the command line: findings while they run, the account at the end."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.live.running import adds_up, detecting, kinds
from tests.unit.formats import logs
from tests.unit.formats.logs import conn

from qwarden.cli.main import main
from qwarden.core.store import open_store
from qwarden.detect.scenario import write_scenario
from qwarden.formats import open_capture


def scan(first_port: int, count: int, start: float, source: str = "10.9.8.7") -> list[dict[str, Any]]:
    """Connections of a port scan, as Zeek logs them."""
    return [
        conn(
            ts=start + at * 0.05, uid=f"C{first_port + at}", orig_h=source, resp_h="10.1.2.3",
            orig_p=50_000 + at % 1000, resp_p=first_port + at, service=None, duration=None, orig_bytes=None,
            resp_bytes=None, conn_state="REJ", history="Sr", orig_pkts=1, orig_ip_bytes=60, resp_pkts=1,
            resp_ip_bytes=40,
        )
        for at in range(count)
    ]  # fmt: skip


def text(records: list[dict[str, Any]], header: bool = True) -> bytes:
    lines = logs.tsv(records).splitlines(True)
    return b"".join(line for line in lines if header or not line.startswith(b"#"))


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(data)


def test_a_log_is_followed_through_rotation_interrupt_kill_and_restart(tmp_path: Path) -> None:
    home, log, now = tmp_path / "home", tmp_path / "conn.log", time.time() - 600
    with detecting(home, "--follow", str(log)) as running:
        add(log, text(scan(1, 300, now)))
        running.wait_for(lambda: running.alerts() > 0)  # the log pauses, and yet it is scored
        log.rename(tmp_path / "conn.2026.log")
        add(log, text(scan(301, 100, now + 20)))
        (tmp_path / "conn.2026.log.gz").write_bytes(gzip.compress((tmp_path / "conn.2026.log").read_bytes()))
        (tmp_path / "conn.2026.log").unlink()
        add(log, b"half a li")
        running.wait_for(lambda: place(home, log) == log.stat().st_size - len(b"half a li"))
        code, first = running.end(signal.SIGINT)
    assert code == 130
    assert first["flows"]["read"] == first["flows"]["scored"] == 400
    assert kinds(first) == {"scan_vertical"}
    [source] = first["sources"]
    assert source["path"] == str(log)
    assert first["findings"][0]["source"] == str(log)
    assert (source["lines"]["flows"], source["lines"]["malformed"]) == (400, 0)

    # The line that came in halves, and a hundred more; then it is killed, and goes on where it was.
    add(log, b"ne\n" + text(scan(401, 100, now + 30), header=False))
    size = log.stat().st_size
    with detecting(home, "--follow", str(log)) as running:
        running.wait_for(lambda: place(home, log) == size)
        running.process.kill()
        running.process.wait()
        running.said.unlink()
    add(log, text(scan(501, 20, now + 40), header=False))
    with detecting(home, "--follow", str(log), "--seconds", "2") as running:
        code, last = running.end(None)
    assert (code, last["flows"]["read"]) == (0, 20)
    adds_up(last)


def place(home: Path, log: Path) -> int:
    """How far the store says that a log is dealt with."""
    store = open_store(home)
    try:
        return int(json.loads(store.setting(f"follow:{log}") or '{"offset": -1}')["offset"])
    finally:
        store.close()


def test_suricata_connects_to_a_socket(tmp_path: Path) -> None:
    path, now = tmp_path / "eve.sock", time.time()

    def event(at: int) -> bytes:
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now + at * 0.05))
        stamp = f"{second}.{at % 20 * 50_000:06}+0000"
        return logs.objects(
            [
                logs.changed(
                    logs.FLOW,
                    dest_port=at,
                    flow__start=stamp,
                    flow__end=stamp,
                    src_ip="10.9.8.7",
                    dest_ip="10.1.2.3",
                )
            ]
        )

    with detecting(tmp_path / "home", "--eve-socket", str(path)) as running:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as suricata:
            suricata.connect(str(path))
            for at in range(1, 400):
                suricata.sendall(event(at))
            running.wait_for(lambda: running.alerts() > 0)
        code, document = running.end(signal.SIGINT)
    assert code == 130
    assert document["flows"]["read"] == document["flows"]["scored"] == 399
    assert kinds(document) == {"scan_vertical"}
    assert document["sources"][0]["path"] == f"unix:{path}"
    assert not path.exists()


SOFTFLOWD = shutil.which("softflowd", path=os.environ.get("PATH", "") + ":/usr/sbin")


@pytest.mark.parametrize("version", ["5", "9", "10 -b"])
def test_a_real_exporter_tells_of_what_a_capture_holds(tmp_path: Path, version: str) -> None:
    """softflowd meters a scenario and exports it; what we make of its records is what we meter ourselves."""
    if SOFTFLOWD is None:
        pytest.skip("no softflowd here (Debian: apt-get install softflowd)")
    capture = tmp_path / "scenario.pcap"
    write_scenario(capture, 7, duration_s=300, hosts=6)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with detecting(tmp_path / "home", "--netflow", str(port)) as running:
        options = ["-v", *version.split(), "-a", "-6", "-d", "-c", "none"]  # -a: with the capture's times
        subprocess.run(
            [SOFTFLOWD, "-r", str(capture), "-n", f"127.0.0.1:{port}", *options, "-p", str(tmp_path / "pid")],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        running.wait_for(lambda: running.alerts() > 3)
        time.sleep(1)
        code, document = running.end(signal.SIGTERM)
    assert code == 0
    [source] = document["sources"]
    records, flows = source["records"], document["flows"]
    assert records["read"] == records["flows"] + records["templates"] + records["options"]
    assert records["lost"] == records["lost_datagrams"] == 0
    assert flows["read"] == flows["scored"] > 1000
    assert {"scan_vertical", "flood_syn", "dead_c2"} <= kinds(document)
    [spooled] = (tmp_path / "home" / "spool" / f"netflow-{port}").glob("*.pcap")
    assert flow_totals(spooled) == frame_totals(capture, versions=(4,) if version == "5" else (4, 6))


def flow_totals(path: Path) -> dict[int, tuple[int, int]]:
    """Packets and bytes a protocol, by our reading of what was exported."""
    found: dict[int, tuple[int, int]] = {}
    with open_capture(path) as reader:
        for batch in reader:
            for flow in batch.flows:
                packets, size = found.get(int(flow["proto"]), (0, 0))
                packets += int(flow["packets_out"] + flow["packets_in"])
                found[int(flow["proto"])] = (packets, size + int(flow["bytes_out"] + flow["bytes_in"]))
    return found


def frame_totals(path: Path, versions: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """Packets and bytes a protocol, frame by frame: softflowd counts all behind the Ethernet header."""
    found: dict[int, tuple[int, int]] = {}
    data, at = path.read_bytes(), 24
    while at < len(data):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        version = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(frame[12:14])
        if version in versions:
            number = frame[23] if version == 4 else frame[20] or frame[54]  # 0: hop-by-hop options
            packets, before = found.get(number, (0, 0))
            found[number] = (packets + 1, before + size - 14)
    return found


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "expected captures, logs or folders, or a live source"),
        (["PLACE", "--follow", "PLACE/a"], 2, "one source at a time, not both"),
        (["--follow", "a", "--netflow", "2055"], 2, "--netflow and --follow: one source at a time"),
        (["PLACE", "--seconds", "3"], 2, "only a live source ends"),
        (["--netflow", "nowhere"], 2, "expected a port, or HOST:PORT"),
        (["--follow", "PLACE/nowhere/a"], 3, "no such folder"),
        (["--interface", "nothere0"], 2, "there is none"),
        (["--eve-socket", "PLACE/nowhere/s"], 2, "no such file"),
        (["--redis", "http://host"], 2, "expected redis://"),
    ],
)
def test_calls_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    real = [part.replace("PLACE", str(tmp_path)) for part in arguments]
    assert main(["--home", str(tmp_path / "home"), "detect", *real]) == code
    assert said in capsys.readouterr().err


def test_the_document_says_what_was_lost(tmp_path: Path) -> None:
    """Sequence numbers with a gap."""
    from tests.unit.formats.listeners import exporter as x

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        with detecting(tmp_path / "home", "--netflow", "0", "--seconds", "3") as running:
            where = running.said.read_text().split("listening: netflow 127.0.0.1:")[1]
            one.connect(("127.0.0.1", int(where.split()[0])))
            for number in (0, 1, 7):
                one.send(x.v5([x.v5_record()], sequence=number, when=int(time.time())))
            one.send(b"nonsense")
            code, document = running.end(None)
    assert code == 0
    records = document["sources"][0]["records"]
    assert (records["datagrams"], records["flows"], records["lost"], records["malformed"]) == (4, 3, 5, 1)
    assert document["flows"]["malformed"] == 1
    adds_up(document)
    assert json.dumps(document)
