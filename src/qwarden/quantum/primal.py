"""Linear machines on density matrices, trained in the primal without forming their feature space.

The fidelity of two pure states is the inner product of their density matrices. So every kernel machine of
the fidelity is one Hermitian matrix, ``f(phi) = <phi|M|phi> + b``, with 4**q real coefficients whatever
the number of rows; and ``||M||^2`` (Frobenius) is the norm that the dual penalises. `train_form` looks for
M itself: minimise ::

    sum_i w_i loss(f(phi_i), y_i) + ridge * n * ||M||^2

by Newton's method. Its cost is linear in the rows. A step is solved in one of two ways:

- ``direct``: the normal equations of the real features (`density_features`), which exist for one block
  of rows at a time. Only rows that enter or leave the margin change them.
- ``cg``: conjugate gradients. A product with the Hessian is two passes of matrix products over the
  states, ``V -> sum_i w_i <phi_i|V|phi_i> |phi_i><phi_i|``, so features exist nowhere.

Sources: Chapelle 2007, "Training a support vector machine in the primal", section 4 (squared hinge by
Newton's method); Schuld 2021, "Supervised quantum machine learning models are kernel methods", eq. (23).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled_fast
from qwarden.core.errors import UsageError
from qwarden.quantum.circuit import ComplexArray, FloatArray
from qwarden.quantum.kernels import evaluate_form, observable_form

Loss = Literal["squared_hinge", "ridge"]
Method = Literal["auto", "direct", "cg"]
Bools = npt.NDArray[np.bool_]

DIRECT_DIMENSION = 32
"""``auto`` takes normal equations up to states of this dimension: q = 5, 1024 features."""

_BLOCK = 2048
_PASSES = 60
_CG_STEPS = 300
_CG_SHARE = 0.1  # how far conjugate gradients go before the margins are looked at again


@dataclass(frozen=True, slots=True)
class TrainedForm:
    """What `train_form` found."""

    form: ComplexArray
    """M, Hermitian, (2**q, 2**q)."""
    bias: float
    steps: int
    """Newton steps taken."""
    products: int
    """Products with the Hessian; 0 where the normal equations were solved."""
    gradient: float
    """Norm of the gradient at the end, as a share of that at the start."""


def density_features(states: ComplexArray) -> FloatArray:
    """Return the real features whose inner products are fidelities, shape (n, 4**q).

    Feature by feature: ``|phi_a|^2`` for each a, then for each pair a < b ``sqrt(2)`` times the real and
    the imaginary part of ``phi_a conj(phi_b)``.

    Parameters
    ----------
    states : shape (n, 2**q).

    >>> import numpy as np
    >>> F = density_features(np.array([[1, 0], [1, 1j]]) / np.array([[1], [2**0.5]]))
    >>> (F @ F.T).round(12).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    states = np.ascontiguousarray(states, np.complex128)
    return _weighted_features(states, np.ones(len(states)))[:-1].T


def train_form(
    states: ComplexArray,
    signs: FloatArray,
    *,
    ridge: float,
    weights: FloatArray | None = None,
    loss: Loss = "squared_hinge",
    method: Method = "auto",
    tolerance: float = 1e-4,
) -> TrainedForm:
    """Train ``f(phi) = <phi|M|phi> + b`` on labelled states; the bias is not penalised.

    Parameters
    ----------
    states : shape (n, 2**q).
    signs : shape (n,), +1 or -1.
    ridge : penalty on ``||M||^2``, relative to a loss averaged over the rows.
    weights : shape (n,), not negative; ones by default.
    loss : ``squared_hinge``, or ``ridge`` (squared error to the sign).
    method : ``direct``, ``cg``, or ``auto``: normal equations up to `DIRECT_DIMENSION`.
    tolerance : stop where the gradient's norm is this share of the first.

    Raises
    ------
    UsageError : shapes that do not fit, `ridge` not positive, or an unknown loss or method.

    >>> import numpy as np
    >>> found = train_form(np.eye(2, dtype=complex), np.array([1.0, -1.0]), ridge=1e-6)
    >>> evaluate_form(found.form, np.eye(2)).round(3).tolist()
    [1.0, -1.0]
    """
    problem = _problem(states, signs, weights, ridge, loss)
    if method not in ("auto", "direct", "cg"):
        raise UsageError(f"unknown method {method!r}: expected auto, direct or cg")
    direct = method == "direct" or (method == "auto" and problem.dimension <= DIRECT_DIMENSION)
    solver = _NormalEquations(problem) if direct else _ConjugateGradients(problem)
    at = _Point(np.zeros((problem.dimension,) * 2, np.complex128), 0.0, np.zeros(len(problem.states)))
    slope = problem.downhill(at)
    first, steps = slope.norm, 0
    while slope.norm > tolerance * first and steps < _PASSES:
        at = problem.search(at, solver.step(problem.active(at.margins), slope), slope)
        slope, steps = problem.downhill(at), steps + 1
    return TrainedForm(at.form, at.bias, steps, solver.products, slope.norm / (first or 1.0))


