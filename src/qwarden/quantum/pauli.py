"""Pauli sums: the observables whose expectation values a circuit is read out by.

A term is ``coefficient * P`` with P a product of Pauli matrices, stored as two bit masks: bit q of `x`
is set where P has X or Y on qubit q, bit q of `z` where it has Z or Y. With ``Y = i X Z``::

    P |k> = i**|x & z| * (-1)**|k & z| * |k xor x>
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from qwarden.core.errors import UsageError
from qwarden.quantum.gates import PAULI_MATRICES, Matrix


class PauliTerm(NamedTuple):
    """``coefficient`` times the Pauli product of masks `x` and `z`."""

    coefficient: float
    x: int
    z: int


@dataclass(frozen=True)
class PauliSum:
    """A Hermitian observable: a real combination of Pauli products.

    Build it with `z`, `zz`, `from_terms`, and with ``+``, ``-`` and ``*``. It has no fixed number of
    qubits: it acts as the identity on the qubits it does not name.

    >>> 0.5 * PauliSum.z(0) + PauliSum.from_terms({"XX": 2.0})
    PauliSum(0.5*Z0 + 2*X1 X0)
    """

    terms: tuple[PauliTerm, ...]

    def __post_init__(self) -> None:
        for term in self.terms:
            if not math.isfinite(term.coefficient):
                raise UsageError(f"a Pauli coefficient is {term.coefficient}: expected a finite number")
            if term.x < 0 or term.z < 0:
                raise UsageError("a Pauli mask is negative")

    @classmethod
    def z(cls, qubit: int) -> PauliSum:
        """Return Z on one qubit."""
        return cls((PauliTerm(1.0, 0, _bit(qubit)),))

    @classmethod
    def zz(cls, first: int, second: int) -> PauliSum:
        """Return Z on two qubits."""
        if first == second:
            raise UsageError(f"zz: the qubits are both {first}")
        return cls((PauliTerm(1.0, 0, _bit(first) | _bit(second)),))

    @classmethod
    def from_terms(cls, terms: Mapping[str, float]) -> PauliSum:
        """Return the sum of ``coefficient * string``; the leftmost character is the highest qubit.

        Raises
        ------
        UsageError : a string is empty or holds anything but I, X, Y, Z.

        Source: Qiskit's `SparsePauliOp` string convention.
        """
        made = []
        for text, coefficient in terms.items():
            if not text or set(text) - set("IXYZ"):
                raise UsageError(f"Pauli string {text!r}: expected one or more of I, X, Y, Z")
            x = z = 0
            for qubit, letter in enumerate(reversed(text)):
                x |= (letter in "XY") << qubit
                z |= (letter in "YZ") << qubit
            made.append(PauliTerm(float(coefficient), x, z))
        return cls(tuple(made))

    @cached_property
    def qubits(self) -> int:
        """Least number of qubits a circuit must have to be read out by this observable."""
        return max(((term.x | term.z).bit_length() for term in self.terms), default=0)

    @cached_property
    def diagonal(self) -> bool:
        """Whether every term is made of Z (and I) only."""
        return all(term.x == 0 for term in self.terms)

    def __add__(self, other: PauliSum) -> PauliSum:
        return PauliSum(self.terms + other.terms)

    def __mul__(self, factor: float) -> PauliSum:
        return PauliSum(tuple(PauliTerm(t.coefficient * factor, t.x, t.z) for t in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> PauliSum:
        return self * -1.0

    def __sub__(self, other: PauliSum) -> PauliSum:
        return self + (-other)

    def labels(self, qubits: int) -> list[str]:
        """Return the terms' Pauli strings on `qubits` qubits, highest qubit first."""
        return [
            "".join("IXZY"[(t.x >> q & 1) | (t.z >> q & 1) << 1] for q in reversed(range(qubits)))
            for t in self.terms
        ]

    def matrix(self, qubits: int) -> Matrix:
        """Return the observable as a matrix of shape (2**qubits, 2**qubits)."""
        total = np.zeros((1 << qubits, 1 << qubits), dtype=np.complex128)
        for term, label in zip(self.terms, self.labels(qubits), strict=True):
            product: Matrix = np.eye(1, dtype=np.complex128)
            for letter in label:
                product = np.asarray(np.kron(product, PAULI_MATRICES[letter]), dtype=np.complex128)
            total += term.coefficient * product
        return total

    def __repr__(self) -> str:
        shown = []
        for term in self.terms:
            letters = [
                f"{'IXZY'[(term.x >> q & 1) | (term.z >> q & 1) << 1]}{q}"
                for q in reversed(range(self.qubits))
                if (term.x | term.z) >> q & 1
            ]
            shown.append(f"{term.coefficient:g}*{' '.join(letters) or 'I'}")
        return f"PauliSum({' + '.join(shown) or '0'})"


def _bit(qubit: int) -> int:
    if qubit < 0:
        raise UsageError(f"qubit {qubit} is negative")
    return 1 << qubit
