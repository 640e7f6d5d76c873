"""A network is learnt from its traffic, and detection uses what was learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwarden.cli.main import main
from qwarden.core.store import open_store
from qwarden.detect.scenario import write_scenario


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("office")
    for seed in (73, 74):
        write_scenario(folder / f"{seed}.pcap", seed, kinds=())
    return folder


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def ask(*arguments: str | Path, code: int = 0) -> Any:
        capsys.readouterr()
        assert main(["--home", str(tmp_path / "home"), *map(str, arguments), "--json"]) == code
        out = capsys.readouterr()
        return json.loads(out.out) if code == 0 else out.err

    return ask


def test_a_network_is_learnt_and_attacks_are_still_found(run: Any, office: Path, tmp_path: Path) -> None:
    learnt = run("baseline", "learn", office)
    figures = learnt["figures"]
    allowed = max(figures["before"]["alarming_per_1000"], 3000 * figures["budget"])
    assert learnt["promoted"] == (figures["alarming_per_1000"] <= allowed)
    assert min(figures[part] for part in ("learnt", "calibrated", "held_out")) > 500
    assert figures["alarming_per_1000"] < 20
    assert figures["budget"] == pytest.approx(2 / (figures["calibrated"] + 1))
    assert learnt["origin"]["parent"].startswith("shipped@")

    if not learnt["promoted"]:
        run("models", "promote", "baseline")
    attack = tmp_path / "attack.pcap"
    write_scenario(attack, 75, kinds=("scan_vertical", "flood_udp"))
    found = run("detect", attack)
    assert found["model"] == {"name": "baseline", "version": "1"}
    assert {"scan_vertical", "flood_udp"} <= {f["kind"] for f in found["findings"]}
    assert run("explain", found["findings"][0]["id"], "--verify")["verified"]

    again = run("baseline", "learn", office, "--name", "office")
    assert again["figures"]["learnt"] == pytest.approx(figures["learnt"], rel=0.02)
    assert again["origin"]["parent"] == "baseline@1"
    with_audit = open_store(tmp_path / "home")
    actions = [entry.action for entry in with_audit.audit_entries()]
    with_audit.close()
    assert actions.count("model.baseline") == 2


def test_too_little_traffic_is_refused(run: Any, data_dir: Path) -> None:
    said = run("baseline", "learn", data_dir / "pcaps/benign/zeek__wikipedia.pcap", code=3)
    assert "expected at least 2000" in said
    assert "zeek__wikipedia.pcap" in said
