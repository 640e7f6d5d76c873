"""Single precision: rounded states, float32 kernels and forms."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from random_circuits import random_circuit, random_states

from qwarden.core.errors import UsageError
from qwarden.quantum import (
    LocalBackend,
    evaluate_form,
    fidelity_kernel,
    observable_form,
    real_amplitudes,
    zz_feature_map,
)

BACKEND = LocalBackend()


@pytest.mark.parametrize("qubits", range(1, 7))
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_single_states_are_the_oracles_rounded_once(qubits: int, rows: int) -> None:
    generator = np.random.default_rng(qubits)
    circuit = random_circuit(generator, qubits, gates=12)
    angles = generator.normal(size=(rows, circuit.columns))
    for initial in (None, random_states(generator, rows, qubits)):
        states = BACKEND.states(circuit, angles, initial, precision="single")
        assert states.dtype == np.complex64
        assert (states == BACKEND.states(circuit, angles, initial).astype(np.complex64)).all()
        assert np.abs(states - reference.states(circuit, angles, initial)).max() < 6.1e-8  # half a last digit


def test_one_row_of_angles_for_the_whole_batch_rounds_as_well() -> None:
    generator = np.random.default_rng(3)
    circuit, initial = real_amplitudes(2, 1), random_states(generator, 64, 2)
    angles = generator.normal(size=(1, circuit.columns))
    states = BACKEND.states(circuit, angles, initial, precision="single")
    assert states.dtype == np.complex64
    np.testing.assert_allclose(states, reference.states(circuit, angles, initial), rtol=0, atol=2e-7)


@pytest.mark.parametrize("qubits", [1, 4, 6, 8])
def test_float32_kernels_stay_close_even_where_fidelities_are_near_one(qubits: int) -> None:
    generator = np.random.default_rng(qubits)
    feature_map = zz_feature_map(qubits, 2, "linear") if qubits > 1 else real_amplitudes(1, 1)
    X = generator.uniform(0, np.pi, (120, qubits if qubits > 1 else feature_map.columns))
    X[80:] = X[:40] + 1e-3 * generator.normal(size=(40, X.shape[1]))
    angles = feature_map.angles(X) if qubits > 1 else X
    exact = reference.states(feature_map, angles)
    expected = np.abs(exact @ exact.conj().T) ** 2
    states = BACKEND.states(feature_map, angles, precision="single")
    for kernel in (fidelity_kernel(states), fidelity_kernel(states, states)):
        assert kernel.dtype == np.float32
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-6)
    symmetric = fidelity_kernel(states)
    assert (symmetric == symmetric.T).all()


def test_a_form_is_built_in_double_and_read_in_single() -> None:
    generator = np.random.default_rng(5)
    support, states = random_states(generator, 100, 4), random_states(generator, 20, 4)
    weights = generator.normal(size=100)
    expected = np.abs(states @ support.conj().T) ** 2 @ weights
    form = observable_form(support.astype(np.complex64), weights)
    assert form.dtype == np.complex128
    values = evaluate_form(form, states.astype(np.complex64))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)


def test_one_side_in_double_makes_the_kernel_double() -> None:
    states = random_states(np.random.default_rng(7), 5, 3)
    kernel = fidelity_kernel(states, states.astype(np.complex64))
    assert kernel.dtype == np.float64
    np.testing.assert_allclose(kernel, np.abs(states @ states.conj().T) ** 2, rtol=0, atol=2e-7)


def test_another_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="half"):
        BACKEND.states(real_amplitudes(1, 1), np.zeros((1, 2)), precision="half")  # type: ignore[call-overload]
