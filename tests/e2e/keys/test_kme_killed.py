"""Entities killed while sixteen applications get keys from them: no key twice, none by half, pools alike."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from tests.e2e.keys.entities import KMES, Entities, fill, open_stores, prepare

from qwarden.core.errors import KeySupplyError, ServiceError
from qwarden.core.keysupply import Key
from qwarden.keys.kme import config, vault
from qwarden.keys.kme.client import KmeClient
from qwarden.keys.kme.serving import serve

KILLS = ("kme-a", "kme-b", "kme-a", "kme-b", "kme-a")
CLIENTS = 16
KEYS = 8192


def serve_home(home: str) -> None:
    """Serve as ``qwarden keys serve`` does, until killed."""
    place = Path(home)
    secret = vault.from_file(place / "master.key")
    serve(config.load(place / config.FILE), place, secret, publish=lambda _: None, on_open=lambda _: None)


class Site:
    """One entity as a process."""

    def __init__(self, entities: Entities, kme: str) -> None:
        self._home = str(entities.folder / kme)
        self._context = multiprocessing.get_context("forkserver")
        self.process: BaseProcess = self.start()

    def start(self) -> BaseProcess:
        """Start it, or start it again."""
        self.process = self._context.Process(target=serve_home, args=(self._home,), daemon=True)
        self.process.start()
        return self.process

    def kill(self) -> None:
        """Kill it, with no chance to put anything in order."""
        self.process.kill()
        self.process.join(20)


def ask(client: KmeClient, mine: list[Key], over: threading.Event) -> None:
    """Get keys until told to stop, whatever happens to the entity."""
    while not over.is_set():
        try:
            mine += client.get_key("sae-2", 2, 512)
        except (ServiceError, KeySupplyError):
            time.sleep(0.05)


@pytest.mark.slow
def test_no_key_comes_twice_and_none_by_half_and_the_pools_stay_equal(tmp_path: Path) -> None:
    entities = prepare(tmp_path)
    material = fill(entities, keys=KEYS)
    sites = {kme: Site(entities, kme) for kme in KMES}
    got: list[list[Key]] = [[] for _ in range(CLIENTS)]
    over = threading.Event()
    clients = [entities.application("sae-1") for _ in got]
    threads = [
        threading.Thread(target=ask, args=(client, mine, over))
        for client, mine in zip(clients, got, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        for number, kme in enumerate(KILLS):
            reached = sum(map(len, got)) + 40
            until = time.monotonic() + 60
            while sum(map(len, got)) < reached and time.monotonic() < until:
                time.sleep(0.003)
            assert sum(map(len, got)) >= reached, f"no keys after kill {number}"
            sites[kme].kill()
            sites[kme].start()
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    keys = [key for mine in got for key in mine]
    # Each is what was stored, whole, and no two hold a common quantum.
    stored = {material[at : at + 32]: at // 32 for at in range(0, len(material), 32)}
    used = Counter(stored[half] for key in keys for half in (key.material[:32], key.material[32:]))
    assert max(used.values()) == 1
    assert len({key.id for key in keys}) == len(keys)
    # The other end gives each once, the same.
    with entities.application("sae-2") as other:
        until = time.monotonic() + 60
        while True:
            try:
                other.status("sae-1")
                break
            except ServiceError:
                assert time.monotonic() < until
                time.sleep(0.1)
        for at in range(0, len(keys), 64):
            wanted = keys[at : at + 64]
            found = other.get_key_with_ids("sae-1", [key.id for key in wanted])
            assert [key.material for key in found] == [key.material for key in wanted]
    for client in clients:
        client.close()
    for site in sites.values():
        site.kill()
    # What is left is the same at both ends, once they have compared, and holds nothing that was given out.
    ours, theirs = open_stores(entities)
    later = time.time() + 1
    for one, name, other, peer in ((ours, "kme-a", theirs, "kme-b"), (theirs, "kme-b", ours, "kme-a")):
        _, missing = other.discard_used(name, one.remaining(peer), later)
        one.discard_missing(peer, missing, later)
    with ours._ledger.reading() as here, theirs._ledger.reading() as there:
        left = [{n for (n,) in db.execute("select n from quanta")} for db in (here, there)]
    ours.close()
    theirs.close()
    assert left[0] == left[1]
    assert left[0].isdisjoint(used)
    assert len(left[0]) + len(used) <= KEYS
