"""Blocks for the monitor's tests."""

from __future__ import annotations

from qwarden.keys.link import Link, Settings
from qwarden.keys.observables import Observables, observe_both
from qwarden.keys.physics import Attack, pulses_for, transmit

DECOY = Settings(block_bits=20_000, key_basis=0.7, probabilities=(0.5, 0.3, 0.2))
PAIRS = Settings(protocol="e91", block_bits=4_000, key_basis=0.6, test_share=0.2)
NEAR = Link(distance_km=10, receiver_efficiency=0.2)


def block(settings: Settings, seed: int, attack: Attack | None = None, link: Link = NEAR) -> Observables:
    """Send a block over `link`, as many pulses as `NEAR` needs."""
    sent = transmit(link, settings, attack=attack, pulses=pulses_for(NEAR, settings), seed=seed)
    return observe_both(settings.protocol, sent.alice, sent.bob, sent.telemetry)
