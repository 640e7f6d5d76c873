"""QAOA: the least value of a diagonal cost, by turns of the cost and of a mixer.

The state is ``prod_l exp(-i beta_l sum X) exp(-i gamma_l C) |+...+>``. Its angles are trained by exact
gradients; what is then measured are bitstrings, of which the cheapest is the answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import UsageError
from qwarden.quantum.algorithms.diagonal import energies
from qwarden.quantum.backend import Backend
from qwarden.quantum.backends.local import LocalBackend
from qwarden.quantum.circuit import Angle, Circuit, FloatArray, Gate
from qwarden.quantum.pauli import PauliSum, PauliTerm

_RAMP = 0.75


@dataclass(frozen=True, slots=True)
class QAOAResult:
    """What an optimisation found."""

    bits: npt.NDArray[np.int64]
    """The cheapest bitstring among the samples, qubit 0 first, shape (q,)."""
    cost: float
    """What it costs."""
    expectation: float
    """The mean cost in the trained state."""
    angles: FloatArray
    """The trained ``gamma_1..gamma_p, beta_1..beta_p``, shape (2 p,)."""
    samples: npt.NDArray[np.int64]
    """How often each basis state was found, shape (2**q,)."""
    circuit: Circuit
    """The circuit, with 2 p angle columns."""


def qaoa_circuit(cost: PauliSum, layers: int, qubits: int | None = None) -> Circuit:
    """Return the QAOA circuit; columns ``gamma_1..gamma_p, beta_1..beta_p``.

    Parameters
    ----------
    cost : made of Z only.
    layers : p, at least 1.
    qubits : as many as the cost names by default.

    Raises
    ------
    UsageError : the cost is not diagonal or has no term, or a number is out of range.

    Source: Farhi, Goldstone & Gutmann 2014, "A quantum approximate optimization algorithm", eq. (2)-(6).

    >>> qaoa_circuit(PauliSum.zz(0, 1) + PauliSum.zz(1, 2), layers=2)
    Circuit(qubits=3, gates=13, columns=4, depth=7, two_qubit_gates=4)
    """
    qubits = cost.qubits if qubits is None else qubits
    if layers < 1:
        raise UsageError(f"layers is {layers}: expected 1 or more")
    if not cost.diagonal or not 0 < cost.qubits <= qubits:
        raise UsageError(f"a cost must be made of Z on at most {qubits} qubits, not {cost}")
    gates = [Gate("h", (qubit,)) for qubit in range(qubits)]
    for layer in range(layers):
        for term in cost.terms:
            gates += _phase(term, layer)
        gates += [Gate("rx", (qubit,), 2.0 * Angle(layers + layer)) for qubit in range(qubits)]
    return Circuit(qubits, gates, 2 * layers)


def _phase(term: PauliTerm, column: int) -> list[Gate]:
    """Return ``exp(-i gamma w Z...Z)``."""
    members = [qubit for qubit in range(term.z.bit_length()) if term.z >> qubit & 1]
    angle = 2.0 * term.coefficient * Angle(column)
    if not members or term.coefficient == 0.0:
        return []
    if len(members) == 2:
        return [Gate("rzz", (members[0], members[1]), angle)]
    chain = [Gate("cx", (qubit, members[-1])) for qubit in members[:-1]]
    return [*chain, Gate("rz", (members[-1],), angle), *reversed(chain)]


def qaoa(
    cost: PauliSum,
    *,
    seed: int,
    layers: int = 1,
    qubits: int | None = None,
    starts: int = 8,
    steps: int = 200,
    shots: int = 1000,
    backend: Backend | None = None,
) -> QAOAResult:
    """Minimise a diagonal cost.

    Parameters
    ----------
    cost : an Ising cost, made of Z only; for a QUBO see `qwarden.quantum.algorithms.qubo`.
    seed : of the starts and of the samples.
    layers, qubits : as `qaoa_circuit`.
    starts : trainings; the first starts from a linear ramp, as slow annealing would turn, the others from
        random angles. The one of least mean cost counts.
    steps : iterations of L-BFGS a training at most.
    shots : samples of the trained state.
    backend : computes mean costs and gradients; the local simulator by default.

    Raises
    ------
    UsageError : what `qaoa_circuit` raises, or starts, steps or shots below 1.

    Source: Farhi, Goldstone & Gutmann 2014; Sack & Serbyn 2021, "Quantum annealing initialization of the
    quantum approximate optimization algorithm" (the ramp).

    >>> path = PauliSum.zz(0, 1) + PauliSum.zz(1, 2)
    >>> result = qaoa(path, seed=0, layers=2)
    >>> result.cost, (result.bits[0] != result.bits[1]).item()
    (-2.0, True)
    """
    if min(starts, steps, shots) < 1:
        raise UsageError("starts, steps and shots must be 1 or more")
    circuit = qaoa_circuit(cost, layers, qubits)
    machine = backend or LocalBackend()
    # Train in the cost's own unit, so that no optimiser's tolerance depends on it.
    unit = math.sqrt(np.mean([term.coefficient**2 for term in cost.terms if term.z])) or 1.0
    scaled = cost * (1.0 / unit)
    turned = qaoa_circuit(scaled, layers, circuit.qubits)
    trained = [_train(machine, turned, scaled, start, steps) for start in _starts(layers, starts, seed)]
    least, angles = min(trained, key=lambda pair: pair[0])
    angles[:layers] /= unit
    samples = machine.sample(circuit, angles[None], shots=shots, seed=seed)[0]
    found = np.flatnonzero(samples)
    costs = energies(cost, circuit.qubits)[found]
    best = int(found[costs.argmin()])
    bits = best >> np.arange(circuit.qubits, dtype=np.int64) & 1
    return QAOAResult(bits, float(costs.min()), unit * least, angles, samples, circuit)


def _starts(layers: int, starts: int, seed: int) -> FloatArray:
    """Return the angles that trainings start from, (starts, 2 layers)."""
    along = (np.arange(layers) + 0.5) / layers
    ramp = _RAMP * np.concatenate([along, 1.0 - along])
    generator = np.random.default_rng(seed)
    random = generator.uniform(-math.pi / 2, math.pi / 2, size=(starts - 1, 2 * layers))
    return np.vstack([ramp, random])


def _train(
    backend: Backend, circuit: Circuit, cost: PauliSum, start: FloatArray, steps: int
) -> tuple[float, FloatArray]:
    """Return the least mean cost found from `start`, and its angles."""
    from scipy.optimize import minimize

    def mean_cost(angles: FloatArray) -> tuple[float, FloatArray]:
        values, pullback = backend.expectations_and_pullback(circuit, angles[None], [cost])
        return float(values[0, 0]), pullback(np.ones((1, 1)))[0]

    fit = minimize(mean_cost, start, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return float(fit.fun), np.asarray(fit.x, np.float64)
