"""Kernel-target alignment: its value by its definition, its gradient by differences."""

from __future__ import annotations

import numpy as np

from qwarden.quantum import LocalBackend, alignment_and_cotangent, cz_ring_reupload


def by_definition(states: np.ndarray, signs: np.ndarray) -> float:
    """Cortes, Mohri & Rostamizadeh 2012, eq. (2), with centring matrices."""
    n = len(states)
    centre = np.eye(n) - 1.0 / n
    kernel = centre @ (np.abs(states.conj() @ states.T) ** 2) @ centre
    target = centre @ np.outer(signs, signs) @ centre
    return float((kernel * target).sum() / np.linalg.norm(kernel) / np.linalg.norm(target))


def encoded(angles: np.ndarray) -> np.ndarray:
    return LocalBackend().states(cz_ring_reupload(3, 2), angles)


def test_value_is_the_definitions_and_weights_count_rows() -> None:
    rng = np.random.default_rng(0)
    states, signs = encoded(rng.normal(size=(20, 12))), rng.choice([-1.0, 1.0], 20)
    counts = rng.integers(0, 4, 20)
    repeated = np.repeat(np.arange(20), counts)
    assert abs(alignment_and_cotangent(states, signs, np.ones(20))[0] - by_definition(states, signs)) < 1e-12
    weighted = alignment_and_cotangent(states, signs, counts.astype(float))[0]
    assert abs(weighted - by_definition(states[repeated], signs[repeated])) < 1e-12


def test_gradient_is_the_derivative_through_the_circuit() -> None:
    rng = np.random.default_rng(1)
    angles, signs = rng.normal(size=(9, 12)), rng.choice([-1.0, 1.0], 9)
    weights = rng.random(9) + 0.2
    states, pullback = LocalBackend().states_and_pullback(cz_ring_reupload(3, 2), angles)
    gradient = pullback(alignment_and_cotangent(states, signs, weights)[1])
    step = 1e-5
    for place in [(0, 0), (3, 4), (8, 2), (5, 9), (2, 11)]:
        shift = np.zeros_like(angles)
        shift[place] = step
        up, down = (
            alignment_and_cotangent(encoded(angles + sign * shift), signs, weights)[0] for sign in (1, -1)
        )
        assert abs(gradient[place] - (up - down) / (2 * step)) < 1e-8


def test_one_class_alone_and_equal_states_have_no_alignment() -> None:
    states = encoded(np.random.default_rng(2).normal(size=(4, 12)))
    value, cotangent = alignment_and_cotangent(states, np.ones(4), np.ones(4))
    assert value == 0.0
    assert not cotangent.any()
    signs = np.array([1.0, 1.0, -1.0, -1.0])
    assert alignment_and_cotangent(states[[0, 0, 0, 0]], signs, np.ones(4))[0] == 0.0
