"""Flows are found again after detection, from the command line."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from qwarden.cli.main import main
from qwarden.detect.scenario import write_scenario


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home that has seen a scenario, and the scenario."""
    folder = tmp_path_factory.mktemp("flows")
    write_scenario(folder / "small.pcap", 7)
    assert main(["--home", str(folder / "home"), "detect", str(folder / "small.pcap")]) == 0
    return folder / "home", folder / "small.pcap"


@pytest.fixture
def ask(seen: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str | Path) -> Any:
        capsys.readouterr()
        assert main(["--home", str(seen[0]), *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_flows_are_found_by_what_is_known_of_them(ask: Any, seen: tuple[Path, Path]) -> None:
    everything = ask("flows", "search", "--limit", "0")["flows"]
    listed = ask("flows", seen[1])["flows"]
    assert sorted(f["seq"] for f in everything) == [f["seq"] for f in listed]
    web = ask("flows", "search", "--port", "443", "--proto", "tcp", "--limit", "0")["flows"]
    assert [f["id"] for f in web] == [
        f["id"] for f in everything if 443 in (f["src_port"], f["dst_port"]) and f["proto"] == "tcp"
    ]
    few = ask("flows", "search", "--limit", "5")
    assert (len(few["flows"]), few["more"]) == (5, True)


def test_a_finding_leads_to_its_flows(ask: Any) -> None:
    alarming = ask("flows", "search", "--alarming", "--limit", "0")["flows"]
    kinds = {flow["kind"] for flow in alarming}
    assert len(kinds) >= 3
    with_findings = 0
    for kind in kinds:
        one = next(flow for flow in alarming if flow["kind"] == kind)
        found = ask("flows", "search", "--source", one["src_ip"], "--kind", kind, "--alarming")["flows"]
        with_findings += one["id"] in {flow["id"] for flow in found}
    assert with_findings == len(kinds)


def test_the_plain_form_is_a_table_a_person_can_read(
    seen: tuple[Path, Path], ask: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    flows = ask("flows", "search", "--alarming", "--limit", "4")["flows"]
    assert main(["--home", str(seen[0]), "flows", "search", "--alarming", "--limit", "4"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert max(map(len, [head, *lines])) < 160
    columns = "time (UTC) source destination proto seconds bytes out bytes in score kind alarms flow"
    assert head.split() == columns.split()
    assert len(lines) == len(flows) == 4
    for line, flow in zip(lines, flows, strict=True):
        began = datetime.fromtimestamp(flow["start"], UTC)
        assert line.startswith(f"{began:%Y-%m-%d %H:%M:%S}  {flow['src_ip']} ")
        assert f" {flow['dst_ip']}" in line
        assert {flow["kind"], flow["id"], f"{flow['bytes_out']:,}", "yes"} <= set(line.split())
        assert 0.9 < flow["threat_score"] <= 1
    assert main(["--home", str(seen[0]), "flows", str(seen[1]), "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert "score" not in out  # nothing was scored
    assert main(["--home", str(seen[0]), "flows", "search", "--port", "9"]) == 0
    assert capsys.readouterr().out == "no flows\n"
    assert main(["--home", str(seen[0]), "flows", "search", "--csv", "--json"]) == 2


def test_all_columns_are_there_as_csv(seen: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["--home", str(seen[0]), "flows", "search", "--port", "53", "--limit", "3", "--csv"]) == 0
    out = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out.out)))
    assert len(rows) == 3
    assert "more than 3" in out.err
    assert {"id", "kind", "threat_score", "alarming", "src_ip", "dst_port"} <= set(rows[0])


@pytest.mark.parametrize(
    "wrong", [("--source", "10.0.0.0/99"), ("--kind", "x"), ("--proto", "x"), ("--since", "x")]
)
def test_what_makes_no_sense_is_a_usage_error(seen: tuple[Path, Path], wrong: tuple[str, str]) -> None:
    assert main(["--home", str(seen[0]), "flows", "search", *wrong]) == 2
