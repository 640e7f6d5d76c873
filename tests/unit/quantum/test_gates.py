"""The gates' matrices are Qiskit's."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.quantum import Circuit
from qwarden.quantum.gates import KINDS, gate_matrix

library = pytest.importorskip("qiskit.circuit.library")

CLASSES = {
    "h": "HGate", "x": "XGate", "y": "YGate", "z": "ZGate", "s": "SGate", "t": "TGate", "rx": "RXGate",
    "ry": "RYGate", "rz": "RZGate", "p": "PhaseGate", "rxx": "RXXGate", "ryy": "RYYGate",
    "rzz": "RZZGate", "cx": "CXGate", "cz": "CZGate", "crz": "CRZGate", "swap": "SwapGate",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"unitary"}))
def test_matrix_is_qiskits(name: str) -> None:
    angle = 0.7 if KINDS[name].turns else None
    theirs = getattr(library, CLASSES[name])(*([] if angle is None else [angle])).to_matrix()
    np.testing.assert_allclose(gate_matrix(name, angle), theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"unitary"}))
def test_inverse_undoes(name: str) -> None:
    qubits = tuple(range(KINDS[name].qubits))
    gate = Circuit(2).gate(name, *qubits, angle=0.7 if KINDS[name].turns else None).gates[0]
    undo = gate.inverse()
    product = undo.matrix(undo.angle.offset if undo.angle else None) @ gate.matrix(
        gate.angle.offset if gate.angle else None
    )
    np.testing.assert_allclose(product, np.eye(len(product)), rtol=0, atol=1e-15)


def test_a_turning_gate_needs_its_angle() -> None:
    with pytest.raises(ValueError, match="takes an angle"):
        gate_matrix("rx")
