"""Squared overlaps of blocks of states, by three real matrix products.

``<a|b> = (p + r) + i (t + p - r)`` with ``p = a' b'``, ``r = a" b"`` and ``t = (a' + a") (b" - b')`` for real
parts a', b' and imaginary parts a", b": Gauss's trick saves a quarter of a complex product. Blocks are
small enough to be squared and mirrored while they are in the cache; on the diagonal BLAS knows that p and r
are symmetric. All blocks of a kernel share the same room: memory that is new each time costs a page fault
every 4 KiB, which for a thousand rows adds up to a quarter of the products' time.

In single precision a sum over more than `RUN` basis states is cut into runs: a sum that grows term by term
loses more digits the longer it is (Higham 1993, "The accuracy of floating point summation", section 3).
"""

from __future__ import annotations

import itertools
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.quantum.precision import RealArray, StateArray

Real = TypeVar("Real", np.float32, np.float64)

BLOCK: Final = 256
RUN: Final = 64


def edges(count: int) -> list[int]:
    """Return the bounds of even blocks of at most `BLOCK` rows.

    >>> edges(1000)
    [0, 250, 500, 750, 1000]
    """
    blocks = -(-count // BLOCK)
    return [count * i // blocks for i in range(blocks + 1)] if count else [0]


def spans(count: int) -> list[slice]:
    """Return even blocks of at most `BLOCK` rows."""
    return [slice(start, stop) for start, stop in itertools.pairwise(edges(count))]


@compiled
def split(pairs: npt.NDArray[Real], parts: npt.NDArray[Real], sign: int) -> None:
    """Write real parts, imaginary parts, and imaginary plus `sign` times real parts of states as pairs."""
    for i in range(pairs.shape[0]):
        for z in range(pairs.shape[1] // 2):
            x, y = pairs[i, 2 * z], pairs[i, 2 * z + 1]
            parts[0, i, z], parts[1, i, z] = x, y
            parts[2, i, z] = y + x if sign > 0 else y - x


@compiled
def square(
    p: npt.NDArray[Real],
    r: npt.NDArray[Real],
    t: npt.NDArray[Real],
    kernel: npt.NDArray[Real],
    row: int,
    column: int,
) -> None:
    """Write the squared moduli of a block to its place in the kernel matrix."""
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            x = p[i, j] + r[i, j]
            y = t[i, j] + (p[i, j] - r[i, j])
            kernel[row + i, column + j] = x * x + y * y


@compiled
def mirror(kernel: npt.NDArray[Real], row: int, row_end: int, column: int, column_end: int) -> None:
    """Copy a block of the upper triangle to its mirror image, eight columns (a cache line) at a time."""
    for start in range(column, column_end, 8):
        stop = min(start + 8, column_end)
        for i in range(row, row_end):
            for j in range(max(start, i + 1), stop):
                kernel[j, i] = kernel[i, j]


class Blocks:
    """Fills a kernel matrix block by block.

    Parameters
    ----------
    A, B : C-ordered states of one precision, the rows and the columns of the kernel; the same object
        where both sides are the same.
    """

    def __init__(self, A: StateArray, B: StateArray) -> None:
        kind = A.real.dtype
        self.kernel: RealArray = np.empty((len(A), len(B)), kind)
        self._same = A is B
        self._pairs: tuple[RealArray, RealArray] = A.view(kind), B.view(kind)
        rows, columns, dimension = min(len(A), BLOCK), min(len(B), BLOCK), A.shape[1]
        # One allocation: from 4 MiB on NumPy asks the system for large pages.
        sizes = (3 * rows * dimension, 3 * columns * dimension, 4 * rows * columns)
        room: RealArray = np.empty(sum(sizes), kind)
        left, right, self._products = np.split(room, np.cumsum(sizes)[:2])
        self._left, self._right = left.reshape(3, rows, dimension), right.reshape(3, columns, dimension)

    def begin(self, rows: slice) -> None:
        """Take up a row of blocks."""
        split(self._pairs[0][rows], self._left, 1)

    def fill(self, rows: slice, columns: slice) -> None:
        """Compute a block of the row that was taken up last."""
        split(self._pairs[1][columns], self._right, -1)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        left, right = self._left[:, :height], self._right[:, :width]
        real, imag, difference = right
        if self._same and rows == columns:
            real, imag = left[0], left[1]  # the same memory: BLAS computes one triangle only
        p, r, t, spare = self._products[: 4 * height * width].reshape(4, height, width)
        _multiply(left[0], real, p, spare)
        _multiply(left[1], imag, r, spare)
        _multiply(left[2], difference, t, spare)
        square(p, r, t, self.kernel, rows.start, columns.start)


def _multiply(a: RealArray, b: RealArray, out: RealArray, spare: RealArray) -> None:
    """Write ``a @ b.T`` to `out`; `spare` has its shape."""
    run = RUN if a.dtype == np.float32 else a.shape[1]
    np.matmul(a[:, :run], b[:, :run].T, out=out)
    for start in range(run, a.shape[1], run):
        part = slice(start, start + run)
        out += np.matmul(a[:, part], b[:, part].T, out=spare)


def cross_kernel(A: StateArray, B: StateArray) -> RealArray:
    """Return ``|<A_i|B_j>|^2``."""
    blocks = Blocks(A, B)
    for rows in spans(len(A)):
        blocks.begin(rows)
        for columns in spans(len(B)):
            blocks.fill(rows, columns)
    return blocks.kernel


def symmetric_kernel(A: StateArray) -> RealArray:
    """Return ``|<A_i|A_j>|^2``, computing the blocks on and above the diagonal only."""
    blocks = Blocks(A, A)
    all_columns = spans(len(A))
    for number, rows in enumerate(all_columns):
        blocks.begin(rows)
        for columns in all_columns[number:]:
            blocks.fill(rows, columns)
            mirror(blocks.kernel, rows.start, rows.stop, columns.start, columns.stop)
    return blocks.kernel
