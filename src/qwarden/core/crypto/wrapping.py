"""Secrets sealed under a key and bound to a context.

A wrapped secret is one byte for the cipher, a random salt of 32 bytes, then ciphertext and tag. Each
wrapping encrypts under a key of its own, derived from the wrapping key and the salt, so a nonce has nothing
to repeat under: no counter is kept that a crash, a copy of the home folder or a second process could set
back. Two salts coincide with probability below 2^-128 even after 2^64 wrappings.

Source: NIST SP 800-38D (GCM), RFC 8439 (ChaCha20-Poly1305), RFC 5116 (the interface), RFC 5869 (the keys).
"""

from __future__ import annotations

import secrets
from typing import Final, Literal, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from qwarden.core.crypto.derivation import derive_key
from qwarden.core.errors import InputError
from qwarden.core.files import Json, canonical_json

Cipher = Literal["aes-256-gcm", "chacha20-poly1305"]

KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
OVERHEAD: Final = 1 + SALT_BYTES + 16
"""Bytes a wrapped secret is longer than the secret."""

_NONCE: Final = bytes(12)  # each derived key encrypts once


class _Suite(NamedTuple):
    mark: bytes
    aead: type[AESGCM] | type[ChaCha20Poly1305]


_SUITES: Final[dict[str, _Suite]] = {
    "aes-256-gcm": _Suite(b"\x01", AESGCM),
    "chacha20-poly1305": _Suite(b"\x02", ChaCha20Poly1305),
}
_NAME_OF: Final = {suite.mark: name for name, suite in _SUITES.items()}


def wrap(key: bytes, secret: bytes, context: Json, cipher: Cipher = "aes-256-gcm") -> bytes:
    """Seal `secret` under `key`, bound to `context`.

    Parameters
    ----------
    key : the wrapping key, 32 bytes; it may wrap any number of secrets.
    secret : what to hide; its length is not hidden.
    context : what the secret is and whose: a JSON value that is not stored and must be given again.
    cipher : ``aes-256-gcm``, or ``chacha20-poly1305`` where there is no AES instruction.

    Raises
    ------
    ValueError
        The key is not 32 bytes, or the context is no JSON.

    Examples
    --------
    >>> key = bytes(32)
    >>> wrapped = wrap(key, b"secret", {"peer": "bob", "key": 7})
    >>> unwrap(key, wrapped, {"peer": "bob", "key": 7})
    b'secret'
    >>> unwrap(key, wrapped, {"peer": "eve", "key": 7})
    Traceback (most recent call last):
    ...
    qwarden.core.errors.InputError: wrapped key: does not open: other key or context, or it was changed
    """
    salt = secrets.token_bytes(SALT_BYTES)
    suite = _SUITES[cipher]
    sealed = suite.aead(_once(key, cipher, salt)).encrypt(_NONCE, secret, canonical_json(context))
    return suite.mark + salt + sealed


def unwrap(key: bytes, wrapped: bytes, context: Json) -> bytes:
    """Open what `wrap` sealed.

    Raises
    ------
    InputError
        It was made with another key or context, was changed, or is no wrapped secret at all.
    ValueError
        The key is not 32 bytes.
    """
    mark, salt, sealed = wrapped[:1], wrapped[1 : 1 + SALT_BYTES], wrapped[1 + SALT_BYTES :]
    cipher = _NAME_OF.get(mark)
    if cipher is None or len(wrapped) < OVERHEAD:
        raise InputError("wrapped key", "is no wrapped key of this version")
    try:
        opener = _SUITES[cipher].aead(_once(key, cipher, salt))
        return opener.decrypt(_NONCE, sealed, canonical_json(context))
    except InvalidTag:
        problem = "does not open: other key or context, or it was changed"
        raise InputError("wrapped key", problem) from None


def _once(key: bytes, cipher: str, salt: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a wrapping key of {len(key)} bytes, expected {KEY_BYTES}")
    return derive_key(key, "wrap", KEY_BYTES, context=cipher.encode(), salt=salt)
