"""Find the degrees of `keys/reconciliation/codes.py`: density evolution and linear programs.

For a QBER and checks of a given width, the shares of edges at columns of each degree are changed step by
step so that fewer checks are needed, as long as density evolution still ends without errors: within a step
the error rate that a column of each degree hands on is taken from the last run, which makes the question
linear (Richardson, Shokrollahi, Urbanke, IEEE Trans. Inf. Theory 47, 619 (2001)). Run it as
``python bench/keys/design_ldpc.py``: one line of JSON a design, minutes of one core.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

Array = npt.NDArray[np.float64]

STEP: Final = 0.08
HALF: Final = 310
"""Log-likelihood ratios are multiples of `STEP`, up to `HALF` of them to either side."""
DEGREES: Final = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 24, 28, 33)
TASKS: Final = (
    (0.0075, 36, 7.5), (0.0115, 36, 7), (0.018, 36, 6.5), (0.035, 28, 5.6), (0.06, 24, 5), (0.1, 20, 4.6)
)  # fmt: skip
"""QBER, largest degree, and mean degree at f = 1.05, which sets how wide checks are."""
STABLE: Final = 0.6
"""Edges at columns of degree 2, of what the stability condition allows: with more, short cycles of them are
codewords of low weight."""
PROGRESS: Final = 0.995
"""Of the error rate that is left at most from one iteration to the next."""
SMALL: Final = 1e-6


def joined() -> npt.NDArray[np.int32]:
    """Return what two magnitudes join to in a check, all in steps."""
    a, b = np.meshgrid(*(STEP * np.arange(HALF + 1),) * 2, indexing="ij")
    exact = np.minimum(a, b) + np.log1p(np.exp(-(a + b))) - np.log1p(np.exp(-np.abs(a - b)))
    found: npt.NDArray[np.int32] = np.maximum(0, np.rint(exact / STEP)).astype(np.int32)
    return found


TABLE: Final = joined()


@numba.njit(cache=False)
def join(s1: Array, d1: Array, s2: Array, d2: Array, table: npt.NDArray[np.int32]) -> tuple[Array, Array]:
    """Join two messages, each given by P(+x) + P(-x) and P(+x) - P(-x) for each magnitude x."""
    s, d = np.zeros(s1.size), np.zeros(s1.size)
    for i in range(s1.size):
        if s1[i] > 1e-30:
            for j in range(s1.size):
                s[table[i, j]] += s1[i] * s2[j]
                d[table[i, j]] += d1[i] * d2[j]
    return s, d


def check(message: Array, width: float) -> Array:
    """Return what checks of a mean width send, half of them the next whole number wide, and so on."""
    low = math.floor(width)
    s, d = message[HALF:] + message[HALF::-1], message[HALF:] - message[HALF::-1]
    s[0] = message[HALF]
    power, found = (s, d), None
    for bit in reversed(bin(low - 1)[2:]):
        if bit == "1":
            found = power if found is None else join(*found, *power, TABLE)
        power = join(*power, *power, TABLE)
    assert found is not None
    wider = join(*found, s, d, TABLE)
    share = (width - low) * (low + 1) / width
    s, d = ((1 - share) * one + share * other for one, other in zip(found, wider, strict=True))
    sent = np.zeros(2 * HALF + 1)
    sent[HALF:], sent[HALF::-1] = (s + d) / 2, (s - d) / 2
    sent[HALF] = s[0]
    return sent


def added(one: Array, transformed: npt.NDArray[np.complex128]) -> Array:
    """Convolve two messages; what goes beyond the ends stays there."""
    size = 4 * HALF + 10
    full = np.maximum(np.fft.irfft(np.fft.rfft(one, size) * transformed, size)[: 4 * HALF + 1], 0)
    found = full[HALF : 3 * HALF + 1].copy()
    found[0] += full[:HALF].sum()
    found[-1] += full[3 * HALF + 1 :].sum()
    return found


def wrong(message: Array) -> float:
    """Return how likely a message is to be wrong."""
    return float(message[:HALF].sum() + message[HALF] / 2)


def channel(qber: float) -> Array:
    """Return what the channel says of a place."""
    message = np.zeros(2 * HALF + 1)
    whole = math.log((1 - qber) / qber) / STEP
    k = int(whole)
    for at, share in ((k, 1 - (whole - k)), (k + 1, whole - k)):
        message[HALF + at] += (1 - qber) * share
        message[HALF - at] += qber * share
    return message


def evolve(qber: float, shares: Array, width: float, degrees: Sequence[int]) -> tuple[bool, Array, Array]:
    """Return whether errors vanish, their rate at each iteration, and what each degree hands on there."""
    first = channel(qber)
    message, rates, handed = first, [wrong(first)], []
    for _ in range(600):
        transformed = np.fft.rfft(check(message, width), 4 * HALF + 10)
        column, message = first, np.zeros_like(first)
        handed.append(np.empty(len(degrees)))
        for degree in range(2, degrees[-1] + 1):
            column = added(column, transformed)
            if degree in degrees:
                handed[-1][degrees.index(degree)] = wrong(column)
                message += shares[degrees.index(degree)] * column
        message /= message.sum()
        rates.append(wrong(message))
        if rates[-1] < SMALL or rates[-1] > rates[-2] * (1 - 3e-4):
            break
    return rates[-1] < SMALL, np.array(rates[:-1]), np.array(handed)


def design(qber: float, most: int, mean: float) -> dict[str, Any]:
    """Return the shares of edges by degree and the checks a place, the fewest found."""
    entropy = -qber * math.log2(qber) - (1 - qber) * math.log2(1 - qber)
    width = mean / (1.05 * entropy)
    degrees = [degree for degree in DEGREES if degree <= most]
    inverse = 1 / np.array(degrees)
    twos = STABLE / ((width - 1) * 2 * math.sqrt(qber * (1 - qber)))
    shares, rates, handed = begin(qber, width, degrees, twos, entropy)
    trust = 0.3
    while trust > 0.004:
        found = improve(shares, rates, handed, inverse, twos, trust)
        if found is None or not (run := evolve(qber, found, width, degrees))[0]:
            trust /= 2
            continue
        gain = (found - shares) @ inverse / (shares @ inverse)
        shares, (_, rates, handed) = found, run
        if gain < 2e-5:
            break
    ratio = 1 / (width * (shares @ inverse))
    kept = {
        degree: round(float(share), 3)
        for degree, share in zip(degrees, shares, strict=True)
        if share >= 0.005
    }
    return {"qber": qber, "f": ratio / entropy, "ratio": round(float(ratio), 4), "edges": kept}


def begin(
    qber: float, width: float, degrees: list[int], twos: float, entropy: float
) -> tuple[Array, Array, Array]:
    """Return shares that work, if badly: as much of the largest degree as it takes."""
    base = np.zeros(len(degrees))
    base[0], base[1] = 0.7 * twos, 0.32
    base[degrees.index(9)] = 1 - base.sum()
    for top in np.arange(0.1, 0.8, 0.1):
        shares = (1 - top) * base
        shares[-1] += top
        if 1 / (width * (shares @ (1 / np.array(degrees)))) >= 1.12 * entropy:
            done, rates, handed = evolve(qber, shares, width, degrees)
            if done:
                return shares, rates, handed
    raise SystemExit(f"no start at {qber:g}")


def improve(
    shares: Array, rates: Array, handed: Array, inverse: Array, twos: float, trust: float
) -> Array | None:
    """Return shares near the last that need the fewest checks, by what the last run says."""
    n = shares.size
    one = np.eye(n)
    limits = np.vstack([
        np.hstack([handed / rates[:, None], np.zeros_like(handed)]),
        np.hstack([one, -one]),
        np.hstack([-one, -one]),
        np.r_[np.zeros(n), np.ones(n)],
    ])  # fmt: skip
    found = linprog(
        np.r_[-inverse, np.zeros(n)],
        A_ub=limits,
        b_ub=np.concatenate([np.full(rates.size, PROGRESS), shares, -shares, [trust]]),
        A_eq=np.r_[np.ones(n), np.zeros(n)][None],
        b_eq=[1],
        bounds=[(0, twos), *[(0, 1)] * (n - 1), *[(0, None)] * n],
    )
    if found.status:
        return None
    best = np.maximum(found.x[:n], 0)
    best[best < 1e-5] = 0
    found_shares: Array = best / best.sum()
    return found_shares


if __name__ == "__main__":
    for task in TASKS:
        print(json.dumps(design(*task)), flush=True)
