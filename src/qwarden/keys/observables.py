"""What a block shows of the link, once its bases, intensities and errors are known: the monitor's input.

Everything here is a count or a reading, none of it tells a key bit apart from the others. `clicks` adds up
Bob's own bits: he keeps it, and nobody else is sent it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled
from qwarden.core.errors import InputError, UsageError
from qwarden.keys.link import Basis, Protocol
from qwarden.keys.records import SLOTS, Bits, Detections, Preparations, Telemetry

Counts = npt.NDArray[np.int64]

SIGNS: Final = np.array([[1, 1], [1, -1]])
"""Of the correlations in CHSH, by Alice's basis (Z, X) and Bob's (PLUS, MINUS)."""
PARTS: Final = 8
"""Into how many stretches of time a block is cut, to tell what changed within it."""
SHAPES: Final = {
    "detected": (2, 3),
    "errors": (2, 3),
    "clicks": (4,),
    "histogram": (SLOTS,),
    "arrivals": (PARTS,),
    "error_profile": (PARTS,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observables:
    """Counts of one block.

    Parameters
    ----------
    protocol : of the link.
    pulses : gates of the block.
    detected : sifted bits by basis (Z, X) and intensity, int64 (2, 3); E91: all in column 0.
    errors : those that differ, alike; Z errors are known after reconciliation, X errors are disclosed.
    clicks : Bob's detections in Z by bit 0 and 1, in X by bit 0 and 1, sifted or not, int64 (4,).
    doubles : detections of his in which both detectors clicked.
    histogram : his detections by arrival slot, int64 (SLOTS,).
    arrivals : his detections by part of the block's gates, int64 (PARTS,); None if unknown.
    error_profile : the errors in Z by part of the sifted key, first bits first (`parts`), int64
        (PARTS,); None if unknown.
    watchdog, photocurrent : see `Telemetry`.
    chsh, chsh_error : S of the CHSH test and its standard error; None but under E91.

    Raises
    ------
    UsageError
        An array has another shape, or there are more errors than detections.
    """

    protocol: Protocol
    pulses: int
    detected: Counts
    errors: Counts
    clicks: Counts
    doubles: int
    histogram: Counts
    arrivals: Counts | None = None
    error_profile: Counts | None = None
    watchdog: float = 1.0
    photocurrent: float = 1.0
    chsh: float | None = None
    chsh_error: float | None = None

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            if getattr(self, name) is None and name in ("arrivals", "error_profile"):
                continue
            found = np.asarray(getattr(self, name), dtype=np.int64)
            if found.shape != shape or (found < 0).any():
                raise UsageError(f"{name}: expected counts of shape {shape}, found {found.tolist()}")
            object.__setattr__(self, name, found)
        if (self.errors > self.detected).any():
            raise UsageError("errors: more than detections")

    def qber(self, basis: Basis | int) -> float:
        """Return the error rate in a basis over all intensities; NaN where nothing was detected."""
        detected = int(self.detected[basis].sum())
        return int(self.errors[basis].sum()) / detected if detected else math.nan

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name in self.__dataclass_fields__
            for value in [getattr(self, name)]
        }

    @classmethod
    def from_json(cls, document: Any, source: str = "observables") -> Observables:
        """Return what `to_json` wrote.

        Raises
        ------
        InputError
            The document is none; names `source`.
        """
        if not isinstance(document, dict) or set(document) != set(cls.__dataclass_fields__):
            raise InputError(source, f"expected an object with {', '.join(cls.__dataclass_fields__)}")
        try:
            return cls(**{name: _checked(name, value) for name, value in document.items()})
        except (UsageError, TypeError, ValueError, OverflowError) as error:
            raise InputError(source, str(error)) from error


def _checked(name: str, value: Any) -> Any:
    """Return a field of the document, if it is of its type."""
    if value is None and name in ("arrivals", "error_profile"):
        return None
    if name in SHAPES:
        flat = np.array(value, dtype=object).ravel().tolist()
        good = all(type(item) is int for item in flat)
        value = np.array(value, dtype=np.int64) if good else value
    elif name in ("pulses", "doubles"):
        good = type(value) is int and value >= 0
    elif name == "protocol":
        good = value in ("bb84", "e91")
    else:
        good = type(value) in (int, float) and math.isfinite(value)
        good = good or (value is None and name.startswith("chsh"))
    if not good:
        raise ValueError(f"{name}: unexpected value")
    return value


def parts(length: int) -> Counts:
    """Return where the parts of something so long begin and end, int64 (PARTS + 1,).

    >>> parts(20).tolist()
    [0, 2, 5, 7, 10, 12, 15, 17, 20]
    """
    return np.arange(PARTS + 1, dtype=np.int64) * length // PARTS


def error_profile(differ: npt.NDArray[np.bool_]) -> Counts:
    """Return the errors in each part of a sifted key, int64 (PARTS,), of whether each bit differs (n,)."""
    return np.array([np.count_nonzero(part) for part in np.split(differ, parts(differ.size)[1:-1])])


def observe(
    protocol: Protocol,
    bob: Detections,
    telemetry: Telemetry,
    *,
    detected: Counts,
    errors: Counts,
    tests: tuple[Counts, Counts] | None = None,
    profile: Counts | None = None,
) -> Observables:
    """Return a block's observables from what Bob holds and what sifting and reconciliation told him.

    Parameters
    ----------
    bob : his own detections, all of them.
    detected, errors : sifted bits and those that differ, by basis (Z, X) and intensity, int64 (2, 3).
    tests : E91: bits of the CHSH test that agree, and all, by Alice's basis and Bob's, int64 (2, 2) each.
    profile : see `Observables.error_profile`.
    """
    clicks, histogram, doubles = _tally(bob.basis, bob.bit, bob.slot, bob.double)
    s, s_error = chsh(*tests) if tests is not None else (None, None)
    return Observables(
        protocol=protocol,
        pulses=bob.pulses,
        detected=detected,
        errors=errors,
        clicks=clicks,
        doubles=int(doubles),
        histogram=histogram,
        arrivals=np.diff(np.searchsorted(bob.index, parts(bob.pulses))),
        error_profile=profile,
        watchdog=telemetry.watchdog,
        photocurrent=telemetry.photocurrent,
        chsh=s,
        chsh_error=s_error,
    )


@compiled
def _tally(
    basis: npt.NDArray[np.uint8], bit: Bits, slot: npt.NDArray[np.uint8], double: npt.NDArray[np.bool_]
) -> tuple[Counts, Counts, int]:
    """Count detections in Z and X by bit (4,), all by slot (SLOTS,), and double clicks, in one pass."""
    clicks, histogram, doubles = np.zeros(4, np.int64), np.zeros(SLOTS, np.int64), 0
    for i in range(basis.size):
        if basis[i] < 2:
            clicks[2 * basis[i] + bit[i]] += 1
        histogram[slot[i]] += 1
        if double[i]:
            doubles += 1
    return clicks, histogram, doubles


def chsh(same: Counts, all_: Counts) -> tuple[float | None, float | None]:
    """Return S of the CHSH test and its standard error; None where a setting was never measured.

    Parameters
    ----------
    same, all_ : outcomes that agree, and all, by Alice's basis (Z, X) and Bob's (PLUS, MINUS), (2, 2).

    Source: Clauser, Horne, Shimony, Holt, PRL 23, 880 (1969).

    Examples
    --------
    >>> chsh(np.array([[9, 9], [9, 1]]), np.full((2, 2), 10))[0]
    3.2
    """
    if not (all_ > 0).all():
        return None, None
    correlation = 2.0 * same / all_ - 1.0
    variance = (1.0 - correlation**2) / all_
    return float((SIGNS * correlation).sum()), float(math.sqrt(variance.sum()))


def observe_both(
    protocol: Protocol, alice: Preparations | Detections, bob: Detections, telemetry: Telemetry
) -> Observables:
    """Return a block's observables with both ends' records in hand: for training, simulations and tests.

    The same as `observe` gives at the end of a real exchange in which every error came to light.
    """
    if isinstance(alice, Preparations):  # she kept those of his detections
        ours = theirs = np.arange(bob.index.size)
    else:
        _, ours, theirs = np.intersect1d(alice.index, bob.index, assume_unique=True, return_indices=True)
    alice_basis, bob_basis = alice.basis[ours], bob.basis[theirs]
    differ = alice.bit[ours] != bob.bit[theirs]
    sifted = alice_basis == bob_basis
    intensity = alice.intensity[ours] if isinstance(alice, Preparations) else np.zeros_like(alice_basis)
    by_cell = alice_basis[sifted].astype(np.int64) * 3 + intensity[sifted]
    tests = None
    if protocol == "e91":
        tested = bob_basis >= Basis.PLUS
        cells = alice_basis[tested].astype(np.int64) * 2 + (bob_basis[tested] - Basis.PLUS)
        agree = np.bincount(cells[~differ[tested]], minlength=4).reshape(2, 2)
        tests = agree, np.bincount(cells, minlength=4).reshape(2, 2)
    return observe(
        protocol, bob, telemetry,
        detected=np.bincount(by_cell, minlength=6).reshape(2, 3),
        errors=np.bincount(by_cell[differ[sifted]], minlength=6).reshape(2, 3), tests=tests,
        profile=error_profile(differ[sifted & (alice_basis == Basis.Z)]),
    )  # fmt: skip
