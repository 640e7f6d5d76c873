"""A verdict on a finding, from the command line: a dismissal holds until it is judged again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwarden.cli.main import main
from qwarden.detect.scenario import write_scenario


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "small.pcap"
    write_scenario(path, 7)
    return path


class Runner:
    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.capsys = home, capsys

    def __call__(self, *arguments: str | Path, code: int = 0) -> Any:
        self.capsys.readouterr()
        assert main(["--home", str(self.home), *map(str, arguments), "--json"]) == code
        return json.loads(self.capsys.readouterr().out)


@pytest.fixture
def qwarden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path / "home", capsys)


def test_verdicts(qwarden: Runner, capture: Path) -> None:
    first = qwarden("detect", capture)
    assert len(first["findings"]) >= 2
    finding = first["findings"][0]

    # The same capture again is the same findings, stored once.
    again = qwarden("detect", capture)
    assert [f["id"] for f in again["findings"]] == [f["id"] for f in first["findings"]]

    # Each derives again, bit for bit.
    for found in first["findings"]:
        assert qwarden("explain", found["id"], "--verify")["verified"] is True

    judged = qwarden("feedback", finding["id"], "false", "--reason", "a drill")
    scope = judged["exception"]["scope"]
    assert scope["kind"] == finding["kind"]
    assert scope["source"] == (f"{finding['src_ip']}/32" if finding["sources"] == 1 else None)
    said = qwarden("explain", finding["id"])["verdict"]
    assert (said["attack"], said["reason"]) == (False, "a drill")
    assert said["exception"] == judged["exception"]["id"]
    assert "verdict" not in qwarden("explain", first["findings"][1]["id"])
    dismissed = qwarden("detect", capture)
    assert finding["id"] not in {f["id"] for f in dismissed["findings"]}
    assert {f["id"] for f in first["findings"]} - {f["id"] for f in dismissed["findings"]} == {finding["id"]}
    flows = dismissed["flows"]
    assert flows["suppressed"] > 0
    assert flows["read"] == flows["scored"] + flows["suppressed"] + flows["dropped"] + flows["malformed"]

    # It is listed, with reason and author, and can be taken back; so does a later verdict.
    (entry,) = qwarden("lists", "show", "ignore")["entries"]
    assert entry["reason"] == "a drill"
    back = qwarden("feedback", finding["id"], "true")
    assert [gone["id"] for gone in back["revoked"]] == [entry["id"]]
    assert finding["id"] in {f["id"] for f in qwarden("detect", capture)["findings"]}


def test_a_verdict_on_nothing_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path), "feedback", "abcdef", "false"]) == 2
    assert "abcdef" in capsys.readouterr().err
