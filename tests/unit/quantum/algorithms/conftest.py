"""The circuits of the algorithms as Qiskit runs them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qwarden.quantum import Circuit

Amplitudes = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def qiskit_state() -> Amplitudes:
    """Return a function from a circuit and one row of angles to Qiskit's state vector."""
    qiskit = pytest.importorskip("qiskit")
    information = pytest.importorskip("qiskit.quantum_info")

    def state(circuit: Circuit, row: np.ndarray | None = None) -> np.ndarray:
        peer = qiskit.QuantumCircuit(circuit.qubits)
        for gate in circuit.gates:
            turn = []
            if gate.angle is not None:
                given = 0.0 if gate.angle.column is None else row[gate.angle.column]
                turn = [gate.angle.scale * given + gate.angle.offset]
            getattr(peer, gate.name)(*turn, *gate.qubits)
        return information.Statevector(peer).data

    return state
