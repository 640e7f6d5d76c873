"""Ends that are killed at random moments, over and over: what is left at both is the same.

The processes are real ones, forked from a server that has everything imported, and killed by SIGKILL.
"""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import time
from contextlib import closing, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from tests.unit.keys.party import nodes

from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.kme.vault import from_file
from qwarden.keys.link import Link, Settings
from qwarden.keys.party.addresses import Address, listen
from qwarden.keys.party.block import Terms
from qwarden.keys.party.node import AliceNode, BobNode
from qwarden.keys.party.session import Place
from qwarden.keys.party.site import open_site

TERMS = Terms(settings=Settings(protocol="e91", block_bits=12_000, key_basis=0.7, eps_sec=1e-8))
PATIENCE_S = 60.0
KILLS = 16
SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["tests.e2e.keys.warm"])


def run_end(home: Path, name: str, peer: str, alice: Address, fibre: Address) -> None:
    """Be one end until killed; a key is stored in the home's key store."""
    with open_site(home, name, from_file(home / "master.key")) as site:
        place = Place(name=name, peer=peer, terms=TERMS, pool=site.pool, journal=site.journal, timeout_s=1.5)
        if name == "bob":
            BobNode(
                place=place, deliver=site.deliver, publish=lambda _: None, alice=alice, inspect=lambda _: ""
            ).run()
            return
        with listen(alice) as listener:
            AliceNode(
                place=place, deliver=site.deliver, publish=lambda _: None, listener=listener,
                fibre=lambda: fibre,
            ).run()  # fmt: skip


class Ends:
    """Both homes and the processes that live in them."""

    def __init__(self, folder: Path, alice: Address, fibre: Address) -> None:
        self.alice, self.fibre = alice, fibre
        self.homes = {name: folder / name for name in ("alice", "bob")}
        self.processes: dict[str, BaseProcess] = {}
        shared = random.Random(1).randbytes(1 << 17)
        for name, home in self.homes.items():
            home.mkdir()
            (home / "master.key").write_bytes(bytes(range(32)))
            (home / "master.key").chmod(0o600)
            PreSharedPool(home / "keys" / "pre-shared", name).add(self.peer(name), shared)

    @staticmethod
    def peer(name: str) -> str:
        return "bob" if name == "alice" else "alice"

    def start(self, name: str) -> None:
        arguments = (self.homes[name], name, self.peer(name), self.alice, self.fibre)
        self.processes[name] = SPAWN.Process(target=run_end, args=arguments, daemon=True)
        self.processes[name].start()

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].join()

    def blocks(self) -> int:
        """How many blocks Alice has kept so far."""
        return self._count("alice", "state in ('kept', 'stored')")

    def wait_for_doubt(self, patience_s: float) -> None:
        """Wait until Bob holds a key of which he does not know whether Alice keeps it, but not for ever."""
        until = time.monotonic() + patience_s
        while not self._count("bob", "state = 'pending'") and time.monotonic() < until:
            time.sleep(0.0005)

    def _count(self, name: str, what: str) -> int:
        path = self.homes[name] / "keys" / "links.db"
        with (
            suppress(sqlite3.OperationalError),  # not made yet
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db,
        ):
            return int(db.execute(f"select count(*) from blocks where {what}").fetchone()[0])
        return 0

    def wait_for_blocks(self, count: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.blocks() < count:
            assert time.monotonic() < until
            assert all(process.is_alive() for process in self.processes.values())
            time.sleep(0.05)

    def stored(self) -> list[dict[tuple[str, int], bytes]]:
        """What both hold, opened, after both have taken in what they kept."""
        found = []
        for name, home in self.homes.items():
            with open_site(home, name, from_file(home / "master.key")) as site:
                site.journal.take_in(self.peer(name), site.pool, site.deliver)
                assert site.journal.waiting(self.peer(name)) == 0
                with nodes.KeyStore(home / "keys" / "kme", name, site.vault) as store:
                    with store._ledger.reading() as db:
                        rows = db.execute("select block, n, sealed from quanta").fetchall()
                    found.append({(b, n): site.vault.open(sealed, [b, n]) for b, n, sealed in rows})
        return found

    def pending(self) -> list[list[str]]:
        found = []
        for name, home in self.homes.items():
            with open_site(home, name, from_file(home / "master.key")) as site:
                found.append(site.journal.pending(self.peer(name)))
        return found


@pytest.mark.slow
def test_after_random_kills_both_ends_hold_the_same_keys(tmp_path: Path) -> None:
    choose = random.Random()
    with listen(nodes.LOOPBACK) as free:
        alice = nodes.listening_at(free)
    with nodes.fibre(Link(distance_km=5)) as at:
        ends = Ends(tmp_path, alice, at)
        for name in ends.homes:
            ends.start(name)
        ends.wait_for_blocks(2)
        for kill in range(KILLS):
            if kill % 2:
                ends.wait_for_doubt(3.0)
            else:
                time.sleep(choose.uniform(0.05, 0.8))
            victims = choose.choice((["alice"], ["bob"], ["alice", "bob"]))
            for name in victims:
                ends.kill(name)
            for name in victims:
                ends.start(name)
        # Left alone they meet again; then both are stopped between two blocks, or within one: it must not
        # matter, but for what the last one left in doubt.
        ends.wait_for_blocks(ends.blocks() + 2)
        time.sleep(choose.uniform(0.0, 0.3))
        for name in ends.homes:
            ends.kill(name)
        doubtful = {id for ids in ends.pending() for id in ids}
        ours, theirs = ends.stored()
        assert len({block for block, _ in ours}) > 3
        same = {place: key for place, key in ours.items() if place[0] not in doubtful}
        assert same == theirs
        # When they meet once more, nothing is in doubt any longer.
        for name in ends.homes:
            ends.start(name)
        until = time.monotonic() + 20
        while any(set(ids) & doubtful for ids in ends.pending()) and time.monotonic() < until:
            time.sleep(0.2)
        assert not any(set(ids) & doubtful for ids in ends.pending())
        for name in ends.homes:
            ends.kill(name)
        ours, theirs = ends.stored()
        assert {p: k for p, k in ours.items() if p[0] in doubtful} == {
            p: k for p, k in theirs.items() if p[0] in doubtful
        }
