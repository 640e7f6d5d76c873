"""Retraining: what is dismissed becomes normal, what the range taught stays, and better is better."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.detect.behaviours import KINDS, name_behaviours
from qwarden.detect.build import Labelled, labelled_rows, training_table
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.feedback.answers import Answer, Given, Lesson
from qwarden.detect.feedback.judging import Figures, judge, shortcomings
from qwarden.detect.feedback.range_table import RangeTable
from qwarden.detect.feedback.retraining import remember, remember_rows, retrain
from qwarden.detect.feedback.verdicts import AnalystVerdict
from qwarden.detect.model import ModelSettings, OneClassMethod, ThreatModel
from qwarden.detect.scenario import write_scenario
from qwarden.formats.flows import Flows
from qwarden.learn import Bundle, NeighborDistanceTwin, Preprocessor, QuantumOneClass

FPR = 0.02


def seen(folder, seed: int, kinds: list[str]) -> Labelled:  # type: ignore[no-untyped-def]
    path = folder / f"{seed}.pcap"
    write_scenario(path, seed, duration_s=450, hosts=10, intensity=3.0, kinds=kinds)
    return labelled_rows(path)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[RangeTable, Labelled]:
    """A small table, and traffic with flows to give verdicts on."""
    folder = tmp_path_factory.mktemp("range")
    kinds = ["guessing", "scan_vertical", "beacon"]
    one, other, judged, asked = (seen(folder, seed, kinds) for seed in (61, 62, 63, 64))
    calm = seen(folder, 65, [])
    rows, labels = training_table([one, other], 0)
    known = np.isin(other.labels, KINDS)
    table = RangeTable(
        rows, labels, calm.rows, calm.rows[::3], other.rows[known], other.labels[known], judged.rows,
        judged.attacks,
    )  # fmt: skip
    return table, asked


def trained(table: RangeTable, method: OneClassMethod) -> Bundle:
    settings = ModelSettings(
        qubits=4, layers=1, steps=60, landmarks=60, references=200, known=50, one_class=method
    )
    model = ThreatModel.train(
        table.train, table.labels, table.calibration, names=FEATURE_NAMES, version="1", settings=settings
    )
    model.calibrate_early(table.early)
    model.calibrate_attacks(table.attacks, table.attack_labels)
    model.learn_baseline(table.calibration)
    return model._bundle


@pytest.fixture(scope="module")
def base(ground: tuple[RangeTable, Labelled]) -> Bundle:
    return trained(ground[0], "eigenspace")


@pytest.fixture(scope="module")
def other_base(ground: tuple[RangeTable, Labelled]) -> Bundle:
    return trained(ground[0], "neighbours")


def answer(flows: Flows, rows: np.ndarray, attack: bool, cause: str) -> Answer:
    event = AnalystVerdict(time=1.0, finding_id=cause, attack=attack, reason="x", author="a")
    label = "beacon" if attack else "benign"
    return Answer(Given(1, cause, event), label, cause, flows, rows, name_behaviours(rows))


def verdicts_of(asked: Labelled) -> list[Answer]:
    """Dismiss the benign beacons, confirm the attacks: a cause each."""
    named = name_behaviours(asked.rows)
    found = []
    for at in np.flatnonzero((named >= 0) & (asked.attacks >= 0)):
        one = slice(at, at + 1)
        found.append(answer(asked.flows[one], asked.rows[one], bool(asked.attacks[at]), f"cause {at}"))
    return found


@pytest.mark.parametrize("which", ["base", "other_base"])
def test_what_was_dismissed_looks_normal_to_both(
    which: str, ground: tuple[RangeTable, Labelled], request: pytest.FixtureRequest
) -> None:
    base: Bundle = request.getfixturevalue(which)
    table, asked = ground
    lesson = Lesson(tuple(verdicts_of(asked)[::2]), (), ())
    model = retrain(base, table, lesson, name="x")
    dismissed = np.concatenate([a.rows for a in lesson.train if not a.attack])
    named = name_behaviours(dismissed)
    before = ThreatModel(base, "y", "1")
    assert len(dismissed) >= 10
    for new, old in ((model, before), (model.twin(), before.twin())):
        assert new.score(dismissed, named).margin.mean() < old.score(dismissed, named).margin.mean()
    attacks = np.concatenate([a.rows for a in lesson.train if a.attack])
    assert model.score(attacks, name_behaviours(attacks)).margin.mean() > 0.9 * (
        before.score(attacks, name_behaviours(attacks)).margin.mean()
    )
    # What the base could do, the new model can.
    assert model.looks_early
    assert model.baseline is not None
    assert (model.attack_p_value(np.full(1, -1.0), np.array([KINDS.index("guessing")])) < 1).all()


def test_encodings_stay_and_the_same_verdicts_give_the_same_model(
    base: Bundle, ground: tuple[RangeTable, Labelled]
) -> None:
    table, asked = ground
    kept = {name: array.copy() for name, array in base.arrays.items()}
    lesson = Lesson(tuple(verdicts_of(asked)[::5]), tuple(verdicts_of(asked)[1::25]), ())
    one, other = (retrain(base, table, lesson, name="x") for _ in range(2))
    named = name_behaviours(table.judge)
    assert one.score(table.judge, named).margin.tobytes() == other.score(table.judge, named).margin.tobytes()
    new = one._hybrid.embedding_.to_state().arrays
    old = base["hybrid"].embedding_.to_state().arrays  # type: ignore[attr-defined]
    assert all(new[name].tobytes() == old[name].tobytes() for name in new)
    # The base itself is untouched.
    assert base.arrays.keys() == kept.keys()
    assert all(base.arrays[name].tobytes() == array.tobytes() for name, array in kept.items())


def test_dismissed_rows_join_the_calibration(base: Bundle, ground: tuple[RangeTable, Labelled]) -> None:
    table, asked = ground
    calm = tuple(a for a in verdicts_of(asked) if not a.attack)
    model = retrain(base, table, Lesson(calm[:1], calm[1:4], ()), name="x")
    assert model.least_fpr == pytest.approx(1 / (len(table.calibration) + 3 + 1))


@pytest.mark.parametrize("which", ["base", "other_base"])
def test_what_is_remembered_is_normal(
    which: str, ground: tuple[RangeTable, Labelled], request: pytest.FixtureRequest
) -> None:
    base, table = request.getfixturevalue(which), ground[0]
    preprocessor = base.part("preprocessor", Preprocessor)
    inputs = preprocessor.transform(table.attacks)[:4]
    normal = preprocessor.transform(table.train[table.labels == "benign"])
    old, twin = base.part("one_class", QuantumOneClass), base.part("neighbours", NeighborDistanceTwin)
    new = remember(old, normal, inputs, 8.0)
    assert new.strangeness(inputs).mean() < 0.8 * old.strangeness(inputs).mean()
    if old.method == "neighbours":
        np.testing.assert_allclose(new.score_samples(inputs), 1.0, rtol=1e-6)
    np.testing.assert_allclose(remember_rows(twin, inputs, 8.0).strangeness(inputs), 0.0, atol=1e-5)
    assert remember(old, normal, inputs[:0], 8.0) is old
    assert remember_rows(twin, inputs[:0], 8.0) is twin


def test_figures_are_a_plain_count(base: Bundle, ground: tuple[RangeTable, Labelled]) -> None:
    table, asked = ground
    model = ThreatModel(base, "y", "1")
    held_back = verdicts_of(asked)
    # Two answers on one cause are one cause.
    held_back.append(answer(held_back[0].flows, held_back[0].rows, held_back[0].attack, held_back[0].cause))
    figures = judge(model, held_back, table, FPR)
    alarms = {a.cause: model.score(a.rows, a.named).p_value[0] <= FPR for a in held_back}
    attacks = {a.cause for a in held_back if a.attack}
    assert (figures.attacks, figures.benign) == (len(attacks), len(alarms) - len(attacks))
    assert figures.found == sum(alarms[cause] for cause in attacks)
    assert figures.false == sum(told for cause, told in alarms.items() if cause not in attacks)
    expected = 0.5 * (1 - figures.found / figures.attacks) + 0.5 * figures.false / figures.benign
    assert figures.error == pytest.approx(expected)
    named = name_behaviours(table.judge)
    told = (model.score(table.judge, named).p_value <= FPR) & (named >= 0)
    found = [
        number for number in set(table.judge_attacks) - {0, -1} if told[table.judge_attacks == number].any()
    ]
    assert figures.range_recall == len(found) / figures.range_attacks
    calm = table.judge_attacks == 0
    assert figures.range_false_per_1000 == pytest.approx(1000 * told[calm].sum() / calm.sum())


def test_better_on_verdicts_alone_is_not_enough() -> None:
    old = Figures(5, 5, 10, 6, 72, 0.97, 2.0)
    assert shortcomings(Figures(5, 5, 10, 5, 72, 0.96, 2.1), old) == []
    assert len(shortcomings(Figures(5, 5, 10, 6, 72, 1.0, 0.0), old)) == 1  # no better is not better
    assert len(shortcomings(Figures(5, 4, 10, 6, 72, 1.0, 0.0), old)) == 1
    assert len(shortcomings(Figures(5, 5, 10, 0, 72, 0.94, 0.0), old)) == 1
    assert len(shortcomings(Figures(5, 5, 10, 0, 72, 0.97, 2.3), old)) == 1
    assert len(shortcomings(Figures(5, 0, 10, 9, 72, 0.5, 9.0), old)) == 3
    assert Figures(0, 0, 0, 0, 0, 1.0, 0.0).error == 0.0
    assert Figures(4, 1, 0, 0, 0, 1.0, 0.0).error == 0.75
