from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qwarden.core.errors import ConfigError
from qwarden.core.signing import SigningKey, TrustedKeys, key_id

# RFC 8032, section 7.1, test 2.
SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def pem(private: Ed25519PrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "signing.key"
    file.touch(mode=0o600)
    file.write_bytes(pem(Ed25519PrivateKey.from_private_bytes(SECRET), serialization.NoEncryption()))
    return file


def test_it_agrees_with_the_standard(key_file: Path) -> None:
    key = SigningKey.load(key_file)
    assert key.public == PUBLIC
    assert key.sign(b"\x72") == SIGNATURE
    assert TrustedKeys.of(PUBLIC).verify(key.id, SIGNATURE, b"\x72")


def test_the_id_is_the_start_of_the_public_keys_hash(key_file: Path) -> None:
    key = SigningKey.load(key_file)
    assert key.id == key_id(PUBLIC) == hashlib.sha256(PUBLIC).hexdigest()[:16]
    assert repr(key) == f"SigningKey({key.id})"


def test_it_is_made_private_once(tmp_path: Path) -> None:
    first = SigningKey.load_or_create(tmp_path / "keys")
    assert SigningKey.load_or_create(tmp_path / "keys").id == first.id
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "signing.key").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["signing.key"]


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    code = f"""
from qwarden.core.signing import SigningKey
print(SigningKey.load_or_create({str(tmp_path / "keys")!r}).id)
"""
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert len({child.communicate()[0] for child in children}) == 1


def test_only_a_trusted_untouched_signature_verifies(key_file: Path) -> None:
    key, stranger = SigningKey.load(key_file), SigningKey.generate()
    trusted = TrustedKeys.of(key.public)
    assert not trusted.verify(key.id, SIGNATURE, b"\x73")
    assert not trusted.verify(key.id, SIGNATURE[:-1], b"\x72")
    assert not trusted.verify(key.id, stranger.sign(b"\x72"), b"\x72")
    assert not trusted.verify(stranger.id, stranger.sign(b"\x72"), b"\x72")
    assert dict(trusted) == {key.id: PUBLIC}


def test_a_key_stands_under_its_own_id() -> None:
    with pytest.raises(ValueError, match="its id is"):
        TrustedKeys({"0" * 16: PUBLIC})
    with pytest.raises(ValueError, match="5 bytes, expected 32"):
        TrustedKeys({"0" * 16: b"short"})


def test_a_key_others_may_read_is_refused(key_file: Path) -> None:
    key_file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"signing\.key: signing key: other users may read it \(mode 640\)"):
        SigningKey.load(key_file)


def test_a_missing_or_foreign_key_is_named(key_file: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: signing key: No such file"):
        SigningKey.load(key_file.with_name("nowhere"))
    encrypted = serialization.BestAvailableEncryption(b"password")
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content, problem in [
        (b"garbage", "no unencrypted PKCS #8"),
        (pem(Ed25519PrivateKey.generate(), encrypted), "no unencrypted PKCS #8"),
        (other, "another kind"),
    ]:
        key_file.write_bytes(content)
        with pytest.raises(ConfigError, match=problem):
            SigningKey.load(key_file)
