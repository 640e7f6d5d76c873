from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from qwarden.core.files import atomic_write, canonical_json, sha256, sha256_file


def test_canonical_json_is_sorted_compact_utf8() -> None:
    # The object of RFC 8785, section 3.2.3, whose keys sort by code point too.
    value = {"peach": "This sorting order", "péché": "is wrong according to French",
             "pêche": "but canonicalization MUST", "sin": "ignore locale"}  # fmt: skip
    expected = (
        '{"peach":"This sorting order","péché":"is wrong according to French",'
        '"pêche":"but canonicalization MUST","sin":"ignore locale"}'
    )
    assert canonical_json(value) == expected.encode()


def test_canonical_json_tells_integers_from_floats() -> None:
    assert canonical_json([1, 1.0, True]) == b"[1,1.0,true]"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), ["\ud800"]])
def test_canonical_json_refuses_what_json_has_not(value: object) -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|surrogates not allowed"):
        canonical_json(value)


def test_canonical_json_refuses_keys_that_are_no_strings() -> None:
    with pytest.raises(TypeError, match="key"):
        canonical_json({"a": [{1: 2}]})


def test_sha256_agrees_with_the_standard() -> None:
    # FIPS 180-4 example: SHA-256 of "abc".
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_sha256_file(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(os.urandom(3_000_000))
    assert sha256_file(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_atomic_write_replaces_and_sets_the_mode(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    atomic_write(file, b"old")
    atomic_write(file, b"new", mode=0o600)
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_atomic_write_leaves_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f.json"
    atomic_write(file, json.dumps([1]).encode())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(file, b"half")
    assert file.read_bytes() == b"[1]"
    assert list(tmp_path.iterdir()) == [file]
