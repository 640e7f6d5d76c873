"""Keys of a vendor's quantum link, taken over from the vendor's entities at both ends.

One end gets keys from its vendor's entity as a master application and tells the other end their ids; that one
gets them from its own vendor's entity, as the slave, and stores them; then the first stores them too. From
there on they are quanta like any others, of origin ``vendor``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qwarden.core.errors import KeySupplyError, ServiceError
from qwarden.core.keysupply import Key
from qwarden.keys.kme.client import VENDOR, KmeClient
from qwarden.keys.kme.entity import Entity
from qwarden.keys.kme.peers import Peers
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.requests import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A vendor's entity beside this end.

    Parameters
    ----------
    client : speaks to it.
    other : the SAE ID of the other end at its own vendor's entity.
    number, size : keys to take at a time, and bits of each.
    """

    client: KmeClient
    other: str
    number: int
    size: int


class VendorKeys:
    """Takes over keys of vendors.

    Parameters
    ----------
    entity : takes them in.
    peers : tells the other end.
    sources : by the peer that the keys are shared with.
    """

    def __init__(self, entity: Entity, peers: Peers, sources: Mapping[str, Source]) -> None:
        self._entity, self._peers, self.sources = entity, peers, sources

    async def take(self, peer: str) -> int:
        """Take over new keys, at both ends; return how many quanta that gave here.

        Raises
        ------
        ServiceError, KeySupplyError
            A vendor's entity or the other end does not answer, or gives nothing; then no end keeps anything
            that it could give out.
        """
        source = self.sources[peer]
        keys = await asyncio.to_thread(source.client.get_key, source.other, source.number, source.size)
        await self._peers.vendor_keys(peer, [key.id for key in keys])
        return await self._stored(peer, keys)

    async def follow(self, peer: str, ids: Sequence[str]) -> int:
        """Get the keys that the other end has got, and store them; return how many quanta that gave.

        Raises
        ------
        Refusal
            There is no vendor for this peer (400), or its entity does not give them (503).
        """
        source = self.sources.get(peer)
        if source is None:
            raise Refusal(400, "no vendor's keys are shared with this entity")
        try:
            keys = await asyncio.to_thread(source.client.get_key_with_ids, source.other, ids)
            return await self._stored(peer, keys)
        except (ServiceError, KeySupplyError) as error:
            raise Refusal(503, "the vendor's entity does not give these keys") from error

    async def _stored(self, peer: str, keys: Sequence[Key]) -> int:
        ids = "\n".join(key.id for key in keys)
        provenance = Provenance(
            block=f"vendor-{hashlib.sha256(ids.encode()).hexdigest()[:32]}",
            peer=peer,
            # A vendor's entity that says its keys are simulated (ours in a laboratory) is believed.
            origin="simulated" if any(key.origin == "simulated" for key in keys) else VENDOR,
            method="as the vendor says",
            epsilon=1.0,  # nothing is proved of them here
        )
        return await self._entity.add(provenance, b"".join(key.material for key in keys))
