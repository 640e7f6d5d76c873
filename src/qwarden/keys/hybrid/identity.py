"""Who signs handshakes: an ML-DSA-65 key in a file, and the other end's public one.

A private file holds the 32 bytes of the seed (FIPS 204, algorithm 1), a public one the 1,952 bytes of the
key, both in hexadecimal.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from qwarden.core.crypto.postquantum import MLDSA_PUBLIC_BYTES, MLDSAKey
from qwarden.core.errors import ConfigError, InputError
from qwarden.core.files import atomic_write

SEED_BYTES: Final = 32


def load_or_create(path: Path) -> MLDSAKey:
    """Read a private key, making it (mode 0600) if the file is not there.

    Raises
    ------
    InputError
        The file holds something else.
    ConfigError
        Others may read it.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, MLDSAKey.generate().seed.hex())
    if mode := stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(path, "signing key", f"other users may read it (mode {mode:o}): chmod 600 it")
    return MLDSAKey.from_seed(_read(path, SEED_BYTES, "private"))


def keep_public(key: MLDSAKey, path: Path) -> None:
    """Write the public key, to be brought to the other end."""
    atomic_write(path, key.public.hex().encode() + b"\n")


def load_public(path: Path) -> bytes:
    """Read a public key; raises `InputError`."""
    return _read(path, MLDSA_PUBLIC_BYTES, "public")


def _create(path: Path, text: str) -> None:
    # Never replaces a key that is there: of two that start at once, one makes it.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    atomic_write(draft, text.encode() + b"\n", 0o600)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _read(path: Path, size: int, kind: str) -> bytes:
    try:
        data = bytes.fromhex(path.read_text("ascii"))
    except OSError as error:
        raise InputError(path, (error.strerror or "cannot be read").lower()) from error
    except ValueError:  # UnicodeDecodeError among them
        data = b""
    if len(data) != size:
        raise InputError(path, f"is no {kind} ML-DSA-65 key: expected {size:,} bytes in hexadecimal")
    return data