class _Direction(NamedTuple):
    """A change of a machine, or minus the gradient."""

    form: ComplexArray
    bias: float

    @property
    def norm(self) -> float:
        return float(np.sqrt(_inner(self.form, self.form) + self.bias**2))


class _Point(NamedTuple):
    """A machine and its value at every row."""

    form: ComplexArray
    bias: float
    margins: FloatArray


@dataclass(frozen=True, slots=True)
class _Problem:
    """The objective (half of it, so that its Hessian is a plain sum) and its gradient."""

    states: ComplexArray
    signs: FloatArray
    weights: FloatArray
    penalty: float
    hinge: bool

    @property
    def dimension(self) -> int:
        return int(self.states.shape[1])

    def values(self, form: ComplexArray, bias: float) -> FloatArray:
        """Return f of every row."""
        parts = [evaluate_form(form, self.states[block]) for block in _blocks(len(self.states))]
        return np.concatenate(parts) + bias

    def active(self, margins: FloatArray) -> Bools:
        """Mark the rows that have a loss."""
        inside = self.signs * margins < 1.0 if self.hinge else np.ones(len(margins), np.bool_)
        return inside & (self.weights > 0.0)

    def objective(self, at: _Point) -> float:
        errors = self.signs - at.margins
        if self.hinge:
            errors = np.where(self.signs * at.margins < 1.0, errors, 0.0)
        return 0.5 * float(self.weights @ errors**2) + 0.5 * self.penalty * _inner(at.form, at.form)

    def downhill(self, at: _Point) -> _Direction:
        """Return minus the gradient."""
        pulls = np.where(self.active(at.margins), self.weights * (self.signs - at.margins), 0.0)
        return _Direction(self.sum_of_densities(pulls) - self.penalty * at.form, float(pulls.sum()))

    def sum_of_densities(self, pulls: FloatArray, rows: npt.NDArray[np.intp] | None = None) -> ComplexArray:
        """Return ``sum_i pulls_i |phi_i><phi_i|`` over `rows`, all by default."""
        total = np.zeros((self.dimension,) * 2, np.complex128)
        for block in _blocks(len(pulls)):
            total += observable_form(self.states[block if rows is None else rows[block]], pulls[block])
        return total

    def search(self, at: _Point, step: _Direction, slope: _Direction) -> _Point:
        """Go along Newton's step; shorten it where the whole step overshoots."""
        form, bias = step
        gain = _inner(slope.form, form) + slope.bias * bias
        move, here, length = self.values(form, bias), self.objective(at), 1.0
        while True:
            there = _Point(at.form + length * form, at.bias + length * bias, at.margins + length * move)
            if self.objective(there) <= here - 1e-4 * length * gain or length < 1e-9:
                return there
            length *= 0.5


@dataclass(slots=True)
class _NormalEquations:
    """Newton's step from the second moments of the features of rows with a loss."""

    problem: _Problem
    products: int = 0
    _moments: FloatArray = field(init=False)
    _active: Bools = field(init=False)

    def __post_init__(self) -> None:
        self._moments = np.zeros((self.problem.dimension**2 + 1,) * 2)
        self._active = np.zeros(len(self.problem.states), np.bool_)

    def step(self, active: Bools, slope: _Direction) -> _Direction:
        """Return the change of form and bias."""
        changed = active != self._active
        if changed.sum() < active.sum():
            self._moments += self._sum(changed & active)
            self._moments -= self._sum(changed & self._active)
        else:
            self._moments = self._sum(active)
        self._active = active
        normal = self._moments.copy()
        features = len(normal) - 1
        normal[np.diag_indices(features)] += self.problem.penalty
        normal[-1, -1] += 1e-12 * len(active)  # for the case that no row is active
        right = np.append(_coefficients(slope.form), slope.bias)
        solution = np.linalg.solve(normal, right)
        return _Direction(_form_of(solution[:-1]), float(solution[-1]))

    def _sum(self, chosen: Bools) -> FloatArray:
        total, rows = np.zeros_like(self._moments), np.flatnonzero(chosen)
        for block in _blocks(len(rows)):
            roots = np.sqrt(self.problem.weights[rows[block]])
            features = _weighted_features(self.problem.states[rows[block]], roots)
            total += features @ features.T
        return total


