"""A detection that is killed and run again loses no finding and stores none twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwarden.core.audit import Audit
from qwarden.core.store import open_store
from qwarden.detect.findings import Alert, Finding
from qwarden.detect.scenario import write_scenario


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captures")
    for seed in (76, 77):
        write_scenario(folder / f"{seed}.pcap", seed)
    return folder


def start(home: Path, captures: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "qwarden", "--home", str(home), "detect", str(captures), "--json"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stored(home: Path) -> tuple[list[str], list[str]]:
    """Ids of findings and of what alerts are about, as stored."""
    store = open_store(home)
    try:
        findings = [e.id for e in store.events(room="detect", kind="finding", limit=1000)]
        alerts = [e for e in store.events(room="detect", kind="alert", limit=1000) if isinstance(e, Alert)]
        assert all(isinstance(store.get(id), Finding) for id in findings)
        Audit(store).verify()
        return sorted(findings), sorted(alert.finding_id for alert in alerts)
    finally:
        store.close()


def test_nothing_is_lost_or_doubled(captures: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole, captures).wait(timeout=300) == 0
    expected = stored(whole)
    assert len(expected[0]) >= 10

    killed = 0
    for least in (1, 6):  # once early, once with some findings stored
        process = start(broken, captures)
        while process.poll() is None:
            time.sleep(0.02)
            if (broken / "qwarden.db").exists() and len(_alerts(broken)) >= least:
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
        process.wait(timeout=60)
    assert killed == 2
    half = stored(broken)
    assert set(half[0]) < set(expected[0])
    assert start(broken, captures).wait(timeout=300) == 0
    assert stored(broken) == expected


def _alerts(home: Path) -> list[str]:
    try:
        store = open_store(home)
    except Exception:  # it is being made
        return []
    try:
        return [e.id for e in store.events(room="detect", kind="alert", limit=100)]
    finally:
        store.close()
