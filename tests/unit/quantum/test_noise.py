"""Noise models: their channels are channels, and nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest
from random_circuits import random_states

from qwarden.core.errors import UsageError
from qwarden.quantum import NoiseModel
from qwarden.quantum.noise import amplitude_damping, depolarising, phase_damping

RATES = [0.0, 1e-12, 0.3, 1.0]


def image(operators: tuple[np.ndarray, ...], rho: np.ndarray) -> np.ndarray:
    return sum(operator @ rho @ operator.conj().T for operator in operators)


def mixed_state(seed: int, qubits: int) -> np.ndarray:
    states = random_states(np.random.default_rng(seed), 3, qubits)
    return np.einsum("ni,nj->ij", states, states.conj()) / 3


@pytest.mark.parametrize("rate", RATES)
def test_channels_keep_the_trace(rate: float) -> None:
    for operators in (
        depolarising(rate, 1),
        depolarising(rate, 2),
        amplitude_damping(rate),
        phase_damping(rate),
    ):
        total = sum(operator.conj().T @ operator for operator in operators)
        np.testing.assert_allclose(total, np.eye(len(total)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("qubits", [1, 2])
def test_depolarising_mixes_in_the_identity(rate: float, qubits: int) -> None:
    rho, side = mixed_state(1, qubits), 1 << qubits
    expected = (1 - rate) * rho + rate * np.eye(side) / side
    np.testing.assert_allclose(image(depolarising(rate, qubits), rho), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rate", RATES)
def test_damping_moves_each_entry_as_it_should(rate: float) -> None:
    (a, b), (c, d) = rho = mixed_state(2, 1)
    root = np.sqrt(1 - rate)
    decayed = [[a + rate * d, root * b], [root * c, (1 - rate) * d]]
    np.testing.assert_allclose(image(amplitude_damping(rate), rho), decayed, rtol=0, atol=1e-14)
    dephased = [[a, root * b], [root * c, d]]
    np.testing.assert_allclose(image(phase_damping(rate), rho), dephased, rtol=0, atol=1e-14)


def test_a_model_names_the_channels_after_a_gate() -> None:
    noise = NoiseModel.uniform(depolarising_1q=0.1, amplitude_damping=0.2, phase_damping=0.3)
    assert [channel.places for channel in noise.channels(1)] == [(0,), (0,), (0,)]
    assert [channel.places for channel in noise.channels(2)] == [(0,), (1,), (0,), (1,)]
    assert NoiseModel().channels(1) == NoiseModel().channels(2) == ()


def test_equal_models_are_one_key() -> None:
    given = np.array([[[0.9, 0.1], [0.2, 0.8]]])
    assert hash(NoiseModel(readout=given)) == hash(NoiseModel(readout=(((0.9, 0.1), (0.2, 0.8)),)))
    assert NoiseModel(readout=given) == NoiseModel(readout=given.tolist())
    with pytest.raises(AttributeError):
        NoiseModel().phase_damping = 0.5


def test_confusion_is_one_matrix_a_qubit() -> None:
    assert NoiseModel().confusion(2).tolist() == [[[1, 0], [0, 1]]] * 2
    assert NoiseModel.uniform(readout=0.25).confusion(2).tolist() == [[[0.75, 0.25], [0.25, 0.75]]] * 2
    own = [[[1.0, 0.0], [0.5, 0.5]], [[0.75, 0.25], [0.0, 1.0]]]
    assert NoiseModel(readout=own).confusion(2).tolist() == own
    with pytest.raises(UsageError, match="reads out 2 qubits, the circuit has 3"):
        NoiseModel(readout=own).confusion(3)


@pytest.mark.parametrize(
    "name", ["depolarising_1q", "depolarising_2q", "amplitude_damping", "phase_damping", "readout"]
)
@pytest.mark.parametrize("value", [-1e-9, 1.0001, float("nan")])
def test_a_rate_is_a_probability(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name} is .*: expected a probability"):
        NoiseModel.uniform(**{name: value})


@pytest.mark.parametrize(
    ("readout", "message"),
    [
        ([[0.9, 0.1], [0.1, 0.9]], "must have the shape"),
        ([[[0.9, 0.2], [0.1, 0.9]]], "qubit 0: row 0"),
        ([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [-0.1, 1.1]]], "qubit 1: row 1"),
        ([[[1.0, float("nan")], [0.0, 1.0]]], "qubit 0: row 0"),
    ],
)
def test_a_confusion_matrix_holds_chances(readout: list, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NoiseModel(readout=readout)
