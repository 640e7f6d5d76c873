"""Cryptography that the rooms share: thin where a library does it, own where it is small and needed.

In flow keys and messages; out of it flow tags, wrapped keys, signatures, derived keys and proofs. Nothing
here stores a key or draws one: that is `core.keysupply`. Read in this order:

- `tags`        one-time authentication tags whose security rests on no assumption (Wegman and Carter)
- `ghash`       the universal hash under them, compiled
- `derivation`  many keys from one (HKDF), each bound to what it is for
- `wrapping`    secrets sealed under a key and a context (AES-256-GCM, ChaCha20-Poly1305)
- `postquantum` ML-DSA-65 signatures, ML-KEM-768 key exchange
- `merkle`      an append-only log with short proofs that nothing was changed (RFC 9162)
- `certificates` X.509 certificates, self-signed or by an own authority (RFC 5280)

`core.signing` holds the Ed25519 key that signs models. It stays plain Ed25519: a model's signature is
checked when the model is loaded and may be made anew at any time. What must still be believed when quantum
computers exist (a vote, a credential, a log's head) is signed with ML-DSA.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwarden.core.crypto.derivation import derive_key as derive_key
    from qwarden.core.crypto.derivation import hkdf as hkdf
    from qwarden.core.crypto.merkle import MerkleLog as MerkleLog
    from qwarden.core.crypto.merkle import verify_consistency as verify_consistency
    from qwarden.core.crypto.merkle import verify_inclusion as verify_inclusion
    from qwarden.core.crypto.postquantum import MLDSAKey as MLDSAKey
    from qwarden.core.crypto.postquantum import MLKEMKey as MLKEMKey
    from qwarden.core.crypto.postquantum import mldsa_verify as mldsa_verify
    from qwarden.core.crypto.postquantum import mlkem_encapsulate as mlkem_encapsulate
    from qwarden.core.crypto.tags import TagKey as TagKey
    from qwarden.core.crypto.tags import forging_probability as forging_probability
    from qwarden.core.crypto.wrapping import unwrap as unwrap
    from qwarden.core.crypto.wrapping import wrap as wrap

_MODULE_OF = {
    "MLDSAKey": "postquantum",
    "MLKEMKey": "postquantum",
    "MerkleLog": "merkle",
    "TagKey": "tags",
    "derive_key": "derivation",
    "forging_probability": "tags",
    "hkdf": "derivation",
    "mldsa_verify": "postquantum",
    "mlkem_encapsulate": "postquantum",
    "unwrap": "wrapping",
    "verify_consistency": "merkle",
    "verify_inclusion": "merkle",
    "wrap": "wrapping",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
