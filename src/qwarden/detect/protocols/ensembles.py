"""Ensembles by their settings: networks of several seeds, a hybrid, and forests as their twins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwarden.core.measure import Resources
from qwarden.detect.protocols.members import Member
from qwarden.learn import ExtraTreesTwin, GradientBoostingTwin, HybridClassifier, QNNClassifier
from qwarden.quantum import cz_ring_reupload

Settings = Mapping[str, Any]


def networks(settings: Settings, count: int, *, entangled: bool = True) -> list[Member]:
    """Return `count` networks that differ in their seed alone, or the same without entangling gates."""

    def numbered(number: int) -> Member:
        def make(seed: int) -> QNNClassifier:
            return QNNClassifier(**settings, entangled=entangled, seed=count * seed + number)

        return Member(f"qnn {number}", make, quantum=True)

    return [numbered(number) for number in range(count)]


def hybrid(settings: Settings, machine: Settings) -> Member:
    """Return one more network, whose states a kernel machine separates."""

    def make(seed: int) -> HybridClassifier:
        return HybridClassifier(QNNClassifier(**settings, seed=1000 + seed), **machine, seed=seed)

    return Member("hybrid", make, quantum=True)


def forests(boosted: Settings, extra: Settings) -> list[Member]:
    """Return boosted trees, the twin of networks, and extremely randomised ones."""
    return [
        Member("boosted trees", lambda seed: GradientBoostingTwin(**boosted, seed=seed), quantum=False),
        Member("extra trees", lambda seed: ExtraTreesTwin(**extra, seed=seed), quantum=False),
    ]


def network_resources(qubits: int, layers: int) -> Resources:
    """Return what a network asks of the device."""
    circuit = cz_ring_reupload(qubits, layers)
    return Resources(
        qubits=circuit.qubits, depth=circuit.depth, two_qubit_gates=circuit.two_qubit_gates, shots=None
    )
