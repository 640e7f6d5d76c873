"""Many keys from one, each bound to what it is for.

Source: RFC 5869 (HKDF) with SHA-256.
"""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_LABEL = re.compile(r"[a-z0-9][a-z0-9./_-]*")


def hkdf(secret: bytes, length: int, *, salt: bytes = b"", info: bytes = b"") -> bytes:
    """Extract and expand: return `length` bytes, at most 8,160.

    Source: RFC 5869 sections 2.2 and 2.3.
    """
    return HKDF(SHA256(), length, salt, info).derive(secret)


def derive_key(
    secret: bytes, label: str, length: int = 32, *, context: bytes = b"", salt: bytes = b""
) -> bytes:
    """Derive a key that serves for `label` in `context`, and tells nothing about any other.

    Parameters
    ----------
    secret : what to derive from; 32 bytes or more of it should be unknown to others.
    label : what the key is for, in lower case: ``wrap``, ``keys/session``.
    length : of the key, in bytes.
    context : who and what the key is bound to: names, ids, transcripts.
    salt : random and not secret; makes equal secrets give different keys.

    Raises
    ------
    ValueError
        The label has other characters than ``a-z 0-9 . / _ -``, or `length` is above 8,160.

    Source: RFC 5869 section 3.2 (the info input).

    Examples
    --------
    >>> master = bytes(32)
    >>> derive_key(master, "audit/head") == derive_key(master, "audit/body")
    False
    """
    if not _LABEL.fullmatch(label):
        raise ValueError(f"label {label!r}: expected lower-case letters, digits, and . / _ -")
    # A label holds no zero byte, so no two pairs of label and context give the same info.
    return hkdf(secret, length, salt=salt, info=b"\0".join((b"qwarden", label.encode(), context)))
