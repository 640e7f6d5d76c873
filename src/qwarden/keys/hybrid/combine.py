"""One key from several: safe as long as one of them is.

A quantum key, a post-quantum secret and a classical one go into a key derivation together with the messages
that brought them about. Whoever breaks one or two of the three learns nothing of the result.

Source: ETSI TS 103 744 V1.2.1, clauses 7.2.3 (context), 7.3.2 (PRF), 7.4.2 and 7.4.3 (KDF), 8.2 (CatKDF), 8.3
(CasKDF).
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Hash: TypeAlias = Literal["sha256", "sha384"]
Kdf: TypeAlias = Literal["hkdf", "hmac"]

CHAIN_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What both ends said in the exchange that a secret came from; bound into what is derived.

    Parameters
    ----------
    initiator, responder : MA and MB of the standard.
    """

    initiator: bytes
    responder: bytes


def cat_kdf(
    secrets: Sequence[bytes],
    messages: Messages,
    *,
    length: int,
    info: bytes,
    label: bytes = b"",
    psk: bytes = b"",
    hash: Hash = "sha256",
    kdf: Kdf = "hkdf",
) -> bytes:
    """Concatenate secrets and derive a key (clause 8.2).

    Parameters
    ----------
    secrets : k1, k2, ...; the lengths of all but the last must be fixed by the protocol.
    messages : of all exchanges, each end's concatenated.
    length : bytes of key.
    info : context information, as ids of the ends.
    label : a salt that both ends have contributed to.
    psk : pre-shared: here the quantum key.

    Examples
    --------
    >>> said = Messages(initiator=b"A", responder=b"B")
    >>> len(cat_kdf([bytes(32), bytes(32)], said, length=32, info=b"x", psk=bytes(32)))
    32
    """
    context = _context(hash, info, messages)
    return _derive(kdf, hash, psk + b"".join(secrets), label, context, length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round of the cascade gives.

    Parameters
    ----------
    chain : goes into the next round as `previous`.
    key : may be used.
    """

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)


def cas_kdf(
    secret: bytes,
    messages: Messages,
    *,
    previous: bytes,
    length: int,
    info: bytes,
    label: bytes = b"",
    hash: Hash = "sha256",
    kdf: Kdf = "hkdf",
) -> Round:
    """Go through one round of the cascade (clause 8.3).

    Parameters
    ----------
    secret : of this round.
    previous : chain secret of the round before; in the first the pre-shared key, here the quantum key.
    """
    round_secret = hmac.digest(previous, _context(hash, secret, messages), hash)
    output = _derive(kdf, hash, round_secret, label, info, CHAIN_BYTES + length)
    return Round(chain=output[:CHAIN_BYTES], key=output[CHAIN_BYTES:])


def _context(hash: Hash, first: bytes, messages: Messages) -> bytes:
    """Hash three byte strings, each behind its length (clause 7.2.3)."""
    digest = hashes.Hash(_algorithm(hash))
    for part in (first, messages.initiator, messages.responder):
        digest.update(struct.pack(">I", len(part)) + part)
    return digest.finalize()


def _derive(kdf: Kdf, hash: Hash, secret: bytes, salt: bytes, context: bytes, length: int) -> bytes:
    if kdf == "hkdf":
        return HKDF(_algorithm(hash), length, salt, context).derive(secret)
    return ConcatKDFHMAC(_algorithm(hash), length, salt, context).derive(secret)


def _algorithm(hash: Hash) -> hashes.HashAlgorithm:
    return hashes.SHA256() if hash == "sha256" else hashes.SHA384()