@dataclass(slots=True)
class _ConjugateGradients:
    """Newton's step by conjugate gradients; the bias is eliminated."""

    problem: _Problem
    products: int = 0

    def step(self, active: Bools, slope: _Direction) -> _Direction:
        """Return the change of form and bias."""
        problem, rows = self.problem, np.flatnonzero(active)
        weights = problem.weights[rows]
        total = float(weights.sum()) or 1.0
        residual = slope.form - problem.sum_of_densities(weights, rows) * (slope.bias / total)
        form, average = np.zeros_like(residual), 0.0
        direction = residual
        size = start = _inner(residual, residual)
        for _ in range(_CG_STEPS):
            if size <= _CG_SHARE**2 * start:
                break
            image, along = self._product(direction, rows, weights, total)
            pace = size / _inner(direction, image)
            form, average = form + pace * direction, average + pace * along
            residual = residual - pace * image
            size, before = _inner(residual, residual), size
            direction = residual + (size / before) * direction
        return _Direction(form, slope.bias / total - average)

    def _product(
        self, form: ComplexArray, rows: npt.NDArray[np.intp], weights: FloatArray, total: float
    ) -> tuple[ComplexArray, float]:
        """Return the Hessian's product with `form`, the bias following it, and the mean value of `form`."""
        self.products += 1
        problem = self.problem
        values = np.concatenate(
            [evaluate_form(form, problem.states[rows[block]]) for block in _blocks(len(rows))]
        )
        mean = float(weights @ values) / total
        spread = problem.sum_of_densities(weights * (values - mean), rows)
        return spread + problem.penalty * form, mean


def _problem(
    states: ComplexArray, signs: FloatArray, weights: FloatArray | None, ridge: float, loss: Loss
) -> _Problem:
    states = np.ascontiguousarray(states, np.complex128)
    if states.ndim != 2 or not len(states):
        raise UsageError(f"states must have the shape (n, 2**q) with n >= 1, not {states.shape}")
    weights = np.ones(len(states)) if weights is None else np.asarray(weights, np.float64)
    signs = np.asarray(signs, np.float64)
    if signs.shape != (len(states),) or weights.shape != signs.shape:
        raise UsageError(
            f"{len(states)} states need as many signs and weights, not {signs.shape} and {weights.shape}"
        )
    if not ridge > 0.0:
        raise UsageError(f"ridge is {ridge}: expected a positive number")
    if loss not in ("squared_hinge", "ridge"):
        raise UsageError(f"unknown loss {loss!r}: expected squared_hinge or ridge")
    return _Problem(states, signs, weights, ridge * len(states), loss == "squared_hinge")


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, max(count, 1), _BLOCK):
        yield slice(start, start + _BLOCK)


def _inner(a: ComplexArray, b: ComplexArray) -> float:
    """Return the inner product of Hermitian matrices, ``tr(a b)``."""
    return float(a.real.ravel() @ b.real.ravel() + a.imag.ravel() @ b.imag.ravel())


def _coefficients(form: ComplexArray) -> FloatArray:
    """Return a Hermitian matrix as coefficients of `density_features`."""
    upper = form[np.triu_indices(len(form), 1)]
    pairs = np.column_stack([upper.real, upper.imag]).ravel() * np.sqrt(2.0)
    return np.concatenate([form.diagonal().real, pairs])


def _form_of(coefficients: FloatArray) -> ComplexArray:
    """Return the Hermitian matrix that `coefficients` of `density_features` stand for."""
    dimension = int(np.sqrt(len(coefficients)))
    pairs = coefficients[dimension:].reshape(-1, 2) / np.sqrt(2.0)
    form = np.zeros((dimension, dimension), np.complex128)
    form[np.triu_indices(dimension, 1)] = pairs[:, 0] + 1j * pairs[:, 1]
    form += form.conj().T
    form[np.diag_indices(dimension)] = coefficients[:dimension]
    return form


@compiled_fast
def _weighted_features(states: ComplexArray, roots: FloatArray) -> FloatArray:
    """Return `density_features` and a constant 1, each row times its root weight, as (4**q + 1, n)."""
    count, dimension = states.shape
    real, imag = np.empty((dimension, count)), np.empty((dimension, count))
    features = np.empty((dimension * dimension + 1, count))
    for row in range(count):
        root = np.sqrt(roots[row])
        for z in range(dimension):
            real[z, row] = states[row, z].real * root
            imag[z, row] = states[row, z].imag * root
    at = dimension
    twice = np.sqrt(2.0)
    for a in range(dimension):
        for row in range(count):
            features[a, row] = real[a, row] * real[a, row] + imag[a, row] * imag[a, row]
        for b in range(a + 1, dimension):
            for row in range(count):
                features[at, row] = twice * (real[a, row] * real[b, row] + imag[a, row] * imag[b, row])
                features[at + 1, row] = twice * (imag[a, row] * real[b, row] - real[a, row] * imag[b, row])
            at += 2
    features[-1] = roots
    return features
