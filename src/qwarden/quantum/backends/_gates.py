"""The gates as loops over a tile: four rows of the batch, one `Lanes` an amplitude.

A state is two planes of ``2**q`` lanes each, real parts from `state` on and imaginary parts from
``state + plane``; states of real circuits have the first plane only (`planes` is 1). Each ``undo_*``
takes a gate back from a state and from the adjoint vector of the loss, and adds the loss's gradient with
respect to the gate's half angle to `gradient`:

    a rotation x' = c x - s y, y' = s x + c y has d loss/d half-angle = sum (v x' - u y')

with u, v the adjoint's parts beside x', y' (Jones and Gacon 2020, "Efficient calculation of gradients
in classical simulations of variational quantum algorithms").
"""

from __future__ import annotations

import math
from typing import Any, Final

from qwarden.core.compiled import compiled
from qwarden.quantum.backends._lanes import WIDTH, integer, load, number, splat, store

Lanes = Any  # has a meaning in compiled code only

_ROOT_HALF: Final = math.sqrt(0.5)


@compiled
def fill(work: int, start: int, rows: int, value: float) -> None:
    """Set rows of a plane to one number."""
    lanes = splat(value)
    for z in range(rows):
        store(work, start + z * WIDTH, lanes)


@compiled
def _above(qubit: int) -> int:
    """Return the mask by which ``i + (i & mask)`` makes room for a zero bit at `qubit`."""
    return -(1 << qubit)


# RY, one qubit and two.


@compiled
def rotate(work: int, state: int, rows: int, qubit: int, c: Lanes, s: Lanes) -> None:
    """Apply the real rotation (c, s) to one qubit of one plane."""
    step = WIDTH << qubit
    above = _above(qubit)
    for i in range(rows >> 1):
        at = state + (i + (i & above)) * WIDTH
        x, y = load(work, at), load(work, at + step)
        store(work, at, c * x - s * y)
        store(work, at + step, s * x + c * y)


@compiled
def rotate_two(
    work: int, state: int, rows: int, a: int, ca: Lanes, sa: Lanes, b: int, cb: Lanes, sb: Lanes
) -> None:
    """Apply real rotations to two qubits of one plane in one pass."""
    near, far = WIDTH << min(a, b), WIDTH << max(a, b)
    if a > b:
        ca, sa, cb, sb = cb, sb, ca, sa
    above_near, above_far = _above(min(a, b)), _above(max(a, b))
    for i in range(rows >> 2):
        z = i + (i & above_near)
        at = state + (z + (z & above_far)) * WIDTH
        x0, x1 = load(work, at), load(work, at + near)
        x2, x3 = load(work, at + far), load(work, at + near + far)
        y0, y1, y2, y3 = ca * x0 - sa * x1, sa * x0 + ca * x1, ca * x2 - sa * x3, sa * x2 + ca * x3
        store(work, at, cb * y0 - sb * y2)
        store(work, at + near, cb * y1 - sb * y3)
        store(work, at + far, sb * y0 + cb * y2)
        store(work, at + near + far, sb * y1 + cb * y3)


@compiled
def grow(work: int, state: int, qubit: int, c: Lanes, s: Lanes) -> None:
    """Apply RY to a qubit that is |0> above all amplitudes that are not zero."""
    step = WIDTH << qubit
    for z in range(1 << qubit):
        at = state + z * WIDTH
        x = load(work, at)
        store(work, at, c * x)
        store(work, at + step, s * x)


@compiled
def undo_rotate(
    work: int, state: int, adjoint: int, rows: int, qubit: int, c: Lanes, s: Lanes, gradient: int
) -> None:
    """Take back `rotate` and add its gradient."""
    step = WIDTH << qubit
    total = load(work, gradient)
    aside = adjoint - state
    above = _above(qubit)
    for i in range(rows >> 1):
        at = state + (i + (i & above)) * WIDTH
        x, y = load(work, at), load(work, at + step)
        u, v = load(work, at + aside), load(work, at + aside + step)
        total = total + (v * x - u * y)
        store(work, at, c * x + s * y)
        store(work, at + step, c * y - s * x)
        store(work, at + aside, c * u + s * v)
        store(work, at + aside + step, c * v - s * u)
    store(work, gradient, total)


