"""Calls from one end of a tunnel to the other, each for a new key: who calls, and who is called.

What comes of them is for `keeper.Keeper` to decide.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Final, TypeVar

from qwarden.core.errors import QwardenError
from qwarden.core.events import Event
from qwarden.keys.hybrid.agreement import FIRST_S, Agreed, PeerLost, Stream, follow, lead
from qwarden.keys.hybrid.handshake import Initiator, Responder
from qwarden.keys.hybrid.keeper import Keeper
from qwarden.keys.party.addresses import Address

Role = TypeVar("Role", Initiator, Responder)

CALLERS_MOST: Final = 8
"""Connections served at a time; whoever comes then is turned away."""
_LOOK_S: Final = 1.0


class Attempt:
    """One attempt at an agreement; a downgrade is told of only when it has come about.

    Otherwise anyone who repeats an old offer could cry downgrade.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._downgrades: list[Event] = []

    async def lead(self, stream: Stream) -> None:
        """Make it as the end that calls; raises `QwardenError`."""
        await lead(stream, self._role(Initiator), self._keeper.purpose, self._use)

    async def follow(self, stream: Stream) -> None:
        """Make it as the end that is called; raises `QwardenError`."""
        await follow(stream, self._role(Responder), self._keeper.purpose, self._use)

    def _role(self, role: type[Role]) -> Role:
        ends = self._keeper.ends
        return role(
            ends.own,
            ends.peer,
            ends.signing,
            ends.peer_public,
            ends.supply,
            allow_downgrade=self._keeper.policy.allow_downgrade,
            publish=self._downgrades.append,
            now=self._keeper.clock.now,
        )

    def _use(self, agreed: Agreed) -> None:
        self._keeper.use(agreed)
        for event in self._downgrades:
            self._keeper.publish(event)


async def call(keeper: Keeper, address: Address) -> None:
    """Connect and agree on one key; raises `QwardenError`, of which the keeper knows then."""
    try:
        try:
            # Connected first, so that an absent peer costs no quantum key.
            async with asyncio.timeout(FIRST_S):
                reader, writer = await asyncio.open_connection(*address)
        except OSError as error:  # TimeoutError among them
            raise PeerLost(f"{address}: {_why(error)}") from error
        stream = Stream(reader, writer)
        try:
            await Attempt(keeper).lead(stream)
        finally:
            await stream.close()
    except QwardenError as error:
        keeper.missed(str(error))
        raise


def _why(error: OSError) -> str:
    # asyncio says "connect call failed" of all of them; a name that is not found has a negative number.
    known = error.errno is not None and error.errno > 0
    return (os.strerror(error.errno or 0) if known else error.strerror or "no answer").lower()


async def keep_calling(keeper: Keeper, address: Address) -> None:
    """Agree on a key, again and again."""
    while True:
        with contextlib.suppress(QwardenError):  # the keeper has told of it
            await call(keeper, address)
        await asyncio.sleep(keeper.wait_s)


async def keep_listening(keeper: Keeper, listening: socket.socket, *, once: bool = False) -> None:
    """Wait to be called and agree on a key, again and again.

    Parameters
    ----------
    listening : a socket that listens.
    once : return after the first key.

    Raises
    ------
    PeerLost
        `once`, and the other end has not called within the grace.
    """
    agreed, callers = asyncio.Event(), 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal callers
        stream = Stream(reader, writer)
        callers += 1
        try:
            if callers <= CALLERS_MOST:
                await Attempt(keeper).follow(stream)
                agreed.set()
        except QwardenError as error:
            keeper.refused(str(error))
        finally:
            callers -= 1
            await stream.close()

    async with await asyncio.start_server(answer, sock=listening):
        while True:
            try:
                await asyncio.wait_for(agreed.wait(), _LOOK_S)
            except TimeoutError:
                keeper.overdue()
                if once and keeper.grace_over:
                    raise PeerLost("the other end has not called") from None
            else:
                if once:
                    return
                agreed.clear()
