"""Drawings are read back: what stands on each wire, in order, is the circuit."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from random_circuits import random_circuit

from qwarden.core.errors import UsageError
from qwarden.quantum import Angle, Circuit, zz_feature_map
from qwarden.quantum.drawing import angle_label, columns, marks

SVG = "{http://www.w3.org/2000/svg}"
SYMBOLS = {"●", "⊕", "╳"}
MARK = re.compile(r"┤ (.+?) ├|[●⊕╳]")


def circuits() -> list[Circuit]:
    generator = np.random.default_rng(0)
    return [random_circuit(generator, qubits, 30) for qubits in (1, 2, 3, 5, 8)]


def label(gate: object, qubit: int) -> str:
    return marks(gate)[qubit]


def read(text: str) -> list[list[tuple[str, int]]]:
    """Return each wire's marks with the place of their middle."""
    lines = text.splitlines()
    return [[(m[1] or m[0], m.start() + len(m[0]) // 2) for m in MARK.finditer(line)] for line in lines[1::3]]


@pytest.mark.parametrize("circuit", circuits(), ids=repr)
def test_each_wire_reads_as_the_circuit_does(circuit):
    text = circuit.draw(width=None)
    assert len({len(line) for line in text.splitlines()}) == 1
    assert len(text.splitlines()) == 3 * circuit.qubits
    wires = read(text)
    for qubit, wire in enumerate(wires):
        assert [mark for mark, _ in wire] == [label(g, qubit) for g in circuit.gates if qubit in g.qubits]


@pytest.mark.parametrize("circuit", circuits(), ids=repr)
def test_both_ends_of_a_gate_are_joined_and_nothing_else_is_in_between(circuit):
    lines, wires = circuit.draw(width=None).splitlines(), [iter(w) for w in read(circuit.draw(width=None))]
    joints = 0
    for gate in circuit.gates:
        places = {qubit: next(wires[qubit])[1] for qubit in gate.qubits}
        assert len(set(places.values())) == 1
        if len(gate.qubits) == 2:
            top, bottom = min(gate.qubits), max(gate.qubits)
            joint = [line[places[top]] for line in lines[3 * top + 2 : 3 * bottom + 1]]
            assert set(joint) <= set("│┼┴┬")
            assert joint[0] in "│┬"
            assert joint[-1] in "│┴"
            joints += len(joint)
    assert sum(line.count(c) for line in lines for c in "│┼┴┬") == joints


@pytest.mark.parametrize("circuit", circuits(), ids=repr)
def test_gates_of_a_column_share_no_wire_and_keep_their_order(circuit):
    seen: dict[int, list[object]] = {q: [] for q in range(circuit.qubits)}
    for column in columns(circuit):
        spans = [q for gate in column for q in range(min(gate.qubits), max(gate.qubits) + 1)]
        assert len(spans) == len(set(spans))
        for gate in column:
            for qubit in gate.qubits:
                seen[qubit].append(gate)
    assert seen == {q: [g for g in circuit.gates if q in g.qubits] for q in range(circuit.qubits)}


def test_one_circuit_to_the_letter():
    circuit = Circuit(3).h(0).cx(2, 0).rzz(0, 1, Angle(0) + np.pi).swap(1, 2)
    assert circuit.draw() == (
        "      ┌───┐     ┌───────────┐     \n"
        "q0: ──┤ H ├──⊕──┤ RZZ(θ0+π) ├─────\n"
        "      └───┘  │  └─────┬─────┘     \n"
        "             │  ┌─────┴─────┐     \n"
        "q1: ─────────┼──┤ RZZ(θ0+π) ├──╳──\n"
        "             │  └───────────┘  │  \n"
        "             │                 │  \n"
        "q2: ─────────●─────────────────╳──\n"
        "                                  "
    )


def test_unfolded_parts_make_the_whole():
    circuit = zz_feature_map(4)
    whole = read(circuit.draw(width=None))
    parts = circuit.draw(width=60).split("\n\n")
    assert len(parts) > 3
    for part in parts:
        assert {len(line) for line in part.splitlines()} == {len(part.splitlines()[0])}
        assert len(part.splitlines()[0]) <= 60
    for qubit in range(4):
        folded = [mark for part in parts for mark, _ in read(part)[qubit]]
        assert folded == [mark for mark, _ in whole[qubit]]
    assert circuit.draw(width=1).count("q0: ") == len(columns(circuit))


@pytest.mark.parametrize(
    ("angle", "said"),
    [
        (Angle(None, 1.0, 0.0), "0"),
        (Angle(None, 1.0, -np.pi / 2), "-π/2"),
        (Angle(None, 1.0, 3 * np.pi / 4), "3π/4"),
        (Angle(None, 1.0, 1e-5), "1e-05"),
        (Angle(1), "θ1"),
        (-Angle(1), "-θ1"),
        (Angle(2, 0.5, -1.25), "0.5θ2-1.25"),
        (Angle(2, np.pi, np.pi), "πθ2+π"),
    ],
)
def test_angles_in_short(angle, said):
    assert angle_label(angle) == said


@pytest.mark.parametrize("circuit", circuits(), ids=repr)
@pytest.mark.parametrize("width", [None, 300])
def test_svg_holds_every_gate_on_its_wires(circuit, width):
    root = ElementTree.fromstring(circuit.to_svg(width))
    wide, high = (float(side) for side in root.get("viewBox").split()[2:])
    groups = root.findall(f"{SVG}g")
    assert sorted(g.get("data-name") for g in groups) == sorted(g.name for g in circuit.gates)
    names = {t.text: float(t.get("y")) for t in root.findall(f"{SVG}text")}
    assert names.keys() == {f"q{q}" for q in range(circuit.qubits)}
    drawn = [g for column in columns(circuit) for g in column]
    pitch = (names["q1"] - names["q0"]) if circuit.qubits > 1 else 0.0
    for gate, group in zip(drawn, groups, strict=True):
        labels = sorted(mark for mark in marks(gate).values() if mark not in SYMBOLS)
        texts = group.findall(f"{SVG}text")
        assert sorted(t.text for t in texts) == labels
        ends = sorted({float(e.get(k)) for e in group.findall(f"{SVG}line")[:1] for k in ("y1", "y2")})
        if len(gate.qubits) == 2:
            assert ends[1] - ends[0] == pytest.approx(pitch * abs(gate.qubits[0] - gate.qubits[1]))
    for element in root.iter():
        for key, limit in (("x", wide), ("x2", wide), ("cx", wide), ("y", high), ("y2", high), ("cy", high)):
            assert 0 <= float(element.get(key, 0)) <= limit


def test_svg_folds_and_says_what_it_is():
    circuit = zz_feature_map(3)
    flat, folded = (ElementTree.fromstring(circuit.to_svg(width)) for width in (None, 400))
    assert float(folded.get("width")) <= 400 < float(flat.get("width"))
    assert float(folded.get("height")) > 2 * float(flat.get("height"))
    assert flat.find(f"{SVG}title").text == "3 qubits, 30 gates"


def test_a_circuit_without_gates():
    assert Circuit(2).draw().count("q1: ──") == 1
    assert len(ElementTree.fromstring(Circuit(2).to_svg()).findall(f"{SVG}line")) == 2


def test_no_width_is_refused():
    for method in (Circuit(1).draw, Circuit(1).to_svg):
        with pytest.raises(UsageError, match="width"):
            method(0)
