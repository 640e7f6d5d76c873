"""Circuits as text and as SVG.

Both drawings stand on one layout: `columns` moves every gate as far left as the wires between its outermost
qubits allow, and `marks` says what stands on each of its wires. Angles are written as they are computed:
``2θ3+π/2`` is two times column 3 of the angles matrix plus a quarter turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar
from xml.etree import ElementTree

from qwarden.core.errors import UsageError

if TYPE_CHECKING:
    from qwarden.quantum.circuit import Angle, Circuit, Gate

T = TypeVar("T")
Column = Sequence["Gate"]

CONTROL, TARGET, CROSS = "●", "⊕", "╳"
_SYMBOLS: Final = (CONTROL, TARGET, CROSS)
_PAIRS: Final = {"cx": (CONTROL, TARGET), "cz": (CONTROL, CONTROL), "swap": (CROSS, CROSS)}


def columns(circuit: Circuit) -> list[list[Gate]]:
    """Return the gates column by column; gates of one column share no wire, nor cross one another's.

    >>> from qwarden.quantum.circuit import Circuit
    >>> [len(column) for column in columns(Circuit(3).h(0).h(1).cx(0, 2).h(1))]
    [2, 1, 1]
    """
    free = [0] * circuit.qubits
    made: list[list[Gate]] = []
    for gate in circuit.gates:
        wires = range(min(gate.qubits), max(gate.qubits) + 1)
        place = max(free[wire] for wire in wires)
        if place == len(made):
            made.append([])
        made[place].append(gate)
        for wire in wires:
            free[wire] = place + 1
    return made


def marks(gate: Gate) -> dict[int, str]:
    """Return what stands on each of the gate's wires: a symbol, or the label of a box.

    A unitary on two qubits is not symmetric: its boxes tell the less significant qubit, 0, from the other.
    """
    if gate.name in _PAIRS:
        return dict(zip(gate.qubits, _PAIRS[gate.name], strict=True))
    if gate.name == "unitary":
        label = ["U"] if len(gate.qubits) == 1 else ["U:0", "U:1"]
        return dict(zip(gate.qubits, label, strict=True))
    turn = "" if gate.angle is None else f"({angle_label(gate.angle)})"
    if gate.name == "crz":
        control, target = gate.qubits
        return {control: CONTROL, target: f"RZ{turn}"}
    return {qubit: f"{gate.name.upper()}{turn}" for qubit in gate.qubits}


def angle_label(angle: Angle) -> str:
    """Return an angle as ``2θ3+π/2``.

    >>> from qwarden.quantum.circuit import Angle
    >>> [angle_label(angle) for angle in (-Angle(0), 2 * Angle(3) + math.pi / 2, Angle(None, 1.0, 0.25))]
    ['-θ0', '2θ3+π/2', '0.25']
    """
    if angle.column is None:
        return _number(angle.offset)
    factor = {1.0: "", -1.0: "-"}.get(angle.scale, _number(angle.scale))
    shift = _number(angle.offset) if angle.offset else ""
    return f"{factor}θ{angle.column}{'' if shift[:1] in ('', '-') else '+'}{shift}"


def _number(value: float) -> str:
    """Return a number in short: as a fraction of pi where it is a simple one."""
    share = Fraction(value / math.pi).limit_denominator(16)
    if share and abs(float(share) * math.pi - value) < 1e-12 * max(1.0, abs(value)):
        whole = {1: "π", -1: "-π"}.get(share.numerator, f"{share.numerator}π")
        return whole if share.denominator == 1 else f"{whole}/{share.denominator}"
    return f"{value:.4g}"


# -- text ------------------------------------------------------------------------------------------


def draw(circuit: Circuit, width: int | None = 100) -> str:
    """Return the circuit in box-drawing characters, three lines a qubit, qubit 0 on top.

    Parameters
    ----------
    width : characters a line at most (where a single gate is no wider); a longer circuit is folded. None
        does not fold.

    Raises
    ------
    UsageError : the width is below 1.
    """
    if width is not None and width < 1:
        raise UsageError(f"width is {width}: expected 1 or more")
    names = [f"q{qubit}: " for qubit in range(circuit.qubits)]
    margin = max(map(len, names))
    cells = [_cells(column, circuit.qubits) for column in columns(circuit)]
    room = None if width is None else width - margin - 2
    parts = _folded(cells, [len(cell[0]) for cell in cells], room)
    blocks = []
    for number, part in enumerate(parts):
        first, last = number == 0, number == len(parts) - 1
        lines = []
        for row in range(3 * circuit.qubits):
            wire = row % 3 == 1
            left = (names[row // 3] if wire else "").rjust(margin) + ("─" if wire else " ")
            right = "─" if wire else " "
            if wire and not first:
                left = left[:-1] + "«"
            lines.append(left + "".join(cell[row] for cell in part) + ("»" if wire and not last else right))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cells(column: Column, qubits: int) -> list[str]:
    """Return the lines of one column, all as wide as its widest box needs."""
    widest = max(len(_boxed(mark)) for gate in column for mark in marks(gate).values())
    middle, width = widest // 2 + 1, widest + 2
    lines = [line for _ in range(qubits) for line in (" " * width, "─" * width, " " * width)]
    for gate in column:
        placed = marks(gate)
        top, bottom = min(placed), max(placed)
        for wire in range(top, bottom + 1):
            mark = placed.get(wire, "┼")
            drawn = _stacked(mark, up=wire > top, down=wire < bottom)
            start = middle - len(drawn[1]) // 2
            for row, text in enumerate(drawn, 3 * wire):
                lines[row] = lines[row][:start] + text + lines[row][start + len(text) :]
    return lines


def _boxed(mark: str) -> str:
    return mark if mark in (*_SYMBOLS, "┼") else f"┤ {mark} ├"


def _stacked(mark: str, *, up: bool, down: bool) -> tuple[str, str, str]:
    """Return a mark's three lines, with the line to the gate's other qubit where there is one."""
    body = _boxed(mark)
    if body == mark:
        return "│" if up else " ", body, "│" if down else " "
    middle, edge = len(body) // 2, "─" * (len(body) - 2)
    top, bottom = f"┌{edge}┐", f"└{edge}┘"
    if up:
        top = top[:middle] + "┴" + top[middle + 1 :]
    if down:
        bottom = bottom[:middle] + "┬" + bottom[middle + 1 :]
    return top, body, bottom


def _folded(items: list[T], widths: Sequence[float], room: float | None) -> list[list[T]]:
    """Return the items in runs whose widths add up to `room` at most, one item a run at least."""
    runs: list[list[T]] = [[]]
    used = 0.0
    for item, width in zip(items, widths, strict=True):
        if runs[-1] and room is not None and used + width > room:
            runs.append([])
            used = 0.0
        runs[-1].append(item)
        used += width
    return runs


# -- SVG -------------------------------------------------------------------------------------------

_WIRE, _INK = "#64748b", "#0f172a"
_FILLS: Final = {True: ("#dbeafe", "#2563eb"), False: ("#f1f5f9", "#64748b")}
_LINK: Final = "#7c3aed"
_PITCH, _BOX, _CHARACTER, _GAP, _MARGIN = 46.0, 30.0, 7.8, 14.0, 48.0


def to_svg(circuit: Circuit, width: int | None = 960) -> str:
    """Return the circuit as an SVG document, qubit 0 on top; gates that read an angle column are blue.

    Parameters
    ----------
    width : pixels at most (where a single gate is no wider); a longer circuit is folded. None does not
        fold.

    Raises
    ------
    UsageError : the width is below 1.
    """
    if width is not None and width < 1:
        raise UsageError(f"width is {width}: expected 1 or more")
    placed = columns(circuit)
    widths = [
        max(_box_width(mark) for gate in column for mark in marks(gate).values()) + _GAP for column in placed
    ]
    room = None if width is None else width - _MARGIN - _GAP
    parts = _folded(list(zip(placed, widths, strict=True)), widths, room)
    longest = max(sum(wide for _, wide in part) for part in parts)
    height = circuit.qubits * _PITCH
    size = (_MARGIN + longest + _GAP, len(parts) * (height + _GAP) + _GAP)
    root = _element(
        None, "svg", xmlns="http://www.w3.org/2000/svg", width=size[0], height=size[1],
        viewBox=f"0 0 {size[0]:g} {size[1]:g}", role="img", font_family="monospace", font_size=13,
    )  # fmt: skip
    _element(root, "title").text = f"{circuit.qubits} qubits, {len(circuit.gates)} gates"
    for number, part in enumerate(parts):
        top = _GAP + number * (height + _GAP)
        end = _MARGIN + sum(wide for _, wide in part) + _GAP / 2
        wires = [top + (qubit + 0.5) * _PITCH for qubit in range(circuit.qubits)]
        for qubit, y in enumerate(wires):
            _text(root, _MARGIN - 12, y, f"q{qubit}", fill=_WIRE, text_anchor="end")
            _element(root, "line", x1=_MARGIN - 6, y1=y, x2=end, y2=y, stroke=_WIRE)
        x = _MARGIN
        for column, wide in part:
            for gate in column:
                _draw_gate(root, gate, x + wide / 2, wires)
            x += wide
    return ElementTree.tostring(root, encoding="unicode")


def _draw_gate(root: ElementTree.Element, gate: Gate, x: float, wires: Sequence[float]) -> None:
    placed = marks(gate)
    group = _element(root, "g", **{"class": "gate", "data-name": gate.name})
    for upper, lower in pairwise(sorted(placed)):
        _element(group, "line", x1=x, y1=wires[upper], x2=x, y2=wires[lower], stroke=_LINK, stroke_width=2)
    fill, edge = _FILLS[gate.angle is not None and gate.angle.column is not None]
    for qubit, mark in placed.items():
        y = wires[qubit]
        if mark == CONTROL:
            _element(group, "circle", cx=x, cy=y, r=5, fill=_LINK)
        elif mark == TARGET:
            _element(group, "circle", cx=x, cy=y, r=10, fill="#ffffff", stroke=_LINK, stroke_width=2)
            _strokes(group, [(x - 10, y, x + 10, y), (x, y - 10, x, y + 10)])
        elif mark == CROSS:
            _strokes(group, [(x - 7, y - 7, x + 7, y + 7), (x - 7, y + 7, x + 7, y - 7)])
        else:
            wide = _box_width(mark)
            _element(
                group, "rect", x=x - wide / 2, y=y - _BOX / 2, width=wide, height=_BOX, rx=4, fill=fill,
                stroke=edge,
            )  # fmt: skip
            _text(group, x, y, mark, fill=_INK, text_anchor="middle")


def _box_width(mark: str) -> float:
    return 20.0 if mark in _SYMBOLS else max(_BOX, len(mark) * _CHARACTER + 14.0)


def _strokes(group: ElementTree.Element, lines: Sequence[tuple[float, float, float, float]]) -> None:
    for x1, y1, x2, y2 in lines:
        _element(group, "line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=_LINK, stroke_width=2)


def _text(parent: ElementTree.Element, x: float, y: float, text: str, **attributes: str) -> None:
    _element(parent, "text", x=x, y=y, dy="0.35em", **attributes).text = text


def _element(parent: ElementTree.Element | None, tag: str, **attributes: str | float) -> ElementTree.Element:
    """Return a new element; numbers are written in short, ``_`` in a name stands for ``-``."""
    written = {
        name.replace("_", "-"): value if isinstance(value, str) else f"{value:g}"
        for name, value in attributes.items()
    }
    if parent is None:
        return ElementTree.Element(tag, written)
    return ElementTree.SubElement(parent, tag, written)
