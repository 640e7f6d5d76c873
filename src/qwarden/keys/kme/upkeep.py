"""What an entity does by itself, now and then: compare, expire, renew, and say when keys run low."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from qwarden.core.clock import Clock
from qwarden.core.errors import KeySupplyError, QwardenError, ServiceError
from qwarden.core.events import Event
from qwarden.keys.kme.entity import Entity
from qwarden.keys.kme.events import KeysDropped, PoolLow, RenewalDue
from qwarden.keys.kme.records import Pool
from qwarden.keys.kme.renewal import Renewal
from qwarden.keys.kme.vendor import VendorKeys

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
SOON_S: Final = 3.0
"""While an entity has not been reached since the start."""


class SteadyClock:
    """The time of the machine when this was made, and what has passed since: later jumps do not reach it.

    Keys expire by it; a clock that somebody sets a day ahead must not cost them all.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._offset + time.clock_gettime(time.CLOCK_BOOTTIME)


class Upkeep:
    """Keeps the pools of an entity in order.

    Parameters
    ----------
    peers : entities that share keys with it.
    publish : takes events; each is said once, until it is over.
    vendors : where new keys come from by themselves, for some peers.
    """

    def __init__(
        self,
        entity: Entity,
        renewal: Renewal,
        peers: Sequence[str],
        publish: Callable[[Event], None],
        *,
        vendors: VendorKeys | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._entity, self._renewal, self._publish = entity, renewal, publish
        self._peers, self._vendors, self._clock = tuple(peers), vendors, clock or SteadyClock()
        self._own = entity.directory.own
        self._unreached = set(peers)
        self._said: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.once()
            except QwardenError as error:
                log.error("upkeep: %s", error)
            except Exception:
                log.exception("upkeep failed; it goes on")
            await asyncio.sleep(SOON_S if self._unreached else EVERY_S)

    async def once(self) -> None:
        """Do everything once."""
        now = self._clock.now()
        self._dropped("", await self._entity.expire(self._renewal.too_old(now)), "expired")
        for peer in self._peers:
            await self._compare(peer)
        pools = {pool.peer: pool for pool in await self._entity.pools()}
        for peer in self._peers:
            await self._look(pools.get(peer) or _empty(peer), now)

    async def _compare(self, peer: str) -> None:
        try:
            there, here = await self._entity.compare(peer)
        except ServiceError as error:
            log.info("%s", error)
            return
        self._unreached.discard(peer)
        self._dropped(peer, there, "used here, and never heard of by the other end")
        self._dropped(peer, here, "not stored at the other end")

    async def _look(self, pool: Pool, now: float) -> None:
        if self._news("low", pool.peer, self._renewal.low(pool)):
            log.warning("keys shared with %s: %d left", pool.peer, pool.left)
            self._publish(
                PoolLow(
                    time=now, entity=self._own, peer=pool.peer, left=pool.left,
                    low_water=self._renewal.low_water,
                )
            )  # fmt: skip
        why = self._renewal.due(pool, now)
        if self._news("due", pool.peer, bool(why)):
            self._publish(RenewalDue(time=now, entity=self._own, peer=pool.peer, why=why))
        if why:
            await self._renew(pool.peer)

    async def _renew(self, peer: str) -> None:
        # Of two ends with a vendor, the first by name asks; its keys are for both.
        if self._vendors is None or peer not in self._vendors.sources or self._own > peer:
            return
        try:
            await self._vendors.take(peer)
        except (ServiceError, KeySupplyError) as error:
            log.warning("vendor's keys for %s: %s", peer, error)

    def _news(self, what: str, peer: str, true: bool) -> bool:
        """Say whether something has become true that was not before."""
        if not true:
            self._said.discard((what, peer))
            return False
        new = (what, peer) not in self._said
        self._said.add((what, peer))
        return new

    def _dropped(self, peer: str, count: int, why: str) -> None:
        if count:
            now = self._clock.now()
            self._publish(KeysDropped(time=now, entity=self._own, peer=peer, count=count, why=why))


def _empty(peer: str) -> Pool:
    return Pool(peer=peer, left=0, theirs=0, waiting=0, renewed=0.0, used=0)
