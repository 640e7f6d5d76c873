"""The kernel machine on states: what `QSVC` and `HybridClassifier` have in common.

A state enters only by its fidelities with stored states, ``f(phi) = sum_i a_i |<s_i|phi>|^2 + b``.
However it was trained, and whatever their number, the stored states collapse to one observable,
``f(phi) = <phi|M|phi> + b`` with ``M = sum_i a_i |s_i><s_i|``, as soon as there are more than 2**q.
"""

from __future__ import annotations

from typing import Final, Literal, Self

import numpy as np

from qwarden.core.compiled import compiled_fast
from qwarden.core.progress import SILENT, Progress
from qwarden.learn._landmarks import Loss, fit_on_landmarks
from qwarden.learn._rows import FEW
from qwarden.learn.base import Complexes, Estimator, Floats
from qwarden.quantum import evaluate_form, fidelity_kernel, nystrom_landmarks, observable_form, train_form

Solver = Literal["auto", "dual", "nystrom", "primal"]

DUAL_LIMIT: Final = 2000
"""``auto`` solves the dual up to so many rows: its kernel matrix is quadratic in them."""

PRIMAL_DIMENSION: Final = 256
"""``auto`` trains more rows in the primal up to states of so many amplitudes (q = 8), and on landmarks
beyond. With 4,000 rows the primal took 0.46 s against 6.4 s of 1,000 landmarks at q = 6, and 4.9 s against
8.8 s at q = 8: its 4**q coefficients grow faster."""

_CANDIDATES = 10


class FidelityMachine(Estimator):
    """A large-margin or ridge classifier with the fidelity kernel, on states.

    Parameters
    ----------
    solver : ``dual`` (libsvm on the whole kernel matrix), ``nystrom`` (a linear machine on the features
        that `landmarks` rows span), ``primal`` (M itself, by `qwarden.quantum.train_form`: what
        ``nystrom`` would find with every row a landmark), ``auto`` (dual up to `DUAL_LIMIT` rows, then
        primal up to `PRIMAL_DIMENSION`, then nystrom).
    C : inverse regularisation of the dual, as in scikit-learn's `SVC`.
    loss, ridge : of the other two: ``ridge`` (squared error to +-1) or ``squared_hinge``, plus `ridge`
        times the squared norm, relative to a loss averaged over the rows.
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
        solver = self._chosen_solver(*states.shape)
        if solver == "dual":
            with progress.task("solve the dual"):
                self._keep(*self._solve_dual(states, targets, weights))
        elif solver == "nystrom":
            self._keep(*self._solve_nystrom(states, targets, weights, progress))
        else:
            signs = 2.0 * targets - 1.0
            with progress.task("train in the primal"):
                found = train_form(states, signs, ridge=self.ridge, weights=weights, loss=self.loss)
            self._keep(states[:0], np.zeros(0), found.bias)
            self._form = found.form
        self.n_features_in_ = states.shape[1]
        return self._finish()

    def _keep(self, support: Complexes, alpha: Floats, bias: float) -> None:
        """Take a kernel expansion over, as one observable where that is the smaller form."""
        self.bias_, self.support_count_ = bias, len(support)
        if len(support) > support.shape[1]:
            self._form, self._support, self._alpha = observable_form(support, alpha), support[:0], alpha[:0]
        else:
            self._form, self._support, self._alpha = support[:0], support, alpha

    def _chosen_solver(self, rows: int, dimension: int) -> Solver:
        """Check the choices; return the solver that ``auto`` stands for."""
        if self.loss not in ("ridge", "squared_hinge"):
            raise ValueError(f"loss must be 'ridge' or 'squared_hinge', not {self.loss!r}")
        if self.solver not in ("auto", "dual", "nystrom", "primal"):
            raise ValueError(f"solver must be 'auto', 'dual', 'nystrom' or 'primal', not {self.solver!r}")
        if self.solver != "auto":
            return self.solver
        if rows <= DUAL_LIMIT:
            return "dual"
        return "primal" if dimension <= PRIMAL_DIMENSION else "nystrom"

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

    def observable(self) -> Complexes:
        """Return M, (2**q, 2**q): f of a state is <phi|M|phi> + `bias_`."""
        return self._form if len(self._form) else observable_form(self._support, self._alpha)

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
        candidates = states
        if len(states) > _CANDIDATES * self.landmarks:
            rng = np.random.default_rng([self.seed, 4])
            candidates = states[rng.choice(len(states), _CANDIDATES * self.landmarks, replace=False)]
        with progress.task("train on landmarks") as task:
            basis = nystrom_landmarks(candidates, self.landmarks, seed=self.seed)
            alpha, bias = fit_on_landmarks(
                lambda part: fidelity_kernel(part, basis.landmarks), basis.projection,
                states, 2.0 * targets - 1.0, weights, self.loss, self.ridge, task,
            )  # fmt: skip
        return basis.landmarks, alpha, bias


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
