"""Kernel-target alignment: how much a kernel looks like the labels, and how to make it more so.

The alignment of a kernel K with labels y is the cosine of the centred K and the centred ``y y^T``. It
needs no machine to be trained and it is differentiable, so a feature map's parameters can climb it.

Sources: Cortes, Mohri & Rostamizadeh 2012, "Algorithms for learning kernels based on centered alignment";
Hubregtsen et al 2022, "Training quantum embedding kernels on near-term quantum computers".
"""

from __future__ import annotations

import numpy as np

from qwarden.quantum.circuit import ComplexArray, FloatArray


def alignment_and_cotangent(
    states: ComplexArray, signs: FloatArray, weights: FloatArray
) -> tuple[float, ComplexArray]:
    """Return the centred alignment of the fidelity kernel with labels, and its cotangent.

    Parameters
    ----------
    states : shape (n, 2**q).
    signs : shape (n,), +1 or -1.
    weights : shape (n,), not negative: a row of weight 2 counts as two.

    Returns
    -------
    The alignment, between -1 and 1, and a complex array of the shape of `states`: the alignment changes
    by ``Re sum conj(cotangent) * dS``, as `StateBackend.states_and_pullback` expects. Both are 0 where
    only one class has weight, or all states are alike.

    >>> import numpy as np
    >>> plane = np.eye(2, dtype=complex)[[0, 0, 1, 1]]
    >>> alignment, cotangent = alignment_and_cotangent(plane, np.array([1, 1, -1, -1]), np.ones(4))
    >>> round(alignment, 12)
    1.0
    """
    share = weights / weights.sum()
    overlaps = states.conj() @ states.T
    kernel = overlaps.real**2 + overlaps.imag**2
    means = kernel @ share
    kernel += share @ means - means[:, None] - means
    labels = signs - share @ signs
    pull = share * labels
    size, spread = float(np.sqrt(share @ kernel**2 @ share)), float(pull @ labels)
    if size < 1e-12 or spread < 1e-12:
        return 0.0, np.zeros_like(states)
    alignment = float(pull @ kernel @ pull) / (size * spread)
    # d alignment / d K: centring leaves it as it is, because both terms are centred already.
    slope = np.outer(pull, pull) / (size * spread) - np.outer(share, share) * kernel * (alignment / size**2)
    return alignment, 4.0 * (slope * overlaps).T @ states
