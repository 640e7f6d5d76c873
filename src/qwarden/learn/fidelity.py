"""The kernel machine on states: what `QSVC` and `HybridClassifier` have in common.

A state enters only by its fidelities with stored states, ``f(phi) = sum_i a_i |<s_i|phi>|^2 + b``.
However it was trained, and whatever their number, the stored states collapse to one observable,
``f(phi) = <phi|M|phi> + b`` with ``M = sum_i a_i |s_i><s_i|``, as soon as there are more than 2**q.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import numpy as np

from qwarden.core.compiled import compiled_fast
from qwarden.core.progress import SILENT, Progress
from qwarden.learn._rows import FEW
from qwarden.learn.base import Complexes, Estimator, Floats
from qwarden.quantum import NystromMap, evaluate_form, fidelity_kernel, nystrom_landmarks, observable_form

Solver = Literal["auto", "dual", "nystrom"]
Loss = Literal["squared_hinge", "ridge"]

DUAL_LIMIT = 2000
"""``auto`` solves the dual up to so many rows: its kernel matrix is quadratic in them."""

_CHUNK = 4096
_CANDIDATES = 10
_NEWTON_STEPS = 20


class FidelityMachine(Estimator):
    """A large-margin or ridge classifier with the fidelity kernel, on states.

    Parameters
    ----------
    solver : ``dual`` (libsvm on the whole kernel matrix), ``nystrom`` (a linear machine on the features
        that `landmarks` rows span), ``auto`` (dual up to `DUAL_LIMIT` rows).
    C : inverse regularisation of the dual, as in scikit-learn's `SVC`.
    loss, ridge : of the Nystrom solver: ``ridge`` (squared error to +-1) or ``squared_hinge``, plus
        `ridge` times the squared norm, relative to a loss averaged over the rows.
    landmarks : number of landmark rows.
    seed : of their choice.

    Source: Havlicek et al 2019, eq. (5)-(7); Williams & Seeger 2000 (Nystrom); Chapelle 2007, "Training a
    support vector machine in the primal", section 4 (squared hinge by Newton's method); Schuld 2021 (M).

    Examples
    --------
    >>> states = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], complex)
    >>> machine = FidelityMachine().fit_states(states, np.array([0.0, 0.0, 1.0, 1.0]))
    >>> (machine.margin(states) > 0).tolist()
    [False, False, True, True]
    """

    _learnt_arrays = ("_support", "_alpha", "_form")
    _learnt_facts = ("n_features_in_", "bias_", "support_count_")

    bias_: float
    support_count_: int
    _support: Complexes
    _alpha: Floats
    _form: Complexes

    def __init__(
        self,
        solver: Solver = "auto",
        C: float = 1.0,
        loss: Loss = "ridge",
        ridge: float = 1e-4,
        landmarks: int = 1000,
        seed: int = 0,
    ) -> None:
        self.solver: Solver = solver
        self.C = C
        self.loss: Loss = loss
        self.ridge = ridge
        self.landmarks = landmarks
        self.seed = seed

    def fit_states(
        self,
        states: Complexes,
        targets: Floats,
        weights: Floats | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Learn from states (n, 2**q), targets (0.0 or 1.0) and weights of mean 1."""
        weights = np.ones(len(states)) if weights is None else weights
        solver = self.solver
        if solver == "auto":
            solver = "dual" if len(states) <= DUAL_LIMIT else "nystrom"
        if solver == "dual":
            with progress.task("solve the dual"):
                support, alpha, self.bias_ = self._solve_dual(states, targets, weights)
        elif solver == "nystrom":
            support, alpha, self.bias_ = self._solve_nystrom(states, targets, weights, progress)
        else:
            raise ValueError(f"solver must be 'auto', 'dual' or 'nystrom', not {solver!r}")
        self.n_features_in_, self.support_count_ = states.shape[1], len(support)
        none = np.zeros((0, states.shape[1]), np.complex128)
        if len(support) > states.shape[1]:
            self._form, self._support, self._alpha = observable_form(support, alpha), none, np.zeros(0)
        else:
            self._form, self._support, self._alpha = none, support, alpha
        return self._finish()

    def _prepare(self) -> None:
        self._form_real = np.ascontiguousarray(self._form.real)
        self._form_imag = np.ascontiguousarray(self._form.imag)

    def margin(self, states: Complexes) -> Floats:
        """Return f of each state, (n,): positive on the side of target 1."""
        self._check_fitted()
        if len(self._form) == 0:
            sums: Floats = fidelity_kernel(states, self._support) @ self._alpha
            return sums + self.bias_
        if len(states) <= FEW:
            return _form_values(
                np.ascontiguousarray(states.real), np.ascontiguousarray(states.imag),
                self._form_real, self._form_imag, self.bias_,
            )  # fmt: skip
        return evaluate_form(self._form, states) + self.bias_

    def _solve_dual(
        self, states: Complexes, targets: Floats, weights: Floats
    ) -> tuple[Complexes, Floats, float]:
        from sklearn.svm import SVC

        machine = SVC(C=self.C, kernel="precomputed")
        machine.fit(fidelity_kernel(states), targets, sample_weight=weights)
        return states[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0])

    def _solve_nystrom(
        self, states: Complexes, targets: Floats, weights: Floats, progress: Progress
    ) -> tuple[Complexes, Floats, float]:
        """Train a linear machine on Nystrom features; return it as weights of the landmarks."""
        if self.loss not in ("ridge", "squared_hinge"):
            raise ValueError(f"loss must be 'ridge' or 'squared_hinge', not {self.loss!r}")
        candidates, signs = states, 2.0 * targets - 1.0
        if len(states) > _CANDIDATES * self.landmarks:
            rng = np.random.default_rng([self.seed, 4])
            candidates = states[rng.choice(len(states), _CANDIDATES * self.landmarks, replace=False)]
        with progress.task("train on landmarks") as task:
            basis = nystrom_landmarks(candidates, self.landmarks, seed=self.seed)
            active = np.ones(len(states), np.bool_)
            solution = self._least_squares(basis, states, signs, weights)
            for _ in range(_NEWTON_STEPS if self.loss == "squared_hinge" else 0):
                task.advance()
                # Newton's step for the squared hinge is least squares on the rows inside the margin.
                margins = signs * (_features_times(basis, states, solution[:-1]) + solution[-1])
                inside = margins < 1.0
                if (inside == active).all():
                    break
                active = inside
                solution = self._least_squares(basis, states, signs, weights * active)
        return basis.landmarks, basis.projection @ solution[:-1], float(solution[-1])

    def _least_squares(self, basis: NystromMap, states: Complexes, signs: Floats, weights: Floats) -> Floats:
        """Return coefficients and bias of the weighted ridge regression to `signs`; the bias is free."""
        size = basis.projection.shape[1] + 1
        normal, right = np.zeros((size, size)), np.zeros(size)
        for rows in _chunks(len(states)):
            features = np.column_stack([basis.features(states[rows]), np.ones(len(signs[rows]))])
            weighted = features * weights[rows, None]
            normal += features.T @ weighted
            right += weighted.T @ signs[rows]
        normal[np.diag_indices(size - 1)] += self.ridge * len(states)
        normal[-1, -1] += 1e-12 * len(states)  # for the case that no row is active
        solution: Floats = np.linalg.solve(normal, right)
        return solution


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)


def _features_times(basis: NystromMap, states: Complexes, coefficients: Floats) -> Floats:
    """Return the landmarks' expansion at each state without keeping the features."""
    alpha = basis.projection @ coefficients
    return np.concatenate([fidelity_kernel(states[r], basis.landmarks) @ alpha for r in _chunks(len(states))])


@compiled_fast
def _form_values(real: Floats, imag: Floats, form_real: Floats, form_imag: Floats, bias: float) -> Floats:
    """Return <phi|M|phi> + bias of a few states in one call; M is Hermitian, so rows serve as columns."""
    out = np.empty(real.shape[0])
    for row in range(real.shape[0]):
        total = bias
        for i in range(form_real.shape[0]):
            along = 0.0
            across = 0.0
            for j in range(form_real.shape[1]):
                along += form_real[i, j] * real[row, j] - form_imag[i, j] * imag[row, j]
                across += form_real[i, j] * imag[row, j] + form_imag[i, j] * real[row, j]
            total += real[row, i] * along + imag[row, i] * across
        out[row] = total
    return out
