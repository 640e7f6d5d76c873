"""From real traffic to what leaves the house: every output of one run, a kill in the middle, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.formats.deliveries.receivers import certificate, stream_receiver, web_receiver
from tests.unit.formats.writers.grammar import frames, parse

from qwarden.core.bus import Bus, open_bus
from qwarden.core.config import DetectSettings
from qwarden.core.store import Store, open_store
from qwarden.detect import Detection, Detector, load_default_model
from qwarden.detect.scenario import write_scenario
from qwarden.formats.deliveries.outputs import Outputs

ROOT = Path(__file__).parents[3]
FILES = ("eve", "ecs", "ocsf", "stix")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("range") / "range.pcap"
    write_scenario(path, 4242, duration_s=600, hosts=8, kinds=("scan_horizontal", "guessing", "flood_udp"))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def detect(capture: Path, bus: Bus, outputs: Outputs) -> Detection:
    detector = Detector(load_default_model(), DetectSettings(), bus)
    with outputs:
        return detector.run([capture], on_alert=outputs.opened, on_finding=outputs.closed)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_run_to_every_output(capture: Path, store: Store, tmp_path: Path) -> None:
    authority, chain = certificate(tmp_path)
    with web_receiver(chain=chain) as web, stream_receiver(chain) as log:
        targets = [f"{form}:{tmp_path}/{form}.json" for form in FILES]
        targets += [
            f"webhook+https://127.0.0.1:{web.port}/in#ca={authority}",
            f"syslog+tls://127.0.0.1:{log.port}#ca={authority}",
        ]
        bus = open_bus(store)
        outputs = Outputs(targets, tmp_path, store, bus=bus)
        result = detect(capture, bus, outputs)
        assert log.ended.wait(5)
    assert outputs.problems == []
    expected = [finding.id for finding in result.findings]
    assert len(expected) >= 3
    assert [d["qwarden"]["id"] for d in lines(tmp_path / "eve.json")] == expected
    assert [d["event"]["id"] for d in lines(tmp_path / "ecs.json")] == expected
    assert [d["finding_info"]["uid"] for d in lines(tmp_path / "ocsf.json")] == expected
    notes = [o for o in json.loads((tmp_path / "stix.json").read_text())["objects"] if o["type"] == "note"]
    assert {o["content"].rpartition(" ")[2].rstrip(".") for o in notes} == set(expected)
    for told in (
        [(r.headers["qwarden-event"], json.loads(r.body)["finding"]["id"]) for r in web.requests],
        [
            (m.msgid.lower().replace("-", "."), m.data["qwarden@32473"]["id"])
            for m in map(parse, frames(log.received[0]))
        ],
    ):
        assert Counter(told) == Counter(
            (state, id) for id in expected for state in ("finding.opened", "finding.closed")
        )
        for id in expected:
            assert told.index(("finding.opened", id)) < told.index(("finding.closed", id))


def test_a_full_disk_stops_no_detection_and_loses_no_finding(
    capture: Path, store: Store, tmp_path: Path
) -> None:
    said: list[str] = []
    outputs = Outputs(["eve:/dev/full"], tmp_path, store, say=said.append)
    result = detect(capture, open_bus(store), outputs)
    assert outputs.exit_code == 3
    assert said == ["/dev/full: cannot be written: no space left on device; findings stay in the store"]
    assert str(outputs.problems[0]).startswith("/dev/full: ")
    assert store.count(room="detect", kind="finding") == len(result.findings) > 0


CHILD = """
import sys, time
from pathlib import Path
from qwarden.core.events import UnknownEvent
from qwarden.core.store import open_store
from qwarden.formats.deliveries.outputs import Outputs
from tests.unit.formats.writers.samples import finding
home, target, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = open_store(home)
with Outputs([target], home, store, live=True):
    print("open", flush=True)
    for number in range(first, first + count):
        body = finding()
        body["behaviour"], at = body.pop("kind"), body.pop("time")
        body["id"] = f"019b0000-0000-7000-8000-{number:012x}"
        id = body.pop("id")
        store.append([UnknownEvent(id=id, time=at, room="detect", kind="finding", content=body)])
        time.sleep(0.002)
store.close()
"""


@pytest.mark.parametrize("kills", [2])
def test_a_kill_in_the_middle_loses_nothing(tmp_path: Path, kills: int) -> None:
    received: list[str] = []

    def start(first: int, count: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CHILD, str(tmp_path), target, str(first), str(count)]
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        return child

    with web_receiver() as web:
        target = f"webhook+http://127.0.0.1:{web.port}/"
        for kill in range(kills):
            child = start(1000 * kill, 150)
            enough, limit = len(web.requests) + 20, time.monotonic() + 60
            while len(web.requests) < enough:
                assert time.monotonic() < limit, "nothing came"
                time.sleep(0.001)
            child.send_signal(signal.SIGKILL)
            child.wait(10)
        assert start(90_000, 1).wait(60) == 0
        received = [json.loads(request.body)["finding"]["id"] for request in web.requests]
        keys = [request.headers["idempotency-key"].strip('"') for request in web.requests]
    store = open_store(tmp_path)
    stored = [event.id for event in store.events(room="detect", kind="finding", limit=10_000)]
    store.close()
    assert set(received) == set(stored)
    assert keys == received
    again = {id: n for id, n in Counter(received).items() if n > 1}
    assert len(again) <= kills
    assert len(stored) > 20 * kills
