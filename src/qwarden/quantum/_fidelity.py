"""Squared overlaps of blocks of states, by three real matrix products.

``<a|b> = (p + r) + i (t + p - r)`` with ``p = a' b'``, ``r = a" b"`` and ``t = (a' + a") (b" - b')`` for real
parts a', b' and imaginary parts a", b": Gauss's trick saves a quarter of a complex product. Blocks are
small enough to be squared and mirrored while they are in the cache.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled

Floats = npt.NDArray[np.float64]

BLOCK = 256


class Parts(NamedTuple):
    """States split for the three products: two parts serve both sides, one is each side's own."""

    real: Floats
    imag: Floats
    left: Floats
    """``a' + a"``."""
    right: Floats
    """``b" - b'``."""


def parts_of(states: npt.NDArray[np.complex128]) -> Parts:
    """Return the parts of C-ordered states."""
    return Parts(*_split(states.view(np.float64)))


@compiled
def _split(pairs: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    rows, dimension = pairs.shape[0], pairs.shape[1] // 2
    real, imag = np.empty((rows, dimension)), np.empty((rows, dimension))
    left, right = np.empty((rows, dimension)), np.empty((rows, dimension))
    for i in range(rows):
        for z in range(dimension):
            x, y = pairs[i, 2 * z], pairs[i, 2 * z + 1]
            real[i, z], imag[i, z], left[i, z], right[i, z] = x, y, x + y, y - x
    return real, imag, left, right


def edges(count: int) -> list[int]:
    """Return the bounds of even blocks of at most `BLOCK` rows.

    >>> edges(1000)
    [0, 250, 500, 750, 1000]
    """
    blocks = -(-count // BLOCK)
    return [count * i // blocks for i in range(blocks + 1)] if count else [0]


@compiled
def square(p: Floats, r: Floats, t: Floats, kernel: Floats, row: int, column: int) -> None:
    """Write the squared moduli of a block to its place in the kernel matrix."""
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            x = p[i, j] + r[i, j]
            y = t[i, j] + (p[i, j] - r[i, j])
            kernel[row + i, column + j] = x * x + y * y


@compiled
def mirror(kernel: Floats, row: int, row_end: int, column: int, column_end: int) -> None:
    """Copy a block of the upper triangle to its mirror image, eight columns (a cache line) at a time."""
    for start in range(column, column_end, 8):
        stop = min(start + 8, column_end)
        for i in range(row, row_end):
            for j in range(max(start, i + 1), stop):
                kernel[j, i] = kernel[i, j]


def _products(a: Parts, i: int, i_end: int, b: Parts, j: int, j_end: int) -> tuple[Floats, Floats, Floats]:
    """Return p, r and t of a block."""
    return (
        a.real[i:i_end] @ b.real[j:j_end].T,
        a.imag[i:i_end] @ b.imag[j:j_end].T,
        a.left[i:i_end] @ b.right[j:j_end].T,
    )


def cross_kernel(A: npt.NDArray[np.complex128], B: npt.NDArray[np.complex128]) -> Floats:
    """Return ``|<A_i|B_j>|^2``."""
    kernel = np.empty((len(A), len(B)))
    a, b = parts_of(A), parts_of(B)
    for i, i_end in itertools.pairwise(edges(len(A))):
        for j, j_end in itertools.pairwise(edges(len(B))):
            square(*_products(a, i, i_end, b, j, j_end), kernel, i, j)
    return kernel


def symmetric_kernel(A: npt.NDArray[np.complex128]) -> Floats:
    """Return ``|<A_i|A_j>|^2``, computing the blocks on and above the diagonal only."""
    kernel = np.empty((len(A), len(A)))
    a = parts_of(A)
    blocks = list(itertools.pairwise(edges(len(A))))
    for number, (i, i_end) in enumerate(blocks):
        for j, j_end in blocks[number:]:
            square(*_products(a, i, i_end, a, j, j_end), kernel, i, j)
            mirror(kernel, i, i_end, j, j_end)
    return kernel
