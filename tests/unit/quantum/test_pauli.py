"""Pauli sums are Qiskit's `SparsePauliOp`."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.quantum import PauliSum


def test_matrix_is_qiskits() -> None:
    information = pytest.importorskip("qiskit.quantum_info")
    terms = {"XYZ": 0.3, "IIZ": -1.5, "YIY": 2.0, "III": 0.25}
    theirs = information.SparsePauliOp.from_list(list(terms.items())).to_matrix()
    np.testing.assert_allclose(PauliSum.from_terms(terms).matrix(3), theirs, rtol=0, atol=1e-15)


def test_shorthands_and_arithmetic() -> None:
    made = 2 * PauliSum.z(0) - PauliSum.zz(2, 1)
    written = PauliSum.from_terms({"IIZ": 2.0, "ZZI": -1.0})
    assert made == written
    assert made.diagonal
    assert not PauliSum.from_terms({"IX": 1.0}).diagonal
    assert (PauliSum.z(4).qubits, PauliSum.zz(1, 3).qubits) == (5, 4)


def test_labels_round_trip() -> None:
    terms = {"XYZI": 1.0, "ZZXY": 2.0}
    assert PauliSum.from_terms(terms).labels(4) == list(terms)


def test_repr_names_the_qubits() -> None:
    assert repr(PauliSum.from_terms({"XIY": 0.5, "III": 2.0})) == "PauliSum(0.5*X2 Y0 + 2*I)"


@pytest.mark.parametrize("text", ["", "XQ", "xz"])
def test_bad_strings_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Pauli string"):
        PauliSum.from_terms({text: 1.0})


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="negative"):
        PauliSum.z(-1)
    with pytest.raises(UsageError, match="both 1"):
        PauliSum.zz(1, 1)
    with pytest.raises(UsageError, match="finite"):
        PauliSum.from_terms({"Z": float("nan")})
