"""Information reconciliation: Bob corrects his sifted key towards Alice's, over a public channel.

What flows in: the sifted bits of both ends, an estimate of the QBER, and a public seed agreed for the
block. What flows out: Bob's corrected bits and the number of bits disclosed. Two methods keep one contract:
`cascade` (many round trips, the least leak) and `ldpc` (one round trip); `choose` picks between them.

The contract. No method does input or output: the same code runs in one process (`pump`), over sockets and
through delaying proxies. A method is a module with two functions::

    bob(bits, qber, *, seed, ...) -> Generator[bytes, bytes, Reconciled]
    alice(bits, *, seed, ...) -> Alice

Bob's generator yields a request, is sent Alice's answer, and returns `Reconciled`. `bits` is uint8 (n,) of
0 and 1 and is never written to. `seed` is an integer in [0, 2^64), public, new for each block and the same
at both ends; it may be sent in clear, because all that depends on it alone is public anyway.

The leak. Every bit of an answer that depends on Alice's key counts, however often it has been told before
and even if Bob could have inferred it. Each end counts on its own and both must come to the same
number. Requests are not counted: they tell where the bits differ, and that costs nothing of what single
photons give, whose errors commute with their phases; what vacuum pulses give is not held for secret
(`finite_key`).

Hostile peers. A malformed request or answer raises `InputError`; Alice has then disclosed nothing for
it. Reconciliation proves nothing: the hash of `verification` says afterwards whether the keys are equal,
and authentication is the concern of `party`.

Start reading at `Reconciled`, then `cascade`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from qwarden.core.errors import InputError, UsageError
from qwarden.keys.finite_key import binary_entropy
from qwarden.keys.records import Bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What Bob has in hand at the end.

    Parameters
    ----------
    bits : his key after correction, uint8 (n,), an array of its own; equal to Alice's but for the frame
        error rate of the method.
    corrected : number of bits that differ from those he came with; over n, the QBER of the block.
    leak_bits : bits of Alice's answers that depend on her key.
    rounds : number of requests, which is that of round trips.
    """

    bits: Bits = field(repr=False)
    corrected: int
    leak_bits: int
    rounds: int


Bob: TypeAlias = Generator[bytes, bytes, Reconciled]
"""Yields requests, is sent answers, returns `Reconciled`."""


class Alice(Protocol):
    """The end whose key is right by definition: she answers and changes nothing."""

    @property
    def leak_bits(self) -> int:
        """Bits disclosed so far."""
        ...

    def answer(self, request: bytes) -> bytes:
        """Answer one request of Bob's.

        Raises
        ------
        InputError
            The request is malformed, or asks more than Alice gives; nothing is disclosed.
        """
        ...


def pump(bob: Bob, alice: Alice) -> Reconciled:
    """Drive both ends in one process until Bob is done.

    Raises
    ------
    InputError
        An end refused what the other sent, or they disagree on what was disclosed.
    """
    try:
        request = next(bob)
        while True:
            request = bob.send(alice.answer(request))
    except StopIteration as stop:
        done: Reconciled = stop.value
    if done.leak_bits != alice.leak_bits:
        raise InputError(
            "reconciliation", f"Bob counts {done.leak_bits} bits disclosed, Alice {alice.leak_bits}"
        )
    return done


def efficiency(leak_bits: float, bits: int, qber: float) -> float:
    """Return f: bits disclosed over Shannon's limit n h(qber).

    >>> round(efficiency(923, 10_000, 0.01), 3)
    1.142
    """
    return leak_bits / (bits * binary_entropy(qber))


def checked_bits(bits: Bits, name: str) -> Bits:
    """Return `bits` as contiguous uint8 (n,), made sure to be 0 and 1; not a copy where it need not be.

    Raises
    ------
    UsageError
        They are not a row of bits.
    """
    row = np.ascontiguousarray(bits)
    if row.ndim != 1 or row.dtype != np.uint8 or not row.size or row.max() > 1:
        raise UsageError(f"{name}: expected a row of 0 and 1 as uint8, found {row.dtype} {row.shape}")
    return row
