"""NetFlow over a real UDP socket: what is sent is what is read, or counted as lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from qwarden.core.errors import UsageError
from qwarden.formats.listeners.exports import ExportListener, parse_listen
from tests.unit.formats import craft
from tests.unit.formats.listeners import exporter as x
from tests.unit.formats.listeners.collect import Collector, wait_until


def listening(tmp_path: Path, host: str = "127.0.0.1") -> ExportListener:
    listener = ExportListener(host, 0, tmp_path / "spool", 1 << 26)
    listener.open()
    return listener


def sender(host: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made


def message(number: int) -> bytes:
    now = int(time.time())
    return x.v5([x.v5_record(sport=1000 + number, proto=17)], sequence=number, when=now)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_exporters_send_is_read_in_order_by_a_process_without_rights(tmp_path: Path, host: str) -> None:
    listener = listening(tmp_path, host)
    taken = Collector(listener)
    with sender(host) as one, sender(host) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
        for number in range(100):
            one.sendto(message(number), listener.address)
            if number % 10 == 0:
                two.sendto(b"nonsense", listener.address)
        wait_until(lambda: listener.heard.datagrams == 110, "all were received")
        status = Path(f"/proc/{listener._copier.pid}/status").read_text()
    data = taken.end()
    held = dict(re.findall(r"^(CapEff|NoNewPrivs|Seccomp):\s*(\w+)$", status, re.MULTILINE))
    assert int(held["CapEff"], 16) == 0
    assert held["NoNewPrivs"] == "1"
    assert held["Seccomp"] == "2"
    flows, report = craft.read(data)
    assert sorted(flows["src_port"].tolist()) == list(range(1000, 1100))
    assert (report.records.datagrams, report.records.flows, report.records.malformed) == (110, 100, 10)
    assert (report.records.lost, listener.heard.lost) == (0, 0)
    assert f"{host} port {ports[1]}: the datagram is of version 28271" in report.problems[0]
    # What stands in the spool is the same, for any tool to read.
    [spooled] = (tmp_path / "spool").glob("*.pcap")
    assert craft.read(spooled.read_bytes())[0]["src_port"].tolist() == flows["src_port"].tolist()


def test_a_socket_for_both_families_knows_an_ipv4_exporter(tmp_path: Path) -> None:
    listener = listening(tmp_path, "::")
    taken = Collector(listener)
    with sender() as one:
        one.sendto(b"nonsense", ("127.0.0.1", listener.address[1]))
        wait_until(lambda: listener.heard.datagrams == 1, "it was received")
    assert "127.0.0.1 port" in craft.read(taken.end())[1].problems[0]


def test_what_the_kernel_drops_is_counted(tmp_path: Path) -> None:
    """The receiving process is held up while more comes than the socket's buffer takes."""
    listener = listening(tmp_path)
    listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    taken = Collector(listener)
    os.kill(listener._copier.pid, signal.SIGSTOP)
    with sender() as one:
        for number in range(500):
            one.sendto(message(number), listener.address)
        os.kill(listener._copier.pid, signal.SIGCONT)
        wait_until(lambda: listener.heard.datagrams > 0, "some came through")
        one.sendto(message(500), listener.address)
        wait_until(lambda: listener.heard.datagrams + listener.heard.lost == 501, "all are accounted for")
    assert listener.heard.lost > 300
    _, report = craft.read(taken.end())
    # The sequence numbers miss exactly what the kernel dropped.
    assert report.records.lost == listener.heard.lost


def test_the_receiving_process_is_started_anew_when_it_is_killed(tmp_path: Path) -> None:
    listener = listening(tmp_path)
    taken = Collector(listener)
    with sender() as one:
        one.sendto(message(0), listener.address)
        wait_until(lambda: listener.heard.datagrams == 1, "the first was received")
        os.kill(listener._copier.pid, signal.SIGKILL)
        one.sendto(message(1), listener.address)
        wait_until(lambda: listener.heard.datagrams == 2, "the second waited in the socket")
    flows, report = craft.read(taken.end())
    assert (len(flows), report.records.lost) == (2, 0)
    assert listener.heard.problems == ("the process that hears it has ended, and was started anew",)


def test_where_it_may_listen(tmp_path: Path) -> None:
    for text in ("", "x", "1:2:3", "70000", "[::1", "host:", "12ab"):
        with pytest.raises(UsageError, match="expected a port, or HOST:PORT"):
            parse_listen(text)
    assert parse_listen("router.example:9995") == ("router.example", 9995)
    with sender() as taken:
        listener = ExportListener("127.0.0.1", taken.getsockname()[1], tmp_path, 1 << 20)
        with pytest.raises(UsageError, match="already in use"):
            listener.open()
    with pytest.raises(UsageError, match="no such address"):
        ExportListener("no.such.host.invalid", 1, tmp_path, 1 << 20).open()


def test_wireshark_reads_the_spool_as_we_do(tmp_path: Path) -> None:
    """tshark dissects the same file: every record's ends and counts are the same."""
    tshark = next(filter(os.path.exists, ("/usr/bin/tshark", "/usr/local/bin/tshark")), None)
    if tshark is None:
        pytest.skip("no tshark here (Debian: apt-get install tshark)")
    few = range(1, 9)
    v5 = [x.v5_record(f"10.1.0.{at}", proto=17, packets=at, octets=at * 99) for at in few]
    v9 = b"".join(x.plain(f"10.2.0.{at}", proto=17, packets=at, octets=7 * at) for at in few)
    ipfix = b"".join(x.modern(f"10.3.0.{at}", proto=17, packets=at, octets=8 * at) for at in few)
    told = [
        x.v5(v5),
        x.v9(x.templates9(x.template(256, x.PLAIN)), sequence=1),
        x.v9(x.flowset(256, v9), sequence=2),
        x.ipfix(x.templates10(x.template(300, x.MODERN))),  # Wireshark's templates know no version
        x.ipfix(x.flowset(300, ipfix)),
    ]
    path = tmp_path / "spool.pcap"
    path.write_bytes(x.stream(*told))
    names = ("srcaddr", "dstaddr", "srcport", "dstport", "packets", "octets")
    shown = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "aggregator=;"]
        + [part for name in names for part in ("-e", f"cflow.{name}")],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    theirs = sorted(
        record
        for line in shown.splitlines()
        if line.strip()
        for record in zip(*(column.split(";") for column in line.split("\t")), strict=True)
    )
    flows, report = craft.read(path.read_bytes())
    columns = ("src_port", "dst_port", "packets_out", "bytes_out")
    ours = sorted(
        (*(str(part) for part in ends(flow)), *(str(int(flow[name])) for name in columns)) for flow in flows
    )
    assert len(ours) == report.records.flows == 24
    assert ours == theirs


def ends(flow: object) -> tuple[str, str]:
    from qwarden.formats.flows import join_address

    return join_address(flow["src_hi"], flow["src_lo"]), join_address(flow["dst_hi"], flow["dst_lo"])  # type: ignore[index]
