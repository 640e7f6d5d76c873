"""The log against the tree of certificate transparency and the definitions of the standard."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from qwarden.core.crypto import MerkleLog, verify_consistency, verify_inclusion
from qwarden.core.errors import InputError

# The reference tree of github.com/google/certificate-transparency (merkle_tree_test): leaves, roots.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def tree(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if not entries:
        return sha256().digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    k = split(len(entries))
    return sha256(b"\1" + tree(entries[:k]) + tree(entries[k:])).digest()


def path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.3.1."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), tree(entries[k:])]
    return [*path(m - k, entries[k:]), tree(entries[:k])]


def subproof(m: int, entries: list[bytes], known: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.4.1."""
    if m == len(entries):
        return [] if known else [tree(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], known), tree(entries[k:])]
    return [*subproof(m - k, entries[k:], False), tree(entries[:k])]


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def log_of(entries: list[bytes]) -> MerkleLog:
    log = MerkleLog()
    for at, entry in enumerate(entries):
        assert log.append(entry) == at
    return log


def test_roots_are_those_of_certificate_transparency() -> None:
    log = log_of(LEAVES)
    assert [log.root(size).hex() for size in range(9)] == ROOTS
    assert log.root().hex() == ROOTS[-1]


def test_every_proof_is_the_standards_and_verifies() -> None:
    entries = [b"entry %d" % n for n in range(33)]
    log = log_of(entries)
    roots = [log.root(size) for size in range(len(log) + 1)]
    assert roots == [tree(entries[:size]) for size in range(len(log) + 1)]
    for size in range(1, len(log) + 1):
        for index in range(size):
            proof = log.inclusion_proof(index, size)
            assert proof == path(index, entries[:size])
            assert verify_inclusion(entries[index], index, size, proof, roots[size])
        for old in range(1, size + 1):
            proof = log.consistency_proof(old, size)
            assert proof == subproof(old, entries[:size], True)
            assert verify_consistency(old, roots[old], size, roots[size], proof)


def test_a_wrong_leaf_place_size_root_or_proof_is_seen() -> None:
    entries = [b"entry %d" % n for n in range(13)]
    log, root = log_of(entries), log_of(entries).root()
    for index in range(13):
        proof = log.inclusion_proof(index)
        wrong = [
            (b"other", index, 13, proof, root),
            (entries[index], (index + 1) % 13, 13, proof, root),
            (entries[index], index + 13, 13, proof, root),
            (entries[index], -1, 13, proof, root),
            (entries[index], index, 13, proof, bytes(32)),
            (entries[index], index, 13, proof[:-1], root),
            (entries[index], index, 13, [*proof, bytes(32)], root),
            *((entries[index], index, 13, changed, root) for changed in each_changed(proof)),
        ]
        assert not any(verify_inclusion(*case) for case in wrong)


def test_a_log_that_was_rewritten_is_seen() -> None:
    entries = [b"entry %d" % n for n in range(13)]
    log = log_of(entries)
    forged = log_of([b"forged", *entries[1:]])
    for old in range(1, 13):
        proof = log.consistency_proof(old)
        wrong = [
            (old, log.root(old), 13, forged.root(), proof),
            (old, log.root(old), 13, forged.root(), forged.consistency_proof(old)),
            (old, forged.root(old), 13, log.root(), proof),
            (old, log.root(old), 13, log.root(), proof[:-1]),
            (old, log.root(old), 13, log.root(), [*proof, bytes(32)]),
            *((old, log.root(old), 13, log.root(), changed) for changed in each_changed(proof)),
        ]
        assert not any(verify_consistency(*case) for case in wrong)
    root = log.root()
    assert not verify_consistency(13, forged.root(), 13, root, [])
    assert not verify_consistency(13, root, 13, root, [root])
    assert not verify_consistency(0, log.root(0), 13, root, [])
    assert not verify_consistency(14, root, 13, root, [])
    assert not verify_consistency(3, log.root(3), 13, root, [])


def each_changed(proof: list[bytes]) -> list[list[bytes]]:
    return [[*proof[:at], bytes(32), *proof[at + 1 :]] for at in range(len(proof))]


def test_it_is_built_again_from_its_array() -> None:
    log = log_of(LEAVES[:7])
    leaves = log.leaves()
    assert (leaves.shape, leaves.dtype) == ((7, 32), np.uint8)
    again = MerkleLog.from_leaves(leaves)
    again.append(LEAVES[7])
    assert again.root().hex() == ROOTS[8]
    assert again.root(7) == log.root()
    assert MerkleLog.from_leaves(MerkleLog().leaves()).root().hex() == ROOTS[0]
    for wrong in (np.zeros((3, 31), np.uint8), np.zeros(32, np.uint8), np.zeros((3, 32))):
        with pytest.raises(InputError, match=r"shape \(n, 32\)"):
            MerkleLog.from_leaves(wrong)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    log = log_of(LEAVES)
    with pytest.raises(ValueError, match="there is no leaf 8 among 8"):
        log.inclusion_proof(8)
    with pytest.raises(ValueError, match="there is no leaf 5 among 5"):
        log.inclusion_proof(5, 5)
    with pytest.raises(ValueError, match="from 0 leaves to 8"):
        log.consistency_proof(0)
    with pytest.raises(ValueError, match="from 7 leaves to 6"):
        log.consistency_proof(7, 6)
    with pytest.raises(ValueError, match="9 leaves of a log that has 8"):
        log.root(9)
