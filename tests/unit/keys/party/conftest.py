"""A small block of entangled pairs, sent once, that all tests of the conversation share."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.link import Link, Settings
from qwarden.keys.party.block import Terms
from qwarden.keys.physics import Transmission, pulses_for, transmit

Pools = tuple[PreSharedPool, PreSharedPool]


@pytest.fixture(scope="session")
def terms() -> Terms:
    return Terms(settings=Settings(protocol="e91", block_bits=12_000, key_basis=0.7, eps_sec=1e-8))


@pytest.fixture(scope="session")
def sent(terms: Terms) -> Transmission:
    link = Link(distance_km=5)
    return transmit(link, terms.settings, pulses=pulses_for(link, terms.settings), seed=5)


@pytest.fixture
def pools(tmp_path: Path) -> Pools:
    shared = secrets.token_bytes(4096)
    alice, bob = PreSharedPool(tmp_path / "a", "alice"), PreSharedPool(tmp_path / "b", "bob")
    alice.add("bob", shared)
    bob.add("alice", shared)
    return alice, bob
