from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwarden.core.errors import InputError, QwardenError, UnavailableError, UsageError
from qwarden.core.figures import FIELDS, merge_into, read_documents, render
from qwarden.core.measure import Bench, Measured, Registry, Resources, run

ACCEPTANCE = Path(__file__).resolve().parents[4] / "shared" / "acceptance" / "measures.json"


def measured(**overrides: Any) -> Measured:
    return Measured(**{"values": {"ratio": 2.0}, "data": "none", "n": 1} | overrides)


def returning(result: Measured) -> Callable[[Bench], Measured]:
    return lambda bench: result


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for name, long in [("a.first", False), ("a.long", True), ("b.second", False)]:
        registry.measure(name, definition=f"What {name} is.", units={"ratio": "1"}, long=long)(
            returning(measured())
        )
    return registry


def names(measures: list[Any]) -> list[str]:
    return [m.name for m in measures]


def test_selection(registry: Registry) -> None:
    assert names(registry.select(every=True)) == ["a.first", "b.second"]
    assert names(registry.select(every=True, long=True)) == ["a.first", "a.long", "b.second"]
    assert names(registry.select(room="a")) == ["a.first"]
    assert names(registry.select(["a.long", "b.second", "a.long"])) == ["a.long", "b.second"]


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        ({"names": ["a.frist"]}, "did you mean 'a.first'"),
        ({"room": "z"}, "there are a, b"),
        ({}, "choose"),
        ({"names": ["a.first"], "every": True}, "choose"),
    ],
)
def test_a_wrong_selection_is_a_usage_error(registry: Registry, choice: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        registry.select(**choice)


def test_registration_is_checked(registry: Registry) -> None:
    for name, article, problem in [
        ("nameless", None, "like room.figure"),
        ("a.first", None, "twice"),
        ("a.new", {"other": 1.0}, "not all in units"),
    ]:
        with pytest.raises(ValueError, match=problem):
            registry.measure(name, definition="x", units={"ratio": "1"}, article=article)


def test_a_document_has_exactly_the_fields_agreed(tmp_path: Path) -> None:
    registry = Registry()

    @registry.measure("a.full", definition="All fields.", units={"x": "1", "count": "1"}, article={"x": 0.96})
    def full(bench: Bench) -> Measured:
        return Measured(
            values={"x": np.float64(0.5), "count": 3},
            data="set, sha256 ab",
            split="by day",
            seeds=[np.int64(1), 2],  # type: ignore[list-item]
            n=10,
            configurations_tried=4,
            ci95={"x": (0.4, 0.6)},
            twin={"x": 0.7},
            resources=Resources(qubits=6, depth=20, two_qubit_gates=30),
        )

    [outcome] = run(registry.select(every=True), tmp_path)
    document = outcome.document
    assert document is not None
    assert tuple(document) == FIELDS
    written = json.loads(json.dumps(document))
    assert {key: written[key] for key in FIELDS[:13]} == {
        "name": "a.full",
        "definition": "All fields.",
        "data": "set, sha256 ab",
        "split": "by day",
        "seeds": [1, 2],
        "n": 10,
        "configurations_tried": 4,
        "values": {"x": 0.5, "count": 3},
        "unit": {"x": "1", "count": "1"},
        "ci95": {"x": [0.4, 0.6]},
        "twin": {"x": 0.7},
        "resources": {"qubits": 6, "depth": 20, "two_qubit_gates": 30, "shots": None},
        "article": {"x": 0.96},
    }
    assert written["seconds"] >= 0
    assert written["commit"]
    assert written["time"].endswith("+00:00")


@pytest.mark.skipif(not ACCEPTANCE.exists(), reason="the acceptance file is not beside the project")
def test_the_fields_are_those_of_the_acceptance_file() -> None:
    assert tuple(json.loads(ACCEPTANCE.read_bytes())["document"]) == FIELDS


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (measured(values={"other": 1.0}), "found .'other'., registered .'ratio'."),
        (measured(values={"ratio": float("nan")}), "ratio is nan"),
        (measured(twin={"ratio": float("inf")}), "ratio is inf"),
        (measured(ci95={"other": (0.0, 1.0)}), "not all among its values"),
    ],
)
def test_a_figure_that_is_none_is_a_fault(tmp_path: Path, result: Measured, problem: str) -> None:
    registry = Registry()
    registry.measure("a.bad", definition="x", units={"ratio": "1"})(returning(result))
    with pytest.raises(QwardenError, match=problem):
        list(run(registry.select(every=True), tmp_path))


