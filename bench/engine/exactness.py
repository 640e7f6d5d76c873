"""How exact the engine is: the largest difference to Qiskit over random circuits.

Each circuit has 1 to 8 qubits and every kind of gate. Compared are its states, the expectation values of
two random Pauli sums, their gradients with respect to the angles, and the fidelity kernel of its states.
Qiskit's gradients come by the parameter-shift rule, gate by gate (two terms; four for CRZ, Anselmetti et
al 2021, eq. (8)), which is exact and shares nothing with the adjoint method.

Prints one JSON document. ``python exactness.py [--circuits 60] [--seed 0]``
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary, state_fidelity

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from qwarden.quantum import Angle, Circuit, Gate, LocalBackend, PauliSum, fidelity_kernel
from qwarden.quantum.gates import KINDS

COLUMNS = 4
ROWS = 3


def exactness(seed: int = 0, circuits: int = 60) -> dict[str, Any]:
    """Return the largest absolute difference to Qiskit, over all and by kind."""
    worst = {"states": 0.0, "expectations": 0.0, "gradients": 0.0, "kernels": 0.0}
    generator = np.random.default_rng(seed)
    backend = LocalBackend()
    for number in range(circuits):
        qubits = 1 + number % 8
        circuit = random_circuit(generator, qubits)
        angles = 3 * generator.normal(size=(ROWS, COLUMNS))
        observables = [random_observable(generator, qubits) for _ in range(2)]
        operators = [SparsePauliOp(o.labels(qubits), [t.coefficient for t in o.terms]) for o in observables]

        states = backend.states(circuit, angles)
        theirs = [Statevector(to_qiskit(circuit, row)) for row in angles]
        note(worst, "states", states, [state.data for state in theirs])
        kernel = [[state_fidelity(a, b, validate=False) for b in theirs] for a in theirs]
        note(worst, "kernels", fidelity_kernel(states), kernel)

        values, pullback = backend.expectations_and_pullback(circuit, angles, observables)
        note(worst, "expectations", values, [expectations(state, operators) for state in theirs])
        weights = generator.normal(size=values.shape)
        shifted = [
            shift_gradient(circuit, row, operators, weight)
            for row, weight in zip(angles, weights, strict=True)
        ]
        note(worst, "gradients", pullback(weights), shifted)
    return {
        "max_abs_diff": max(worst.values()),
        **{f"max_abs_diff_{kind}": value for kind, value in worst.items()},
        "circuits": circuits,
        "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in ("qiskit", "numpy", "numba")},
    }


def note(worst: dict[str, float], kind: str, ours: Any, theirs: Any) -> None:
    """Keep the largest difference."""
    worst[kind] = max(worst[kind], float(np.abs(np.asarray(ours) - np.asarray(theirs)).max()))


def random_circuit(generator: np.random.Generator, qubits: int) -> Circuit:
    """Return a circuit of 5 to 40 gates of all kinds; some angles are constant."""
    circuit = Circuit(qubits, columns=COLUMNS)
    names = [name for name, kind in KINDS.items() if kind.qubits <= qubits]
    for _ in range(int(generator.integers(5, 41))):
        name = str(generator.choice(names))
        width = KINDS[name].qubits or int(generator.integers(1, min(qubits, 2) + 1))
        chosen = generator.permutation(qubits)[:width].tolist()
        angle = matrix = None
        if name == "unitary":
            matrix = random_unitary(1 << width, seed=int(generator.integers(1 << 31))).data
        elif KINDS[name].turns:
            column = int(generator.integers(COLUMNS)) if generator.random() < 0.8 else None
            angle = Angle(column, float(generator.normal()), float(generator.normal()))
        circuit = circuit.gate(name, *chosen, angle=angle, matrix=matrix)
    return circuit


def random_observable(generator: np.random.Generator, qubits: int) -> PauliSum:
    """Return a sum of up to three Pauli products."""
    strings = {"".join(generator.choice(list("IXYZ"), qubits)) for _ in range(3)}
    return PauliSum.from_terms({string: float(generator.normal()) for string in sorted(strings)})


def to_qiskit(circuit: Circuit, row: Any, turned: int = -1, by: float = 0.0) -> QuantumCircuit:
    """Return the circuit at one row of angles, its gate number `turned` turned on by `by`."""
    made = QuantumCircuit(circuit.qubits)
    for number, gate in enumerate(circuit.gates):
        if gate.name == "unitary":
            made.unitary(gate.matrix(), list(gate.qubits))
        elif gate.angle is None:
            getattr(made, gate.name)(*gate.qubits)
        else:
            extra = by if number == turned else 0.0
            getattr(made, gate.name)(angle_of(gate, row) + extra, *gate.qubits)
    return made


def angle_of(gate: Gate, row: Any) -> float:
    """Return a gate's angle in radians."""
    assert gate.angle is not None
    given = 0.0 if gate.angle.column is None else float(row[gate.angle.column])
    return gate.angle.scale * given + gate.angle.offset


def expectations(state: Statevector, operators: list[SparsePauliOp]) -> list[float]:
    """Return the expectation values in a state."""
    return [state.expectation_value(operator).real for operator in operators]


def shift_gradient(circuit: Circuit, row: Any, operators: list[SparsePauliOp], weights: Any) -> Any:
    """Return the gradient of ``weights @ expectations`` by shifting one gate after the other."""
    gradient = np.zeros(circuit.columns)
    root = math.sqrt(2)
    for number, gate in enumerate(circuit.gates):
        if gate.angle is None or gate.angle.column is None:
            continue
        rule = [(0.5, math.pi / 2)]
        if gate.name == "crz":
            rule = [((root + 1) / (4 * root), math.pi / 2), (-(root - 1) / (4 * root), 3 * math.pi / 2)]
        for factor, shift in rule:
            for sign in (1, -1):
                moved = Statevector(to_qiskit(circuit, row, number, sign * shift))
                value = weights @ np.array(expectations(moved, operators))
                gradient[gate.angle.column] += gate.angle.scale * factor * sign * value
    return gradient


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="largest difference to Qiskit")
    parser.add_argument("--circuits", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(exactness(**vars(parser.parse_args())), indent=2))
