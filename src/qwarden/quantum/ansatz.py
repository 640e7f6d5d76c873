"""Ansaetze: circuits whose angles are trainable.

Each returns a `Circuit` whose angle columns stand in the order the source counts its parameters, so that
weights can be exchanged with it one to one.

With ``entangled=False`` each is its unentangled twin: the same turns and the same columns without the
two-qubit gates, so that its states are products and what entanglement adds can be measured.
"""

from __future__ import annotations

import itertools

from qwarden.core.errors import UsageError
from qwarden.quantum.circuit import Angle, Circuit, Gate, blocks
from qwarden.quantum.feature_maps import cz_ring


def real_amplitudes(
    qubits: int, reps: int = 3, entanglement: str = "reverse_linear", *, entangled: bool = True
) -> Circuit:
    """Return RealAmplitudes: layers of RY, with CX between them; its states are real.

    Columns: ``qubits * (reps + 1)``, layer by layer.

    Source: Qiskit, `qiskit.circuit.library.real_amplitudes`.

    >>> real_amplitudes(4).columns
    16
    """
    return _two_local(qubits, ("ry",), reps, entanglement if entangled else None)


def efficient_su2(
    qubits: int, reps: int = 3, entanglement: str = "reverse_linear", *, entangled: bool = True
) -> Circuit:
    """Return EfficientSU2: layers of RY and RZ, with CX between them.

    Columns: ``2 * qubits * (reps + 1)``, layer by layer, in each first all RY, then all RZ.

    Source: Qiskit, `qiskit.circuit.library.efficient_su2`.
    """
    return _two_local(qubits, ("ry", "rz"), reps, entanglement if entangled else None)


def _two_local(qubits: int, rotations: tuple[str, ...], reps: int, entanglement: str | None) -> Circuit:
    if reps < 0:
        raise UsageError(f"reps is {reps}: expected 0 or more")
    column = itertools.count()
    pairs = blocks(qubits, 2, entanglement) if entanglement is not None and qubits > 1 else []
    links = [Gate("cx", pair) for pair in pairs]
    gates: list[Gate] = []
    for layer in range(reps + 1):
        gates += links if layer else []
        gates += [Gate(name, (q,), Angle(next(column))) for name in rotations for q in range(qubits)]
    return Circuit(qubits, gates)


def strongly_entangling(qubits: int, layers: int, *, entangled: bool = True) -> Circuit:
    """Return strongly entangling layers: RZ, RY, RZ on each qubit, then a ring of CX whose range grows.

    Columns: ``3 * qubits * layers`` in the order of PennyLane's weights (layers, qubits, 3).

    Source: Schuld et al 2018, "Circuit-centric quantum classifiers"; PennyLane,
    `StronglyEntanglingLayers` (its wire i is qubit i).

    >>> strongly_entangling(3, 2)
    Circuit(qubits=3, gates=24, columns=18, depth=12, two_qubit_gates=6)
    """
    column = itertools.count()
    gates: list[Gate] = []
    for layer in range(layers):
        for qubit in range(qubits):
            gates += [Gate(name, (qubit,), Angle(next(column))) for name in ("rz", "ry", "rz")]
        if entangled and qubits > 1:
            reach = layer % (qubits - 1) + 1
            gates += [Gate("cx", (q, (q + reach) % qubits)) for q in range(qubits)]
    return Circuit(qubits, gates)


def cz_ring_reupload(qubits: int, layers: int, *, entangled: bool = True) -> Circuit:
    """Return the trainable re-upload: per layer RY and RZ on each qubit, then a ring of CZ.

    Columns: ``2 * qubits * layers``; layer by layer, in each first all RY, then all RZ. The caller
    computes the angles, ``W x + b`` with trained `W` and `b`, so that each layer loads the data anew.

    Source: Perez-Salinas et al 2020, "Data re-uploading for a universal quantum classifier", eq. (7).

    >>> cz_ring_reupload(4, 2)
    Circuit(qubits=4, gates=24, columns=16, depth=12, two_qubit_gates=8)
    >>> cz_ring_reupload(4, 2, entangled=False)
    Circuit(qubits=4, gates=16, columns=16, depth=4, two_qubit_gates=0)
    """
    if layers < 1:
        raise UsageError(f"layers is {layers}: expected 1 or more")
    column = itertools.count()
    gates: list[Gate] = []
    for _ in range(layers):
        gates += [Gate(name, (q,), Angle(next(column))) for name in ("ry", "rz") for q in range(qubits)]
        gates += cz_ring(qubits) if entangled else []
    return Circuit(qubits, gates)
