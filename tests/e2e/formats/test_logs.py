"""Logs through the command line: recognised, counted line by line, and what was done is found."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.formats import craft, logs
from tests.unit.formats.logs import conn

SCANNER = "203.0.113.9"
TARGETS = 120


def scan() -> list[dict[str, Any]]:
    """One host tries a port of many, twice a second; nobody answers."""
    syn = {
        "orig_h": SCANNER, "resp_p": 445, "conn_state": "S0", "history": "S",
        "duration": None, "service": None, "orig_bytes": None, "resp_bytes": None,
        "orig_pkts": 1, "orig_ip_bytes": 44, "resp_pkts": 0, "resp_ip_bytes": 0,
    }  # fmt: skip
    return [
        conn(
            uid=f"C{at}",
            ts=1655071200 + at / 2,
            resp_h=f"10.0.{at // 100}.{at % 100 + 1}",
            orig_p=40000 + at,
            **syn,
        )
        for at in range(TARGETS)
    ]


def qwarden(home: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qwarden", "--home", str(home), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == code, (done.returncode, done.stderr[-800:])
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Zeek folder, the log out of order and with two broken lines; a Suricata log; a capture."""
    made = tmp_path_factory.mktemp("logs")
    rows = scan()
    data = logs.tsv(rows[1::2] + rows[::2]).replace(b"#close", b"broken\tline\n10.0.0.1\n#close")
    (made / "conn.log.gz").write_bytes(gzip.compress(data))
    (made / "weird.log").write_bytes(logs.tsv([], path="weird"))
    said = [logs.said("http", uid=row["uid"]) for row in rows]
    (made / "http.log").write_bytes(logs.tsv(said, logs.SAID_FIELDS["http"], path="http"))
    (made / "eve.json").write_bytes(
        logs.objects([logs.FLOW, logs.ALERT, logs.ALERT, {"event_type": "stats"}])
    )
    (made / "one.pcap").write_bytes(craft.pcap([(1, craft.frame4(craft.udp(5000, 53, b"x"), 17))]))
    return made


@pytest.fixture(scope="module")
def detected(folder: Path) -> tuple[Any, str]:
    done = qwarden(folder / "home", "detect", folder, "--json")
    return json.loads(done.stdout), done.stderr


def test_every_line_is_accounted_for(detected: tuple[Any, str]) -> None:
    document, _ = detected
    sources = {Path(source["path"]).name: source for source in document["sources"]}
    assert {name: source["format"] for name, source in sources.items()} == {
        "conn.log.gz": "zeek-conn+gzip", "eve.json": "eve", "one.pcap": "pcap",
        "http.log": "zeek-http",
    }  # fmt: skip
    assert sources["conn.log.gz"]["lines"] == {
        "read": TARGETS + 11, "flows": TARGETS, "alerts": 0, "other": 0, "comments": 9, "malformed": 2,
    }  # fmt: skip
    assert sources["eve.json"]["lines"] == {
        "read": 4, "flows": 1, "alerts": 2, "other": 1, "comments": 0, "malformed": 0,
    }  # fmt: skip
    assert set(sources["conn.log.gz"]["packets"].values()) == {0}
    assert sources["one.pcap"]["packets"]["read"] == 1
    flows = document["flows"]
    assert flows["read"] == flows["scored"] + flows["suppressed"] + flows["dropped"] + flows["malformed"]
    assert (flows["read"], flows["malformed"]) == (TARGETS + 2 + 1 + 1, 2)


def test_problems_and_logs_that_are_not_read_are_named(detected: tuple[Any, str]) -> None:
    document, stderr = detected
    assert [Path(entry["path"]).name for entry in document["unread"]] == ["weird.log"]
    assert "weird.log" in document["unread"][0]["reason"]
    assert "logs that are not read: weird.log" in stderr
    assert f"conn.log.gz: line {TARGETS + 9}, byte" in stderr
    assert "the line has 2 fields; expected 21" in stderr


def test_a_scan_in_a_log_is_found_with_its_source(detected: tuple[Any, str]) -> None:
    found = [finding for finding in detected[0]["findings"] if finding["src_ip"] == SCANNER]
    assert found
    assert all("scan" in finding["kind"] for finding in found)
    assert sum(finding["flows"] for finding in found) > TARGETS / 2


def test_the_flows_of_a_log_are_listed(folder: Path) -> None:
    listed = qwarden(folder / "home", "flows", folder / "eve.json", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(listed)))
    assert len(rows) == 1
    assert (rows[0]["src_ip"], rows[0]["dst_port"], rows[0]["tcp_state"]) == ("91.238.203.56", "445", "REJ")
    assert (rows[0]["payload_out"], rows[0]["iat_mean_out"], rows[0]["end_reason"]) == ("", "", "")


def test_a_log_that_is_not_read_is_refused_by_name(folder: Path) -> None:
    done = qwarden(folder / "home", "flows", folder / "weird.log", code=3)
    assert "Zeek's weird.log is not read" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_said_within_the_flows_of_a_finding_stands_with_it(
    folder: Path, detected: tuple[Any, str]
) -> None:
    document, _ = detected
    [source] = [source for source in document["sources"] if source["path"].endswith("http.log")]
    assert (source["lines"]["other"], source["lines"]["flows"]) == (TARGETS, 0)
    [finding] = [finding for finding in document["findings"] if finding["src_ip"] == SCANNER]
    [told] = finding["context"]["transactions"]
    assert (told["protocol"], told["host"], told["flows"]) == ("http", "evil.example", finding["flows"])
    shown = qwarden(folder / "home", "explain", finding["id"]).stdout
    assert f"said HTTP GET evil.example /a 200, user agent agent, in {finding['flows']} flows" in shown


@pytest.mark.parametrize("command", ["detect", "flows"])
def test_what_was_said_within_flows_that_are_missing_is_refused(folder: Path, command: str) -> None:
    done = qwarden(folder / "home", command, folder / "http.log", code=3)
    assert "http.log: it tells what was said within flows" in done.stderr
    assert "conn.log is missing" in done.stderr
    assert "Traceback" not in done.stderr
