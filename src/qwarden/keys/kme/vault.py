"""The key that all stored keys are sealed under, itself sealed under what a person or a machine holds.

Stored keys are sealed under a random data key; the data key is sealed under one derived from a passphrase, or
from a file that another system provides. So the passphrase can be changed without touching a stored key, and
the data key can be changed (`KeyStore.reseal`) without asking the person. Nothing here is ever
written in clear.

Source: RFC 9106 (Argon2id, second recommended parameter set); AES-256-GCM as in `core.crypto.wrapping`.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from qwarden.core.crypto.derivation import derive_key
from qwarden.core.crypto.wrapping import unwrap, wrap
from qwarden.core.errors import ConfigError, InputError, KeySupplyError, UsageError
from qwarden.core.files import Json, atomic_write, canonical_json, canonical_text

FILE: Final = "vault.json"
LOCK: Final = "vault.lock"
KEY_BYTES: Final = 32
MASTER_LEAST: Final = 32
"""Bytes that a master key file holds at least."""
PASSPHRASE_LEAST: Final = 12

_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
_PURPOSE: Final[Json] = "keys/kme data key"


class Vault:
    """An open vault: seals and opens what a key store keeps. Printing it shows nothing.

    Make one with `create`, `open_vault`; a master secret comes from `from_passphrase` or `from_file`.
    """

    def __init__(self, path: Path, data_keys: Sequence[bytes], secret: Secret, held: IO[bytes]) -> None:
        self._path, self._data_keys, self._secret = path, tuple(data_keys), secret
        self._held = held  # lets go of the lock when the last vault that knows these data keys is gone

    def __repr__(self) -> str:
        return f"Vault({str(self._path)!r})"

    def seal(self, secret: bytes, context: Json) -> bytes:
        """Seal a stored secret, bound to what it is."""
        return wrap(self._data_keys[0], secret, context)

    def open(self, sealed: bytes, context: Json) -> bytes:
        """Open a stored secret; raises `KeySupplyError` if it was changed or belongs elsewhere."""
        for data_key in self._data_keys:
            with suppress(InputError):
                return unwrap(data_key, sealed, context)
        place = canonical_text(context)
        raise KeySupplyError(
            f"{self._path.parent}: {place} does not open: it was changed or moved; revoke it"
        )

    def renewed(self) -> Vault:
        """Return a vault with a new data key that still opens what the old one sealed; it is kept."""
        return self._kept((secrets.token_bytes(KEY_BYTES), self._data_keys[0]))

    def settled(self) -> Vault:
        """Return the vault without older data keys, once everything is sealed under the first; it is kept."""
        return self._kept(self._data_keys[:1])

    def under(self, secret: Secret) -> Vault:
        """Return the vault with its data keys sealed under another secret; it is kept."""
        return Vault(self._path, self._data_keys, secret, self._held)._kept(self._data_keys)

    def _kept(self, data_keys: Sequence[bytes]) -> Vault:
        """Write data keys, in one step."""
        salt = secrets.token_bytes(16) if self._secret.is_passphrase else None
        master = self._secret.master(salt)
        document: Json = {
            "schema": 1,
            "salt": None if salt is None else salt.hex(),
            "sealed": [wrap(master, data_key, _PURPOSE).hex() for data_key in data_keys],
        }
        atomic_write(self._path, canonical_json(document) + b"\n", 0o600)
        return Vault(self._path, data_keys, self._secret, self._held)


def has_vault(folder: str | Path) -> bool:
    """Say whether a folder has a vault."""
    return (Path(folder) / FILE).exists()


def create(folder: str | Path, secret: Secret) -> Vault:
    """Make the vault of a folder (mode 0700).

    Raises
    ------
    UsageError
        There is one already.
    """
    path = Path(folder) / FILE
    if path.exists():
        raise UsageError(f"{path}: there is a vault already")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Vault(path, (secrets.token_bytes(KEY_BYTES),), secret, _lock(path, alone=False)).settled()


def open_vault(folder: str | Path, secret: Secret, *, alone: bool = False) -> Vault:
    """Open the vault of a folder.

    Parameters
    ----------
    alone : no other process may have it open; needed to change its data key, which others would go on using.

    Raises
    ------
    KeySupplyError
        The master key is wrong, or another process has the vault open, alone or when it must not.
    ConfigError
        There is no vault, it is damaged, or it is opened by a passphrase and not by a file, or the reverse.
    """
    path = Path(folder) / FILE
    _read(path)  # says what is wrong with it, before the lock
    held = _lock(path, alone=alone)
    salt, sealed = _read(path)
    if secret.is_passphrase != (salt is not None):
        asked = "a passphrase" if salt is not None else "a master key file"
        raise ConfigError(path, "master key", f"this vault is opened by {asked}")
    master = secret.master(salt)
    try:
        return Vault(path, [unwrap(master, data_key, _PURPOSE) for data_key in sealed], secret, held)
    except InputError:
        raise KeySupplyError(f"{path}: the master key is wrong") from None


class Secret:
    """What opens a vault; printing it shows nothing."""

    def __init__(self, material: bytes, *, is_passphrase: bool) -> None:
        self._material, self.is_passphrase = material, is_passphrase

    def __repr__(self) -> str:
        return "Secret(...)"

    def master(self, salt: bytes | None) -> bytes:
        """Derive the key that seals the data key."""
        if salt is None:
            return derive_key(self._material, "keys/kme/master")
        argon = Argon2id(
            salt=salt, length=KEY_BYTES, iterations=_ITERATIONS, lanes=_LANES, memory_cost=_MEMORY_KIB
        )
        return argon.derive(self._material)


def from_passphrase(passphrase: str) -> Secret:
    """Take a passphrase.

    Raises
    ------
    UsageError
        It is shorter than `PASSPHRASE_LEAST` characters.
    """
    if len(passphrase) < PASSPHRASE_LEAST:
        raise UsageError(
            f"a passphrase of {len(passphrase)} characters; at least {PASSPHRASE_LEAST} are needed"
        )
    return Secret(passphrase.encode(), is_passphrase=True)


def from_file(path: str | Path) -> Secret:
    """Take a master key from a file of 32 random bytes or more, raw.

    Raises
    ------
    ConfigError
        It is missing, too short, or others may read it.
    """
    place = Path(path)
    try:
        mode = stat.S_IMODE(place.stat().st_mode)
        material = place.read_bytes()
    except OSError as error:
        raise ConfigError(place, "master key", (error.strerror or str(error)).lower()) from error
    if mode & 0o077:
        raise ConfigError(place, "master key", f"other users may read it (mode {mode:o}): chmod 600 it")
    if len(material) < MASTER_LEAST:
        raise ConfigError(place, "master key", f"{len(material)} bytes; at least {MASTER_LEAST} are needed")
    return Secret(material, is_passphrase=False)


def _lock(path: Path, *, alone: bool) -> IO[bytes]:
    """Share a vault with other processes, or have it alone; ends with the process at the latest."""
    place = path.with_name(LOCK)
    place.touch(mode=0o600)
    held = place.open("rb")
    try:
        fcntl.flock(held, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        used = "in use; stop the entity and the nodes of this home first" if alone else "being changed"
        raise KeySupplyError(f"{path}: is {used}") from None
    return held


def _read(path: Path) -> tuple[bytes | None, list[bytes]]:
    try:
        document = json.loads(path.read_bytes())
        if document["schema"] != 1:
            raise ConfigError(path, "schema", f"{document['schema']} is not of this version")
        salt = None if document["salt"] is None else bytes.fromhex(document["salt"])
        sealed = [bytes.fromhex(one) for one in document["sealed"]]
    except FileNotFoundError:
        raise ConfigError(path, "vault", "there is none; make one first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(path, "vault", f"is damaged: {error}") from error
    if not sealed:
        raise ConfigError(path, "vault", "is damaged: no data key")
    return salt, sealed
