"""Two entities that serve in this process over real TLS, and applications that ask them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from tests.e2e.keys.ports import free_port

from qwarden.core.events import Event
from qwarden.keys.kme import config, pki, server, vault
from qwarden.keys.kme.client import KmeClient
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.serving import FOLDER, Running, running
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.kme.tls import client_context

KMES = ("kme-a", "kme-b")
SAES = {"sae-1": "kme-a", "sae-2": "kme-b", "sae-3": "kme-b", "sae-4": "kme-a"}
KEYS = 4100


@dataclass
class Entities:
    """Both entities' addresses, and what they have said."""

    folder: Path
    made: pki.Pki
    urls: dict[str, str]
    running: dict[str, Running] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop | None = None
    events: list[Event] = field(default_factory=list)

    def settings(self, kme: str) -> config.Loaded:
        """Return the settings of an entity."""
        return config.load(self.folder / kme / config.FILE)

    def application(self, sae: str, kme: str | None = None) -> KmeClient:
        """Return an application's client, by default towards its own entity."""
        kme = kme or SAES[sae]
        return KmeClient(self.urls[kme], kme, self.made.files(sae))

    def raw(self, name: str, kme: str) -> httpx.Client:
        """Return a client under anybody's certificate that sends what it is told to."""
        return httpx.Client(base_url=self.urls[kme], verify=client_context(self.made.files(name), kme))

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine where the entities run."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


def settings_text(kme: str, urls: dict[str, str], more: str = "") -> str:
    """Return an entity's settings."""
    other = KMES[1 - KMES.index(kme)]
    saes = "\n".join(f'{sae} = "{place}"' for sae, place in SAES.items())
    return (
        f'name = "{kme}"\nlisten = "{urls[kme].removeprefix("https://")}"\n{more}\n'
        f'[tls]\nca = "../pki/ca.pem"\ncertificate = "../pki/{kme}.pem"\nkey = "../pki/{kme}.key"\n'
        f'[peers]\n{other} = "{urls[other]}"\n[saes]\n{saes}\n[vault]\nkey_file = "master.key"\n'
    )


def prepare(
    folder: Path, *, more: str = 'mode = "laboratory"', saes: Sequence[str] = tuple(SAES)
) -> Entities:
    """Make certificates, settings and empty homes."""
    made = pki.make(folder / "pki", kmes=KMES, saes=saes)
    urls = {kme: f"https://127.0.0.1:{free_port()}" for kme in KMES}
    for kme in KMES:
        home = folder / kme
        home.mkdir(mode=0o700)
        (home / "master.key").write_bytes(secrets.token_bytes(32))
        (home / "master.key").chmod(0o600)
        (home / config.FILE).write_text(settings_text(kme, urls, more))
    return Entities(folder=folder, made=made, urls=urls)


def open_stores(entities: Entities) -> list[KeyStore]:
    """Open the stores of both entities, which do not run."""
    stores = []
    for kme in KMES:
        place = entities.folder / kme / FOLDER
        secret = vault.from_file(entities.folder / kme / "master.key")
        opened = vault.open_vault(place, secret) if vault.has_vault(place) else vault.create(place, secret)
        stores.append(KeyStore(place, kme, opened))
    return stores


def fill(
    entities: Entities, *, origin: str = "simulated", keys: int = KEYS, block: str = "block-1",
    at: Sequence[str] = KMES,
) -> bytes:  # fmt: skip
    """Store a block of random key at the ends `at`, which do not run; return it."""
    material = secrets.token_bytes(32 * keys)
    for store, kme in zip(open_stores(entities), KMES, strict=True):
        if kme in at:
            peer = KMES[1 - KMES.index(kme)]
            store.add(
                Provenance(block=block, peer=peer, origin=origin, method="none", epsilon=1e-10), material
            )
        store.close()
    return material


@contextmanager
def serving(entities: Entities, kmes: Sequence[str] = KMES) -> Iterator[Entities]:
    """Run entities in a thread of this process for the time of a ``with``."""
    ready, failed = threading.Event(), []

    async def live() -> None:
        async with AsyncExitStack() as stack:
            for kme in kmes:
                home = entities.folder / kme
                entities.running[kme] = await stack.enter_async_context(
                    running(
                        entities.settings(kme), home, vault.from_file(home / "master.key"),
                        publish=entities.events.append,
                    )
                )  # fmt: skip
            entities.loop = asyncio.get_running_loop()
            stop.append(asyncio.Event())
            ready.set()
            await stop[0].wait()

    def work() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # shown by the test
            failed.append(error)
            ready.set()

    stop: list[asyncio.Event] = []
    thread = threading.Thread(target=work)
    with patch.object(server, "GOODBYE_S", 0.05):
        thread.start()
        ready.wait(30)
        try:
            if not failed:
                yield entities
        finally:
            if stop and entities.loop is not None:
                entities.loop.call_soon_threadsafe(stop[0].set)
            thread.join(30)
    if failed:
        raise failed[0]
