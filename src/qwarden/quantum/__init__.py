"""Quantum circuits, simulated exactly and fast; knows nothing of security.

In: a `Circuit` (built gate by gate, or by a feature map or an ansatz) and a batch x angles matrix.
Out: states, expectation values of `PauliSum` observables, their gradients with respect to the angles,
counts of finite shots, and kernels of states.

>>> import numpy as np
>>> circuit = Circuit(2).ry(0, Angle(0)).cx(0, 1)
>>> backend = LocalBackend()
>>> backend.expectations(circuit, np.array([[0.0], [np.pi / 2]]), [PauliSum.z(1)]).round(12).tolist()
[[1.0], [0.0]]

Start reading in `circuit`, then `backend` (the contract), `backends.local` (this machine), `kernels`;
`algorithms` holds amplitude estimation, QAOA and Grover search. Circuits draw themselves: `Circuit.draw`.
"""

from qwarden.quantum.alignment import alignment_and_cotangent
from qwarden.quantum.ansatz import cz_ring_reupload, efficient_su2, real_amplitudes, strongly_entangling
from qwarden.quantum.backend import Backend, Pullback, StateBackend
from qwarden.quantum.backends.local import LocalBackend, warm_up
from qwarden.quantum.backends.noisy import NoisyBackend
from qwarden.quantum.circuit import MAX_QUBITS, Angle, Circuit, Gate
from qwarden.quantum.feature_maps import (
    FeatureMap,
    iqp_feature_map,
    pauli_feature_map,
    reupload_map,
    z_feature_map,
    zz_feature_map,
)
from qwarden.quantum.kernels import (
    NystromMap,
    evaluate_form,
    fidelity_kernel,
    nystrom_landmarks,
    observable_form,
    swap_test,
    swap_test_circuit,
)
from qwarden.quantum.noise import NoiseModel
from qwarden.quantum.pauli import PauliSum
from qwarden.quantum.primal import TrainedForm, density_features, train_form
from qwarden.quantum.projected import projected_features, projected_kernel, reduced_densities
from qwarden.quantum.scoring import RowScorer

__all__ = [
    "MAX_QUBITS",
    "Angle",
    "Backend",
    "Circuit",
    "FeatureMap",
    "Gate",
    "LocalBackend",
    "NoiseModel",
    "NoisyBackend",
    "NystromMap",
    "PauliSum",
    "Pullback",
    "RowScorer",
    "StateBackend",
    "TrainedForm",
    "alignment_and_cotangent",
    "cz_ring_reupload",
    "density_features",
    "efficient_su2",
    "evaluate_form",
    "fidelity_kernel",
    "iqp_feature_map",
    "nystrom_landmarks",
    "observable_form",
    "pauli_feature_map",
    "projected_features",
    "projected_kernel",
    "real_amplitudes",
    "reduced_densities",
    "reupload_map",
    "strongly_entangling",
    "swap_test",
    "swap_test_circuit",
    "train_form",
    "warm_up",
    "z_feature_map",
    "zz_feature_map",
]
