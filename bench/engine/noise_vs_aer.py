"""How exact gate noise is: the largest difference to Qiskit Aer's density matrices.

Random circuits of every kind of gate on 1 to 10 qubits, under random noise models: depolarising, amplitude
damping and phase damping alone and all together, with a wrong read-out of its own for each qubit. Compared
are the density matrices and, from them, what random sums of Z products are read as.

Prints one JSON document. ``python noise_vs_aer.py [--circuits 80] [--seed 0]``
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from typing import Any

import exactness
import numpy as np
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer import noise as aer

from qwarden.quantum import Circuit, NoiseModel, NoisyBackend, PauliSum

QUBITS = 10
"""Up to which the density matrices are exact."""
RATES = (
    {"depolarising_1q", "depolarising_2q"},
    {"amplitude_damping"},
    {"phase_damping"},
    {"depolarising_1q", "depolarising_2q", "amplitude_damping", "phase_damping"},
)
"""Which rates of a noise model are not zero, by turns."""


def noise_vs_aer(seed: int = 0, circuits: int = 80) -> dict[str, Any]:
    """Return the largest absolute difference to Aer, over all and by kind."""
    worst = {"density_matrices": 0.0, "expectations": 0.0}
    generator = np.random.default_rng(seed)
    simulator = AerSimulator(method="density_matrix", max_parallel_threads=1)
    for number in range(circuits):
        qubits = 1 + number % QUBITS
        circuit = exactness.random_circuit(generator, qubits)
        angles = 3 * generator.normal(size=(1, circuit.columns))
        noise = random_noise(generator, RATES[number // QUBITS % len(RATES)], qubits)
        backend = NoisyBackend(noise)
        theirs = aer_density_matrix(simulator, circuit, angles[0], noise)
        exactness.note(worst, "density_matrices", backend.density_matrices(circuit, angles)[0], theirs)

        strings = {"".join(generator.choice(list("IZ"), qubits)) for _ in range(3)}
        observable = PauliSum.from_terms({string: generator.normal() for string in sorted(strings)})
        found = backend.expectations(circuit, angles, [observable])[0, 0]
        exactness.note(worst, "expectations", found, read(theirs, observable, noise))
    return {
        "max_abs_diff": max(worst.values()),
        **{f"max_abs_diff_{kind}": value for kind, value in worst.items()},
        "circuits": circuits,
        "qubits": QUBITS,
        "seed": seed,
        "versions": {
            name: importlib.metadata.version(name) for name in ("qiskit", "qiskit-aer", "numpy", "numba")
        },
    }


def random_noise(generator: np.random.Generator, rates: set[str], qubits: int) -> NoiseModel:
    """Return a noise model with random rates up to 0.2."""
    wrong = generator.uniform(0, 0.2, (qubits, 2)).tolist()
    readout = tuple(((1 - a, a), (b, 1 - b)) for a, b in wrong)
    return NoiseModel(**{rate: generator.uniform(0, 0.2) for rate in sorted(rates)}, readout=readout)


def aer_density_matrix(simulator: AerSimulator, circuit: Circuit, row: Any, noise: NoiseModel) -> Any:
    """Return Aer's density matrix at one row of angles."""
    made = QuantumCircuit(circuit.qubits)
    for gate in circuit.gates:
        angle = None if gate.angle is None else exactness.angle_of(gate, row)
        # A unitary with a label is the one kind of instruction that Aer neither rewrites nor lacks.
        made.unitary(gate.matrix(angle), list(gate.qubits), label=f"gate_on_{len(gate.qubits)}")
    made.save_density_matrix()
    model = aer.NoiseModel()
    for width in (1, 2):
        model.add_all_qubit_quantum_error(aer_error(noise, width), [f"gate_on_{width}"])
    return simulator.run(made, noise_model=model, shots=1).result().data()["density_matrix"].data


def aer_error(noise: NoiseModel, width: int) -> aer.QuantumError:
    """Return what follows a gate on `width` qubits, made of Aer's own channels."""
    rate = noise.depolarising_1q if width == 1 else noise.depolarising_2q
    damping = aer.amplitude_damping_error(noise.amplitude_damping)
    dephasing = aer.phase_damping_error(noise.phase_damping)
    if width == 2:
        damping, dephasing = damping.expand(damping), dephasing.expand(dephasing)
    return aer.depolarizing_error(rate, width).compose(damping).compose(dephasing)


def read(density_matrix: Any, observable: PauliSum, noise: NoiseModel) -> float:
    """Return what a sum of Z products is read as: all read-outs' chances times their signs."""
    chances = density_matrix.diagonal().real
    qubits = len(noise.readout)
    whole = np.eye(1)
    for confusion in noise.readout:
        whole = np.kron(np.array(confusion), whole)
    return float(chances @ whole @ observable.matrix(qubits).diagonal().real)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="largest difference to Qiskit Aer under noise")
    parser.add_argument("--circuits", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(noise_vs_aer(**vars(parser.parse_args())), indent=2))
