"""A key management entity as one process: settings, vault, store, server and upkeep put together."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uvicorn.loops.auto import auto_loop_factory

from qwarden.core.errors import ConfigError, Interrupted
from qwarden.core.events import Event
from qwarden.keys.kme.client import KmeClient
from qwarden.keys.kme.config import Loaded
from qwarden.keys.kme.entity import Directory, Entity
from qwarden.keys.kme.http import Application
from qwarden.keys.kme.ledger import FILE as KEYS_FILE
from qwarden.keys.kme.peers import Peers
from qwarden.keys.kme.server import Server, listen, make_server
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.kme.tls import server_context
from qwarden.keys.kme.upkeep import SteadyClock, Upkeep
from qwarden.keys.kme.vault import Secret, Vault, create, has_vault, open_vault
from qwarden.keys.kme.vendor import Source, VendorKeys

FOLDER: Final = Path("keys", "kme")
"""Of vault and store, in the home folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """An entity that serves.

    Parameters
    ----------
    serving : ends when the server was told to stop.
    address : host and port it listens at.
    """

    entity: Entity
    upkeep: Upkeep
    vendors: VendorKeys
    server: Server
    serving: asyncio.Task[None]
    address: tuple[str, int]


def open_keys(home: Path, secret: Secret) -> Vault:
    """Open the vault of a home, or make it if there is none.

    Raises
    ------
    ConfigError
        There is none, but there are keys that were sealed by one.
    """
    folder = home / FOLDER
    if not has_vault(folder) and (folder / KEYS_FILE).exists():
        raise ConfigError(folder, "vault", "is missing, and stored keys are there that only it opens")
    return open_vault(folder, secret) if has_vault(folder) else create(folder, secret)


def serve(
    settings: Loaded,
    home: Path,
    secret: Secret,
    *,
    publish: Callable[[Event], None],
    on_open: Callable[[Running], None],
) -> None:
    """Serve until stopped.

    Raises
    ------
    KeySupplyError
        Another process has the store open, or the master key is wrong.
    ConfigError, InputError, UsageError
        A setting is wrong, a file is missing, or the address is taken.
    Interrupted
        The user stopped it; everything is closed by then.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # keys in memory are not for a file
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_serve(settings, home, secret, publish, on_open))


async def _serve(
    settings: Loaded,
    home: Path,
    secret: Secret,
    publish: Callable[[Event], None],
    on_open: Callable[[Running], None],
) -> None:
    async with running(settings, home, secret, publish=publish) as found:
        on_open(found)
        await asyncio.wait([found.serving])
    if found.server.interrupted:
        raise Interrupted("stopped")


@asynccontextmanager
async def running(
    settings: Loaded, home: Path, secret: Secret, *, publish: Callable[[Event], None] = lambda _: None
) -> AsyncIterator[Running]:
    """Run an entity in this event loop for the time of a ``with``; raises as `serve`."""
    config = settings.config
    async with contextlib.AsyncExitStack() as stack:
        context = server_context(settings.files)
        listening = stack.enter_context(listen(config.listen))
        clock = SteadyClock()
        store = stack.enter_context(KeyStore(home / FOLDER, config.name, open_keys(home, secret), clock))
        peers = Peers(config.peers, settings.files)
        stack.push_async_callback(peers.close)
        directory = Directory(own=config.name, saes=config.saes)
        entity = Entity(
            directory, store, peers, limits=config.limits, mode=config.mode, publish=publish, clock=clock
        )
        stack.callback(entity.close)
        vendors = VendorKeys(entity, peers, _sources(settings, stack))
        server = make_server(Application(entity, list(config.peers), vendors.follow), context)
        upkeep = Upkeep(entity, config.renewal, list(config.peers), publish, vendors=vendors, clock=clock)
        stack.push_async_callback(_cancelled, asyncio.create_task(upkeep.run()))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        stack.push_async_callback(_stopped, server, serving)
        host, port = listening.getsockname()[:2]
        yield Running(entity, upkeep, vendors, server, serving, (host, port))


def _sources(settings: Loaded, stack: contextlib.AsyncExitStack) -> dict[str, Source]:
    return {
        peer: Source(
            client=stack.enter_context(KmeClient(vendor.url, vendor.kme, settings.vendor_files(vendor))),
            other=vendor.slave,
            number=vendor.number,
            size=vendor.size,
        )
        for peer, vendor in settings.config.vendors.items()
    }


async def _stopped(server: Server, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    await serving


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
