from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from qwarden.core.errors import ConfigError, KeyReused, KeySupplyError
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.keys.kme import vault
from qwarden.keys.kme.records import Provenance
from qwarden.keys.kme.store import KeyStore
from qwarden.keys.party.resume import FILE, BlockJournal, replenish_bytes
from qwarden.keys.party.site import STORE, open_site, own_master

KEY = bytes(range(1, 129)) * 2


def told(block: str, peer: str = "bob") -> Provenance:
    return Provenance(block=block, peer=peer, origin="simulated", method="bbm92", epsilon=1e-10)


class Home:
    """A journal with what it needs, and a place where keys go."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.secret = vault.from_passphrase("correct horse battery")
        self.vault = vault.create(folder, self.secret)
        self.pool = PreSharedPool(folder / "pre-shared", "alice")
        self.taken: dict[str, bytes] = {}
        self.open()

    def open(self) -> None:
        self.journal = BlockJournal(self.folder, self.vault)

    def deliver(self, provenance: Provenance, material: bytes) -> None:
        if provenance.block in self.taken:
            raise KeyReused("again")
        self.taken[provenance.block] = material

    def take_in(self) -> int:
        return self.journal.take_in("bob", self.pool, self.deliver)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_what_is_pending_is_nobodys_until_it_is_settled(home: Home) -> None:
    for block in ("1", "2", "3"):
        home.journal.hold(told(block), KEY)
    home.journal.hold(told("4", peer="carol"), KEY)
    assert home.take_in() == 0
    assert home.journal.pending("bob") == ["1", "2", "3"]
    assert home.journal.kept("bob", ["1", "2", "3"]) == []
    assert home.journal.settle("bob", ["2", "unheard of"]) == (1, 2)
    assert home.journal.pending("bob") == []
    assert home.journal.pending("carol") == ["4"]
    assert home.take_in() == 1
    assert home.taken == {"2": KEY}


def test_it_is_known_for_ever_what_was_kept(home: Home) -> None:
    home.journal.keep(told("1"), KEY)
    home.journal.hold(told("2"), KEY)
    assert home.journal.kept("bob", ["1", "2", "3"]) == ["1"]
    assert home.journal.waiting("bob") == 1
    home.take_in()
    home.journal.close()
    home.open()
    assert home.journal.kept("bob", ["1", "2", "3"]) == ["1"]
    assert home.journal.waiting("bob") == 0
    with pytest.raises(KeySupplyError):
        home.journal.keep(told("1"), KEY)


def test_no_key_is_on_the_disk_in_clear_or_after_it_was_taken(home: Home) -> None:
    home.journal.hold(told("1"), KEY)
    home.journal.keep(told("2"), KEY)
    home.journal.close()
    for path in home.folder.glob(f"{FILE}*"):
        assert KEY[:32] not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    home.open()
    home.take_in()
    home.journal.settle("bob", [])
    assert all(row == (None,) for row in home.journal._db.execute("select sealed from blocks"))


def test_taking_in_again_after_a_crash_neither_loses_nor_doubles(home: Home) -> None:
    home.journal.keep(told("1"), KEY, replenish=64)

    def crash(provenance: Provenance, material: bytes) -> None:
        home.deliver(provenance, material)
        raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError):
        home.journal.take_in("bob", home.pool, crash)
    assert home.journal.waiting("bob") == 1
    assert home.take_in() == 1
    assert home.taken == {"1": KEY[64:]}
    added = [e for e in home.pool.record("bob") if e["did"] == "add"]
    assert [e["bytes"] for e in added] == [64]


def test_a_store_that_cannot_take_a_key_now_gets_it_later(home: Home) -> None:
    home.journal.keep(told("1"), KEY)

    def busy(provenance: Provenance, material: bytes) -> None:
        raise KeySupplyError("in use by another process")

    with pytest.raises(KeySupplyError):
        home.journal.take_in("bob", home.pool, busy)
    assert home.take_in() == 1
    assert home.taken == {"1": KEY}


def test_a_journal_opened_by_another_vault_gives_nothing(home: Home, tmp_path: Path) -> None:
    home.journal.keep(told("1"), KEY)
    home.journal.close()
    home.vault = vault.create(tmp_path / "other", home.secret)
    home.open()
    with pytest.raises(KeySupplyError):
        home.take_in()
    (home.folder / FILE).write_bytes(b"no data base" * 100)
    with pytest.raises(KeySupplyError):
        BlockJournal(home.folder, home.vault)


def test_both_ends_come_to_the_same_share_for_tags() -> None:
    for size in (0, 10, 127, 128, 1000, 100_000):
        share = replenish_bytes(size, 8192)
        assert share % 2 == 0
        assert share <= size / 2
        assert share == 0 or share >= 64
        assert replenish_bytes(size, 0) == 0


def test_a_site_stores_what_it_is_brought_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    material = secrets.token_bytes(640)
    with open_site(home, "alice", own_master(home)) as site:
        site.deliver(told("1"), material)
        with pytest.raises(KeyReused):
            site.deliver(told("1"), material)
        with KeyStore(home / STORE, "alice", site.vault) as held:
            assert held.available("bob") == 10
            with pytest.raises(KeySupplyError, match="another process"):
                site.deliver(told("2"), material)
    with open_site(home, "alice", own_master(home)) as site:
        site.deliver(told("2"), material)
    (home / "master.key").unlink()
    with pytest.raises(ConfigError):
        own_master(home)
