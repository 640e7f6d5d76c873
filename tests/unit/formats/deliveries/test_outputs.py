from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwarden.core.bus import open_bus
from qwarden.core.errors import InputError, UsageError
from qwarden.core.store import Store, open_store
from qwarden.detect import Finding
from qwarden.formats.deliveries.outputs import Outputs

from ..writers.samples import finding
from .receivers import web_receiver


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def stored(number: int) -> Finding:
    document = finding(id=f"019b0000-0000-7000-8000-{number:012x}")
    document["behaviour"] = document.pop("kind")
    return Finding(**document)


def run(outputs: Outputs, store: Store, count: int = 3) -> None:
    with outputs:
        for n in range(count):
            event = stored(n)
            outputs.opened(event.document())
            store.append([event])
            outputs.closed(event.document())


def test_all_files_of_a_run(store: Store, tmp_path: Path) -> None:
    outputs = Outputs([f"{f}:{tmp_path}/{f}.json" for f in ("eve", "ecs", "ocsf", "stix")], tmp_path, store)
    run(outputs, store)
    assert (outputs.problems, outputs.exit_code) == ([], 0)
    for form in ("eve", "ecs", "ocsf"):
        documents = [json.loads(line) for line in (tmp_path / f"{form}.json").read_text().splitlines()]
        assert len(documents) == 3
    assert documents[0]["activity_name"] == "Create"
    bundle = json.loads((tmp_path / "stix.json").read_text())
    assert [o["type"] for o in bundle["objects"]].count("note") == 3


def test_both_tellings_of_a_file(store: Store, tmp_path: Path) -> None:
    run(Outputs([f"ocsf:{tmp_path}/o.json#on=both"], tmp_path, store), store, 1)
    lines = (tmp_path / "o.json").read_text().splitlines()
    assert [json.loads(line)["activity_name"] for line in lines] == ["Create", "Update"]


def test_a_full_disk_is_said_once_and_counted(store: Store, tmp_path: Path) -> None:
    said: list[str] = []
    outputs = Outputs(["eve:/dev/full", f"ecs:{tmp_path}/e.json"], tmp_path, store, say=said.append)
    run(outputs, store)
    assert said == ["/dev/full: cannot be written: no space left on device; findings stay in the store"]
    (problem,) = outputs.problems
    assert isinstance(problem, InputError)
    assert "3 of 3 findings are not in it" in str(problem)
    assert outputs.exit_code == 3
    assert store.count(room="detect", kind="finding") == 3
    assert len((tmp_path / "e.json").read_text().splitlines()) == 3


def test_a_receiver_beside_a_file(store: Store, tmp_path: Path) -> None:
    with web_receiver() as receiver:
        targets = [f"webhook+http://127.0.0.1:{receiver.port}/", f"eve:{tmp_path}/e.json"]
        outputs = Outputs(targets, tmp_path, store)
        run(outputs, store)
    assert outputs.problems == []
    assert [r.headers["qwarden-event"] for r in receiver.requests] == ["finding.closed"] * 3


def test_a_receiver_that_is_away_is_exit_4_and_hears_later(store: Store, tmp_path: Path) -> None:
    with web_receiver() as receiver:
        port = receiver.port
    target = f"webhook+http://127.0.0.1:{port}/"
    outputs = Outputs([target], tmp_path, store, patience_s=0.3)
    run(outputs, store)
    assert outputs.exit_code == 4
    with web_receiver(port=port) as receiver, Outputs([target], tmp_path, store):
        pass
    assert len(receiver.requests) == 3


def test_a_live_file_goes_through_the_store(store: Store, tmp_path: Path) -> None:
    bus = open_bus(store)
    with Outputs([f"ecs:{tmp_path}/e.json"], tmp_path, store, bus=bus, live=True):
        bus.publish(stored(1))
    (line,) = (tmp_path / "e.json").read_text().splitlines()
    assert json.loads(line)["event"]["action"] == "finding-closed"


def test_what_is_found_again_is_told_again_once(store: Store, tmp_path: Path) -> None:
    bus = open_bus(store)
    told = []
    with web_receiver() as receiver:
        for _ in range(2):
            with Outputs([f"webhook+http://127.0.0.1:{receiver.port}/"], tmp_path, store, bus=bus) as outputs:
                for event in (stored(1), stored(len(told) + 2)):
                    bus.publish(event)
                    outputs.closed(event.document())
            heard = [(r.headers["qwarden-event"], json.loads(r.body)) for r in receiver.requests]
            told.append([(name, body["finding"]["id"]) for name, body in heard])
            receiver.requests.clear()
    ids = [stored(n).id for n in range(4)]
    assert told[0] == [("finding.closed", ids[1]), ("finding.closed", ids[2])]
    assert sorted(told[1]) == [("finding", ids[1]), ("finding.closed", ids[3])]


def test_a_run_that_fails_leaves_no_bundle(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    outputs = Outputs([f"stix:{path}"], tmp_path, store)
    outputs.closed(finding())
    outputs.__exit__(RuntimeError, RuntimeError(), None)
    assert not path.exists()


def test_a_target_named_twice_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        Outputs([f"eve:{tmp_path}/e", f"eve:{tmp_path}/e"], tmp_path, store)


def test_one_bad_target_opens_none(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Outputs([f"eve:{tmp_path}/e", f"eve:{tmp_path}/no/e"], tmp_path, store)
