"""The whole loop from the command line: false alarms, verdicts, retraining, a better model, or none.

The traffic is the range's under circumstances that the shipped model was not trained for, four times as busy,
at a wide budget: benign pollers alarm as beacons. Verdicts follow the labels. The seeds serve nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qwarden.cli.main import main
from qwarden.core.audit import Audit
from qwarden.core.config import DetectSettings
from qwarden.core.store import open_store
from qwarden.detect.behaviours import name_behaviours
from qwarden.detect.evaluation import attacks_of
from qwarden.detect.feedback import learning
from qwarden.detect.feedback.answers import deal, gather
from qwarden.detect.feedback.range_table import FILE, FOLDER, RangeSeeds, RangeTable, range_table
from qwarden.detect.findings import Finding
from qwarden.detect.lookup import find_model
from qwarden.detect.scenario import labels_path, read_labels, write_scenario

FPR = 0.005
KINDS = ("beacon", "guessing", "scan_horizontal", "scan_vertical", "dead_c2", "exfiltration")
SMALL = RangeSeeds(
    train=(71,), long_train=(), calibrate=(73, 76), long_calibrate=(), attacks=(74,), judge=(75,)
)
"""A smaller table of the range than people get: this is about the way, and the figures say so."""


class World:
    """A home, and labelled captures that it has seen."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.captures = [folder / f"{seed}.pcap" for seed in (81, 82)]
        for seed, path in zip((81, 82), self.captures, strict=True):
            write_scenario(path, seed, hosts=40, intensity=4.0, duration_s=1500, kinds=KINDS)

    def findings(self) -> dict[str, bool]:
        """Return each stored finding's id, and whether it is about an attack, by the labels."""
        store = open_store(self.home)
        found = [e for e in store.events(kind=Finding.kind, limit=1000) if isinstance(e, Finding)]
        store.close()
        attacks = {str(path): attacks_of(read_labels(labels_path(path))) for path in self.captures}
        return {f.id: any(attack.fits(f) for attack in attacks[f.source]) for f in found}

    def counted(self, reference: str) -> tuple[int, int]:
        """Count plainly: dismissed causes held back of which a flow alarms, and attacks missed."""
        model, store = find_model(self.home, reference), open_store(self.home)
        lesson = deal(gather(store, self.home).usable)
        store.close()
        assert not {a.cause for a in lesson.held_back} & {a.cause for a in (*lesson.train, *lesson.calibrate)}
        told: dict[tuple[str, bool], list[float]] = {}
        for answer in lesson.held_back:
            for at in range(len(answer.rows)):
                one = slice(at, at + 1)
                p = model.score(answer.rows[one], name_behaviours(answer.rows[one])).p_value[0]
                told.setdefault((answer.cause, answer.attack), []).append(p)
        alarms = {key: min(values) <= FPR for key, values in told.items()}
        false = sum(alarm for (_, attack), alarm in alarms.items() if not attack)
        return false, sum(not alarm for (_, attack), alarm in alarms.items() if attack)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWARDEN_DETECT__FPR", str(FPR))
        patch.setattr(learning, "RangeSeeds", lambda: SMALL)
        world = World(tmp_path_factory.mktemp("loop"))
        assert main(["--home", str(world.home), "detect", *map(str, world.captures)]) == 0
        yield world


