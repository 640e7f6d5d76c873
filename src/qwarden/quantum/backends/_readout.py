"""Expectation values of Pauli sums on a tile, and the adjoint they start.

Terms of Z only are sums of parities: one tree (`_tree`) gives all of them at once, and turned round it
weighs the basis states for the adjoint. Terms with X or Y are walked one by one.
"""

from __future__ import annotations

from qwarden.core.compiled import compiled
from qwarden.quantum.backends._gates import fill
from qwarden.quantum.backends._lanes import WIDTH, integer, load, number, splat, store
from qwarden.quantum.backends._layout import Layout, Readout
from qwarden.quantum.backends._tree import BITS, COLUMNS, LOW, ROW, build_sums, collect, fold


@compiled
def measure(ints: int, floats: int, code: Readout, at: Layout, work: int, state: int, spare: int) -> None:
    """Write the expectation value of each observable to `energies`; overwrites the spare planes."""
    rows = at.plane // WIDTH
    fill(work, at.energies, code.observables, 0.0)
    if code.node_count:
        fill(work, at.values, code.masks, 0.0)
        root = (code.node_count - 1) * COLUMNS
        whole = integer(ints, root + LOW) == 0 and 1 << integer(ints, root + BITS) == rows
        out = at.tree + integer(ints, root + ROW) * WIDTH if whole else spare
        for z in range(rows):
            x = load(work, state + z * WIDTH)
            chance = x * x
            if at.planes == 2:
                y = load(work, state + at.plane + z * WIDTH)
                chance = chance + y * y
            store(work, out + z * WIDTH, chance)
        if not whole:
            fold(ints, code.node_count - 1, rows, work, out, at.tree)
        collect(ints, code.node_count, work, at.tree, at.values)
        for k in range(code.z_count):
            value = load(work, at.values + integer(ints, code.z_terms + 2 * k) * WIDTH)
            to = at.energies + integer(ints, code.z_terms + 2 * k + 1) * WIDTH
            store(work, to, load(work, to) + splat(number(floats, k)) * value)
    for k in range(code.x_count):
        x_mask, z_mask = integer(ints, code.x_terms + 3 * k), integer(ints, code.x_terms + 3 * k + 1)
        imaginary, sign = y_phase(x_mask & z_mask)
        total = splat(0.0)
        for z in range(rows):
            here, there = state + z * WIDTH, state + (z ^ x_mask) * WIDTH
            a, b = load(work, there), load(work, there + at.plane)
            x, y = load(work, here), load(work, here + at.plane)
            part = b * x - a * y if imaginary else a * x + b * y  # Re of conj(there) * (i or 1) * here
            total = total + splat(sign * parity_sign(z & z_mask)) * part
        to = at.energies + integer(ints, code.x_terms + 3 * k + 2) * WIDTH
        store(work, to, load(work, to) + splat(number(floats, code.z_count + k)) * total)


@compiled
def seed_adjoint(ints: int, floats: int, code: Readout, at: Layout, work: int, state: int) -> None:
    """Set the adjoint to ``2 * sum_k slope_k O_k |state>``; `energies` holds the slopes."""
    rows = at.plane // WIDTH
    two = splat(2.0)
    if code.node_count:
        fill(work, at.values, code.masks, 0.0)
        for k in range(code.z_count):
            to = at.values + integer(ints, code.z_terms + 2 * k) * WIDTH
            slope = two * load(work, at.energies + integer(ints, code.z_terms + 2 * k + 1) * WIDTH)
            store(work, to, load(work, to) + splat(number(floats, k)) * slope)
        build_sums(ints, code.node_count, work, at.values, at.tree)
        root = (code.node_count - 1) * COLUMNS
        low, mask = integer(ints, root + LOW), (1 << integer(ints, root + BITS)) - 1
        weights = at.tree + integer(ints, root + ROW) * WIDTH
        for z in range(rows):
            weight = load(work, weights + ((z >> low) & mask) * WIDTH)
            for p in range(at.planes):
                place = p * at.plane + z * WIDTH
                store(work, at.adjoint + place, weight * load(work, state + place))
    else:
        fill(work, at.adjoint, rows * at.planes, 0.0)
    for k in range(code.x_count):
        x_mask, z_mask = integer(ints, code.x_terms + 3 * k), integer(ints, code.x_terms + 3 * k + 1)
        imaginary, sign = y_phase(x_mask & z_mask)
        sign *= number(floats, code.z_count + k)
        slope = two * load(work, at.energies + integer(ints, code.x_terms + 3 * k + 2) * WIDTH)
        for z in range(rows):
            factor = splat(sign * parity_sign(z & z_mask)) * slope
            here, there = state + z * WIDTH, at.adjoint + (z ^ x_mask) * WIDTH
            x, y = load(work, here), load(work, here + at.plane)
            if imaginary:
                x, y = -y, x
            store(work, there, load(work, there) + factor * x)
            store(work, there + at.plane, load(work, there + at.plane) + factor * y)


@compiled
def parity_sign(value: int) -> float:
    """Return -1 if `value` has an odd number of set bits, else 1."""
    for shift in (16, 8, 4, 2, 1):
        value ^= value >> shift
    return 1.0 - 2.0 * (value & 1)


@compiled
def y_phase(both: int) -> tuple[bool, float]:
    """Return ``i`` to the number of set bits as (whether it is imaginary, sign)."""
    count = 0
    while both:
        count += both & 1
        both >>= 1
    return count % 2 == 1, 1.0 if count % 4 < 2 else -1.0
