"""From a finding to its packets, from the command line; dpkt and tshark read them back."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import dpkt
import pytest
from tests.unit.formats import craft

from qwarden.cli.main import main
from qwarden.detect.scenario import write_scenario

Ends = tuple[int, frozenset[tuple[str, int]]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home that has seen a scenario, and the scenario."""
    folder = tmp_path_factory.mktemp("packets")
    write_scenario(folder / "small.pcap", 7)
    assert main(["--home", str(folder / "home"), "detect", str(folder / "small.pcap")]) == 0
    return folder / "home", folder / "small.pcap"


def ask(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str | Path) -> Any:
    capsys.readouterr()
    assert main(["--home", str(home), *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def packets(path: Path) -> list[tuple[float, bytes]]:
    with path.open("rb") as file:
        return [(float(time), data) for time, data in dpkt.pcap.Reader(file)]


def ends_of(data: bytes) -> Ends | None:
    """Protocol and both ends as dpkt reads them, of TCP and UDP."""
    packet = dpkt.ethernet.Ethernet(data).data
    if not isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6) or not isinstance(
        packet.data, dpkt.tcp.TCP | dpkt.udp.UDP
    ):
        return None
    family = socket.AF_INET if isinstance(packet, dpkt.ip.IP) else socket.AF_INET6
    return packet.p, frozenset(
        [
            (socket.inet_ntop(family, packet.src), packet.data.sport),
            (socket.inet_ntop(family, packet.dst), packet.data.dport),
        ]
    )


def ends_in(flow: dict[str, Any]) -> Ends:
    return {"tcp": 6, "udp": 17}[flow["proto"]], frozenset(
        [(flow["src_ip"], flow["src_port"]), (flow["dst_ip"], flow["dst_port"])]
    )


def test_a_findings_packets_are_those_of_its_flows(
    seen: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, capture = seen
    documents = ask(capsys, home, "detect", capture)["findings"]
    scan = next(finding for finding in documents if finding["kind"] == "scan_vertical")
    out = tmp_path / "scan.pcap"
    told = ask(capsys, home, "flows", "search", "--finding", scan["id"], "--pcap", out, "--limit", "0")
    flows, cut = told["flows"], told["pcap"]
    assert cut["packets"] == cut["expected"] == sum(f["packets_out"] + f["packets_in"] for f in flows)
    assert (cut["flows"], cut["looked_at"], cut["problems"]) == (len(flows), len(packets(capture)), [])
    spans: dict[Ends, list[tuple[float, float]]] = {}
    for flow in flows:
        spans.setdefault(ends_in(flow), []).append((flow["start"] - 1e-6, flow["end"] + 1e-6))
    expected = [
        data
        for time, data in packets(capture)
        if any(first <= time <= last for first, last in spans.get(ends_of(data), []))  # type: ignore[arg-type]
    ]
    assert [data for _, data in packets(out)] == expected
    if shutil.which("tshark"):
        fields = ["ip.src", "ip.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport"]
        asked = [word for field in fields for word in ("-e", field)]
        said = subprocess.run(
            ["tshark", "-r", out, "-T", "fields", *asked], capture_output=True, text=True, check=True
        ).stdout
        counted: Counter[Ends] = Counter()
        for src, dst, *ports in (line.split("\t") for line in said.splitlines()):
            sport, dport = ports[:2] if ports[0] else ports[2:]
            counted[6 if ports[0] else 17, frozenset([(src, int(sport)), (dst, int(dport))])] += 1
        assert counted == Counter(
            end for f in flows for end in [ends_in(f)] * (f["packets_out"] + f["packets_in"])
        )


def test_all_flows_are_the_whole_capture(
    seen: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, capture = seen
    assert (
        main(["--home", str(home), "flows", "search", "--pcap", str(tmp_path / "all.pcap"), "--limit", "3"])
        == 0
    )
    out = capsys.readouterr()
    assert len(out.out.splitlines()) == 4
    assert "packets of" in out.err
    assert packets(tmp_path / "all.pcap") == packets(capture)


def frames(first: int, step: int) -> list[tuple[float, bytes]]:
    return [(float(n), craft.frame4(craft.udp(2000 + n, 53), 17)) for n in range(first, first + 40, step)]


def test_several_captures_are_merged_by_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    (tmp_path / "even.pcap.gz").write_bytes(gzip.compress(craft.pcap(frames(0, 2))))
    (tmp_path / "odd.pcap").write_bytes(craft.pcap(frames(1, 2)))
    raw = [(time + 0.5, data[14:]) for time, data in frames(0, 10)]
    (tmp_path / "raw.pcap").write_bytes(craft.pcap(raw, link=101))
    ask(capsys, home, "detect", tmp_path / "even.pcap.gz", tmp_path / "odd.pcap")
    out = tmp_path / "both.pcap"
    cut = ask(capsys, home, "flows", "search", "--pcap", out)["pcap"]
    assert [Path(path).name for path in sorted(cut["sources"])] == ["even.pcap.gz", "odd.pcap"]
    assert packets(out) == sorted(frames(0, 2) + frames(1, 2))
    ask(capsys, home, "detect", tmp_path / "raw.pcap")
    capsys.readouterr()
    assert main(["--home", str(home), "flows", "search", "--pcap", str(out)]) == 3
    assert "one link type" in capsys.readouterr().err
    assert len(packets(out)) == 40
    cut = ask(capsys, home, "flows", "search", "--pcap", tmp_path / "both.pcapng")["pcap"]
    assert cut["packets"] == cut["expected"] == 44


def test_what_has_no_packets_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, capture, out = tmp_path / "home", tmp_path / "a.pcap", tmp_path / "out.pcap"
    capture.write_bytes(craft.pcap(frames(0, 1)))
    log = tmp_path / "conn.log"
    line = {
        "ts": 1.5, "uid": "C1", "id.orig_h": "192.0.2.1", "id.orig_p": 5000, "id.resp_h": "10.0.0.2",
        "id.resp_p": 80, "proto": "tcp", "conn_state": "SF", "orig_pkts": 3, "resp_pkts": 3,
    }  # fmt: skip
    log.write_text(json.dumps(line) + "\n")
    ask(capsys, home, "detect", capture, log)

    def fails(code: int, *arguments: str) -> str:
        capsys.readouterr()
        assert main(["--home", str(home), "flows", "search", *arguments]) == code
        assert not out.exists()
        return capsys.readouterr().err

    fit = ("--source", "10.0.0.1", "--pcap", str(out))
    assert "conn.log: is no capture" in fails(2, "--source", "192.0.2.1", "--pcap", str(out))
    assert "no flow fits" in fails(2, "--port", "9", "--pcap", str(out))
    assert "this very capture" in fails(2, "--source", "10.0.0.1", "--pcap", str(capture))
    assert "cannot be written" in fails(3, "--source", "10.0.0.1", "--pcap", str(tmp_path / "no" / "o.pcap"))
    content = capture.read_bytes()
    capture.write_bytes(content + content[24:])
    assert "was changed since" in fails(3, *fit)
    capture.unlink()
    assert "not there any more" in fails(3, *fit)
