"""The command line as a user meets it: exit codes, documents, messages."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


class Cli:
    """Runs `qwarden` with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "qwarden", "--home", str(self.home), *map(str, arguments)],
            capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        assert done.returncode == code, (done.returncode, done.stderr[-800:], done.stdout[-300:])
        return done

    def document(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from qwarden.detect.scenario import write_scenario

    path = tmp_path_factory.mktemp("range") / "range.pcap"
    write_scenario(path, 4242, duration_s=900, hosts=10)
    return path


@pytest.fixture(scope="module")
def detected(cli: Cli, capture: Path) -> Any:
    return cli.document("detect", capture)


def test_help_and_version(cli: Cli) -> None:
    assert "detect" in cli("--help").stdout
    assert cli("--version").stdout.startswith("qwarden ")


def test_every_command_has_help(cli: Cli) -> None:
    commands = ("detect", "explain", "flows", "demo", "up", "measure", "doctor", "scenario", "models")
    for command in commands:
        assert cli(command, "--help").stdout.strip()


def test_the_account_adds_up(detected: Any) -> None:
    flows = detected["flows"]
    assert flows["read"] > 500
    assert flows["read"] == flows["scored"] + flows["suppressed"] + flows["dropped"] + flows["malformed"]
    assert detected["sources"][0]["packets"]["read"] > 5000


def test_findings_are_complete_and_explained(detected: Any) -> None:
    assert detected["findings"]
    for finding in detected["findings"]:
        assert set(finding) >= {
            "id", "time", "kind", "severity", "threat_score", "twin_score", "src_ip", "dst_ip", "dst_port",
            "proto", "flows", "technique", "explanation",
        }  # fmt: skip
        assert 0 <= finding["threat_score"] <= 1
        assert 0 <= finding["twin_score"] <= 1
        why = finding["explanation"]
        assert why["features"]
        assert why["nearest"]
        assert why["model"] == f"{detected['model']['name']} {detected['model']['version']}"


def test_a_finding_is_explained_by_the_start_or_the_tail_of_its_id(cli: Cli, detected: Any) -> None:
    finding = detected["findings"][0]
    assert cli.document("explain", finding["id"]) == finding
    said = cli("explain", finding["id"].rpartition("-")[2]).stdout
    assert finding["explanation"]["title"] in said
    # What to do next is told as commands that work as they stand.
    commands = [
        line.split("next ")[1].partition("#")[0].split()[1:] for line in said.splitlines() if "next " in line
    ]
    assert [command[0] for command in commands] == ["feedback", "feedback", "flows"]
    assert cli.document(*commands[2][:4])["flows"]


def test_an_unknown_finding_is_a_usage_error(cli: Cli) -> None:
    assert "qwarden:" in cli("explain", "ffffffffffff", code=2).stderr


def test_the_same_capture_gives_the_same_findings(cli: Cli, capture: Path, detected: Any) -> None:
    again = cli.document("detect", capture)
    strip = [{k: v for k, v in f.items() if k != "id"} for f in detected["findings"]]
    assert [{k: v for k, v in f.items() if k != "id"} for f in again["findings"]] == strip


def test_ignored_networks_are_suppressed_and_counted(capture: Path, detected: Any, tmp_path: Path) -> None:
    (tmp_path / "qwarden.toml").write_text('[detect]\nignore = ["0.0.0.0/0", "::/0"]\n')
    out = Cli(tmp_path).document("detect", capture)
    assert out["findings"] == []
    assert out["flows"]["suppressed"] == out["flows"]["read"] == detected["flows"]["read"]


def test_eve_lines_and_fail_on(cli: Cli, capture: Path, detected: Any, tmp_path: Path) -> None:
    eve = tmp_path / "eve.json"
    cli("detect", capture, "--eve", eve, "--fail-on", "info", code=1)
    lines = [json.loads(line) for line in eve.read_text().splitlines()]
    assert len(lines) == len(detected["findings"])
    assert {line["event_type"] for line in lines} == {"alert"}


def test_an_unknown_severity_is_a_usage_error(cli: Cli, capture: Path) -> None:
    assert "--fail-on grave" in cli("detect", capture, "--fail-on", "grave", code=2).stderr


def test_a_wrong_setting_names_file_and_key(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "qwarden.toml").write_text("[detect]\nidle_timeout_s = 'soon'\n")
    message = Cli(tmp_path)("detect", capture, code=2).stderr
    assert "qwarden.toml" in message
    assert "detect.idle_timeout_s" in message


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("junk.pcap", bytes(range(256)) * 16),
        ("empty.pcap", b""),
        ("short.pcap", b"\xd4\xc3\xb2\xa1\x02\x00"),
        ("cut.pcap.gz", gzip.compress(b"\xd4\xc3\xb2\xa1" + bytes(4000))[:40]),
    ],
)
def test_broken_input_exits_3_and_names_the_file(cli: Cli, tmp_path: Path, name: str, body: bytes) -> None:
    (tmp_path / name).write_bytes(body)
    done = cli("detect", tmp_path / name, code=3)
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_and_empty_places(cli: Cli, tmp_path: Path) -> None:
    assert "nowhere.pcap" in cli("detect", tmp_path / "nowhere.pcap", code=3).stderr
    assert str(tmp_path) in cli("detect", tmp_path, code=3).stderr


