"""Secrets that a receiver shares with us: made on first use, kept in the home folder, shown to nobody.

A file holds one secret a line, 256 random bits in URL-safe Base64; a person may write others (32
characters or more), and a second line while a secret is changed.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from qwarden.core.errors import ConfigError
from qwarden.core.files import sync_folder

SHORTEST: Final = 32
"""Characters of a secret."""


def shared_secrets(path: Path) -> tuple[bytes, ...]:
    """Return the secrets of a file, making it (mode 0600, its folder 0700) on first use.

    Two processes that start at once end with the same secret.

    Raises
    ------
    ConfigError
        Other users may read the file, it cannot be read, or a secret in it is too short.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, "secret", getattr(error, "strerror", None) or "cannot be read") from error
    if mode & 0o077:
        raise ConfigError(path, "secret", f"other users may read it (mode {mode:o}): chmod 600 it")
    if not lines or min(map(len, lines)) < SHORTEST:
        raise ConfigError(path, "secret", f"expected one a line, of {SHORTEST} characters or more")
    return tuple(line.encode() for line in lines)


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)  # unlike a rename, a link never replaces a secret that is there
        except FileExistsError:
            return
    finally:
        draft.unlink()
    sync_folder(path.parent)
