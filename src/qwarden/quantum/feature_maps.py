"""Feature maps: circuits that turn a row of data into a state.

A `FeatureMap` is a `Circuit` that also knows which products of features its angle columns are
(`FeatureMap.angles`) and how a gradient flows back through them (`FeatureMap.pullback`).

With ``entangled=False`` a map is its unentangled twin: the same angle columns load the same products of
features, but the phase of a group of qubits turns its last qubit alone, and nothing links two qubits.

Sources: Havlicek et al 2019, "Supervised learning with quantum-enhanced feature spaces", eq. (1)-(3), in
Qiskit's form (`z_feature_map`, `zz_feature_map`, `pauli_feature_map`: the same circuits gate for gate);
IQP as PennyLane's `IQPEmbedding`; re-uploading after Perez-Salinas et al 2020.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.circuit import Angle, Circuit, FloatArray, Gate, blocks

Features = tuple[int, ...]
"""The features one angle column is the product of."""


class FeatureMap(Circuit):
    """A circuit whose angle columns are products of features.

    Parameters
    ----------
    qubits, gates : as `Circuit`.
    features : number of features a row of data has.
    products : for each angle column the features that enter it. One feature enters as ``x``; several
        enter as the product of ``(origin - x)``, or of ``x`` where `origin` is None.
    origin : pi for the maps of Havlicek et al.
    """

    def __init__(
        self,
        qubits: int,
        gates: Iterable[Gate],
        features: int,
        products: Sequence[Features],
        origin: float | None = None,
    ) -> None:
        super().__init__(qubits, gates, len(products))
        self.features = features
        self.products = tuple(products)
        self.origin = origin
        # Columns of as many factors are computed together: (columns, features of each factor).
        self._groups = [
            (
                [c for c, product in enumerate(self.products) if len(product) == size],
                np.array([p for p in self.products if len(p) == size], dtype=np.intp).T,
            )
            for size in sorted({len(product) for product in self.products})
        ]

    @property
    def _key(self) -> tuple[Any, ...]:
        return *super()._key, self.features, self.products, self.origin

    def angles(self, X: npt.ArrayLike) -> FloatArray:
        """Return the angles matrix of data `X`.

        Parameters
        ----------
        X : shape (n, features), finite.

        Returns
        -------
        float64, shape (n, columns), radians.

        Raises
        ------
        UsageError : wrong shape.

        >>> zz_feature_map(2).angles([[1.0, 2.0]]).round(4).tolist()
        [[1.0, 2.0, 2.4448]]
        """
        data = self._check_data(X)
        columns = np.empty((len(data), self.columns))
        for places, factors in self._groups:
            source = data if len(factors) == 1 or self.origin is None else self.origin - data
            product = source.take(factors[0], axis=1)
            for feature in factors[1:]:
                product *= source.take(feature, axis=1)
            columns[:, _span(places)] = product
        return columns

    def pullback(self, X: npt.ArrayLike, d_angles: FloatArray) -> FloatArray:
        """Return d loss / d X, shape (n, features), given d loss / d angles, shape (n, columns)."""
        data = self._check_data(X)
        d_data = np.zeros_like(data)
        for column, (product, factors) in enumerate(zip(self.products, self._factors(data), strict=True)):
            sign = 1.0 if len(product) == 1 or self.origin is None else -1.0
            for position, feature in enumerate(product):
                others = math.prod(factors[:position] + factors[position + 1 :])
                d_data[:, feature] += sign * others * d_angles[:, column]
        return d_data

    def _factors(self, data: FloatArray) -> Iterator[list[FloatArray]]:
        """Yield, column by column, the factors whose product the angle is."""
        moved = data if self.origin is None else self.origin - data
        for product in self.products:
            source = data if len(product) == 1 else moved
            yield [source[:, feature] for feature in product]

    def _check_data(self, X: npt.ArrayLike) -> FloatArray:
        data = np.asarray(X, dtype=np.float64)
        if data.ndim != 2 or data.shape[1] != self.features:
            raise UsageError(f"data must have the shape (n, {self.features}), not {data.shape}")
        return data


def _span(places: list[int]) -> slice | list[int]:
    """Return `places` as a slice where they are consecutive: NumPy copies those faster."""
    first, last = places[0], places[-1]
    return slice(first, last + 1) if last - first + 1 == len(places) else places


def z_feature_map(qubits: int, reps: int = 2, *, scale: float = 2.0) -> FeatureMap:
    """Return the Z feature map: per repetition H and ``P(scale * x_i)`` on each qubit, no entanglement.

    >>> z_feature_map(3)
    FeatureMap(qubits=3, gates=12, columns=3, depth=4, two_qubit_gates=0)
    """
    return pauli_feature_map(qubits, ["Z"], reps, scale=scale)


def zz_feature_map(
    qubits: int,
    reps: int = 2,
    entanglement: str = "full",
    *,
    scale: float = 2.0,
    entangled: bool = True,
) -> FeatureMap:
    """Return the ZZ feature map: the Z map with ``exp(i (pi - x_i)(pi - x_j) Z Z)`` on each pair.

    Parameters
    ----------
    entanglement : ``linear``, ``reverse_linear``, ``circular`` or ``full`` (see `blocks`).
    entangled : False for the unentangled twin.

    >>> zz_feature_map(4, entanglement="linear")
    FeatureMap(qubits=4, gates=34, columns=7, depth=19, two_qubit_gates=12)
    >>> zz_feature_map(4, entanglement="linear", entangled=False)
    FeatureMap(qubits=4, gates=22, columns=7, depth=6, two_qubit_gates=0)
    """
    if qubits < 2:
        raise UsageError("the ZZ feature map needs at least 2 qubits")
    return pauli_feature_map(qubits, ["Z", "ZZ"], reps, entanglement, scale=scale, entangled=entangled)


def pauli_feature_map(
    qubits: int,
    paulis: Sequence[str] = ("Z", "ZZ"),
    reps: int = 2,
    entanglement: str = "full",
    *,
    scale: float = 2.0,
    entangled: bool = True,
) -> FeatureMap:
    """Return the Pauli feature map.

    Per repetition: H on each qubit, then for each Pauli string and each group of as many qubits the phase
    ``scale * phi_S(x)`` on the parity the string measures, where ``phi_S`` is ``x_i`` on one qubit and the
    product of ``(pi - x_i)`` on several.

    Parameters
    ----------
    paulis : strings of I, X, Y, Z; the leftmost character acts on the group's last qubit.
    entanglement : which groups (see `blocks`).
    entangled : False for the unentangled twin.

    Raises
    ------
    UsageError : a string is empty, too long, or holds another character.

    Source: Qiskit, `qiskit.circuit.library.pauli_feature_map` (its ``alpha`` is `scale`).
    """
    products: list[Features] = []
    layer: list[Gate] = [Gate("h", (q,)) for q in range(qubits)]
    for text in paulis:
        if not text or set(text) - set("IXYZ"):
            raise UsageError(f"Pauli string {text!r}: expected one or more of I, X, Y, Z")
        for group in blocks(qubits, len(text), entanglement):
            letters = [(q, p) for q, p in zip(group, reversed(text), strict=True) if p != "I"]
            if not letters:
                continue
            # One column serves every string on the same features: their order does not matter.
            product = tuple(sorted(group))
            if product not in products:
                products.append(product)
            angle = scale * Angle(products.index(product))
            layer += _evolution(letters if entangled else letters[-1:], angle)
    return FeatureMap(qubits, layer * reps, qubits, products, math.pi)


def _evolution(letters: list[tuple[int, str]], angle: Angle) -> list[Gate]:
    """Return a phase by `angle` where the product of the Pauli `letters` is -1."""
    enter = {"X": [("h", 0.0)], "Y": [("rx", math.pi / 2)], "Z": []}
    basis, back = [], []
    for qubit, letter in letters:
        for name, turn in enter[letter]:
            gate = Gate(name, (qubit,), Angle(None, 1.0, turn) if turn else None)
            basis.append(gate)
            back.append(gate.inverse())
    qubits = [qubit for qubit, _ in letters]
    chain = [Gate("cx", pair) for pair in itertools.pairwise(qubits)]
    return [*basis, *chain, Gate("p", (qubits[-1],), angle), *reversed(chain), *back]


def iqp_feature_map(
    qubits: int, reps: int = 1, entanglement: str = "full", *, entangled: bool = True
) -> FeatureMap:
    """Return the IQP embedding: H, ``RZ(x_i)`` on each qubit and ``RZZ(x_i x_j)`` on each pair.

    Source: PennyLane, `IQPEmbedding` (its wire i is qubit i).

    >>> iqp_feature_map(3).products
    ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
    """
    pairs = blocks(qubits, 2, entanglement) if qubits > 1 else []
    products: list[Features] = [(q,) for q in range(qubits)] + [(min(p), max(p)) for p in pairs]
    layer = [gate for q in range(qubits) for gate in (Gate("h", (q,)), Gate("rz", (q,), Angle(q)))]
    name, kept = ("rzz", 2) if entangled else ("rz", 1)
    layer += [Gate(name, pair[-kept:], Angle(qubits + i)) for i, pair in enumerate(pairs)]
    return FeatureMap(qubits, layer * reps, qubits, products)


def reupload_map(features: int, qubits: int, layers: int, *, entangled: bool = True) -> FeatureMap:
    """Return angle re-uploading: data enters each layer again, as RY and RZ, before a ring of CZ.

    Layer by layer and qubit by qubit, two features are loaded, RY then RZ, starting over at the first
    feature when the last has been used; so ``2 * qubits * layers`` rotations carry the data.

    Source: Perez-Salinas et al 2020, "Data re-uploading for a universal quantum classifier", without
    trainable weights (for those see `qwarden.quantum.cz_ring_reupload`).

    >>> reupload_map(features=5, qubits=2, layers=2)
    FeatureMap(qubits=2, gates=10, columns=5, depth=6, two_qubit_gates=2)
    """
    if features < 1 or layers < 1:
        raise UsageError("re-uploading needs at least one feature and one layer")
    turn = itertools.count()
    gates: list[Gate] = []
    for _ in range(layers):
        for qubit in range(qubits):
            gates += [Gate(name, (qubit,), Angle(next(turn) % features)) for name in ("ry", "rz")]
        gates += cz_ring(qubits) if entangled else []
    return FeatureMap(qubits, gates, features, [(f,) for f in range(features)])


def cz_ring(qubits: int) -> list[Gate]:
    """Return CZ between each qubit and the next, and the last with the first where that is another pair."""
    return [Gate("cz", pair) for pair in (blocks(qubits, 2, "circular") if qubits > 1 else [])]
