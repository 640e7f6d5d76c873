"""The noisy back end: density matrices, gradients, trajectories and shots under noise."""

from __future__ import annotations

import numpy as np
import pytest
from random_circuits import random_circuit, random_observable, random_states
from scipy import stats

from qwarden.core.errors import UsageError
from qwarden.quantum import (
    Angle,
    Circuit,
    LocalBackend,
    NoiseModel,
    NoisyBackend,
    PauliSum,
    efficient_su2,
    fidelity_kernel,
    swap_test,
    swap_test_circuit,
)
from qwarden.quantum.circuit import Gate

EXACT = {"rtol": 0, "atol": 1e-12}
NOISE = NoiseModel(0.05, 0.1, 0.08, 0.12, [[[0.95, 0.05], [0.1, 0.9]]])


def sharp(seed: int, qubits: int, gates: int = 25, rows: int = 3) -> tuple[Circuit, np.ndarray, np.ndarray]:
    """A random circuit, its angles, and initial states."""
    generator = np.random.default_rng(seed)
    circuit = random_circuit(generator, qubits, gates)
    return circuit, generator.normal(size=(rows, 4)), random_states(generator, rows, qubits)


def observables(seed: int, qubits: int) -> list[PauliSum]:
    generator = np.random.default_rng([seed, 1])
    return [random_observable(generator, qubits), random_observable(generator, qubits, "IZ")]


# Without noise.


