"""One-time tags against GCM, whose tag is the same construction under AES."""

from __future__ import annotations

import copy
import pickle
import threading
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from qwarden.core.crypto import TagKey, forging_probability
from qwarden.core.crypto.ghash import ghash
from qwarden.core.errors import KeyReused

# McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, test cases 1, 3 and 15:
# H, ciphertext, GHASH(H, {}, C), E(K, Y0), T.
GCM = [
    ("66e94bd4ef8a2c3b884cfa59ca342b2e", "", "00000000000000000000000000000000",
     "58e2fccefa7e3061367f1d57a4e7455a", "58e2fccefa7e3061367f1d57a4e7455a"),
    ("b83b533708bf535d0aa6e52980d53b78",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
     "7f1b32b81b820d02614f8895ac1d4eac", "3247184b3c4f69a44dbcd22887bbb418",
     "4d5c2af327cd64a62cf35abd2ba6fab4"),
    ("acbef20579b4b8ebce889bac8732dad7",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
     "4db870d37cb75fcb46097c36230d1612", "fd2caa16a5832e76aa132c1453eeda7e",
     "b094dac5d93471bdec1a502270e3cc6c"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "message", "hashed", "pad", "tag"), GCM)
def test_hash_and_tag_agree_with_the_authors_of_gcm(
    key: str, message: str, hashed: str, pad: str, tag: str
) -> None:
    assert ghash(bytes.fromhex(key), bytes.fromhex(message)).hex() == hashed
    assert TagKey(bytes.fromhex(key + pad)).tag(bytes.fromhex(message)).hex() == tag


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=12, max_size=12), st.binary(max_size=300))
def test_any_tag_is_the_one_gcm_makes_of_the_same_hash_key_and_pad(
    key: bytes, nonce: bytes, plain: bytes
) -> None:
    sealed = AESGCM(key).encrypt(nonce, plain, None)
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    material = block.update(bytes(16)) + block.update(nonce + b"\0\0\0\1")
    assert TagKey(material).tag(sealed[:-16]) == sealed[-16:]


def test_a_key_makes_or_checks_one_tag() -> None:
    material, message = bytes(range(32)), b"basis choices"
    sender, receiver = TagKey(material), TagKey(material)
    tag = sender.tag(message)
    assert receiver.verify(message, tag)
    for key in (sender, receiver):
        assert key.used
        with pytest.raises(KeyReused):
            key.tag(b"other")
        with pytest.raises(KeyReused):
            key.verify(message, tag)


def test_a_failed_check_uses_the_key_up_too() -> None:
    key = TagKey(bytes(range(32)))
    assert not key.verify(b"message", bytes(16))
    with pytest.raises(KeyReused):
        key.verify(b"message", bytes(16))


@pytest.mark.parametrize(
    ("message", "tag_change"), [(b"messagf", 0), (b"message\0", 0), (b"", 0), (b"message", 1)]
)
def test_what_was_changed_does_not_verify(message: bytes, tag_change: int) -> None:
    tag = bytearray(TagKey(bytes(range(32))).tag(b"message"))
    tag[5] ^= tag_change
    assert not TagKey(bytes(range(32))).verify(message, bytes(tag))
    assert not TagKey(bytes(range(32))).verify(b"message", bytes(tag[:8]))


def test_threads_that_race_for_a_key_get_one_tag() -> None:
    key, start, tags = TagKey(bytes(range(32))), threading.Barrier(8), []

    def race(n: int) -> None:
        start.wait()
        with suppress(KeyReused):
            tags.append(key.tag(b"%d" % n))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tags) == 1


def test_a_key_cannot_be_copied() -> None:
    key = TagKey(bytes(range(32)))
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="used once"):
            attempt(key)


def test_the_chance_of_a_forgery_counts_blocks_and_the_keys_imperfection() -> None:
    assert forging_probability(0) == 2.0**-128
    assert forging_probability(16) == 2 * 2.0**-128
    assert forging_probability(17) == 3 * 2.0**-128
    assert forging_probability(1000, 1e-10) == pytest.approx(1e-10)
    assert forging_probability(1, 2.0) == 1.0


def test_no_two_messages_of_one_block_collide_more_often_than_the_bound() -> None:
    # h1 - h2 = (m1 - m2) * H^2 for messages of one block: a bijection of H, so all differences differ.
    keys = [bytes([n]) + bytes(15) for n in range(256)]
    one, two = b"\x80" + bytes(15), b"\x55" * 16
    differences = {int.from_bytes(ghash(key, one)) ^ int.from_bytes(ghash(key, two)) for key in keys}
    assert len(differences) == len(keys)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="31 bytes, expected 32"):
        TagKey(bytes(31))
    with pytest.raises(ValueError, match="15 bytes, expected 16"):
        ghash(bytes(15), b"")
