from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from qwarden.core.errors import UsageError
from qwarden.quantum import Angle, Circuit, LocalBackend, NoiseModel, NoisyBackend, PauliSum
from qwarden.quantum.algorithms import (
    Contrast,
    estimate_amplitude,
    fit_contrast,
    grover_circuit,
    phase_oracle,
)
from qwarden.quantum.algorithms.amplitude_estimation import clopper_pearson


def coin(amplitude: float) -> Circuit:
    return Circuit(1).ry(0, 2 * math.asin(math.sqrt(amplitude)))


class Depolarised(LocalBackend):
    """A machine that replaces the state by the maximally mixed one, the likelier the longer the circuit.

    `left` is the share that a Grover iteration of `coin` leaves: it has four gates.
    """

    def __init__(self, left: float, prepared: float = 1.0) -> None:
        super().__init__()
        self.left, self.prepared = left, prepared

    def sample(self, circuit, angles, shots, seed, initial=None):
        power, rest = divmod(len(circuit.gates) - 1, 4)
        assert rest == 0
        left = self.prepared * self.left**power
        chances = np.abs(self.states(circuit, angles)[0]) ** 2
        mixed = left * chances + (1 - left) / circuit.dimension
        return np.random.default_rng(seed).multinomial(shots, mixed / mixed.sum(), size=1)


def coverage(amplitude: float, runs: int, **options) -> tuple[float, float]:
    """Return how often the interval holds the truth, and the mean bias."""
    results = [estimate_amplitude(coin(amplitude), [1], seed=seed, **options) for seed in range(runs)]
    held = np.mean([result.lower <= amplitude <= result.upper for result in results])
    return float(held), float(np.mean([result.estimate for result in results]) - amplitude)


@pytest.mark.parametrize("amplitude", [0.0, 0.003, 0.2, 0.5, 0.87, 1.0])
def test_interval_holds_the_truth_and_is_as_narrow_as_asked(amplitude):
    for seed in range(8):
        result = estimate_amplitude(coin(amplitude), [1], precision=0.01, confidence=0.999, seed=seed)
        assert result.converged
        assert result.lower - 1e-12 <= amplitude <= result.upper + 1e-12
        assert result.upper - result.lower <= 0.02
        assert result.lower <= result.estimate <= result.upper


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_coverage_over_seeds(confidence):
    """At least the confidence asked for: three standard deviations of 120 runs below it would be a miss."""
    held, bias = coverage(0.23, 120, precision=0.01, confidence=confidence)
    assert held > confidence - 3 * math.sqrt(confidence * (1 - confidence) / 120)
    assert abs(bias) < 0.003


def test_oracle_calls_grow_as_one_over_the_precision():
    """Sampling would take 1 / precision^2: for a tenth of the error a hundred times the runs."""
    calls = [
        np.mean([estimate_amplitude(coin(0.3), [1], precision=e, seed=s).oracle_calls for s in range(10)])
        for e in (0.01, 0.001)
    ]
    assert 4 < calls[1] / calls[0] < 30


def test_good_states_of_a_larger_register():
    preparation = Circuit(3).h(0).cx(0, 1).ry(2, Angle(0)).rz(1, Angle(1)).cx(2, 0)
    row, good = [0.9, 0.4], [1, 4, 6]
    truth = (np.abs(LocalBackend().states(preparation, [row])[0, good]) ** 2).sum()
    result = estimate_amplitude(
        preparation, good, angles=row, precision=0.005, confidence=0.999, seed=2, shots=200
    )
    assert result.lower <= truth <= result.upper
    assert result.powers[0] == 0
    assert list(result.powers) == sorted(result.powers)
    assert result.deepest.depth > preparation.depth
    assert result.shots >= 200 * len(result.powers)


def test_the_model_is_what_gate_noise_on_one_qubit_does():
    """Depolarising after every gate, by density matrix: one gate prepares, an iteration has four."""
    backend, p, theta = NoisyBackend(NoiseModel(depolarising_1q=0.02)), 0.02, math.asin(math.sqrt(0.3))
    contrast = Contrast((1 - p) ** 4, 1 - p)
    for power in (0, 1, 5, 12):
        circuit = grover_circuit(phase_oracle(1, [1]), power, coin(0.3))
        found = (1 - backend.expectations(circuit, np.zeros((1, 0)), [PauliSum.z(0)])[0, 0]) / 2
        left = contrast.after(power)[0]
        expected = left * math.sin((2 * power + 1) * theta) ** 2 + (1 - left) / 2
        assert found == pytest.approx(expected, abs=1e-12)


