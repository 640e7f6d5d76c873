"""The contract by which a room draws key material, wherever that comes from.

Two ends share a supply: each has its own half of it. One end *draws*: it gets a key nobody has had, and its
id. The id travels to the other end, in clear, beside what was made with the key; there it is *fetched*: the
same key by that id. Either end gives each bit out at most once, so a key is in two hands and no third, and
the two ends never use one key for two messages.

`keysupplies/preshared.py` serves keys that were brought by hand. Every key says what it comes from
(`Key.origin`), so that whoever shows it can say so too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

PRE_SHARED: Final = "pre-shared"
"""Origin of a key that both ends were given by hand."""


@dataclass(frozen=True, slots=True)
class Key:
    """Key material, given out once; printing it shows everything but the material.

    Parameters
    ----------
    id : what the other end fetches it by; not secret.
    material : the key.
    origin : what it comes from: `PRE_SHARED`, or what a quantum link says of its keys.
    """

    id: str
    material: bytes = field(repr=False)
    origin: str

    @property
    def bits(self) -> int:
        """Length of the material."""
        return 8 * len(self.material)


class KeySupply(Protocol):
    """Gives out keys shared with peers, each bit once, even after a crash and from several processes.

    Every method raises `KeySupplyError` when there is no such peer or the supply is damaged.
    """

    def draw(self, bits: int, purpose: str, peer: str) -> Key:
        """Give out a key that was never given out before.

        Parameters
        ----------
        bits : its length, a positive multiple of 8.
        purpose : what it is for; kept on record.
        peer : who else has it.

        Raises
        ------
        KeyExhausted
            So many bits are not left.
        UsageError
            `bits` is no positive multiple of 8.
        """

    def fetch(self, id: str, purpose: str, peer: str, bits: int | None = None) -> Key:
        """Give out the key that `peer` drew under this id.

        Parameters
        ----------
        bits : what it must be long; a key of another length is not touched. Who takes ids from an
            unauthenticated message gives it, lest a forged one use up more than a key.

        Raises
        ------
        KeyReused
            It, or a part of it, was fetched before.
        KeySupplyError
            There is no such key.
        """

    def available(self, peer: str) -> int:
        """Return how many bits may still be drawn."""
