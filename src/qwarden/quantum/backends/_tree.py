"""Sums of parities over all basis states by doubling.

A phase ``Phi(z) = sum_m c_m chi_m(z)`` with ``chi_m(z) = (-1)**|z & m|`` is wanted for all ``2**q`` basis
states z. Split the masks by the highest bit k that any of them has::

    Phi(z) = rest(z) + chi_k(z) * top(z)      rest: masks without bit k;  top: the others, bit k taken off

so ``exp(i Phi)`` is ``exp(i rest) * exp(+i top)`` in the half where bit k is 0 and the same with
``exp(-i top)`` where it is 1, and both factors depend on lower bits only. Doing so recursively costs a
few operations a basis state, and one sine and cosine a mask instead of one a basis state.

The same tree, walked from the root to the leaves, sums: ``sum_z chi_m(z) v(z)`` for all masks m at once
(`collect`). That gives the phases' gradients, and the expectation values of Z products.

A node covers the bits from its lowest to its highest only; row r of it stands for all z whose bits there
are r.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.quantum.backends._lanes import WIDTH, integer, load, splat, store

IntArray = npt.NDArray[np.int64]

# Columns of a node: its first row, half its rows (0: a leaf), the leaf's slot; then for `rest` and `top`
# their first row (-1: there is no rest), the shift from this node's row to theirs, and log2 of their rows.
# The root's last three columns say how basis states map to its own rows: they serve whoever reads it.
ROW, HALF, SLOT, REST, REST_SHIFT, REST_BITS, TOP, TOP_SHIFT, TOP_BITS, LOW, BITS = range(11)
COLUMNS = 11


@dataclass(frozen=True)
class Tree:
    """Nodes in the order they are built: children before parents, the root last."""

    nodes: IntArray
    rows: int
    """Rows it needs: the root's, and below it what is in use at a time."""

    NOTHING: ClassVar[IntArray] = np.zeros((0, COLUMNS), np.int64)


def plant(slots: dict[int, int]) -> Tree:
    """Return the tree of the masks that are the keys of `slots`; leaves refer to its values.

    >>> plant({0b01: 0, 0b11: 1}).rows  # the root on two bits, and what hangs on bit 1 with its leaf
    7
    """
    nodes: list[list[int]] = []
    rows = 0

    def grow(terms: dict[int, int], row: int, free: int) -> None:
        """Append the node of `terms` at `row`, after its children; rows from `free` on may be used."""
        nonlocal rows
        low, bits = _span(terms)
        node = [0] * COLUMNS
        node[ROW], node[LOW], node[BITS], node[REST] = row, low, bits, -1
        if not bits:
            node[SLOT] = terms[0]
        else:
            bit = 1 << (low + bits - 1)
            node[HALF] = 1 << (bits - 1)
            rest = {mask: slot for mask, slot in terms.items() if not mask & bit}
            top = {mask ^ bit: slot for mask, slot in terms.items() if mask & bit}
            if rest:
                rest_low, rest_bits = _span(rest)
                # A rest as wide as this node's lower half is built in place and doubled there.
                place = row
                if rest_bits != bits - 1:
                    place, free = free, free + (1 << rest_bits)
                node[REST : REST + 3] = place, max(rest_low - low, 0), rest_bits
                grow(rest, place, free)
            top_low, top_bits = _span(top)
            node[TOP : TOP + 3] = free, max(top_low - low, 0), top_bits
            grow(top, free, free + (1 << top_bits))
        rows = max(rows, row + (1 << bits), free)
        nodes.append(node)

    grow(slots, 0, 1 << _span(slots)[1])
    return Tree(np.array(nodes, dtype=np.int64), rows)


def _span(terms: Iterable[int]) -> tuple[int, int]:
    """Return the lowest bit that any mask has, and how many bits it is from there to the highest."""
    together = 0
    for mask in terms:
        together |= mask
    low = max((together & -together).bit_length() - 1, 0)
    return low, together.bit_length() - low if together else 0


# In the compiled functions `tree` is the address of a tree's nodes and `count` their number.


@compiled
def build_phases(tree: int, count: int, work: int, cos: int, sin: int, re: int, im: int) -> None:
    """Write ``exp(i Phi)`` to the planes at `re` and `im`; the leaves' numbers stand at `cos` and `sin`."""
    for n in range(0, count * COLUMNS, COLUMNS):
        half, row = integer(tree, n + HALF), integer(tree, n + ROW) * WIDTH
        if half == 0:
            slot = integer(tree, n + SLOT) * WIDTH
            store(work, re + row, load(work, cos + slot))
            store(work, im + row, load(work, sin + slot))
            continue
        near_re, near_im = re + row, im + row
        far_re, far_im = near_re + half * WIDTH, near_im + half * WIDTH
        top, top_shift = integer(tree, n + TOP) * WIDTH, integer(tree, n + TOP_SHIFT)
        top_mask = (1 << integer(tree, n + TOP_BITS)) - 1
        rest, rest_shift = integer(tree, n + REST) * WIDTH, integer(tree, n + REST_SHIFT)
        rest_mask = (1 << integer(tree, n + REST_BITS)) - 1
        if rest < 0:
            for z in range(half):
                t = top + ((z >> top_shift) & top_mask) * WIDTH
                c, s = load(work, re + t), load(work, im + t)
                store(work, near_re + z * WIDTH, c)
                store(work, near_im + z * WIDTH, s)
                store(work, far_re + z * WIDTH, c)
                store(work, far_im + z * WIDTH, -s)
        else:
            for z in range(half):
                t = top + ((z >> top_shift) & top_mask) * WIDTH
                r = rest + ((z >> rest_shift) & rest_mask) * WIDTH
                c, s = load(work, re + t), load(work, im + t)
                a, b = load(work, re + r), load(work, im + r)
                ac, bs, as_, bc = a * c, b * s, a * s, b * c
                store(work, near_re + z * WIDTH, ac - bs)
                store(work, near_im + z * WIDTH, as_ + bc)
                store(work, far_re + z * WIDTH, ac + bs)
                store(work, far_im + z * WIDTH, bc - as_)


