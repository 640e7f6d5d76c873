from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from qwarden.core.crypto.postquantum import MLDSAKey, mldsa_verify
from qwarden.core.errors import ConfigError, InputError
from qwarden.keys.hybrid.identity import keep_public, load_or_create, load_public


def test_a_key_is_made_once_and_its_public_half_verifies(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity.key"
    key = load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create(path).seed == key.seed
    keep_public(key, tmp_path / "alice.pub")
    assert mldsa_verify(load_public(tmp_path / "alice.pub"), key.sign(b"offer"), b"offer")
    assert {one.name for one in path.parent.iterdir()} == {"identity.key"}


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    load_or_create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_create(path)


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"zz" * 32, b"\xff" * 64, b"00" * 1952])
def test_what_is_no_private_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match="no private ML-DSA-65 key"):
        load_or_create(path)


def test_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bob.pub"
    path.write_text(MLDSAKey.generate().seed.hex())
    with pytest.raises(InputError, match="1,952 bytes"):
        load_public(path)
    with pytest.raises(InputError, match="no such file"):
        load_public(tmp_path / "nobody.pub")


def test_two_that_start_at_once_end_with_one_key(tmp_path: Path) -> None:
    seeds: list[bytes] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        seeds.append(load_or_create(tmp_path / "identity.key").seed)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(seeds) == 4
    assert len(set(seeds)) == 1
