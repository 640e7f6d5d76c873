from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwarden.core.clock import TrafficClock
from qwarden.keys.kme import vault
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.store import KeyStore


class Stores:
    """Both ends' stores, under a clock that stands still unless it is moved."""

    def __init__(self, folder: Path) -> None:
        self.clock = TrafficClock(1e9)
        secret = vault.Secret(bytes(32), is_passphrase=False)
        self.folders = {name: folder / name for name in ("alice", "bob")}
        self.vaults = {name: vault.create(place, secret) for name, place in self.folders.items()}
        self.alice, self.bob = (self.open(name) for name in self.folders)

    def open(self, name: str) -> KeyStore:
        return KeyStore(self.folders[name], name, self.vaults[name], self.clock)

    def fill(
        self, quanta: int, *, block: str = "b1", origin: str = "imported", epsilon: float = 0.25
    ) -> bytes:
        material = secrets.token_bytes(32 * quanta)
        for store, peer in ((self.alice, "bob"), (self.bob, "alice")):
            store.add(
                Provenance(block=block, peer=peer, origin=origin, method="m", epsilon=epsilon), material
            )
        return material


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    made = Stores(tmp_path)
    yield made
    made.alice.close()
    made.bob.close()

    return lambda key: vault.create(tmp_path / "vault", vault.Secret(key, is_passphrase=False))
