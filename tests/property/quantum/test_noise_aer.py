"""Circuits under noise: the engine against Qiskit Aer, to 1e-10."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_circuits import random_circuit, random_states
from scipy import stats

from qwarden.quantum import Circuit, NoiseModel, NoisyBackend, swap_test, swap_test_circuit

SEEDS = st.integers(0, 2**32 - 1)
RATE = st.one_of(st.just(0.0), st.floats(0.0, 1.0), st.just(1.0))


def aer_circuit(circuit: Circuit, row: np.ndarray, initial: np.ndarray | None = None) -> Any:
    """The circuit for Aer, its gates labelled by width: so no gate is rewritten, and noise finds them all."""
    made = pytest.importorskip("qiskit").QuantumCircuit(circuit.qubits)
    if initial is not None:
        made.set_density_matrix(np.outer(initial, initial.conj()))
    for gate in circuit.gates:
        matrix = gate.matrix(reference.angle_of(gate, row))
        made.unitary(matrix, list(gate.qubits), label=f"gate_on_{len(gate.qubits)}")
    return made


def aer_model(noise: NoiseModel, qubits: int) -> Any:
    """The same noise in Aer's terms and by Aer's channels."""
    aer = pytest.importorskip("qiskit_aer.noise")
    model = aer.NoiseModel()
    for width, rate in ((1, noise.depolarising_1q), (2, noise.depolarising_2q)):
        damping = aer.amplitude_damping_error(noise.amplitude_damping)
        dephasing = aer.phase_damping_error(noise.phase_damping)
        if width == 2:
            damping, dephasing = damping.expand(damping), dephasing.expand(dephasing)
        error = aer.depolarizing_error(rate, width).compose(damping).compose(dephasing)
        model.add_all_qubit_quantum_error(error, [f"gate_on_{width}"])
    for qubit, confusion in enumerate(noise.confusion(qubits).tolist()):
        model.add_readout_error(aer.ReadoutError(confusion), [qubit])
    return model


def aer_density_matrix(
    circuit: Circuit, row: np.ndarray, noise: NoiseModel, initial: np.ndarray | None = None
) -> np.ndarray:
    simulator = pytest.importorskip("qiskit_aer").AerSimulator(method="density_matrix")
    made = aer_circuit(circuit, row, initial)
    made.save_density_matrix()
    result = simulator.run(made, noise_model=aer_model(noise, circuit.qubits), shots=1).result()
    return np.asarray(result.data()["density_matrix"].data)


@settings(max_examples=30)
@given(
    seed=SEEDS, qubits=st.integers(1, 6), gates=st.integers(1, 25), rates=st.tuples(RATE, RATE, RATE, RATE)
)
@example(seed=1, qubits=4, gates=25, rates=(0.2, 0.0, 0.0, 0.0))
@example(seed=2, qubits=4, gates=25, rates=(0.0, 0.2, 0.0, 0.0))
@example(seed=3, qubits=4, gates=25, rates=(0.0, 0.0, 0.2, 0.0))
@example(seed=4, qubits=4, gates=25, rates=(0.0, 0.0, 0.0, 0.2))
@example(seed=5, qubits=6, gates=40, rates=(0.02, 0.04, 0.06, 0.08))
@example(seed=6, qubits=10, gates=15, rates=(0.02, 0.04, 0.06, 0.08))
def test_density_matrices_are_aers(
    seed: int, qubits: int, gates: int, rates: tuple[float, float, float, float]
) -> None:
    generator = np.random.default_rng(seed)
    circuit, noise = random_circuit(generator, qubits, gates), NoiseModel(*rates)
    angles = 3 * generator.normal(size=(2, 4))
    found = NoisyBackend(noise).density_matrices(circuit, angles)
    expected = [aer_density_matrix(circuit, row, noise) for row in angles]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_read_outs_are_aers() -> None:
    """Aer knows wrong read-outs in counts only: both samples must come from the same chances."""
    generator = np.random.default_rng(11)
    circuit, angles = random_circuit(generator, 3, 12), generator.normal(size=(1, 4))
    noise = NoiseModel(
        0.02, 0.05, 0.05, 0.1, [[[0.9, 0.1], [0.3, 0.7]], [[1, 0], [0.2, 0.8]], [[0.6, 0.4], [0, 1]]]
    )
    made = aer_circuit(circuit, angles[0])
    made.measure_all()
    simulator = pytest.importorskip("qiskit_aer").AerSimulator(method="density_matrix", seed_simulator=1)
    counted = simulator.run(made, noise_model=aer_model(noise, 3), shots=50_000).result().get_counts()
    theirs = np.array([counted.get(f"{index:03b}", 0) for index in range(8)])
    ours = NoisyBackend(noise).sample(circuit, angles, 50_000, 2)[0]
    assert stats.chi2_contingency([ours, theirs]).pvalue > 1e-4
    perfect = NoisyBackend(NoiseModel(*(0.02, 0.05, 0.05, 0.1))).sample(circuit, angles, 50_000, 2)[0]
    assert stats.chi2_contingency([perfect, theirs]).pvalue < 1e-9


def test_the_swap_test_under_noise_is_aers() -> None:
    generator = np.random.default_rng(12)
    A, B = random_states(generator, 2, 2), random_states(generator, 2, 2)
    noise, circuit = NoiseModel(0.01, 0.02, 0.01, 0.02), swap_test_circuit(2)
    found = swap_test(A, B, backend=NoisyBackend(noise))
    for i, a in enumerate(A):
        for j, b in enumerate(B):
            start = np.kron([1, 0], np.kron(b, a))
            chances = aer_density_matrix(circuit, np.zeros(0), noise, start).diagonal().real
            assert abs(found[i, j] - (chances[:16].sum() - chances[16:].sum())) < 1e-10
