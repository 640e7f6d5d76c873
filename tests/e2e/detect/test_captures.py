"""The shipped model on real captures it never saw, and on a scenario of an unseen seed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from qwarden.core.config import DetectSettings
from qwarden.core.errors import UsageError
from qwarden.detect import Detection, Detector, load_default_model
from qwarden.detect.evaluation import Discard, Verdicts, judge_capture
from qwarden.detect.measures.real_captures import ATTACKS, DAYS, RealCapture
from qwarden.detect.measures.real_traffic import benign_day, names
from qwarden.detect.scenario import write_scenario


def detect(*paths: Path) -> Detection:
    result = Detector(load_default_model(), DetectSettings(notes=True), Discard()).run(paths)
    flows = result.flows
    assert flows.read == flows.scored + flows.suppressed + flows.dropped + flows.malformed
    return result


VISIBLE = [
    capture
    for capture in ATTACKS
    if capture.kinds and "dhcpscan" not in capture.path  # needs Zeek's dhcp.log, which is not read
]


@pytest.mark.data
@pytest.mark.parametrize("capture", VISIBLE, ids=lambda capture: Path(capture.path).name)
def test_what_flows_can_show_is_told_with_its_source(data_dir: Path, capture: RealCapture) -> None:
    findings = detect(data_dir / capture.path).findings
    told = [finding for finding in findings if names(capture, finding)]
    assert told, [finding.behaviour for finding in findings]
    assert told[0].explanation["features"]
    if capture.path.startswith("pcaps/"):
        assert len(findings) == 1


@pytest.mark.data
def test_few_hours_of_a_pc_raise_anything(data_dir: Path) -> None:
    day = benign_day(load_default_model(), data_dir / DAYS["development"])
    assert (day.hours, day.noisy <= 1) == (14, True), day.kinds


@pytest.mark.data
def test_benign_captures_raise_nothing(data_dir: Path) -> None:
    captures = sorted((data_dir / "pcaps" / "benign").glob("*.pcap"))
    assert len(captures) == 11
    for capture in captures:
        assert detect(capture).findings == [], capture.name


@pytest.mark.data
def test_every_packet_of_every_capture_is_read(data_dir: Path) -> None:
    with (data_dir / "pcaps" / "MANIFEST.csv").open() as manifest:
        for row in csv.DictReader(manifest):
            source = detect(data_dir / "pcaps" / row["label"] / row["file"]).sources[0]
            assert source.packets.read == int(row["packets"]), row["file"]


def test_most_attacks_of_an_unseen_scenario_are_found(tmp_path: Path) -> None:
    verdicts = Verdicts()
    for seed in (900_001, 900_002):
        write_scenario(tmp_path / f"{seed}.pcap", seed)
        judge_capture(load_default_model(), tmp_path / f"{seed}.pcap", verdicts)
    assert verdicts.attacks == 24
    assert verdicts.recall >= 0.8, verdicts.missed
    assert verdicts.false_per_1000 <= 1.0, verdicts.false_kinds


def test_a_budget_that_could_never_alarm_is_refused() -> None:
    model = load_default_model()
    with pytest.raises(UsageError, match=r"could never alarm within .* 1e-09: its calibration flows allow"):
        Detector(model, DetectSettings(), Discard(), fpr=1e-9)
    Detector(model, DetectSettings(), Discard(), fpr=model.least_fpr)
