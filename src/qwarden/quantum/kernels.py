"""Fidelity kernels and what follows from them.

The kernel of two states is their fidelity ``|<a|b>|^2``. Three facts make it cheap: the whole matrix is
products of real matrices (`fidelity_kernel`), a weighted sum of kernels is one Hermitian form
(`observable_form`), and a few landmark rows span it well (`nystrom_landmarks`). `swap_test` is how a
quantum processor would measure it.

States are complex128 of shape (n, 2**q), as `LocalBackend.states` returns them. Where all states of a
call are complex64, kernels and values are computed in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum._fidelity import cross_kernel, symmetric_kernel
from qwarden.quantum.backend import Backend
from qwarden.quantum.circuit import Angle, Circuit, ComplexArray, FloatArray, Gate
from qwarden.quantum.pauli import PauliSum
from qwarden.quantum.precision import RealArray, SingleComplexArray, SingleFloatArray, StateArray


@overload
def fidelity_kernel(  # type: ignore[overload-overlap]
    A: ComplexArray, B: ComplexArray | None = None
) -> FloatArray: ...
@overload
def fidelity_kernel(A: SingleComplexArray, B: SingleComplexArray | None = None) -> SingleFloatArray: ...
def fidelity_kernel(A: StateArray, B: StateArray | None = None) -> RealArray:
    """Return the kernel matrix ``K[i, j] = |<A_i|B_j>|^2``.

    Parameters
    ----------
    A : shape (n, 2**q).
    B : shape (m, 2**q); None stands for `A`, and the symmetry halves the work.

    Returns
    -------
    float64 (float32 where all states are complex64), shape (n, m); exactly symmetric where B is None.

    Raises
    ------
    UsageError : the states have different dimensions.

    Source: Havlicek et al 2019, eq. (5).

    >>> import numpy as np
    >>> fidelity_kernel(np.array([[1, 0], [1j, 1]]) / np.array([[1], [2**0.5]])).round(12).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    single = _single(A, B)
    A = _states(A, single=single)
    if B is None:
        return symmetric_kernel(A)
    B = _states(B, single=single)
    if A.shape[1] != B.shape[1]:
        raise UsageError(f"states of dimension {A.shape[1]} and {B.shape[1]} have no kernel")
    return cross_kernel(A, B)


def swap_test(
    A: ComplexArray,
    B: ComplexArray | None = None,
    *,
    shots: int | None = None,
    seed: int | None = None,
    backend: Backend | None = None,
) -> FloatArray:
    """Return the kernel matrix as a swap test would estimate it.

    The ancilla of a swap test is found in 0 with probability ``(1 + |<a|b>|^2) / 2``; the estimate is
    ``2 * (zeros / shots) - 1``. It is unbiased, so a small fidelity may be estimated below 0.

    Parameters
    ----------
    A, B : as `fidelity_kernel`.
    shots : runs for each entry; None returns the exact kernel.
    seed : seed of the shots; needed with `shots`.
    backend : what runs `swap_test_circuit` for each pair of states, with its noise; None: a perfect
        machine, whose outcome follows from the kernel.

    Raises
    ------
    UsageError : `shots` is below 1 or comes without `seed`, or the states have different dimensions.

    Source: Buhrman et al 2001, "Quantum fingerprinting". The circuit itself is `swap_test_circuit`.
    """
    if backend is not None:
        return _run_swap_tests(backend, A, B, shots, seed)
    exact = fidelity_kernel(A, B)
    if shots is None:
        return exact
    if shots < 1 or seed is None:
        raise UsageError("a sampled swap test needs shots >= 1 and a seed")
    generator = np.random.default_rng(seed)
    zeros = generator.binomial(shots, np.clip((1 + exact) / 2, 0.0, 1.0))
    if B is None:  # one experiment a pair, not two
        zeros = np.triu(zeros) + np.triu(zeros, 1).T
    return 2.0 * zeros / shots - 1.0


