"""What to look at before a quantum model is trained: can it learn, and could a classical one do the same?

`gradient_variance` asks whether a circuit's loss has a slope to go down, `kernel_concentration` whether a
kernel tells rows apart, `geometric_difference` whether a classical kernel sees the rows much the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.learn.base import Floats
from qwarden.quantum import Circuit, LocalBackend, PauliSum

if TYPE_CHECKING:
    from qwarden.quantum.backend import Backend

_ZERO: Final = 1e-7
_BANDWIDTHS: Final = (0.1, 1.0, 10.0)


# -- gradients ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GradientVariance:
    """How much the slopes of an expectation value vary over random angles."""

    variances: Floats
    """Of the derivative by each angle column, (columns,)."""
    samples: int
    """Random rows of angles."""

    @property
    def mean(self) -> float:
        """Mean variance of the columns."""
        return float(self.variances.mean())

    @property
    def largest(self) -> float:
        """Variance of the steepest column."""
        return float(self.variances.max())


def gradient_variance(
    circuit: Circuit,
    observable: PauliSum,
    *,
    seed: int,
    samples: int = 1000,
    backend: Backend | None = None,
) -> GradientVariance:
    """Measure the variance of an expectation value's derivatives over uniformly random angles.

    Compare circuits of several sizes: a barren plateau shows as a variance that falls exponentially with
    the number of qubits.

    Parameters
    ----------
    circuit : its angle columns are drawn from all around the circle.
    observable : what is read out.
    seed, samples : of the draws; samples at least 2.
    backend : computes gradients; the local simulator by default.

    Raises
    ------
    UsageError
        The circuit has no angle columns, or fewer than two samples are asked for.

    Source: McClean et al 2018, "Barren plateaus in quantum neural network training landscapes", eq. (4)-(5).

    Examples
    --------
    >>> from qwarden.quantum import real_amplitudes
    >>> four, eight = (gradient_variance(real_amplitudes(q, 6), PauliSum.z(0), seed=0) for q in (4, 8))
    >>> four.mean > 2 * eight.mean
    True
    """
    if not circuit.columns or samples < 2:
        raise UsageError("a gradient's variance needs angle columns and at least two samples")
    angles = np.random.default_rng(seed).uniform(-math.pi, math.pi, (samples, circuit.columns))
    machine = backend or LocalBackend()
    values, pullback = machine.expectations_and_pullback(circuit, angles, [observable])
    return GradientVariance(pullback(np.ones_like(values)).var(axis=0, ddof=1), samples)


# -- kernels -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KernelConcentration:
    """How a kernel's entries off the diagonal lie, beside those of states drawn by chance."""

    mean: float
    variance: float
    random_mean: float
    """``1 / 2**q``: the mean fidelity of two states drawn uniformly from all."""
    random_variance: float
    """The variance of that fidelity."""

    @property
    def shots(self) -> float:
        """Runs a quantum processor needs to tell an entry from the mean by one standard deviation."""
        return self.mean * (1.0 - self.mean) / self.variance if self.variance > 0.0 else math.inf

    @property
    def concentrated(self) -> bool:
        """Whether the entries vary no more than those of random states, so that all rows look alike."""
        return self.variance <= self.random_variance


def kernel_concentration(kernel: Floats, qubits: int) -> KernelConcentration:
    """Measure how far a fidelity kernel has concentrated.

    Parameters
    ----------
    kernel : of different rows, square and symmetric, ones on its diagonal, (n, n), n at least 3.
    qubits : of the states.

    Raises
    ------
    UsageError
        The matrix is not square or too small.

    Source: Thanasilp, Wang, Cerezo & Holmes 2024, "Exponential concentration in quantum kernel methods",
    definition 1; for random states Zyczkowski & Sommers 2005, "Average fidelity between random quantum
    states": the fidelity has the density ``(N - 1)(1 - f)**(N - 2)`` with N = 2**q.

    Examples
    --------
    >>> kernel = np.full((4, 4), 0.25) + 0.75 * np.eye(4)
    >>> found = kernel_concentration(kernel, 2)
    >>> found.mean, found.random_mean, found.concentrated
    (0.25, 0.25, True)
    """
    table = _square(kernel)
    if len(table) < 3:
        raise UsageError(f"a kernel of {len(table)} rows has no spread: expected 3 or more")
    off = table[np.triu_indices(len(table), 1)]
    size = float(1 << qubits)
    return KernelConcentration(
        mean=float(off.mean()),
        variance=float(off.var()),
        random_mean=1.0 / size,
        random_variance=(size - 1.0) / (size**2 * (size + 1.0)),
    )


