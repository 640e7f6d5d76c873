"""Bytes on disk and bytes under a hash: atomic writes and one canonical form of JSON.

Whatever is signed, hashed or chained passes through `canonical_json`, so two writers that mean the
same value produce the same bytes. Whatever replaces a file passes through `atomic_write`, so a reader
sees the old file or the new one, never half of either.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
else:  # the recursive alias is for the type checker; at run time any JSON value will do
    Json = Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Json) -> bytes:
    """Write `value` as JSON in the one form that is hashed and signed.

    Sorted keys, no spaces, UTF-8 without escapes, as RFC 8785; floats in Python's shortest form
    (``1.0`` and ``1e+16``, where RFC 8785 section 3.2.2.3 has ``1`` and ``10000000000000000``), so the
    bytes tell an integer from a float.

    Raises
    ------
    ValueError
        `value` holds NaN, an infinity or a lone surrogate: none of them is JSON.
    TypeError
        `value` holds something that is not JSON, or a mapping whose keys are not all strings.

    Examples
    --------
    >>> canonical_json({"b": [1, 2.0], "a": "é"}).decode()
    '{"a":"é","b":[1,2.0]}'
    """
    _refuse_other_keys(value)
    return _ENCODER.encode(value).encode()


def canonical_text(value: Json) -> str:
    """As `canonical_json`, as text and trusting that all keys are strings; for hot paths."""
    return _ENCODER.encode(value)


def _refuse_other_keys(value: Json) -> None:
    # json would turn the key 1 into "1" in silence, and two keys into one.
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a JSON key must be a string, not {key!r}")
            _refuse_other_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_other_keys(item)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in lower-case hexadecimal (FIPS 180-4)."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, read in pieces."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def atomic_write(path: str | Path, data: bytes, mode: int = 0o644) -> None:
    """Replace the file at `path` by `data`, all or nothing, and make it last.

    The bytes go to a temporary file beside `path`, are flushed to the disk and renamed over it, so
    neither a crash nor a full disk leaves a torn file.

    Parameters
    ----------
    path : the file; its folder must exist.
    data : the new content.
    mode : permission bits of the new file; secrets take ``0o600``.

    Raises
    ------
    OSError
        The folder is missing or not writable, or the disk is full; the old file is untouched.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a file just renamed into it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
