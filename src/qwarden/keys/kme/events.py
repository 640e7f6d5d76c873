"""What a key management entity says to the rest of the platform. No event holds key material."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qwarden.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLow(Event):
    """Few keys are left to draw.

    Parameters
    ----------
    entity, peer : who draws them, and with whom they are shared.
    left : keys of 256 bits.
    low_water : below which this is said.
    """

    room: ClassVar[str] = "keys"
    kind: ClassVar[str] = "pool_low"

    entity: str
    peer: str
    left: int
    low_water: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalDue(Event):
    """A link must make new keys.

    Parameters
    ----------
    why : time or use.
    """

    room: ClassVar[str] = "keys"
    kind: ClassVar[str] = "renewal_due"

    entity: str
    peer: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysDropped(Event):
    """Stored keys were dropped, and nobody will get them.

    Parameters
    ----------
    peer : with whom they were shared; empty if with several.
    count : quanta of 256 bits, and keys that waited.
    why : expired, revoked here or there, used here and never heard of by the other end, or
        not stored there.
    """

    room: ClassVar[str] = "keys"
    kind: ClassVar[str] = "keys_dropped"

    entity: str
    peer: str
    count: int
    why: str
