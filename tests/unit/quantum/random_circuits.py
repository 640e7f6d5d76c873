"""Random circuits and observables over everything the engine knows."""

from __future__ import annotations

import numpy as np

from qwarden.quantum import Angle, Circuit, PauliSum
from qwarden.quantum.gates import KINDS

ONE_QUBIT = [name for name, kind in KINDS.items() if kind.qubits == 1]
TWO_QUBIT = [name for name, kind in KINDS.items() if kind.qubits == 2]


def random_unitary(generator: np.random.Generator, side: int) -> np.ndarray:
    """A unitary from the QR decomposition of a Gaussian matrix."""
    q, r = np.linalg.qr(generator.normal(size=(side, side)) + 1j * generator.normal(size=(side, side)))
    return q * (np.diag(r) / np.abs(np.diag(r)))


def random_circuit(
    generator: np.random.Generator, qubits: int, gates: int, columns: int = 4, *, named_only: bool = False
) -> Circuit:
    circuit = Circuit(qubits, columns=columns)
    for _ in range(gates):
        width = 1 if qubits == 1 or generator.random() < 0.5 else 2
        names = ONE_QUBIT if width == 1 else TWO_QUBIT
        name = str(generator.choice([*names] if named_only else [*names, "unitary"]))
        chosen = [int(q) for q in generator.permutation(qubits)[:width]]
        angle = matrix = None
        if name == "unitary":
            matrix = random_unitary(generator, 1 << width)
        elif KINDS[name].turns:
            column = int(generator.integers(columns)) if generator.random() < 0.8 else None
            # Plain columns too: then several gates share one of the program's slots.
            plain = generator.random() < 0.5
            scale, offset = (1.0, 0.0) if plain else generator.normal(size=2).tolist()
            angle = Angle(column, scale, offset)
        circuit = circuit.gate(name, *chosen, angle=angle, matrix=matrix)
    return circuit


def random_observable(generator: np.random.Generator, qubits: int, letters: str = "IXYZ") -> PauliSum:
    strings = {"".join(generator.choice(list(letters), qubits)) for _ in range(3)}
    return PauliSum.from_terms({string: float(generator.normal()) for string in sorted(strings)})


def random_states(generator: np.random.Generator, rows: int, qubits: int) -> np.ndarray:
    states = generator.normal(size=(rows, 1 << qubits)) + 1j * generator.normal(size=(rows, 1 << qubits))
    return states / np.linalg.norm(states, axis=1, keepdims=True)
