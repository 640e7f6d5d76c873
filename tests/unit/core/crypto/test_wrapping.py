from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.crypto import unwrap, wrap
from qwarden.core.crypto.wrapping import _SUITES, OVERHEAD, Cipher
from qwarden.core.errors import InputError

KEY = bytes(range(32))
CIPHERS: tuple[Cipher, ...] = ("aes-256-gcm", "chacha20-poly1305")


def test_each_name_is_the_cipher_of_its_standard() -> None:
    # RFC 8439, section 2.8.2.
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = (
        _SUITES["chacha20-poly1305"]
        .aead(bytes(range(0x80, 0xA0)))
        .encrypt(bytes.fromhex("070000004041424344454647"), text, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    )
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    # McGrew and Viega, GCM, appendix B, test case 16.
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    text = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = _SUITES["aes-256-gcm"].aead(key).encrypt(
        bytes.fromhex("cafebabefacedbaddecaf888"), text,
        bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
    )  # fmt: skip
    assert sealed[-16:].hex() == "76fc6ece0f4e1768cddf8853bb2d551b"


@pytest.mark.parametrize(
    ("cipher", "mark", "aead"), [(CIPHERS[0], 1, AESGCM), (CIPHERS[1], 2, ChaCha20Poly1305)]
)
def test_another_reader_of_the_format_opens_it(cipher: Cipher, mark: int, aead: type) -> None:
    wrapped = wrap(KEY, b"secret", {"b": 2, "a": "é"}, cipher)
    salt, sealed = wrapped[1:33], wrapped[33:]
    # RFC 5869 by hand.
    extracted = hmac.digest(salt, KEY, hashlib.sha256)
    once = hmac.digest(extracted, b"qwarden\0wrap\0" + cipher.encode() + b"\1", hashlib.sha256)
    assert wrapped[0] == mark
    assert aead(once).decrypt(bytes(12), sealed, '{"a":"é","b":2}'.encode()) == b"secret"


@given(st.binary(max_size=200), st.dictionaries(st.text("abc"), st.integers(0, 9)), st.sampled_from(CIPHERS))
def test_it_opens_with_the_same_key_and_context(
    secret: bytes, context: dict[str, int], cipher: Cipher
) -> None:
    wrapped = wrap(KEY, secret, context, cipher)
    assert len(wrapped) == len(secret) + OVERHEAD
    assert unwrap(KEY, wrapped, context) == secret
    with pytest.raises(InputError, match="does not open"):
        unwrap(KEY, wrapped, {**context, "d": 1})


@pytest.mark.parametrize("cipher", CIPHERS)
def test_every_byte_counts(cipher: Cipher) -> None:
    wrapped = wrap(KEY, b"secret", None, cipher)
    for at in range(len(wrapped)):
        for change in (1, 3, 0x80):  # 3 turns one cipher's mark into the other's
            changed = bytearray(wrapped)
            changed[at] ^= change
            with pytest.raises(InputError):
                unwrap(KEY, bytes(changed), None)
        with pytest.raises(InputError):
            unwrap(KEY, wrapped[:at], None)
    with pytest.raises(InputError, match="does not open"):
        unwrap(bytes(32), wrapped, None)


def test_no_two_wrappings_share_a_key() -> None:
    assert len({wrap(KEY, b"", None)[1:33] for _ in range(500)}) == 500


def test_the_wrapping_key_has_32_bytes() -> None:
    for attempt in (
        lambda: wrap(bytes(16), b"", None),
        lambda: unwrap(bytes(16), wrap(KEY, b"", None), None),
    ):
        with pytest.raises(ValueError, match="16 bytes, expected 32"):
            attempt()