@compiled
def undo_rotate_two(
    work: int,
    state: int,
    adjoint: int,
    rows: int,
    a: int,
    ca: Lanes,
    sa: Lanes,
    gradient_a: int,
    b: int,
    cb: Lanes,
    sb: Lanes,
    gradient_b: int,
) -> None:
    """Take back `rotate_two` in one pass and add both gradients."""
    near, far = WIDTH << min(a, b), WIDTH << max(a, b)
    if a > b:
        ca, sa, cb, sb = cb, sb, ca, sa
        gradient_a, gradient_b = gradient_b, gradient_a
    total_a, total_b = splat(0.0), splat(0.0)
    above_near, above_far = _above(min(a, b)), _above(max(a, b))
    for i in range(rows >> 2):
        z = i + (i & above_near)
        at = state + (z + (z & above_far)) * WIDTH
        to = at - state + adjoint
        x0, x1 = load(work, at), load(work, at + near)
        x2, x3 = load(work, at + far), load(work, at + near + far)
        u0, u1 = load(work, to), load(work, to + near)
        u2, u3 = load(work, to + far), load(work, to + near + far)
        # Rotations of different qubits commute, so both gradients may be taken before either is undone.
        total_a = total_a + ((u1 * x0 - u0 * x1) + (u3 * x2 - u2 * x3))
        total_b = total_b + ((u2 * x0 - u0 * x2) + (u3 * x1 - u1 * x3))
        y0, y1, y2, y3 = ca * x0 + sa * x1, ca * x1 - sa * x0, ca * x2 + sa * x3, ca * x3 - sa * x2
        v0, v1, v2, v3 = ca * u0 + sa * u1, ca * u1 - sa * u0, ca * u2 + sa * u3, ca * u3 - sa * u2
        store(work, at, cb * y0 + sb * y2)
        store(work, at + near, cb * y1 + sb * y3)
        store(work, at + far, cb * y2 - sb * y0)
        store(work, at + near + far, cb * y3 - sb * y1)
        store(work, to, cb * v0 + sb * v2)
        store(work, to + near, cb * v1 + sb * v3)
        store(work, to + far, cb * v2 - sb * v0)
        store(work, to + near + far, cb * v3 - sb * v1)
    # One after the other: both qubits may turn by the same slot.
    store(work, gradient_a, load(work, gradient_a) + total_a)
    store(work, gradient_b, load(work, gradient_b) + total_b)


# RX, RXX and RYY: the real part of one amplitude turns into the imaginary part of its partner.


@compiled
def mix(work: int, state: int, plane: int, rows: int, mask: int, yy: int, c: Lanes, s: Lanes) -> None:
    """Apply ``exp(-i angle/2 P)`` with P the X on all qubits of `mask`, or YY."""
    high = _highest(mask)
    for z in range(rows):
        if z & high == 0:
            at, to = state + z * WIDTH, state + (z ^ mask) * WIDTH
            turn = -s if yy and z & mask == 0 else s  # YY|00> = -|11>, YY|01> = |10>
            xr, xi, yr, yi = load(work, at), load(work, at + plane), load(work, to), load(work, to + plane)
            store(work, at, c * xr + turn * yi)
            store(work, to + plane, c * yi - turn * xr)
            store(work, at + plane, c * xi - turn * yr)
            store(work, to, c * yr + turn * xi)


@compiled
def undo_mix(
    work: int,
    state: int,
    adjoint: int,
    plane: int,
    rows: int,
    mask: int,
    yy: int,
    c: Lanes,
    s: Lanes,
    gradient: int,
) -> None:
    """Take back `mix` and add its gradient."""
    high = _highest(mask)
    total = load(work, gradient)
    aside = adjoint - state
    for z in range(rows):
        if z & high == 0:
            at, to = state + z * WIDTH, state + (z ^ mask) * WIDTH
            turn = -s if yy and z & mask == 0 else s
            xr, xi, yr, yi = load(work, at), load(work, at + plane), load(work, to), load(work, to + plane)
            at, to = at + aside, to + aside
            ur, ui, vr, vi = load(work, at), load(work, at + plane), load(work, to), load(work, to + plane)
            part = (ur * yi - vi * xr) + (vr * xi - ui * yr)
            total = total - part if yy and z & mask == 0 else total + part
            store(work, at, c * ur - turn * vi)
            store(work, to + plane, c * vi + turn * ur)
            store(work, at + plane, c * ui + turn * vr)
            store(work, to, c * vr - turn * ui)
            at, to = at - aside, to - aside
            store(work, at, c * xr - turn * yi)
            store(work, to + plane, c * yi + turn * xr)
            store(work, at + plane, c * xi + turn * yr)
            store(work, to, c * yr - turn * xi)
    store(work, gradient, total)


