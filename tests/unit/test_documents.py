"""The documents keep what they promise."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qwarden.core.figures import read_documents, render

ROOT = Path(__file__).resolve().parents[2]


def test_the_report_is_the_rendering_of_the_figures() -> None:
    documents = read_documents(ROOT / "docs" / "evaluation.json")
    assert documents
    assert (ROOT / "docs" / "evaluation.md").read_text() == render(documents)


def test_every_stored_figure_belongs_to_a_registered_measure() -> None:
    from qwarden.cli import measures
    from qwarden.core.measure import REGISTRY

    measures.load()
    known = {measure.name for measure in REGISTRY}
    stored = {
        entry["name"] for entry in json.loads((ROOT / "docs" / "evaluation.json").read_text())["measures"]
    }
    assert stored <= known


def test_the_readme_opens_with_the_two_commands() -> None:
    head = (ROOT / "README.md").read_text().splitlines()[:60]
    assert any("make run" in line for line in head)
    assert any("make test" in line for line in head)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_pins_carry_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") >= text.count("==")


def test_the_core_pins_stand_in_the_developer_pins() -> None:
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE))

    core, all_of_it = pins("requirements.lock"), pins("requirements-dev.lock")
    assert core.items() <= all_of_it.items()


def test_every_make_target_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text()
    for target in ("setup", "setup-all", "run", "test", "lint", "bench", "docs"):
        assert re.search(rf"^{target}:.*## ", text, re.MULTILINE), target


def test_ci_ends_with_the_test_command() -> None:
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.strip()]
    assert lines[-1] == "make test"