@compiled
def build_sums(tree: int, count: int, work: int, values: int, out: int) -> None:
    """Write ``sum_m v_m chi_m(z)`` to the plane at `out`; ``v_m`` stands at ``values + slot``."""
    for n in range(0, count * COLUMNS, COLUMNS):
        half, row = integer(tree, n + HALF), out + integer(tree, n + ROW) * WIDTH
        if half == 0:
            store(work, row, load(work, values + integer(tree, n + SLOT) * WIDTH))
            continue
        far = row + half * WIDTH
        top, top_shift = out + integer(tree, n + TOP) * WIDTH, integer(tree, n + TOP_SHIFT)
        top_mask = (1 << integer(tree, n + TOP_BITS)) - 1
        has_rest = integer(tree, n + REST) >= 0
        rest, rest_shift = out + integer(tree, n + REST) * WIDTH, integer(tree, n + REST_SHIFT)
        rest_mask = (1 << integer(tree, n + REST_BITS)) - 1
        for z in range(half):
            t = load(work, top + ((z >> top_shift) & top_mask) * WIDTH)
            r = splat(0.0)
            if has_rest:
                r = load(work, rest + ((z >> rest_shift) & rest_mask) * WIDTH)
            store(work, row + z * WIDTH, r + t)
            store(work, far + z * WIDTH, r - t)


@compiled
def collect(tree: int, count: int, work: int, plane: int, sums: int) -> None:
    """Add ``sum_z chi_m(z) v(z)`` to ``sums + slot`` for each mask; the root's rows of `plane` hold v.

    The other rows of `plane` are overwritten.
    """
    for n in range((count - 1) * COLUMNS, -1, -COLUMNS):
        half, row = integer(tree, n + HALF), plane + integer(tree, n + ROW) * WIDTH
        if half == 0:
            slot = sums + integer(tree, n + SLOT) * WIDTH
            store(work, slot, load(work, slot) + load(work, row))
            continue
        far = row + half * WIDTH
        to = plane + integer(tree, n + TOP) * WIDTH
        shift, bits = integer(tree, n + TOP_SHIFT), integer(tree, n + TOP_BITS)
        _gather(work, row, far, half, -1.0, to, shift, bits)
        if integer(tree, n + REST) >= 0:  # last: it may overwrite this node's lower half
            to = plane + integer(tree, n + REST) * WIDTH
            shift, bits = integer(tree, n + REST_SHIFT), integer(tree, n + REST_BITS)
            _gather(work, row, far, half, 1.0, to, shift, bits)


@compiled
def _gather(work: int, near: int, far: int, rows: int, sign: float, to: int, shift: int, bits: int) -> None:
    """Set row ``(z >> shift) mod 2**bits`` at `to` to the sum of ``near + sign * far`` over such rows z."""
    factor = splat(sign)
    if shift == 0 and rows == 1 << bits:
        for z in range(0, rows * WIDTH, WIDTH):
            store(work, to + z, load(work, near + z) + factor * load(work, far + z))
        return
    # Additions take a few cycles each: two sums side by side keep the adder busy.
    run = 1 << shift
    for index in range(1 << bits):
        even, odd = splat(0.0), splat(0.0)
        for repeat in range(rows >> (shift + bits)):
            first = ((repeat << bits) + index) << shift
            for i in range(0, run - 1, 2):
                z = (first + i) * WIDTH
                even = even + (load(work, near + z) + factor * load(work, far + z))
                z += WIDTH
                odd = odd + (load(work, near + z) + factor * load(work, far + z))
            if run == 1:
                z = first * WIDTH
                even = even + (load(work, near + z) + factor * load(work, far + z))
        store(work, to + index * WIDTH, even + odd)


@compiled
def fold(tree: int, root: int, rows: int, work: int, source: int, plane: int) -> None:
    """Sum the `rows` rows at `source` into the root's rows of `plane`, over the bits it does not cover."""
    n = root * COLUMNS
    to = plane + integer(tree, n + ROW) * WIDTH
    _gather(work, source, source, rows, 0.0, to, integer(tree, n + LOW), integer(tree, n + BITS))
