"""What the key room says to the rest of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qwarden.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBlock(Event):
    """A block of a key exchange is over, one way or the other. It never holds a key bit.

    Parameters
    ----------
    link : name of the link.
    block : id of the block, hexadecimal.
    accepted : whether it gave a key.
    reason : why not; empty if it did.
    attempt : the how-manieth attempt it was.
    protocol : ``bb84`` or ``e91``.
    qber : error rate over both bases; None if it was never known.
    sifted_bits, leak_bits, secret_bits : of the block.
    epsilon : distance from an ideal key.
    origin : ``simulated``, ``imported`` or ``vendor``.
    qber_z, qber_x : error rate in the key basis and in the check basis; None if never known.
    chsh : S of the CHSH test; None but under E91, and at the end that did not measure it.
    """

    room: ClassVar[str] = "keys"
    kind: ClassVar[str] = "block"

    link: str
    block: str
    accepted: bool
    reason: str
    attempt: int
    protocol: str
    qber: float | None
    sifted_bits: int
    leak_bits: int
    secret_bits: int
    epsilon: float | None
    origin: str
    qber_z: float | None = None
    qber_x: float | None = None
    chsh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAlarm(Event):
    """A link behaves as under attack: the block was dropped and the link stopped.

    Parameters
    ----------
    link, block : where.
    cause : what was seen, one line.
    tampered : whether the classical channel itself was interfered with.
    done : what was done.
    """

    room: ClassVar[str] = "keys"
    kind: ClassVar[str] = "link_alarm"

    link: str
    block: str
    cause: str
    tampered: bool
    done: str
