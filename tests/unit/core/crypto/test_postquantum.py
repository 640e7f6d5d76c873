from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from qwarden.core.crypto import MLDSAKey, MLKEMKey, mldsa_verify, mlkem_encapsulate
from qwarden.core.crypto.postquantum import (
    MLDSA_PUBLIC_BYTES,
    MLDSA_SIGNATURE_BYTES,
    MLKEM_CIPHERTEXT_BYTES,
    MLKEM_PUBLIC_BYTES,
)
from qwarden.core.errors import InputError

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("postquantum.json").read_text())


def vector(name: str, field: str) -> bytes:
    value = VECTORS[name][field]
    return bytes.fromhex(value) if isinstance(value, str) else base64.b85decode("".join(value))


def test_signatures_agree_with_the_standards_known_answer() -> None:
    key = MLDSAKey.from_seed(vector("mldsa65", "seed"))
    assert hashlib.sha256(key.public).hexdigest() == VECTORS["mldsa65"]["public_sha256"]
    message, context = vector("mldsa65", "message"), vector("mldsa65", "context")
    signature = vector("mldsa65", "signature")
    assert mldsa_verify(key.public, signature, message, context)
    assert not mldsa_verify(key.public, signature, message)
    assert not mldsa_verify(key.public, signature, message + b"\0", context)


def test_a_signature_holds_for_its_key_message_and_context() -> None:
    key, other = MLDSAKey.generate(), MLDSAKey.generate()
    signature = key.sign(b"accept", b"vote")
    assert (len(key.public), len(signature)) == (MLDSA_PUBLIC_BYTES, MLDSA_SIGNATURE_BYTES)
    assert mldsa_verify(key.public, signature, b"accept", b"vote")
    assert not mldsa_verify(other.public, signature, b"accept", b"vote")
    assert not mldsa_verify(key.public, signature[:-1], b"accept", b"vote")
    assert not mldsa_verify(key.public, signature, b"accept", b"other")
    assert not mldsa_verify(key.public, signature, b"reject", b"vote")


def test_key_exchange_agrees_with_the_standards_known_answer() -> None:
    key = MLKEMKey.from_seed(vector("mlkem768", "seed"))
    assert hashlib.sha256(key.public).hexdigest() == VECTORS["mlkem768"]["public_sha256"]
    assert key.decapsulate(vector("mlkem768", "ciphertext")) == vector("mlkem768", "secret")


def test_both_sides_end_with_one_secret_unless_something_was_changed() -> None:
    key = MLKEMKey.generate()
    secret, ciphertext = mlkem_encapsulate(key.public)
    assert (len(key.public), len(ciphertext), len(secret)) == (MLKEM_PUBLIC_BYTES, MLKEM_CIPHERTEXT_BYTES, 32)
    assert key.decapsulate(ciphertext) == secret
    changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert key.decapsulate(changed) != secret
    assert MLKEMKey.generate().decapsulate(ciphertext) != secret
    assert mlkem_encapsulate(key.public).secret != secret


def test_a_key_comes_back_from_its_seed() -> None:
    signer, receiver = MLDSAKey.generate(), MLKEMKey.generate()
    assert MLDSAKey.from_seed(signer.seed).public == signer.public
    assert MLKEMKey.from_seed(receiver.seed).public == receiver.public
    assert (len(signer.seed), len(receiver.seed)) == (32, 64)


def test_printing_a_key_shows_nothing() -> None:
    assert repr(MLDSAKey.generate()) == "MLDSAKey(...)"
    assert repr(MLKEMKey.generate()) == "MLKEMKey(...)"


def test_what_is_no_key_is_bad_input() -> None:
    with pytest.raises(InputError, match="ML-DSA-65 public key"):
        mldsa_verify(b"short", bytes(MLDSA_SIGNATURE_BYTES), b"")
    with pytest.raises(InputError, match="ML-KEM-768 public key"):
        mlkem_encapsulate(b"short")
    with pytest.raises(InputError, match="ML-KEM-768 public key"):
        mlkem_encapsulate(b"\xff" * MLKEM_PUBLIC_BYTES)  # coefficients above q, FIPS 203 section 7.2
    with pytest.raises(InputError, match="ML-KEM-768 ciphertext"):
        MLKEMKey.generate().decapsulate(b"short")
    with pytest.raises(ValueError, match="32"):
        MLDSAKey.from_seed(bytes(31))
    with pytest.raises(ValueError, match="64"):
        MLKEMKey.from_seed(bytes(63))
