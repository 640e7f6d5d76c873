"""A key management entity behind the contract that handshakes draw by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from qwarden.core.errors import KeySupplyError, ServiceError
from qwarden.core.keysupply import Key
from qwarden.keys.hybrid.supply import KmeSupply
from qwarden.keys.kme.client import KmeClient

KEY = Key(id="00000000-0000-0000-0000-00000000000a", material=bytes(range(32)), origin="vendor")


class Client:
    """Answers with one key, or not at all, and notes what it was asked."""

    def __init__(self, *, away: bool = False) -> None:
        self.away, self.asked = away, list[Any]()

    def get_key(self, slave: str, number: int = 1, size: int | None = None) -> list[Key]:
        return self._keys(("new", slave, number, size))

    def get_key_with_ids(self, master: str, ids: Sequence[str]) -> list[Key]:
        return self._keys(("old", master, list(ids)))

    def status(self, slave: str) -> None:
        self._keys(("status", slave))

    def _keys(self, asked: object) -> list[Key]:
        self.asked.append(asked)
        if self.away:
            raise ServiceError("kme-a: connection refused")
        return [KEY]


def test_keys_are_asked_for_one_at_a_time_under_the_peers_name() -> None:
    client = Client()
    supply = KmeSupply(cast(KmeClient, client))
    assert supply.draw(256, "hybrid session", "sae-2") == KEY
    assert supply.fetch(KEY.id, "hybrid session", "sae-1") == KEY
    assert client.asked == [("new", "sae-2", 1, 256), ("old", "sae-1", [KEY.id])]


def test_an_entity_that_is_away_is_a_supply_without_keys() -> None:
    supply = KmeSupply(cast(KmeClient, Client(away=True)))
    for ask in (
        lambda: supply.draw(256, "x", "sae-2"),
        lambda: supply.fetch(KEY.id, "x", "sae-1"),
        lambda: supply.available("sae-2"),
    ):
        with pytest.raises(KeySupplyError, match="kme-a: connection refused"):
            ask()
