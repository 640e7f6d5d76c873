"""A key management entity as a supply of keys, for whoever draws by the contract of `core.keysupply`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from qwarden.core.errors import KeySupplyError, ServiceError
from qwarden.core.keysupply import Key
from qwarden.keys.kme.client import KmeClient

T = TypeVar("T")


class KmeSupply:
    """Implements `qwarden.core.keysupply.KeySupply`; peers are applications by their SAE IDs.

    Parameters
    ----------
    client : of this application, at its entity.
    """

    def __init__(self, client: KmeClient) -> None:
        self._client = client

    def draw(self, bits: int, purpose: str, peer: str) -> Key:  # noqa: ARG002  the standard has no purposes
        """Get a new key to share with `peer`; raises `KeySupplyError`, also if the entity is away."""
        return _given(lambda: self._client.get_key(peer, size=bits)[0])

    def fetch(self, id: str, purpose: str, peer: str, bits: int | None = None) -> Key:  # noqa: ARG002
        """Get the key that `peer` drew; raises as `draw`."""
        return _given(lambda: self._client.get_key_with_ids(peer, [id])[0])

    def available(self, peer: str) -> int:
        """Return how many bits may still be drawn; raises as `draw`."""
        status = _given(lambda: self._client.status(peer))
        return status.stored_key_count * status.key_size


def _given(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except ServiceError as error:
        raise KeySupplyError(str(error)) from error