@compiled
def _highest(mask: int) -> int:
    high = 1
    while high << 1 <= mask:
        high <<= 1
    return high


# Hadamards: their own inverse. Qubits are named by their bits, ascending.


@compiled
def hadamards(work: int, state: int, rows: int, mask: int) -> None:
    """Apply H to all qubits of `mask` on one plane, four qubits a pass while there are as many."""
    while mask:
        a = mask & -mask
        b = (mask ^ a) & -(mask ^ a)
        c = (mask ^ a ^ b) & -(mask ^ a ^ b)
        d = (mask ^ a ^ b ^ c) & -(mask ^ a ^ b ^ c)
        if d:
            _hadamard_four(work, state, rows, a, b, c, d)
            mask ^= a | b | c | d
        elif b:
            _hadamard_two(work, state, rows, a, b)
            mask ^= a | b
        else:
            _hadamard_one(work, state, rows, a)
            mask ^= a


@compiled
def _hadamard_one(work: int, state: int, rows: int, a: int) -> None:
    step, scale = WIDTH * a, splat(_ROOT_HALF)
    for i in range(rows >> 1):
        at = state + (i + (i & -a)) * WIDTH
        x, y = load(work, at), load(work, at + step)
        store(work, at, scale * (x + y))
        store(work, at + step, scale * (x - y))


@compiled
def _hadamard_two(work: int, state: int, rows: int, a: int, b: int) -> None:
    near, far, scale = WIDTH * a, WIDTH * b, splat(0.5)
    for i in range(rows >> 2):
        z = i + (i & -a)
        at = state + (z + (z & -b)) * WIDTH
        y0, y1, y2, y3 = _sums(
            load(work, at), load(work, at + near), load(work, at + far), load(work, at + near + far)
        )
        store(work, at, scale * y0)
        store(work, at + near, scale * y1)
        store(work, at + far, scale * y2)
        store(work, at + near + far, scale * y3)


@compiled
def _hadamard_four(work: int, state: int, rows: int, a: int, b: int, c: int, d: int) -> None:
    near, far, third, fourth = WIDTH * a, WIDTH * b, WIDTH * c, WIDTH * d
    for i in range(rows >> 4):
        z = i + (i & -a)
        z += z & -b
        z += z & -c
        at = state + (z + (z & -d)) * WIDTH
        q0, q1, q2, q3 = at, at + third, at + fourth, at + third + fourth
        # Two qubits in each quarter, then the other two between like places of the quarters.
        w0, w1, w2, w3 = _sums(
            load(work, q0), load(work, q0 + near), load(work, q0 + far), load(work, q0 + near + far)
        )
        x0, x1, x2, x3 = _sums(
            load(work, q1), load(work, q1 + near), load(work, q1 + far), load(work, q1 + near + far)
        )
        y0, y1, y2, y3 = _sums(
            load(work, q2), load(work, q2 + near), load(work, q2 + far), load(work, q2 + near + far)
        )
        z0, z1, z2, z3 = _sums(
            load(work, q3), load(work, q3 + near), load(work, q3 + far), load(work, q3 + near + far)
        )
        _put_sums(work, at, third, fourth, w0, x0, y0, z0)
        _put_sums(work, at + near, third, fourth, w1, x1, y1, z1)
        _put_sums(work, at + far, third, fourth, w2, x2, y2, z2)
        _put_sums(work, at + near + far, third, fourth, w3, x3, y3, z3)


@compiled
def _put_sums(work: int, at: int, near: int, far: int, x0: Lanes, x1: Lanes, x2: Lanes, x3: Lanes) -> None:
    """Store a quarter of the Hadamard transform of two qubits."""
    scale = splat(0.25)
    y0, y1, y2, y3 = _sums(x0, x1, x2, x3)
    store(work, at, scale * y0)
    store(work, at + near, scale * y1)
    store(work, at + far, scale * y2)
    store(work, at + near + far, scale * y3)


