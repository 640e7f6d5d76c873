"""Exceptions from the command line to the findings that they hold back."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qwarden.cli.main import main


class Cli:
    """Runs `qwarden` in this process, with a home of its own."""

    def __init__(self, home: Path, capture: pytest.CaptureFixture[str]) -> None:
        self._home, self._capture = home, capture

    def __call__(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        self._capture.readouterr()
        assert main(["--home", str(self._home), *map(str, arguments)]) == code
        out, problems = self._capture.readouterr()
        return out, problems

    def document(self, *arguments: object, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code)[0])


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path / "home", capsys)


@pytest.fixture(scope="module")
def range_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from qwarden.detect.scenario import write_scenario

    path = tmp_path_factory.mktemp("range") / "range.pcap"
    write_scenario(path, 4242, duration_s=420, hosts=6)
    return path


def account(document: Any) -> tuple[int, int]:
    flows = document["flows"]
    assert flows["read"] == flows["scored"] + flows["suppressed"] + flows["dropped"] + flows["malformed"]
    return flows["suppressed"], flows["alarming"]


def kinds(document: Any) -> Counter[str]:
    return Counter(finding["kind"] for finding in document["findings"])


def test_an_exception_holds_back_what_it_names_and_counts_it(cli: Cli, range_capture: Path) -> None:
    before = cli.document("detect", range_capture)
    [kind, *_] = found = kinds(before)
    assert len(found) > 1
    entry = cli.document("lists", "add", "ignore", "--kind", kind, "--reason", "known", "--author", "ada")
    after = cli.document("detect", range_capture)
    assert kinds(after) == +Counter({other: n for other, n in kinds(before).items() if other != kind})
    assert account(before)[0] == 0
    assert account(after)[0] == account(before)[1] - account(after)[1] > 0

    cli("lists", "remove", entry["id"], "--reason", "not known after all")
    cli("lists", "add", "ignore", "--kind", kind, "--reason", "old", "--until", "1999-01-01")
    single = [
        finding for finding in before["findings"] if finding["sources"] == 1 and finding["kind"] != kind
    ]
    source = single[0]["src_ip"]
    cli("lists", "add", "ignore", "--network", source, "--reason", "our own scanner")
    hidden = cli.document("detect", range_capture)
    assert kinds(hidden)[kind] == found[kind]  # removed and expired entries hold nothing back
    assert source not in {finding["src_ip"] for finding in hidden["findings"]}
    assert account(hidden)[0] > 0


def test_what_is_added_is_shown_until_it_is_removed(cli: Cli) -> None:
    added = cli.document(
        "lists", "add", "never-act", "--network", "10.0.0.0/8", "--port", "88",
        "--reason", "domain controllers", "--until", "2d", "--time", "wall", "--author", "ada",
    )  # fmt: skip
    assert (added["scope"]["network"], added["scope"]["port"], added["timing"]) == ("10.0.0.0/8", 88, "wall")
    assert added["expires"] - added["created"] == pytest.approx(2 * 86_400, abs=60)
    assert cli.document("lists", "show")["entries"] == [added]
    assert cli.document("lists", "show", "ignore")["entries"] == []
    out, _ = cli("lists", "show", "never-act")
    assert "network 10.0.0.0/8, port 88, until 20" in out
    assert "domain controllers (ada)" in out
    removed = cli.document("lists", "remove", added["id"].rpartition("-")[2], "--reason", "gone")
    assert removed["state"] == "removed"
    assert cli.document("lists", "show")["entries"] == []
    assert cli.document("lists", "show", "--all")["entries"] == [removed]
    assert "removed: gone" in cli("lists", "show", "--all")[0]


def test_an_expired_exception_is_shown_only_when_asked_for(cli: Cli) -> None:
    cli("lists", "add", "ignore", "--port", "53", "--reason", "test", "--until", "2001-01-01T00:00+01:00")
    assert cli("lists", "show")[0] == ""
    [entry] = cli.document("lists", "show", "--all")["entries"]
    assert (entry["state"], entry["expires"]) == ("expired", 978_303_600)


def test_an_address_given_as_a_host_is_a_network(cli: Cli) -> None:
    add = ("lists", "add", "ignore", "--reason", "test", "--host")
    assert cli.document(*add, "::ffff:10.0.0.5")["scope"]["network"] == "10.0.0.5/32"
    named, problems = cli(*add, "db-1", "--json")
    assert json.loads(named)["scope"]["host"] == "db-1"
    assert "detection does not know this exception" in problems


def test_settings_are_shown_and_cannot_be_removed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "qwarden.toml").write_text('[detect]\nignore = ["10.0.0.0/8"]\n')
    [entry] = cli.document("lists", "show")["entries"]
    assert (entry["origin"], entry["scope"]["network"]) == ("settings", "10.0.0.0/8")
    assert "detect.ignore" in cli("lists", "remove", entry["id"], "--reason", "test", code=2)[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["add", "ignore", "--reason", "x"], "a scope needs"),
        (["add", "ignore", "--port", "53", "--reason", " "], "reason"),
        (["add", "ignore", "--port", "53"], "--reason"),
        (["add", "block", "--port", "53", "--reason", "x"], "block"),
        (["add", "ignore", "--kind", "beakon", "--reason", "x"], "--kind beakon: expected one of"),
        (["add", "ignore", "--network", "10.0.0.5/8", "--reason", "x"], "host bits"),
        (["add", "ignore", "--port", "53", "--reason", "x", "--until", "soon"], "--until soon"),
        (
            ["add", "ignore", "--port", "53", "--reason", "x", "--until", "1999-01-01", "--time", "wall"],
            "past",
        ),
        (["remove", "ffff", "--reason", "x"], "there is no entry ffff"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(cli: Cli, arguments: list[str], problem: str) -> None:
    assert problem in cli("lists", *arguments, code=2)[1]
    assert cli.document("lists", "show", "--all")["entries"] == []


def test_every_change_stands_in_the_audit_log(cli: Cli, tmp_path: Path) -> None:
    entry = cli.document("lists", "add", "ignore", "--port", "53", "--reason", "noise", "--author", "ada")
    cli("lists", "remove", entry["id"], "--reason", "fixed", "--author", "bob")
    rows = sqlite3.connect(tmp_path / "home" / "qwarden.db").execute("SELECT actor, action FROM audit")
    assert rows.fetchall() == [("ada", "list.added"), ("bob", "list.removed")]
