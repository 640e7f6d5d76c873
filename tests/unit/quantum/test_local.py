"""The compiled engine against the readable one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
from random_circuits import random_circuit, random_observable, random_states, random_unitary

from qwarden.core.errors import UsageError
from qwarden.quantum import (
    Angle,
    Circuit,
    LocalBackend,
    PauliSum,
    RowScorer,
    _fidelity,
    cz_ring_reupload,
    efficient_su2,
    fidelity_kernel,
    pauli_feature_map,
    real_amplitudes,
    strongly_entangling,
    warm_up,
    zz_feature_map,
)
from qwarden.quantum.backends import _engine, _program, _scoring, _shared
from qwarden.quantum.backends.local import program_of
from qwarden.quantum.gates import KINDS

BACKEND = LocalBackend()
CLOSE = {"rtol": 0, "atol": 1e-13}


def check_everything(
    circuit: Circuit, angles: np.ndarray, seed: int = 0, initial: np.ndarray | None = None
) -> None:
    """Compare states, expectation values and both pullbacks with the oracle."""
    generator = np.random.default_rng(seed)
    expected = reference.states(circuit, angles, initial)
    np.testing.assert_allclose(BACKEND.states(circuit, angles, initial), expected, **CLOSE)
    for letters in ("IZ", "IXYZ"):
        observables = [random_observable(generator, circuit.qubits, letters) for _ in range(3)]
        values, pullback = BACKEND.expectations_and_pullback(circuit, angles, observables, initial)
        np.testing.assert_allclose(values, reference.expectations(expected, observables), **CLOSE)
        weights = generator.normal(size=values.shape)
        gradient = reference.expectation_gradient(circuit, angles, observables, weights, initial)
        shared = len(angles) == 1
        np.testing.assert_allclose(
            pullback(weights), gradient.sum(axis=0, keepdims=True) if shared else gradient, rtol=0, atol=1e-11
        )
    states, pullback = BACKEND.states_and_pullback(circuit, angles, initial)
    np.testing.assert_allclose(states, expected, **CLOSE)
    cotangents = generator.normal(size=states.shape) + 1j * generator.normal(size=states.shape)
    gradient = np.zeros((len(states), circuit.columns))
    for i in range(len(states)):
        start = None if initial is None else initial[i if len(initial) > 1 else 0]
        moved = reference.tangents(circuit, angles[i if len(angles) > 1 else 0], start)
        gradient[i] = (moved @ cotangents[i].conj()).real
    if len(angles) == 1:
        gradient = gradient.sum(axis=0, keepdims=True)
    np.testing.assert_allclose(pullback(cotangents), gradient, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("start", ["ground", "given"])
def test_each_gate(name: str, start: str) -> None:
    generator = np.random.default_rng(7)
    width = KINDS[name].qubits or 2
    circuit = Circuit(3, columns=2).ry(0, 0.4).rx(1, 1.1).h(2).rzz(0, 2, 0.3)
    for qubits in [(0,), (2,)] if width == 1 else [(0, 1), (2, 0)]:
        angle = 1.5 * Angle(1) + 0.2 if KINDS[name].turns else None
        matrix = random_unitary(generator, 1 << width) if name == "unitary" else None
        circuit = circuit.gate(name, *qubits, angle=angle, matrix=matrix).rx(0, Angle(0))
    initial = random_states(generator, 5, 3) if start == "given" else None
    check_everything(circuit, generator.normal(size=(5, 2)), initial=initial)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_each_gate_alone_on_the_ground_state(name: str) -> None:
    """The first gate meets amplitudes the engine knows to be zero."""
    generator = np.random.default_rng(8)
    width = KINDS[name].qubits or 1
    angle = Angle(0) if KINDS[name].turns else None
    matrix = random_unitary(generator, 2) if name == "unitary" else None
    for qubits in [(0,), (2,)] if width == 1 else [(0, 1), (2, 0), (1, 2)]:
        circuit = Circuit(3, columns=1).gate(name, *qubits, angle=angle, matrix=matrix)
        check_everything(circuit, generator.normal(size=(2, 1)))


@pytest.mark.parametrize(
    "circuit",
    [
        zz_feature_map(4, 2, "linear"),
        zz_feature_map(3, 2, "full"),
        pauli_feature_map(3, ["ZZZ", "XY", "Y"], 2, "linear"),
        real_amplitudes(4, 2, "full"),
        efficient_su2(3, 2, "circular"),
        strongly_entangling(4, 2),
        cz_ring_reupload(4, 2),
        cz_ring_reupload(1, 2),
        Circuit(2),
        Circuit(3, columns=2),
    ],
    ids=lambda circuit: repr(circuit).split(",", 1)[1][:40],
)
@pytest.mark.parametrize("rows", [1, 4, 6])
def test_each_circuit(circuit: Circuit, rows: int) -> None:
    check_everything(circuit, np.random.default_rng(rows).normal(size=(rows, circuit.columns)))


@pytest.mark.parametrize("seed", range(12))
def test_one_row_of_angles_for_many_states(seed: int) -> None:
    """Enough rows that the circuit becomes a matrix; real and complex circuits."""
    generator = np.random.default_rng(seed)
    circuit = (
        real_amplitudes(2, 2)
        if seed % 3 == 0
        else random_circuit(generator, 1 + seed % 3, 12, named_only=seed % 2 == 0)
    )
    initial = random_states(generator, 19, circuit.qubits)
    check_everything(circuit, generator.normal(size=(1, circuit.columns)), seed, initial)


def test_one_initial_state_for_many_rows_of_angles() -> None:
    generator = np.random.default_rng(2)
    circuit = random_circuit(generator, 3, 20)
    check_everything(circuit, generator.normal(size=(6, 4)), initial=random_states(generator, 1, 3))


def test_initial_states_need_not_be_normalised() -> None:
    generator = np.random.default_rng(3)
    initial = 3.0 * random_states(generator, 20, 2)
    check_everything(real_amplitudes(2, 1), generator.normal(size=(1, 4)), initial=initial)


def test_runs_of_monomial_gates_become_three_instructions() -> None:
    """However many they are: one phase, one table of octants, one permutation."""
    circuit = Circuit(3).ry(0, 1.0).ry(1, 1.0).ry(2, 1.0)
    for _ in range(5):
        circuit = circuit.cx(0, 1).rz(1, Angle(0)).y(2).t(0).crz(1, 2, Angle(1)).swap(0, 2).cz(0, 1)
    code = program_of(circuit, True).code
    kinds = program_of(circuit, True).ints[: code.op_count * _program.OPERANDS : _program.OPERANDS]
    assert kinds.tolist() == [_program.GROW] * 3 + [_program.PHASE, _program.OCTANT, _program.PERMUTE]
    check_everything(circuit, np.random.default_rng(4).normal(size=(3, 2)))


def test_the_zz_map_takes_each_angles_sine_once() -> None:
    program = program_of(zz_feature_map(5, 3, "linear"), True)
    assert program.code.slots == 5 + 4 + 1  # one a qubit, one a pair, and the phase of the whole state


@pytest.mark.parametrize("initial_rows", [0, 1, 23])
def test_a_small_memory_budget_changes_nothing(initial_rows: int) -> None:
    generator = np.random.default_rng(9)
    circuit, angles = strongly_entangling(4, 2), generator.normal(size=(23, 24))
    initial = random_states(generator, initial_rows, 4) if initial_rows else None
    observables = [PauliSum.z(0), PauliSum.from_terms({"XYZI": 0.5})]
    weights = generator.normal(size=(23, 2))
    tight = LocalBackend(memory_bytes=16_000)
    results = []
    for backend in (tight, BACKEND):
        values, pullback = backend.expectations_and_pullback(circuit, angles, observables, initial)
        counts = backend.sample(circuit, angles, 100, 1, initial)
        results.append((values, pullback(weights), backend.states(circuit, angles, initial), counts))
    for small, large in zip(*results, strict=True):
        np.testing.assert_array_equal(small, large)


def test_a_budget_below_one_tile_is_refused() -> None:
    with pytest.raises(UsageError, match="memory_bytes is 1000"):
        LocalBackend(memory_bytes=1000).states(Circuit(6).h(0), np.zeros((1, 0)))
    with pytest.raises(UsageError, match="positive"):
        LocalBackend(memory_bytes=0)


@pytest.mark.parametrize(
    "circuit", [zz_feature_map(5), strongly_entangling(5, 2), pauli_feature_map(4, ["XY"])]
)
def test_a_row_does_not_depend_on_its_batch(circuit: Circuit) -> None:
    """To the last bit, wherever in a batch it stands, even beside angles beyond the fast sine."""
    angles = np.random.default_rng(10).normal(size=(11, circuit.columns))
    angles[4] *= 1e6
    observables = [PauliSum.z(i) for i in range(circuit.qubits)]
    together = BACKEND.states(circuit, angles)
    values, pullback = BACKEND.expectations_and_pullback(circuit, angles, observables)
    gradient = pullback(values)
    for row in range(11):
        alone = angles[row : row + 1]
        np.testing.assert_array_equal(BACKEND.states(circuit, alone)[0], together[row])
        value, pull = BACKEND.expectations_and_pullback(circuit, alone, observables)
        np.testing.assert_array_equal(value[0], values[row])
        np.testing.assert_array_equal(pull(value)[0], gradient[row])
    assert np.array_equal(together, BACKEND.states(circuit, angles))


def test_global_phase_and_huge_angles() -> None:
    circuit = Circuit(1).h(0).p(0, Angle(0)).rx(0, Angle(0))
    angles = np.array([[1e5 + 0.1], [-3e9], [1e15], [0.5]])
    np.testing.assert_allclose(BACKEND.states(circuit, angles), reference.states(circuit, angles), atol=1e-15)


def test_twenty_qubits() -> None:
    """A product state, a GHZ chain, and a gradient, whose values are known on paper."""
    qubits = 20
    circuit = Circuit(qubits)
    for q in range(qubits):
        circuit = circuit.ry(q, Angle(q)).rz(q, Angle(q))
    angles = np.linspace(0.1, 2.0, qubits)[None]
    readout = [PauliSum.z(0), PauliSum.zz(3, 19)]
    values, pullback = BACKEND.expectations_and_pullback(circuit, angles, readout)
    cos, sin = np.cos(angles[0]), np.sin(angles[0])
    np.testing.assert_allclose(values, [[cos[0], cos[3] * cos[19]]], rtol=0, atol=1e-12)
    gradient = np.zeros((1, qubits))
    gradient[0, [0, 3, 19]] = -sin[0], -sin[3] * cos[19], -cos[3] * sin[19]
    np.testing.assert_allclose(pullback([[1.0, 1.0]]), gradient, rtol=0, atol=1e-12)
    ghz = Circuit(qubits).h(0)
    for q in range(qubits - 1):
        ghz = ghz.cx(q, q + 1)
    state = BACKEND.states(ghz, np.zeros((1, 0)))[0]
    assert np.flatnonzero(state).tolist() == [0, (1 << qubits) - 1]
    np.testing.assert_allclose(state[[0, -1]], math.sqrt(0.5), rtol=1e-15)


def test_no_rows() -> None:
    circuit = real_amplitudes(2, 1)
    values, pullback = BACKEND.expectations_and_pullback(circuit, np.zeros((0, 4)), [PauliSum.z(0)])
    assert values.shape == (0, 1)
    assert pullback(np.zeros((0, 1))).shape == (0, 4)
    assert BACKEND.states(circuit, np.zeros((0, 4))).shape == (0, 4)


def test_no_observables_and_the_identity() -> None:
    circuit, angles = real_amplitudes(2, 1), np.ones((3, 4))
    assert BACKEND.expectations(circuit, angles, []).shape == (3, 0)
    identity = PauliSum.from_terms({"II": 2.0})
    np.testing.assert_allclose(BACKEND.expectations(circuit, angles, [identity]), 2.0, rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: BACKEND.expectations(Circuit(1), np.zeros((1, 0)), [PauliSum.z(1)]), "acts on 2 qubits"),
        (lambda: BACKEND.states(Circuit(2), np.zeros((1, 0)), np.ones((1, 2))), r"shape \(n, 4\)"),
        (lambda: BACKEND.states(Circuit(1), np.zeros((2, 0)), np.ones((3, 2))), "2 rows of angles"),
        (lambda: BACKEND.sample(Circuit(1), np.zeros((1, 0)), 0, 1), "shots is 0"),
        (lambda: BACKEND.expectations(Circuit(1), np.zeros((1, 0)), [], shots=5), "a seed"),
        (
            lambda: BACKEND.expectations_and_pullback(Circuit(1), np.zeros((1, 0)), [PauliSum.z(0)])[1](
                [1.0]
            ),
            r"shape \(1, 1\)",
        ),
        (
            lambda: BACKEND.states_and_pullback(Circuit(1), np.zeros((1, 0)))[1](np.ones((2, 2))),
            r"shape \(1, 2\)",
        ),
    ],
)
def test_nonsense_is_refused(call: object, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("qubits", range(1, 10))
def test_a_layer_of_hadamards_is_one_pass_for_every_set_of_qubits(qubits: int) -> None:
    """Four qubits a pass, two, one: every way to cut a layer, next to rotations and from any state."""
    generator = np.random.default_rng(qubits)
    circuit = Circuit(qubits, columns=1).ry(0, Angle(0))
    for _ in range(3):
        for qubit in np.flatnonzero(generator.random(qubits) < 0.8):
            circuit = circuit.h(int(qubit))
        circuit = circuit.rz(int(generator.integers(qubits)), Angle(0))
    angles = generator.normal(size=(5, 1))
    for initial in (None, random_states(generator, 5, qubits)):
        states, pullback = BACKEND.states_and_pullback(circuit, angles, initial)
        np.testing.assert_allclose(states, reference.states(circuit, angles, initial), **CLOSE)
        cotangents = random_states(generator, 5, qubits)
        expected = [
            (reference.tangents(circuit, angles[i], None if initial is None else initial[i])[0])
            @ cotangents[i].conj()
            for i in range(5)
        ]
        np.testing.assert_allclose(pullback(cotangents)[:, 0], np.real(expected), **CLOSE)


def test_nothing_is_compiled_after_the_warm_up() -> None:
    """Read-only, strided and one-row inputs all run the code that is in the cache already."""
    warm_up()
    functions = (
        _engine.run_forward, _engine.run_backward, _shared._stack, _shared._measure, _shared._weigh,
        _fidelity.split, _fidelity.square, _fidelity.mirror, _scoring.score_rows,
    )  # fmt: skip
    compiled = [len(function.signatures) for function in functions]
    generator = np.random.default_rng(11)
    angles = generator.normal(size=(16, 8))[::2, ::2]
    frozen = angles.copy()
    frozen.flags.writeable = False
    circuit, readout = real_amplitudes(2, 1), [PauliSum.z(0)]
    for given in (angles, frozen, angles[:1], np.asfortranarray(angles), angles.tolist()):
        for initial in (None, random_states(generator, 1, 2)):
            values, pullback = BACKEND.expectations_and_pullback(circuit, given, readout, initial)
            slopes = np.ones_like(values)
            slopes.flags.writeable = False
            pullback(slopes)
    several = random_states(generator, 9, 2)
    several.flags.writeable = False
    BACKEND.expectations(circuit, frozen[:1], readout, several)
    fidelity_kernel(several)
    fidelity_kernel(several[::2], several[:1])
    rounded = several.astype(np.complex64)
    fidelity_kernel(rounded)
    fidelity_kernel(rounded[::2], several[:1])
    BACKEND.states(circuit, frozen[:1], precision="single")
    for table in (np.ones(4), np.eye(4)):
        score = RowScorer(circuit, np.ones((3, circuit.columns)), np.zeros(circuit.columns), [0, 0, 0], table)
        for rows in (np.zeros((2, 3)), np.zeros((4, 6))[::2, ::2], np.zeros((2, 3), np.float32)):
            score(rows)
    assert compiled == [len(function.signatures) for function in functions]
