"""Entangled pairs of E91 behind a stabiliser code: error rates before and after, in both bases.

Alice keeps one half of a pair, the other is encoded and its qubits travel one by one through the link. Bob
measures the stabilisers, decodes, and both measure. The whole is simulated in the stabiliser formalism, both
bases of the same pair at once: XX and ZZ commute.

What a code costs is said beside what it gains: n photons a pair, all of which must arrive. Over a fibre that
loses most photons that is the end of it (`Protected.pairs_per_photon` at the link's efficiency); it pays
where photons are stored or links are short. Table 1 of the article asks for error correction on E91; this is
what it measures to.

Source: Gottesman, arXiv:quant-ph/9705052; Gidney, Quantum 5, 497 (2021) (the simulator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qwarden.core.errors import UnavailableError
from qwarden.keys.qec.codes import Code, Pauli, table

if TYPE_CHECKING:
    import stim


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """What a code does for pairs.

    Parameters
    ----------
    raw_qber : of an unprotected pair, in either basis.
    qber_z, qber_x : after decoding.
    photons : sent for a pair.
    shots : pairs simulated.
    """

    raw_qber: float
    qber_z: float
    qber_x: float
    photons: int
    shots: int

    @property
    def qber(self) -> float:
        """The larger of both error rates."""
        return max(self.qber_z, self.qber_x)

    def pairs_per_photon(self, efficiency: float) -> float:
        """Return pairs a photon sent, where each photon arrives with chance `efficiency` and all must."""
        return efficiency**self.photons / self.photons


def depolarising(qber: float) -> float:
    """Return the chance of a Pauli error that turns a perfect pair into one of this QBER (Werner state)."""
    return 1.5 * qber


def protect(code: Code, raw_qber: float, *, shots: int, seed: int) -> Protected:
    """Simulate pairs behind a code.

    Parameters
    ----------
    raw_qber : that each physical qubit's channel would give an unprotected pair, 0 to 0.5.

    Raises
    ------
    UnavailableError
        The simulator is not installed (extra ``qec``).
    """
    circuit = pair_circuit(code, depolarising(raw_qber))
    detectors, observables = circuit.compile_detector_sampler(seed=seed).sample(
        shots, separate_observables=True
    )
    predicted = _decode(code, circuit, detectors)
    wrong = np.asarray(observables) != predicted
    qber_z, qber_x = wrong.mean(axis=0)
    return Protected(
        raw_qber=raw_qber, qber_z=float(qber_z), qber_x=float(qber_x), photons=code.qubits, shots=shots
    )


def pair_circuit(code: Code, error: float) -> stim.Circuit:
    """Return the circuit of one pair: qubits 0 to n - 1 travel, qubit n stays with Alice.

    Measuring the stabilisers and the two correlations first makes the encoded pair, whatever the signs; an
    error is what changes between that and the second measurement of the same operators. Observables: ZZ, XX.
    """
    stim = library("stim")
    n, count = code.qubits, len(code.stabilisers)
    kept = [f"{code.logical_z}Z", f"{code.logical_x}X"]
    products = [_product(row) for row in (*(row + "I" for row in code.stabilisers), *kept)]
    lines = [f"MPP {' '.join(products)}", f"DEPOLARIZE1({error}) {' '.join(map(str, range(n)))}"]
    lines.append(f"MPP {' '.join(products)}")
    both = len(products)
    lines += [f"DETECTOR rec[{k - both}] rec[{k - 2 * both}]" for k in range(count)]
    lines += [
        f"OBSERVABLE_INCLUDE({k}) rec[{count + k - both}] rec[{count + k - 2 * both}]" for k in range(2)
    ]
    return stim.Circuit("\n".join(lines))


def library(name: str) -> Any:
    """Import a library of the extra ``qec``; raises `UnavailableError`."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(name, "is not installed; it comes with the extra qec") from error


def _decode(code: Code, circuit: stim.Circuit, detectors: Any) -> Any:
    """Return which observables the decoder says were flipped, bool (shots, 2)."""
    if code.decoder == "matching":
        matching = library("pymatching").Matching.from_detector_error_model(
            circuit.detector_error_model(decompose_errors=True)
        )
        return matching.decode_batch(detectors).astype(np.bool_)
    likeliest = table(code)
    weights = 1 << np.arange(len(code.stabilisers))
    lookup = np.zeros((2 ** len(code.stabilisers), 2), dtype=np.bool_)
    for flips, answer in likeliest.items():
        lookup[int(np.dot(weights, flips))] = answer
    return lookup[np.asarray(detectors) @ weights]


def _product(pauli: Pauli) -> str:
    return "*".join(f"{letter}{place}" for place, letter in enumerate(pauli) if letter != "I")
