"""Finite shots: which Pauli terms can be measured together, and what the counts say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qwarden.quantum.circuit import Angle, Circuit, FloatArray, Gate
from qwarden.quantum.pauli import PauliSum, PauliTerm


@dataclass
class BasisGroup:
    """Terms that agree, qubit by qubit, on the basis to measure in."""

    x: int = 0
    z: int = 0
    terms: list[tuple[int, PauliTerm]] = field(default_factory=list)
    """(observable, term)."""

    def admits(self, term: PauliTerm) -> bool:
        """Return whether on every qubit both name the same Pauli matrix or one names none."""
        both = (self.x | self.z) & (term.x | term.z)
        return not ((self.x ^ term.x) | (self.z ^ term.z)) & both

    def add(self, observable: int, term: PauliTerm) -> None:
        """Take a term in."""
        self.x |= term.x
        self.z |= term.z
        self.terms.append((observable, term))

    def change_of_basis(self, qubits: int) -> Circuit:
        """Return the gates after which all terms are products of Z: H for X, H S^-1 for Y."""
        gates = []
        for q in range(qubits):
            if self.x >> q & 1:
                if self.z >> q & 1:
                    gates.append(Gate("p", (q,), Angle(None, 1.0, -math.pi / 2)))
                gates.append(Gate("h", (q,)))
        return Circuit(qubits, gates)


def basis_groups(observables: Sequence[PauliSum]) -> list[BasisGroup]:
    """Return all terms in groups of qubit-wise commuting ones, first come first served.

    >>> [len(g.terms) for g in basis_groups([PauliSum.from_terms({"ZI": 1, "IZ": 1, "XX": 1})])]
    [2, 1]
    """
    groups: list[BasisGroup] = []
    for k, observable in enumerate(observables):
        for term in observable.terms:
            group = next((g for g in groups if g.admits(term)), None)
            if group is None:
                group = BasisGroup()
                groups.append(group)
            group.add(k, term)
    return groups


def estimate(group: BasisGroup, counts: npt.NDArray[np.int64], observables: int) -> FloatArray:
    """Return what the group's terms add to each observable, shape (n, observables)."""
    values = np.zeros((len(counts), observables))
    z = np.arange(counts.shape[1])
    shots = counts.sum(axis=1)
    for k, term in group.terms:
        sign = 1.0 - 2.0 * (np.bitwise_count(z & (term.x | term.z)) & 1)
        values[:, k] += term.coefficient * (counts @ sign) / shots
    return values