@compiled
def _sums(x0: Lanes, x1: Lanes, x2: Lanes, x3: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """Return the Hadamard transform of two qubits, not yet halved."""
    y0, y1, y2, y3 = x0 + x1, x0 - x1, x2 + x3, x2 - x3
    return y0 + y2, y1 + y3, y0 - y2, y1 - y3


# Monomial runs.


@compiled
def start_phases(
    work: int, state: int, plane: int, rows: int, re: int, im: int, low: int, bits: int, scale: float
) -> None:
    """Set the state to ``scale * exp(i Phi)``; row ``(z >> low) mod 2**bits`` of (re, im) holds it."""
    mask = (1 << bits) - 1
    factor = splat(scale)
    for z in range(rows):
        r = ((z >> low) & mask) * WIDTH
        store(work, state + z * WIDTH, factor * load(work, re + r))
        store(work, state + plane + z * WIDTH, factor * load(work, im + r))


@compiled
def turn_phases(
    work: int, state: int, plane: int, rows: int, re: int, im: int, low: int, bits: int, sign: float
) -> None:
    """Multiply the state by ``exp(sign * i Phi)``."""
    mask = (1 << bits) - 1
    factor = splat(sign)
    for z in range(rows):
        r = ((z >> low) & mask) * WIDTH
        c, s = load(work, re + r), factor * load(work, im + r)
        at = state + z * WIDTH
        x, y = load(work, at), load(work, at + plane)
        store(work, at, c * x - s * y)
        store(work, at + plane, s * x + c * y)


@compiled
def phase_gradient(work: int, state: int, adjoint: int, plane: int, rows: int, out: int) -> None:
    """Write d loss / d Phi(z) to the rows at `out`."""
    for z in range(0, rows * WIDTH, WIDTH):
        x, y = load(work, state + z), load(work, state + plane + z)
        u, v = load(work, adjoint + z), load(work, adjoint + plane + z)
        store(work, out + z, v * x - u * y)


@compiled
def turn_octants(
    work: int, state: int, plane: int, planes: int, rows: int, tables: int, table: int, sign: int
) -> None:
    """Multiply amplitude z by ``exp(sign * i pi/4 * table[z])``."""
    root = splat(_ROOT_HALF)
    for z in range(rows):
        octant = (sign * integer(tables, table + z)) & 7
        if octant == 0:
            continue
        at = state + z * WIDTH
        x = load(work, at)
        if planes == 1:  # a real circuit has octants 0 and 4 only
            store(work, at, -x)
            continue
        y = load(work, at + plane)
        if octant & 1:
            x, y = root * (x - y), root * (x + y)
        if octant & 2:
            x, y = -y, x
        if octant & 4:
            x, y = -x, -y
        store(work, at, x)
        store(work, at + plane, y)


@compiled
def permute(work: int, source: int, target: int, rows: int, tables: int, table: int) -> None:
    """Move row z of one plane to row ``table[z]`` of another."""
    for z in range(rows):
        store(work, target + integer(tables, table + z) * WIDTH, load(work, source + z * WIDTH))


@compiled
def undo_permute(work: int, source: int, target: int, rows: int, tables: int, table: int) -> None:
    """Move row ``table[z]`` of one plane to row z of another."""
    for z in range(rows):
        store(work, target + z * WIDTH, load(work, source + integer(tables, table + z) * WIDTH))


# Constant unitaries.


@compiled
def unitary(
    work: int,
    state: int,
    plane: int,
    planes: int,
    rows: int,
    a: int,
    b: int,
    matrices: int,
    matrix: int,
    spare: int,
) -> None:
    """Apply a constant matrix to qubit a, or to qubits (a, b) where b >= 0; `spare` holds 8 lanes."""
    low, high = 1 << a, (1 << b if b >= 0 else 0)
    side = 4 if b >= 0 else 2
    for z in range(rows):
        if z & (low | high):
            continue
        for i in range(side):
            at = state + (z | (low if i & 1 else 0) | (high if i & 2 else 0)) * WIDTH
            store(work, spare + i * WIDTH, load(work, at))
            if planes == 2:
                store(work, spare + (side + i) * WIDTH, load(work, at + plane))
        for i in range(side):
            at = state + (z | (low if i & 1 else 0) | (high if i & 2 else 0)) * WIDTH
            x, y = splat(0.0), splat(0.0)
            for j in range(side):
                entry = matrix + 2 * (i * side + j)
                c, s = splat(number(matrices, entry)), splat(number(matrices, entry + 1))
                u = load(work, spare + j * WIDTH)
                if planes == 2:
                    v = load(work, spare + (side + j) * WIDTH)
                    x = x + (c * u - s * v)
                    y = y + (s * u + c * v)
                else:
                    x = x + c * u
            store(work, at, x)
            if planes == 2:
                store(work, at + plane, y)
