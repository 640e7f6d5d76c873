"""A block reconciled in one round trip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.exchange import converse
from qwarden.keys.observables import Observables
from qwarden.keys.party.block import Terms
from qwarden.keys.party.messages import Kind, decode
from qwarden.keys.party.transport import Transport
from qwarden.keys.physics import Transmission

Pools = tuple[PreSharedPool, PreSharedPool]


def fine(seen: Observables) -> str:
    return ""


class Ear:
    """Notes all that passes at Alice's end."""

    def __init__(self, transport: Transport, frames: list[bytes]) -> None:
        self._transport, self._frames = transport, frames

    def send(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._transport.send(frame)

    def receive(self, timeout_s: float) -> bytes:
        self._frames.append(self._transport.receive(timeout_s))
        return self._frames[-1]

    def close(self) -> None:
        self._transport.close()


def test_ldpc_asks_once_and_the_ledger_is_what_was_overheard(
    sent: Transmission, terms: Terms, pools: Pools
) -> None:
    frames: list[bytes] = []
    ldpc = replace(terms, reconciler="ldpc")
    ends = converse(sent, ldpc, supplies=pools, inspect=fine, meddle=lambda t: Ear(t, frames))
    assert ends.alice.accepted
    assert ends.bob.accepted
    assert np.array_equal(ends.alice.key, ends.bob.key)
    asked, answered = ([m for m in map(decode, frames) if m.kind is kind] for kind in (Kind.ASK, Kind.ANSWER))
    assert len(asked) == len(answered) == ends.bob.rounds
    for end in (ends.alice, ends.bob):
        assert end.leaks["reconciliation"] == 8 * sum(len(m.body) for m in answered)
