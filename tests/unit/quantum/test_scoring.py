"""`RowScorer` against the readable simulator."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from random_circuits import random_circuit

from qwarden.core.errors import UsageError
from qwarden.quantum import (
    Circuit,
    FeatureMap,
    RowScorer,
    cz_ring_reupload,
    iqp_feature_map,
    pauli_feature_map,
    real_amplitudes,
    reupload_map,
    zz_feature_map,
)

CIRCUITS = {
    "one qubit": real_amplitudes(1, 1),
    "real": real_amplitudes(3, 2),
    "re-upload": cz_ring_reupload(4, 2),
    "map of single features": reupload_map(5, 3, 2),
    "products": zz_feature_map(4, 2),
    "products of three": pauli_feature_map(3, ["Z", "ZZ", "ZZZ"]),
    "products without origin": iqp_feature_map(3),
    "every gate": random_circuit(np.random.default_rng(1), 4, gates=30),
}
COLUMNS = 7


def random_form(generator: np.random.Generator, dimension: int) -> np.ndarray:
    matrix = generator.normal(size=(dimension, dimension)) + 1j * generator.normal(
        size=(dimension, dimension)
    )
    return matrix + matrix.conj().T


def features_of(circuit: Circuit) -> int:
    return circuit.features if isinstance(circuit, FeatureMap) else circuit.columns


def angles_by_hand(circuit: Circuit, features: np.ndarray) -> np.ndarray:
    if not isinstance(circuit, FeatureMap):
        return features
    angles = np.empty((len(features), circuit.columns))
    for row, x in enumerate(features):
        for column, product in enumerate(circuit.products):
            factors = [x[f] if len(product) == 1 or circuit.origin is None else np.pi - x[f] for f in product]
            angles[row, column] = np.prod(factors)
    return angles


@pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS.keys())
@pytest.mark.parametrize("rows", [1, 4, 6])
def test_the_score_is_the_expectation_value_in_the_oracles_state(circuit: Circuit, rows: int) -> None:
    generator = np.random.default_rng(rows)
    features, dimension = features_of(circuit), circuit.dimension
    W, b = generator.normal(size=(COLUMNS, features)) / 3, generator.normal(size=features)
    neutral, offset = generator.normal(size=COLUMNS), float(generator.normal())
    X = generator.normal(size=(rows, COLUMNS))
    X[0, 2] = X[-1, 0] = np.nan
    known = np.where(np.isnan(X), neutral, X)
    states = reference.states(circuit, angles_by_hand(circuit, known @ W + b))
    form, diagonal = random_form(generator, dimension), generator.normal(size=dimension)
    for observable, matrix in ((form, form), (diagonal, np.diag(diagonal))):
        score = RowScorer(circuit, W, b, neutral, observable, offset)
        expected = [np.vdot(state, matrix @ state).real + offset for state in states]
        np.testing.assert_allclose(score(X), expected, rtol=0, atol=1e-11)


def test_a_rows_score_does_not_depend_on_the_rows_beside_it() -> None:
    generator = np.random.default_rng(3)
    circuit = cz_ring_reupload(3, 2)
    score = RowScorer(
        circuit, generator.normal(size=(COLUMNS, circuit.columns)), np.zeros(circuit.columns),
        np.zeros(COLUMNS), random_form(generator, 8),
    )  # fmt: skip
    X = generator.normal(size=(11, COLUMNS))
    alone = [float(score(X[i : i + 1])[0]) for i in range(len(X))]
    assert score(X).tolist() == alone
    assert score(np.asfortranarray(X)).tolist() == alone
    assert score(X[:0]).shape == (0,)


def test_large_angles_keep_their_digits() -> None:
    circuit = real_amplitudes(1, 1)
    score = RowScorer(circuit, np.eye(2), np.zeros(2), np.zeros(2), [1.0, -1.0])
    X = np.array([[2e5, 1.0], [3.0, -4e6]])
    np.testing.assert_allclose(score(X), np.cos(X.sum(axis=1)), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": np.zeros((3, 2))},
        {"biases": np.zeros(3)},
        {"neutral": [np.nan, 0.0]},
        {"observable": np.zeros(8)},
        {"observable": [[1.0, 1.0, 0.0, 0.0], *np.zeros((3, 4))]},
        {"offset": np.inf},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    fits = {
        "weights": np.zeros((2, 4)), "biases": np.zeros(4), "neutral": np.zeros(2), "observable": np.eye(4),
        "offset": 0.0,
    }  # fmt: skip
    RowScorer(real_amplitudes(2, 1), **fits)
    with pytest.raises(UsageError):
        RowScorer(real_amplitudes(2, 1), **(fits | wrong))


def test_rows_that_do_not_fit_are_refused() -> None:
    score = RowScorer(real_amplitudes(1, 1), np.eye(2), np.zeros(2), np.zeros(2), np.ones(2))
    for rows in (np.zeros(2), np.zeros((1, 3)), np.array([[np.inf, 0.0]])):
        with pytest.raises(UsageError):
            score(rows)
