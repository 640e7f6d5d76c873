"""The algorithms that the rooms share, as circuits on the engine.

In: a diagonal cost (`PauliSum`), a phase oracle, or a circuit that prepares a state, and any `Backend`.
Out: frozen results that say what was found, how sure that is, and what it took in oracle calls and shots.

::

    diagonal ──┬── grover: Grover search ── amplitude_estimation: iterative, aware of noise
               └── qaoa: the quantum approximate optimisation algorithm

All of them need no more of a back end than `sample`, and QAOA `expectations_and_pullback`.

Start reading in `diagonal` (how a table of phases becomes gates), then `grover`.
"""

from qwarden.quantum.algorithms.amplitude_estimation import (
    AmplitudeEstimate,
    Contrast,
    estimate_amplitude,
    fit_contrast,
)
from qwarden.quantum.algorithms.diagonal import diagonal_circuit, energies, qubo
from qwarden.quantum.algorithms.grover import (
    GroverResult,
    grover_circuit,
    grover_operator,
    grover_search,
    optimal_iterations,
    phase_oracle,
)
from qwarden.quantum.algorithms.qaoa import QAOAResult, qaoa, qaoa_circuit

__all__ = [
    "AmplitudeEstimate",
    "Contrast",
    "GroverResult",
    "QAOAResult",
    "diagonal_circuit",
    "energies",
    "estimate_amplitude",
    "fit_contrast",
    "grover_circuit",
    "grover_operator",
    "grover_search",
    "optimal_iterations",
    "phase_oracle",
    "qaoa",
    "qaoa_circuit",
    "qubo",
]
