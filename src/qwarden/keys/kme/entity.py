"""A key management entity: who may ask it, whom it shares keys with, and how a key gets to two places.

`Entity` knows nothing of HTTP. Requests that come while another is being served are served together
(`together`): keys are drawn in one transaction and told to the other entity in one message, so that many
small requests cost little more than one.

A key reaches an application only after the other entity has it too. If that entity cannot be reached, the
bits are put back; if it does not answer, they are gone here (they were taken out first) and are dropped there
when the two compare what is left.

Source: ETSI GS QKD 014 V1.1.1, clauses 4 and 5. How entities speak to each other is outside that standard.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

from qwarden.core.clock import Clock, WallClock
from qwarden.core.errors import KeyExhausted, ServiceError
from qwarden.core.events import Event
from qwarden.core.files import Json
from qwarden.keys.kme.events import KeysDropped
from qwarden.keys.kme.records import (
    ORIGINS,
    Asked,
    Assignment,
    Delivered,
    Left,
    NoSuchKey,
    NotWaiting,
    Pool,
    PoolFull,
    Provenance,
    Wanted,
    quanta_of,
)  # fmt: skip
from qwarden.keys.kme.requests import MANDATORY_UNMET, NOT_FOUND, ORIGIN, KeyRequest, Limits, Refusal
from qwarden.keys.kme.store import Drawn, KeyStore
from qwarden.keys.kme.together import Together

Mode: TypeAlias = Literal["laboratory", "production"]
TOGETHER: Final = 256
"""Keys made or fetched in one go, as a rule at most."""

AT_ONCE: Final = 2
"""Batches of keys on their way to one entity: while one is written there, the next is drawn here."""

FRESH_S: Final = 60.0
"""A block that came so lately may not have come to the other end yet."""

T = TypeVar("T")


class Unreached(ServiceError):  # noqa: N818 - it is what happened
    """Another entity cannot be reached: nothing of what was to be said has left."""


class Others(Protocol):
    """Reaches other entities; each method raises `ServiceError` if they do not answer."""

    async def tell(self, peer: str, assignments: Sequence[Assignment]) -> list[bool]:
        """Tell an entity of assignments; return which it has taken."""
        ...

    async def compare(self, peer: str, remaining: Left) -> tuple[int, Left]:
        """Have an entity drop what this one has used; return how much, and what it misses."""
        ...

    async def revoke(self, peer: str, what: Mapping[str, str]) -> int:
        """Have an entity drop what was revoked; return how much."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Who is where.

    Parameters
    ----------
    own : id of this entity.
    saes : entity of each application, by its id.
    """

    own: str
    saes: Mapping[str, str]

    def place(self, sae: str) -> str:
        """Return the entity of an application; raises `Refusal` (400) if nobody knows it."""
        try:
            return self.saes[sae]
        except KeyError:
            raise Refusal(400, "unknown SAE ID") from None

    def caller(self, sae: str) -> str:
        """Return the id of an application that calls this entity; raises `Refusal` (401)."""
        if self.saes.get(sae) != self.own:
            raise Refusal(401, "this application is not served here")
        return sae


class Entity:
    """One key management entity.

    Parameters
    ----------
    directory : who is where.
    store : the keys of this end.
    others : brings assignments to other entities.
    limits : what is given.
    mode : ``production`` neither serves nor takes simulated keys.
    publish : told of what is revoked.
    """

    def __init__(
        self,
        directory: Directory,
        store: KeyStore,
        others: Others,
        *,
        limits: Limits,
        mode: Mode,
        publish: Callable[[Event], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self.directory, self.limits, self.mode = directory, limits, mode
        self.origins = tuple(origin for origin in ORIGINS if mode == "laboratory" or origin != "simulated")
        self._store, self._others, self._publish = store, others, publish
        self._clock = clock or WallClock()
        # The store serves one at a time anyway; with one thread the rest wait without holding any.
        self._thread = ThreadPoolExecutor(1, "key store")
        self._draw: dict[str, Together[Asked, list[Delivered]]] = {}
        self._telling: dict[str, dict[object, list[Assignment]]] = defaultdict(dict)
        self._fetch: Together[Wanted, list[Delivered]] = Together(
            lambda wanted: self._stored(self._store.fetch, wanted), lambda one: len(one.ids), TOGETHER
        )

    def close(self) -> None:
        """Wait for the store's thread to end."""
        self._thread.shutdown()

    async def status(self, master: str, slave: str) -> Json:
        """Return the status data format, clause 6.1."""
        self.directory.caller(master)
        target = self.directory.place(slave)
        return await self._stored(self._status, master, slave, target)

    async def get_keys(self, master: str, slave: str, request: KeyRequest) -> list[Delivered]:
        """Make keys for a master and its slaves, clause 5.3."""
        self.directory.caller(master)
        target = self.directory.place(slave)
        if target == self.directory.own:
            raise Refusal(400, "both applications are served here; keys are shared with another KME")
        slaves = tuple(dict.fromkeys((slave, *request.additional)))
        if any(self.directory.place(name) != target for name in slaves):
            raise Refusal(400, "all slave applications must be served by one KME")
        origins = self._origins(request)
        asked = Asked(
            peer=target, bits=request.size, master=master, slaves=slaves, number=request.number,
            origins=origins,
        )  # fmt: skip
        try:
            return await self._drawing(target)(asked)
        except KeyExhausted:
            raise await self._stored(self._why_none, target, request) from None

    async def keys_by_id(self, slave: str, master: str, ids: Sequence[str]) -> list[Delivered]:
        """Hand matching keys to a slave, clause 5.4."""
        self.directory.caller(slave)
        self.directory.place(master)
        try:
            return await self._fetch(Wanted(ids=tuple(ids), sae=slave, master=master))
        except NoSuchKey:
            raise Refusal(400, NOT_FOUND) from None
        except NotWaiting as error:
            raise Refusal(401, str(error)) from None

    async def accept(self, peer: str, assignments: Sequence[Assignment]) -> list[bool]:
        """Take over assignments of another entity, for applications that are served here alone."""
        allowed = [
            bool(one.slaves)
            and all(self.directory.saes.get(sae) == self.directory.own for sae in one.slaves)
            and self.directory.saes.get(one.master) == peer
            for one in assignments
        ]
        fine = [one for one, allow in zip(assignments, allowed, strict=True) if allow]
        taken = iter(await self._stored(self._store.accept, peer, fine, self.origins))
        return [next(taken) if allow else False for allow in allowed]

    async def add(self, provenance: Provenance, material: bytes) -> int:
        """Take in a block of a link; return how many quanta it gave.

        Raises
        ------
        Refusal
            It is simulated and this is production (400), or as many keys are stored as may be (503).
        KeyReused
            The block is stored already, or was.
        """
        if provenance.origin not in self.origins:
            raise Refusal(400, f"{self.mode} mode does not take {provenance.origin} keys")
        try:
            return await self._stored(self._store.add, provenance, material)
        except PoolFull as error:
            raise Refusal(503, str(error)) from None

    async def compare(self, peer: str) -> tuple[int, int]:
        """Bring this end's half of what is shared to the same at both ends; return what was dropped, there
        and here: what this end has used and the other not heard of, and what the other does not have.
        """
        settled = self._clock.now() - FRESH_S
        there, missing = await self._others.compare(peer, await self._stored(self._left, peer))
        here = await self._stored(self._store.discard_missing, peer, missing, settled) if missing else 0
        return there, here

    async def compared(self, peer: str, remaining: Left) -> tuple[int, Left]:
        """Drop what another entity has used and this one has not heard of; return how much, and what of it
        is missing here.
        """
        settled = self._clock.now() - FRESH_S
        return await self._stored(self._store.discard_used, peer, remaining, settled)

    async def revoke(self, *, block: str | None, key: str | None, peer: str | None) -> dict[str, int]:
        """Drop keys here and at the other entity; return how much at each. One that is away gives -1."""
        found: dict[str, int] = {}
        found[self.directory.own] = await self._revoke("revoked", block, key, peer)
        what = {name: value for name, value in (("block", block), ("key", key)) if value is not None}
        pools = [pool.peer for pool in await self.pools()]
        for other in pools if peer is None else [peer]:
            try:
                found[other] = await self._others.revoke(other, what)
            except ServiceError:
                found[other] = -1
        return found

    async def revoked(self, peer: str, *, block: str | None, key: str | None) -> int:
        """Drop what another entity has revoked of the keys shared with it; return how much."""
        return await self._revoke("revoked by the other end", block, key, peer)

    async def pools(self) -> list[Pool]:
        """Return what is shared with each other entity."""
        return await self._stored(self._store.pools)

    async def expire(self, before: float) -> int:
        """Drop what is older, and empty the journal; return how much was dropped."""
        dropped = await self._stored(self._store.expire, before)
        await self._stored(self._store.tidy)
        return dropped

    def _status(self, master: str, slave: str, target: str) -> Json:
        limits = self.limits
        each = quanta_of(limits.key_size)
        served = [origin for origin in self._store.origins(target) if origin in self.origins]
        return {
            "source_KME_ID": self.directory.own,
            "target_KME_ID": target,
            "master_SAE_ID": master,
            "slave_SAE_ID": slave,
            "key_size": limits.key_size,
            "stored_key_count": self._store.available(target, self.origins) // each,
            "max_key_count": self._store.own_most // each,
            "max_key_per_request": limits.max_key_per_request,
            "max_key_size": limits.max_key_size,
            "min_key_size": limits.min_key_size,
            "max_SAE_ID_count": limits.max_sae_id_count,
            "status_extension": {"qwarden_mode": self.mode, ORIGIN: served},
        }

    def _origins(self, request: KeyRequest) -> tuple[str, ...]:
        if request.origin is None:
            return self.origins
        if request.origin not in self.origins:
            raise Refusal(400, MANDATORY_UNMET)
        return (request.origin,)

    def _why_none(self, target: str, request: KeyRequest) -> Refusal:
        if request.origin is not None:
            return Refusal(400, MANDATORY_UNMET)
        if self._store.origins(target) == ["simulated"] and self.mode == "production":
            return Refusal(503, "only simulated keys are stored; production mode does not serve them")
        return Refusal(503, "not enough key material is stored")

    async def _revoke(self, why: str, block: str | None, key: str | None, peer: str | None) -> int:
        count = await self._stored(lambda: self._store.revoke(block=block, key=key, peer=peer))
        if count:
            own, now = self.directory.own, self._clock.now()
            self._publish(KeysDropped(time=now, entity=own, peer=peer or "", count=count, why=why))
        return count

    def _left(self, peer: str) -> Left:
        """Return what this end has not used, and what the other end is being told of just now."""
        left = {block: list(runs) for block, runs in self._store.remaining(peer).items()}
        for batch in list(self._telling[peer].values()):
            for block, first, count in (span for one in batch for span in one.spans):
                left.setdefault(block, []).append((first, count))
        return left

    def _drawing(self, target: str) -> Together[Asked, list[Delivered]]:
        if target not in self._draw:
            self._draw[target] = Together(
                lambda asked: self._make(target, asked), lambda one: one.number, TOGETHER, AT_ONCE
            )
        return self._draw[target]

    async def _make(self, target: str, asked: list[Asked]) -> list[list[Delivered] | Exception]:
        """Draw keys and bring them to the other entity; what it has not taken is given to nobody.

        While the drawing is being flushed to the disk here, the other end is told; both must have happened.
        """
        loop, batch = asyncio.get_running_loop(), object()
        chosen: asyncio.Future[list[Drawn]] = loop.create_future()

        def tell(drawn: list[Drawn]) -> None:  # in the store's thread, as `_left`: it misses none
            self._telling[target][batch] = [one for one, _ in _made(drawn)]
            loop.call_soon_threadsafe(chosen.set_result, drawn)

        try:
            flushed = loop.run_in_executor(self._thread, self._store.draw, asked, tell)
            await asyncio.wait((chosen, flushed), return_when=asyncio.FIRST_COMPLETED)
            if not chosen.done():
                await flushed
            taken = await self._told(target, self._telling[target][batch])
            drawn = await flushed
        except Unreached as error:
            await self._stored(self._store.put_back, [one.id for one in self._telling[target][batch]])
            raise Refusal(503, f"{target} does not answer; try again later") from error
        finally:
            self._store.settle(one.id for one in self._telling[target].pop(batch, ()))
        missing = Refusal(503, f"{target} does not hold this key material")
        return [
            found
            if isinstance(found, KeyExhausted)
            else [key for _, key in found]
            if all(one.id in taken for one, _ in found)
            else missing
            for found in drawn
        ]

    async def _told(self, target: str, assignments: Sequence[Assignment]) -> set[str]:
        """Tell an entity of assignments; return the ids of the keys it has taken over."""
        if not assignments:
            return set()
        try:
            taken = await self._others.tell(target, assignments)
        except Unreached:
            raise
        except ServiceError as error:
            raise Refusal(503, f"{target} does not answer; try again later") from error
        return {one.id for one, fine in zip(assignments, taken, strict=True) if fine}

    async def _stored(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)


def _made(drawn: Sequence[Drawn]) -> list[tuple[Assignment, Delivered]]:
    return [one for found in drawn if not isinstance(found, KeyExhausted) for one in found]
