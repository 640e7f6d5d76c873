"""Imported by the server that processes are forked from: compiles and loads everything once."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.exchange import converse
from qwarden.keys.kme.vault import create, from_file
from qwarden.keys.link import Link, Settings
from qwarden.keys.party import node, site
from qwarden.keys.party.block import Terms
from qwarden.keys.physics import transmit
from qwarden.keys.physics.channel import pulses_for

TERMS = Terms(settings=Settings(protocol="e91", block_bits=12_000, key_basis=0.7, eps_sec=1e-8))


def warm_up() -> None:
    link = Link(distance_km=5)
    sent = transmit(link, TERMS.settings, pulses=pulses_for(link, TERMS.settings), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        pools = [PreSharedPool(Path(folder, name), name) for name in ("alice", "bob")]
        shared = secrets.token_bytes(1024)
        pools[0].add("bob", shared)
        pools[1].add("alice", shared)
        converse(sent, TERMS, supplies=(pools[0], pools[1]), inspect=lambda _: "")


warm_up()
__all__ = ["create", "from_file", "node", "site"]
