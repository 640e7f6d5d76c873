"""Sifting: which detections count, for what, and what both ends know of them after two messages.

Everything here follows from what was said aloud, so both ends come to the same counts; each adds its own
bits in the key basis, which nobody has said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qwarden.keys.finite_key import Counts
from qwarden.keys.link import Basis, Protocol
from qwarden.keys.party.messages import Detected, Sifted, disclosed
from qwarden.keys.records import Bits, Detections, Preparations, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Sift:
    """What both ends know, and one end's bits in the key basis.

    Parameters
    ----------
    key : this end's sifted key, uint8 (n,).
    key_intensity : of each of its bits (n,).
    detected : pairs in the same basis, by basis (Z, X) and intensity, int64 (2, 3).
    check_errors : those in X whose bits differ, by intensity (3,).
    tests : E91: outcomes of the CHSH test that agree, and all of them; see `observables.chsh`.
    """

    key: Bits = field(repr=False)
    key_intensity: npt.NDArray[np.uint8]
    detected: npt.NDArray[np.int64]
    check_errors: npt.NDArray[np.int64]
    tests: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None

    @property
    def counts(self) -> Counts:
        """What the finite-key bounds ask for."""
        return Counts.of(self.detected[0].tolist(), self.detected[1].tolist(), self.check_errors.tolist())

    @property
    def check_qber(self) -> float:
        """Error rate in X, an estimate of that in Z; one error more than was seen, so never 0."""
        return min(0.5, (int(self.check_errors.sum()) + 1) / (int(self.detected[1].sum()) + 2))


def tell_detections(record: Detections) -> Detected:
    """Return Bob's first message."""
    outside = record.basis != Basis.Z
    return Detected(pulses=record.pulses, index=record.index, basis=record.basis, bits=record.bit[outside])


def answer_detections(
    heard: Detected, record: Preparations | Detections, telemetry: Telemetry
) -> tuple[Sifted, Bits]:
    """Return Alice's answer, and her bits for each detection that she has something for (n,)."""
    mine: npt.NDArray[np.int64] | slice
    if np.array_equal(record.index, heard.index):  # as under BB84, where she sees to no others
        present, mine = np.ones(heard.index.size, dtype=np.bool_), slice(None)
    else:
        at = np.searchsorted(record.index, heard.index)
        at[at == record.index.size] = 0
        present = (
            record.index[at] == heard.index
            if record.index.size
            else np.zeros(heard.index.size, dtype=np.bool_)
        )
        mine = at[present]
    basis, bit = record.basis[mine], record.bit[mine]
    intensity = record.intensity[mine] if isinstance(record, Preparations) else np.zeros_like(basis)
    told = disclosed(basis, heard.basis[present])
    answer = Sifted(
        present=present, basis=basis, intensity=intensity, bits=bit[told], watchdog=telemetry.watchdog
    )
    return answer, bit


def sift(protocol: Protocol, heard: Detected, answer: Sifted, bits: Bits) -> Sift:
    """Put together what was said.

    Parameters
    ----------
    bits : this end's bits of the detections that Alice has something for (n,).
    """
    present = answer.present
    bob_basis = heard.basis if present.all() else heard.basis[present]
    alice_basis, intensity = answer.basis, answer.intensity
    told = disclosed(alice_basis, bob_basis)
    in_key = (alice_basis | bob_basis) == int(Basis.Z)
    # Bob told his bits of all detections outside Z; those that Alice answered are among them.
    answered = np.zeros(heard.basis.size, dtype=np.bool_)
    answered[present] = told
    differ = heard.bits[answered[heard.basis != int(Basis.Z)]] != answer.bits
    alice_told, bob_told = alice_basis[told], bob_basis[told]
    in_check = bob_told == int(Basis.X)  # where Bob has X and Alice has told, she has X too
    checked = intensity[told][in_check]
    key_intensity = intensity[in_key]
    return Sift(
        key=bits[in_key],
        key_intensity=key_intensity,
        detected=np.stack([_by_intensity(key_intensity), _by_intensity(checked)]),
        check_errors=_by_intensity(checked[differ[in_check]]),
        tests=_tests(alice_told, bob_told, differ) if protocol == "e91" else None,
    )


def _by_intensity(intensity: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    # Three comparisons of bytes take a tenth of the time of a histogram.
    return np.array([np.count_nonzero(intensity == level) for level in range(3)], dtype=np.int64)


def _tests(
    alice: npt.NDArray[np.uint8], bob: npt.NDArray[np.uint8], differ: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count outcomes of the CHSH test that agree, and all, by Alice's basis and Bob's, of what was told."""
    tested = bob > int(Basis.X)
    cells = 2 * alice[tested].astype(np.int64) + (bob[tested] - Basis.PLUS)
    same = np.bincount(cells[~differ[tested]], minlength=4).reshape(2, 2)
    return same, np.bincount(cells, minlength=4).reshape(2, 2)
