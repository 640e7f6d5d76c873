"""The reading process: what it cannot do, and what becomes of one that dies, hangs or lies."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import InputError, QwardenError
from qwarden.formats import MeterSettings, open_capture, sandbox_report, stop_host
from qwarden.formats.accounting import END_OF_TIME, PacketCounts, SourceReport
from qwarden.formats.captures import CaptureReader
from qwarden.formats.flows import FLOW, Flows
from qwarden.formats.sandbox import host as host_module
from qwarden.formats.sandbox import seccomp
from qwarden.formats.sandbox.host import Reader
from qwarden.formats.sandbox.wire import (
    MOST_HEADER,
    PREFIX,
    Distrust,
    Message,
    check_flows,
    check_sizes,
    decode_header,
    encode,
)

from . import craft


def traffic(count: int) -> bytes:
    """A capture of `count` flows of one packet each, a second apart."""
    return craft.pcap((float(n), craft.frame4(craft.udp(1024 + n % 60000, 53), 17)) for n in range(count))


def test_the_cage_holds() -> None:
    """Every attempt to break out is refused, whatever the system allows us to build."""
    held = {measure.measure: measure for measure in sandbox_report()}
    for attempt in ("opening a file", "creating a file", "opening a network socket", "starting a process"):
        assert held[f"{attempt} is refused"].holds, held
    if platform.system() == "Linux":
        for always in ("no new privileges", "unprivileged user", "no capabilities"):
            assert held[always].holds, held
        assert held["no files, processes or memory beyond limits"].holds, held


WITHOUT_FILTER = """
import json
from qwarden.formats.sandbox import lockdown, seccomp
import os, socket
seccomp.install = lambda: "this kernel has none"
null = os.open(os.devnull, os.O_RDWR)
os.dup2(null, 0), os.dup2(null, 2), os.close(null)
held = lockdown.lock_down(1 << 28) + lockdown.attempt_escapes()
print(json.dumps({measure.measure: measure.holds for measure in held}))
"""


def test_without_the_filter_the_limits_still_hold() -> None:
    """A kernel without seccomp: no descriptor and no process can be had all the same."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_FILTER], capture_output=True, text=True, check=True)
    held = json.loads(done.stdout)
    assert not held["system calls filtered"]
    for attempt in ("opening a file", "creating a file", "opening a network socket", "starting a process"):
        assert held[f"{attempt} is refused"], held


