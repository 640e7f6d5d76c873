"""What a key store takes in and gives out, as plain records. None of them shows key material when printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from qwarden.core.errors import KeySupplyError

QUANTUM_BYTES: Final = 32
QUANTUM_BITS: Final = 8 * QUANTUM_BYTES
ORIGINS: Final = ("vendor", "imported", "simulated")
"""Where raw keys come from, the most trusted first; keys are made of the first that suffices."""

Left: TypeAlias = Mapping[str, Sequence[tuple[int, int]]]
"""Quanta by block: the first of a run and how many follow each other."""


class NotWaiting(KeySupplyError):  # noqa: N818 - it is what was found
    """A key was made for other applications, or this one has fetched it already."""


class NoSuchKey(KeySupplyError):  # noqa: N818 - it is what was found
    """No key of this id is stored."""


class PoolFull(KeySupplyError):  # noqa: N818 - it is what was found
    """As many keys are stored as may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a block's key comes from, and what is proved of it.

    Parameters
    ----------
    block : id of the block.
    peer : the other end.
    origin : ``simulated``, ``imported`` or ``vendor``.
    method : treatment of the finite key.
    epsilon : distance from an ideal key.
    """

    block: str
    peer: str
    origin: str
    method: str
    epsilon: float

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise ValueError(f"origin {self.origin!r}: expected one of {', '.join(ORIGINS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an application asks for.

    Parameters
    ----------
    peer : the end where the other application is.
    bits : of each key; a positive multiple of 8.
    master : the application that asks.
    slaves : the ones that may fetch it at the other end.
    number : of keys.
    origins : where they may come from; each key is of one origin.
    """

    peer: str
    bits: int
    master: str
    slaves: tuple[str, ...]
    number: int = 1
    origins: tuple[str, ...] = ORIGINS

    @property
    def quanta(self) -> int:
        """Quanta that a key takes."""
        return quanta_of(self.bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Which quanta became which key; told to the other end. It holds no key material.

    Parameters
    ----------
    id : of the key.
    spans : block, first quantum, number of quanta.
    """

    id: str
    bits: int
    master: str
    slaves: tuple[str, ...]
    spans: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A key on its way to an application.

    Parameters
    ----------
    origin, epsilon : the least trusted of the blocks it was made of, and their sum.
    """

    id: str
    key: bytes = field(repr=False)
    origin: str
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Keys that an application wants by their ids.

    Parameters
    ----------
    sae : who asks.
    master : for whom they were made.
    """

    ids: tuple[str, ...]
    sae: str
    master: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quanta:
    """Quanta as two ends compare them; see `Left`."""

    quanta: dict[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What an end shares with another.

    Parameters
    ----------
    peer : the other end.
    left : quanta that this end may draw.
    theirs : quanta that the other end may draw.
    waiting : keys that an application here has not fetched yet.
    renewed : when the last block was stored; seconds since the epoch.
    used : bytes drawn by either end since then.
    """

    peer: str
    left: int
    theirs: int
    waiting: int
    renewed: float
    used: int


def quanta_of(bits: int) -> int:
    """Return how many quanta a key of so many bits takes."""
    return -(-bits // QUANTUM_BITS)


def spans(places: Sequence[tuple[str, int]]) -> tuple[tuple[str, int, int], ...]:
    """Join neighbouring quanta of a block.

    Examples
    --------
    >>> spans([("a", 4), ("a", 5), ("a", 7), ("b", 8)])
    (('a', 4, 2), ('a', 7, 1), ('b', 8, 1))
    """
    joined: list[tuple[str, int, int]] = []
    for block, n in places:
        if joined and joined[-1][0] == block and sum(joined[-1][1:]) == n:
            joined[-1] = (block, joined[-1][1], joined[-1][2] + 1)
        else:
            joined.append((block, n, 1))
    return tuple(joined)
