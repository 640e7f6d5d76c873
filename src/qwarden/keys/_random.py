"""Random words inside compiled loops, and draws from a table in constant time.

SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): the state only ever grows by a constant, so that the words of
many draws are made side by side by the processor. Good statistics, no secrecy: what is simulated here is
never a key of a production link.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined

Words = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Int: TypeAlias = int | np.int64
"""An integer inside and outside compiled code."""

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
FRACTION = np.uint64(12)
"""A word shifted right by so many bits is a fraction of `WHOLE`; the bits below serve another choice."""
WHOLE = 2.0**52


def stream(seed: int, *branch: int) -> np.uint64:
    """Return where a stream of words begins; streams of different branches are independent."""
    return np.uint64(np.random.SeedSequence([seed, *branch]).generate_state(1, np.uint64)[0])


def threshold(probability: float) -> np.uint64:
    """Return the number that a random fraction is below with the given chance."""
    return np.uint64(round(min(max(probability, 0.0), 1.0) * WHOLE))


@inlined
def word(state: np.uint64) -> np.uint64:
    """Return the random word that belongs to a state; the caller adds `STEP` to it before each draw."""
    z = (state ^ (state >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))


@inlined
def pick(random: np.uint64, least: Words, other: IntArray) -> Int:
    """Return a row of an alias table, drawn by one random word."""
    cell = np.int64(random & np.uint64(least.size - 1))
    return cell if (random >> FRACTION) < least[cell] else np.int64(other[cell])


@compiled
def alias_table(weights: FloatArray) -> tuple[Words, IntArray]:
    """Return Walker's alias table of `weights` (not all 0), a power of two long, for `pick`.

    Source: Vose, IEEE Trans. Softw. Eng. 17, 972 (1991).
    """
    cells = 1
    while cells < weights.size:
        cells *= 2
    share = np.zeros(cells)
    share[: weights.size] = weights * (cells / weights.sum())
    other = np.arange(cells)
    small, large = np.empty(cells, np.int64), np.empty(cells, np.int64)
    smalls = larges = 0
    for cell in range(cells):
        if share[cell] < 1.0:
            small[smalls] = cell
            smalls += 1
        else:
            large[larges] = cell
            larges += 1
    while smalls and larges:
        smalls -= 1
        cell, donor = small[smalls], large[larges - 1]
        other[cell] = donor
        share[donor] -= 1.0 - share[cell]
        if share[donor] < 1.0:
            larges -= 1
            small[smalls] = donor
            smalls += 1
    # What is left over is 1 but for rounding.
    for place in range(smalls):
        share[small[place]] = 1.0
    least = np.empty(cells, np.uint64)
    for cell in range(cells):
        least[cell] = np.uint64(min(share[cell], 1.0) * WHOLE)
    return least, other