def test_known_noise_is_taken_out():
    """Not told of the noise, the estimate is wrong; told, it holds the truth as often as it should."""
    machine = Depolarised(0.9)
    options = {"precision": 0.004, "backend": machine}
    unaware, _ = coverage(0.1, 40, **options)
    aware, bias = coverage(0.1, 40, contrast=Contrast(0.9), **options)
    assert unaware < 0.5
    assert aware > 0.9
    assert abs(bias) < 0.003


def test_noise_widens_the_interval_for_the_same_calls():
    quiet, noisy = (
        estimate_amplitude(
            coin(0.1),
            [1],
            precision=0.0005,
            seed=1,
            max_oracle_calls=4000,
            backend=machine,
            contrast=contrast,
        )
        for machine, contrast in ((LocalBackend(), None), (Depolarised(0.95), Contrast(0.95)))
    )
    assert not noisy.converged
    assert noisy.oracle_calls <= 4000
    assert noisy.upper - noisy.lower > 2 * (quiet.upper - quiet.lower)
    assert max(noisy.powers) <= Contrast(0.95).best_power < 20
    assert noisy.lower <= 0.1 <= noisy.upper


def test_an_uncertain_contrast_widens_further_and_covers_the_truth_within_it():
    machine = Depolarised(0.96)
    results = {
        error: [
            estimate_amplitude(
                coin(0.1),
                [1],
                precision=0.02,
                seed=seed,
                backend=machine,
                contrast=Contrast(0.97, error=error),
                max_oracle_calls=20_000,
            )
            for seed in range(30)
        ]
        for error in (0.0, 0.015)
    }
    widths = {error: np.mean([r.upper - r.lower for r in found]) for error, found in results.items()}
    spent = {error: np.mean([r.oracle_calls for r in found]) for error, found in results.items()}
    assert widths[0.015] > widths[0.0] or spent[0.015] > spent[0.0]
    assert np.mean([r.lower <= 0.1 <= r.upper for r in results[0.015]]) >= 0.95


@pytest.mark.parametrize(("left", "prepared"), [(0.98, 1.0), (0.93, 0.9)])
def test_contrast_is_found_within_its_error(left, prepared):
    machine = Depolarised(left, prepared)
    fits = [
        fit_contrast(coin(0.15), [1], powers=[0, 1, 2, 4, 7, 11, 16], shots=2000, seed=seed, backend=machine)
        for seed in range(8)
    ]
    assert sum(abs(fit.per_iteration - left) <= fit.error for fit in fits) >= 6
    assert all(0.0 < fit.error < 0.02 for fit in fits)
    assert np.mean([fit.preparation for fit in fits]) == pytest.approx(prepared, abs=0.03)


def test_clopper_pearson_is_scipys():
    for hits, shots in ((0, 7), (7, 7), (3, 10), (90, 1000)):
        low = beta.ppf(0.025, hits, shots - hits + 1) if hits else 0.0
        high = beta.ppf(0.975, hits + 1, shots - hits) if hits < shots else 1.0
        assert clopper_pearson(hits, shots, 0.05) == pytest.approx((low, high), abs=1e-12)


def test_one_seed_gives_one_estimate():
    first, second = (estimate_amplitude(coin(0.4), [1], precision=0.02, seed=4) for _ in range(2))
    assert first == second


def test_what_makes_no_sense_is_refused():
    for wrong in ({"precision": 0.0}, {"confidence": 1.0}, {"shots": 0}, {"angles": [1.0]}):
        with pytest.raises(UsageError):
            estimate_amplitude(coin(0.5), [1], **{"precision": 0.1, "seed": 0, **wrong})
    with pytest.raises(UsageError, match="out of range"):
        estimate_amplitude(coin(0.5), [2], precision=0.1, seed=0)
    with pytest.raises(UsageError, match="three powers"):
        fit_contrast(coin(0.5), [1], powers=[0, 1], shots=10, seed=0)
    for contrast in ({"per_iteration": 0.0}, {"preparation": 1.1}, {"per_iteration": 0.5, "error": 0.5}):
        with pytest.raises(UsageError, match=r"contrast|error"):
            Contrast(**contrast)