@pytest.mark.parametrize("qubits", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("starts", [0, 1, 3])
@pytest.mark.parametrize("method", ["density", "trajectories"])
def test_without_noise_it_is_the_local_back_end(qubits: int, starts: int, method: str) -> None:
    circuit, angles, states = sharp(qubits, qubits)
    initial = states[:starts] if starts else None
    read = observables(qubits, qubits)
    noisy, local = NoisyBackend(NoiseModel(), method=method, trajectories=2), LocalBackend()
    final = local.states(circuit, angles, initial)
    expected = final[:, :, None] * final.conj()[:, None, :]
    np.testing.assert_allclose(noisy.density_matrices(circuit, angles, initial), expected, **EXACT)
    # One row of angles for many states is a way of its own.
    for given in (angles, angles[:1]):
        values, pullback = noisy.expectations_and_pullback(circuit, given, read, initial)
        expected, expected_pullback = local.expectations_and_pullback(circuit, given, read, initial)
        np.testing.assert_allclose(values, expected, **EXACT)
        slopes = np.random.default_rng(1).normal(size=values.shape)
        np.testing.assert_allclose(pullback(slopes), expected_pullback(slopes), **EXACT)


def test_an_empty_circuit_leaves_the_state_alone() -> None:
    backend = NoisyBackend(NoiseModel.uniform(depolarising_1q=0.5))
    assert backend.density_matrices(Circuit(1), np.zeros((2, 0))).tolist() == [[[1, 0], [0, 0]]] * 2
    values, pullback = backend.expectations_and_pullback(
        Circuit(1, columns=1), np.zeros((2, 1)), [PauliSum.z(0)]
    )
    assert (values.tolist(), pullback(values).tolist()) == ([[1.0], [1.0]], [[0.0], [0.0]])


# Density matrices.


@pytest.mark.parametrize("qubits", [1, 2, 5, 7])
def test_density_matrices_are_states(qubits: int) -> None:
    circuit, angles, initial = sharp(10 + qubits, qubits, gates=40)
    for rho in NoisyBackend(NOISE).density_matrices(circuit, angles, initial):
        np.testing.assert_allclose(rho, rho.conj().T, rtol=0, atol=1e-15)
        assert abs(np.trace(rho) - 1) < 1e-13
        assert np.linalg.eigvalsh(rho).min() > -1e-13
        assert np.linalg.norm(rho) ** 2 < 0.9  # it is mixed


def test_whole_depolarising_leaves_nothing() -> None:
    circuit = Circuit(3).h(0).cx(0, 1).cx(1, 2).cx(2, 0)
    rho = NoisyBackend(NoiseModel(depolarising_2q=1.0)).density_matrices(circuit, np.zeros((1, 0)))
    np.testing.assert_allclose(rho[0], np.eye(8) / 8, **EXACT)


def test_whole_decay_ends_in_zero() -> None:
    circuit = Circuit(2).h(0).x(1).rxx(0, 1, 0.7)
    rho = NoisyBackend(NoiseModel(amplitude_damping=1.0)).density_matrices(circuit, np.zeros((1, 0)))
    np.testing.assert_allclose(rho[0], np.diag([1, 0, 0, 0]), **EXACT)


def test_the_memory_budget_changes_nothing() -> None:
    circuit, angles, initial = sharp(3, 3, rows=7)
    read = observables(3, 3)
    small, large = NoisyBackend(NOISE, memory_bytes=112 * 4**4), NoisyBackend(NOISE)
    for given in (None, initial):
        np.testing.assert_array_equal(
            small.density_matrices(circuit, angles, given), large.density_matrices(circuit, angles, given)
        )
        values, pullback = small.expectations_and_pullback(circuit, angles, read, given)
        expected, expected_pullback = large.expectations_and_pullback(circuit, angles, read, given)
        np.testing.assert_allclose(values, expected, **EXACT)
        np.testing.assert_allclose(pullback(values), expected_pullback(values), **EXACT)
        np.testing.assert_array_equal(
            small.sample(circuit, angles, 100, 5, given), large.sample(circuit, angles, 100, 5, given)
        )


def as_read(rho: np.ndarray, observable: PauliSum, noise: NoiseModel) -> float:
    """All read-outs' chances, each term measured in its own basis, times the read-outs' signs."""
    qubits = int(np.log2(len(rho)))
    whole = np.eye(1)
    for confusion in noise.confusion(qubits):
        whole = np.kron(confusion, whole)
    total = 0.0
    for term in observable.terms:
        turn = np.eye(1)
        for qubit in range(qubits):
            letter = "IXZY"[(term.x >> qubit & 1) | (term.z >> qubit & 1) << 1]
            rows = {"X": [[1, 1], [1, -1]], "Y": [[1, -1j], [1, 1j]]}.get(letter)
            turn = np.kron(np.eye(2) if rows is None else np.array(rows) / np.sqrt(2), turn)
        signs = PauliSum.from_terms({"I" * qubits: 1.0}).matrix(qubits).diagonal().real
        signs = signs * (-1.0) ** np.bitwise_count(np.arange(len(rho)) & (term.x | term.z))
        chances = (turn @ rho @ turn.conj().T).diagonal().real
        total += term.coefficient * chances @ whole @ signs
    return total


def test_expectations_are_what_is_read() -> None:
    noise = NoiseModel(
        0.05, 0.1, 0.08, 0.12, [[[0.9, 0.1], [0.3, 0.7]], [[1, 0], [0.2, 0.8]], [[0.6, 0.4], [0, 1]]]
    )
    circuit, angles, initial = sharp(5, 3)
    read = [*observables(5, 3), PauliSum.from_terms({"YXZ": 1.0, "III": 0.3, "XIX": -2.0})]
    backend = NoisyBackend(noise)
    for given in (angles, angles[:1]):
        states = backend.density_matrices(circuit, given, initial)
        expected = [[as_read(rho, observable, noise) for observable in read] for rho in states]
        np.testing.assert_allclose(backend.expectations(circuit, given, read, initial), expected, **EXACT)


# Gradients.


@pytest.mark.parametrize("starts", [0, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_those_of_the_shift_rule(starts: int, shared: bool) -> None:
    circuit, angles, states = sharp(8, 3, gates=30)
    angles, initial = angles[: 1 if shared else 3], states[:starts] if starts else None
    backend, read = NoisyBackend(NOISE), observables(8, 3)
    values, pullback = backend.expectations_and_pullback(circuit, angles, read, initial)
    slopes = np.random.default_rng(2).normal(size=values.shape)
    expected = np.zeros_like(angles)
    root = np.sqrt(2)
    for number, gate in enumerate(circuit.gates):
        if gate.angle is None or gate.angle.column is None:
            continue
        rule = [(0.5, np.pi / 2)]
        if gate.name == "crz":
            rule = [((root + 1) / (4 * root), np.pi / 2), (-(root - 1) / (4 * root), 3 * np.pi / 2)]
        for factor, shift in rule:
            for sign in (1, -1):
                gates = list(circuit.gates)
                gates[number] = Gate(gate.name, gate.qubits, gate.angle + sign * shift)
                moved = backend.expectations(Circuit(3, gates, 4), angles, read, initial)
                change = sign * factor * gate.angle.scale * (slopes * moved).sum(axis=1)
                expected[:, gate.angle.column] += change.sum() if shared else change
    np.testing.assert_allclose(pullback(slopes), expected, **EXACT)


def test_gradients_of_a_long_circuit_in_little_memory() -> None:
    circuit = efficient_su2(4, reps=6)
    angles = np.random.default_rng(4).normal(size=(2, circuit.columns))
    assert len(circuit.gates) == 74  # nine segments of nine vectors, the last one shorter
    read = [PauliSum.zz(0, 3)]
    small, large = NoisyBackend(NOISE, memory_bytes=(32 + 8 * 18) * 4**4), NoisyBackend(NOISE)
    values, pullback = small.expectations_and_pullback(circuit, angles, read)
    _, expected = large.expectations_and_pullback(circuit, angles, read)
    np.testing.assert_allclose(pullback(values), expected(values), **EXACT)
    less = NoisyBackend(NOISE, memory_bytes=(32 + 8 * 18) * 4**4 - 1)
    _, pullback = less.expectations_and_pullback(circuit, angles, read)
    with pytest.raises(UsageError, match="bytes of working memory"):
        pullback(values)


def test_trajectories_shift_to_the_exact_gradient() -> None:
    circuit = Circuit(2).ry(0, Angle(0)).h(1).crz(0, 1, Angle(1)).rxx(0, 1, 2 * Angle(0)).p(1, Angle(1)).h(1)
    angles, read = np.array([[0.4, -1.1]]), [PauliSum.z(0) + PauliSum.z(1)]
    _, exact = NoisyBackend(NOISE).expectations_and_pullback(circuit, angles, read)
    sampled = NoisyBackend(NOISE, method="trajectories", trajectories=20_000, seed=3)
    _, pullback = sampled.expectations_and_pullback(circuit, angles, read)
    found, expected = pullback([[1.0]]), exact([[1.0]])
    # A value spreads by at most 2; no more than 2 * 2 shifted values, weights up to 2, make a gradient.
    assert np.abs(found - expected).max() < 4 * 4 * 2 / np.sqrt(20_000)
    assert np.abs(expected).min() > 4 * 4 * 2 / np.sqrt(20_000)  # so a gradient of zero would fail


# Trajectories.


def squared_deviation(noise: NoiseModel, against: NoiseModel, circuits: int = 40) -> float:
    """Sum over independent circuits of ((mean - exact) / standard error)^2."""
    total = 0.0
    for seed in range(circuits):
        circuit, angles, initial = sharp(100 + seed, 3, gates=12, rows=1)
        read = observables(seed, 3)[:1]
        sampled = NoisyBackend(noise, method="trajectories", trajectories=400, seed=seed)
        values, errors = sampled.expectations_and_errors(circuit, angles, read, initial)
        exact = NoisyBackend(against).expectations(circuit, angles, read, initial)
        total += float(((values - exact) / np.maximum(errors, 1e-9))[0, 0] ** 2)
    return total


@pytest.mark.parametrize(
    "noise",
    [
        NoiseModel.uniform(depolarising_1q=0.2, depolarising_2q=0.3),
        NoiseModel.uniform(amplitude_damping=0.2),
        NoiseModel.uniform(phase_damping=0.3),
        NOISE,
    ],
    ids=["depolarising", "amplitude", "phase", "all"],
)
def test_trajectories_average_to_the_density_matrix(noise: NoiseModel) -> None:
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], 40)
    assert low < squared_deviation(noise, noise) < high


def test_the_average_would_show_a_wrong_rate() -> None:
    wrong = NoiseModel.uniform(amplitude_damping=0.3)
    assert squared_deviation(NoiseModel.uniform(amplitude_damping=0.2), wrong) > stats.chi2.ppf(1 - 1e-9, 40)


def test_trajectories_go_where_density_matrices_do_not() -> None:
    """Two circuits of 6 qubits side by side on 12: each half has its own exact answer."""
    half = efficient_su2(6, reps=1)
    both = Circuit(
        12,
        [Gate(g.name, tuple(q + move for q in g.qubits), g.angle) for move in (0, 6) for g in half.gates],
    )
    angles = np.random.default_rng(6).normal(size=(1, half.columns))
    noise = NoiseModel.uniform(
        depolarising_1q=0.02, depolarising_2q=0.05, amplitude_damping=0.05, phase_damping=0.1, readout=0.03
    )
    backend = NoisyBackend(noise, trajectories=300, seed=1)
    exact = backend.expectations(half, angles, [PauliSum.z(q) for q in range(6)])
    values, errors = backend.expectations_and_errors(both, angles, [PauliSum.z(q) for q in range(12)])
    assert errors.min() > 0
    assert np.abs((values.reshape(2, 6) - exact) / errors.reshape(2, 6)).max() < 4.5
    with pytest.raises(UsageError, match="up to 10 qubits, the circuit has 12"):
        backend.density_matrices(both, angles)


def test_the_seed_decides_the_trajectories() -> None:
    circuit, angles, _ = sharp(20, 3)
    read = observables(20, 3)

    def values(seed: int, memory: int = 1 << 20) -> np.ndarray:
        backend = NoisyBackend(NOISE, method="trajectories", trajectories=50, seed=seed, memory_bytes=memory)
        return backend.expectations(circuit, angles, read)

    np.testing.assert_array_equal(values(1), values(1, memory=1024))
    assert (values(1) != values(2)).all()


# Shots.


@pytest.mark.parametrize("method", ["density", "trajectories"])
def test_counts_follow_the_chances(method: str) -> None:
    circuit, angles, _ = sharp(30, 3, rows=2)
    counts = NoisyBackend(NOISE, method=method).sample(circuit, angles, 20_000, 4)
    assert counts.sum(axis=1).tolist() == [20_000, 20_000]
    whole = np.eye(1)
    for confusion in NOISE.confusion(3):
        whole = np.kron(confusion, whole)
    rho = NoisyBackend(NOISE).density_matrices(circuit, angles)
    for found, state in zip(counts, rho, strict=True):
        expected = 20_000 * state.diagonal().real @ whole
        assert stats.chisquare(found, expected).pvalue > 1e-4
        # Without the read-out's errors the same counts would not do.
        assert stats.chisquare(found, 20_000 * state.diagonal().real).pvalue < 1e-9


@pytest.mark.parametrize("method", ["density", "trajectories"])
@pytest.mark.parametrize("single", [True, False])
def test_estimates_come_within_their_error(method: str, single: bool) -> None:
    circuit, angles, _ = sharp(31, 3)
    read = [PauliSum.from_terms({"XYI": 2.0}), PauliSum.z(1)] if single else observables(31, 3)
    exact = NoisyBackend(NOISE).expectations(circuit, angles, read)
    shots = 4_000
    found = NoisyBackend(NOISE, method=method).expectations(circuit, angles, read, shots=shots, seed=2)
    bound = np.array([sum(abs(term.coefficient) for term in observable.terms) for observable in read])
    deviation = np.abs(found - exact) / (bound / np.sqrt(shots))
    assert 0 < deviation.max() < 5
    again = NoisyBackend(NOISE, method=method).expectations(circuit, angles, read, shots=shots, seed=2)
    np.testing.assert_array_equal(found, again)


# The swap test.


def test_the_swap_test_on_a_perfect_machine_is_the_kernel() -> None:
    generator = np.random.default_rng(40)
    A, B = random_states(generator, 4, 2), random_states(generator, 3, 2)
    for backend in (LocalBackend(), NoisyBackend(NoiseModel())):
        np.testing.assert_allclose(swap_test(A, B, backend=backend), fidelity_kernel(A, B), **EXACT)
        np.testing.assert_allclose(swap_test(A, backend=backend), fidelity_kernel(A), **EXACT)


def test_the_swap_test_under_noise() -> None:
    generator = np.random.default_rng(41)
    A, B = random_states(generator, 3, 2), random_states(generator, 4, 2)
    backend = NoisyBackend(NoiseModel(0.001, 0.01, 0.002, 0.003, [[[0.99, 0.01], [0.03, 0.97]]]))
    kernel = swap_test(A, B, backend=backend)
    circuit = swap_test_circuit(2)
    for i, a in enumerate(A):
        for j, b in enumerate(B):
            start = np.kron([1, 0], np.kron(b, a))[None]
            rho = backend.density_matrices(circuit, np.zeros((1, 0)), start)[0]
            expected = as_read(rho, PauliSum.z(4), backend.noise)
            assert abs(kernel[i, j] - expected) < 1e-12
    assert np.abs(kernel - fidelity_kernel(A, B)).max() > 0.05  # noise is seen
    shots = 40_000
    sampled = swap_test(A, B, shots=shots, seed=1, backend=backend)
    assert 0 < np.abs(sampled - kernel).max() < 5 / np.sqrt(shots)
    square = swap_test(A, shots=100, seed=1, backend=backend)
    np.testing.assert_array_equal(square, square.T)


def test_the_swap_test_needs_a_seed_and_one_dimension() -> None:
    states = random_states(np.random.default_rng(1), 2, 1)
    with pytest.raises(UsageError, match="seed"):
        swap_test(states, shots=10, backend=NoisyBackend(NOISE))
    with pytest.raises(UsageError, match="dimension"):
        swap_test(states, np.eye(4, dtype=complex), backend=NoisyBackend(NOISE))


# What is refused.


def test_bad_calls_are_refused() -> None:
    circuit, one = Circuit(1).ry(0, Angle(0)), np.zeros((1, 1))
    backend = NoisyBackend(NOISE)
    with pytest.raises(UsageError, match="unknown method"):
        NoisyBackend(NOISE, method="magic")
    with pytest.raises(UsageError, match="trajectories is 1"):
        NoisyBackend(NOISE, trajectories=1)
    with pytest.raises(UsageError, match="memory_bytes is 0"):
        NoisyBackend(NOISE, memory_bytes=0)
    for method in ("density", "trajectories"):
        with pytest.raises(UsageError, match="bytes of working memory"):
            NoisyBackend(NOISE, method=method, memory_bytes=10).expectations(circuit, one, [PauliSum.z(0)])
    with pytest.raises(UsageError, match="acts on 2 qubits"):
        backend.expectations(circuit, one, [PauliSum.z(1)])
    with pytest.raises(UsageError, match="shots >= 1 and a seed"):
        backend.expectations(circuit, one, [PauliSum.z(0)], shots=10)
    with pytest.raises(UsageError, match="shots is 0"):
        backend.sample(circuit, one, 0, 1)
    with pytest.raises(UsageError, match="must have the shape"):
        backend.density_matrices(circuit, one, np.ones((1, 4), complex))
    with pytest.raises(UsageError, match="do not match"):
        backend.density_matrices(circuit, np.zeros((3, 1)), np.eye(2, dtype=complex))
    with pytest.raises(UsageError, match="initial state 1 has the norm 2"):
        backend.density_matrices(circuit, one, np.diag([1, 2]).astype(complex))
    with pytest.raises(UsageError, match="reads out 2 qubits"):
        NoisyBackend(NoiseModel(readout=[np.eye(2)] * 2)).density_matrices(circuit, one)
    values, pullback = backend.expectations_and_pullback(circuit, one, [PauliSum.z(0)])
    with pytest.raises(UsageError, match="slopes"):
        pullback(values[0])