def test_the_reader_runs_without_our_privileges_and_descriptors(tmp_path: Path) -> None:
    """Seen from outside, through /proc, while it waits for a pipe."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the system has no /proc")
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=feed, args=(tmp_path / "pipe", [craft.pcap([]), 3.0]), daemon=True).start()
    with open_capture(tmp_path / "pipe") as reader:
        iterator = iter(reader)
        pid = reader._reader._pid
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            if status["NoNewPrivs"] == "1" and status.get("Seccomp") != "0":
                break
            time.sleep(0.02)
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) == 0
        assert "0" not in status["Uid"].split()
        assert status["Threads"] == "1"
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert limits.split("Max open files")[1].split()[:2] == ["3", "3"]
        assert limits.split("Max file size")[1].split()[:2] == ["0", "0"]
        list(iterator)


def feed(path: Path, steps: list[object]) -> None:
    with path.open("wb", buffering=0) as pipe:
        for step in steps:
            if isinstance(step, bytes):
                pipe.write(step)
            else:
                time.sleep(float(step))  # type: ignore[arg-type]


def test_a_slow_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """Longer than the patience in all; the process shows that it lives."""
    data = traffic(10)
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(
        target=feed, args=(tmp_path / "pipe", [data[:100], 2.5, data[100:]]), daemon=True
    ).start()
    with open_capture(tmp_path / "pipe", patience_s=2.0) as reader:
        assert sum(len(batch.flows) for batch in reader) == 10
    assert reader.report.complete


def test_a_killed_reader_is_an_error_that_keeps_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(traffic(100_000))
    seen = 0
    with open_capture(path) as reader:
        batches = iter(reader)
        seen += len(next(batches).flows)
        os.kill(reader._reader._pid, signal.SIGKILL)
        with pytest.raises(InputError, match=r"long\.pcap: after packet \d+: .* ended unexpectedly"):
            seen += sum(len(batch.flows) for batch in batches)
    assert 0 < seen == reader.report.flows_read < 100_000
    assert 0 < reader.report.packets.read < 100_000
    assert not reader.report.complete
    assert "ended unexpectedly" in reader.report.problems[-1]


def test_a_stopped_reader_counts_as_hung(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(traffic(100_000))
    with open_capture(path, patience_s=0.5) as reader:
        batches = iter(reader)
        next(batches)
        os.kill(reader._reader._pid, signal.SIGSTOP)
        with pytest.raises(InputError, match=r"said nothing for 0\.5 s"):
            list(batches)
    assert reader.report.flows_read > 0


def test_leaving_early_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(traffic(100_000))
    with open_capture(path) as reader:
        next(iter(reader))
        pid = reader._reader._pid
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(pid)


ABANDONED = """
import sys, time
from qwarden.formats import host, open_capture
reader = open_capture(sys.argv[1])
next(iter(reader))
print(host()._process.pid, reader._reader._pid, flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(traffic(100_000))
    command = [sys.executable, "-c", ABANDONED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(running, pids))


def running(pid: int) -> bool:
    """Whether a process lives; one that nobody has collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_captures_are_read_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_bytes(traffic(50_000))
    with open_capture(path) as first, open_capture(path) as second:
        assert first._reader._pid != second._reader._pid
        for one, two in zip(first, second, strict=True):
            assert one.flows.tobytes() == two.flows.tobytes()


def test_settings_reach_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_bytes(traffic(1000))
    with open_capture(path, MeterSettings(max_flows=5)) as reader:
        assert sum(len(batch.flows) for batch in reader) == 1000
    assert reader.report.flows_evicted == 995


def test_the_host_is_replaced_when_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_bytes(traffic(3))
    before = host_module.host()
    before._process.kill()
    before._process.wait()
    with open_capture(path) as reader:
        assert sum(len(batch.flows) for batch in reader) == 3
    assert host_module.host() is not before


def test_a_host_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_bytes(traffic(3))
    stop_host()
    monkeypatch.setattr(host_module, "_BOOT", "raise SystemExit('no such luck')")
    with pytest.raises(QwardenError, match="no such luck"):
        open_capture(path)
    stop_host()


def test_no_secret_of_ours_reaches_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWARDEN_DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("LD_PRELOAD", "/tmp/evil.so")
    environment = host_module._environment()
    assert "hunter2" not in environment.values()
    assert "LD_PRELOAD" not in environment


# What the reading process says is not believed


def message(**changes: object) -> Message:
    report = SourceReport("x", "pcap", PacketCounts(read=2, metered=2), flows_read=1)
    values = {"report": report, "watermark_ns": END_OF_TIME, "epoch": 0, "cage": [], "last": False} | changes
    return Message(**values)  # type: ignore[arg-type]


def flow(**changes: float) -> Flows:
    flows, _ = craft.read(traffic(1))
    for name, value in changes.items():
        flows[name] = value
    return flows


def hear(data: bytes, name: str = "capture") -> list[object]:
    """Have a reader hear `data` from a process that then ends."""
    ours, theirs = os.pipe()
    threading.Thread(target=lambda: (os.write(theirs, data), os.close(theirs)), daemon=True).start()
    with CaptureReader(name, Reader(ours, -1, None), MeterSettings(), 5.0) as reader:
        return list(reader)


def said(told: Message, flows: Flows) -> bytes:
    header, body = encode(told, flows)
    return header + bytes(body)


def test_an_honest_message_is_heard() -> None:
    end = message(last=True)
    batches = hear(said(message(), flow()) + said(end, flow()[:0]))
    assert len(batches) == 1


LIES = {
    "counts that do not add up": said(
        message(report=SourceReport("x", "pcap", PacketCounts(read=3, metered=2))), flow()
    ),
    "more flows than it says": said(message(), np.concatenate([flow(), flow()])),
    "a flow fewer than it says": said(message(), flow()[:0]),
    "huge header": PREFIX.pack(1 << 30, 0),
    "huge body": PREFIX.pack(10, 1 << 31),
    "half a row": PREFIX.pack(10, 100),
    "no JSON": PREFIX.pack(4, 0) + b"\xff\xff\xff\xff",
    "deep JSON": PREFIX.pack(60000, 0) + b"[" * 60000,
    "other JSON": PREFIX.pack(2, 0) + b"{}",
    "a watermark that goes back": said(message(), flow())
    + said(
        message(watermark_ns=5, report=SourceReport("x", "pcap", PacketCounts(read=3, metered=3), 2)), flow()
    ),
    "an epoch that goes back": said(message(epoch=1), flow())
    + said(message(report=SourceReport("x", "pcap", PacketCounts(read=3, metered=3), 2)), flow()),
    "a flow behind the watermark": said(message(watermark_ns=10**18), flow())
    + said(message(report=SourceReport("x", "pcap", PacketCounts(read=3, metered=3), 2)), flow()),
}


@pytest.mark.parametrize("name", LIES)
def test_an_impossible_message_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="not to be trusted"):
        hear(LIES[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"proto": 70000}, {"src_port": 65536}, {"dst_port": -2}, {"vlan": 4096}, {"ip_version": 5},
        {"tcp_state": 13}, {"end_reason": 7}, {"start_ns": 2, "end_ns": 1}, {"start_ns": -1},
        {"bytes_in": -2}, {"packets_out": 0}, {"iat_mean_out": np.inf}, {"size_std_in": -1.0},
        {"ttl_in": 256}, {"src_mac": 1 << 48}, {"fin_out": 1 << 60},
    ],
)  # fmt: skip
def test_an_impossible_flow_is_an_error(changes: dict[str, float]) -> None:
    check_flows(flow())
    with pytest.raises(Distrust):
        check_flows(flow(**changes))


@pytest.mark.parametrize("key", ["watermark_ns", "epoch", "flows_read", "read", "problems", "format", "cage"])
@pytest.mark.parametrize("value", [-1, 1.5, True, None, "x" * 400, [[]] * 50, {"a": 1}, 1 << 70])
def test_headers_of_other_types_are_refused(key: str, value: object) -> None:
    document = asdict(message())
    for level in (document, document["report"], document["report"]["packets"]):
        if key in level:
            level[key] = value
    with pytest.raises(Distrust):
        decode_header(json.dumps(document).encode(), "capture")


def test_texts_cannot_write_on_the_terminal() -> None:
    report = SourceReport("evil\x1b[2J", "pcap\x07", problems=["\x1b]0;title\x07"], problems_total=1)
    heard = decode_header(json.dumps(asdict(message(report=report))).encode(), "capture").report
    assert heard.path == "capture"
    assert heard.format.isprintable()
    assert heard.problems[0].isprintable()


def test_sizes_are_bounded_before_anything_is_allocated() -> None:
    check_sizes(10, FLOW.itemsize)
    for header, body in ((0, 0), (MOST_HEADER + 1, 0), (10, FLOW.itemsize * 8193)):
        with pytest.raises(Distrust):
            check_sizes(header, body)


# The filter, run by an interpreter of our own (linux/filter.h), on the machine at hand or not


def verdict(machine: str, arch: int, number: int, third: int = 0) -> int:
    data = {0: number, 4: arch, 32: third}
    code = seccomp.program(machine)
    accumulator = at = 0
    while True:
        operation, jump_true, jump_false, operand = code[at]
        at += 1
        if operation == 0x20:
            accumulator = data[operand]
        elif operation == 0x06:
            return operand
        else:
            holds = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }
            at += jump_true if holds[operation] else jump_false


ALLOW, DENY, KILL = 0x7FFF0000, 0x00050001, 0x80000000
# From the kernel's tables: read, write, mmap, mprotect; socket, connect, execve, clone, openat, kill, ptrace.
CALLS = {
    "x86_64": (0xC000003E, [0, 1], [9, 10], [41, 42, 59, 56, 57, 2, 257, 62, 101, 435, 437, 425]),
    "aarch64": (0xC00000B7, [63, 64], [222, 226], [198, 203, 221, 220, 56, 129, 117, 435, 437, 425]),
}


@pytest.mark.parametrize("machine", CALLS)
def test_the_filter_allows_little(machine: str) -> None:
    arch, plain, mapping, forbidden = CALLS[machine]
    for number in plain:
        assert verdict(machine, arch, number) == ALLOW
    for number in mapping:
        assert verdict(machine, arch, number, 3) == ALLOW
        assert verdict(machine, arch, number, 7) == DENY  # executable
    for number in forbidden:
        assert verdict(machine, arch, number) == DENY
    assert verdict(machine, arch ^ 1, plain[0]) == KILL
    allowed = [number for number in range(512) if verdict(machine, arch, number) == ALLOW]
    assert len(allowed) == {"x86_64": 31, "aarch64": 30}[machine]
    assert verdict("x86_64", 0xC000003E, 0x40000000) == DENY