def _run_swap_tests(
    backend: Backend, A: ComplexArray, B: ComplexArray | None, shots: int | None, seed: int | None
) -> FloatArray:
    """Return the ancilla's <Z> for each pair of states; where B is None, one experiment a pair, not two."""
    A = _states(A)
    second = A if B is None else _states(B)
    if A.shape[1] != second.shape[1]:
        raise UsageError(f"states of dimension {A.shape[1]} and {second.shape[1]} have no kernel")
    circuit = swap_test_circuit((A.shape[1] - 1).bit_length())
    rows, columns = np.triu_indices(len(A)) if B is None else np.indices((len(A), len(second))).reshape(2, -1)
    seeds = np.random.default_rng(seed)
    kernel = np.empty((len(A), len(second)))
    step = max(1, (1 << 22) // circuit.dimension)  # 64 MiB of pairs at once
    for first in range(0, len(rows), step):
        i, j = rows[first : first + step], columns[first : first + step]
        initial = np.zeros((len(i), circuit.dimension), dtype=np.complex128)
        pairs = second[j][:, :, None] * A[i][:, None, :]
        initial[:, : circuit.dimension // 2] = pairs.reshape(len(i), -1)
        part_seed = None if seed is None else int(seeds.integers(2**63))
        found = backend.expectations(
            circuit, np.zeros((1, 0)), [PauliSum.z(circuit.qubits - 1)], initial, shots, part_seed
        )[:, 0]
        kernel[i, j] = found
        if B is None:
            kernel[j, i] = found
    return kernel


def swap_test_circuit(qubits: int) -> Circuit:
    """Return the swap test of two registers of `qubits` qubits as a circuit without angles.

    Qubits ``0 .. q-1`` hold the first state, ``q .. 2q-1`` the second, qubit ``2q`` is the ancilla, whose
    <Z> at the end is the fidelity. Each controlled SWAP is a Toffoli gate between two CX, and the Toffoli
    its usual seven T and six CX (Nielsen and Chuang, figure 4.9).

    >>> swap_test_circuit(2)
    Circuit(qubits=5, gates=36, columns=0, depth=21, two_qubit_gates=16)
    """
    ancilla = 2 * qubits
    gates = [Gate("h", (ancilla,))]
    for first in range(qubits):
        second = qubits + first
        outer = Gate("cx", (second, first))
        gates += [outer, *_toffoli(ancilla, first, second), outer]
    return Circuit(2 * qubits + 1, [*gates, Gate("h", (ancilla,))])


def _toffoli(a: int, b: int, target: int) -> list[Gate]:
    def t(qubit: int) -> Gate:
        return Gate("t", (qubit,))

    def t_inverse(qubit: int) -> Gate:
        return Gate("p", (qubit,), Angle(None, 1.0, -math.pi / 4))

    def cx(control: int, aim: int) -> Gate:
        return Gate("cx", (control, aim))

    h = Gate("h", (target,))
    return [
        *(h, cx(b, target), t_inverse(target), cx(a, target), t(target), cx(b, target)),
        *(t_inverse(target), cx(a, target), t(b), t(target), h, cx(a, b), t(a), t_inverse(b), cx(a, b)),
    ]


def observable_form(states: ComplexArray, weights: npt.ArrayLike) -> ComplexArray:
    """Return ``M = sum_i weights_i |s_i><s_i|``, the whole kernel expansion as one observable.

    ``<phi|M|phi> = sum_i weights_i |<s_i|phi>|^2``: what a kernel machine decides by no longer depends on
    its number of support vectors. It pays where there are more of them than ``2**q``.

    Parameters
    ----------
    states : shape (n, 2**q).
    weights : shape (n,).

    Returns
    -------
    complex128, shape (2**q, 2**q), Hermitian.

    Raises
    ------
    UsageError : not one weight a state.

    Source: Schuld 2021, "Supervised quantum machine learning models are kernel methods", eq. (23).
    """
    states = _states(states)
    scale = np.asarray(weights, dtype=np.float64)
    if scale.shape != (len(states),):
        raise UsageError(f"expected {len(states)} weights, one a state, not shape {scale.shape}")
    return (states.T * scale) @ states.conj()


@overload
def evaluate_form(form: ComplexArray, states: ComplexArray) -> FloatArray: ...
@overload
def evaluate_form(form: StateArray, states: SingleComplexArray) -> SingleFloatArray: ...
def evaluate_form(form: StateArray, states: StateArray) -> RealArray:
    """Return ``<phi|M|phi>`` for each row of `states`, shape (n,); in float32 where they are complex64.

    >>> import numpy as np
    >>> evaluate_form(np.diag([1, -1]).astype(complex), np.array([[0.6, 0.8j]])).round(12).tolist()
    [-0.28]
    """
    states = _states(states, single=_single(states))
    if form.shape != (states.shape[1], states.shape[1]):
        raise UsageError(f"a form of shape {form.shape} does not fit states of dimension {states.shape[1]}")
    image = states @ form.T.astype(states.dtype, copy=False)
    return np.asarray((states.real * image.real + states.imag * image.imag).sum(axis=1))


@dataclass(frozen=True)
class NystromMap:
    """An explicit feature map whose inner products approximate the fidelity kernel.

    ``features(S) = K(S, landmarks) @ projection`` with ``projection = K(landmarks)^(-1/2)`` on the
    eigenvalues that are not numerically zero.

    Source: Williams and Seeger 2000, "Using the Nystrom method to speed up kernel machines", eq. (8).
    """

    rows: npt.NDArray[np.intp]
    """Which rows of the given states are landmarks, shape (m,)."""
    landmarks: ComplexArray
    """Their states, shape (m, 2**q)."""
    projection: FloatArray
    """Shape (m, r), r <= m the numerical rank."""

    def features(self, states: ComplexArray) -> FloatArray:
        """Return the features of `states`, shape (n, r)."""
        features: FloatArray = fidelity_kernel(states, self.landmarks) @ self.projection
        return features


def nystrom_landmarks(
    states: ComplexArray, count: int, *, seed: int, method: str = "pivoted", tolerance: float = 1e-10
) -> NystromMap:
    """Choose landmark rows and return the feature map they span.

    Parameters
    ----------
    states : shape (n, 2**q), the rows to choose from.
    count : how many landmarks at most (fewer where the kernel's rank is reached).
    seed : seed of the choice.
    method : ``pivoted``: randomly pivoted partial Cholesky, which draws each landmark in proportion to
        what the earlier ones leave unexplained; ``uniform``: without regard to the states.
    tolerance : eigenvalues below this share of the largest count as zero.

    Raises
    ------
    UsageError : `count` is below 1, there are no states, or the method is unknown.

    Source: Chen, Epperly, Tropp and Webber 2022, "Randomly pivoted Cholesky", algorithm 1.

    >>> import numpy as np
    >>> plane = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=complex)
    >>> chosen = nystrom_landmarks(plane, 4, seed=1)
    >>> len(chosen.rows), chosen.features(plane).shape
    (2, (4, 2))
    """
    states = _states(states)
    if count < 1 or not len(states):
        raise UsageError("choosing landmarks needs at least one state and count >= 1")
    generator = np.random.default_rng(seed)
    count = min(count, len(states))
    if method == "uniform":
        rows = generator.permutation(len(states))[:count]
    elif method == "pivoted":
        rows = _pivoted_rows(states, count, generator, tolerance)
    else:
        raise UsageError(f"unknown method {method!r}: expected pivoted or uniform")
    landmarks = states[rows]
    values, vectors = np.linalg.eigh(fidelity_kernel(landmarks))
    kept = values > tolerance * values[-1]
    return NystromMap(rows, landmarks, vectors[:, kept] / np.sqrt(values[kept]))


def _pivoted_rows(
    states: ComplexArray, count: int, generator: np.random.Generator, tolerance: float
) -> npt.NDArray[np.intp]:
    """Return rows drawn in proportion to the residual diagonal of a growing Cholesky factor."""
    residual = np.ones(len(states))  # a state's fidelity with itself
    factor = np.empty((len(states), count))
    rows: list[int] = []
    while len(rows) < count and residual.max() > tolerance:
        row = int(generator.choice(len(states), p=residual / residual.sum()))
        done = len(rows)
        column = fidelity_kernel(states, states[row : row + 1])[:, 0]
        column -= factor[:, :done] @ factor[row, :done]
        column /= math.sqrt(residual[row])
        factor[:, done] = column
        residual = np.maximum(residual - column**2, 0.0)
        residual[row] = 0.0
        rows.append(row)
    return np.array(rows, dtype=np.intp)


def _single(*states: StateArray | None) -> bool:
    """Return whether all given states are in single precision."""
    return all(np.asarray(part).dtype == np.complex64 for part in states if part is not None)


def _states(states: StateArray, *, single: bool = False) -> Any:
    """Return `states` as C-ordered rows of complex128, or of complex64."""
    array = np.ascontiguousarray(states, dtype=np.complex64 if single else np.complex128)
    if array.ndim != 2:
        raise UsageError(f"states must have the shape (n, 2**q), not {array.shape}")
    # Compiled code knows writable arrays only; another kind would be compiled anew.
    return array if array.flags.writeable else array.copy()
