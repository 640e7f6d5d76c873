"""Floating-point operations of our algorithm, counted from the program a circuit has become.

Counted is what the loops of `qwarden.quantum.backends._gates` and `_tree` do to one row: every addition and
multiplication of gates, phases and scalings. A sine and a cosine count as one operation each, copies and
sign changes as none, so rates and shares are not flattered by the price of a transcendental function.
"""

from __future__ import annotations

from qwarden.quantum import Circuit
from qwarden.quantum.backends import _program as code
from qwarden.quantum.backends._tree import COLUMNS, HALF, REST
from qwarden.quantum.backends.local import program_of


def state_flops(circuit: Circuit) -> int:
    """Return the operations from a row of angles to its state, started from |0...0>."""
    program = program_of(circuit, from_zero=True)
    ints, places = program.ints, program.code
    planes = 1 if program.real else 2
    ops = ints[places.ops :][: places.op_count * code.OPERANDS].reshape(-1, code.OPERANDS).tolist()
    entries = int(ints[places.form_ends + places.slots])
    total = 2 * entries + 2 * places.slots  # the slots' linear forms, and their sines and cosines
    built = None
    for kind, active, a, b, c, _ in ops:
        rows = 1 << active
        if kind == code.HADAMARD:
            total += planes * rows * (a.bit_count() + _passes(a.bit_count()))
        elif kind == code.ROTATE:
            total += planes * rows * 3 * (1 if c < 0 else 2)
        elif kind == code.GROW:
            total += planes * rows
        elif kind == code.PHASE:
            total += 0 if built == a else _tree_flops(ints[places.nodes + a * COLUMNS :][: b * COLUMNS])
            total += (2 if c else 6) * rows
            built = a
        elif kind not in (code.UNIFORM, code.WIDEN, code.PERMUTE):
            raise SystemExit(f"instruction {kind} is not counted")
    return total


def _passes(qubits: int) -> int:
    """Return how often a layer of Hadamards scales the state."""
    return qubits // 4 + qubits % 4 // 2 + qubits % 2


def _tree_flops(nodes: object) -> int:
    """Return the operations that build a phase for all basis states."""
    table = nodes.reshape(-1, COLUMNS)  # type: ignore[attr-defined]
    return int((8 * table[:, HALF])[table[:, REST] >= 0].sum())
