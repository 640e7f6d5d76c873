"""Feature maps are Qiskit's and PennyLane's circuits."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from qwarden.core.errors import UsageError
from qwarden.quantum import (
    FeatureMap,
    LocalBackend,
    iqp_feature_map,
    pauli_feature_map,
    reupload_map,
    z_feature_map,
    zz_feature_map,
)
from qwarden.quantum.circuit import blocks

ENTANGLEMENTS = ["linear", "reverse_linear", "circular", "full"]


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize(
    "paulis", [["Z"], ["Z", "ZZ"], ["Y", "ZX"], ["ZIX", "Z"], ["XYZ", "II", "YY"]], ids="-".join
)
def test_pauli_feature_map_is_qiskits(paulis: list[str], entanglement: str) -> None:
    library = pytest.importorskip("qiskit.circuit.library")
    information = pytest.importorskip("qiskit.quantum_info")
    X = np.random.default_rng(3).normal(size=(2, 4))
    ours = pauli_feature_map(4, paulis, 2, entanglement)
    theirs = library.pauli_feature_map(4, reps=2, entanglement=entanglement, paulis=paulis)
    states = LocalBackend().states(ours, ours.angles(X))
    for row, state in zip(X, states, strict=True):
        expected = information.Statevector(theirs.assign_parameters(row)).data
        np.testing.assert_allclose(state, expected, rtol=0, atol=1e-13)
    assert ours.depth == theirs.depth()
    assert ours.two_qubit_gates == theirs.num_nonlocal_gates()


def test_shorthands_are_pauli_feature_maps() -> None:
    assert z_feature_map(3) == pauli_feature_map(3, ["Z"])
    assert zz_feature_map(3, 1, "linear") == pauli_feature_map(3, ["Z", "ZZ"], 1, "linear")


@pytest.mark.parametrize("entanglement", ["linear", "full"])
def test_iqp_feature_map_is_pennylanes(entanglement: str) -> None:
    qml = pytest.importorskip("pennylane")
    x = np.random.default_rng(4).normal(size=4)
    ours = iqp_feature_map(4, 2, entanglement)

    def circuit() -> object:
        qml.IQPEmbedding(x, wires=range(4), n_repeats=2, pattern=blocks(4, 2, entanglement))
        return qml.state()

    # Wire 0 is PennyLane's most significant bit: give it the devices' wires backwards.
    theirs = qml.QNode(circuit, qml.device("default.qubit", wires=[3, 2, 1, 0]))()
    state = LocalBackend().states(ours, ours.angles(x[None]))[0]
    np.testing.assert_allclose(state, theirs, rtol=0, atol=1e-13)


def test_reupload_map_loads_features_in_turn() -> None:
    ours = reupload_map(features=3, qubits=2, layers=2)
    loaded = [gate.angle.column for gate in ours.gates if gate.angle is not None]
    assert loaded == [0, 1, 2, 0, 1, 2, 0, 1]
    names = [gate.name for gate in ours.gates]
    assert names == ["ry", "rz", "ry", "rz", "cz"] * 2


@pytest.mark.parametrize(
    "feature_map",
    [zz_feature_map(3), pauli_feature_map(3, ["ZZZ", "X"]), iqp_feature_map(3), reupload_map(3, 2, 2)],
    ids=["zz", "pauli", "iqp", "reupload"],
)
def test_pullback_is_the_derivative(feature_map: FeatureMap) -> None:
    generator = np.random.default_rng(6)
    X, weights = generator.normal(size=(2, 3)), generator.normal(size=(2, feature_map.columns))
    gradient = feature_map.pullback(X, weights)
    step = 1e-6
    for feature in range(3):
        shift = step * np.eye(3)[feature]
        slope = (feature_map.angles(X + shift) - feature_map.angles(X - shift)) / (2 * step)
        np.testing.assert_allclose(gradient[:, feature], (weights * slope).sum(axis=1), atol=1e-7)


def test_equal_maps_are_equal() -> None:
    assert zz_feature_map(3) == zz_feature_map(3)
    assert zz_feature_map(3) != zz_feature_map(3, scale=1.0)
    assert iqp_feature_map(2) != reupload_map(2, 2, 1)


def test_states_are_normalised_by_the_oracle_too() -> None:
    ours = zz_feature_map(3)
    angles = ours.angles([[0.1, 0.2, 0.3]])
    np.testing.assert_allclose(
        LocalBackend().states(ours, angles), reference.states(ours, angles), atol=1e-14
    )


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2 qubits"):
        zz_feature_map(1)
    with pytest.raises(UsageError, match="Pauli string"):
        pauli_feature_map(2, ["ZA"])
    with pytest.raises(UsageError, match="groups of 3 among 2"):
        pauli_feature_map(2, ["ZZZ"])
    with pytest.raises(UsageError, match="unknown entanglement"):
        zz_feature_map(3, entanglement="star")
    with pytest.raises(UsageError, match="at least one feature"):
        reupload_map(0, 2, 1)
    with pytest.raises(UsageError, match=r"shape \(n, 3\)"):
        zz_feature_map(3).angles([[1.0, 2.0]])


@pytest.mark.parametrize("name", ["zz", "pauli", "iqp", "reupload"])
def test_unentangled_twin_loads_the_same_products_on_single_qubits(name: str) -> None:
    def make(entangled: bool) -> FeatureMap:
        if name == "zz":
            return zz_feature_map(3, 2, "linear", entangled=entangled)
        if name == "pauli":
            return pauli_feature_map(3, ["Y", "XYZ"], entangled=entangled)
        if name == "iqp":
            return iqp_feature_map(3, 2, entangled=entangled)
        return reupload_map(5, 3, 2, entangled=entangled)

    twin = make(False)
    assert make(True).two_qubit_gates > 0
    assert twin.two_qubit_gates == 0
    assert twin.products == make(True).products
    loaded = {gate.angle.column for gate in twin.gates if gate.angle is not None}
    assert loaded >= set(range(twin.columns))
    X = np.random.default_rng(7).normal(size=(4, twin.features))
    states = LocalBackend().states(twin, twin.angles(X))
    for state in states:  # a product state is of rank one across every cut
        for cut in (2, 4):
            assert np.linalg.svd(state.reshape(-1, cut), compute_uv=False)[1] < 1e-12
