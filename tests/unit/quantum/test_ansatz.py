"""Ansaetze are Qiskit's and PennyLane's circuits, parameter by parameter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.quantum import (
    Circuit,
    LocalBackend,
    cz_ring_reupload,
    efficient_su2,
    real_amplitudes,
    strongly_entangling,
)


@pytest.mark.parametrize("entanglement", ["linear", "reverse_linear", "circular", "full"])
@pytest.mark.parametrize("qubits", [1, 2, 4])
@pytest.mark.parametrize("name", ["real_amplitudes", "efficient_su2"])
def test_qiskit_ansatz(name: str, qubits: int, entanglement: str) -> None:
    library = pytest.importorskip("qiskit.circuit.library")
    information = pytest.importorskip("qiskit.quantum_info")
    make = {"real_amplitudes": real_amplitudes, "efficient_su2": efficient_su2}[name]
    ours = make(qubits, 2, entanglement)
    theirs = getattr(library, name)(qubits, reps=2, entanglement=entanglement)
    weights = np.random.default_rng(1).normal(size=(1, ours.columns))
    expected = information.Statevector(theirs.assign_parameters(weights[0])).data
    np.testing.assert_allclose(LocalBackend().states(ours, weights)[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("qubits", [1, 2, 4])
def test_strongly_entangling_is_pennylanes(qubits: int) -> None:
    qml = pytest.importorskip("pennylane")
    ours = strongly_entangling(qubits, 4)
    weights = np.random.default_rng(2).normal(size=(1, ours.columns))

    def circuit() -> object:
        qml.StronglyEntanglingLayers(weights.reshape(4, qubits, 3), wires=range(qubits))
        return qml.state()

    # Wire 0 is PennyLane's most significant bit: give it the devices' wires backwards.
    theirs = qml.QNode(circuit, qml.device("default.qubit", wires=list(range(qubits))[::-1]))()
    np.testing.assert_allclose(LocalBackend().states(ours, weights)[0], theirs, rtol=0, atol=1e-14)


def test_cz_ring_reupload_orders_its_columns_as_promised() -> None:
    circuit = cz_ring_reupload(3, 2)
    turns = [(g.name, g.qubits[0], g.angle.column) for g in circuit.gates if g.angle is not None]
    assert turns[:6] == [("ry", 0, 0), ("ry", 1, 1), ("ry", 2, 2), ("rz", 0, 3), ("rz", 1, 4), ("rz", 2, 5)]
    assert turns[6] == ("ry", 0, 6)
    assert {frozenset(g.qubits) for g in circuit.gates if g.name == "cz"} == {
        frozenset(pair) for pair in ((0, 1), (1, 2), (2, 0))
    }
    assert circuit.two_qubit_gates == 6


@pytest.mark.parametrize(("qubits", "links"), [(1, 0), (2, 1), (3, 3)])
def test_ring_on_few_qubits(qubits: int, links: int) -> None:
    assert cz_ring_reupload(qubits, 1).two_qubit_gates == links


@pytest.mark.parametrize(
    ("make", "size"),
    [(real_amplitudes, 2), (efficient_su2, 2), (strongly_entangling, 3), (cz_ring_reupload, 3)],
)
def test_unentangled_twin_turns_alike_without_links(make: Callable[..., Circuit], size: int) -> None:
    circuit, twin = make(4, size), make(4, size, entangled=False)
    assert circuit.two_qubit_gates > 0
    assert twin.two_qubit_gates == 0
    assert twin.columns == circuit.columns
    assert twin.gates == tuple(gate for gate in circuit.gates if len(gate.qubits) == 1)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="reps is -1"):
        real_amplitudes(2, -1)
    with pytest.raises(UsageError, match="layers is 0"):
        cz_ring_reupload(2, 0)
