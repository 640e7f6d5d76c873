"""Reads of unsigned integers from a byte buffer, compiled.

Callers prove the bounds: nothing here checks them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled

Bytes = npt.NDArray[np.uint8]


@compiled
def u8(data: Bytes, at: int) -> int:
    """Return the byte at `at`, signed and wide: unsigned bytes would make mixed sums floats."""
    return int(np.int64(data[at]))


@compiled
def be16(data: Bytes, at: int) -> int:
    """Return the big-endian 16 bits at `at`."""
    return int((np.int64(data[at]) << 8) | np.int64(data[at + 1]))


@compiled
def be32(data: Bytes, at: int) -> int:
    """Return the big-endian 32 bits at `at`."""
    return (be16(data, at) << 16) | be16(data, at + 2)


@compiled
def be48(data: Bytes, at: int) -> int:
    """Return the big-endian 48 bits at `at`: a MAC address."""
    return (be16(data, at) << 32) | be32(data, at + 2)


@compiled
def be64(data: Bytes, at: int) -> np.uint64:
    """Return the big-endian 64 bits at `at`, unsigned: half an IPv6 address."""
    return (np.uint64(be32(data, at)) << np.uint64(32)) | np.uint64(be32(data, at + 4))


@compiled
def any16(data: Bytes, at: int, big: int) -> int:
    """Return the 16 bits at `at` in the file's byte order."""
    if big:
        return be16(data, at)
    return int(np.int64(data[at]) | (np.int64(data[at + 1]) << 8))


@compiled
def any32(data: Bytes, at: int, big: int) -> int:
    """Return the 32 bits at `at` in the file's byte order."""
    if big:
        return be32(data, at)
    return any16(data, at, 0) | (any16(data, at + 2, 0) << 16)
