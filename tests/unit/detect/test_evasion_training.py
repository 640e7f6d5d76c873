"""How a second opinion is made: whom it practises on, and what its budget means."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwarden.core.errors import ModelError
from qwarden.core.signing import SigningKey
from qwarden.detect import evasion_training as training
from qwarden.detect import load_default_model
from qwarden.detect.behaviours import NO_BEHAVIOUR, name_behaviours
from qwarden.detect.build import DEVELOPMENT_SEEDS, Labelled, labelled_rows
from qwarden.detect.evasion import EvasionOpinion
from qwarden.detect.evasion_training import Lessons, Victim, teach
from qwarden.detect.lookup import find_model, model_registry
from qwarden.detect.mimicry import mimic
from qwarden.detect.scenario import write_scenario
from qwarden.detect.second_opinion import FLOW_MUTABILITY
from qwarden.learn.registry import Origin

SMALL = replace(
    training.SETTINGS, qubits=3, layers=2, steps=80, latent=2, depth=3, compression_steps=40, attacked=60,
    queries=(6,),
)  # fmt: skip


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    capture = tmp_path_factory.mktemp("range") / "range.pcap"
    write_scenario(capture, 61_004, duration_s=1200.0, hosts=8, kinds=("beacon", "guessing"))
    return labelled_rows(capture)


@pytest.fixture(scope="module")
def lessons(part: Labelled) -> Lessons:
    shows, attack = name_behaviours(part.rows) != NO_BEHAVIOUR, part.attacks > 0
    benign = part.attacks == 0
    half = np.arange(len(part.rows)) % 2 == 0
    return Lessons(
        part.rows[shows & (attack | (benign & half))], part.labels[shows & (attack | (benign & half))],
        part.rows[benign & ~half], part.rows[attack], part.labels[attack],
    )  # fmt: skip


@pytest.fixture(scope="module")
def opinion(lessons: Lessons) -> EvasionOpinion:
    return teach(load_default_model(), lessons, settings=SMALL)[0]


def test_of_benign_flows_no_more_than_the_budget_are_raised(
    opinion: EvasionOpinion, lessons: Lessons
) -> None:
    named = name_behaviours(lessons.benign)
    asked = Victim(load_default_model()).passed(lessons.benign, named)
    assert asked.sum() > 20
    for fpr in (0.002, 0.01, 0.03):
        raised = opinion.evading(lessons.benign, named, asked, fpr)
        assert not raised[~asked].any()
        for kind in np.unique(named[asked]):
            assert (raised & (named == kind)).sum() <= fpr * (len(named) + 1)
    assert raised.any()


def test_attacks_are_told_from_benign_flows(opinion: EvasionOpinion, lessons: Lessons) -> None:
    named = name_behaviours(lessons.benign)
    asked = Victim(load_default_model()).passed(lessons.benign, named)
    attacks = lessons.attacks[name_behaviours(lessons.attacks) != NO_BEHAVIOUR]
    assert np.median(opinion.margin(attacks)) > np.median(opinion.margin(lessons.benign[asked])) + 1


def test_who_evades_lowers_the_evidence_and_keeps_the_name_of_an_attack(part: Labelled) -> None:
    victim = Victim(load_default_model())
    shows = name_behaviours(part.rows) != NO_BEHAVIOUR
    assert (victim(part.rows[~shows]) == training.NO_ATTACK).all()
    attacks, donors = part.rows[shows & (part.attacks > 0)][:40], part.rows[part.attacks == 0]
    made = mimic(attacks, donors, FLOW_MUTABILITY, victim, queries=15, seed=0).rows
    assert (name_behaviours(made) != NO_BEHAVIOUR).all()
    assert (victim(made) <= victim(attacks)).all()
    assert (victim(made) < victim(attacks)).any()


def test_one_is_kept_beside_a_model_of_the_home_and_found_with_it(
    lessons: Lessons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, shipped = model_registry(tmp_path), load_default_model()
    own = copy(shipped)

    def write(folder: Path, version: str) -> None:
        own.name, own.version = "own", version
        key = SigningKey.load_or_create(tmp_path / "keys")
        own.save(folder, key, created="2026-01-01", fingerprint="")

    registry.add("own", write, origin=Origin(data="a test", fingerprint=""), created="2026-01-01")
    assert find_model(tmp_path, "own").second is None
    monkeypatch.setattr(training, "range_lessons", lambda *_: lessons)
    monkeypatch.setattr(training, "judge", lambda *_: {"flagged": 0.5})
    monkeypatch.setattr(training, "SETTINGS", SMALL)
    folder, figures = training.train_beside("own", tmp_path)
    second = find_model(tmp_path, "own").second
    assert second is not None
    assert (second.beside, second.figures, figures) == ("own 1", {"flagged": 0.5}, {"flagged": 0.5})
    assert folder == registry.get("own").folder / "second_opinion"
    (folder / "model.json").write_text("{}")
    with pytest.raises(ModelError):
        find_model(tmp_path, "own")


def test_its_seeds_serve_for_nothing_else() -> None:
    own = [*training.TRAINING_SEEDS, *training.CALIBRATION_SEEDS, *training.ATTACK_SEEDS]
    assert len(set(own)) == len(own)
    assert all(12_000 <= seed < 13_000 or 22_000 <= seed < 23_000 or 24_000 <= seed < 25_000 for seed in own)
    assert set(training.JUDGEMENT_SEEDS) <= set(DEVELOPMENT_SEEDS)
    assert not set(training.JUDGEMENT_SEEDS) & set(range(33_000, 33_008))