@pytest.fixture
def qwarden(world: World, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main(["--home", str(world.home), *arguments, "--json"]) == code, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def audited(world: World, action: str) -> list[Any]:
    store = open_store(world.home)
    found = [entry.body for entry in Audit(store).entries() if entry.action == action]
    Audit(store).verify()
    store.close()
    return found


def test_1_questions_and_missed_attacks_enter_the_queue(world: World, qwarden: Any) -> None:
    asked = qwarden("feedback", "questions", "--count", "12")
    assert asked["new"]
    assert len(asked["questions"]) == 12
    flow = asked["questions"][0]["flow"]
    assert qwarden("feedback", flow, "true")["attack"] is True
    queue = qwarden("feedback", "queue")
    assert [waiting["about"] for waiting in queue["verdicts"]["waiting"]] == [flow]
    assert len(queue["questions"]) == 11
    assert flow not in {question["flow"] for question in queue["questions"]}
    (entry,) = qwarden("flows", "search", "--kind", asked["questions"][0]["kind"], "--limit", "1")["flows"]
    missed = qwarden("feedback", "--missed", entry["id"], "--kind", "beacon")
    assert missed["verdict"]["missed"] is True
    assert missed["surroundings"]["looked_at"] >= 1
    # Said again, and otherwise: the last word counts, and leaves no trace in what follows.
    for id in (flow, entry["id"]):
        truth = any(f["id"] == id for f in qwarden("flows", "search", "--alarming", "--limit", "0")["flows"])
        qwarden("feedback", id, str(truth).lower())


def test_2_verdicts_make_a_better_model(world: World, qwarden: Any) -> None:
    findings = world.findings()
    assert sum(findings.values()) >= 8
    assert len(findings) - sum(findings.values()) >= 8
    for id, attack in findings.items():
        qwarden("feedback", id, str(attack).lower())
    learnt = qwarden("feedback", "learn")
    assert learnt["promoted"], learnt["reasons"]
    new, old = learnt["figures"]["new"], learnt["figures"]["in_use"]
    assert new["held_back_error"] < old["held_back_error"]
    assert new["held_back_false"] < old["held_back_false"]
    assert new["range_recall"] >= old["range_recall"] - 0.02

    # The figures are honest: a plain count says the same of both models, on causes neither trained on.
    for reference, said in (("shipped", old), ("feedback@1", new)):
        missed = said["held_back_attacks"] - said["held_back_found"]
        assert world.counted(reference) == (said["held_back_false"], missed)

    entry = qwarden("models", "show", "feedback@1")
    assert entry["origin"]["parent"].startswith("shipped@")
    assert len(entry["origin"]["fingerprint"]) == 64
    assert entry["figures"]["against"]["model"] == entry["origin"]["parent"]
    assert {"twin", "against_twin", "held_back_error"} <= set(entry["figures"])
    assert qwarden("models", "show")["name"] == "feedback"
    assert qwarden("feedback", "queue")["verdicts"]["waiting"] == []
    assert [body["model"] for body in audited(world, "model.promoted")] == ["feedback@1"]


def test_3_wrong_verdicts_make_a_candidate(world: World, qwarden: Any) -> None:
    """Attacks are dismissed, and pollers confirmed: nobody is to be protected by what comes of that."""
    for id, attack in world.findings().items():
        qwarden("feedback", id, str(not attack).lower())
    learnt = qwarden("feedback", "learn")
    assert learnt["verdicts"]["contradicted"] >= len(world.findings())
    assert not learnt["promoted"]
    assert learnt["reasons"]
    assert learnt["model"]["figures"]["promoted"] is False
    assert learnt["in_use_before"] == "feedback@1"
    active = [
        model["name"] + "@" + model["version"]
        for model in qwarden("models", "list")["models"]
        if model["active"]
    ]
    assert active == ["feedback@1"]
    # It is made of the shipped model and of all verdicts, not of the model it was held against.
    assert learnt["model"]["figures"]["feedback"]["base"].startswith("shipped@")
    (kept,) = audited(world, "model.kept_as_candidate")
    assert kept["model"] == "feedback@2"
    assert kept["reasons"] == learnt["reasons"]


def test_4_nothing_is_kept_of_a_retraining_that_is_stopped(world: World, qwarden: Any) -> None:
    class Stopping:
        """Ctrl-C while the new model is trained."""

        @contextmanager
        def task(self, name: str, total: float | None = None) -> Iterator[Any]:
            if name == "train on landmarks":
                raise KeyboardInterrupt
            yield type("Task", (), {"advance": lambda *_: None})()

    before = qwarden("models", "list")
    store = open_store(world.home)
    with pytest.raises(KeyboardInterrupt):
        learning.learn(world.home, store, DetectSettings(fpr=FPR), progress=Stopping())
    store.close()
    assert qwarden("models", "list") == before


def test_5_the_range_is_made_once_and_made_anew_when_damaged(world: World) -> None:
    path = world.home / FOLDER / FILE
    made: list[bool] = []

    def table(seeds: RangeSeeds) -> RangeTable:
        return range_table(world.home, seeds, on_making=lambda: made.append(True))

    first, kept = table(SMALL), path.stat().st_mtime_ns
    assert path.stat().st_mode & 0o077 == 0
    assert path.stat().st_mtime_ns == kept
    tiny = RangeSeeds(train=(75,), long_train=(), calibrate=(), long_calibrate=(), attacks=(), judge=())
    path.write_bytes(path.read_bytes()[:-999])
    assert made == []
    again = table(tiny)
    assert made == [True]
    assert 0 < len(again.train) != len(first.train)
    assert table(tiny).fingerprint == again.fingerprint
    assert made == [True]


def test_6_bad_calls(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(home: Path, *arguments: str) -> str:
        capsys.readouterr()
        assert main(["--home", str(home), "feedback", *arguments]) == 2
        return capsys.readouterr().err

    assert "no verdicts" in fails(tmp_path, "learn")
    assert "no flows to ask about" in fails(tmp_path, "questions")
    assert "no flow 0123456789ab:1" in fails(tmp_path, "0123456789ab:1", "true")
    assert "no flow 0123456789ab:1" in fails(tmp_path, "--missed", "0123456789ab:1")
    assert "witchcraft" in fails(tmp_path, "--missed", "0123456789ab:1", "--kind", "witchcraft")
    assert "--until" in fails(tmp_path, "0123456789ab:1", "false", "--until", "3d")
    assert "came with the program" in fails(world.home, "learn", "--name", "shipped")
    assert "--weight" in fails(world.home, "learn", "--weight", "0")