@dataclass(frozen=True, slots=True)
class GeometricDifference:
    """How differently a quantum kernel and classical ones see the same rows.

    A model with the classical kernel needs at most about ``difference**2`` times the rows that one with
    the quantum kernel needs, whatever the labels are. Far below the square root of the number of rows, no
    labels let the quantum kernel win by much; near it or above, some labels do.
    """

    best: str
    """The classical kernel that comes nearest."""
    difference: float
    """Its g(classical || quantum)."""
    differences: Mapping[str, float]
    """Of every classical kernel."""
    rows: int
    ridge: float

    @property
    def promising(self) -> bool:
        """Whether the difference reaches the square root of the number of rows."""
        return self.difference >= math.sqrt(self.rows)


def geometric_difference(
    quantum: Floats, classical: Mapping[str, Floats], ridge: float = 1e-3
) -> GeometricDifference:
    """Compare a quantum kernel with the best of several classical ones.

    Of kernels scaled to a trace of n, g(C || Q) is the square root of the largest eigenvalue of
    ``sqrt(Q) (C + ridge)^-1 sqrt(Q)``. The inverse is ``C (C + ridge)^-2 + ridge (C + ridge)^-2``: the
    complexity that the classical machine needs, and the training error that it leaves. (The source's
    regularised g is the first alone, to be read beside the second: a classical kernel of low rank is
    simple, and wrong.)

    Parameters
    ----------
    quantum : the quantum kernel of n rows, (n, n).
    classical : classical kernels of the same rows by name, for instance `classical_kernels`.
    ridge : regularisation of the classical machine, relative to a mean eigenvalue of 1.

    Raises
    ------
    UsageError
        No classical kernel, matrices of different shape, or a negative ridge.

    Source: Huang et al 2021, "Power of data in quantum machine learning", eq. (5); on regularisation
    appendix F of its arXiv version 2011.01938.

    Examples
    --------
    >>> kernel = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> round(geometric_difference(kernel, {"the same": kernel}, ridge=0.0).difference, 6)
    1.0
    """
    if not classical or ridge < 0.0:
        raise UsageError("a geometric difference needs a classical kernel, and a ridge of 0 or more")
    values, vectors = _spectrum(quantum)
    root = (vectors * np.sqrt(values)) @ vectors.T
    found = {}
    for name, kernel in classical.items():
        own, axes = _spectrum(kernel)
        if len(own) != len(values):
            raise UsageError(f"kernel {name!r} has {len(own)} rows, the quantum kernel {len(values)}")
        image, weights = root @ axes, own + ridge
        seen = weights > 0.0
        if np.linalg.norm(image[:, ~seen]) > _ZERO:
            found[name] = math.inf
        else:
            found[name] = float(np.linalg.norm(image[:, seen] / np.sqrt(weights[seen]), 2))
    best = min(found, key=lambda name: found[name])
    return GeometricDifference(best, found[best], found, len(values), ridge)


def classical_kernels(X: npt.ArrayLike) -> dict[str, Floats]:
    """Return usual kernels of rows (n, d): linear, quadratic, and Gaussian of three bandwidths.

    The Gaussian's gamma is 0.1, 1 and 10 times 1 / (d * variance of X).

    Examples
    --------
    >>> sorted(classical_kernels([[0.0], [1.0]]))
    ['gaussian 0.1', 'gaussian 1', 'gaussian 10', 'linear', 'quadratic']
    """
    rows = np.asarray(X, np.float64)
    products = rows @ rows.T
    squares = np.diag(products)
    scale = rows.shape[1] * (float(rows.var()) or 1.0)
    distances = np.maximum(squares[:, None] + squares - 2.0 * products, 0.0) / scale
    kernels = {"linear": products, "quadratic": (products / scale + 1.0) ** 2}
    kernels |= {f"gaussian {width:g}": np.exp(-width * distances) for width in _BANDWIDTHS}
    return kernels


def _spectrum(kernel: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues, scaled to a mean of 1 and none below 0, and eigenvectors."""
    table = _square(kernel)
    trace = float(np.trace(table))
    if not trace > 0.0:
        raise UsageError(f"a kernel has a positive trace, not {trace}")
    values, vectors = np.linalg.eigh((table + table.T) * (0.5 * len(table) / trace))
    values[values < _ZERO**2 * len(values)] = 0.0  # what rounding leaves of an eigenvalue 0
    return values, vectors


def _square(kernel: Floats) -> Floats:
    table = np.asarray(kernel, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise UsageError(f"a kernel is a square matrix, not of shape {table.shape}")
    return table
