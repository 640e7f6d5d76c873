"""An append-only log whose every state is one hash, with short proofs about it.

The root of the first n leaves stands for all of them. An *inclusion proof* shows that a leaf lies under a
root, a *consistency proof* that an older log is the beginning of a newer one: nothing in it was changed or
taken away. Both have about log2(n) hashes, and checking one needs no log.

The log keeps the hashes of all complete subtrees, so appending costs two hashes on average and a proof reads
what it needs. What has to be stored is the leaves' hashes alone, a plain array.

Source: RFC 9162, sections 2.1.1 (tree), 2.1.3 (inclusion), 2.1.4 (consistency); the same tree as RFC 6962.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from qwarden.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HASH_BYTES: Final = 32


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256 of a zero byte and the data."""
    return sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class MerkleLog:
    """A log that grows and does nothing else.

    Examples
    --------
    >>> log = MerkleLog()
    >>> for entry in (b"granted", b"denied", b"granted again"):
    ...     _ = log.append(entry)
    >>> verify_inclusion(b"denied", 1, len(log), log.inclusion_proof(1), log.root())
    True
    >>> old = log.root(2)
    >>> verify_consistency(2, old, len(log), log.root(), log.consistency_proof(2))
    True
    """

    def __init__(self) -> None:
        # _levels[k] holds the hashes of the complete subtrees over 2^k leaves, one behind the other.
        self._levels: list[bytearray] = [bytearray()]

    @classmethod
    def from_leaves(cls, hashes: npt.NDArray[np.uint8]) -> MerkleLog:
        """Build the log again from the array that `leaves` gave.

        Raises
        ------
        InputError
            It is no array of bytes of shape (n, 32).
        """
        if hashes.ndim != 2 or hashes.shape[1] != HASH_BYTES or hashes.dtype != "uint8":
            found = f"{hashes.dtype} {hashes.shape}"
            raise InputError("Merkle log", f"expected bytes of shape (n, {HASH_BYTES}), found {found}")
        log = cls()
        for row in hashes:
            log._grow(row.tobytes())
        return log

    def __len__(self) -> int:
        return len(self._levels[0]) // HASH_BYTES

    def append(self, data: bytes) -> int:
        """Add an entry; return its index."""
        self._grow(leaf_hash(data))
        return len(self) - 1

    def leaves(self) -> npt.NDArray[np.uint8]:
        """Return the leaves' hashes, shape (n, 32), to be stored."""
        import numpy as np

        return np.frombuffer(bytes(self._levels[0]), np.uint8).reshape(-1, HASH_BYTES)

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves (all, if None), 32 bytes.

        Raises
        ------
        ValueError
            The log has not so many leaves.
        """
        size = self._checked(size)
        return self._hash(0, size) if size else sha256().digest()

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that leaf `index` lies under the root over the first `size` leaves.

        Raises
        ------
        ValueError
            There is no such leaf.

        Source: RFC 9162 section 2.1.3.1.
        """
        size = self._checked(size)
        if not 0 <= index < size:
            raise ValueError(f"there is no leaf {index} among {size}")
        path: list[bytes] = []
        first, last = 0, size
        while last - first > 1:
            middle = first + _split(last - first)
            if index < middle:
                path.append(self._hash(middle, last))
                last = middle
            else:
                path.append(self._hash(first, middle))
                first = middle
        return path[::-1]

    def consistency_proof(self, old: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the log of `old` leaves is the beginning of the one of `size` leaves.

        Raises
        ------
        ValueError
            Not 0 < `old` <= `size` <= the number of leaves.

        Source: RFC 9162 section 2.1.4.1.
        """
        size = self._checked(size)
        if not 0 < old <= size:
            raise ValueError(f"there is no proof from {old} leaves to {size}")
        path: list[bytes] = []
        first, last, known = 0, size, True  # known: the verifier has the hash of [first, old)
        while old != last:
            middle = first + _split(last - first)
            if old <= middle:
                path.append(self._hash(middle, last))
                last = middle
            else:
                path.append(self._hash(first, middle))
                first, known = middle, False
        if not known:
            path.append(self._hash(first, last))
        return path[::-1]

    def _grow(self, hashed: bytes) -> None:
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append(bytearray())
            row = self._levels[level]
            row += hashed
            if len(row) // HASH_BYTES % 2:
                return
            hashed = _node(bytes(row[-2 * HASH_BYTES : -HASH_BYTES]), hashed)
            level += 1

    def _hash(self, first: int, last: int) -> bytes:
        """Return the hash over leaves [first, last), a subtree that RFC 9162 section 2.1.1 splits off."""
        size = last - first
        if size & (size - 1) == 0:
            level = size.bit_length() - 1
            at = (first >> level) * HASH_BYTES
            return bytes(self._levels[level][at : at + HASH_BYTES])
        middle = first + _split(size)
        return _node(self._hash(first, middle), self._hash(middle, last))

    def _checked(self, size: int | None) -> int:
        if size is None:
            return len(self)
        if not 0 <= size <= len(self):
            raise ValueError(f"{size} leaves of a log that has {len(self)}")
        return size


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def verify_inclusion(data: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether `proof` shows that entry `data` is leaf `index` of the log of `size` leaves with `root`.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    at, last, hashed = index, size - 1, leaf_hash(data)
    for step in proof:
        if last == 0:
            return False
        if at % 2 or at == last:
            hashed = _node(step, hashed)
            while not at % 2 and at:
                at, last = at >> 1, last >> 1
        else:
            hashed = _node(hashed, step)
        at, last = at >> 1, last >> 1
    return last == 0 and hashed == root


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether `proof` shows that the log of `old` leaves is the beginning of the one of `size` leaves.

    Source: RFC 9162 section 2.1.4.2.
    """
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    at, last = old - 1, size - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if at % 2 or at == last:
            before, after = _node(step, before), _node(step, after)
            while not at % 2 and at:
                at, last = at >> 1, last >> 1
        else:
            after = _node(after, step)
        at, last = at >> 1, last >> 1
    return last == 0 and before == old_root and after == root
