"""The parts of the measures on real traffic, on data made by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from qwarden.detect.behaviours import KINDS
from qwarden.detect.measures.real_captures import ATTACKS, BENIGN, DAYS
from qwarden.detect.measures.real_traffic import alert_waits, benign_day, benign_direction, pair_auc
from qwarden.detect.scenario import labels_path, read_labels, write_scenario
from qwarden.detect.shipped import load_default_model

LOG = (
    "#separator \\x09\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\tconn_state\tlabel\tdetailed\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tinterval\tstring\tstring\tstring\n"
    "3600.5\tC1\t10.0.0.1\t40000\t198.51.100.2\t443\ttcp\t1.0\tSF\tBenign\t(empty)\n"
    "3700.5\tC2\t203.0.113.5\t40000\t10.0.0.1\t23\ttcp\t1.0\tS0\tMalicious\tattack\n"
    "10000.0\tC3\t10.0.0.1\t40001\t198.51.100.2\t443\ttcp\t1.0\tSF\tBenign\t(empty)\n"
)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "conn.log.labeled.gz"
    path.write_bytes(gzip.compress(LOG.encode()))
    return path


def test_only_the_benign_direction_is_kept_and_no_label(labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "conn.log"
    assert benign_direction(labelled, out) == [3600.5, 10_000.0]
    lines = out.read_text().splitlines()
    assert [line.split("\t")[1] for line in lines if not line.startswith("#")] == ["C1", "C3"]
    assert "Benign" not in out.read_text()
    assert "label" not in out.read_text()


def test_hours_are_those_with_traffic(labelled: Path) -> None:
    day = benign_day(load_default_model(), labelled)
    assert (day.hours, day.noisy, day.kinds, day.notes) == (2, 0, (), ())
    assert day.host_days == pytest.approx(6399.5 / 86_400)


def test_every_pair_of_captures_weighs_the_same() -> None:
    rng = np.random.default_rng(1)
    attacks = [rng.integers(0, 5, n).astype(float) for n in (3, 40)]
    benign = [rng.integers(0, 5, n).astype(float) for n in (7, 1, 30)]
    pairs = [
        np.mean([[(p > n) + 0.5 * (p == n) for p in positive] for n in negative])
        for positive in attacks
        for negative in benign
    ]
    assert pair_auc(attacks, benign) == pytest.approx(np.mean(pairs))


def test_the_table_of_captures_is_consistent() -> None:
    assert len({capture.path for capture in (*ATTACKS, *BENIGN)}) == len(ATTACKS) + len(BENIGN)
    for capture in ATTACKS:
        assert set(capture.kinds) <= set(KINDS)
        assert bool(capture.kinds) == bool(capture.seen_by) == (not capture.why_not), capture.path
        assert not capture.stated or capture.kinds


@pytest.mark.data
def test_the_table_names_every_capture_there_is(data_dir: Path) -> None:
    paths = {capture.path for capture in (*ATTACKS, *BENIGN)} | set(DAYS.values())
    assert all((data_dir / path).exists() for path in paths)
    here = {
        f"pcaps/{kind}/{p.name}"
        for kind in ("attack", "benign")
        for p in (data_dir / "pcaps" / kind).iterdir()
    }
    assert {path for path in paths if path.startswith("pcaps/")} == here
    entries = {p.name for p in (data_dir / "slips-dataset").iterdir()} - {"SOURCE.txt"}
    assert {path.split("/")[1] for path in paths if path.startswith("slips-dataset/")} == entries


def test_the_wait_for_an_alert_begins_with_the_attack(tmp_path: Path) -> None:
    capture = tmp_path / "range.pcap"
    write_scenario(capture, 900_003, duration_s=240, hosts=8, kinds=("dhcp_flood", "scan_vertical"))
    rows = read_labels(labels_path(capture))
    attacks, waits = alert_waits(load_default_model(), capture)
    assert attacks == len(set(rows["attack_id"].tolist()) - {0}) == 2
    lasts = (rows["end_us"].max() - rows[rows["attack_id"] > 0]["start_us"].min()) / 1e6
    assert 0 < len(waits) <= attacks
    assert all(0 <= wait <= lasts + 60.0 for wait in waits)
