from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwarden.keys.hybrid.combine import Messages, cas_kdf, cat_kdf

# What the public implementation of the standard (etsi-forge, cyber.103744_QHKEX, its functions linked to
# OpenSSL 3.0) gives for random inputs.
VECTORS = json.loads(Path(__file__).with_name("ts103744.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['kdf']}-{v['hash']}-{v['cat'][:6]}")
def test_keys_are_those_of_the_reference_implementation(vector: dict[str, Any]) -> None:
    v = {name: bytes.fromhex(text) for name, text in vector.items() if name not in ("hash", "kdf")}
    how = {"hash": vector["hash"], "kdf": vector["kdf"], "info": v["info"], "label": v["label"]}
    said = Messages(initiator=v["ma"], responder=v["mb"])
    assert cat_kdf([v["k1"], v["k2"]], said, length=len(v["cat"]), psk=v["psk"], **how) == v["cat"]
    first = cas_kdf(v["k1"], said, previous=v["psk"], length=len(v["round1"]), **how)
    assert (first.chain, first.key) == (v["chain1"], v["round1"])
    turned = Messages(initiator=v["mb"], responder=v["ma"])
    second = cas_kdf(v["k2"], turned, previous=first.chain, length=len(v["round2"]), **how)
    assert (second.chain, second.key) == (v["chain2"], v["round2"])


def test_every_input_matters() -> None:
    said = Messages(initiator=b"A", responder=b"B")
    keys = {
        cat_kdf([b"1" * 32, b"2" * 32], said, length=32, info=b"i", psk=b"p"),
        cat_kdf([b"3" * 32, b"2" * 32], said, length=32, info=b"i", psk=b"p"),
        cat_kdf([b"1" * 32, b"3" * 32], said, length=32, info=b"i", psk=b"p"),
        cat_kdf([b"1" * 32, b"2" * 32], said, length=32, info=b"j", psk=b"p"),
        cat_kdf([b"1" * 32, b"2" * 32], said, length=32, info=b"i", psk=b"q"),
        cat_kdf(
            [b"1" * 32, b"2" * 32], Messages(initiator=b"AB", responder=b""), length=32, info=b"i", psk=b"p"
        ),
    }
    assert len(keys) == 6
