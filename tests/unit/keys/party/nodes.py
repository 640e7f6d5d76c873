"""Two nodes and their fibre in threads of one process, over real sockets, each with a home of its own."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qwarden.core.events import Event
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.kme.vault import create, from_file, open_vault
from qwarden.keys.link import Link
from qwarden.keys.observables import Observables
from qwarden.keys.party.addresses import Address, listen, listening_at
from qwarden.keys.party.block import Terms
from qwarden.keys.party.fibre import Fibre
from qwarden.keys.party.node import Account, AliceNode, BobNode
from qwarden.keys.party.resume import BlockJournal
from qwarden.keys.party.session import Place
from qwarden.keys.physics import Attack
from qwarden.keys.simulate import SimulatedLink

LOOPBACK = Address("127.0.0.1", 0)
PATIENCE_S = 5.0


@dataclass
class End:
    """What an end has on its disk, and what it said."""

    folder: Path
    name: str
    peer: str
    shared: bytes
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        master = self.folder / "master.key"
        master.write_bytes(secrets.token_bytes(32))
        master.chmod(0o600)
        create(self.folder, from_file(master))
        self.pool = PreSharedPool(self.folder / "pre-shared", self.name)
        self.pool.add(self.peer, self.shared)
        self.open()

    def open(self) -> None:
        """Open what a process opens when it starts."""
        self.vault = open_vault(self.folder, from_file(self.folder / "master.key"))
        self.pool = PreSharedPool(self.folder / "pre-shared", self.name)
        self.journal = BlockJournal(self.folder, self.vault)
        self.store = KeyStore(self.folder, self.name, self.vault)

    def close(self) -> None:
        self.journal.close()
        self.store.close()

    def place(self, terms: Terms) -> Place:
        return Place(
            name=self.name, peer=self.peer, terms=terms, pool=self.pool, journal=self.journal,
            timeout_s=PATIENCE_S,
        )  # fmt: skip

    def quanta(self) -> dict[tuple[str, int], bytes]:
        """All that can be drawn by either end, opened."""
        with self.store._ledger.reading() as db:
            rows = db.execute("select block, n, own, sealed from quanta").fetchall()
        return {(block, n): self.vault.open(sealed, [block, n]) for block, n, _, sealed in rows}

    def halves(self) -> dict[tuple[str, int], int]:
        """Whose each quantum is: 1 for own."""
        with self.store._ledger.reading() as db:
            return {(block, n): own for block, n, own in db.execute("select block, n, own from quanta")}


@contextmanager
def fibre(link: Link, attack: Callable[[int], Attack | None] = lambda _: None) -> Iterator[Address]:
    with listen(LOOPBACK) as listener:
        served = Fibre(SimulatedLink(link, attack, seed=5))
        threading.Thread(target=served.serve, args=(listener,), daemon=True).start()
        yield listening_at(listener)
        listener.shutdown(socket.SHUT_RDWR)


def ends(folder: Path, pool_bytes: int = 1 << 15) -> tuple[End, End]:
    shared = secrets.token_bytes(pool_bytes)
    return End(folder / "a", "alice", "bob", shared), End(folder / "b", "bob", "alice", shared)


class Running(threading.Thread):
    """Something that runs, and what it came to."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._act()
        except BaseException as error:
            self.error = error

    def wait(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


def alice_node(end: End, terms: Terms, listener: socket.socket, at: Address, **options: Any) -> AliceNode:
    return AliceNode(
        place=end.place(terms), deliver=end.store.add, publish=end.events.append, listener=listener,
        fibre=lambda: at, **options,
    )  # fmt: skip


def bob_node(end: End, terms: Terms, alice: Address, **options: Any) -> BobNode:
    inspect: Callable[[Observables], str] = options.pop("inspect", lambda _: "")
    return BobNode(
        place=end.place(terms), deliver=end.store.add, publish=end.events.append, alice=alice,
        inspect=inspect, **options,
    )  # fmt: skip


def converse(
    alice: End,
    bob: End,
    terms: Terms,
    link: Link,
    *,
    blocks: int,
    attack: Callable[[int], Attack | None] = lambda _: None,
    through: Callable[[Address], Any] | None = None,
    bob_terms: Terms | None = None,
    at_most: int = 3,
    inspect: Callable[[Observables], str] = lambda _: "",
    **options: Any,
) -> tuple[Running, Running]:
    """Run both ends until Alice has her blocks; return what each came to."""
    with fibre(link, attack) as at, listen(LOOPBACK) as listener:
        there = listening_at(listener)
        proxy = through(there) if through else None
        a = alice_node(alice, terms, listener, at, at_most=at_most, **options)
        b = bob_node(bob, bob_terms or terms, proxy.address if proxy else there, inspect=inspect, **options)
        running = Running(lambda: a.run(blocks)), Running(b.run)
        until = time.monotonic() + 60
        while all(one.is_alive() for one in running) and time.monotonic() < until:
            time.sleep(0.005)
        running[0].join(2 if running[1].error else 15)
        running[1].join(2 if running[0].error else 15)
        for node, one in zip((a, b), running, strict=True):
            node.stop.set()
            one.join(20)
        if proxy:
            proxy.close()
    return running


def same_pools(alice: End, bob: End) -> None:
    """Both ends hold the same keys, and each quantum is drawn by one of them."""
    ours, theirs = alice.quanta(), bob.quanta()
    assert ours == theirs
    mine, his = alice.halves(), bob.halves()
    assert all(mine[place] + his[place] == 1 for place in mine)
    assert not alice.journal.pending("bob")
    assert not bob.journal.pending("alice")


def accounts(running: tuple[Running, Running]) -> tuple[Account, Account]:
    return running[0].wait(), running[1].wait()


def other_terms(terms: Terms) -> Terms:
    return replace(terms, settings=replace(terms.settings, eps_cor=1e-12))
