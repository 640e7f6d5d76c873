"""Stabiliser codes that carry one qubit: generators, logical operators, and how their syndromes are decoded.

Paulis are texts over ``I X Y Z``. `five_qubit` and `steane` decode by a table of the likeliest error for each
syndrome; `surface` decodes by matching.

Source: Laflamme, Miquel, Paz, Zurek, PRL 77, 198 (1996); Steane, Proc. R. Soc. A 452, 2551 (1996); Dennis,
Kitaev, Landahl, Preskill, J. Math. Phys. 43, 4452 (2002); Gottesman, arXiv:quant-ph/9705052.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from qwarden.core.errors import UsageError

Pauli = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A stabiliser code [[n, 1, d]].

    Parameters
    ----------
    name : as people write it.
    stabilisers : n - 1 independent, commuting Paulis.
    logical_x, logical_z : commute with all of them and anticommute with each other.
    distance : of the code.
    decoder : ``table`` or ``matching``.
    """

    name: str
    stabilisers: tuple[Pauli, ...]
    logical_x: Pauli
    logical_z: Pauli
    distance: int
    decoder: Literal["table", "matching"]

    @property
    def qubits(self) -> int:
        """Number of physical qubits."""
        return len(self.logical_x)


def five_qubit() -> Code:
    """Return [[5, 1, 3]], the smallest code that corrects any error of one qubit."""
    generator = "XZZXI"
    rows = tuple(generator[-k:] + generator[:-k] for k in range(4))
    return Code(
        name="[[5,1,3]]", stabilisers=rows, logical_x="XXXXX", logical_z="ZZZZZ", distance=3, decoder="table"
    )


def steane() -> Code:
    """Return [[7, 1, 3]], which corrects bit and phase flips apart."""
    checks = ("IIIXXXX", "IXXIIXX", "XIXIXIX")
    rows = checks + tuple(row.replace("X", "Z") for row in checks)
    return Code(
        name="[[7,1,3]]", stabilisers=rows, logical_x="X" * 7, logical_z="Z" * 7, distance=3, decoder="table"
    )


def surface(distance: int) -> Code:
    """Return the rotated surface code of an odd distance, on distance^2 qubits.

    Raises
    ------
    UsageError
        The distance is even or below 3.
    """
    if distance < 3 or distance % 2 == 0:
        raise UsageError(f"a surface code of distance {distance}; expected an odd number from 3 on")
    rows = tuple(_faces(distance))
    column = [row * distance for row in range(distance)]
    return Code(
        name=f"[[{distance**2},1,{distance}]]",
        stabilisers=rows,
        logical_x=_pauli("X", column, distance**2),
        logical_z=_pauli("Z", range(distance), distance**2),
        distance=distance,
        decoder="matching",
    )


CODES: Final[dict[str, Callable[[], Code]]] = {
    "five-qubit": five_qubit,
    "steane": steane,
    "surface-3": lambda: surface(3),
    "surface-5": lambda: surface(5),
}


def anticommute(a: Pauli, b: Pauli) -> bool:
    """Say whether two Paulis anticommute.

    Examples
    --------
    >>> anticommute("XZ", "ZZ"), anticommute("XX", "ZZ")
    (True, False)
    """
    return sum(p != q and "I" not in (p, q) for p, q in zip(a, b, strict=True)) % 2 == 1


def syndrome(code: Code, error: Pauli) -> tuple[bool, ...]:
    """Return which stabilisers an error flips."""
    return tuple(anticommute(error, row) for row in code.stabilisers)


@cache
def table(code: Code) -> dict[tuple[bool, ...], tuple[bool, bool]]:
    """Return, by syndrome, whether the likeliest error flips logical Z and logical X.

    The likeliest error is the one on the fewest qubits; among those, the first.
    """
    found: dict[tuple[bool, ...], tuple[bool, bool]] = {}
    for error in _errors(code.qubits):
        seen = syndrome(code, error)
        if seen not in found:
            found[seen] = anticommute(error, code.logical_z), anticommute(error, code.logical_x)
            if len(found) == 2 ** len(code.stabilisers):
                break
    return found


def _errors(qubits: int) -> Iterator[Pauli]:
    """Yield all Paulis, those on the fewest qubits first."""
    for weight in range(qubits + 1):
        for places in itertools.combinations(range(qubits), weight):
            for letters in itertools.product("XZY", repeat=weight):
                error = ["I"] * qubits
                for place, letter in zip(places, letters, strict=True):
                    error[place] = letter
                yield "".join(error)


def _faces(d: int) -> Iterator[Pauli]:
    """Yield the stabilisers of the rotated surface code: X and Z faces in a chequerboard."""
    for row, column in itertools.product(range(-1, d), repeat=2):
        corners = [
            (r, c)
            for r, c in ((row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1))
            if 0 <= r < d and 0 <= c < d
        ]
        letter = "X" if (row + column) % 2 == 0 else "Z"
        # At the rim only every other half face is there: X at left and right, Z at top and bottom.
        sideways = column in (-1, d - 1)
        if len(corners) == 4 or (len(corners) == 2 and (letter == "Z") == sideways):
            yield _pauli(letter, [r * d + c for r, c in corners], d * d)


def _pauli(letter: str, places: Iterable[int], qubits: int) -> Pauli:
    chosen = set(places)
    return "".join(letter if place in chosen else "I" for place in range(qubits))