def test_an_unavailable_measure_says_so_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    monkeypatch.setenv("QWARDEN_DATA", str(tmp_path))
    monkeypatch.setenv("QWARDEN_PEERS", str(tmp_path / "peers"))
    (tmp_path / "here").touch()

    @registry.measure("a.data", definition="x", units={"ratio": "1"})
    def data(bench: Bench) -> Measured:
        assert bench.data("here") == tmp_path / "here"
        bench.data("missing/set.csv")
        raise AssertionError

    @registry.measure("a.peer", definition="x", units={"ratio": "1"})
    def peer(bench: Bench) -> Measured:
        bench.peer("pennylane")
        raise AssertionError

    registry.measure("a.zlast", definition="x", units={"ratio": "1"})(returning(measured()))
    first, second, third = run(registry.select(every=True), tmp_path)
    assert (first.document, second.document) == (None, None)
    assert isinstance(first.unavailable, UnavailableError)
    assert "missing/set.csv: is missing; set QWARDEN_DATA" in str(first.unavailable)
    assert "set QWARDEN_PEERS to where it is" in str(second.unavailable)
    assert third.document is not None


def test_a_long_measure_resumes_and_then_forgets(tmp_path: Path) -> None:
    registry = Registry()
    worked: list[int] = []

    @registry.measure("a.slow", definition="x", units={"ratio": "1"}, long=True)
    def slow(bench: Bench) -> Measured:
        done = bench.checkpoint.load().get("done", [])
        assert isinstance(done, list)
        for step in range(len(done), 4):
            if step == 2 and len(worked) == 2:
                worked.append(-1)
                raise KeyboardInterrupt
            worked.append(step)
            done.append(step)
            bench.checkpoint.save({"done": done})
        return measured(n=len(done))

    chosen = registry.select(["a.slow"])
    with pytest.raises(KeyboardInterrupt):
        list(run(chosen, tmp_path))
    assert (tmp_path / "measures" / "a.slow.json").exists()
    [outcome] = run(chosen, tmp_path)
    assert worked == [0, 1, -1, 2, 3]
    assert outcome.document is not None
    assert outcome.document["n"] == 4
    assert list((tmp_path / "measures").iterdir()) == []


def test_a_checkpoint_of_another_commit_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    found = []

    @registry.measure("a.slow", definition="x", units={"ratio": "1"}, long=True)
    def slow(bench: Bench) -> Measured:
        found.append(bench.checkpoint.load())
        bench.checkpoint.save({"step": 1})
        raise KeyboardInterrupt

    for commit in ("one", "one", "two"):
        monkeypatch.setattr("qwarden.core.measure.revision", lambda commit=commit: commit)
        with pytest.raises(KeyboardInterrupt):
            list(run(registry.select(["a.slow"]), tmp_path))
    assert found == [{}, {"step": 1}, {}]
    (tmp_path / "measures" / "a.slow.json").write_text("{")
    with pytest.raises(InputError, match="delete it to start afresh"):
        list(run(registry.select(["a.slow"]), tmp_path))


def test_merging_keeps_others_and_sorts(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "docs" / "evaluation.json"
    outcomes = list(run(registry.select(every=True, long=True), tmp_path))
    documents = {o.name: o.document for o in outcomes if o.document is not None}
    merge_into(path, [documents["b.second"]])
    merge_into(path, [documents["a.long"]])
    merge_into(path, [documents["b.second"] | {"n": 99}, documents["a.first"]])
    kept = json.loads(path.read_text())
    assert list(kept) == ["measures"]
    assert [(d["name"], d["n"]) for d in kept["measures"]] == [
        ("a.first", 1),
        ("a.long", 1),
        ("b.second", 99),
    ]
    assert read_documents(path) == kept["measures"]


@pytest.mark.parametrize("text", ["{", "[]", '{"measures": 5}', '{"measures": [{"name": "x"}]}'])
def test_a_file_of_figures_that_is_none_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"evaluation\.json: expected"):
        merge_into(path, [])
    assert path.read_text() == text


def test_the_report_states_every_figure(registry: Registry, tmp_path: Path) -> None:
    registry.measure("b.third", definition="Third.", units={"x": "ms", "y": "a|b"}, article={"x": 10.0})(
        returning(
            measured(
                values={"x": 1.23456, "y": 7},
                ci95={"x": (1.0, 1.5)},
                twin={"x": 2.0},
                resources=Resources(qubits=4, depth=9, two_qubit_gates=6, shots=1000),
            )
        )
    )
    documents = [o.document for o in run(registry.select(every=True), tmp_path) if o.document]
    report = render(documents)
    assert [line for line in report.splitlines() if line.startswith("## ")] == ["## a", "## b"]
    assert "| b.third | x | ms | 1.235 | 1 to 1.5 | 2 | 10 |" in report
    assert "| b.third | y | a\\|b | 7 | – | – | – |" in report
    assert "qubits: 4; depth: 9; two qubit gates: 6; shots: 1000." in report
    assert report == render(list(reversed(documents)))
    assert render([]) == ""
