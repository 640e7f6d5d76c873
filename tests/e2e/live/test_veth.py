"""A live interface: a pair of virtual ones, whose other end is in a network namespace of its own.

From inside the namespace real packets come: web pages that are fetched, and a port scan. Both sides are
counted by the kernel, so that nothing can go missing unseen.
"""

from __future__ import annotations

import http.server
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest
from tests.e2e.live.running import adds_up, detecting, kinds

OURS, THEIRS = "10.231.77.1", "10.231.77.2"
PORTS = range(2000, 2600)

SCAN = """
import socket, sys
for port in range(int(sys.argv[2]), int(sys.argv[3])):
    with socket.socket() as one:
        one.settimeout(2)
        one.connect_ex((sys.argv[1], port))
"""

FETCH = """
import sys, urllib.request
for _ in range(5):
    assert len(urllib.request.urlopen(sys.argv[1], timeout=10).read()) == 20_000
"""


class Pair:
    """Two ends of a virtual cable."""

    def __init__(self) -> None:
        tag = secrets.token_hex(3)
        self.space, self.ours, self.theirs = f"qwarden-{tag}", f"qw{tag}a", f"qw{tag}b"

    def make(self) -> None:
        run("ip", "netns", "add", self.space)
        run("ip", "link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", self.space)
        # Without IPv6 nobody speaks unasked.
        run("sysctl", "-qw", f"net.ipv6.conf.{self.ours}.disable_ipv6=1")
        self.inside("sysctl", "-qw", f"net.ipv6.conf.{self.theirs}.disable_ipv6=1")
        run("ip", "addr", "add", f"{OURS}/24", "dev", self.ours)
        self.inside("ip", "addr", "add", f"{THEIRS}/24", "dev", self.theirs)
        run("ip", "link", "set", self.ours, "up")
        self.inside("ip", "link", "set", self.theirs, "up")

    def inside(self, *command: str) -> None:
        run("ip", "netns", "exec", self.space, *command)

    def packets(self) -> int:
        """How many packets have passed, by the kernel's count."""
        statistics = Path(f"/sys/class/net/{self.ours}/statistics")
        return sum(int((statistics / name).read_text()) for name in ("rx_packets", "tx_packets"))

    def remove(self) -> None:
        subprocess.run(["ip", "link", "del", self.ours], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.space], check=False, capture_output=True)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.fixture
def pair() -> Iterator[Pair]:
    if shutil.which("ip") is None or shutil.which("sysctl") is None:
        pytest.skip("no ip or sysctl here (Debian: apt-get install iproute2 procps)")
    made = Pair()
    try:
        made.make()
    except subprocess.CalledProcessError as error:
        made.remove()
        pytest.skip(f"network namespaces take privileges that are missing here: {error.stderr.decode()[:80]}")
    yield made
    made.remove()


class Page(http.server.BaseHTTPRequestHandler):
    """The same page, whatever is asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 20_000)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def page(pair: Pair) -> Iterator[str]:
    with http.server.ThreadingHTTPServer((OURS, 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{OURS}:{server.server_address[1]}/"
        server.shutdown()


def python() -> str:
    return os.path.realpath("/proc/self/exe")


def test_a_scan_is_found_and_every_packet_accounted_for(pair: Pair, page: str, tmp_path: Path) -> None:
    before = pair.packets()
    with detecting(tmp_path / "home", "--interface", pair.ours) as running:
        pair.inside(python(), "-c", FETCH, page)
        pair.inside(python(), "-c", SCAN, OURS, str(PORTS.start), str(PORTS.stop))
        time.sleep(1.5)  # the last packets are on their way
        sent = pair.packets() - before
        code, document = running.end(signal.SIGINT)
    assert code == 130
    [source] = document["sources"]
    assert source["packets"]["read"] == sent
    assert source["packets"]["malformed"] == source["packets"]["other"] == 0
    assert not any("lost" in problem for problem in source["problems"])
    adds_up(document)
    # Nothing but the scan: a port each, five pages, and who has which address.
    assert document["flows"]["read"] >= len(PORTS) + 5
    [finding] = document["findings"]
    assert (finding["kind"], finding["src_ip"]) == ("scan_vertical", THEIRS)
    assert kinds(document) == {"scan_vertical"}

    # The spool has kept the packets: those of the finding can be cut from it.
    out = tmp_path / "scan.pcap"
    command = ["flows", "search", "--finding", finding["id"], "--pcap", str(out)]
    run(sys.executable, "-m", "qwarden", "--home", str(tmp_path / "home"), *command)
    with out.open("rb") as file:
        packets = [dpkt.ethernet.Ethernet(data).data for _, data in dpkt.pcap.Reader(file)]
    asked = {packet.data.dport for packet in packets if packet.src == socket.inet_aton(THEIRS)}
    assert len(packets) == finding["packets"]
    assert len(asked) == finding["flows"]
    assert asked <= set(PORTS)


def test_drops_are_counted(pair: Pair, page: str, tmp_path: Path) -> None:
    """While the process that hears is held up, more comes than its socket takes; nothing goes unmentioned."""
    before = pair.packets()
    with detecting(tmp_path / "home", "--interface", pair.ours) as running:
        pair.inside(python(), "-c", FETCH, page)
        running.wait_for(lambda: bool(list((tmp_path / "home" / "spool" / pair.ours).glob("*.pcap"))))
        sniffer = child(running.process.pid, "sniffer")
        os.kill(sniffer, signal.SIGSTOP)
        flood = "import socket, sys\none = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        flood += "[one.sendto(bytes(1400), (sys.argv[1], 9)) for _ in range(60_000)]"
        pair.inside(python(), "-c", flood, OURS)
        os.kill(sniffer, signal.SIGCONT)
        time.sleep(1)
        pair.inside(python(), "-c", FETCH, page)
        time.sleep(2)
        sent = pair.packets() - before
        _, document = running.end(signal.SIGTERM)
    assert document["lost"] > 10_000
    assert document["sources"][0]["packets"]["read"] + document["lost"] == sent


def child(parent: int, name: str) -> int:
    """The process that runs a module, among the children of another."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            is_child = re.search(rf"^PPid:\s+{parent}$", status.read_text(), re.MULTILINE)
            if is_child and name in (status.parent / "cmdline").read_text():
                return int(status.parent.name)
        except OSError:
            continue
    raise AssertionError(f"there is no {name}")