def test_a_cut_capture_keeps_what_it_can(cli: Cli, capture: Path, detected: Any, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[: capture.stat().st_size // 2])
    done = cli("detect", cut, "--json")
    packets = json.loads(done.stdout)["sources"][0]["packets"]
    assert 1000 < packets["read"] < detected["sources"][0]["packets"]["read"]
    assert packets["truncated"] == 1
    assert "cut.pcap: packet" in done.stderr


def test_one_bad_capture_does_not_stop_the_others(cli: Cli, capture: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pcap").write_bytes(b"\xd4\xc3\xb2\xa1")
    done = cli("detect", tmp_path / "bad.pcap", capture, "--json")
    assert "bad.pcap" in done.stderr
    assert json.loads(done.stdout)["findings"]


def test_flows_as_csv_and_json(cli: Cli, capture: Path, detected: Any) -> None:
    lines = cli("flows", capture, "--csv").stdout.splitlines()
    assert lines[0].startswith("start,end,src_ip,dst_ip")
    assert len(lines) - 1 == detected["flows"]["read"]
    flows = cli.document("flows", capture, "--limit", "3")["flows"]
    assert len(flows) == 3
    assert flows[0]["seq"] == 0


def test_doctor_finds_nothing_wrong(cli: Cli) -> None:
    checks = {c["check"]: c["ok"] for c in cli.document("doctor")["checks"]}
    assert {"store", "model", "sandbox"} <= set(checks)
    assert all(checks.values())


@pytest.mark.parametrize("installed", [True, False])
def test_doctor_says_whether_nfdump_is_there_and_does_not_insist(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    program = tmp_path / "nfdump"
    if installed:
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = [c for c in cli.document("doctor")["checks"] if c["check"] == "nfdump"]
    assert found["ok"]
    assert (str(program) in found["detail"]) == installed


def test_scenario_write_says_what_it_wrote(cli: Cli, tmp_path: Path) -> None:
    out = cli.document(
        "scenario", "write", tmp_path / "a.pcap", "--seed", 3, "--minutes", 5, "--kinds", "beacon"
    )
    assert (tmp_path / "a.pcap").stat().st_size == out["bytes"]
    assert [attack["label"] for attack in out["attacks"]] == ["beacon"]


def test_unknown_measure_is_a_usage_error_with_a_suggestion(cli: Cli) -> None:
    assert "detect.scenario" in cli("measure", "detect.scenari", code=2).stderr


def test_demo_ends_with_its_capture_and_prints_explained_findings(cli: Cli) -> None:
    text = cli("demo", "--once", "--seed", "12").stdout
    assert "threat" in text
    assert "why" in text
    assert "flows read = " in text


def test_a_demo_without_a_page_does_not_wait_for_the_page(tmp_path: Path) -> None:
    code = (
        "import sys; from qwarden.cli.main import main; "
        f"assert main(['--home', {str(tmp_path)!r}, 'demo', '--once', '--seed', '12']) == 0; "
        "sys.exit(' '.join({'nicegui', 'fastapi', 'uvicorn', 'qwarden.console'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-800:]


def test_the_store_holds_alert_and_finding_and_its_chain_verifies(cli: Cli, detected: Any) -> None:
    from qwarden.core.audit import Audit
    from qwarden.core.store import open_store

    store = open_store(cli.home)
    try:
        finding = detected["findings"][0]
        alerts = [a for a in store.events(kind="alert", limit=1000) if a.finding_id == finding["id"]]  # type: ignore[attr-defined]
        assert len(alerts) == 1
        assert store.get(finding["id"]) is not None
        assert Audit(store).verify().count > 0
    finally:
        store.close()
