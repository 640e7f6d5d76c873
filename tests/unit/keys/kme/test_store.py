from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.unit.keys.kme.conftest import Stores

from qwarden.core.errors import ConfigError, KeyExhausted, KeyReused, KeySupplyError, UsageError
from qwarden.keys.kme.records import (
    Asked,
    Assignment,
    Delivered,
    NoSuchKey,
    NotWaiting,
    PoolFull,
    Provenance,
    Wanted,
)  # fmt: skip
from qwarden.keys.kme.store import KeyStore


def draw(
    store: KeyStore, number: int = 1, bits: int = 256, peer: str = "bob", **more: tuple[str, ...]
) -> list[tuple[Assignment, Delivered]]:
    asked = Asked(
        peer=peer, bits=bits, number=number, master="sa", slaves=more.pop("slaves", ("sb",)), **more
    )
    (drawn,) = store.draw([asked])
    if isinstance(drawn, KeyExhausted):
        raise drawn
    return drawn


def fetch(store: KeyStore, *ids: str, sae: str = "sb", master: str = "sa") -> list[Delivered]:
    (found,) = store.fetch([Wanted(ids=ids, sae=sae, master=master)])
    if isinstance(found, Exception):
        raise found
    return found


@pytest.mark.parametrize("bits", [8, 64, 256, 264, 512, 4096])
def test_a_key_is_the_next_of_the_block_at_both_ends(stores: Stores, bits: int) -> None:
    material = stores.fill(64)
    (assignment, ours) = draw(stores.alice, bits=bits)[0]
    assert ours.key == material[: bits // 8]
    assert stores.bob.accept("alice", [assignment]) == [True]
    assert fetch(stores.bob, ours.id) == [ours]
    # Bob draws from the other half.
    (_, theirs) = draw(stores.bob, bits=bits, peer="alice")[0]
    assert theirs.key == material[1024 : 1024 + bits // 8]


def test_halves_are_disjoint_and_cover_all_but_what_fills_no_quantum(stores: Stores) -> None:
    material = bytes(range(32)) * 5 + b"rest"
    for store, peer in ((stores.alice, "bob"), (stores.bob, "alice")):
        provenance = Provenance(block="b", peer=peer, origin="vendor", method="m", epsilon=0.0)
        assert store.add(provenance, material) == 5
    assert (stores.alice.available("bob"), stores.bob.available("alice")) == (2, 3)
    with pytest.raises(KeyExhausted):
        draw(stores.alice, 3)
    assert len(draw(stores.alice, 2)) == 2
    assert len(draw(stores.bob, 3, peer="alice")) == 3


def test_a_request_gets_all_or_nothing_and_the_others_of_its_batch_their_own(stores: Stores) -> None:
    stores.fill(8)
    asked = [Asked(peer="bob", bits=256, number=n, master="sa", slaves=("sb",)) for n in (3, 2, 1)]
    first, second, third = stores.alice.draw(asked)
    assert not isinstance(first, KeyExhausted)
    assert isinstance(second, KeyExhausted)
    assert (second.asked, second.left) == (512, 256)
    assert not isinstance(third, KeyExhausted)
    assert (len(first), len(third), stores.alice.available("bob")) == (3, 1, 0)


def test_a_block_is_stored_once_even_after_it_was_used_up_or_revoked(stores: Stores) -> None:
    stores.fill(2)
    draw(stores.alice)
    stores.alice.revoke(block="b1")
    with pytest.raises(KeyReused, match="b1: was stored before"):
        stores.fill(2)


def test_a_full_pool_takes_no_more(stores: Stores) -> None:
    stores.alice.own_most = 5
    stores.fill(8)
    with pytest.raises(PoolFull):
        stores.fill(4, block="b2")
    assert stores.alice.available("bob") == 4
    assert stores.fill(2, block="b2")


@pytest.mark.parametrize("bits", [0, -8, 7, 255])
def test_a_size_that_is_no_multiple_of_8_is_refused(stores: Stores, bits: int) -> None:
    stores.fill(8)
    with pytest.raises(UsageError, match="multiple of 8"):
        draw(stores.alice, bits=bits)
    assert stores.alice.available("bob") == 4


def test_keys_are_of_one_origin_the_most_trusted_that_suffices(stores: Stores) -> None:
    stores.fill(4, block="s", origin="simulated", epsilon=0.5)
    stores.fill(2, block="v", origin="vendor", epsilon=0.125)
    (_, key) = draw(stores.alice, bits=512)[0]
    assert (key.origin, key.epsilon) == ("simulated", 0.5)
    (_, key) = draw(stores.alice)[0]
    assert (key.origin, key.epsilon) == ("vendor", 0.125)
    with pytest.raises(KeyExhausted):
        draw(stores.alice, origins=("simulated",))


def test_epsilons_of_several_blocks_add_up(stores: Stores) -> None:
    for block in ("b1", "b2", "b3"):
        stores.fill(2, block=block, epsilon=0.25)
    (assignment, key) = draw(stores.alice, bits=768)[0]
    assert key.epsilon == 0.75
    assert [block for block, *_ in assignment.spans] == ["b1", "b2", "b3"]
    stores.bob.accept("alice", [assignment])
    assert fetch(stores.bob, key.id) == [key]


def test_the_least_trusted_origin_is_said_of_a_key_that_the_other_end_mixed(stores: Stores) -> None:
    stores.fill(2, block="v", origin="vendor")
    stores.fill(2, block="s", origin="simulated")
    mixed = Assignment(id="k", bits=512, master="sa", slaves=("sb",), spans=(("v", 0, 1), ("s", 0, 1)))
    assert stores.bob.accept("alice", [mixed], ("vendor", "imported")) == [False]
    assert stores.bob.accept("alice", [mixed]) == [True]
    assert fetch(stores.bob, "k")[0].origin == "simulated"


def test_each_slave_fetches_once_and_nobody_else(stores: Stores) -> None:
    stores.fill(8)
    drawn = draw(stores.alice, 2, slaves=("sb", "sc"))
    stores.bob.accept("alice", [assignment for assignment, _ in drawn])
    first, second = (key for _, key in drawn)
    assert fetch(stores.bob, second.id, first.id) == [second, first]
    for sae in ("sb", "sa", "sd"):
        with pytest.raises(NotWaiting):
            fetch(stores.bob, first.id, sae=sae)
    with pytest.raises(NoSuchKey):
        fetch(stores.bob, first.id, sae="sc", master="sb")
    assert fetch(stores.bob, first.id, sae="sc") == [first]
    with pytest.raises(NoSuchKey):
        fetch(stores.bob, first.id, sae="sc")


def test_two_in_one_batch_that_want_the_same_key_do_not_both_get_it(stores: Stores) -> None:
    stores.fill(8)
    ((assignment, key),) = draw(stores.alice)
    stores.bob.accept("alice", [assignment])
    wanted = Wanted(ids=(key.id,), sae="sb", master="sa")
    first, second = stores.bob.fetch([wanted, wanted])
    assert first == [key]
    assert isinstance(second, NoSuchKey)


def test_what_one_end_used_alone_the_other_drops(stores: Stores) -> None:
    stores.fill(12)
    stores.fill(2, block="b2")
    drawn = draw(stores.alice, 3)
    stores.bob.accept("alice", [drawn[1][0]])  # it did not hear of two
    assert stores.alice.remaining("bob") == {"b1": [(3, 3)], "b2": [(0, 1)]}
    assert stores.bob.discard_used("alice", stores.alice.remaining("bob"), stores.clock.now()) == (2, {})
    assert stores.bob.discard_used("alice", stores.alice.remaining("bob"), stores.clock.now()) == (0, {})
    assert fetch(stores.bob, drawn[1][1].id) == [drawn[1][1]]
    assert stores.bob.accept("alice", [drawn[0][0]]) == [False]


def test_what_the_other_end_does_not_have_is_dropped_unless_it_just_came(stores: Stores) -> None:
    stores.fill(12)
    stores.bob.revoke(block="b1")
    stores.fill(4, block="b2")
    now = stores.clock.now()
    dropped, missing = stores.bob.discard_used("alice", stores.alice.remaining("bob"), now)
    assert (dropped, missing) == (0, {"b1": [(0, 6)]})
    assert stores.alice.discard_missing("bob", missing, now) == 0
    assert stores.alice.discard_missing("carol", missing, now + 1) == 0
    assert stores.alice.discard_missing("bob", {**missing, "x": [(0, 9)]}, now + 1) == 6
    assert stores.alice.remaining("bob") == {"b2": [(0, 2)]}
    with pytest.raises(ValueError, match="too many"):
        stores.bob.discard_used("alice", {"b2": [(0, 1 << 40)]}, now)


def test_keys_of_which_nobody_heard_are_put_back_whole_and_others_are_not(stores: Stores) -> None:
    material = stores.fill(8)
    first, second = draw(stores.alice, 2, bits=264)
    stores.alice.settle([second[0].id])
    stores.alice.put_back([first[0].id, second[0].id, "unknown"])
    stores.alice.put_back([first[0].id])
    assert (stores.alice.available("bob"), stores.alice.pools()[0].used) == (2, 64)
    ((assignment, key),) = draw(stores.alice, bits=512)
    assert key.key == material[:64]
    assert stores.bob.accept("alice", [first[0]]) == [True]  # had it been told after all, only one is taken
    assert stores.bob.accept("alice", [assignment]) == [False]


def test_a_block_that_the_other_end_does_not_name_is_dropped_unless_it_just_came(stores: Stores) -> None:
    stores.fill(4)
    assert stores.bob.discard_used("alice", {}, stores.clock.now()) == (0, {})
    stores.clock.advance(1e9 + 1)
    assert stores.bob.discard_used("alice", {}, stores.clock.now()) == (2, {})
    assert stores.bob.available("alice") == 2


def test_what_is_too_old_goes_and_so_does_what_nobody_fetched(stores: Stores) -> None:
    stores.fill(8)
    ((assignment, key),) = draw(stores.alice)
    stores.bob.accept("alice", [assignment])
    stores.clock.advance(1e9 + 100)
    stores.fill(2, block="b2")
    assert stores.alice.expire(1e9 + 50) == 3
    assert stores.alice.available("bob") == 1
    assert stores.bob.expire(1e9 + 50) == 5
    with pytest.raises(NoSuchKey):
        fetch(stores.bob, key.id)
    # Halves of the other end go when both compare.
    settled = 1e9 + 50
    assert stores.alice.discard_used("bob", stores.bob.remaining("alice"), settled) == (4, {})
    assert stores.bob.discard_used("alice", stores.alice.remaining("bob"), settled) == (3, {})
    assert stores.alice.pools()[0].left == stores.bob.pools()[0].theirs == 1


def test_pools_tell_of_renewal_and_use(stores: Stores) -> None:
    stores.fill(8)
    stores.clock.advance(1e9 + 10)
    ((assignment, _),) = draw(stores.alice, bits=512)
    stores.bob.accept("alice", [assignment])
    for store, left, theirs, waiting in ((stores.alice, 2, 4, 0), (stores.bob, 4, 2, 1)):
        (pool,) = store.pools()
        assert (pool.left, pool.theirs, pool.waiting) == (left, theirs, waiting)
        assert (pool.renewed, pool.used) == (1e9, 64)
    stores.fill(2, block="b2")
    (pool,) = stores.alice.pools()
    assert (pool.renewed, pool.used) == (1e9 + 10, 0)


def test_revoking_reaches_what_it_names_and_nothing_else(stores: Stores) -> None:
    stores.fill(4)
    stores.fill(4, block="b2")
    ((assignment, key),) = draw(stores.alice)
    stores.bob.accept("alice", [assignment])
    assert stores.bob.revoke(key=key.id, peer="carol") == 0
    assert stores.bob.revoke(block="b1", peer="carol") == 0
    assert stores.bob.revoke(key=key.id, peer="alice") == 1
    assert stores.bob.revoke(block="b1") == 3
    assert stores.bob.revoke(peer="alice") == 4
    for nothing in ({}, {"block": "b", "key": "k"}):
        with pytest.raises(UsageError):
            stores.bob.revoke(**nothing)


def test_resealing_changes_every_row_and_no_key(stores: Stores) -> None:
    material = stores.fill(8)
    ((assignment, waiting),) = draw(stores.alice)
    stores.bob.accept("alice", [assignment])
    old = stores.vaults["bob"]
    assert stores.bob.reseal() == 8  # 7 quanta, one key
    with stores.bob._ledger.reading() as db:
        rows = db.execute("select block, n, sealed from quanta").fetchall()
    for block, n, sealed in rows:
        with pytest.raises(KeySupplyError):
            old.open(sealed, [block, n])
    assert fetch(stores.bob, waiting.id) == [waiting]
    assert draw(stores.bob, peer="alice")[0][1].key == material[128:160]


def test_a_row_that_was_changed_or_moved_is_not_given_out(stores: Stores) -> None:
    stores.fill(8)
    with stores.alice._ledger.writing() as db:
        db.execute("update quanta set sealed = (select sealed from quanta where n = 1) where n = 0")
    with pytest.raises(KeySupplyError, match=r'\["b1",0\] does not open: .* revoke it'):
        draw(stores.alice)
    assert stores.alice.available("bob") == 4


def test_nothing_secret_stands_in_the_file_and_nothing_given_out_in_the_tables(stores: Stores) -> None:
    material = stores.fill(8)
    ((assignment, key),) = draw(stores.alice)
    stores.bob.accept("alice", [assignment])
    files = [path for folder in stores.folders.values() for path in folder.iterdir()]
    assert {path.name for path in files} >= {"keys.db", "vault.json"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    content = b"".join(path.read_bytes() for path in files)
    assert not any(material[at : at + 16] in content for at in range(0, len(material), 16))
    assert material.hex() not in repr((stores.alice, stores.vaults, assignment, key))


def test_what_the_journal_holds_of_keys_that_are_gone_can_be_removed(stores: Stores) -> None:
    stores.fill(8)
    with stores.alice._ledger.reading() as db:
        sealed = db.execute("select sealed from quanta where n = 0").fetchone()[0]
    draw(stores.alice)
    stores.alice.tidy()
    assert not any(sealed in path.read_bytes() for path in stores.folders["alice"].iterdir())


def test_a_second_one_is_told_that_the_store_is_in_use(stores: Stores) -> None:
    with pytest.raises(KeySupplyError, match=rf"in use by another process \(id {os.getpid()}\)"):
        stores.open("alice")
    stores.alice.close()
    stores.alice = stores.open("alice")


@pytest.mark.parametrize("content", [b"no data base", b"SQLite format 3\0" + bytes(500)])
def test_a_damaged_file_is_named(stores: Stores, content: bytes) -> None:
    stores.alice.close()
    (stores.folders["alice"] / "keys.db").write_bytes(content)
    with pytest.raises(KeySupplyError, match=r"keys\.db"):
        stores.open("alice")
    (stores.folders["alice"] / "keys.db").unlink()
    stores.alice = stores.open("alice")


def test_a_file_of_another_version_is_refused(stores: Stores) -> None:
    stores.alice.close()
    with sqlite3.connect(stores.folders["alice"] / "keys.db") as db:
        db.execute("pragma user_version = 7")
    db.close()
    with pytest.raises(KeySupplyError, match="is of version 7"):
        stores.open("alice")
    with sqlite3.connect(stores.folders["alice"] / "keys.db") as db:
        db.execute("pragma user_version = 1")
    db.close()
    stores.alice = stores.open("alice")


def test_a_link_in_place_of_the_file_is_not_followed(stores: Stores, tmp_path: Path) -> None:
    stores.alice.close()
    lock = stores.folders["alice"] / "keys.lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"keys\.lock"):
        stores.open("alice")
    assert not (tmp_path / "elsewhere").exists()
    lock.unlink()
    stores.alice = stores.open("alice")


FULL = """
    import resource, signal, sys
    from qwarden.core.errors import KeySupplyError
    from qwarden.keys.kme import vault
    from qwarden.keys.kme.records import Asked, Provenance
    from qwarden.keys.kme.store import KeyStore
    secret = vault.Secret(bytes(32), is_passphrase=False)
    store = KeyStore(sys.argv[1], "alice", vault.open_vault(sys.argv[1], secret))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        big = Provenance(block="b2", peer="bob", origin="vendor", method="m", epsilon=0.0)
        store.add(big, bytes(32 << 12))
    except KeySupplyError as error:
        print("refused:", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    left = store.available("bob")
    print(left, len(store.draw([Asked(peer="bob", bits=256, master="a", slaves=("b",))])[0]))
"""


def test_a_full_disk_stores_nothing_and_the_store_goes_on(stores: Stores) -> None:
    stores.fill(8)
    stores.alice.close()
    folder = stores.folders["alice"]
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(folder), str(128 * 1024)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    refused, after = done.stdout.strip().splitlines()
    assert "keys.db" in refused
    assert after == "4 1"
    stores.alice = stores.open("alice")
    assert stores.alice.available("bob") == 3
