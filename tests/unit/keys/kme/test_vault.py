from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwarden.core.errors import ConfigError, KeySupplyError, UsageError
from qwarden.keys.kme import vault
from qwarden.keys.kme.vault import Secret, create, from_file, from_passphrase, has_vault, open_vault

RECOMMENDED = (vault._ITERATIONS, vault._LANES, vault._MEMORY_KIB)
SECRET = Secret(bytes(range(32)), is_passphrase=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its least; what is tested is not how slow it is."""
    monkeypatch.setattr(vault, "_MEMORY_KIB", 64)


def test_a_passphrase_costs_what_rfc_9106_recommends_where_memory_is_short() -> None:
    assert RECOMMENDED == (3, 4, 64 * 1024)


@pytest.mark.parametrize("secret", [SECRET, from_passphrase("correct horse battery")])
def test_what_was_sealed_opens_after_a_restart_and_only_there(tmp_path: Path, secret: Secret) -> None:
    sealed = create(tmp_path, secret).seal(b"key", ["block", 1])
    again = open_vault(tmp_path, secret)
    assert again.open(sealed, ["block", 1]) == b"key"
    with pytest.raises(KeySupplyError, match="does not open"):
        again.open(sealed, ["block", 2])
    with pytest.raises(KeySupplyError):
        again.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), ["block", 1])


def test_the_wrong_secret_and_the_wrong_kind_are_told_apart(tmp_path: Path) -> None:
    create(tmp_path, from_passphrase("correct horse battery"))
    with pytest.raises(KeySupplyError, match="the master key is wrong"):
        open_vault(tmp_path, from_passphrase("correct horse batterz"))
    with pytest.raises(ConfigError, match="opened by a passphrase"):
        open_vault(tmp_path, SECRET)
    with pytest.raises(UsageError, match="already"):
        create(tmp_path, SECRET)
    assert has_vault(tmp_path)
    with pytest.raises(ConfigError, match="there is none"):
        open_vault(tmp_path / "other", SECRET)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"schema":2}', b'{"schema":1,"salt":"x","sealed":[]}',
                b'{"schema":1,"salt":null,"sealed":[]}', b'{"schema":1,"salt":null,"sealed":[3]}'],
)  # fmt: skip
def test_a_damaged_vault_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vault.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"vault\.json"):
        open_vault(tmp_path, SECRET)


def test_another_secret_opens_it_without_anything_being_sealed_anew(tmp_path: Path) -> None:
    sealed = create(tmp_path, SECRET).seal(b"key", 1)
    open_vault(tmp_path, SECRET).under(from_passphrase("another secret than before"))
    with pytest.raises(ConfigError):
        open_vault(tmp_path, SECRET)
    assert open_vault(tmp_path, from_passphrase("another secret than before")).open(sealed, 1) == b"key"


def test_a_rotation_that_stops_half_way_loses_nothing(tmp_path: Path) -> None:
    old = create(tmp_path, SECRET)
    first = old.seal(b"one", 1)
    second = old.renewed().seal(b"two", 2)
    between = open_vault(tmp_path, SECRET)
    assert (between.open(first, 1), between.open(second, 2)) == (b"one", b"two")
    after = between.settled()
    assert after.open(second, 2) == b"two"
    with pytest.raises(KeySupplyError):
        after.open(first, 1)


def test_only_one_has_it_alone_and_not_beside_others(tmp_path: Path) -> None:
    shared = create(tmp_path, SECRET)
    also = open_vault(tmp_path, SECRET)
    with pytest.raises(KeySupplyError, match="stop the entity and the nodes"):
        open_vault(tmp_path, SECRET, alone=True)
    del shared, also
    alone = open_vault(tmp_path, SECRET, alone=True)
    with pytest.raises(KeySupplyError, match="being changed"):
        open_vault(tmp_path, SECRET)
    del alone
    open_vault(tmp_path, SECRET)


def test_nothing_secret_is_shown_or_stands_in_clear(tmp_path: Path) -> None:
    passphrase = "correct horse battery"
    made = create(tmp_path / "v", from_passphrase(passphrase))
    path = tmp_path / "v" / "vault.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "v").stat().st_mode & 0o777 == 0o700
    assert passphrase not in f"{made!r} {from_passphrase(passphrase)!r}" + path.read_text()
    assert set(json.loads(path.read_bytes())) == {"schema", "salt", "sealed"}


def test_a_master_key_file_is_refused_if_others_read_it_or_it_is_short(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    with pytest.raises(ConfigError, match="no such file"):
        from_file(path)
    path.write_bytes(bytes(32))
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        from_file(path)
    path.chmod(0o600)
    assert from_file(path).is_passphrase is False
    path.write_bytes(bytes(31))
    with pytest.raises(ConfigError, match="at least 32"):
        from_file(path)
    with pytest.raises(UsageError, match="at least 12"):
        from_passphrase("short")
