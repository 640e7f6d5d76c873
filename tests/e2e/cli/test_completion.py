"""What the shell is offered at TAB, asked as the shells' own scripts ask it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwarden.core.clock import uuid7
from qwarden.core.store import open_store
from qwarden.detect import SEVERITIES, Finding

RUN = "import sys; sys.argv[0] = 'qwarden'; from qwarden.cli.main import entry; entry()"


def offered(home: Path, *words: str, shell: str = "bash") -> list[str]:
    """Return the words that TAB offers for the last of `words`, which may be empty."""
    line = ["qwarden", "--home", str(home), *words]
    asked = {
        "bash": {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(line)},
        "fish": {"_TYPER_COMPLETE_ARGS": " ".join(line), "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, **asked, "_QWARDEN_COMPLETE": f"complete_{shell}"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def finding() -> Finding:
    return Finding(
        id=uuid7(), time=1.0, behaviour="guessing", severity="high", technique="T1110", threat_score=1.0,
        twin_score=1.0, src_ip="192.0.2.1", dst_ip="192.0.2.2", dst_port=22, proto="tcp", start=0.0, end=1.0,
        flows=9, packets=99, bytes=999, sources=1, destinations=1, ports=1, source="a.pcap", explanation={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, finding: Finding) -> Path:
    """A home with one finding and the entries of a model in two versions."""
    home = tmp_path_factory.mktemp("home")
    store = open_store(home)
    store.append([finding])
    store.close()
    for version in ("1", "2"):
        entry = home / "models" / "detect" / "office" / version / "entry.json"
        entry.parent.mkdir(parents=True)
        entry.touch()
    return home


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_offered_the_commands(home: Path, shell: str) -> None:
    text = " ".join(offered(home, "de", shell=shell))
    assert "detect" in text
    assert "demo" in text
    assert "measure" not in text


def test_findings_are_offered_by_id(home: Path, finding: Finding) -> None:
    assert offered(home, "explain", finding.id[:4]) == [finding.id]


def test_models_are_offered_by_name_and_version(home: Path) -> None:
    assert offered(home, "models", "promote", "") == ["shipped", "office", "office@1", "office@2"]


def test_severities_and_measures(home: Path) -> None:
    assert offered(home, "detect", "--fail-on", "") == list(SEVERITIES)
    assert offered(home, "measure", "detect.nsl_kdd_r") == ["detect.nsl_kdd_random"]


def test_whatever_is_wrong_offers_nothing_and_says_nothing(home: Path, tmp_path: Path) -> None:
    (tmp_path / "qwarden.toml").write_text("[detect]\nfpr = 'much'\n")
    assert offered(tmp_path, "explain", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_can_be_shown(shell: str) -> None:
    done = subprocess.run(  # no shell stands above the tests that could be recognised
        [sys.executable, "-c", RUN, "--show-completion", shell],
        capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert "_QWARDEN_COMPLETE" in done.stdout
