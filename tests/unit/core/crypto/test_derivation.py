from __future__ import annotations

import pytest

from qwarden.core.crypto import derive_key, hkdf

# RFC 5869, appendix A.1 to A.3: secret, salt, info, length, key.
RFC_5869 = [
    ("0b" * 22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
    (bytes(range(0x00, 0x50)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(),
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
     "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
    ("0b" * 22, "", "",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
]  # fmt: skip


@pytest.mark.parametrize(("secret", "salt", "info", "expected"), RFC_5869)
def test_it_agrees_with_the_standard(secret: str, salt: str, info: str, expected: str) -> None:
    made = hkdf(bytes.fromhex(secret), len(expected) // 2, salt=bytes.fromhex(salt), info=bytes.fromhex(info))
    assert made.hex() == expected


def test_keys_of_different_use_differ() -> None:
    made = [
        derive_key(b"secret", "a"),
        derive_key(b"secret", "a", context=b"b"),
        derive_key(b"secret", "ab"),
        derive_key(b"secret", "a", salt=b"b"),
        derive_key(b"other", "a"),
    ]
    assert len(set(made)) == len(made)
    assert derive_key(b"secret", "a") == made[0]
    assert derive_key(b"secret", "a", 16) == made[0][:16]


@pytest.mark.parametrize("label", ["", "A", "a b", "a\0b", "é"])
def test_a_label_is_plain(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        derive_key(b"secret", label)


def test_there_is_a_longest_key() -> None:
    assert len(derive_key(b"secret", "a", 255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match="8160"):
        derive_key(b"secret", "a", 255 * 32 + 1)
