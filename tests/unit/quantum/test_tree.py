"""Sums of parities by doubling, against the sums written out."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.quantum.backends._lanes import WIDTH
from qwarden.quantum.backends._sincos import LIMIT, sincos
from qwarden.quantum.backends._tree import BITS, LOW, ROW, build_phases, build_sums, collect, fold, plant

MASKS = {
    "global phase": [0],
    "one bit": [0b100],
    "line": [0b1, 0b10, 0b100, 0b1000, 0b11, 0b110, 0b1100, 0],
    "all pairs": [1 << a | 1 << b for a in range(4) for b in range(a)] + [1 << a for a in range(4)],
    "everything": list(range(16)),
    "scattered": [0b1001, 0b10, 0b1110],
}
QUBITS = 4


def parities(mask: int) -> np.ndarray:
    return 1.0 - 2.0 * (np.bitwise_count(np.arange(1 << QUBITS) & mask) & 1)


@pytest.fixture(params=MASKS)
def masks(request: pytest.FixtureRequest) -> list[int]:
    return MASKS[request.param]


def lanes(memory: np.ndarray, at: int, rows: int) -> np.ndarray:
    return memory[at : at + rows * WIDTH].reshape(rows, WIDTH)


def spread(root: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a root's rows for each basis state."""
    return values[(np.arange(1 << QUBITS) >> root[LOW]) & ((1 << root[BITS]) - 1)]


def test_phases(masks: list[int]) -> None:
    tree, root = plant({mask: slot for slot, mask in enumerate(masks)}), None
    root = tree.nodes[-1]
    angles = np.random.default_rng(1).normal(size=(len(masks), WIDTH))
    memory = np.zeros((2 * len(masks) + 2 * tree.rows) * WIDTH)
    cos, sin, re = 0, len(masks) * WIDTH, 2 * len(masks) * WIDTH
    im = re + tree.rows * WIDTH
    lanes(memory, cos, len(masks))[:] = np.cos(angles)
    lanes(memory, sin, len(masks))[:] = np.sin(angles)
    build_phases(tree.nodes.ctypes.data, len(tree.nodes), memory.ctypes.data, cos, sin, re, im)
    rows, first = 1 << root[BITS], root[ROW] * WIDTH
    found = lanes(memory, re + first, rows) + 1j * lanes(memory, im + first, rows)
    expected = np.exp(1j * sum(parities(m)[:, None] * a for m, a in zip(masks, angles, strict=True)))
    np.testing.assert_allclose(spread(root, found), expected, rtol=0, atol=1e-14)


def test_sums_both_ways(masks: list[int]) -> None:
    tree = plant({mask: slot for slot, mask in enumerate(masks)})
    root, generator = tree.nodes[-1], np.random.default_rng(2)
    weights = generator.normal(size=(len(masks), WIDTH))
    memory = np.zeros((2 * len(masks) + tree.rows + 16) * WIDTH)
    values, sums = 0, len(masks) * WIDTH
    plane = 2 * sums
    source = plane + tree.rows * WIDTH
    lanes(memory, values, len(masks))[:] = weights
    nodes = tree.nodes.ctypes.data
    build_sums(nodes, len(tree.nodes), memory.ctypes.data, values, plane)
    found = lanes(memory, plane + root[ROW] * WIDTH, 1 << root[BITS])
    expected = sum(parities(m)[:, None] * w for m, w in zip(masks, weights, strict=True))
    np.testing.assert_allclose(spread(root, found), expected, rtol=0, atol=1e-14)

    given = generator.normal(size=(16, WIDTH))
    lanes(memory, source, 16)[:] = given
    fold(nodes, len(tree.nodes) - 1, 16, memory.ctypes.data, source, plane)
    collect(nodes, len(tree.nodes), memory.ctypes.data, plane, sums)
    expected = np.array([parities(m) @ given for m in masks])
    np.testing.assert_allclose(lanes(memory, sums, len(masks)), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1.0, 10.0, 1e3, 0.99 * LIMIT, 1e7, 1e18])
def test_sincos_is_the_c_librarys(scale: float) -> None:
    angles = np.random.default_rng(3).uniform(-scale, scale, (500, WIDTH))
    memory = np.concatenate([angles.ravel(), np.zeros(2 * angles.size)])
    sincos(memory.ctypes.data, 0, angles.size, 2 * angles.size, len(angles))
    np.testing.assert_allclose(lanes(memory, angles.size, 500), np.cos(angles), rtol=0, atol=2.3e-16)
    np.testing.assert_allclose(lanes(memory, 2 * angles.size, 500), np.sin(angles), rtol=0, atol=2.3e-16)


def test_sincos_at_quarter_turns() -> None:
    angles = (np.arange(-4000, 4000) * (np.pi / 4)).reshape(-1, WIDTH)
    memory = np.concatenate([angles.ravel(), np.zeros(2 * angles.size)])
    sincos(memory.ctypes.data, 0, angles.size, 2 * angles.size, len(angles))
    np.testing.assert_allclose(
        memory[angles.size : 2 * angles.size], np.cos(angles.ravel()), rtol=0, atol=2.3e-16
    )
    np.testing.assert_allclose(memory[2 * angles.size :], np.sin(angles.ravel()), rtol=0, atol=2.3e-16)
