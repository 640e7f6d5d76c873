"""Whether two engines sample the same distribution: chi-square tests on all that their blocks hold."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2_contingency

from qwarden.keys.physics import Transmission
from qwarden.keys.records import Preparations

FEWEST = 20
"""Rarer outcomes, of both samples together, are taken as one."""


def p_values(one: Transmission, other: Transmission) -> dict[str, float]:
    """Return the p value of each comparison of two blocks."""
    first, second = tables(one), tables(other)
    return {name: homogeneity(first[name], second[name]) for name in first}


def tables(block: Transmission) -> dict[str, np.ndarray]:
    """Return counts of everything in a block that should be distributed alike."""
    bob, alice = block.bob, block.alice
    found = {
        "clicks": np.array([bob.index.size, bob.pulses - bob.index.size]),
        "gaps": np.bincount(np.minimum(np.diff(bob.index), 300), minlength=301),
        "slots": np.bincount((bob.slot.astype(int) * 2 + bob.bit) * 2 + bob.double, minlength=64),
    }
    if isinstance(alice, Preparations):
        wrong = alice.bit ^ bob.bit
        cells = ((alice.intensity.astype(int) * 2 + alice.basis) * 2 + bob.basis) * 2 + wrong
        found["counts and errors"] = np.bincount(cells, minlength=24)
        found["sent"] = block.sent.ravel()
    else:
        _, ours, theirs = np.intersect1d(alice.index, bob.index, return_indices=True)
        wrong = alice.bit[ours] ^ bob.bit[theirs]
        cells = (alice.basis[ours].astype(int) * 4 + bob.basis[theirs]) * 2 + wrong
        found["counts and errors"] = np.bincount(cells, minlength=16)
        found["coincidences"] = np.array([ours.size, alice.index.size, bob.index.size])
    return found


def homogeneity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p value that two rows of counts come from one distribution."""
    counts = np.array([first, second])
    rare = counts.sum(axis=0) < FEWEST
    counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    counts = counts[:, counts.sum(axis=0) > 0]
    return float(chi2_contingency(counts)[1]) if counts.shape[1] > 1 else 1.0
