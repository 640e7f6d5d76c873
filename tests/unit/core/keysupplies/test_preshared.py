"""The pre-shared pool: two ends agree, no bit is given out twice, whatever happens."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qwarden.core.crypto.tags import KEY_BITS, TagKey
from qwarden.core.errors import InputError, KeyExhausted, KeyReused, KeySupplyError, UsageError
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.keysupply import PRE_SHARED, KeySupply

MATERIAL = random.Random(1).randbytes(2048)


@pytest.fixture
def alice(tmp_path: Path) -> PreSharedPool:
    pool = PreSharedPool(tmp_path / "alice", "alice")
    pool.add("bob", MATERIAL)
    return pool


@pytest.fixture
def bob(tmp_path: Path) -> PreSharedPool:
    pool = PreSharedPool(tmp_path / "bob", "bob")
    pool.add("alice", MATERIAL)
    return pool


def pool_file(tmp_path: Path) -> Path:
    [file] = (tmp_path / "alice" / "bob").glob("*.pool")
    return file


def ledger(tmp_path: Path) -> Path:
    return tmp_path / "alice" / "bob" / "ledger.jsonl"


def child(code: str, tmp_path: Path) -> list[str]:
    head = f"""
import os, signal, sys
from qwarden.core.keysupplies import preshared
pool = preshared.PreSharedPool({str(tmp_path / "alice")!r}, "alice")
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
"""
    return [sys.executable, "-c", head + code]


def test_both_ends_get_the_same_key_and_each_draws_its_own(alice: KeySupply, bob: KeySupply) -> None:
    there, back = alice.draw(256, "tag", "bob"), bob.draw(256, "tag", "alice")
    assert bob.fetch(there.id, "tag", "alice") == there
    assert alice.fetch(back.id, "tag", "bob") == back
    assert there.material == MATERIAL[:32]
    assert back.material == MATERIAL[1024:1056]
    assert (there.bits, there.origin) == (256, PRE_SHARED)


def test_keys_serve_as_tag_keys(alice: KeySupply, bob: KeySupply) -> None:
    key = alice.draw(KEY_BITS, "tag", "bob")
    tag = TagKey(key.material).tag(b"sifted")
    assert TagKey(bob.fetch(key.id, "tag", "alice").material).verify(b"sifted", tag)


def test_keys_may_be_fetched_in_any_order_and_once(alice: KeySupply, bob: KeySupply) -> None:
    keys = [alice.draw(8 * n, "test", "bob") for n in range(1, 20)]
    random.Random(2).shuffle(keys)
    for key in keys:
        assert bob.fetch(key.id, "test", "alice").material == key.material
    for key in keys:
        with pytest.raises(KeyReused, match="fetched before"):
            bob.fetch(key.id, "test", "alice")


def test_a_part_of_a_fetched_key_is_not_given_either(alice: KeySupply, bob: KeySupply) -> None:
    key = alice.draw(256, "test", "bob")
    part = key.id.partition(".")[0]
    bob.fetch(f"{part}.8.8", "test", "alice")
    for first, size in ((0, 32), (8, 8), (15, 1), (0, 9)):
        with pytest.raises(KeyReused):
            bob.fetch(f"{part}.{first}.{size}", "test", "alice")
    assert bob.fetch(f"{part}.16.16", "test", "alice").material == MATERIAL[16:32]


def test_an_end_fetches_only_what_the_other_draws(alice: KeySupply, bob: KeySupply) -> None:
    own = bob.draw(64, "test", "alice").id
    part = own.partition(".")[0]
    for wrong in (own, f"{part}.1020.8", f"{part}.0.0", f"{part}.2047.2"):
        with pytest.raises(KeySupplyError, match="is not one that alice draws"):
            bob.fetch(wrong, "test", "alice")
    for wrong in ("", "nonsense", f"{'0' * 16}.0.8", f"{part}.-8.8"):
        with pytest.raises(KeySupplyError, match="there is no key"):
            bob.fetch(wrong, "test", "alice")


def test_it_is_used_up_to_the_last_byte_and_no_further(alice: KeySupply) -> None:
    assert alice.available("bob") == 8192
    drawn = [alice.draw(2048, "test", "bob").material for _ in range(3)]
    with pytest.raises(KeyExhausted, match=r"2,056 bits asked for, 2,048 left") as caught:
        alice.draw(2056, "test", "bob")
    assert (caught.value.asked, caught.value.left) == (2056, 2048)
    drawn.append(alice.draw(2048, "test", "bob").material)
    assert b"".join(drawn) == MATERIAL[:1024]
    assert alice.available("bob") == 0
    with pytest.raises(KeyExhausted):
        alice.draw(8, "test", "bob")


def test_more_may_be_added(alice: KeySupply, bob: KeySupply) -> None:
    assert isinstance(alice, PreSharedPool)
    assert isinstance(bob, PreSharedPool)
    more = random.Random(3).randbytes(4096)
    alice.draw(8000, "test", "bob")
    with pytest.raises(KeyExhausted):
        alice.draw(256, "test", "bob")
    assert alice.add("bob", more) == bob.add("alice", more)
    assert alice.available("bob") == 192 + 8 * 2048
    key = alice.draw(256, "test", "bob")
    assert key.material == more[:32]
    assert bob.fetch(key.id, "test", "alice") == key
    assert alice.draw(192, "test", "bob").material == MATERIAL[1000:1024]  # the rest still serves


def test_the_same_material_is_not_added_twice(alice: PreSharedPool, tmp_path: Path) -> None:
    with pytest.raises(KeyReused, match="added before"):
        alice.add("bob", MATERIAL)
    alice.draw(64, "test", "bob")
    ledger(tmp_path).unlink()  # even without the record
    with pytest.raises(KeyReused, match="added before"):
        PreSharedPool(tmp_path / "alice", "alice").add("bob", MATERIAL)


@pytest.mark.parametrize(
    "material", [b"", MATERIAL[:62], MATERIAL[:101], bytes(64), MATERIAL[:100] + bytes(8) + MATERIAL[:20]]
)
def test_what_is_short_or_used_is_not_added(tmp_path: Path, material: bytes) -> None:
    with pytest.raises(InputError, match="key material: "):
        PreSharedPool(tmp_path, "alice").add("bob", material)


def test_everything_is_private_and_on_record(alice: PreSharedPool, tmp_path: Path) -> None:
    key = alice.draw(64, "tag", "bob")
    folder = tmp_path / "alice" / "bob"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    added, drawn = alice.record("bob")
    assert (added["did"], added["bytes"]) == ("add", 2048)
    assert (drawn["did"], drawn["first"], drawn["bytes"], drawn["purpose"]) == ("draw", 0, 8, "tag")
    assert key.material.hex() not in ledger(tmp_path).read_text()
    assert repr(key.material) not in repr(key)


def test_what_was_given_out_is_erased(alice: PreSharedPool, tmp_path: Path) -> None:
    alice.draw(128, "test", "bob")
    alice.fetch(f"{pool_file(tmp_path).stem}.1024.8", "test", "bob")
    assert pool_file(tmp_path).read_bytes() == bytes(16) + MATERIAL[16:1024] + bytes(8) + MATERIAL[1032:]


def test_a_file_others_may_read_is_refused(alice: PreSharedPool, tmp_path: Path) -> None:
    pool_file(tmp_path).chmod(0o640)
    with pytest.raises(KeySupplyError, match=r"other users may read it \(mode 40\): chmod 600"):
        alice.draw(64, "test", "bob")


def test_an_old_ledger_from_a_backup_gives_nothing_out_again(alice: PreSharedPool, tmp_path: Path) -> None:
    backup = ledger(tmp_path).read_bytes()
    first = alice.draw(256, "test", "bob")
    ledger(tmp_path).write_bytes(backup)
    with pytest.raises(KeySupplyError, match="replaced while in use"):
        alice.draw(256, "test", "bob")
    restarted = PreSharedPool(tmp_path / "alice", "alice")
    with pytest.raises(KeyReused, match="given out before: the ledger is older"):
        restarted.draw(256, "test", "bob")
    assert restarted.draw(256, "test", "bob").material == MATERIAL[32:64] != first.material


def test_a_death_before_the_release_loses_the_key(alice: PreSharedPool, tmp_path: Path) -> None:
    alice.draw(64, "test", "bob")
    dying = child(
        'pool.available("bob"); preshared._Ledger._take_out = die; pool.draw(64, "test", "bob")', tmp_path
    )
    assert subprocess.run(dying, check=False).returncode == -signal.SIGKILL
    assert pool_file(tmp_path).read_bytes()[8:16] == MATERIAL[8:16]  # committed, not yet erased
    assert alice.draw(64, "test", "bob").material == MATERIAL[16:24]
    assert pool_file(tmp_path).read_bytes()[:32] == bytes(24) + MATERIAL[24:32]


def test_a_death_before_the_commit_gives_nothing_out(alice: PreSharedPool, tmp_path: Path) -> None:
    dying = child('preshared._Ledger.commit = die; pool.draw(64, "test", "bob")', tmp_path)
    assert subprocess.run(dying, check=False).returncode == -signal.SIGKILL
    assert alice.draw(64, "test", "bob").material == MATERIAL[:8]


def test_half_a_line_is_no_commit(alice: PreSharedPool, tmp_path: Path) -> None:
    whole = alice.record("bob")
    with ledger(tmp_path).open("ab") as file:
        file.write(b'{"bytes":8,"did":"draw","first":0,')
    assert alice.draw(64, "test", "bob").material == MATERIAL[:8]
    assert alice.record("bob")[:-1] == whole
    assert PreSharedPool(tmp_path / "alice", "alice").draw(64, "test", "bob").material == MATERIAL[8:16]


def test_a_kill_at_any_moment_gives_no_bit_twice(alice: PreSharedPool, tmp_path: Path) -> None:
    drawing = child('while True: print(pool.draw(32, "test", "bob").id, flush=True)', tmp_path)
    seen: list[str] = []
    for stop_after in (1, 7, 20):
        process = subprocess.Popen(drawing, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(stop_after):
            seen.append(process.stdout.readline().strip())
        process.kill()
        seen += process.stdout.read().split()
        process.wait()
    rest = [alice.draw(32, "test", "bob").id for _ in range(alice.available("bob") // 32)]
    starts = [int(id.split(".")[1]) for id in seen + rest]
    assert len(set(starts)) == len(starts)
    assert all(start % 4 == 0 for start in starts)
    assert 256 - 3 <= len(starts) <= 256  # each death loses one key at most


def test_processes_and_threads_draw_without_overlap_or_gap(alice: PreSharedPool, tmp_path: Path) -> None:
    drawing = child(
        'from concurrent.futures import ThreadPoolExecutor as T\n'
        'for key in T(2).map(lambda _: pool.draw(64, "test", "bob"), range(20)): print(key.id)', tmp_path
    )  # fmt: skip
    processes = [subprocess.Popen(drawing, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    own = [alice.draw(64, "test", "bob").id for _ in range(20)]
    ids = own + [line for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(int(id.split(".")[1]) for id in ids) == list(range(0, 8 * 80, 8))


def test_a_damaged_ledger_is_named(alice: PreSharedPool, tmp_path: Path) -> None:
    with ledger(tmp_path).open("ab") as file:
        file.write(b"garbage\n")
    with pytest.raises(KeySupplyError, match=r"ledger\.jsonl: line 2 is damaged"):
        alice.draw(64, "test", "bob")


def test_a_missing_or_short_file_is_named(alice: PreSharedPool, tmp_path: Path) -> None:
    os.truncate(pool_file(tmp_path), 4)
    with pytest.raises(KeySupplyError, match=r"\.pool: was cut short"):
        alice.draw(64, "test", "bob")
    pool_file(tmp_path).unlink()
    with pytest.raises(KeySupplyError, match=r"\.pool: no such file"):
        alice.draw(64, "test", "bob")


def test_a_pool_belongs_to_its_end(alice: PreSharedPool, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "alice", tmp_path / "copy")
    with pytest.raises(KeySupplyError, match="belongs to alice, not to carol"):
        PreSharedPool(tmp_path / "copy", "carol").draw(64, "test", "bob")


def test_a_full_disk_gives_nothing_out(alice: PreSharedPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(KeySupplyError, match="no space left on device"):
            alice.draw(64, "test", "bob")
    assert alice.draw(64, "test", "bob").material == MATERIAL[:8]


def test_what_makes_no_sense_is_a_usage_error(alice: PreSharedPool) -> None:
    for bits in (0, -8, 12):
        with pytest.raises(UsageError, match="positive multiple of 8"):
            alice.draw(bits, "test", "bob")
    with pytest.raises(UsageError, match="with itself"):
        alice.add("alice", MATERIAL)
    for name in ("", "..", "a/b", "a\0", "x" * 65):
        with pytest.raises(UsageError, match="is no name"):
            alice.draw(8, "test", name)
    with pytest.raises(KeySupplyError, match="no keys are shared with carol"):
        alice.available("carol")


def test_the_record_is_plain_json_lines(alice: PreSharedPool, tmp_path: Path) -> None:
    alice.draw(64, "tag", "bob")
    assert [json.loads(line) for line in ledger(tmp_path).read_text().splitlines()] == alice.record("bob")
