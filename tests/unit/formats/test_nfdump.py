"""nfdump: its CSV of every age, and its files through the program itself, confined."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qwarden.core.errors import UnreadableError
from qwarden.formats import format_of, open_capture
from qwarden.formats.flows import TCP_STATES, Flows, join_address
from qwarden.formats.readers.nfdump import FORMAT
from qwarden.formats.sandbox.converter import program_for

from . import craft, tables

installed = pytest.mark.skipif(shutil.which("nfdump") is None, reason="nfdump is not installed")


def told(flows: Flows) -> list[tuple[object, ...]]:
    """The flows in words, in order of their start and ports."""
    names = ("src_port", "dst_port", "proto", "packets_out", "packets_in", "bytes_out", "bytes_in")
    return [
        (
            join_address(flow["src_hi"], flow["src_lo"]),
            *(int(flow[name]) for name in names),
            TCP_STATES[flow["tcp_state"]] if flow["tcp_state"] >= 0 else "-",
        )
        for flow in sorted(flows, key=lambda flow: (flow["start_ns"], flow["proto"], flow["src_port"]))
    ]


def test_the_old_csv() -> None:
    flows, report = craft.read(tables.NFDUMP_OLD)
    assert (report.format, report.problems, report.lines.flows, report.lines.comments) == (
        "nfdump-csv",
        [],
        5,
        4,
    )
    assert told(flows) == [
        ("10.0.0.1", -1, -1, 1, 5, 5, 420, 420, "-"),
        ("147.32.80.119", 52324, 902, 6, 1, 1, 60, 40, "REJ"),
        ("fe80::1", 5353, 5353, 17, 2, 3, 300, 400, "-"),  # one record told both ways
    ]
    echo = next(flow for flow in flows if flow["proto"] == 1)
    assert (echo["icmp_type"], echo["icmp_code"], echo["src_mac"]) == (8, 0, 0x000C2966C782)
    tcp = next(flow for flow in flows if flow["proto"] == 6)
    # The time is told to the second, the duration to the millisecond.
    assert (int(tcp["start_ns"]), int(tcp["end_ns"])) == (1515771450000000000, 1515771450642000000)
    assert next(flow for flow in flows if flow["proto"] == 17)["vlan"] == 7


def test_the_new_csv() -> None:
    flows, report = craft.read(tables.NFDUMP_NEW)
    assert (report.problems, report.lines.flows) == ([], 4)
    assert told(flows) == [
        ("10.0.0.1", 40000, 443, 6, 12, 10, 4000, 90000, "-"),  # no flags are told
        ("10.0.0.1", 5000, 53, 17, 1, 0, 70, 0, "-"),
        ("10.0.0.1", -1, -1, 1, 1, 0, 84, 0, "-"),
    ]
    assert int(flows["start_ns"].min()) == 1714557600125000000
    fast = (
        b"cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,"
        b"packets,bytes\n1,2,1714557600.125,1714557601.625,6,10.0.0.1,40000,10.0.0.2,443,0,0,0,0,...AP.SF,0,12,4000\n"
    )
    flows, report = craft.read(fast)
    assert (report.problems, len(flows)) == ([], 1)
    assert (int(flows[0]["end_ns"]), flows[0]["syn_out"]) == (1714557601625000000, 1)


@pytest.mark.parametrize(
    ("cell", "value", "problem"),
    [
        (0, "12.01.2018", "ts is '12.01.2018'; expected a date and time, or seconds"),
        (2, "x", "td is 'x'; expected seconds"),
        (3, "147.32.80", "sa is '147.32.80'; expected an address"),
        (5, "65536", "a port is '65536'; expected at most 65535"),
        (8, "..Q.....", "flg is '..Q.....'; expected TCP flags"),
        (11, "", "packets is ''; expected a whole number"),
        (12, "1 M", "ibyt is '1 M'; expected a whole number"),
    ],
)
def test_malformed_records_are_named(cell: int, value: str, problem: str) -> None:
    header, good, *rest = tables.NFDUMP_OLD.split(b"\n")
    cells = good.split(b",")
    cells[cell] = value.encode()
    flows, report = craft.read(b"\n".join([header, good, b",".join(cells), *rest]))
    assert report.problems == [f"line 3, byte {len(header) + len(good) + 2}: {problem}"]
    assert (len(flows), report.lines.malformed) == (3, 1)


def test_the_summary_is_held_against_what_was_read() -> None:
    good = tables.NFDUMP_PRINTED
    flows, report = craft.read(good, complaints=bytes)
    assert (report.format, report.problems, report.lines.flows, len(flows)) == ("nfdump", [], 3, 2)
    assert int(flows["start_ns"].min()) == 1515771450942000000
    for data, said, problem in (
        (good.replace(b"passed: 3", b"passed: 4"), b"", "nfdump says it printed 4 records; 3 could be read"),
        (good.replace(b"skipped: 0", b"skipped: 2"), b"", "nfdump skipped 2 damaged blocks"),
        (good[: good.index(b"Summary")], b"", "nfdump ended before its summary; the file is damaged"),
        (good, b"read() error: Short read\n", "nfdump says: read() error: Short read"),
        (b"!nfdump is not run: no filter\n", b"", "nfdump is not run: no filter"),
    ):
        _, report = craft.read(data, complaints=lambda said=said: said)  # type: ignore[misc]
        assert problem in report.problems[0]
        assert report.complete is (not said and b"Sys:" in data) or b"!" in data


def test_without_the_program_the_reason_is_said() -> None:
    for options, reason in (
        ({"converter": "nfdump"}, "which is not installed"),
        ({}, "is packed, or a pipe"),
    ):
        _, report = craft.read(b"\x0c\xa5\x01\0" + bytes(100), **options)
        assert reason in report.problems[0]
        assert "apt install nfdump" in report.problems[0]


def test_a_file_is_given_to_the_program_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    for data, wanted in ((b"\x0c\xa5\x02\0" + bytes(200), True), (b"\x0c\xa5\xff\0", False), (b"", False)):
        path.write_bytes(data)
        with path.open("rb") as file:
            assert bool(program_for(file.fileno())[0]) is wanted
    reading, writing = os.pipe()
    os.write(writing, b"\x0c\xa5\x02\0")
    assert program_for(reading) == ("", False)  # a pipe cannot be looked at twice


# Real files


@pytest.fixture
def real(data_dir: Path) -> Path:
    return data_dir / "slips-dataset" / "test1-malicious.nfdump"


@installed
@pytest.mark.data
def test_a_real_file_has_what_nfdump_says(real: Path, tmp_path: Path) -> None:
    summary = subprocess.run(
        ["nfdump", "-I", "-r", str(real)], capture_output=True, text=True, check=True
    ).stdout
    wanted = dict(line.split(": ") for line in summary.splitlines() if ": " in line)
    assert format_of(real) == "nfdump"
    with open_capture(real) as reader:
        batches = [batch.flows for batch in reader]
    assert (reader.report.format, reader.report.problems) == ("nfdump", [])
    assert reader.report.lines.flows == int(wanted["Flows"])
    assert sum(int(f[f"packets_{w}"].sum()) for f in batches for w in ("out", "in")) == int(wanted["Packets"])
    assert sum(int(f[f"bytes_{w}"].sum()) for f in batches for w in ("out", "in")) == int(wanted["Bytes"])
    first = min(int(f["start_ns"].min()) for f in batches if f.size)
    assert first == int(wanted["First"]) * 10**9 + int(wanted["msec_first"]) * 10**6
    # Its CSV, cut to seconds, gives the same flows.
    environment = {"TZ": "UTC", "PATH": os.environ["PATH"]}
    table = subprocess.run(
        ["nfdump", "-r", str(real), "-o", "csv"], capture_output=True, check=True, env=environment
    ).stdout
    flows, report = craft.read(table)
    assert (report.format, report.problems, report.lines.flows) == ("nfdump-csv", [], int(wanted["Flows"]))
    assert int(flows["packets_out"].sum() + flows["packets_in"].sum()) == int(wanted["Packets"])
    assert abs(len(flows) - sum(f.size for f in batches)) <= 5


@installed
@pytest.mark.data
def test_a_damaged_file_keeps_what_nfdump_could_print(real: Path, tmp_path: Path) -> None:
    data = real.read_bytes()
    cut = tmp_path / "cut.nfdump"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableError, match=r"nfdump says: .*hort read"), open_capture(cut) as reader:
        list(reader)
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(data))
    with (
        pytest.raises(UnreadableError, match="an nfdump file is read through nfdump"),
        open_capture(packed) as reader,
    ):
        list(reader)
    # Whatever is in it: the reading process lives, and says how it was.
    for at in range(150, 600, 90):
        hurt = bytearray(data)
        hurt[at : at + 4] = b"\xff" * 4
        cut.write_bytes(hurt)
        with open_capture(cut) as reader:
            try:
                list(reader)
            except UnreadableError:
                assert reader.report.problems
        assert reader.report.lines.adds_up


@installed
@pytest.mark.data
def test_a_file_that_only_its_owner_may_read(real: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copyfile(real, mine)
    mine.chmod(0o600)
    with open_capture(mine) as reader:
        assert sum(batch.flows.size for batch in reader) > 2000


def test_nfdump_is_asked_for_whole_milliseconds() -> None:
    assert FORMAT.startswith("fmt:%tsr,%td,")  # the end is printed wrongly by version 1.7.1
