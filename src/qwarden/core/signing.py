"""Ed25519 signatures: who made a model, and that nobody changed it since.

A `SigningKey` lives in the home folder and signs; `TrustedKeys` holds the public keys whose
signatures are believed, each under its key id, the first 16 hexadecimal digits of the SHA-256 of
the raw public key.

Source: RFC 8032 (Ed25519), RFC 5958 (PKCS #8).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from qwarden.core.errors import ConfigError
from qwarden.core.files import sha256, sync_folder

KEY_FILE = "signing.key"


def key_id(public: bytes) -> str:
    """Return the id of a raw 32-byte public key: 16 hexadecimal digits."""
    return sha256(public)[:16]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; printing it shows its id and nothing else.

    Examples
    --------
    >>> key = SigningKey.generate()
    >>> trusted = TrustedKeys.of(key.public)
    >>> trusted.verify(key.id, key.sign(b"model"), b"model")
    True
    >>> trusted.verify(key.id, key.sign(b"model"), b"other model")
    False
    """

    _private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | Path) -> SigningKey:
        """Read a private key (PKCS #8 PEM).

        Raises
        ------
        ConfigError
            The file is missing, is no Ed25519 key, or may be read by other users.
        """
        file = Path(path)
        try:
            data = file.read_bytes()
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError as error:
            raise ConfigError(file, "signing key", error.strerror or "cannot be read") from error
        if mode & 0o077:
            raise ConfigError(file, "signing key", f"other users may read it (mode {mode:o}): chmod 600 it")
        try:
            private = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(file, "signing key", "is no unencrypted PKCS #8 PEM private key") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError(file, "signing key", "is a key of another kind; expected Ed25519")
        return cls(private)

    @classmethod
    def load_or_create(cls, folder: str | Path) -> SigningKey:
        """Read ``folder/signing.key``, making it (mode 0600, folder 0700) on first use.

        Two processes that start at once end with the same key: the first one to finish wins.
        """
        path = Path(folder) / KEY_FILE
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            cls.generate()._create(path)
        return cls.load(path)

    def _create(self, path: Path) -> None:
        pem = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(pem)
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(draft, path)  # unlike a rename, a link never replaces a key that is there
            except FileExistsError:
                return
        finally:
            draft.unlink()
        sync_folder(path.parent)

    @property
    def public(self) -> bytes:
        """The raw public key, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    @property
    def id(self) -> str:
        """The key id of the public key."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


class TrustedKeys(Mapping[str, bytes]):
    """Public keys whose signatures are believed: key id -> raw public key.

    Raises
    ------
    ValueError
        A key is not 32 bytes, or stands under an id that is not its own.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        for name, public in keys.items():
            if len(public) != 32:
                raise ValueError(f"public key {name}: {len(public)} bytes, expected 32")
            if name != key_id(public):
                raise ValueError(f"public key {name}: its id is {key_id(public)}")
        self._keys = dict(keys)

    @classmethod
    def of(cls, *publics: bytes) -> TrustedKeys:
        """Trust these raw public keys."""
        return cls({key_id(public): public for public in publics})

    def verify(self, name: str, signature: bytes, message: bytes) -> bool:
        """Say whether `signature` over `message` was made by the trusted key `name`.

        An unknown key, a signature of the wrong length and a wrong signature are all simply False.
        """
        public = self._keys.get(name)
        if public is None:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __getitem__(self, name: str) -> bytes:
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
